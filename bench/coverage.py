"""Do the intervals of minbert study hold the truth as often as they say, and do its tests reject as seldom?

    python -m bench.coverage                          (make study-check) everything, two seeds of 1,000 samples each
    python -m bench.coverage infer --repetitions 200  a part of it, for a quick look; nothing is written

Each sample is drawn from a truth that is known. An interval should hold it in 95 % of the samples, and a test of two
equally good systems should reject in 5 % of them. Prints tables; each part with all repetitions goes into
bench/results/coverage.json. Exit status 1 if what is offered is off by more than 1.5 points and twice the error of the
simulation; a test may be too careful.
"""

import argparse
import json
import math
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from minbert.errors import UserError
from minbert.metrics import wilson
from minbert.runs.columns import table
from minbert.study import corrected, labels, next, statistics
from minbert.study.quantify import rogan_gladen

RESULTS = Path(__file__).parent / "results" / "coverage.json"
SEEDS, REPETITIONS = (1, 2), 1000
LABELS = (100, 300, 1000)
FEW = 20  # texts of a class: the interval of its F1 may then be too wide, but not too narrow
WITHIN = 0.015
RATE = 0.05


def logistic(x):
    return 1 / (1 + np.exp(-x))


# Predictions for `infer`: x, y and f of N texts. P(y = 1) = logistic(start + slope x).


def uneven(rng, x, y):
    """A class as the prediction; the classifier misses more, and raises fewer false alarms, where x is large."""
    return (rng.random(len(x)) < np.where(y == 1, logistic(1.8 - 0.6 * x), logistic(-2.2 - 0.4 * x))) * 1.0


def good(rng, x, y):
    """Probabilities of .95 and .05; 7 % of the texts are on the wrong side."""
    return np.where(rng.random(len(x)) < 0.93, y, 1 - y) * 0.9 + 0.05


def weak(rng, x, y):
    """Probabilities that hardly know the class."""
    return np.clip(0.35 + 0.1 * y + rng.normal(0, 0.2, len(x)), 0, 1)


DESIGNS = {  # name: how predictions are made, start, slope
    "uneven": (uneven, -1.0, 1.0),
    "good": (good, -1.0, 1.0),
    "weak": (weak, -1.0, 1.0),
    "rare": (good, -2.4, 0.8),
}


def infer(seed, repetitions):
    """Prevalence, linear and logistic slope: from the labels alone, corrected with lambda 1, corrected and tuned."""
    for name, (predict, start, slope) in DESIGNS.items():
        many = np.random.default_rng(0).normal(size=2_000_000)
        chance = logistic(start + slope * many)
        truths = {"prevalence": chance.mean(), "lm slope": np.cov(many, chance)[0, 1], "logit slope": slope}
        for n in LABELS:
            rng, rows = np.random.default_rng((seed, n)), 3 * n if n > 500 else 10 * n
            for _ in range(repetitions):
                x = rng.normal(size=rows)
                y = (rng.random(rows) < logistic(start + slope * x)) * 1.0
                f = predict(rng, x, y)
                weights = np.where(rng.permutation(rows) < n, rows / n, 0.0)
                both, one = np.column_stack([np.ones(rows), x]), np.ones((rows, 1))
                for what, columns, family in (
                    ("prevalence", one, "lm"),
                    ("lm slope", both, "lm"),
                    ("logit slope", both, "logit"),
                ):
                    ways = {"labels alone": 0.0, "tuned": None} | ({"lambda 1": 1.0} if family == "logit" else {})
                    for way, lam in ways.items():
                        yield (name, what, way, n), *fitted(columns, y, f, weights, family, lam, truths[what])


def fitted(columns, y, f, weights, family, lam, truth, groups=None):
    """(whether the interval of the last coefficient holds the truth, or None without an answer; its error)"""
    try:
        fit = corrected.estimate(columns, y, f, weights, family, lam, groups)
    except UserError:
        return None, None
    low, high = fit.intervals()[-1]
    return low <= truth <= high, fit.coefficients[-1] - truth


