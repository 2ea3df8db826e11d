"""labels: against reference values, published examples, and planted mistakes."""

import numpy as np
import pytest

from minbert import UserError
from minbert.study.calibrate import softmax
from minbert.study.labels import cohen_kappa, confident, joint, krippendorff, suspicious, thresholds


def near(value):
    return pytest.approx(value, rel=1e-9)


def test_confident_learning(study_golden):
    golden = study_golden["confident_learning"]
    p, labels = softmax(study_golden["calibration"]["logits"]), study_golden["calibration"]["labels"]
    assert thresholds(p, labels) == near(golden["thresholds"])
    assert joint(p, labels).tolist() == golden["joint_counts"] == golden["cleanlab_joint_uncalibrated"]
    found = suspicious(p, labels)
    assert sorted(found.tolist()) == golden["off_diagonal_rows"]
    own = np.array(golden["self_confidence"])[found]
    assert own.tolist() == sorted(own)


def test_confident_learning_by_hand():
    """Thresholds .8 and .6: the third text reaches neither; the fourth is labelled 0 but reaches 1."""
    p = [[0.9, 0.1], [1.0, 0.0], [0.7, 0.3], [0.35, 0.65], [0.45, 0.55], [0.4, 0.6]]
    labels = [0, 0, 0, 0, 1, 1]
    assert thresholds(p, labels) == near([0.7375, 0.575])
    assert confident(p, labels).tolist() == [0, 0, -1, 1, -1, 1]
    assert joint(p, labels).tolist() == [[2, 1], [0, 1]] and suspicious(p, labels).tolist() == [3]
    with pytest.raises(UserError, match="each class needs a labelled text"):
        joint(p, [0] * 6)


def test_planted_mistakes_are_found():
    """1,000 texts of three classes, 50 labels turned: what is suspicious was planted, and most of it is found."""
    rng = np.random.default_rng(6)
    truth = rng.integers(0, 3, 1000)
    p = softmax(rng.normal(0, 1, (1000, 3)) + 4 * np.eye(3)[truth])
    labels, planted = truth.copy(), rng.permutation(1000)[:50]
    labels[planted] = (labels[planted] + 1) % 3
    found = suspicious(p, labels)
    assert len(set(found)) == len(found) > 35 and set(found) <= set(planted)


def test_kappa(study_golden):
    golden = study_golden["cohen_kappa"]
    (a, b), (c, d) = golden["table"]
    found = cohen_kappa("y" * (a + b) + "n" * (c + d), "y" * a + "n" * b + "y" * c + "n" * d)
    assert found.estimate == near(golden["kappa"])


def test_kappa_by_hand():
    """20, 5, 10, 15: observed .7, expected .5: .4. The interval is about that of the large-sample formula."""
    first = ["y"] * 25 + ["n"] * 25
    second = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    found = cohen_kappa(first, second)
    assert found.estimate == near(0.4)
    assert found.low == pytest.approx(0.15, abs=0.06) and found.high == pytest.approx(0.64, abs=0.06)
    grouped = cohen_kappa(first, second, groups=[at // 5 for at in range(50)])
    assert grouped.estimate == near(0.4) and grouped != found
    with pytest.raises(UserError, match="both raters gave y"):
        cohen_kappa("yy", "yy")
    with pytest.raises(UserError, match="no pairs"):
        cohen_kappa("yy", "y")


@pytest.mark.parametrize("level, published", [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha(study_golden, level, published):
    golden = study_golden["krippendorff"]
    found = krippendorff(golden["data"], level)
    assert found == near(golden[level]) and found == pytest.approx(published, abs=5e-4)


def test_alpha_by_hand():
    """Two raters, aa ab bb: coincidences aa 2, ab 1, ba 1, bb 2; 1 - 5 x 2 / (2 x 3 x 3) = 4/9."""
    assert krippendorff(["aab", "abb"]) == near(4 / 9)
    assert krippendorff([[1, 1, 2, None], [1, 2, 2, 5]], "interval") == near(4 / 9)  # 5 has no pair
    assert krippendorff(["ab", "ab"]) == 1


@pytest.mark.parametrize(
    "ratings, level, said",
    [
        (["ab"], "nominal", "2 or more raters"),
        (["ab", "a"], "nominal", "a place for each text"),
        (["aa", "aa"], "nominal", "labels that differ"),
        ([["a", None], [None, "b"]], "nominal", "two labels or more"),
        (["ab", "ab"], "ordinal", "labels that are numbers"),
    ],
)
def test_alpha_of_what_cannot_be_compared(ratings, level, said):
    with pytest.raises(UserError, match=said):
        krippendorff(ratings, level)


def test_cleanlab_agrees():
    count = pytest.importorskip("cleanlab.count", reason="the cross-check needs cleanlab")
    rng = np.random.default_rng(0)
    p, labels = rng.dirichlet([1, 1, 1], 300), rng.integers(0, 3, 300)
    assert joint(p, labels).tolist() == count.compute_confident_joint(labels, p, calibrate=False).tolist()
