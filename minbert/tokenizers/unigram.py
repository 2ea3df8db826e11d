"""The unigram tokenizer (Kudo 2018, section 3.2), with the results of SentencePiece: XLM-RoBERTa's and Marian's way.

Rules from the tokenizer's file make a text normal. Then each piece has a score, its log-probability, and of all ways to
cut the text the one with the greatest sum is taken. SentencePiece adds in float32, from the beginning of a text, and
equal sums are common, so the order of additions can decide. Words are cut once and remembered, and where that order
could decide, a word is cut again with the sum of what stands before it.
"""

import itertools
import math
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minbert.cache import Cache
from minbert.errors import UserError
from minbert.tokenizers import unigram_files
from minbert.tokenizers.charsmap import Charsmap
from minbert.tokenizers.framed import whole_characters
from minbert.tokenizers.unigram_files import BYTE, BYTES, NORMAL, SPACE, UNKNOWN, USER_DEFINED, Model

PENALTY = 10.0  # how much worse an unknown character is than the worst piece
RESET = 1e5  # a sum further from 0 begins again at 0, as in SentencePiece 0.2.3
LONG = 1000  # characters; a longer word is not cut before the sum before it is known
BLOCK = 512  # chunks whose sums are computed at once
SMALLEST = 2.0**-126  # of positive numbers in float32, but for those of fewer digits


class Cut(NamedTuple):
    """A word of normal text, cut.

    pieces  (id, begin, end in the word) of each piece; each unknown character is one
    total   the sum of their scores, as far as it was not begun again
    room    the smallest lead of a winner, for each of the additions that could have spoilt it
    depth   no sum on the way was further from 0; infinite if one was begun again
    """

    pieces: tuple[tuple[int, int, int], ...]
    total: float
    room: float
    depth: float


class Chunk(NamedTuple):
    """What stands between two spaces: the ids of its words, and of the words together what Cut says of each."""

    ids: tuple[int, ...]
    total: float
    room: float
    depth: float
    words: tuple[str, ...]
    scores: bytes  # of each piece, in float32


