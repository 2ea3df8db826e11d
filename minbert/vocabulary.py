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

    Its memory is bounded: whenever it holds more than `most` words, those seen least often so far are forgotten.
    """
    counts = Counter()
    for text in texts:
        counts.update(tokenizer.words(text))
        if len(counts) > most:
            floor = min(counts.values())
            counts = Counter({word: count for word, count in counts.items() if count > floor})
    return counts


def learn_vocab(counts, size, min_count=2, watch=lambda tokens: None):
    """A vocabulary of `size` tokens: the special ones, then single characters, then pieces in the order of merging.

    counts     {word: how often}
    min_count  characters, words and pairs seen less often are left out
    watch      called with the number of tokens after each merge
    returns    the tokens in the order of their ids; the same for the same counts, in whatever order they came
    Raises UserError if the text does not support so many.
    """
    counts = {word: count for word, count in counts.items() if min_count <= count and len(word) <= MAX_WORD}
    tokens = list(SPECIAL) + alphabet(counts, room=(size - len(SPECIAL)) // 2, min_count=min_count)
    known = set(tokens)
    words = [(spell(word), counts[word]) for word in sorted(counts)]
    words = [(pieces, count) for pieces, count in words if known.issuperset(pieces)]
    pairs, places = Counter(), defaultdict(set)  # how often two pieces meet; in which words
    for number, (pieces, count) in enumerate(words):
        for pair in pairwise(pieces):
            pairs[pair] += count
            places[pair].add(number)
    heap = [(-count, pair) for pair, count in pairs.items()]  # equal counts: in the order of the alphabet
    heapq.heapify(heap)
    while len(tokens) < size:
        count, pair = heapq.heappop(heap) if heap else (0, None)
        if -count < min_count:
            raise UserError(
                f"the text supports a vocabulary of {len(tokens)} tokens, not of {size}: "
                "ask for a smaller one, or give more text"
            )
        if pairs[pair] != -count:
            continue  # out of date: a newer entry is in the heap
        token = pair[0] + pair[1].removeprefix("##")
        if token not in known:
            known.add(token)
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
                if pairs[other] >= min_count:
                    heapq.heappush(heap, (-pairs[other], other))
    return tokens


def alphabet(counts, room, min_count):
    """Single characters, as the beginning of a word and ("##e") within one: the `room` most frequent, sorted."""
    seen = Counter()
    for word, count in counts.items():
        for piece in spell(word):
            seen[piece] += count
    frequent = sorted((piece for piece in seen if seen[piece] >= min_count), key=lambda piece: (-seen[piece], piece))
    return sorted(frequent[:room])


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
