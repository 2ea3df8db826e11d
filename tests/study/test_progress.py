"""What a study says while it runs."""

import io
import sys
from types import SimpleNamespace

from minbert.commands import study_data
from minbert.study import progress
from tests.study.conftest import tweets
from tests.study.making import dataset, make_study


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(study, monkeypatch, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    ticks = iter(range(0, 10**6, 120))  # two minutes between any two looks at the clock
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    return study_data.work(study, study.units(), study.run(study.units()))


def test_a_line_says_which_unit_runs_and_how_long_its_system_takes(tmp_path, monkeypatch, capsys):
    """Of each unit, also of the first; nothing is known of the time before one is done, or of those in files."""
    study = make_study(tmp_path, dataset(tweets(60)), ["nb+count", "svm+tfidf"])
    list(study.run(study.units()[:2]))
    shown = Terminal()
    assert len(run(study, monkeypatch, shown)) == 6
    lines = [part.strip() for part in shown.getvalue().split("\r")]
    for begin, end in (
        ("0/6", "nb+count, repeat 1, fold 1"),
        ("2/6", "nb+count, repeat 1, fold 3"),
        ("4/6", "svm+tfidf, repeat 1, fold 2, about 8 min left for it"),
        ("5/6", "svm+tfidf, repeat 1, fold 3, about 3 min left for it"),
    ):
        assert any(line.startswith(begin) and line.endswith(end) for line in lines), begin
    assert shown.getvalue().count("\n") == 0
    out = capsys.readouterr().out
    assert [line.partition(",")[0] for line in out.splitlines()] == ["nb+count: 3 units", "svm+tfidf: 3 units"]


def test_a_log_file_gets_no_bar(tmp_path, monkeypatch):
    shown = io.StringIO()
    run(make_study(tmp_path, dataset(tweets(60)), ["nb+count"]), monkeypatch, shown)
    assert shown.getvalue() == ""


def test_the_time_that_is_left():
    assert progress.left(90, 0, 3) == ""
    assert progress.left(90, 3, 4) == ", about 2 min left for it"
    assert progress.left(1, 1, 30) == ", less than a minute left for it"
