"""The twin of BertTokenizer finds what the plain one finds: words, ids, offsets, pairs. It remembers within bounds."""

import copy
import gzip
import itertools
import json
import pickle
import random
from pathlib import Path

import pytest
from hypothesis import given

from minbert import BertForMaskedLM, BertTokenizer, Config, fast
from minbert.added import AddedToken
from minbert.commands import predict, pretrain, probe, train
from minbert.fast import wordpiece
from minbert.tokenizer import clean_char, set_apart, strip_mark
from minbert.tokenizer_files import read_vocab
from tests.conftest import VOCAB
from tests.stress.fuzz import text as fuzz
from tests.texts import ENDLESS, TEXTS, TOKENIZERS, made_up, telling_characters, work

TABLES = wordpiece.CLEAN, wordpiece.CLEAN_JOINED, wordpiece.STRIP_MARK, wordpiece.UNACCENT, wordpiece.SET_APART


def twin_of(tokenizer):
    return fast.swap_in(copy.copy(tokenizer))


# Equal to the plain tokenizer


def test_equal_on_5500_strings(shared):
    """Half of them uncased, half cased."""
    with gzip.open(shared("reference/wordpiece-strings.jsonl.gz"), "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    vocab = read_vocab(shared("data/vocab/bert-base-uncased-vocab.txt"))
    pairs = [(plain, twin_of(plain)) for plain in (BertTokenizer(vocab), BertTokenizer(vocab, lower_case=False))]
    assert len(texts) == 5500
    for text, (plain, twin) in zip(texts, itertools.cycle(pairs)):
        assert twin.words(text) == plain.words(text), ascii(text)
        assert twin.text_to_ids(text) == plain.text_to_ids(text), ascii(text)
    some = texts[::20], texts[5::20]
    options = {"padding": True, "return_offsets_mapping": True}
    assert all(twin(*some, **options) == plain(*some, **options) for plain, twin in pairs)


def test_equal_on_every_code_point():
    """A thousand at a time, as the words of one text."""
    plain = BertTokenizer([*VOCAB, "##b", "b"])
    twin, chars = twin_of(plain), telling_characters()
    assert len(chars) > 50_000
    for start in range(0, len(chars), 1000):
        text = " ".join(f"{char}b" for char in chars[start : start + 1000])
        words = plain.words(text)
        assert twin.words(text) == words, start
        if start % 4000 == 0:
            pieces = [piece for word in words for piece in plain.wordpiece(word)]
            assert twin.text_to_ids(text) == plain.convert_tokens_to_ids(pieces), start
    for table in TABLES:  # by now they hold every character there is
        table.clear()
    for rule in (clean_char, strip_mark, set_apart):
        rule.cache_clear()


@made_up
@given(TOKENIZERS, TEXTS)
def test_equal_on_every_text_with_every_vocabulary(plain, text):
    fuzz.check_twin(plain, twin_of(plain), text)


@pytest.mark.parametrize("strip_accents", [True, False])
@pytest.mark.parametrize("lower_case", [True, False])
def test_equal_with_every_setting(lower_case, strip_accents):
    plain = BertTokenizer([*VOCAB, "é", "##é", "E", "É"], lower_case, strip_accents)
    twin, rng = twin_of(plain), random.Random(0)
    for _ in range(300):
        fuzz.check_twin(plain, twin, fuzz.random_text(rng))


@pytest.mark.parametrize("group", [1, 60, 2**13])
@pytest.mark.parametrize("seed", range(12))
def test_equal_in_batches(seed, group, monkeypatch):
    """What ends a chunk, a line or a word among others; no text may see its neighbours."""
    monkeypatch.setattr(wordpiece, "GROUP", group)
    rng, found = random.Random(seed), set()
    ends = [
        "\n",
        "\r",
        "\t",
        "\x0b",
        "\x1c",
        "\x85",
        "\0",
        "\u2028",
        "\u2029",
        "\xa0",
        "\u3000",
        "\ufffd",
        "\ud800",
        "",
    ]
    joints = [
        "\u0301",
        "\u302e",
        "\U0001d165\u0323",
        "Σ",
        "AΣ",
        "a",
        "中",
        "don't",
        "@user",
        "#a",
        "b...",
        "[SEP]",
        "\u200d",
    ]
    for lower, strip, cjk in itertools.product([True, False], repeat=3):
        added = [AddedToken("ab")] if seed == 0 else []
        vocab = fuzz.random_vocab(rng)
        plain = BertTokenizer(vocab, lower, strip, cjk_apart=cjk, added=added if "ab" not in vocab else [])
        texts = [fuzz.random_text(rng) for _ in range(20)]
        texts += ["".join(rng.choices([*ends, *joints, " "], k=rng.randrange(12))) for _ in range(60)]
        texts += [49 * "a" + end + joint for end in ends for joint in joints[:4]]  # a chunk is kept, or just too long
        rng.shuffle(texts)
        fuzz.check_twin_batch(plain, twin_of(plain), texts)
        found.update(*map(plain.text_to_ids, texts))
    assert len(found) > 20


CHOICES = [*fuzz.PIECES, "ab", "[E1]", "É", "New York", " a", "##a", "中", "e\u0301", "x ", "[sep]"]


@pytest.mark.parametrize("seed", range(30))
def test_equal_with_added_tokens(seed):
    rng = random.Random(seed)
    flags = ("special", "single_word", "lstrip", "rstrip", "normalized")
    tokens = {word: {flag: rng.random() < 0.4 for flag in flags} for word in rng.sample(CHOICES, rng.randrange(1, 5))}
    lower = rng.random() < 0.7
    one = {word.lower(): word for word in tokens}  # of those that are alike, one
    added = [AddedToken(word, **tokens[word]) for word in one.values()]
    plain = BertTokenizer(fuzz.random_vocab(rng), lower, cjk_apart=rng.random() < 0.7, added=added)
    twin, found = twin_of(plain), 0
    for _ in range(60):
        text = "".join(rng.choices([fuzz.random_text(rng), *one.values(), *CHOICES, " "], k=6))
        for keep_special in (True, False):
            pieces = plain.tokenize_with_offsets(text, keep_special)
            ids = [plain.vocab[piece] for piece, _ in pieces]
            assert twin.text_to_ids(text, keep_special) == plain.text_to_ids(text, keep_special) == ids, ascii(text)
            assert all(0 <= start < end <= len(text) for _, (start, end) in pieces), ascii(text)
            found += any(piece in one.values() for piece, _ in pieces)
        assert twin.words(text) == plain.words(text), ascii(text)
        explained = [piece for *_, some, _ in plain.explain(text).words for piece in some]
        assert explained == plain.tokenize(text, keep_special=False), ascii(text)
    assert found


@pytest.mark.filterwarnings("ignore:.* were cut")
@pytest.mark.parametrize(
    "options",
    [
        {"padding": "max_length", "max_length": 12, "truncation": True},
        {"return_tensors": "pt", "padding": True, "return_offsets_mapping": True},
        {"allow_special": True, "add_special_tokens": False},
    ],
    ids=str,
)
def test_equal_batches(tokenizer, options):
    rng = random.Random(1)
    texts, pairs = ([fuzz.random_text(rng) for _ in range(200)] for _ in range(2))
    twin = twin_of(tokenizer)
    for arguments in ((texts,), (texts, pairs)):
        theirs, ours = tokenizer(*arguments, **options), twin(*arguments, **options)
        assert ours.keys() == theirs.keys()
        for name, values in theirs.items():
            same = ours[name] == values
            assert same if isinstance(values, list) else same.all(), name


# Work and memory


@pytest.mark.fault("texts: empty, huge or with odd characters")
@pytest.mark.parametrize("unit", ENDLESS, ids=ascii)
@pytest.mark.parametrize("options", [{}, {"allow_special": True}, {"truncation": True, "max_length": 8}], ids=str)
@pytest.mark.filterwarnings("ignore:.* were cut")
def test_twice_the_text_is_twice_the_work(unit, options):
    def once(times):
        tokenizer = fast.swap_in(BertTokenizer([*VOCAB, "un" * 7]))
        tokenizer.text_to_ids("a")  # makes the tables of pieces
        tokenizer.chunk_ids.clear(), tokenizer.word_ids.clear()
        return work(tokenizer, "a" + times * unit, **options)

    once(1)  # the tables of characters know these now
    times = 1200 // len(unit)
    assert 0 < once(2 * times) < 2.02 * once(times)


@pytest.mark.fault("texts: empty, huge or with odd characters")
def test_a_word_of_a_megabyte_a_million_marks_and_a_line_of_ten_megabytes(tokenizer):
    fast.swap_in(tokenizer)
    cls, unk, sep = tokenizer.cls_token_id, tokenizer.unk_token_id, tokenizer.sep_token_id
    the, film = VOCAB.index("the"), VOCAB.index("film")
    assert tokenizer(1_000_000 * "s").input_ids == [cls, unk, sep]
    assert tokenizer("film" + 1_000_000 * "\u0301").input_ids == [cls, film, sep]
    assert tokenizer(1_100_000 * "the film ").input_ids == [cls, *(1_100_000 * [the, film]), sep]


def test_the_caches_are_bounded(tokenizer, monkeypatch):
    monkeypatch.setattr(wordpiece.Cache, "MOST", 10)
    fast.swap_in(tokenizer)
    words = [f"film.{number}" for number in range(25)]
    expected = [BertTokenizer(VOCAB).text_to_ids(word) for word in words]
    for _ in range(2):
        assert [tokenizer.text_to_ids(word) for word in words] == expected
        assert 0 < len(tokenizer.chunk_ids) <= 10
        assert 0 < len(tokenizer.word_ids) <= 10
    tokenizer(words[:12])
    assert 0 < len(tokenizer.chunk_ids) <= 10
    tokenizer.text_to_ids(50 * "s" + " " + 51 * "s")
    assert 50 * "s" in tokenizer.chunk_ids
    assert 51 * "s" not in tokenizer.chunk_ids.keys() | tokenizer.word_ids.keys()


# Swapped in and out


def test_a_tokenizer_is_plain_until_it_is_swapped_and_when_it_is_swapped_out():
    tokenizer = BertTokenizer(VOCAB)
    before = dict(vars(tokenizer))
    assert fast.swap_in(tokenizer) is tokenizer
    assert type(tokenizer) is wordpiece.BertTokenizer
    assert vars(tokenizer) == before  # nothing is made until it is used
    tokenizer("the film")
    assert vars(tokenizer).keys() > before.keys()
    assert fast.swap_out(tokenizer) is tokenizer
    assert type(tokenizer) is BertTokenizer
    assert vars(tokenizer) == before


def test_a_tokenizer_of_your_own_stays():
    class Own(BertTokenizer):
        pass

    tokenizer = Own(VOCAB)
    assert type(fast.swap_in(tokenizer)) is type(fast.swap_out(tokenizer)) is Own


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_a_swapped_tokenizer_can_be_copied_pickled_and_saved(tokenizer, again, tmp_path):
    texts = ["the film was unaffable", "xylophone [SEP]"]
    expected = tokenizer(texts)
    fast.swap_in(tokenizer)(texts)
    other = again(tokenizer)
    assert type(other) is wordpiece.BertTokenizer
    assert other(texts) == expected
    other.save_pretrained(tmp_path)
    read = BertTokenizer.from_pretrained(tmp_path)
    assert type(read) is BertTokenizer
    assert read(texts) == expected


COMMANDS = {
    train: "--train table.csv --model tiny --epochs 1 --max_length 8 --out out --device cpu",
    predict: "--model tiny --text texts.txt --device cpu",
    probe: "--model lm --fill film[MASK]",
    pretrain: "--text texts.txt --vocab_size 20 --layers 1 --hidden 4 --heads 1 --max_length 8 --steps 1 --device cpu "
    "--out out",
}


@pytest.mark.parametrize("plain", [False, True], ids=["swapped", "plain"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda module: module.__name__)
def test_commands_swap_their_tokenizers_in_unless_they_are_to_be_plain(tiny_folder, monkeypatch, command, plain):
    monkeypatch.chdir(tiny_folder.parent)
    Path("texts.txt").write_text("a good film\na bad film\n" * 100)
    Path("table.csv").write_text("text,label\n" + "a good film,good\na bad film,bad\n" * 4)
    BertForMaskedLM(Config.from_json("tiny/config.json")).save_pretrained("lm")
    BertTokenizer.from_pretrained("tiny").save_pretrained("lm")
    asked = set()

    def spy(find):
        def spied(self, *arguments):
            asked.add(type(self))
            return find(self, *arguments)

        return spied

    for kind, name in itertools.product((BertTokenizer, wordpiece.BertTokenizer), ("text_to_ids", "texts_to_ids")):
        monkeypatch.setattr(kind, name, spy(getattr(kind, name)))
    command.main([*COMMANDS[command].split(), *["--plain"] * plain])
    assert asked == {BertTokenizer if plain else wordpiece.BertTokenizer}
