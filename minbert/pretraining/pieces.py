"""Words -> the pieces of a unigram model and their scores (Kudo 2018, section 3.2), for SentencePiece's .model.

Kudo begins with many candidates. Again and again, each piece's probability becomes how often it is used, and the pieces
that the words can best do without are left out. Here, the candidates are what byte-pair encoding would join, and a use
is one in the likeliest cut of a word, not an expectation over all cuts.
"""

import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import islice

from minbert.errors import UserError
from minbert.pretraining.vocabulary import common_words, merged_pairs
from minbert.tokenizers.unigram_files import CONTROL, NORMAL, SPACE, UNKNOWN, Model
from minbert.tokenizers.unigram_write import with_data

FIRST = ("<unk>", "<s>", "</s>")  # the pieces that are no text, as SentencePiece puts them
CANDIDATES = 4  # for each piece that is wanted
SHRINK = 0.7  # the share of the pieces that is left after a round
LONGEST = 16  # characters of a piece, as in SentencePiece
WORDS = 4000  # the commonest ones, of equally common ones any, are enough to tell good pieces by
# No piece joins letters, digits and other signs. SentencePiece keeps them apart too.
RUN = re.compile(rf"{SPACE}?(?:[^\W\d]+|\d+|[^\w{SPACE}]+)|{SPACE}")


def learn_pieces(counts: Mapping[str, int], size: int, watch: Callable[[int], object] = lambda pieces: None) -> Model:
    """A unigram model of at most `size` pieces: <unk>, <s> and </s>, then the others, the likeliest first.

    counts  {word: number of times it occurs}, in any order
    watch   called with the number of pieces that are left after each round
    Each character of the words is a piece, and each other piece is used. Raises UserError if there is no room for the
    characters.
    """
    runs, room = split(counts), size - len(FIRST)
    letters = {char for run in runs for char in run}
    if len(letters) > room:
        raise UserError(f"the texts have {len(letters)} different characters, but there is room for {room} pieces")
    runs = dict(sorted(runs.items(), key=lambda pair: (-pair[1], zlib.crc32(pair[0].encode()), pair[0]))[:WORDS])
    joined = ("".join(pair) for pair in merged_pairs([(list(run), count) for run, count in runs.items()], str.__add__))
    joined = (piece for piece in joined if len(piece) <= LONGEST)
    pieces = letters.union(islice(joined, CANDIDATES * room))
    found = occurrences(runs, pieces)
    scores = log_probabilities(found, [piece for piece in pieces if found[piece] > 1 or piece in letters])
    while len(scores) > room:
        used = uses(runs, scores)
        scores = log_probabilities(used, scores)
        left = max(room, int(SHRINK * len(scores)))
        needed = {piece: loss(piece, used[piece], scores) for piece in scores.keys() - letters}
        best = sorted(needed, key=lambda piece: (-needed[piece], piece))
        scores = {piece: scores[piece] for piece in (*sorted(letters), *best[: left - len(letters)])}
        watch(left)
    used = uses(runs, scores)
    return make(log_probabilities(used, [piece for piece in scores if used[piece] or piece in letters]))


def split(counts):
    """{word: count} -> {run of letters, of digits or of other signs, the first of a word with a space: count}"""
    found = Counter()
    for word, count in common_words(counts, 1).items():
        for run in RUN.findall(SPACE + word):
            found[run] += count
    return found


def occurrences(runs, pieces):
    """How often each piece could be used, {piece: count}."""
    found = Counter()
    for run, count in runs.items():
        for begin in range(len(run)):
            for end in range(begin + 1, min(begin + LONGEST, len(run)) + 1):
                if run[begin:end] in pieces:
                    found[run[begin:end]] += count
    return found


def uses(runs, scores):
    """How often each piece stands in the likeliest cuts of the runs, {piece: count}."""
    found = Counter()
    for run, count in runs.items():
        for piece in cut(run, scores)[1]:
            found[piece] += count
    return found


def cut(run, scores, whole=True):
    """(score, pieces) of the likeliest cut of a run of characters, each of which is a piece, by Viterbi's algorithm.

    whole  False: the run may not be a piece itself
    """
    forbidden = None if whole else len(run)
    best = [(0.0, 0)]  # for each end: the score, and where the last piece begins
    for end in range(1, len(run) + 1):
        most = -math.inf, 0
        for begin in range(max(0, end - LONGEST), end):
            score = scores.get(run[begin:end])
            if score is not None and score + best[begin][0] > most[0] and end - begin != forbidden:
                most = score + best[begin][0], begin
        best.append(most)
    pieces, end = [], len(run)
    while end:
        begin = best[end][1]
        pieces.append(run[begin:end])
        end = begin
    return best[-1][0], pieces[::-1]


def loss(piece, count, scores):
    """By how much all words become less likely if a piece of two or more characters is left out."""
    return count * (scores[piece] - cut(piece, scores, whole=False)[0])


def log_probabilities(used, pieces):
    """{piece: score}; a piece that is not used counts as half a use."""
    total = sum(max(used[piece], 0.5) for piece in pieces)
    return {piece: math.log(max(used[piece], 0.5) / total) for piece in pieces}


def make(scores):
    """{piece: score} -> Model"""
    pieces = sorted(scores, key=lambda piece: (-scores[piece], piece))
    types = [UNKNOWN, *[CONTROL] * (len(FIRST) - 1), *[NORMAL] * len(pieces)]
    return with_data(Model([*FIRST, *pieces], [0.0] * len(FIRST) + [scores[piece] for piece in pieces], types))
