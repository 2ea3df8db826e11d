"""Texts longer than a model reads -> windows, and back: answers in a passage, and tags of words. Nothing is cut off.

passage   windows that share `overlap` tokens with their neighbours, each behind the whole question
sentence  windows that share no word, so that each word gets one tag
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from minbert.encoding import Tokenizer
from minbert.errors import UserError

LONGEST, BEST = 30, 20  # tokens of an answer; how many begins and ends of a window are combined


@dataclass(frozen=True)
class Window:
    """A question and a part of a passage, as the model reads them; T tokens."""

    input_ids: list  # [T]
    token_type_ids: list  # [T]
    offsets: list  # [T], (start, end) in characters of the passage; None for a token outside it

    def places(self, answer: tuple[int, int] | None) -> tuple[int, int]:
        """The first and the last token of an answer, (start, end) in characters; (0, 0) if it is not all in here."""
        spans = [(at, span) for at, span in enumerate(self.offsets) if span]
        if answer is None or not spans or spans[0][1][0] > answer[0] or spans[-1][1][1] < answer[1]:
            return 0, 0
        first = max(at for at, (start, _) in spans if start <= answer[0])
        last = min(at for at, (_, end) in spans if end >= answer[1])
        return first, last


@dataclass(frozen=True)
class WordWindow:
    """A part of a sentence, as the model reads it; T tokens."""

    input_ids: list  # [T]
    token_type_ids: list  # [T]
    words: list  # [T], the number of the word whose first piece this token is; None for any other token


def cut(tokenizer: Tokenizer, question: str, context: str, max_length: int, overlap: int) -> list[Window]:
    """The windows of a question and its passage, which is never empty; the last may be shorter.

    max_length  of a window in tokens, special ones included
    overlap     how many tokens of the passage neighbours share. (BERT's own doc_stride is the step from one window to
                the next: what is left of max_length, less the overlap.)
    Raises UserError if no room is left for the passage: the question is too long, or the overlap.
    """
    begin, between, end = tokenizer.special_ids(paired=True)
    asked = tokenizer.text_to_ids(question)
    ids, spans = tokenizer.text_to_ids(context), [span for _, span in tokenizer.pieces(context)]
    before = [*begin, *asked, *between]
    room = max_length - len(before) - len(end)
    if room < 1:
        shown = f"the question {question!r:.60} has {len(asked)} tokens"
        raise UserError(f"{shown}: in windows of {max_length} no room is left for the passage")
    if overlap < 0 or (overlap >= room and len(ids) > room):
        raise UserError(f"windows have room for {room} tokens of the passage: overlap is {overlap}, but must be less")
    spans = [span and without_blanks(context, *span) for span in spans]
    found, at = [], 0
    while not found or at + overlap < len(ids):
        part = slice(at, at + room)
        segments = [0] * len(before) + [tokenizer.template.pair_segment] * (len(ids[part]) + len(end))
        offsets = [None] * len(before) + spans[part] + [None] * len(end)
        found.append(Window([*before, *ids[part], *end], segments, offsets))
        at += room - overlap
    return found


def without_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """A piece's span without the spaces at its beginning, which the pieces of some tokenizers have."""
    found = text[start:end]
    return start + len(found) - len(found.lstrip() or found), end


def choose(
    windows: Sequence[Window],
    logits: Sequence[tuple[Sequence[float], Sequence[float]]],
    none: bool = False,
    threshold: float = 0.0,
    longest: int = LONGEST,
    best: int = BEST,
) -> tuple[int, int] | None:
    """The best answer in all windows of one question: (start, end) in characters of the passage, or None for none.

    logits     of each window: those of an answer's first token [T], and of its last [T]; padding may follow
    none       True: there may be no answer. Then the two logits of the first token, the lowest sum of all windows, must
               not exceed the best answer's by more than threshold
    longest    the most tokens of an answer
    best       how many first and last tokens of a window are tried: those with the highest logits
    Sums of logits are compared, never probabilities, which depend on the rest of their window.
    """
    score, found, empty = -float("inf"), None, float("inf")
    for window, (starts, ends) in zip(windows, logits, strict=True):
        spans = window.offsets
        empty = min(empty, float(starts[0]) + float(ends[0]))
        lasts = heapq.nlargest(best, range(len(spans)), key=ends.__getitem__)
        for first in heapq.nlargest(best, range(len(spans)), key=starts.__getitem__):
            for last in lasts:
                if not spans[first] or not spans[last] or not first <= last < first + longest:
                    continue
                total = float(starts[first]) + float(ends[last])
                if total > score:
                    score, found = total, (spans[first][0], spans[last][1])
    return None if none and empty > score + threshold else found


def cut_words(tokenizer: Tokenizer, words: Sequence[str], max_length: int) -> list[WordWindow]:
    """The windows of a sentence of words. Each word is in one of them; a long sentence is parted between two words.

    max_length  of a window in tokens, special ones included
    A word that the tokenizer makes nothing of, a lone U+200D say, is the unknown token. Of a word with more pieces than
    a window has room for, the last ones are left out. Raises UserError if there is no room for a piece.
    """
    begin, _, end = tokenizer.special_ids(paired=False)
    room = max_length - len(begin) - len(end)
    if room < 1:
        raise UserError(f"max_length is {max_length}, but the special tokens alone are {max_length - room}")
    windows, ids, places = [], [], []

    def close():
        inside = [None] * len(begin) + places + [None] * len(end)
        windows.append(WordWindow([*begin, *ids, *end], [0] * len(inside), inside))

    for number, word in enumerate(words):
        spaced = word if number == 0 else f" {word}"  # some tokenizers write a space into the piece behind it
        pieces = (tokenizer.text_to_ids(spaced) or [tokenizer.unk_token_id])[:room]
        if len(ids) + len(pieces) > room:
            close()
            ids, places = [], []
        ids += pieces
        places += [number] + [None] * (len(pieces) - 1)
    close()
    return windows
