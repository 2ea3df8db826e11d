"""chrF, a score of translations: do they have the same runs of characters as the right ones? (Popović 2015, 2017)"""

from collections import Counter
from collections.abc import Iterable

LONGEST = 6  # characters of a run
BETA = 2  # recall counts so many times as much as precision


def chrf(found: Iterable[str], gold: Iterable[str]) -> float:
    """chrF2 of all translations together, from 0 to 100, as sacrebleu computes it: spaces do not count.

    Precision and recall are those of all runs of a length, and then the mean over the lengths that occur. Runs that
    are longer than the right translation do not count.
    """
    totals = [[0, 0, 0] for _ in range(LONGEST)]  # for each length: runs found, right ones, both
    for pair in zip(found, gold, strict=True):
        ours, right = ("".join(text.split()) for text in pair)
        for size, total in enumerate(totals, start=1):
            a, b = runs(ours, size), runs(right, size)
            for place, count in enumerate((a.total() if b else 0, b.total(), (a & b).total())):
                total[place] += count
    shares = [(both / ours, both / right) for ours, right, both in totals if ours and right]
    if not shares:
        return 0.0
    precision, recall = (sum(column) / len(shares) for column in zip(*shares))
    if precision + recall == 0:
        return 0.0
    return 100 * (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)


def runs(text: str, size: int) -> Counter:
    """How often each run of `size` characters stands in a text."""
    return Counter(text[at : at + size] for at in range(len(text) - size + 1))
