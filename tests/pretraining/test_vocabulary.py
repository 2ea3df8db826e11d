"""Learning a vocabulary: by hand, against an implementation that recounts everything, and on real text."""

import itertools
import random
import re
import tracemalloc
from collections import Counter

import pytest

from minbert.errors import UserError
from minbert.pretraining import corpus
from minbert.pretraining.vocabulary import common_tokens, count_words, learn_byte_bpe, learn_vocab, merge, spell
from minbert.tokenizer import SPECIAL, BertTokenizer
from minbert.tokenizers.byte_bpe import END, ByteBPETokenizer, to_letters
from minbert.tokenizers.byte_bpe import LETTERS as LETTERS_OF_BYTES

# Sennrich et al. 2016, figure 1, without their end of word
COUNTS = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
LETTERS = ["##d", "##e", "##i", "##o", "##r", "##s", "##t", "##w", "l", "n", "w"]
MERGES = [
    *("##es", "##est"),  # 9 times; (##e, ##s) before (##s, ##t)
    *("##ow", "low"),  # 7
    *("##ew", "##ewest", "newest"),  # 6
    *("##dest", "##idest", "widest"),  # 3
    *("##er", "lower"),  # 2
]


def plain():
    return BertTokenizer(SPECIAL)


def naive(counts, size, min_count=2):
    """The same by recounting all pairs after each merge, as in Sennrich et al. 2016, algorithm 1."""
    words = {" ".join([word[0], *("##" + c for c in word[1:])]): n for word, n in counts.items() if n >= min_count}
    letters = Counter()
    for word, count in words.items():
        for piece in word.split():
            letters[piece] += count
    ranked = [piece for _, piece in sorted((-count, piece) for piece, count in letters.items())]
    half = (size - 5) // 2
    tokens = [*SPECIAL, *sorted(ranked[:half])]
    while len(tokens) < size:
        pairs = Counter()
        for word, count in words.items():
            pieces = word.split()
            for at in range(len(pieces) - 1):
                pairs[pieces[at], pieces[at + 1]] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        token = best[0] + best[1][2:]
        where = re.compile(rf"(?<!\S){re.escape(' '.join(best))}(?!\S)")
        merged = Counter()
        for word, count in words.items():
            merged[where.sub(lambda _, token=token: token, word)] += count
        words = merged
        if token not in tokens:
            tokens.append(token)
    tokens += ranked[half:]
    return tokens[:size] if len(tokens) >= size else None


def random_counts(seed, letters="abc", words=40, longest=9):
    """Few letters: many pairs that overlap, many ties, many ways to the same piece."""
    rng = random.Random(seed)
    spelt = ("".join(rng.choices(letters, k=rng.randint(1, longest))) for _ in range(words))
    return {word: rng.randint(1, 6) for word in spelt}


def test_merges_by_hand():
    assert learn_vocab(COUNTS, 28) == [*SPECIAL, *LETTERS, *MERGES]
    assert learn_vocab(COUNTS, 27) == [*SPECIAL, *LETTERS, *MERGES[:-1]]


def test_equal_counts_are_merged_in_the_order_of_the_alphabet():
    assert learn_vocab({"ca": 2, "ab": 2, "ba": 2}, 13)[-4:] == ["ab", "ba", "ca", "c"]  # c: see below
    assert learn_vocab({"bb": 2, "ba": 2}, 10)[-3:] == ["ba", "bb", "##b"]


def test_a_pair_met_twice_in_a_row_is_merged_from_the_left():
    assert merge(["b", "##a", "##a", "##a"], ("##a", "##a"), "##aa") == ["b", "##aa", "##a"]
    assert merge(spell("baaaa"), ("##a", "##a"), "##aa") == ["b", "##aa", "##aa"]
    assert merge(["a", "##b"], ("##b", "##a"), "##ba") == ["a", "##b"]


def test_letters_take_half_the_room_at_first_the_most_frequent_ones():
    eight = ["##d", "##e", "##o", "##s", "##t", "##w", "l", "n"]  # ##d is the first of three that are seen 3 times
    assert learn_vocab(COUNTS, 21) == [*SPECIAL, *eight, *MERGES[:8]]


def test_where_merges_run_out_the_letters_left_over_follow():
    chinese = {"片": 9, "电": 8, "影": 7, "看": 3, "好": 2, "不": 2}
    assert learn_vocab(chinese, 11) == [*SPECIAL, *sorted("片电影"), "看", "不", "好"]
    assert learn_vocab(chinese, 10) == [*SPECIAL, *sorted("片电"), "影", "看", "不"]
    with pytest.raises(UserError, match="supports a vocabulary of 11 tokens, not of 12"):
        learn_vocab(chinese, 12)


