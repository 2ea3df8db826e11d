"""Text to pretrain on: how files are read, what counts as a repetition, what is packed, which rows come out."""

import errno
import gzip
import random
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from minbert import BertTokenizer
from minbert.errors import UserError
from minbert.pretraining import corpus
from minbert.pretraining.corpus import Overlap, TokenFile, pack, read_texts
from tests.conftest import ROOT, VOCAB

WORDS = [f"w{number}" for number in range(50)]


def write(path, data):
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def sentence(*numbers):
    return " ".join(WORDS[number] for number in numbers)


# Reading


@pytest.mark.parametrize("name", ["texts.txt", "texts.txt.gz"])
@pytest.mark.parametrize(
    ("data", "texts"),
    [
        ("one\ntwo\n", ["one", "two"]),
        ("one\ntwo", ["one", "two"]),
        ("one\r\ntwo\r\n", ["one", "two"]),
        ("\ufeffone\ntwo\n", ["one", "two"]),
        ("\n  one \n\n\t\ntwo\n\n", ["one", "two"]),
        ("Fílm 影片\x85\u2028 two\n", ["Fílm 影片\x85\u2028 two"]),
        ("one<br /><br/>two<br>\n<br />\n", ["one  two"]),
        ("", []),
        ("\ufeff", []),
        ("\n\n", []),
    ],
    ids=["plain", "no newline", "CRLF", "BOM", "empty lines", "one line", "<br />", "empty", "BOM alone", "no text"],
)
def test_texts_are_lines(tmp_path, name, data, texts):
    assert list(read_texts([write(tmp_path / name, data.encode())])) == texts


def test_files_follow_each_other(tmp_path):
    paths = [write(tmp_path / "a.txt", b"one\n"), write(tmp_path / "b.gz", b"two\nthree\n")]
    assert list(read_texts(paths)) == ["one", "two", "three"]


@pytest.mark.parametrize("name", ["texts.txt", "texts.txt.gz"])
def test_bad_utf_8_is_named_with_its_line(tmp_path, name):
    texts = read_texts([write(tmp_path / name, "gut\nschön\n".encode() + "schön\n".encode("latin-1"))])
    assert [next(texts), next(texts)] == ["gut", "schön"]
    with pytest.raises(UserError, match=rf"{name}:3: not UTF-8"):
        next(texts)


