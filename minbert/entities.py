"""Tags of words -> entities, and how many of them are right. Two readings of a tag that does not fit the one before.

    tags      B-PER I-PER O I-LOC
    entities  ("PER", 0, 1), ("LOC", 3, 3)      as CoNLL's own script reads them: I-LOC begins an entity by itself
              ("PER", 0, 1)                     strictly: without a B- before it, I-LOC is nothing

A tag is O, or a letter and a kind: B- begins an entity, I- goes on, E- or L- ends one, S- or U- is one by itself.
"""

import re
from collections import Counter
from collections.abc import Sequence

from minbert.errors import UserError

TAG = re.compile(r"O|[BIESLU](?:-(.+))?")
ALIKE = {"L": "E", "U": "S"}  # BILOU's letters: those of IOBES
SCHEMES = {"IOB1": "BIO", "IOB2": "BIO", "IOBES": "BIOES"}  # the letters of each
NO_KIND = "_"  # of a tag that is a letter alone, where all entities are of one kind
ALL = "micro avg"


def parts(tag: str) -> tuple[str, str]:
    """("B", "PER") of B-PER, ("O", "") of O. Raises UserError for what is no tag."""
    found = TAG.fullmatch(tag)
    if not found:
        raise UserError(f"{tag!r:.60} is no tag: O, or B-, I-, E- or S- and a kind")
    letter = ALIKE.get(tag[0], tag[0])
    return letter, "" if letter == "O" else found[1] or NO_KIND


def entities(tags: Sequence[str], scheme: str | None = None) -> list[tuple[str, int, int]]:
    """The entities of one sentence, in order: (kind, number of its first word, number of its last).

    tags    of each word
    scheme  None: as CoNLL's script conlleval reads them, whatever the scheme; "IOB1", "IOB2" or "IOBES": strictly.
            In IOB1, B- only parts an entity from one of its kind right before it.

    In both readings the kind of B-A-B is A-B. E- followed by B- are two entities, as in seqeval; conlleval joins them.
    Raises UserError for what is no tag, and strictly for a letter that the scheme does not have.
    """
    pairs = [parts(tag) for tag in tags]
    if scheme is None:
        return runs(pairs)
    for tag, (letter, _) in zip(tags, pairs):
        if letter not in SCHEMES[scheme]:
            raise UserError(f"{tag!r:.60} is no tag of {scheme}")
    return strict_runs(pairs, scheme)


def runs(pairs) -> list[tuple[str, int, int]]:
    """conlleval's reading: an entity goes on from B or I to I or E of the same kind; anything else but O begins one."""
    found, before = [], ("O", "")
    for at, (letter, kind) in enumerate(pairs):
        if letter in ("I", "E") and before[0] in ("B", "I") and before[1] == kind:
            found[-1] = kind, found[-1][1], at
        elif letter != "O":
            found.append((kind, at, at))
        before = letter, kind
    return found


def strict_runs(pairs, scheme) -> list[tuple[str, int, int]]:
    """The strict reading, as seqeval has it: what does not begin and end as the scheme says is no entity."""
    found, at, before = [], 0, ("O", "")
    while at < len(pairs):
        first, (letter, kind) = at, pairs[at]
        at += 1
        if begins(scheme, before, letter, kind):
            inside = ("I", "E") if scheme == "IOBES" else ("I",)
            while at < len(pairs) and pairs[at - 1][0] in ("B", "I") and pairs[at] in [(each, kind) for each in inside]:
                at += 1
            if ends(scheme, pairs[at - 1][0], kind, pairs[at] if at < len(pairs) else ("O", "")):
                found.append((kind, first, at - 1))
        before = pairs[at - 1]
    return found


def begins(scheme, before, letter, kind):
    """Whether a tag begins an entity strictly. before: (letter, kind) of the tag before it"""
    if scheme != "IOB1":
        return letter in ("B", "S")
    beside = before[0] != "O" and before[1] == kind
    return beside if letter == "B" else letter == "I" and not (before[0] == "I" and beside)


def ends(scheme, last, kind, after):
    """Whether an entity whose last letter is `last` ends strictly in front of `after`, (letter, kind)."""
    if scheme == "IOBES":
        return last in ("E", "S")
    return not (scheme == "IOB1" and last == "B" and after[0] == "B" and after[1] != kind)


def strict_scheme(sentences: Sequence[Sequence[str]]) -> str:
    """The scheme by which tags are read strictly: "IOBES" where a letter of it occurs, or else "IOB2"."""
    letters = {parts(tag)[0] for tags in sentences for tag in tags}
    return "IOBES" if letters & {"E", "S"} else "IOB2"


def entity_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], scheme: str | None = None
) -> dict[str, dict[str, float]]:
    """{kind: {"precision", "recall", "f1-score", "support"}}, kinds in alphabetical order, then ALL kinds together.

    gold, predicted  the tags of each sentence; an entity is right if its kind and both of its ends are
    scheme           as in `entities`
    support          how many gold entities there are
    returns          precision without predictions, and recall without gold entities, are 0
    Raises ValueError if sentences are missing on one side, or have other lengths.
    """
    if [len(tags) for tags in gold] != [len(tags) for tags in predicted]:
        raise ValueError("gold and predicted sentences differ in their number or in their words")
    right, golds, guesses = Counter(), Counter(), Counter()
    for gold_tags, predicted_tags in zip(gold, predicted):
        one, two = entities(gold_tags, scheme), entities(predicted_tags, scheme)
        golds.update(kind for kind, _, _ in one)
        guesses.update(kind for kind, _, _ in two)
        right.update(kind for kind, _, _ in {*one} & {*two})
    table = {kind: rates(right[kind], guesses[kind], golds[kind]) for kind in sorted({*golds, *guesses})}
    return table | {ALL: rates(right.total(), guesses.total(), golds.total())}


def rates(right, guesses, golds):
    return {
        "precision": right / guesses if guesses else 0.0,
        "recall": right / golds if golds else 0.0,
        "f1-score": 2 * right / (guesses + golds) if guesses + golds else 0.0,
        "support": golds,
    }
