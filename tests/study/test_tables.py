"""Rows -> table: means over folds with seeds averaged first, intervals, p values, shares of variance, LaTeX."""

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from minbert.study import tables
from minbert.study.rows import Rows, join
from minbert.study.scores import Score
from minbert.study.statistics import corrected_t, holm

NAMES = ("a", "b", "c")


def rows(systems=("one", "two", "three"), seeds=2, folds=4, texts=30, seed=0):
    """Predictions that are right more often the earlier the system is named."""
    rng = np.random.default_rng(seed)
    lines = []
    for place, system in enumerate(systems):
        for fold in range(1, folds + 1):
            for which in range(1, seeds + 1):
                for text in range(texts):
                    gold = NAMES[text % 3]
                    right = rng.random() < 0.8 - 0.15 * place
                    guess = gold if right else str(rng.choice(NAMES))
                    lines.append((system, str(text + fold * texts), 1, fold, which, gold, guess))
    return Rows(NAMES, *map(list, zip(*lines)), probabilities=np.full((len(lines), 3), 1 / 3))


@pytest.mark.parametrize("positive", [None, 1])
def test_figures_are_those_of_scikit_learn(positive):
    rng = np.random.default_rng(1)
    gold, predicted = rng.integers(3, size=(2, 40))
    average = {"average": "macro"} if positive is None else {"labels": [positive], "average": "macro"}
    wanted = precision_recall_fscore_support(gold, predicted, zero_division=0, **average)[:3]
    found = Score(3, positive).figures(gold, predicted)
    assert [found[name] for name in ("precision", "recall", "f1")] == pytest.approx(wanted, abs=1e-12)
    assert found["accuracy"] == pytest.approx((gold == predicted).mean())


def test_a_class_that_is_never_predicted_has_a_precision_of_zero():
    assert Score(2, 1).figures([0, 1], [0, 0])["precision"] == 0.0


def test_seeds_are_averaged_within_a_fold_before_the_spread_is_taken():
    score, found = Score(3), rows(("one",))
    (line,) = tables.summarise(found, score).lines
    f1 = np.zeros((4, 2))
    for fold in range(4):
        for seed in range(2):
            at = [i for i in range(len(found)) if (found.fold[i], found.seed[i]) == (fold + 1, seed + 1)]
            f1[fold, seed] = score(*([NAMES.index(side[i]) for i in at] for side in (found.gold, found.predicted)))
    assert line.mean("f1") == pytest.approx(f1.mean())
    assert line.sd("f1") == pytest.approx(f1.mean(axis=1).std(ddof=1))
    within = f1.var(axis=1, ddof=1).mean()
    between = max(0.0, f1.mean(axis=1).var(ddof=1) - within / 2)
    assert line.variance == pytest.approx((between / (between + within), within / (between + within)))


def test_p_values_are_holms_of_the_corrected_tests_against_the_best():
    best, *others = tables.summarise(rows(), Score(3)).lines
    assert best.p is None and best.system == "one"
    tests = [corrected_t(np.subtract(best.values["f1"], line.values["f1"]), 1 / 3) for line in others]
    assert [line.p for line in others] == holm([test.p for test in tests])
    assert others[0].difference == (tests[0].estimate, tests[0].low, tests[0].high)


def test_equal_systems_have_no_difference():
    one, two = rows(("one",)), rows(("one",))
    two.system = ["two"] * len(two)
    lines = tables.summarise(join([one, two]), Score(3)).lines
    assert lines[1].p == 1.0 and lines[1].difference[0] == 0.0


def test_the_same_rows_give_the_same_texts_and_latex_is_escaped():
    made = [tables.summarise(rows(), Score(3)) for _ in range(2)]
    for table in made:
        table.note = ["50% of class a_b & c"]
    assert tables.as_latex(made[0]) == tables.as_latex(made[1])
    assert r"50\% of class a\_b \& c" in tables.as_latex(made[0])
    assert tables.as_markdown(made[0]).count("\n| ") == 4
    assert tables.escape("a~b^c\\<") == r"a\textasciitilde{}b\textasciicircum{}c\textbackslash{}$<$"


def test_the_printed_table_s2_is_a_mean_over_folds():
    """RF + Count of Kim et al. (2021), Table S2: 0.5354 is near F1 of the means, 0.5360, and not it."""
    assert "mean of the folds' F1" in tables.audit(0.9713, 0.3701, 0.5354)
    assert tables.audit(0.9713, 0.3701, 0.5360) == ""
    assert "does not go with them" in tables.audit(0.95, 0.71, 0.9)


def test_p_values_as_journals_print_them():
    assert [tables.p_value(p) for p in (0.0004, 0.0312, 0.5, 1.0)] == ["< .001", ".031", ".500", "1"]
