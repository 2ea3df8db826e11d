"""Work that Ray shares out gives the bytes of one process, and survives the loss of a process."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from minbert.__main__ import main
from minbert.errors import Stopped, UserError
from minbert.files import stream
from minbert.runs import on_ray
from minbert.study import on_ray as study_on_ray
from tests.study.conftest import tweets
from tests.study.making import dataset, make_study

TABLES = ("table.csv", "table.md", "table.tex", "rows.csv.gz", "folds.csv")
WORDS = ["the", "film", "was", "good", "bad", "not", "a", "plot", ",", "!"]


class Dying:
    """A system whose process is killed in the first fit; of two settings."""

    random, space = False, {"size": [1, 2]}

    def __init__(self, mark, settings=None):
        self.mark, self.settings = mark, settings

    def with_settings(self, settings):
        return Dying(self.mark, settings)

    def fit(self, *training_part):
        die_once(self.mark)
        return self

    def predict_proba(self, texts):
        return np.tile([0.25, 0.75], (len(texts), 1))


class Refusing(Dying):
    def with_settings(self, settings):
        raise UserError("this system needs a package")


def die_once(mark):
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def fragile(mark):
    """A function that is killed once, at the third item."""

    def work(item):
        if item == 2:
            die_once(mark)
        return 10 * item

    return work


@pytest.fixture
def place(local_ray):
    return on_ray.place(local_ray, 1)


@pytest.fixture
def compare(tmp_path, tiny_folder, monkeypatch, capsys):
    """compare(folder, flags) -> what `study compare` printed; tiny data, with tuning, seeds, vectors and a BERT."""
    monkeypatch.chdir(tmp_path)
    lines = ["\t".join(row) for row in [("tweet", "stance", "author"), *tweets(60)]]
    Path("tweets.tsv").write_text("\n".join(lines) + "\n")

    def compare(folder, *flags):
        words = ["--data", "tweets.tsv", "--text_column", "tweet", "--label_column", "stance", "--model", tiny_folder]
        words += ["--folds", 2, "--repeats", 1, "--tune", 2, "--seeds", 2, "--epochs", 1, "--out", folder]
        words += ["--systems", "svm+tfidf", "nb+count", "logreg+vectors", "bert:frozen"]
        assert main(["study", "compare", *map(str, words), *flags]) == 0
        return capsys.readouterr().out

    return compare


def test_a_study_by_ray_has_the_bytes_of_one_without_and_goes_on_where_it_was_stopped(local_ray, compare):
    with on_ray.threads(1):
        compare("plain")
    shown = compare("shared", "--ray")
    assert [line for line in shown.splitlines() if line.startswith("bert:frozen: 4 units")]
    plain, shared = Path("plain"), Path("shared")
    units = sorted(path.name for path in (plain / "units").iterdir())
    assert sorted(path.name for path in (shared / "units").iterdir()) == units and len(units) == 26
    assert [(shared / name).read_bytes() for name in TABLES] == [(plain / name).read_bytes() for name in TABLES]
    for name in units[::2]:
        (shared / "units" / name).unlink()
    kept = {name: (shared / "units" / name).stat().st_mtime_ns for name in units[1::2]}
    (shared / "table.csv").unlink()
    compare("shared", "--ray")
    assert {name: (shared / "units" / name).stat().st_mtime_ns for name in kept} == kept
    assert [(shared / name).read_bytes() for name in TABLES] == [(plain / name).read_bytes() for name in TABLES]


def test_a_unit_whose_process_is_killed_is_computed_again(local_ray, place, tmp_path):
    study = make_study(tmp_path, dataset(tweets(30)), {"dying": Dying(tmp_path / "mark")}, count=2, tries=2)
    found = list(study_on_ray.run(study, study.units(), local_ray, place))
    assert (tmp_path / "mark").exists()
    assert [unit for unit, _ in found] == study.units() and found[0][1]["probabilities"][0] == [0.25, 0.75]
    assert len(list((tmp_path / "units").iterdir())) == 6


def test_a_study_that_a_signal_stops_keeps_what_is_done(local_ray, place, tmp_path):
    (tmp_path / "mark").touch()
    study = make_study(tmp_path, dataset(tweets(30)), {"dying": Dying(tmp_path / "mark")}, count=3, repeats=2)

    class Stop:
        """A signal that comes when a first unit is done."""

        advice = "; the same command goes on"
        asked = property(lambda self: signal.SIGINT if (tmp_path / "units").exists() else 0)

    study.stop = Stop()
    with pytest.raises(Stopped, match="goes on"):
        list(study_on_ray.run(study, study.units(), local_ray, place))
    assert 1 <= len(list((tmp_path / "units").iterdir())) < 6


def test_the_mistake_of_a_unit_is_raised_as_it_is(local_ray, place, tmp_path):
    study = make_study(tmp_path, dataset(tweets(30)), {"refusing": Refusing(tmp_path / "mark")}, count=2)
    with pytest.raises(UserError, match=r"^this system needs a package$"):
        list(study_on_ray.run(study, study.units(), local_ray, place))


def test_a_worker_that_is_killed_is_replaced_the_order_stays_and_few_items_are_read_ahead(local_ray, place, tmp_path):
    read = []
    items = ((f"key {item}", read.append(item) or item) for item in range(20))
    for number, (key, get) in enumerate(on_ray.in_order(local_ray, place, fragile, [tmp_path / "mark"], items)):
        assert (key, get()) == (f"key {number}", 10 * number)
        assert len(read) <= number + 5  # two workers, an item and the next for each, and one
    assert len(read) == 20 and (tmp_path / "mark").exists()


def test_a_machine_with_other_versions_is_named():
    place = on_ray.Place(1, 0, {}, on_ray.versions() | {"numpy": "1.0"})
    with pytest.raises(UserError, match=r"^--ray: .* has numpy [\d.]+, but here is numpy 1.0: install the same$"):
        on_ray.settle(place)


@pytest.fixture
def predict(tiny_folder, tmp_path, monkeypatch, capsys):
    """predict(*flags) -> exit status, what was said; small windows, and three files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stream, "TEXTS", 4)
    for name, count in (("a.txt", 11), ("b.txt", 1), ("c.txt", 9)):
        texts = [" ".join(WORDS[: 1 + (3 * number + count) % 9]) for number in range(count)]
        Path(name).write_text("\n".join(texts) + "\n")

    def predict(*flags):
        status = main(["predict", "--device", "cpu", "--model", str(tiny_folder), *flags])
        return status, capsys.readouterr().err

    return predict


