"""The ladder of systems, from a word list to a fine-tuned BERT. A system has three names, so one of your own fits in:

    fit(texts, labels, groups, seed)   learn from a training part alone, and return self
    predict_proba(texts)               the probability of each class, [N, C]
    settings                           the dict of its settings

and, for a table: `space`, {setting: the values to try, the default first}; `random`, whether a seed changes it; and
`with_settings(settings)`, a new one that has learnt nothing. Texts are strings, or pairs. scikit-learn fits.
"""

import itertools
import random
from dataclasses import dataclass

from minbert.errors import UserError
from minbert.study.classic import FEATURES, LEARNERS, Classic
from minbert.study.lexicon import Lexicon, vader, word_list
from minbert.wording import nearest

MOST_SETTINGS = 20
LADDER = (
    "vader",
    *("nb+count", "svm+tfidf", "logreg+tfidf", "rf+count", "rf+tfidf", "rf+vectors"),
    *("xgb+count", "xgb+tfidf", "xgb+vectors", "bert:frozen", "bert:flexible"),
)
TABLE_S2 = ("rf+count", "rf+tfidf", "rf+vectors", "xgb+count", "xgb+tfidf", "xgb+vectors", "bert:flexible")


@dataclass(frozen=True)
class Kit:
    """What systems are made with."""

    classes: int
    vectors: object = None  # texts -> float [N, D], for `+vectors`
    bert: object = None  # (mode) -> a system, for `bert:...`
    cuts: tuple | None = None  # of a word list's scores; None: tuned
    trees: int = 200


def make(name: str, kit: Kit):
    """The system of this name. Raises UserError if there is none, or if it lacks a package or a file."""
    check_name(name)
    kind, _, rest = name.partition(":")
    learner, _, features = name.partition("+")
    if name == "vader":
        return Lexicon(vader(), kit.classes, kit.cuts)
    if kind == "words":
        return Lexicon(word_list(rest), kit.classes, kit.cuts)
    if kind == "bert":
        return kit.bert(rest)
    return Classic(LEARNERS[learner], features, kit)


def check_name(name: str) -> None:
    """Raise UserError, with those that there are, if there is no system of this name."""
    kind, _, rest = name.partition(":")
    learner, _, features = name.partition("+")
    if name == "vader" or (kind == "words" and rest) or name in ("bert:frozen", "bert:flexible"):
        return
    if learner in LEARNERS and features in FEATURES and (learner, features) != ("nb", "vectors"):
        return
    learners = f"one of {', '.join(LEARNERS)}, then one of +{', +'.join(FEATURES)} (but not nb+vectors)"
    others = f"vader, words:FILE, bert:frozen, bert:flexible, and {learners}"
    raise UserError(f"there is no system {name}; there are {others}{nearest(name, LADDER)}")


def defaults(system) -> dict:
    """The settings of a system that is not tuned."""
    return {name: values[0] for name, values in system.space.items()}


def choices(system, count: int, seed: int) -> list[dict]:
    """Up to `count` settings to try, the defaults first, the others drawn without replacement."""
    every = [dict(zip(system.space, values)) for values in itertools.product(*system.space.values())]
    count = min(count, getattr(system, "most_settings", MOST_SETTINGS))
    return every[:1] + random.Random(seed).sample(every[1:], max(0, min(count, len(every)) - 1))