def designs(seed, repetitions):
    """Unequal probabilities of being drawn; authors with texts and mistakes of their own; some 5 labels of a class."""
    rng, ones = np.random.default_rng((seed, 5)), np.ones((1000, 1))
    for _ in range(repetitions):
        y = (rng.random(1000) < 0.05) * 1.0
        weights = np.where(rng.permutation(1000) < 100, 10.0, 0.0)
        for way, lam in (("labels alone, warned", 0.0), ("tuned, warned", None)):
            yield ("few", "prevalence", way, 100), *fitted(ones, y, good(rng, y, y), weights, "lm", lam, 0.05)
    for n in LABELS:
        rng, rows = np.random.default_rng((seed, n, 1)), 5 * n
        for _ in range(repetitions):
            x = rng.normal(size=rows)
            y = (rng.random(rows) < logistic(-1 + x)) * 1.0
            f, pi = uneven(rng, x, y), np.where(x > 0, 0.3, 0.1)
            weights = np.where(rng.random(rows) < pi, 1 / pi, 0.0)
            both = np.column_stack([np.ones(rows), x])
            yield ("unequal", "logit slope", "tuned", n), *fitted(both, y, f, weights, "logit", None, 1.0)
            authors = np.repeat(np.arange(rows // 5), 5)
            of_author = rng.normal(size=rows // 5)[authors]
            x = of_author + rng.normal(0, 0.5, rows)
            residual = 0.5 * rng.normal(size=rows // 5)[authors] + rng.normal(0, 0.5, rows)
            y = 0.3 * x + residual
            f = 0.7 * y + 0.3 * rng.normal(size=rows // 5)[authors] + rng.normal(0, 0.3, rows)
            weights = np.where(rng.permutation(rows) < n, rows / n, 0.0)
            both = np.column_stack([np.ones(rows), x])
            for way, lam in (("labels alone", 0.0), ("tuned", None)):
                yield ("authors", "lm slope", way, n), *fitted(both, y, f, weights, "lm", lam, 0.3, authors)


def shares(seed, repetitions):
    """Wilson's interval, and a prevalence from sensitivity and specificity."""
    for n in LABELS:
        rng = np.random.default_rng((seed, n))
        for _ in range(repetitions):
            for share in (0.1, 0.3, 0.8):
                low, high = wilson(rng.binomial(n, share), n)
                yield ("wilson", f"share {share}", "", n), low <= share <= high, None
            share, positive = 0.3, min(max(1, rng.binomial(n, 0.3)), n - 1)
            hits, alarms = rng.binomial(positive, 0.75), rng.binomial(n - positive, 0.12)
            predicted = rng.binomial(10 * n, share * 0.75 + (1 - share) * 0.12) / (10 * n)
            found = rogan_gladen(
                predicted, hits / positive, 1 - alarms / (n - positive), 10 * n, positive, n - positive
            )
            yield ("rogan-gladen", f"share {share}", "", n), found.low <= share <= found.high, found.raw - share


def bootstrap(seed, repetitions):
    """BCa of macro F1, of F1, of a difference of two systems, of macro F1 over authors, and of Cohen's kappa."""
    odds = np.array([[0.48, 0.12, 0.05], [0.06, 0.14, 0.03], [0.02, 0.02, 0.08]])  # gold, predicted
    macro, third = statistics.f1_of(3), statistics.f1_of(3, positive=2)
    two = np.array([[0.5, 0.1], [0.08, 0.32]])  # gold, predicted by the first; the second says the same in .85
    f1 = statistics.f1_of(2, positive=1)

    def difference(sums):
        return f1(sums[..., :4]) - f1(sums[..., 4:])

    pairs = np.array([(gold, one, other) for gold in (0, 1) for one in (0, 1) for other in (0, 1)])
    chances = np.array([two[gold, one] * (0.85 if one == other else 0.15) for gold, one, other in pairs])
    (_, yes), (no, both) = two
    expected = (two[0].sum() * (1 - yes - both)) + (1 - two[0].sum()) * (yes + both)
    kappa = (1 - yes - no - expected) / (1 - expected)
    kinds = np.hstack([statistics.confusion_counts(pairs[:, 0], pairs[:, at], 2) for at in (1, 2)])
    for n in LABELS:
        rng = np.random.default_rng((seed, n, 2))
        for at in range(repetitions):
            cells = np.eye(9)[rng.choice(9, n, p=odds.ravel())]
            for what, statistic in (("macro F1", macro), ("F1", third)):
                truth, found = statistic(odds.ravel()), statistics.bca(cells, statistic, seed=at)
                how = "few" if what == "F1" and n * odds[2].sum() < FEW else ""
                yield ("bca", what, how, n), found.low <= truth <= found.high, found.estimate - truth
            found = statistics.bca(kinds[rng.choice(8, n, p=chances)], difference, seed=at)
            truth = difference(chances @ kinds)
            yield ("bca", "difference of F1", "", n), found.low <= truth <= found.high, found.estimate - truth
            raters = pairs[rng.choice(8, n, p=chances)]
            found = labels.cohen_kappa(raters[:, 0], raters[:, 1], seed=at)
            yield ("bca", "kappa", "", n), found.low <= kappa <= found.high, found.estimate - kappa
            if n < 1000:  # 5 texts by each of n authors, alike in a share of them
                same = rng.random(5 * n) < 0.5
                own = np.repeat(rng.choice(9, n, p=odds.ravel()), 5)
                texts = np.where(same, own, rng.choice(9, 5 * n, p=odds.ravel()))
                grouped = np.eye(9)[texts].reshape(n, 5, 9).sum(axis=1)
                found = statistics.bca(grouped, macro, seed=at)
                yield ("bca", "macro F1, authors", "", n), found.low <= macro(odds.ravel()) <= found.high, None


def curves(seed, repetitions):
    """The learning curve .1 + 1.2 n^-.5 in 10 folds of 6 sizes: its interval at the largest size and at four times."""
    sizes = np.array([100, 200, 400, 800, 1200, 1600])
    rng = np.random.default_rng((seed, 3))
    for at in range(repetitions):
        folds = rng.normal(0, 0.015, (10, 1))
        errors = 0.1 + 1.2 * sizes**-0.5 + folds + rng.normal(0, 0.02, (10, 6))
        try:
            curve = next.learning_curve(sizes, errors, draws=200, seed=at)
        except UserError:
            continue
        for n in (1600, 6400):
            low, high = curve.interval(n)
            yield ("learning curve", "error rate", "", n), low <= 0.1 + 1.2 * n**-0.5 <= high, None


def discriminant(x, y, other):
    """Fisher's linear discriminant of two classes, a little ridged: classes of other texts."""
    means = [x[y == value].mean(axis=0) for value in (0, 1)]
    inner = x - np.where((y == 1)[:, None], means[1], means[0])
    weights = np.linalg.solve(inner.T @ inner / len(x) + 0.01 * np.eye(x.shape[1]), means[1] - means[0])
    return (other - (means[0] + means[1]) / 2) @ weights > 0


def tests(seed, repetitions):
    """Two equally good systems, one on each half of exchangeable columns: how often is p under .05?"""
    rng, n = np.random.default_rng((seed, 4)), 200
    y = np.arange(n) % 2
    halves = slice(0, 10), slice(10, 20)

    def right(x, train, other, truth):
        return [discriminant(x[train, half], y[train], other[:, half]) == truth for half in halves]

    for _ in range(repetitions):
        x = rng.normal(size=(n, 20))
        x[y == 1, 0:3] += 0.5
        x[y == 1, 10:13] += 0.5
        differences = []
        for _ in range(10):
            for test in rng.permutation(n).reshape(5, -1):
                one, two = right(x, np.setdiff1d(np.arange(n), test), x[test], y[test])
                differences.append(one.mean() - two.mean())
        for repeats in (1, 2, 10):
            p = statistics.corrected_t(differences[: 5 * repeats], 1 / 4).p
            yield ("corrected t", f"{repeats} x 5 folds", "offered", n), p < RATE, None
        plain = np.array(differences)
        t = statistics.corrected_t(plain, 1e-9).p
        yield ("plain t", "10 x 5 folds", "not offered", n), t < RATE, None
        pairs = []
        for _ in range(5):
            first, second = rng.permutation(n).reshape(2, -1)
            for train, test in ((first, second), (second, first)):
                one, two = right(x, train, x[test], y[test])
                pairs.append(one.mean() - two.mean())
        yield ("5 x 2 F", "", "not offered", n), statistics.five_by_two(np.reshape(pairs, (5, 2))).p < RATE, None
        yield ("corrected t", "5 x 2 folds", "offered", n), statistics.corrected_t(pairs, 1.0).p < RATE, None
        by_chance = statistics.mcnemar(*(rng.random((2, 400)) < 0.8))  # both are right in .8 of the texts
        for name in ("exact", "mid_p"):
            yield ("McNemar", name, "offered", 400), by_chance[name] < RATE, None
        family = [statistics.mcnemar(*(rng.random((2, 400)) < 0.8))["mid_p"] for _ in range(6)]
        yield ("Holm", "any of 6", "offered", 400), min(statistics.holm(family)) < RATE, None


PARTS = {"tests": tests, "shares": shares, "bootstrap": bootstrap, "infer": infer, "designs": designs, "curves": curves}


def collect(part, seeds, repetitions):
    """[{"case", "seed": [share, ...], "share", "samples", "sd", "failed"}, ...] of all cases of a part."""
    found = defaultdict(lambda: [[] for _ in seeds])
    for at, seed in enumerate(seeds):
        for key, hit, error in PARTS[part](seed, repetitions):
            found[key][at].append((hit, error))
    rows = []
    for key, samples in found.items():
        hits = [[hit for hit, _ in of_seed if hit is not None] for of_seed in samples]
        every = [hit for of_seed in hits for hit in of_seed]
        errors = [error for of_seed in samples for _, error in of_seed if error is not None]
        rows.append(
            {
                "case": list(key),
                "seeds": [round(float(np.mean(of_seed)), 4) for of_seed in hits],
                "share": round(float(np.mean(every)), 4),
                "samples": len(every),
                "failed": sum(map(len, samples)) - len(every),
                "bias": round(float(np.mean(errors)), 5) if errors else None,
                "sd": round(float(np.std(errors)), 5) if errors else None,
            }
        )
    return rows


def off(part, row):
    """Whether what is offered without a warning is off by more than 1.5 points and twice the error of the simulation
    itself; a test may reject too seldom, and an interval from few texts may be too wide."""
    within = WITHIN + 2 * math.sqrt(RATE * (1 - RATE) / row["samples"])
    if part == "tests":
        return row["case"][2] == "offered" and row["share"] > RATE + within
    if row["case"][2] == "few":
        return row["share"] < 1 - RATE - within
    return row["case"][2] in ("", "labels alone", "tuned") and abs(row["share"] - 1 + RATE) > within


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, metavar="N", help="default: %(default)s")
    args = parser.parse_args(arguments)
    wrong = 0
    for part in args.parts or PARTS:
        rows = collect(part, SEEDS, args.repetitions)
        print(f"\n{part}: {PARTS[part].__doc__}")
        cells = [[*map(str, row["case"]), *(f"{row[name]:.3f}" for name in ("share",)), row["sd"], str(row["failed"])]
                 for row in rows]  # fmt: skip
        marks = ["off" if off(part, row) else "" for row in rows]
        wrong += sum(map(bool, marks))
        header = ["method", "what", "how", "n", "rejects" if part == "tests" else "covers", "SD", "failed", ""]
        table(header, [[*line, mark] for line, mark in zip(cells, marks)])
        sys.stdout.flush()
        if args.repetitions == REPETITIONS:
            known = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
            record = known | {"repetitions": REPETITIONS, "seeds": list(SEEDS), part: rows}
            RESULTS.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
