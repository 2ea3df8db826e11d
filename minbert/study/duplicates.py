"""Texts -> groups: copies and near copies of a text stay together, so that no fold tests what another has learnt.

Exact copies are the same after `normalise`. Near copies share four fifths of their pieces: runs of eight characters,
or, in texts of more than LONG words, of five words. MinHash finds who may be near, and the pieces themselves decide.

A. Z. Broder (1997), On the resemblance and containment of documents, Compression and Complexity of Sequences, 21-29.
"""

import re
from collections import Counter, defaultdict
from zlib import crc32

import numpy as np

from minbert.files import checks
from minbert.files.mentions import replace_mentions
from minbert.study.data import first_text

LONG = 50  # words
CHARACTERS, WORDS = 8, 5  # in a piece
NEAR = 0.8  # shared pieces over all pieces: Jaccard's coefficient
HASHES, BANDS = 128, 32  # two texts that share NEAR of their pieces meet in a band with a probability of 1 - 5e-8
PRIME = 2**31 - 1


def groups(texts: list, authors: list | None = None) -> np.ndarray:
    """The group of each text: int64 [N], from 0 in the order of their first texts.

    texts    strings, or pairs; pairs are near if their first texts are, whatever the second: a target, say
    authors  texts of one author are one group, too; "" is nobody

    Groups join: if one text is a copy of two, all three are one group.
    """
    parent = list(range(len(texts)))

    def find(at):
        while parent[at] != at:
            parent[at] = parent[parent[at]]
            at = parent[at]
        return at

    def join(first, second):
        low, high = sorted((find(first), find(second)))
        parent[high] = low

    seen = {}
    for at, text in enumerate(texts):
        first = seen.setdefault(exact(text), at)
        join(first, at)
        if authors is not None and authors[at]:
            join(seen.setdefault(("author", authors[at]), at), at)
    alone = {}  # of texts that are the same but for links and names, one is compared with the others
    for at, text in enumerate(texts):
        join(alone.setdefault(normalise(first_text(text)), at), at)
    near(list(alone), list(alone.values()), find, join)
    _, first, number = np.unique([find(at) for at in range(len(texts))], return_index=True, return_inverse=True)
    return first.argsort().argsort()[number]


def exact(text: str | tuple[str, str]) -> tuple:
    """What copies have in common; a pair is the same in either order."""
    return tuple(sorted(map(checks.normalise, (text,) if isinstance(text, str) else text)))


def normalise(text: str) -> str:
    """A tweet without what its retweets change: names, links, capital letters, spaces, RT @name: before it."""
    text = checks.normalise(replace_mentions(" ".join(text.split())))
    return re.sub(r"^(rt @user:? )+", "", re.sub(r"@user\S*", "@user", text))


def pieces(text: str) -> set[int]:
    """The hashes of the pieces of a normalised text; of a text shorter than a piece, the hash of all of it."""
    words = text.split()
    if len(words) > LONG:
        runs = (" ".join(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1))
    else:
        runs = (text[at : at + CHARACTERS] for at in range(max(1, len(text) - CHARACTERS + 1)))
    return {crc32(run.encode("utf-8", "surrogatepass")) for run in runs}


def near(texts: list[str], rows: list[int], find, join) -> None:
    """Join the rows of normalised texts that are near. find, join: of the groups, as in `groups`"""
    sets = list(map(pieces, texts))
    buckets = defaultdict(list)
    for at, signature in enumerate(map(min_hashes, sets)):
        for band, key in enumerate(signature.reshape(BANDS, -1)):
            buckets[band, key.tobytes()].append(at)
    for bucket in buckets.values():
        for place, second in enumerate(bucket):
            for first in bucket[:place]:
                if find(rows[first]) != find(rows[second]) and jaccard(sets[first], sets[second]) >= NEAR:
                    join(rows[first], rows[second])


def min_hashes(numbers: set[int]) -> np.ndarray:
    """The least of each of HASHES random functions of the numbers: uint64 [HASHES]"""
    numbers = np.fromiter(numbers, np.uint64, len(numbers)) % PRIME
    return ((SLOPES[:, None] * numbers + SHIFTS[:, None]) % PRIME).min(axis=1)  # [HASHES, pieces] -> [HASHES]


SLOPES, SHIFTS = np.random.default_rng(0).integers(1, PRIME, (2, HASHES), dtype=np.uint64)


def jaccard(first: set, second: set) -> float:
    """Shared elements over all elements."""
    shared = len(first & second)
    return shared / (len(first) + len(second) - shared)


def sizes(found: np.ndarray) -> Counter:
    """How many texts each group of more than one text has."""
    return Counter({group: count for group, count in Counter(found.tolist()).items() if count > 1})
