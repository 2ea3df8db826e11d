"""What a score is worth: the scores of two simple systems that learn from the same training file.

    commonest  always the commonest class of the training file
    words      TF-IDF of words and pairs of words, with logistic regression; C is chosen on dev

The second one knows nothing of word order beyond pairs and was not pretrained. A model that is not better than it has
learnt no more from the texts than their words. scikit-learn computes it, so this file is imported only when needed.
"""

import warnings
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier

from minbert.metrics import Scores, difference_interval, score

GRID = (1, 3, 10, 30, 100)  # C, the inverse of the penalty
WITHOUT_DEV = 10
# Characters of all texts, times classes; 1.6 million characters of two classes took 1.4 s on one core.
LARGEST = 8_000_000


@dataclass
class Baseline:
    """A simple system, what it answers and how good that is."""

    name: str  # for people
    short: str  # the same in a sentence
    predicted: dict = field(default_factory=dict)  # {part: class ids}
    scores: dict = field(default_factory=dict)  # {part: metrics.Scores}
    skipped: str = ""  # why it was not computed
    settings: dict = field(default_factory=dict)

    def score(self, gold, predicted, names):
        """Score {part: class ids}."""
        for part, ids in predicted.items():
            self.predicted[part] = [int(id) for id in ids]
            self.scores[part] = score(gold[part], self.predicted[part], names)
        return self


@dataclass
class Verdict:
    """The difference in accuracy between a model and the better of the baselines, on one part."""

    part: str
    than: str  # the baseline's short name
    difference: float
    interval: tuple  # 95 %, by a paired bootstrap

    @property
    def word(self):
        """better, worse, or "" if 0 is within the interval."""
        low, high = self.interval
        return "better" if low > 0 else "worse" if high < 0 else ""


def baselines(texts: dict, gold: dict, names) -> dict[str, Baseline]:
    """Both systems, trained on texts["train"] and scored on the other parts: {"commonest": ..., "words": ...}.

    texts  {part: strings}, with "train" and at least one of "dev", "test"
    gold   {part: class ids} of the same parts
    names  of the classes, in the order of their ids
    """
    return {"commonest": commonest(gold, names), "words": words(texts, gold, names)}


def commonest(gold, names):
    """Of classes that are equally common, the first one."""
    counts = Counter(gold["train"])
    best = min(counts, key=lambda id: (-counts[id], id))
    predicted = {part: [best] * len(ids) for part, ids in gold.items() if part != "train"}
    always = f"always {names[best]}"
    found = Baseline(f"{always}, the commonest", always, settings={"class": names[best]})
    return found.score(gold, predicted, names)


def words(texts, gold, names, largest=None):
    """Baseline, with .skipped if the texts are larger than `largest`, by default LARGEST, or cannot be learnt from."""
    largest = LARGEST if largest is None else largest
    found = Baseline("TF-IDF, logistic regression", "TF-IDF")
    size = sum(len(text) for part in texts.values() for text in part)
    classes = len(set(gold["train"]))
    if classes < 2:
        found.skipped = "the training file has one class only"
    elif size * classes > largest:
        found.skipped = (
            f"it would take long: the texts have {size:,} characters; for {classes} classes it is computed up to "
            f"{largest // classes:,}"
        )
    if found.skipped:
        return found
    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    try:
        train = vectors.fit_transform(texts["train"])  # [N, words and pairs]
    except ValueError:  # scikit-learn's words have two letters or more
        found.skipped = "the training texts have no words of two letters or more"
        return found
    others = {part: vectors.transform(rows) for part, rows in texts.items() if part != "train"}
    best = None
    for c in GRID if "dev" in others else (WITHOUT_DEV,):
        model = LogisticRegression(C=c, solver="liblinear", max_iter=1000, random_state=0)
        model = model if classes == 2 else OneVsRestClassifier(model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # dev decides whether it is good enough
            model.fit(train, gold["train"])
        predicted = {part: model.predict(rows) for part, rows in others.items()}
        right = np.mean(predicted["dev"] == gold["dev"]) if "dev" in others else 0.0
        if best is None or right > best[0]:
            best = right, c, predicted
    _, c, predicted = best
    found.settings = {"C": c, "chosen_on_dev": "dev" in others, "features": len(vectors.vocabulary_)}
    return found.score(gold, predicted, names)


def judge(part: str, gold, predicted, rivals: dict[str, Baseline]) -> Verdict:
    """A model's predictions, class ids of one part, beside the better of the baselines there."""
    best = max((rival for rival in rivals.values() if part in rival.scores), key=lambda it: it.scores[part].accuracy)
    right, theirs = (np.equal(ids, gold) for ids in (predicted, best.predicted[part]))
    difference = float(right.mean() - theirs.mean())
    return Verdict(part, best.short, difference, difference_interval(right, theirs))


def record(rivals: dict[str, Baseline], verdict: Verdict | None) -> dict:
    """What run.json holds of it."""
    wanted = ("accuracy", "accuracy_interval", "macro_f1", "macro_f1_interval")

    def scores(found: Scores):
        return {name: getattr(found, name) for name in wanted}

    facts = {
        key: {"name": rival.name, **rival.settings}
        | ({"skipped": rival.skipped} if rival.skipped else {})
        | {"scores": {part: scores(found) for part, found in rival.scores.items()}}
        for key, rival in rivals.items()
    }
    return facts | ({"difference": vars(verdict)} if verdict else {})
