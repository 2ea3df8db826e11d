"""Systems that count words of a list: each text gets a score, and two cut-points make it a class.

The words are not learnt. What a training part decides is where the cuts are, unless they are given, and which class a
text below, between or above them has: the one that is most over-represented there. So the list needs to know nothing of
the classes, and any number of them works.

C. Hutto and E. Gilbert (2014), VADER: a parsimonious rule-based model for sentiment analysis of social media text,
ICWSM, 216-225.
"""

import itertools
import math
import re
from pathlib import Path

import numpy as np

from minbert.errors import UserError
from minbert.study.data import as_one

PLACES = 19  # quantiles of the training scores that may be cuts
WORD = re.compile(r"[\w'@#-]+")


def vader():
    """A function: text -> VADER's compound score in [-1, 1]."""
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError:
        raise UserError("vader needs a package: pip install vaderSentiment") from None
    analyser = SentimentIntensityAnalyzer()
    return lambda text: analyser.polarity_scores(text)["compound"]


def word_list(path: str):
    """A function: text -> the mean value of the words in a list; 0 for a text with none.

    The file has a word, a tab and a number in each line; # begins a comment line.
    Raises UserError for anything else.
    """
    values = {}
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the word list cannot be read ({getattr(error, 'strerror', None) or error})") from None
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            word, _, value = line.partition("\t")
            try:
                values[word.strip().lower()] = float(value)
            except ValueError:
                raise UserError(f"{path}:{number}: must be a word, a tab and a number") from None
            if not math.isfinite(values[word.strip().lower()]):
                raise UserError(f"{path}:{number}: the number must be finite")
    if not values:
        raise UserError(f"{path}: the word list has no words")

    def score(text):
        found = [values[word] for word in WORD.findall(text.lower()) if word in values]
        return sum(found) / len(found) if found else 0.0

    return score


class Lexicon:
    """A score of a text, two cut-points, three classes of scores."""

    random, space = False, {}

    def __init__(self, score, classes: int, cuts: tuple | None = None):
        self.score, self.classes, self.given = score, classes, cuts
        self.settings = {}

    def with_settings(self, settings):
        return Lexicon(self.score, self.classes, self.given)

    def fit(self, texts, labels, groups, seed):
        scores = self.scores(texts)
        totals = np.maximum(1, np.bincount(labels, minlength=self.classes))
        best = -1.0
        for cuts in [self.given] if self.given else places(scores):
            counts = np.zeros((3, self.classes))
            np.add.at(counts, (bins(scores, cuts), labels), 1)
            shares = counts / totals
            reached = shares.max(axis=1).sum()  # the mean recall, times the number of classes
            if reached > best:
                best, self.cuts, self.shares = reached, cuts, shares
        self.settings = {"cuts": [float(cut) for cut in self.cuts]}
        return self

    def predict_proba(self, texts):
        """[N, C]: what a training part with equally many texts of each class says about such a score."""
        smooth = self.shares + 1e-3 * self.shares.sum(axis=0)
        return (smooth / smooth.sum(axis=1, keepdims=True))[bins(self.scores(texts), self.cuts)]

    def scores(self, texts):
        return np.array([self.score(as_one(text)) for text in texts])


def places(scores):
    """Pairs of cut-points, low <= high: quantiles of the scores."""
    found = np.unique(np.quantile(scores, np.linspace(0.05, 0.95, PLACES)))
    return itertools.combinations_with_replacement(found, 2)


def bins(scores, cuts):
    """0 at or below the low cut, 2 at or above the high one, else 1."""
    low, high = cuts
    return np.where(scores <= low, 0, np.where(scores >= high, 2, 1))
