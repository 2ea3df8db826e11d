"""Exact match and F1 of answers: by hand, and beside the evaluation of SQuAD."""

import json

import pytest

from minbert.answers import overlap, plain, squad, squad_scores


def test_every_answer_scores_as_in_the_reference(shared):
    cases = json.loads(shared("reference/families2/squad.json").read_text(encoding="utf-8"))["answers"]
    assert len(cases) > 100
    for case in cases:
        assert plain(case["predicted"]) == case["plain"], case
        for version, name in ((1, "f1"), (2, "f1_v2")):
            exact, f1 = squad(case["gold"], case["predicted"], version)
            assert exact == case["exact"] and f1 == pytest.approx(case[name], abs=1e-9, rel=0), case


def test_articles_case_and_ascii_punctuation_do_not_count():
    assert plain("The  theatre's (old)\tU.S. “quote” – an a") == "theatres old us “quote” –"
    assert squad(["The Beatles"], "beatles!") == (1, 1)


def test_words_count_as_often_as_they_occur():
    assert overlap("x x y", "x y y") == pytest.approx(2 / 3)
    assert squad(["new york city", "york"], "York new") == (0, 0.8)


def test_no_answer_equals_no_answer():
    assert squad([], "") == (1, 1) and squad([], "something") == (0, 0)
    assert squad(["the"], "", version=2) == (1, 1) and squad(["the"], "", version=1) == (1, 0)


def test_the_means_of_a_file():
    assert squad_scores([["a cat"], []], ["cat", "dog"]) == {"exact": 0.5, "f1": 0.5}
    with pytest.raises(ValueError, match="no pairs"):
        squad_scores([["a"]], [])