@pytest.mark.parametrize("damage", ["cut short", "no gzip", "a bit flipped", "no compression that there is"])
def test_a_gzip_file_that_is_not_whole_is_named(tmp_path, damage):
    data = bytearray(gzip.compress(b"one\n" + random.Random(0).randbytes(1000).hex().encode()))
    if damage == "cut short":
        data = data[:-20]
    elif damage == "no gzip":
        data = b"one\n"
    elif damage == "a bit flipped":
        data[len(data) // 2] ^= 1
    else:
        data[10] = 0xFF
    (tmp_path / "texts.gz").write_bytes(data)
    with pytest.raises(UserError, match=r"texts\.gz: is not a complete gzip file"):
        list(read_texts([tmp_path / "texts.gz"]))


@pytest.mark.parametrize("name", ["nowhere.txt", "nowhere.gz"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(UserError, match=rf"{name}: cannot be read \(No such file"):
        list(read_texts([tmp_path / name]))


def test_memory_does_not_grow_with_the_text(tmp_path, tokenizer, monkeypatch):
    monkeypatch.setattr("minbert.tokenizer.MOST_REMEMBERED", 100)
    paths = [tmp_path / "train.ids", tmp_path / "heldout.ids"]
    peaks = []
    for lines in (300, 3000):
        line = "the film was unaffable, the plot was good. " * 15
        data = "".join(f"{line}{number} {number}th a{number}\n" for number in range(lines))
        text = write(tmp_path / "texts.gz", data.encode())  # 2 MB
        tracemalloc.start()
        assert pack(read_texts([text]), tokenizer, *paths) == lines
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert sum(path.stat().st_size for path in paths) > 800_000
    assert peaks[1] < 1.2 * peaks[0] + 20_000 < 1_000_000


# Repetitions


def test_thirteen_words_in_a_row_are_a_repetition_twelve_are_not():
    overlap = Overlap([sentence(*range(20)), sentence(*range(30, 45))])
    assert sentence(*range(13)) in overlap
    assert sentence(49, *range(7, 20), 49) in overlap
    assert sentence(*range(30, 43)) in overlap
    assert sentence(49, *range(12), 49) not in overlap
    assert sentence(*range(8, 20)) not in overlap
    assert sentence(*range(12), 49, *range(12, 20)) not in overlap
    assert sentence(*range(14, 20), *range(30, 37)) not in overlap  # the end of one, the beginning of the other
    assert sentence(*reversed(range(20))) not in overlap


def test_a_shorter_text_is_a_repetition_as_a_whole():
    overlap = Overlap([sentence(*range(12)), sentence(*range(20, 26)), sentence(*range(40, 45))])
    assert sentence(*range(12)) in overlap
    assert sentence(49, *range(12), 48) in overlap
    assert sentence(*range(11)) not in overlap
    assert sentence(48, 49, *range(20, 26)) in overlap
    assert sentence(*range(21, 26)) not in overlap
    assert sentence(*range(40, 45)) not in overlap  # five words are anybody's
    assert "" not in overlap


def test_case_punctuation_and_line_ends_do_not_matter():
    overlap = Overlap(["It was the best of times, it was the worst<br />of times -- DICKENS wrote"])
    assert "it WAS the best of times it was... (the worst of times) Dickens wrote!" in overlap
    assert "it was the best of times it was the wurst of times dickens wrote" not in overlap
    assert "it wasthe best of times it was the worst of times dickens wrote" not in overlap


def test_nothing_repeats_nothing():
    for overlap in (Overlap([]), Overlap(["", "two words"])):
        assert "" not in overlap
        assert "two words" not in overlap
        assert sentence(*range(30)) not in overlap


def test_repetitions_are_those_that_comparing_all_runs_finds():
    rng = random.Random(0)

    def runs(text, size):
        words = re.findall(r"\w+", text.lower())
        return {tuple(words[at : at + size]) for at in range(len(words) - size + 1)}

    def text(longest):
        return rng.choices(("A", "b", "b,", "c.", "d"), k=rng.randint(0, longest))

    found = 0
    for _ in range(60):
        others = [text(30) for _ in range(4)]
        overlap = Overlap([" ".join(other) for other in others])
        for other in others * 3:
            at, words = rng.randint(0, 8), rng.randint(4, 16)
            mine = " ".join([*text(5), *other[at : at + words], *text(5)])
            expected = False
            for other in map(" ".join, others):
                size = min(13, len(re.findall(r"\w+", other)))
                expected |= size >= 6 and not runs(mine, size).isdisjoint(runs(other, size))
            assert (mine in overlap) == expected
            found += expected
    assert 100 < found < 600


def test_the_memory_for_finding_repetitions_does_not_grow_with_the_text(monkeypatch):
    monkeypatch.setattr(corpus, "REMEMBERED", 100)
    overlap = Overlap([sentence(*range(20))])
    for number in range(1000):
        assert f"word{number}" not in overlap
    assert len(overlap.code_of) <= 102
    assert sentence(*range(3, 18)) in overlap


# Packing


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "train.ids", tmp_path / "heldout.ids"


def texts(number, seed=0):
    rng = random.Random(seed)
    return [
        " ".join(rng.choices([*VOCAB[5:10], "unaffable", "wonderful!", "xyz", "Film"], k=12)) for _ in range(number)
    ]


def test_ids_are_the_tokenizers_and_every_text_is_there_once(paths, tokenizer):
    given = texts(200)
    assert pack(iter(given), tokenizer, *paths) == 200
    expected = {path: [] for path in paths}
    for number, text in enumerate(given, start=1):
        ids = tokenizer.encode(text, add_special_tokens=False)
        expected[paths[number % 20 == 0]] += [*ids, tokenizer.sep_token_id]
    assert {path: np.fromfile(path, np.uint16).tolist() for path in paths} == expected


@pytest.mark.fault("texts: [SEP] or [MASK] written in a text")
def test_control_tokens_written_in_a_text_are_text(paths, tokenizer):
    pack(["[SEP] the [MASK]"], tokenizer, *paths)
    ids = np.fromfile(paths[0], np.uint16).tolist()
    assert tokenizer.convert_ids_to_tokens(ids) == ["[", "sep", "]", "the", "[", "[UNK]", "]", "[SEP]"]


def test_no_more_is_held_out_than_is_needed(paths, tokenizer, monkeypatch):
    monkeypatch.setattr(corpus, "HELD_OUT_TOKENS", 5)
    pack(["the film"] * 100, tokenizer, *paths)  # 3 ids each
    assert [path.stat().st_size // 6 for path in paths] == [98, 2]


def test_words_forgotten_on_the_way_are_looked_up_again(paths, tokenizer, monkeypatch):
    pack(texts(50), tokenizer, *paths)
    expected = paths[0].read_bytes()
    monkeypatch.setattr(corpus, "REMEMBERED", 3)
    pack(texts(50), tokenizer, *paths)
    assert paths[0].read_bytes() == expected


def test_ids_use_all_of_uint16(paths):
    vocab = VOCAB + [f"w{number}" for number in range(65_536 - len(VOCAB))]
    pack([f"{vocab[-1]} film"], BertTokenizer(vocab), *paths)
    assert np.fromfile(paths[0], np.uint16).tolist() == [65_535, VOCAB.index("film"), VOCAB.index("[SEP]")]
    with pytest.raises(UserError, match="the vocabulary has 65537 tokens, but packed text can hold at most 65536"):
        pack(["film"], BertTokenizer([*vocab, "more"]), *paths)


@pytest.mark.parametrize("old", [True, False])
def test_a_full_disk_leaves_no_file_or_the_old_ones(paths, tokenizer, monkeypatch, old):
    if old:
        pack(["the film"], tokenizer, *paths)
    before = {path: path.read_bytes() for path in paths if old}

    class Full:
        """A file on a disk that has room for 100 texts."""

        def __init__(self, *args):
            self.file, self.room = open(*args), 100  # noqa: SIM115

        def write(self, data):
            self.room -= 1
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(data)

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

    monkeypatch.setattr(corpus, "open", Full, raising=False)
    with pytest.raises(UserError, match=r"train\.ids: cannot be written \(No space left on device\)"):
        pack(texts(300), tokenizer, *paths)
    assert {path: path.read_bytes() for path in paths[0].parent.iterdir()} == before


def test_a_text_that_cannot_be_read_leaves_no_file(paths, tokenizer, tmp_path):
    bad = write(tmp_path / "bad.txt", b"the film\n" * 50 + b"\xff\n")
    with pytest.raises(UserError, match=r"bad\.txt:51"):
        pack(read_texts([bad]), tokenizer, *paths)
    assert list(tmp_path.iterdir()) == [bad]


LIMITED = """
import resource
from minbert import BertTokenizer
from minbert.pretraining import corpus
from tests.conftest import VOCAB
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    corpus.pack(("the film " * 100 for _ in range(10_000)), BertTokenizer(VOCAB), "train.ids", "heldout.ids")
except corpus.UserError as error:
    print(error)
"""


@pytest.mark.fault("saving: a process killed or a disk full while a model is written")
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit of the size of files")
def test_a_real_limit_of_the_disk_leaves_no_file(tmp_path):
    ran = subprocess.run(
        [sys.executable, "-c", LIMITED], cwd=tmp_path, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert (ran.stdout, ran.stderr) == ("train.ids: cannot be written (File too large)\n", "")
    assert list(tmp_path.iterdir()) == []


# Rows


@pytest.fixture
def packed(paths, tokenizer):
    pack(texts(300), tokenizer, *paths)
    return TokenFile(paths[0], tokenizer, 16)


@pytest.mark.parametrize(("size", "enough"), [(0, False), (31, False), (32, True)])
@pytest.mark.parametrize(("name", "what"), [("train.ids", "for training"), ("heldout.ids", r"one text in 20")])
def test_two_rows_are_the_least(tmp_path, tokenizer, size, enough, name, what):
    np.full(size, 7, np.uint16).tofile(tmp_path / name)
    if enough:
        assert TokenFile(tmp_path / name, tokenizer, 16).rows(np.random.default_rng(0), 3, 16).shape == (3, 16)
    else:
        with pytest.raises(UserError, match=rf"too little text: {size} tokens .*{what}.* need at least 32; give more"):
            TokenFile(tmp_path / name, tokenizer, 16)


def test_rows_are_runs_of_the_text_between_cls_and_sep(packed, paths, tokenizer):
    ids = np.fromfile(paths[0], np.uint16)
    rows = packed.rows(np.random.default_rng(0), 50, 16)
    assert rows.shape == (50, 16) and rows.dtype == np.int64
    assert set(rows[:, 0]) == {tokenizer.cls_token_id} and set(rows[:, -1]) == {tokenizer.sep_token_id}
    runs = {ids[at : at + 14].tobytes() for at in range(len(ids) - 13)}
    assert all(row[1:-1].astype(np.uint16).tobytes() in runs for row in rows)
    assert len({row.tobytes() for row in rows}) > 40
    assert (rows[:, 1:-1] == tokenizer.sep_token_id).any()  # texts end within a row


def test_rows_begin_everywhere(tmp_path, tokenizer):
    np.arange(40, dtype=np.uint16).tofile(tmp_path / "train.ids")
    packed = TokenFile(tmp_path / "train.ids", tokenizer, 16)
    starts = packed.rows(np.random.default_rng(0), 2000, 16)[:, 1] - 1
    assert np.bincount(starts).tolist() == pytest.approx([80] * 25, abs=4 * 80**0.5)


def test_the_same_generator_gives_the_same_rows(packed):
    for take in (packed.rows, packed.pairs):
        first, again, other = (take(np.random.default_rng(seed), 8, 16) for seed in (1, 1, 2))
        assert np.array_equal(first[0], again[0]) and not np.array_equal(first[0], other[0])


def test_what_is_special_and_what_goes_on(packed, tokenizer):
    assert [tokenizer.tokens[id] for id in np.flatnonzero(packed.special)] == VOCAB[:5]
    assert [tokenizer.tokens[id] for id in np.flatnonzero(packed.continues)] == [t for t in VOCAB if t[:2] == "##"]


@pytest.mark.parametrize("length", [8, 16, 33])
def test_pairs(tmp_path, tokenizer, length):
    """A text in which each id is the one before plus 1, so that what follows what can be seen."""
    (np.arange(20_000) % 60_000 + 5).astype(np.uint16).tofile(tmp_path / "train.ids")
    packed = TokenFile(tmp_path / "train.ids", tokenizer, length)
    rows, segments, labels = packed.pairs(np.random.default_rng(0), 1000, length)
    assert rows.shape == segments.shape == (1000, length) and labels.shape == (1000,)
    assert all(array.dtype == np.int64 for array in (rows, segments, labels))
    assert (rows == tokenizer.cls_token_id).sum(1).tolist() == [1] * 1000
    assert labels.sum() == pytest.approx(500, abs=4 * 250**0.5)
    sizes = set()
    for row, segment, label in zip(rows, segments, labels):
        first, second = np.flatnonzero(row == tokenizer.sep_token_id)
        assert row[0] == tokenizer.cls_token_id and second == length - 1
        assert segment.tolist() == [0] * (first + 1) + [1] * (length - first - 1)
        a, b = row[1:first], row[first + 1 : second]
        assert (np.diff(a) == 1).all() and (np.diff(b) == 1).all()
        assert (b[0] == a[-1] + 2) == (label == 0)  # one id gave way to [SEP]
        sizes.add(len(a))
    assert sizes == set(range(length // 4 - 1, 3 * length // 4 - 1))


def test_ids_are_mapped_not_read(packed):
    assert isinstance(packed.ids, np.memmap)
    assert Path(packed.ids.filename).name == "train.ids"