class Unigram:
    """A unigram model: text -> normal text -> pieces -> ids, as SentencePiece numbers them.

    model  what the tokenizer's file says

    Half of a surrogate pair, which no UTF-8 can hold, is read as U+FFFD, with a warning that gives their number.
    """

    def __init__(self, model: Model):
        self.model = model
        self.space = SPACE if model.escape_spaces else " "
        self.charsmap = Charsmap(model.charsmap, model.path)
        rows = list(zip(model.pieces, model.types, model.scores))
        scores = [score for _, type, score in rows if type == NORMAL]
        self.unknown = model.types.index(UNKNOWN)
        self.unknown_score = to_float32(min(scores) - PENALTY)
        highest = max(SMALLEST, *scores)
        self.scores = list(model.scores)  # of each id, as it is added
        self.scores[self.unknown] = self.unknown_score
        for id, (piece, type, _) in enumerate(rows):
            if type == USER_DEFINED:  # is to win, whatever it competes with
                self.scores[id] = to_float32(len(piece.encode()) * highest) - 0.1
        self.most = max(map(abs, self.scores))
        self.in_text = {piece: id for id, (piece, type, _) in enumerate(rows) if type in (NORMAL, USER_DEFINED)}
        self.bytes = {BYTES[piece]: id for id, (piece, type, _) in enumerate(rows) if type == BYTE}
        self.lengths = lengths_of(self.in_text)
        self.user_defined = {}  # first character -> the pieces that begin with it, the longest first
        for piece in sorted((piece for piece, type, _ in rows if type == USER_DEFINED), key=len, reverse=True):
            self.user_defined.setdefault(piece[0], []).append(piece)

        # Where no piece reaches over a space, words are cut alone. If no rule does, so is what stands between spaces.
        reaching = re.compile(f"[^{self.space}]{self.space}")
        apart = self.space in self.in_text and not any(map(reaching.search, self.in_text))
        self.word = re.compile(f"{self.space}*[^{self.space}]+|{self.space}+" if apart else ".+", re.DOTALL)
        in_own = any(" " in piece for pieces in self.user_defined.values() for piece in pieces)
        plain = model.remove_spaces and model.dummy_prefix and not in_own
        self.in_chunks = apart and plain and not self.charsmap.crosses_spaces()
        self.in_float32 = not self.user_defined  # whose scores are not rounded
        self.cuts = Cache(self.cut)  # a word of normal text -> its Cut
        self.chunks = Cache(self.cut_chunk)  # what is between spaces -> its Chunk; None: it cannot be cut alone

    @classmethod
    def read(cls, path: str | Path) -> "Unigram":
        """From a .model of SentencePiece, or from a tokenizer.json of the kind Unigram. Raises UserError."""
        whole = Path(path).suffix == ".json"
        return cls(unigram_files.read_whole(path)[0] if whole else unigram_files.read_model(path))

    def __len__(self):
        return len(self.model.pieces)

    def forget(self):
        """Drop the caches."""
        self.cuts.clear()
        self.chunks.clear()

    # Text -> normal text

    def normalise(self, text: str) -> str:
        """A text as it is cut: "Hello  world" -> "▁Hello▁world" """
        return self.normalise_with_origins(text)[0]

    def normalise_with_origins(self, text: str) -> tuple[str, list[int]]:
        """The normal text, and where in the text each of its characters comes from; one place more, for the end.

        All that a rule writes comes from where the rule began.
        """
        parts, size = self.replace(whole_characters(text)), len(text)
        begin = 0
        if self.model.remove_spaces:
            while begin < len(parts) and parts[begin][0] == " ":
                begin += 1
        if begin == len(parts):
            return "", [size]
        found, origins = [], []
        if self.model.dummy_prefix:
            found.append(" ")
            origins.append(parts[begin][1])
        after_space = self.model.remove_spaces
        for new, start in parts[begin:]:
            new = new.lstrip(" ") if after_space else new
            if new:
                found.append(new)
                origins += [start] * len(new)
                after_space = self.model.remove_spaces and new[-1] == " "
        normal = "".join(found).replace(" ", self.space)
        origins.append(size)
        if self.model.remove_spaces:
            normal = normal.rstrip(self.space)
        return normal, origins[: len(normal) + 1]

    def replace(self, text: str) -> list[tuple[str, int]]:
        """What the rules make of a text: [(new text, where the old one begins), ...], from left to right."""
        data, found = text.encode(), []
        place = at = 0  # in characters and in bytes
        while place < len(text):
            char = text[place]
            for piece in self.user_defined.get(char, ()):
                if text.startswith(piece, place):
                    found.append((piece, place))
                    place, at = place + len(piece), at + len(piece.encode())
                    break
            else:
                size, new = self.charsmap.rule(data, at)
                if new is None:
                    found.append((char, place))
                    place, at = place + 1, at + len(char.encode())
                else:
                    found.append((new, place))
                    try:
                        place, at = place + len(data[at : at + size].decode()), at + size
                    except UnicodeDecodeError:
                        raise UserError(self.charsmap.broken) from None
        return found

    # Normal text -> pieces

    def cut(self, word: str, before: float = 0.0) -> Cut:
        """Normal text cut by the Viterbi algorithm, as SentencePiece computes it: sums are kept in float32, but a new
        sum is compared with the kept one before it is rounded. Of equal ones the first found stays. Where a sum is
        beyond RESET, counting begins again at 0.

        before  the sum of the scores of what stands before the word
        """
        size = len(word)
        best, depth = array("f", [before]) * (size + 1), 0.0  # of each end; storing rounds
        begins, ids, leads = [-1] * (size + 1), [0] * (size + 1), [math.inf] * (size + 1)
        in_text, scores, unknown_score = self.in_text, self.scores, self.unknown_score
        for begin in range(size):
            if abs(best[begin]) > RESET:
                best[begin:] = array("f", (total - best[begin] for total in best[begin:]))
                depth = math.inf
            here, single = best[begin], False
            for length in self.lengths.get(word[begin : begin + 2]) or self.lengths.get(word[begin], ()):
                end = begin + length
                if end > size:
                    break
                if (id := in_text.get(word[begin:end])) is None:
                    continue
                single = single or length == 1
                total = to_float32(here + scores[id])
                lead = total - best[end]
                if begins[end] < 0:
                    best[end], begins[end], ids[end] = total, begin, id
                elif lead > 0:
                    best[end], begins[end], ids[end], leads[end] = total, begin, id, lead
                elif -lead < leads[end]:
                    leads[end] = -lead
            if not single:
                end = begin + 1
                total = to_float32(here + unknown_score)
                lead = total - best[end]
                if begins[end] < 0:
                    best[end], begins[end], ids[end] = total, begin, self.unknown
                elif lead > 0:
                    best[end], begins[end], ids[end], leads[end] = total, begin, self.unknown, lead
                elif -lead < leads[end]:
                    leads[end] = -lead
        pieces, end, lead = [], size, math.inf
        while end:
            pieces.append((ids[end], begins[end], end))
            lead, end = min(lead, leads[end]), begins[end]
        # Here and where a sum stands before the word, each of at most `size` additions is wrong by half a spacing.
        depth += max(map(abs, best)) + self.most
        return Cut(tuple(reversed(pieces)), best[size] - before, lead / (2 * size + 2), depth)

    def cut_chunk(self, chunk: str) -> Chunk | None:
        """What stands between two spaces, cut; None if it cannot be cut alone: a rule looks beyond its end, or writes
        spaces that stay, or it is so long that it is better cut once, with the sum before it."""
        if len(chunk) > LONG:
            return None
        data = chunk.encode()
        at = 0
        for char in chunk:
            if self.charsmap.goes_on(data, at):
                return None
            at += len(char.encode())
        parts = [new for new, _ in self.replace(chunk)]
        written = "".join(parts)
        if self.space in written.replace(" ", "") or any("  " in new for new in parts):
            return None
        words = [self.space + part for part in written.split(" ") if part]
        cuts = [self.cuts[word] for word in words]
        return Chunk(
            tuple(id for word, cut in zip(words, cuts) for id in self.ids_of(word, cut)),
            math.fsum(cut.total for cut in cuts),
            min((cut.room for cut in cuts), default=math.inf),
            max((cut.depth for cut in cuts), default=0.0),
            tuple(words),
            array("f", (self.scores[id] for cut in cuts for id, _, _ in cut.pieces)).tobytes(),
        )

    def cut_text(self, normal: str) -> Iterator[tuple[str, int, Cut, float]]:
        """As `settle`, for the words of a normal text"""
        return self.settle(self.word.findall(normal))

    def settle(self, words, total: float = 0.0) -> Iterator[tuple[str, int, Cut, float]]:
        """Yields (word, where it begins, its Cut, the sum after it). A word whose lead float32 could take for none at
        the sum before it is cut again, beginning with that sum. total: the sum before the first word"""
        done = 0
        for word in words:
            cut = self.cuts[word] if len(word) <= LONG else None
            if cut is None or cut.room <= spacing(abs(total) + cut.depth) or abs(total) + cut.depth > RESET:
                cut = self.cut(word, total)
                total += cut.total
            else:
                for id, _, _ in cut.pieces:
                    total = to_float32(total + self.scores[id])
            yield word, done, cut, total
            done += len(word)

    def merge(self, word: str, cut: Cut) -> Iterator[tuple[int, str, int, int]]:
        """Yields (id, piece, begin, end in the word); unknown characters in a row are one piece, or the pieces of their
        bytes. Of the bytes of a character, the last has its place, the others stand before it, as SentencePiece says.
        """
        for unknown, run in itertools.groupby(cut.pieces, lambda piece: piece[0] == self.unknown):
            if not unknown:
                yield from ((id, word[begin:end], begin, end) for id, begin, end in run)
            elif self.bytes:
                for _, begin, end in run:
                    *first, last = word[begin:end].encode()
                    for byte in first:
                        yield self.bytes[byte], f"<0x{byte:02X}>", begin, begin
                    yield self.bytes[last], f"<0x{last:02X}>", begin, end
            else:
                places = [place for _, *both in run for place in both]
                yield self.unknown, word[places[0] : places[-1]], places[0], places[-1]

    def ids_of(self, word: str, cut: Cut) -> list[int]:
        return [id for id, *_ in self.merge(word, cut)]

    # Text -> pieces, ids

    def pieces(self, text: str) -> list[str]:
        """A text's pieces. Unknown characters in a row are one piece, as they stand in the normal text."""
        cuts = self.cut_text(self.normalise(text))
        return [piece for word, _, cut, _ in cuts for _, piece, _, _ in self.merge(word, cut)]

    def pieces_with_offsets(self, text: str) -> list[tuple[str, tuple[int, int]]]:
        """[(piece, (start, end) in the text), ...], as SentencePiece gives them: a space in a piece counts in."""
        return [(piece, span) for _, piece, span, _ in self.found(text)]

    def found(self, text: str) -> Iterator[tuple[int, str, tuple[int, int], tuple[int, int]]]:
        """Yields (id, piece, span, place) for each piece: SentencePiece's span, and the characters that it comes from.

        The place leaves out the spaces in front, and where a rule wrote several pieces, each has the place of all.
        """
        normal, origins = self.normalise_with_origins(text)
        ends = origins[1:]  # of what each character of the normal text comes from
        for number in reversed(range(len(ends) - 1)):
            if origins[number] == origins[number + 1]:
                ends[number] = ends[number + 1]
        for word, at, cut, _ in self.cut_text(normal):
            for id, piece, begin, end in self.merge(word, cut):
                bare = begin
                while bare < end and word[bare] == self.space:
                    bare += 1
                span = origins[at + begin], origins[at + end]
                yield id, piece, span, (origins[at + bare], ends[at + end - 1] if bare < end else origins[at + bare])

    def by_word(self, text: str) -> Iterator[tuple[str, list[tuple[int, str, tuple[int, int]]]]]:
        """Yields (word, its [(id, piece, place), ...]) from `found`; a piece with "▁" in front begins a word."""
        word, pieces = "", []
        for id, piece, _, place in self.found(text):
            if piece.startswith(self.space) and pieces:
                yield word, pieces
                word, pieces = "", []
            word += piece.lstrip(self.space)
            pieces.append((id, piece, place))
        if pieces:
            yield word, pieces

    def ids(self, text: str) -> list[int]:
        """The ids of `pieces`, found chunk by chunk: most chunks occur again."""
        if not self.in_chunks:
            return self.settled_ids(self.word.findall(self.normalise(text)))
        text = whole_characters(text)
        chunks = list(map(self.chunks.__getitem__, text.split(" ")))
        if None in chunks:
            return self.settled_ids(self.word.findall(self.normalise(text)))
        ids, totals, rooms, depths, words, _ = zip(*chunks)
        furthest = sum(map(abs, totals)) + max(depths)
        if min(rooms) > spacing(furthest) and furthest <= RESET:
            return list(itertools.chain.from_iterable(ids))
        return self.settle_chunks(chunks) if self.in_float32 else self.settled_ids(itertools.chain(*words))

    def settle_chunks(self, chunks: list[Chunk]) -> list[int]:
        """The ids that `settle` finds for the words of chunks: the sums before many chunks are computed at once, and
        only a chunk whose lead float32 could take for none goes word by word."""
        ids, total, at = [], 0.0, 0
        while at < len(chunks):
            block = chunks[at : at + BLOCK]
            scores = np.frombuffer(b"".join(chunk.scores for chunk in block), np.float32)
            sums = np.add.accumulate(np.concatenate([np.float32([total]), scores]))  # one after the other, each rounded
            ends = np.cumsum([0, *(len(chunk.scores) // 4 for chunk in block)])
            before = sums[ends].astype(float)  # each chunk; the last: after all of them
            furthest = np.abs(before[:-1]) + [chunk.depth for chunk in block]
            close = np.array([chunk.room for chunk in block]) <= np.ldexp(1.0, np.frexp(furthest)[1] - 24)
            close |= furthest > RESET
            first = int(close.argmax()) if close.any() else len(block)
            ids += itertools.chain.from_iterable(chunk.ids for chunk in block[:first])
            total, at = float(before[first]), at + first
            if first < len(block):
                for word, _, cut, after in self.settle(block[first].words, total):
                    ids += self.ids_of(word, cut)
                    total = after
                at += 1
        return ids

    def settled_ids(self, words):
        return [id for word, _, cut, _ in self.settle(words) for id in self.ids_of(word, cut)]


def lengths_of(pieces) -> dict[str, tuple[int, ...]]:
    """{the first two characters of pieces, or a character alone: how long the pieces are that can begin so}"""
    found = {}
    for piece in pieces:
        found.setdefault(piece[:2], set()).add(len(piece))
    for start, lengths in found.items():
        if len(start) == 2 and start[0] in found:
            lengths.add(1)
    return {start: tuple(sorted(lengths)) for start, lengths in found.items()}


def to_float32(number: float, cell=array("f", [0.0])) -> float:  # noqa: B008 (rounds by storing)
    """The nearest number that float32 has."""
    cell[0] = number
    return cell[0]


def spacing(number: float) -> float:
    """How far the next number of float32 is from this one."""
    return math.ldexp(1.0, math.frexp(number)[1] - 24)
