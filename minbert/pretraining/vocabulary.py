"""Text -> a WordPiece vocabulary of a given size, learnt from how often words occur.

Schuster & Nakajima 2012 (section 3) built WordPiece by adding, again and again, the merge of two pieces that helps a
language model of the text most; Google never published the program. As in the libraries people use, what helps most is
here the pair that stands side by side most often (byte-pair encoding: Sennrich et al. 2016, algorithm 1).
"""

import heapq
from collections import Counter, defaultdict
from itertools import pairwise

from minbert.errors import UserError
from minbert.tokenizer import MAX_WORD, SPECIAL

MOST_WORDS = 2_000_000  # counted at a time: some 300 MB


def count_words(texts, tokenizer, most=MOST_WORDS):
    """How often each word occurs in the texts, as BertTokenizer.words cuts them; a Counter.

    Its memory is bounded: whenever it holds more than `most` words, the half seen least often so far is forgotten.
    """
    counts = Counter()
    for text in texts:
        counts.update(tokenizer.words(text))
        if len(counts) > most:
            counts = Counter(dict(counts.most_common(most // 2)))
    return counts


def learn_vocab(counts, size, min_count=2, watch=lambda tokens: None):
    """A vocabulary of `size` tokens: the special ones, then single characters, then pieces in the order of merging.

    counts     {word: how often}
    size       more than the five special tokens
    min_count  words seen less often are left out
    watch      called with the number of tokens after each merge
    returns    the tokens in the order of their ids; the same for the same counts, in whatever order they came. If the
               text has more characters than half the room, the rarest of them come last, and only if there is room
    Raises UserError if the text does not support so many.
    """
    counts = {word: count for word, count in counts.items() if min_count <= count and len(word) <= MAX_WORD}
    letters = alphabet(counts)
    half = (size - len(SPECIAL)) // 2
    tokens = [*SPECIAL, *sorted(letters[:half])]
    words = [(spell(word), count) for word, count in counts.items()]
    pairs, places = Counter(), defaultdict(set)  # how often two pieces meet; in which words
    for number, (pieces, count) in enumerate(words):
        for pair in pairwise(pieces):
            pairs[pair] += count
            places[pair].add(number)
    heap = [(-count, pair) for pair, count in pairs.items()]  # equal counts: in the order of the alphabet
    heapq.heapify(heap)
    while heap and len(tokens) < size:
        count, pair = heapq.heappop(heap)
        if pairs[pair] != -count:
            continue  # out of date: a newer entry is in the heap
        token = pair[0] + pair[1].removeprefix("##")  # a new one: a piece is put together everywhere in the same way
        tokens.append(token)
        watch(len(tokens))
        changed = Counter()
        for number in places.pop(pair):
            pieces, count = words[number]
            merged = merge(pieces, pair, token)
            for old in pairwise(pieces):
                changed[old] -= count
            for new in pairwise(merged):
                changed[new] += count
                places[new].add(number)
            words[number] = (merged, count)
        for other, difference in changed.items():
            if difference:
                pairs[other] += difference
                if pairs[other]:
                    heapq.heappush(heap, (-pairs[other], other))
    tokens += letters[half : half + size - len(tokens)]
    if len(tokens) < size:
        raise UserError(
            f"the text supports a vocabulary of {len(tokens)} tokens, not of {size}: "
            "give more text, or ask for a smaller vocabulary"
        )
    return tokens


def alphabet(counts):
    """Single characters, as the beginning of a word and ("##e") within one, the most frequent first."""
    seen = Counter()
    for word, count in counts.items():
        for piece in spell(word):
            seen[piece] += count
    return sorted(seen, key=lambda piece: (-seen[piece], piece))


def spell(word):
    """'film' -> ['f', '##i', '##l', '##m']"""
    return [word[0], *("##" + char for char in word[1:])]


def merge(pieces, pair, token):
    """Replace each occurrence of the pair, from left to right."""
    merged, at = [], 0
    while at < len(pieces):
        if at + 1 < len(pieces) and pieces[at] == pair[0] and pieces[at + 1] == pair[1]:
            merged.append(token)
            at += 2
        else:
            merged.append(pieces[at])
            at += 1
    return merged