def results():
    """The results that there are, which are removed."""
    found = {path.name: path.read_bytes() for path in Path().glob("*.predictions.csv")}
    for name in found:
        Path(name).unlink()
    return found


def test_files_labelled_by_ray_have_the_bytes_of_one_process_and_a_bad_one_is_named(local_ray, predict):
    flags = ["--with_text", "--skip_bad_rows", "--text"]
    Path("c.txt").write_bytes(Path("c.txt").read_bytes() + b"\xff\ngood film\n")
    plain = {}
    for name in ("a.txt", "b.txt", "c.txt"):
        with on_ray.threads(1):
            assert predict(*flags, name)[0] == 0
        plain |= results()
    Path("bad.txt").write_bytes(b"\xff\n")
    status, said = predict(*flags, "a.txt", "bad.txt", "b.txt", "c.txt", "--ray")
    assert results() == plain and len(plain) == 3
    assert status == 2 and said.count("written to") == 3 and "c.txt:10" in said
    assert "bad.txt:1" in said and said.endswith("No row is left.\n1 file of 4 without a result\n")


def test_more_cpus_than_a_machine_has_are_refused(local_ray, predict):
    status, said = predict("--text", "a.txt", "--ray", "--ray_cpus", "3")
    assert status == 2 and "no machine of the cluster has 3 CPUs" in said and not results()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--text", "a.txt", "--ray", "--shard", "1/2"], "--shard and --ray are two ways"),
        (["--text", "a.txt", "--ray_cpus", "2"], "--ray_cpus is for --ray"),
        (["--sentence", "good", "--ray"], "for a file of texts, --text FILE: --ray"),
    ],
)
def test_flags_that_do_not_go_with_ray(predict, flags, said):
    pytest.importorskip("ray", reason="needs Ray: pip install 'minbert[ray]'")
    assert said in predict(*flags)[1]


def test_without_ray_a_line_says_what_to_install(predict, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert predict("--text", "a.txt", "--ray") == (2, "error: --ray needs a package: pip install 'minbert[ray]'\n")
