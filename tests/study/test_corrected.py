"""corrected: against reference values, the classical formulas, and hand-made samples."""

import numpy as np
import pytest
from scipy import stats

from minbert import UserError
from minbert.study.corrected import estimate, naive, solve


def near(value, rel=1e-9):
    return pytest.approx(value, rel=rel, abs=1e-10)


def errors(fit):
    return np.sqrt(np.diag(fit.covariance))


def with_one(*columns):
    return np.column_stack([np.ones(len(columns[0])), *columns])


@pytest.fixture(scope="module")
def sample():
    """1,200 texts, 200 labelled; predictions that are wrong more often where x is large: (x [N, 2], y, f, W)"""
    rng = np.random.default_rng(1)
    x = rng.normal(size=1200)
    y = (rng.random(1200) < 1 / (1 + np.exp(1 - x))) * 1.0
    f = np.clip(np.where(y == 1, 0.7 - 0.15 * x, 0.3) + rng.normal(0, 0.2, 1200), 0, 1)
    weights = np.where(rng.permutation(1200) < 200, 6.0, 0.0)
    return with_one(x), np.where(weights > 0, y, np.nan), f, weights


@pytest.mark.parametrize("family", ["lm", "logit"])
def test_design_based_supervised_learning(study_golden, family):
    golden = study_golden["dsl"]
    y = [np.nan if value is None else value for value in golden["y"]]
    weights = np.divide(golden["labeled"], golden["prob"])
    found = estimate(with_one(golden["x"]), y, golden["f"], weights, family, lam=1.0)
    assert found.coefficients == near(golden[family]["coef"], 1e-8)
    assert errors(found) == near(golden[family]["se"], 1e-8)
    found = estimate(np.ones((200, 1)), y, golden["f"], weights, lam=1.0)
    assert found.coefficients[0] == near(golden["mean"]["estimate"]) and errors(found)[0] == near(golden["mean"]["se"])


def ppi_sample(golden):
    n, rows = golden["n"], golden["n"] + golden["N"]
    y, weights = np.full(rows, np.nan), np.zeros(rows)
    y[:n], weights[:n] = golden["y_labeled"], rows / n
    return with_one(golden["x"]), y, weights, 1 + n / golden["N"]


def test_prediction_powered_means(study_golden):
    x, y, weights, scale = ppi_sample(study_golden["ppi"])
    golden = study_golden["ppi"]["mean_lam1"]
    found = estimate(x[:, :1], y, study_golden["ppi"]["f"], weights, lam=scale)
    half = stats.norm.ppf(0.975) * errors(found)[0]
    assert found.coefficients[0] == near(golden["estimate"]) and errors(found)[0] == near(golden["se"])
    assert [found.coefficients[0] - half, found.coefficients[0] + half] == near(golden["ci"])
    golden = study_golden["ppi_weak_predictor"]
    found = estimate(x[:, :1], y, golden["f"], weights, lam=scale * golden["lam"])
    assert found.coefficients[0] == near(golden["estimate"]) and errors(found)[0] == near(golden["se"])


def test_a_prediction_powered_logit(study_golden):
    x, y, weights, scale = ppi_sample(study_golden["ppi"])
    found = estimate(x, y, study_golden["ppi"]["f"], weights, "logit", lam=scale)
    assert found.coefficients == near(study_golden["ppi"]["logit_lam1"]["coef"], 1e-6)


def test_the_tuned_lambda_is_that_of_the_smallest_variance(sample):
    """No lambda of a grid does better by more than 2 %, 5 % of a logit; PPI++ takes another variance of f."""
    x, y, f, weights = sample
    for columns, family in ((x[:, :1], "lm"), (x, "lm"), (x, "logit")):
        tuned = estimate(columns, y, f, weights, family)
        assert 0.1 < tuned.lam <= 1.2
        fits = [estimate(columns, y, f, weights, family, lam) for lam in (*np.linspace(0, 1.2, 13), tuned.lam)]
        *others, mine = [(np.diag(fit.covariance) * (columns**2).mean(axis=0)).sum() for fit in fits]
        assert mine < (1.02 if family == "lm" else 1.05) * min(others)
        assert mine < 0.995 * others[0]
    labelled = weights > 0
    ppi = np.cov(y[labelled], f[labelled])[0, 1] / f.var(ddof=1)
    assert estimate(x[:, :1], y, f, weights).lam == pytest.approx(ppi, rel=0.1)


def test_with_lambda_0_it_is_the_regression_of_the_labelled_rows(sample):
    """Coefficients by least squares, and White's heteroscedastic errors."""
    x, y, f, weights = sample
    labelled = weights > 0
    found = estimate(x, y, f, weights, lam=0)
    b, *_ = np.linalg.lstsq(x[labelled], y[labelled], rcond=None)
    residual = y[labelled] - x[labelled] @ b
    bread = np.linalg.inv(x[labelled].T @ x[labelled])
    white = bread @ (x[labelled] * residual[:, None] ** 2).T @ x[labelled] @ bread
    assert found.coefficients == near(b) and found.covariance == near(white)
    leverage = np.einsum("ij,jk,ik->i", x[labelled], bread, x[labelled])
    hc2 = bread @ (x[labelled] * (residual**2 / (1 - leverage))[:, None]).T @ x[labelled] @ bread
    assert found.se == near(np.sqrt(np.diag(hc2)))
    assert found.df[0] <= 198 and found.df[1] < 150


