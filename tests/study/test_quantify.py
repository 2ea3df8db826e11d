"""quantify: against reference values, and against shares worked out by hand."""

import numpy as np
import pytest

from minbert import UserError
from minbert.study.quantify import adjusted_count, em, rogan_gladen, to_simplex

CLOSE = {"rel": 1e-9, "abs": 1e-12}


def test_rogan_gladen(study_golden):
    names = ("apparent", "sensitivity", "specificity", "n", "n_pos", "n_neg")
    for golden in study_golden["rogan_gladen"]:
        found = rogan_gladen(*(golden[name] for name in names))
        assert found.raw == pytest.approx(golden["estimate"], **CLOSE)
        assert found.se == pytest.approx(golden["se"], **CLOSE)
        assert found.estimate == min(1, max(0, found.raw)) and 0 <= found.low <= found.high <= 1


def test_rogan_gladen_by_hand():
    """Predicted 30 %, sensitivity and specificity .9: (.3 + .9 - 1) / .8 = .25."""
    found = rogan_gladen(0.3, 0.9, 0.9, 1000, 100, 100)
    variance = (0.3 * 0.7 / 1000 + 0.25**2 * 0.09 / 100 + 0.75**2 * 0.09 / 100) / 0.64
    assert found.raw == pytest.approx(0.25) and found.se == pytest.approx(variance**0.5)
    assert found.fits and found.low < 0.25 < found.high


def test_a_share_below_0_is_cut_and_said():
    found = rogan_gladen(0.05, 0.7, 0.93, 3000, 60, 200)
    assert found.raw < 0 == found.estimate == found.low and not found.fits and found.high > 0


def test_perfect_predictions_have_an_interval():
    """All of 40 and 60 texts predicted rightly: the classifier may still be wrong elsewhere."""
    found = rogan_gladen(0.0, 1.0, 1.0, 10_000, 40, 60)
    assert (found.raw, found.se, found.low) == (0, 0, 0) and 0.001 < found.high < 0.1


@pytest.mark.parametrize(
    "numbers, said", [((0.3, 0.5, 0.55), "hardly better than chance"), ((1.2, 0.9, 0.9), "no share")]
)
def test_what_cannot_be_corrected(numbers, said):
    with pytest.raises(UserError, match=said):
        rogan_gladen(*numbers, 100, 50, 50)


def test_adjusted_count(study_golden):
    golden = study_golden["adjusted_count"]
    found = adjusted_count(golden["confusion_pred_given_true"], golden["predicted_share"])
    assert found == pytest.approx(golden["solution"], **CLOSE)


def test_adjusted_count_by_hand():
    """60 % of A and 20 % of B are predicted A: if 40 % are predicted A, half are A. Fewer than 20 %: none."""
    matrix = [[0.6, 0.2], [0.4, 0.8]]
    assert adjusted_count(matrix, [0.4, 0.6]) == pytest.approx([0.5, 0.5])
    assert adjusted_count(matrix, [0.1, 0.9]).tolist() == [0, 1]
    with pytest.raises(UserError, match="predicted alike"):
        adjusted_count([[0.5, 0.5], [0.5, 0.5]], [0.4, 0.6])
    with pytest.raises(UserError, match="must sum to 1"):
        adjusted_count(np.transpose(matrix), [0.4, 0.6])


def test_the_nearest_shares():
    assert to_simplex([0.2, 0.3, 0.5]).tolist() == [0.2, 0.3, 0.5]
    assert to_simplex([1.2, -0.2, 0.2]) == pytest.approx([1.0, 0.0, 0.0])
    assert to_simplex([0.8, 0.4, -0.1]) == pytest.approx([0.7, 0.3, 0.0])


def test_em(study_golden):
    golden = study_golden["saerens_em"]
    assert em(golden["posterior"], golden["train_prior"], steps=1) == pytest.approx(golden["after_1"], rel=1e-8)
    found = em(golden["posterior"], golden["train_prior"])
    assert found == pytest.approx(golden["converged"], rel=1e-8, abs=1e-10)


def test_em_by_hand():
    """One text, .8 and .2, prior half and half: a step gives .8; the steps go on to 1."""
    assert em([[0.8, 0.2]], [0.5, 0.5], steps=1) == pytest.approx([0.8, 0.2])
    assert em([[0.8, 0.2]], [0.5, 0.5]) == pytest.approx([1, 0], abs=1e-9)
    with pytest.raises(UserError, match="share of each class"):
        em([[0.8, 0.2]], [1.0, 0.0])


def test_em_finds_the_shares_of_a_shifted_sample():
    """Texts of two classes with known likelihoods, 50:50 in training and 20:80 here."""
    rng = np.random.default_rng(2)
    truth = rng.random(20_000) < 0.2
    x = rng.normal(np.where(truth, 1, -1), 1)
    posterior = 1 / (1 + np.exp(-2 * x))
    assert em(np.c_[posterior, 1 - posterior], [0.5, 0.5])[0] == pytest.approx(truth.mean(), abs=0.01)
