"""Text to pretrain on: read line by line, stored as ids in a file, cut into rows. Memory stays bounded."""

import gzip
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from minbert.atomic import atomic_write
from minbert.encoding import Tokenizer
from minbert.errors import UserError
from minbert.tokenizer import BertTokenizer

BREAK = re.compile(r"<br\s*/?>")  # a line break in text from web pages
REMEMBERED = 500_000  # words whose numbers are cached
HELD_OUT = 20  # one text in 20 is held out,
HELD_OUT_TOKENS = 200_000  # until there are this many tokens
NGRAM = 13  # two texts do not share this many words in a row by chance (Brown et al. 2020, appendix C)


def read_texts(paths: Iterable[str | Path]) -> Iterator[str]:
    """Yield the texts of plain or gzipped UTF-8 files, one per line, without empty lines and <br />.

    Raises UserError for a file that cannot be read, with the number of a line that is not UTF-8.
    """
    for path in paths:
        try:
            with (gzip.open if str(path).endswith(".gz") else open)(path, "rb") as stream:
                for number, line in enumerate(stream, start=1):
                    text = BREAK.sub(" ", line.decode("utf-8-sig" if number == 1 else "utf-8")).strip()
                    if text:
                        yield text
        except UnicodeDecodeError:
            raise UserError(f"{path}:{number}: not UTF-8") from None
        except (EOFError, gzip.BadGzipFile, zlib.error):
            raise UserError(f"{path}: is not a complete gzip file") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None


class Overlap:
    """Finds repetitions of given texts, a test set's for example: `text in overlap`.

    A repetition is NGRAM words in a row, or all words of a shorter text. A text of fewer than NGRAM // 2 words is not
    looked for: anyone could have written it. Words are runs of letters and digits, in lower case. Each word of the
    given texts costs 8 bytes of memory.
    """

    def __init__(self, texts: Iterable[str]):
        self.code_of = {}
        grams, self.short = [], {}
        for text in texts:
            codes = self.codes(text)
            if len(codes) >= NGRAM:
                grams.append(ngrams(codes, NGRAM))
            elif len(codes) >= NGRAM // 2:
                self.short.setdefault(len(codes), set()).update(ngrams(codes, len(codes)).tolist())
        self.grams = np.unique(np.concatenate(grams)) if grams else np.empty(0, np.uint64)

    def codes(self, text: str) -> np.ndarray:
        """A number for each word, the same on every machine: uint64 [words]"""
        words = re.findall(r"\w+", BREAK.sub(" ", text).lower())  # without <br />, as in read_texts
        if len(self.code_of) > REMEMBERED:
            self.code_of.clear()
        for word in words:
            if word not in self.code_of:
                self.code_of[word] = zlib.crc32(word.encode()) << 32 | zlib.adler32(word.encode())
        return np.array([self.code_of[word] for word in words], np.uint64)

    def __contains__(self, text: str) -> bool:
        codes = self.codes(text)
        grams = ngrams(codes, NGRAM)
        candidates = np.searchsorted(self.grams, grams) % max(1, len(self.grams))
        if len(self.grams) and (self.grams[candidates] == grams).any():
            return True
        return any(not known.isdisjoint(ngrams(codes, size).tolist()) for size, known in self.short.items())


def ngrams(codes: np.ndarray, size: int) -> np.ndarray:
    """A number for each run of `size` words, from the words' numbers: uint64 [words - size + 1]"""
    total = np.zeros(max(0, len(codes) - size + 1), np.uint64)
    for offset in range(size if len(total) else 0):
        total = total * np.uint64(0x9E3779B97F4A7C15) + codes[offset : offset + len(total)]  # modulo 2^64
    return total


def pack(
    texts: Iterable[str], tokenizer: Tokenizer, train: str | Path, heldout: str | Path, end: int | None = None
) -> int:
    """Write the texts' ids to two files as uint16, with `end` after each text; return the number of texts.

    end  an id; None: that of [SEP]
    One text in HELD_OUT goes to the file `heldout`, the others to `train`. If anything goes wrong, neither is written.
    Raises UserError if they cannot be written, or if the vocabulary is too large for uint16.
    """
    if len(tokenizer) > 1 << 16:
        raise UserError(f"the vocabulary has {len(tokenizer)} tokens, but packed text can hold at most {1 << 16}")
    end = tokenizer.sep_token_id if end is None else end
    number, held_out = -1, 0
    with (
        atomic_write(heldout) as new_heldout,
        atomic_write(train) as new_train,
        open(new_train, "wb") as train_file,
        open(new_heldout, "wb") as heldout_file,
    ):
        for number, text in enumerate(texts):
            ids = [*tokenizer.text_to_ids(text), end]
            hold_out = number % HELD_OUT == HELD_OUT - 1 and held_out < HELD_OUT_TOKENS
            held_out += hold_out * len(ids)
            (heldout_file if hold_out else train_file).write(np.array(ids, np.uint16).tobytes())
    return number + 1


class IdFile:
    """A file of `pack`, cut into rows for training. It is mapped: memory does not grow with the text.

    Raises UserError if the file holds fewer than two rows of `length` ids.
    """

    def __init__(self, path: str | Path, length: int):
        size = Path(path).stat().st_size // 2
        if size < 2 * length:
            use = "for training" if "train" in Path(path).name else f"held out (one text in {HELD_OUT})"
            raise UserError(
                f"too little text: {size} tokens {use}, but rows of {length} need at least {2 * length}; "
                "give more text, one per line, or a smaller --max_length"
            )
        self.ids = np.memmap(path, np.uint16, mode="r")

    def rows(self, rng: np.random.Generator, number: int, length: int) -> np.ndarray:
        """Runs of ids, each from a random place in the file: int64 [number, length]"""
        starts = rng.integers(0, len(self.ids) - length + 1, number)
        return np.stack([self.ids[start : start + length] for start in starts]).astype(np.int64)


class TokenFile(IdFile):
    """The same for BERT: each row is [CLS] text [SEP].

    special, continues  for each token of the vocabulary: whether it is a special one; whether it continues a word
    """

    def __init__(self, path: str | Path, tokenizer: BertTokenizer, length: int):
        super().__init__(path, length)
        self.cls, self.sep, self.mask = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id
        tokens = [tokenizer.tokens[id] for id in range(len(tokenizer))]
        self.special = np.array([token in tokenizer.special for token in tokens])
        self.continues = np.array([token.startswith("##") for token in tokens])

    def rows(self, rng: np.random.Generator, number: int, length: int) -> np.ndarray:
        """As in IdFile, with the special tokens in the first and the last place"""
        rows = super().rows(rng, number, length)
        rows[:, 0], rows[:, -1] = self.cls, self.sep
        return rows

    def pairs(self, rng: np.random.Generator, number: int, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """[CLS] A [SEP] B [SEP]: ids and segments [number, length], labels [number]: 0 if B follows A, 1 if not.

        With probability 1/2, B comes from elsewhere in the file (Devlin et al. 2019, section 3.1, task 2).
        """
        rows, other = self.rows(rng, number, length), self.rows(rng, number, length)
        cut = rng.integers(length // 4, 3 * length // 4, number)[:, None]  # the position of A's [SEP]
        second = np.arange(length) > cut
        elsewhere = rng.random(number) < 0.5
        rows = np.where(second & elsewhere[:, None], other, rows)
        np.put_along_axis(rows, cut, self.sep, axis=1)
        return rows, second.astype(np.int64), elsewhere.astype(np.int64)