def test_nothing_is_gained_from_labels_of_all_rows(sample):
    """All rows labelled: no lambda matters, and the answer is the plain regression."""
    x, y, f, weights = sample
    labelled = weights > 0
    whole = estimate(x[labelled], y[labelled], f[labelled], np.ones(200), "logit")
    plain = naive(x[labelled], y[labelled], "logit")
    assert whole.coefficients == near(plain.coefficients, 1e-8) and whole.covariance == near(plain.covariance, 1e-8)


def test_perfect_predictions_leave_the_error_of_all_rows(sample):
    """f = y: lambda at its limit, and the standard error is that of 1,200 labels, not of 200."""
    x, _, _, weights = sample
    y = np.random.default_rng(3).integers(0, 2, 1200).astype(float)
    found = estimate(x[:, :1], y, y, weights)
    assert found.coefficients[0] == pytest.approx(y.mean(), abs=0.005)
    assert errors(found)[0] == pytest.approx(y.std() / 1200**0.5, rel=0.1)


def test_useless_predictions_cost_nothing(sample):
    x, y, _, weights = sample
    f = np.random.default_rng(9).random(1200)
    tuned, labels = (estimate(x, y, f, weights, "logit", lam) for lam in (None, 0))
    assert tuned.lam < 0.3 and (tuned.se < 1.03 * labels.se).all()
    assert (estimate(x, y, f, weights, "logit", 1.0).se > 1.1 * labels.se).any()


def test_lambda_is_cut(sample):
    """Predictions on the wrong side count for nothing; those that say too little count as PPI++'s 1 and no more."""
    x, y, f, weights = sample
    known = np.where(weights > 0, y, f > 0.5)
    assert estimate(x, y, 1 - known, weights).lam == 0
    assert estimate(x[:, :1], y, 0.4 + 0.2 * known, weights).lam == near(6 / 5)


def test_what_the_labels_say_outweighs_a_biased_prediction(sample):
    """f + .1 everywhere: the mean of the predictions moves, the corrected one does not."""
    x, y, f, weights = sample
    one, other = (estimate(x[:, :1], y, values, weights) for values in (f, f + 0.1))
    assert other.coefficients == near(one.coefficients) and other.se == near(one.se)
    assert naive(x[:, :1], f + 0.1).coefficients[0] == near(naive(x[:, :1], f).coefficients[0] + 0.1)


def test_groups_count_as_one(sample):
    """Five copies of every row in a group of their own change nothing; as single rows they look like more."""
    x, y, f, weights = sample
    copies = [np.repeat(values, 5, axis=0) for values in (x, y, f, weights)]
    once = estimate(x, y, f, weights, "logit", 0.7)
    again = estimate(*copies, "logit", 0.7, groups=np.repeat(np.arange(1200), 5))
    assert again.coefficients == near(once.coefficients, 1e-8) and again.covariance == near(once.covariance, 1e-8)
    assert again.clusters == once.clusters == 200
    apart = estimate(*copies, "logit", 0.7)
    assert errors(apart) == near(errors(once) / 5**0.5, 1e-6)


def test_a_few_rows_that_make_up_the_variance_cost_degrees_of_freedom(sample):
    x, _, _, weights = sample
    y = np.zeros(1200)
    f = y.copy()
    y[np.flatnonzero(weights)[:4]] = 1
    found = estimate(x[:, :1], y, f, weights)
    assert found.df[0] < 12
    low, high = found.intervals()[0]
    assert found.coefficients[0] == pytest.approx(0.02)
    assert high - low == near(2 * stats.t.ppf(0.975, found.df[0]) * found.se[0])


@pytest.mark.parametrize(
    "case, said",
    [
        ("separated", "no coefficients fit"),
        ("copied", "follows from the others"),
        ("few", "too few for 2"),
    ],
)
def test_what_has_no_answer(sample, case, said):
    x, y, f, weights = sample
    if case == "separated":
        y = (x[:, 1] > 0) * 1.0
    elif case == "copied":
        x = np.c_[x, 2 * x[:, 1]]
    else:
        weights = np.where(np.cumsum(weights > 0) <= 2, weights, 0)
    with pytest.raises(UserError, match=said):
        estimate(x, y, f, weights, "lm" if case == "few" else "logit")


def test_the_equation_is_solved():
    """logit: one column, 3 of 4 rows positive: log 3."""
    assert solve(np.ones((4, 1)), np.ones(4), np.array([3.0]), "logit") == near([np.log(3)])


def test_statsmodels_agrees(sample):
    api = pytest.importorskip("statsmodels.api", reason="the cross-check needs statsmodels")
    x, y, f, weights = sample
    labelled = weights > 0
    theirs = api.Logit(y[labelled], x[labelled]).fit(disp=0, cov_type="HC0")
    ours = estimate(x, y, f, weights, "logit", 0)
    assert ours.coefficients == near(theirs.params, 1e-6) and errors(ours) == near(theirs.bse, 1e-6)
