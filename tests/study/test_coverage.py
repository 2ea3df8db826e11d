"""The simulation of make study-check: what it found, kept in bench/results, and that it finds what is wrong."""

import json

import numpy as np
import pytest

from bench import coverage
from minbert.study import corrected


@pytest.fixture(scope="module")
def record():
    """record(part) -> the rows that make study-check has kept; skips the test if that part was not run."""
    known = json.loads(coverage.RESULTS.read_text("utf-8")) if coverage.RESULTS.exists() else {}

    def find(part):
        if part not in known:
            pytest.skip(f"needs {part} in bench/results/coverage.json: make study-check ARGS={part}")
        assert known["repetitions"] == 1000 and known["seeds"] == [1, 2]
        return known[part]

    return find


@pytest.mark.parametrize("part", coverage.PARTS)
def test_what_is_offered_keeps_its_word(record, part):
    """95 % +- 1.5 for intervals, at most 6.5 % at 5 % for tests, to the error of 2 x 1,000 samples."""
    rows = record(part)
    assert rows and [row["case"] for row in rows if coverage.off(part, row)] == []
    assert all(row["samples"] + row["failed"] >= 2000 for row in rows)


def test_what_is_not_offered_would_not(record):
    found = {row["case"][0]: row for row in record("tests") if row["case"][2] == "not offered"}
    assert found["plain t"]["share"] > 0.3 and found["5 x 2 F"]["share"] > 0.08


def test_the_corrected_answer_is_narrower_than_the_labels_alone(record):
    """Its errors vary less in each design; with lambda 1 they may vary more than those of the labels."""
    sd = {tuple(row["case"]): row["sd"] for row in record("infer")}
    for (design, what, way, n), found in sd.items():
        if way == "tuned" and design != "weak":
            assert found < sd[design, what, "labels alone", n]
    assert sd["uneven", "logit slope", "lambda 1", 300] > sd["uneven", "logit slope", "labels alone", 300]


def test_an_interval_that_is_too_narrow_is_seen(monkeypatch):
    """Half of each interval cut away: the shares fall, and the cases are off."""
    whole = corrected.Fit.intervals

    def halved(fit):
        middle = fit.coefficients[:, None]
        return middle + (whole(fit) - middle) / 2

    monkeypatch.setattr(coverage, "LABELS", (100,))
    monkeypatch.setattr(coverage, "DESIGNS", {"good": coverage.DESIGNS["good"]})
    monkeypatch.setattr(corrected.Fit, "intervals", halved)
    rows = coverage.collect("infer", (1, 2), 40)
    assert all(row["samples"] + row["failed"] == 80 for row in rows)
    assert np.mean([row["share"] for row in rows]) < 0.8
    assert all(coverage.off("infer", row) for row in rows if row["case"][2] != "lambda 1")


def test_what_counts_as_off():
    def row(how, share):
        return {"case": ["a", "b", how, 100], "share": share, "samples": 2000}  # its own error is half a point

    assert coverage.off("tests", row("offered", 0.08)) and not coverage.off("tests", row("offered", 0.02))
    assert not coverage.off("tests", row("not offered", 0.5))
    for how, share, expected in (
        ("tuned", 0.92, True),
        ("tuned", 0.98, True),
        ("", 0.93, False),
        ("warned", 0.9, False),
        ("few", 0.98, False),
        ("few", 0.92, True),
    ):
        assert coverage.off("infer", row(how, share)) is expected


def test_the_program(monkeypatch, capsys):
    monkeypatch.setattr(coverage, "RESULTS", None)  # few repetitions write nothing
    coverage.main(["shares", "--repetitions", "2"])
    shown = capsys.readouterr().out
    assert "shares: Wilson's interval" in shown and "rogan-gladen  share 0.3" in shown
