"""Text -> a vocabulary of a given size, of WordPiece or byte-level BPE, learnt from how often words occur.

Schuster & Nakajima 2012 (section 3) build WordPiece by repeated merging: each time, they merge the two pieces that
improve a language model of the text most. Google never published the program. Here, as in the usual libraries, the
most frequent pair is merged (byte-pair encoding: Sennrich et al. 2016, algorithm 1). For byte-level BPE that is the
original way (Radford et al. 2019, section 2.2).
"""

import heapq
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice, pairwise

from tqdm import tqdm

from minbert.encoding import Tokenizer
from minbert.errors import UserError
from minbert.tokenizer import MAX_WORD, SPECIAL, BertTokenizer
from minbert.tokenizers.byte_bpe import END, LETTERS, to_letters

WORD_LIMIT = 2_000_000  # different words in memory: about 300 MB


def count_words(texts: Iterable[str], tokenizer: Tokenizer, limit: int = WORD_LIMIT) -> Counter:
    """The number of times each word of `tokenizer.words` occurs in the texts.

    With more than `limit` different words, the rarer half is forgotten, so memory does not grow with the text.
    """
    counts = Counter()
    for text in texts:
        counts.update(tokenizer.words(text))
        if len(counts) > limit:
            counts = Counter(dict(counts.most_common(limit // 2)))
    return counts


def learn_vocab(
    counts: Mapping[str, int], size: int, min_count: int = 2, watch: Callable[[int], object] = lambda tokens: None
) -> list[str]:
    """A vocabulary of `size` tokens: the special ones, then single characters, then pieces in the order of merging.

    counts     {word: number of times it occurs}, in any order
    size       more than the five special tokens
    min_count  rarer words are left out
    watch      called with the number of tokens after each merge
    returns    the tokens in the order of their ids. Characters get half of the room at first; if the text has more,
               the rarest come last, as far as there is room
    Raises UserError if the text supports fewer tokens.
    """
    counts = common_words(counts, min_count)
    letters = alphabet(counts)
    half = (size - len(SPECIAL)) // 2
    tokens = [*SPECIAL, *sorted(letters[:half])]
    words = [(spell(word), count) for word, count in counts.items()]
    for pair in islice(merged_pairs(words, join), size - len(tokens)):
        tokens.append(join(*pair))  # never a known one: a piece is always merged from the same two
        watch(len(tokens))
    tokens += letters[half : half + size - len(tokens)]
    if len(tokens) < size:
        raise too_little(len(tokens), size)
    return tokens


def learn_byte_bpe(
    counts: Mapping[str, int], size: int, min_count: int = 2, watch: Callable[[int], object] = lambda tokens: None
) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A vocabulary of `size` tokens and its merges, as ByteBPETokenizer takes them.

    The 256 bytes come first, then the merges' tokens, then <|endoftext|>, as in GPT-2's. size: more than 257. The
    other arguments are those of `learn_vocab`. Raises UserError if the text supports fewer tokens.
    """
    tokens, merges = dict.fromkeys(LETTERS.values()), []
    words = [(list(to_letters(word)), count) for word, count in common_words(counts, min_count).items()]
    pairs = merged_pairs(words, str.__add__)
    while len(tokens) < size - 1 and (pair := next(pairs, None)):
        tokens["".join(pair)] = None
        merges.append(pair)
        watch(len(tokens))
    tokens[END] = None
    if len(tokens) < size:
        raise too_little(len(tokens), size)
    return {token: id for id, token in enumerate(tokens)}, merges


def common_words(counts, least):
    """The words that occur at least so often and are not too long."""
    return {word: count for word, count in counts.items() if least <= count and len(word) <= MAX_WORD}


def too_little(found, size):
    return UserError(
        f"the text supports a vocabulary of {found} tokens, not of {size}: "
        "give more text, or choose a smaller --vocab_size"
    )


def merged_pairs(words: list, join: Callable[[str, str], str]) -> Iterator[tuple[str, str]]:
    """Yield the pairs of pieces in the order of merging: each time, the commonest of those that are left.

    words  [(pieces, the number of times the word occurs), ...], which is changed
    join   two pieces -> the piece that takes their place
    """
    pairs, words_with = Counter(), defaultdict(set)  # counts of adjacent pieces; the numbers of their words
    for number, (pieces, count) in enumerate(words):
        for pair in pairwise(pieces):
            pairs[pair] += count
            words_with[pair].add(number)
    heap = [(-count, pair) for pair, count in pairs.items()]  # equal counts: in alphabetical order
    heapq.heapify(heap)
    while heap:
        count, pair = heapq.heappop(heap)
        if pairs[pair] != -count:
            continue  # outdated: the heap holds a newer entry
        yield pair
        changed = Counter()
        for number in words_with.pop(pair):
            pieces, count = words[number]
            merged = merge(pieces, pair, join(*pair))
            for old in pairwise(pieces):
                changed[old] -= count
            for new in pairwise(merged):
                changed[new] += count
                words_with[new].add(number)
            words[number] = (merged, count)
        for other, difference in changed.items():
            if difference:
                pairs[other] += difference
                if pairs[other]:
                    heapq.heappush(heap, (-pairs[other], other))


@contextmanager
def progress(size: int):
    """A bar on stderr that grows to `size` tokens: a context with a `watch` for the functions above."""
    with tqdm(total=size, desc="learning vocabulary", unit=" tokens", disable=None) as bar:
        yield lambda tokens: bar.update(tokens - bar.n)


def common_tokens(texts: Iterable[str], tokenizer: BertTokenizer, size: int) -> list[str]:
    """`size` tokens of a tokenizer: the special ones, those of one character, then the commonest in the texts.

    So most words are cut as the tokenizer cuts them, and any word of ASCII letters and digits can be cut. Raises
    UserError if there are fewer kinds of tokens.
    """
    counts = Counter()
    for text in texts:
        counts.update(tokenizer.text_to_ids(text))
    seen = [tokenizer.tokens[id] for id, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
    letters = [token for token in seen if len(token.removeprefix("##")) == 1]
    letters += [token for token in tokenizer.vocab if re.fullmatch(r"(##)?[A-Za-z0-9]", token)]  # to cut other words by
    tokens = list(dict.fromkeys([*SPECIAL, *letters, *(token for token in seen if token not in tokenizer.special)]))
    if len(tokens) < size:
        raise UserError(
            f"the text has {len(tokens)} kinds of tokens, not {size}: give more text or a smaller --vocab_size"
        )
    return tokens[:size]


def alphabet(counts: Mapping[str, int]) -> list[str]:
    """Single characters, most frequent first: "e" at the start of a word, "##e" within one."""
    total = Counter()
    for word, count in counts.items():
        for piece in spell(word):
            total[piece] += count
    return sorted(total, key=lambda piece: (-total[piece], piece))


def spell(word: str) -> list[str]:
    """'film' -> ['f', '##i', '##l', '##m']"""
    return [word[0], *("##" + char for char in word[1:])]


def join(left: str, right: str) -> str:
    """'##il', '##m' -> '##ilm'"""
    return left + right.removeprefix("##")


def merge(pieces: list[str], pair: tuple[str, str], token: str) -> list[str]:
    """Replace each occurrence of the pair by the token, from left to right."""
    merged, at = [], 0
    while at < len(pieces):
        if at + 1 < len(pieces) and pieces[at] == pair[0] and pieces[at + 1] == pair[1]:
            merged.append(token)
            at += 2
        else:
            merged.append(pieces[at])
            at += 1
    return merged
