"""Byte-pair encoding (Sennrich et al. 2016): the symbols of a word, joined pair by pair, the pair learnt first first.

What the tokenizers of GPT-2, RoBERTa, GPT-1 and BERTweet share. They differ in what a word is, and in its first
symbols: bytes (byte_bpe.py) or characters (word_bpe.py).
"""

import heapq
import itertools
from collections.abc import Sequence

from minbert.added import AddedToken
from minbert.cache import Cache
from minbert.errors import UserError
from minbert.jsonfile import quoted
from minbert.tokenizers.framed import FramedTokenizer, Framing

LONG = 200  # symbols; `merge` reads a longer word too often


def merge(parts: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """The symbols of a word joined: again and again the pair of lowest rank, all its occurrences from the left.

    ranks  {(left, right): the number of pairs that were learnt before this one}
    """
    while len(parts) > 1:
        best = min(itertools.pairwise(parts), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        joined, at = [], 0
        while at < len(parts):
            two = tuple(parts[at : at + 2]) == best
            joined.append("".join(best) if two else parts[at])
            at += 1 + two
        parts = joined
    return parts


def merge_long(parts: list[str], ranks: dict[tuple[str, str], int]) -> list[str]:
    """As `merge`, for words of any length: the pairs wait in a heap, so that no pass over the whole word is needed."""
    parts, size = list(parts), len(parts)
    after, before = list(range(1, size + 1)), list(range(-1, size - 1))  # the neighbours of each part that is left
    heap = []

    def push(at):
        if at >= 0 and after[at] < size and (rank := ranks.get((parts[at], parts[after[at]]))) is not None:
            heapq.heappush(heap, (rank, at, parts[at], parts[after[at]]))

    for at in range(size):
        push(at)
    while heap:
        changed, best = [], heap[0][0]
        while heap and heap[0][0] == best:  # from the left; pairs that arise meanwhile wait
            _, at, left, right = heapq.heappop(heap)
            other = after[at]
            if parts[at] == left and other < size and parts[other] == right:
                parts[at], parts[other] = left + right, None
                after[at] = after[other]
                if after[at] < size:
                    before[after[at]] = at
                changed.append(at)
        for at in changed:
            if parts[at] is not None:
                push(before[at])
                push(at)
    return [part for part in parts if part is not None]


class BPETokenizer(FramedTokenizer):
    """What all tokenizers of this kind share.

    merges  the pairs of symbols, in the order in which they were learnt

    The other arguments are FramedTokenizer's. A subclass provides `letters(word)`, the first symbols of a word.
    """

    def __init__(
        self,
        vocab: dict[str, int],
        merges: Sequence[tuple[str, str]],
        framing: Framing | None = None,
        max_length: int | None = None,
        names: dict[str, str] | None = None,
        added: Sequence[AddedToken] = (),
    ):
        super().__init__(vocab, framing, max_length, names, added)
        self.ranks = {pair: rank for rank, pair in enumerate(merges)}
        if len(self.ranks) < len(merges):
            number, pair = next((n, pair) for n, pair in enumerate(merges) if self.ranks[pair] != n)
            raise UserError(f"merge {number + 1}, {quoted(pair)}, is the same as merge {self.ranks[pair] + 1}")
        self.word_symbols = Cache(self.cut)  # a word -> its symbols

    def forget(self):
        """Drop the caches."""
        self.word_symbols.clear()

    def cut(self, word: str) -> list[str]:
        """A word -> its symbols."""
        parts = self.letters(word)
        return merge(parts, self.ranks) if len(parts) <= LONG else merge_long(parts, self.ranks)
