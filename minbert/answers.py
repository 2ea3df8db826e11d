"""How good answers to questions are: exact match and F1, as the evaluation of SQuAD counts them.

P. Rajpurkar et al. (2016), SQuAD: 100,000+ questions for machine comprehension of text, EMNLP, 2383-2392;
P. Rajpurkar, R. Jia, P. Liang (2018), Know what you don't know: unanswerable questions for SQuAD, ACL, 784-789.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

NO_PUNCTUATION = str.maketrans("", "", string.punctuation)  # ASCII's alone: “” and – stay


def plain(answer: str) -> str:
    """What is compared: lower case, no ASCII punctuation, no a, an and the as whole words, single spaces."""
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", answer.lower().translate(NO_PUNCTUATION)).split())


def overlap(gold: str, predicted: str, version: int = 2) -> float:
    """The F1 of the words that two answers share, in [0, 1].

    version  of SQuAD's evaluation: in 2, an answer that is empty once it is `plain` equals another such, and only that;
             in 1 it shares nothing
    """
    one, two = plain(gold).split(), plain(predicted).split()
    if version == 2 and not (one and two):
        return float(one == two)
    same = (Counter(one) & Counter(two)).total()
    return 2 * same / (len(one) + len(two)) if same else 0.0


def squad(golds: Sequence[str], predicted: str, version: int = 2) -> tuple[float, float]:
    """(exact match, F1) of an answer, each the best over all gold answers. No gold answer at all: "" is right."""
    golds = list(golds) or [""]
    exact = max(float(plain(gold) == plain(predicted)) for gold in golds)
    return exact, max(overlap(gold, predicted, version) for gold in golds)


def squad_scores(golds: Sequence[Sequence[str]], predicted: Sequence[str], version: int = 2) -> dict[str, float]:
    """{"exact", "f1"}, the means of `squad` over all questions. Raises ValueError if the lengths differ or are 0."""
    if len(golds) != len(predicted) or not len(golds):
        raise ValueError(f"{len(golds)} questions and {len(predicted)} answers are no pairs")
    exact, f1 = zip(*(squad(gold, answer, version) for gold, answer in zip(golds, predicted)))
    return {"exact": sum(exact) / len(exact), "f1": sum(f1) / len(f1)}