@pytest.mark.parametrize("seed", range(12))
def test_it_equals_recounting_everything_after_each_merge(seed):
    counts = random_counts(seed, letters="abc" if seed % 2 else "abcdefgh", longest=5 + seed % 5)
    for size in range(7, 500, 9):
        expected = naive(counts, size)
        if expected is None:
            with pytest.raises(UserError):
                learn_vocab(counts, size)
            assert size > 30
            break
        assert learn_vocab(counts, size) == expected


@pytest.mark.parametrize("min_count", [1, 3, 5])
def test_rare_words_are_left_out(min_count):
    counts = {word: count for word, count in random_counts(5).items() if len(word) > 1}
    often = {word: count for word, count in counts.items() if count >= min_count}
    assert learn_vocab(counts, 40, min_count) == learn_vocab(often, 40, 1) == naive(counts, 40, min_count)
    assert len(often) < len(counts) or min_count == 1


def test_a_word_longer_than_the_tokenizer_reads_is_left_out():
    assert set(learn_vocab({"x" * 200: 100, "ab": 2}, 11)) > {"x", "##x", "##xx"}
    assert set(learn_vocab({"x" * 201: 100, "ab": 2}, 8)) == {*SPECIAL, "a", "##b", "ab"}


@pytest.mark.parametrize("size", [6, 7, 10, 20, 33, 64, 100])
def test_exactly_as_many_tokens_as_asked_for_special_ones_first_none_twice(size):
    tokens = learn_vocab(random_counts(1, letters="abcdefgh", words=60), size)
    assert len(tokens) == size
    assert tuple(tokens[:5]) == SPECIAL
    assert len(set(tokens)) == size


def test_the_same_whatever_the_order_of_the_counts():
    counts = random_counts(2, letters="abcd")
    for seed in range(5):
        shuffled = random.Random(seed).sample(sorted(counts.items()), len(counts))
        assert learn_vocab(dict(shuffled), 60) == learn_vocab(counts, 60)


@pytest.mark.parametrize("counts", [COUNTS, random_counts(3), random_counts(4, letters="abcdefghijklmnopqrst")])
def test_the_error_says_how_many_are_supported_and_so_many_are(counts):
    with pytest.raises(UserError, match=r"supports a vocabulary of \d+ tokens, not of 5000: give more text") as error:
        learn_vocab(counts, 5000)
    supported = int(re.search(r"of (\d+)", str(error.value)).group(1))
    assert len(learn_vocab(counts, supported)) == supported
    with pytest.raises(UserError, match=f"of {supported} tokens, not of {supported + 1}"):
        learn_vocab(counts, supported + 1)


def test_a_text_without_words_supports_the_special_tokens_alone():
    with pytest.raises(UserError, match="of 5 tokens, not of 1000"):
        learn_vocab(Counter(), 1000)


def test_someone_may_watch():
    seen = []
    learn_vocab(COUNTS, 28, watch=seen.append)
    assert seen == list(range(17, 29))


# Words


def test_words_are_counted_as_the_tokenizer_cuts_them():
    texts = ["The film, the Film!", "Fílm [SEP]", ""]
    assert count_words(texts, plain()) == {"the": 2, "film": 3, ",": 1, "!": 1, "[": 1, "sep": 1, "]": 1}
    cased = BertTokenizer(SPECIAL, lower_case=False)
    assert count_words(texts[:2], cased).keys() >= {"The", "the", "film", "Film", "Fílm", "SEP"}


def test_the_memory_for_counting_is_bounded_and_frequent_words_are_not_forgotten():
    texts = (f"film word{number} plot word{number}" for number in range(20_000))
    tracemalloc.start()
    counts = count_words(texts, plain(), limit=300)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(counts) <= 300
    assert counts["film"] == counts["plot"] == 20_000
    assert peak < 300_000  # all the words would take some 3 MB


def test_room_is_made_for_many_words_at_a_time(monkeypatch):
    """Or else, once most words have been seen twice, each new word costs a pass over all of them."""
    passes = []
    original = Counter.most_common
    monkeypatch.setattr(Counter, "most_common", lambda *args: passes.append(args[1]) or original(*args))
    count_words((f"word{number} word{number}" for number in range(1000)), plain(), limit=100)
    assert passes == [50] * 18  # after 101 words, then after each 51 more


# On text


@pytest.mark.parametrize("lower_case", [True, False])
def test_every_word_it_was_learnt_from_can_be_spelt(lower_case):
    texts = ["The film wasn't good; 10/10 for the plot, though!", "Ein schöner Film, die Handlung überrascht: 影片"] * 2
    texts += ["Una película maravillosa, interpretada magníficamente por actores desconocidos"] * 2
    counts = count_words(texts, BertTokenizer(SPECIAL, lower_case=lower_case))
    tokenizer = BertTokenizer(learn_vocab(counts, 120), lower_case=lower_case)
    for word in counts:
        pieces = tokenizer.wordpiece(word)
        assert "[UNK]" not in pieces
        assert "".join(piece.removeprefix("##") for piece in pieces) == word


@pytest.fixture(scope="module")
def reviews(shared):
    """The words of the first thousand unlabelled reviews, and how often they occur."""
    return count_words(itertools.islice(corpus.read_texts([shared("data/imdb/imdb-unlabelled.txt.gz")]), 1000), plain())


def test_a_vocabulary_of_real_text(reviews):
    tokens = learn_vocab(reviews, 8000)
    assert (len(tokens), len(set(tokens))) == (8000, 8000)
    tokenizer = BertTokenizer(tokens)
    known = {word: count for word, count in reviews.items() if count > 1}
    assert not any("[UNK]" in tokenizer.wordpiece(word) for word in known)
    whole = sum(count for word, count in known.items() if word in tokenizer.vocab)
    assert whole > 0.9 * sum(known.values())
    assert tokenizer.wordpiece("unwatchable") != ["unwatchable"]
    assert learn_vocab(dict(sorted(reviews.items(), reverse=True)), 8000) == tokens


def test_the_commonest_tokens_of_a_tokenizer():
    """Special ones, then single characters, the seen ones first, then the others by how often they occur."""
    letters = [mark + letter for mark in ("", "##") for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    theirs = BertTokenizer([*SPECIAL, "rare", "film", "good", "!", "absent", *letters])
    tokens = common_tokens(["Films, film film!", "good film! good rare"], theirs, 5 + 1 + 72 + 3)
    assert tokens[:5] == list(SPECIAL)
    assert tokens[5:7] == ["!", "##s"] and set(tokens[7:78]) == set(letters) - {"##s"}
    assert tokens[78:] == ["film", "good", "rare"]
    with pytest.raises(UserError, match="the text has 78 kinds of tokens, not 79"):
        common_tokens(["film"], theirs, 79)


def test_a_small_vocabulary_is_the_beginning_of_a_large_one(reviews):
    small, large = learn_vocab(reviews, 1000), learn_vocab(reviews, 2000)
    assert len(small) == 1000
    assert large[:1000] == small
    assert {"the", "and", "movie", "film", "##ing"} <= set(small)


# Byte-level BPE


def naive_bpe(counts, size):
    """The merges by recounting all pairs after each merge."""
    words = {word: ([*to_letters(word)], count) for word, count in counts.items() if count >= 2}
    merges, tokens = [], set(LETTERS_OF_BYTES.values())
    while len(tokens) < size - 1:
        pairs = Counter()
        for pieces, count in words.values():
            for pair in itertools.pairwise(pieces):
                pairs[pair] += count
        if not pairs:
            return None
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        tokens.add("".join(best))
        words = {word: (merge(pieces, best, "".join(best)), count) for word, (pieces, count) in words.items()}
    return merges


def test_byte_bpe_by_hand():
    vocab, merges = learn_byte_bpe(COUNTS, 261)
    assert merges == [("e", "s"), ("es", "t"), ("l", "o"), ("lo", "w")]
    assert [vocab[token] for token in ("es", "est", "lo", "low", END)] == [256, 257, 258, 259, 260]
    assert len(vocab) == 261 and ByteBPETokenizer(vocab, merges).tokenize("slowest é") == ["s", "low", "est", *"ĠÃ©"]


@pytest.mark.parametrize("seed", range(6))
def test_byte_bpe_merges_as_recounting_does(seed):
    counts = random_counts(seed, "aé ")
    vocab, merges = learn_byte_bpe(counts, 285)
    assert merges == naive_bpe(counts, 285) and sorted(vocab.values()) == list(range(285))
    tokenizer = ByteBPETokenizer(vocab, merges)
    assert all(tokenizer.decode(tokenizer.text_to_ids(word)) == word for word in counts)


def test_a_text_too_poor_for_byte_bpe_is_refused():
    with pytest.raises(UserError, match=r"supports a vocabulary of 258 tokens, not of 300"):
        learn_byte_bpe({"ab": 5}, 300)


def test_words_of_byte_bpe_keep_their_spaces():
    tokenizer = ByteBPETokenizer({letter: id for id, letter in enumerate(LETTERS_OF_BYTES.values())}, [])
    assert count_words(["The film, the film"], tokenizer) == {"The": 1, " film": 2, ",": 1, " the": 1}
