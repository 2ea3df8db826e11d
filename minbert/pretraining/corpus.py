"""Text to pretrain on: read line by line, packed as ids in a file, cut into rows; in memory that does not grow."""

import gzip
import re
import zlib
from pathlib import Path

import numpy as np

from minbert.atomic import atomic_write
from minbert.errors import UserError

BREAK = re.compile(r"<br\s*/?>")  # a line's end in text taken from web pages
REMEMBERED = 500_000  # words whose numbers are kept
HELD_OUT = 20  # one text in so many is held out,
MOST_HELD_OUT = 200_000  # until that many tokens are
NGRAM = 13  # words in a row that two texts do not share by chance (Brown et al. 2020, appendix C)


def read_texts(paths):
    """The texts of plain or gzipped UTF-8 files, one a line, one at a time; empty lines and <br /> are left out."""
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
            raise UserError(f"{path}: is not a whole gzip file") from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None


class Overlap:
    """Finds texts that repeat other texts, those of a test set say: NGRAM words in a row, or a shorter text as a whole.

    Words are runs of letters and digits, in lower case; a text of fewer than NGRAM // 2 is not looked for, for it could
    be anybody's. What is kept is 8 bytes for each word of the other texts.
    """

    def __init__(self, texts):
        self.codes = {}
        grams, self.short = [], {}
        for text in texts:
            words = self.words(text)
            if len(words) >= NGRAM:
                grams.append(ngrams(words, NGRAM))
            elif len(words) >= NGRAM // 2:
                self.short.setdefault(len(words), set()).update(ngrams(words, len(words)).tolist())
        self.grams = np.unique(np.concatenate(grams)) if grams else np.empty(0, np.uint64)

    def words(self, text):
        """A number for each word, the same on every machine: uint64 [words]."""
        words = re.findall(r"\w+", BREAK.sub(" ", text).lower())  # as read_texts gives them
        if len(self.codes) > REMEMBERED:
            self.codes.clear()
        for word in words:
            if word not in self.codes:
                self.codes[word] = zlib.crc32(word.encode()) << 32 | zlib.adler32(word.encode())
        return np.array([self.codes[word] for word in words], np.uint64)

    def __contains__(self, text):
        words = self.words(text)
        grams = ngrams(words, NGRAM)
        at = np.searchsorted(self.grams, grams) % max(1, len(self.grams))
        if len(self.grams) and (self.grams[at] == grams).any():
            return True
        return any(not known.isdisjoint(ngrams(words, size).tolist()) for size, known in self.short.items())


def ngrams(words, size):
    """A number for each run of `size` words: uint64 [words - size + 1]"""
    total = np.zeros(max(0, len(words) - size + 1), np.uint64)
    for offset in range(size if len(total) else 0):
        total = total * np.uint64(0x9E3779B97F4A7C15) + words[offset : offset + len(total)]  # modulo 2^64
    return total


def pack(texts, tokenizer, train, heldout):
    """Write the ids of the texts as uint16, each text closed by [SEP]: most to the file train, one in 20 to heldout.

    Returns the number of texts. If anything goes wrong neither file is left; raises UserError if they cannot be
    written, or the vocabulary is too large for uint16.
    """
    if len(tokenizer) > 1 << 16:
        raise UserError(f"the vocabulary has {len(tokenizer)} tokens, but packed text can hold {1 << 16} at most")
    number, total = -1, 0
    with (
        atomic_write(heldout) as new_heldout,
        atomic_write(train) as new_train,
        open(new_train, "wb") as most,
        open(new_heldout, "wb") as some,
    ):
        for number, text in enumerate(texts):
            ids = [*tokenizer.text_to_ids(text), tokenizer.sep_token_id]
            held = number % HELD_OUT == HELD_OUT - 1 and total < MOST_HELD_OUT
            total += held * len(ids)
            (some if held else most).write(np.array(ids, np.uint16).tobytes())
    return number + 1


class Packed:
    """Packed ids as training reads them, mapped from their file: memory does not grow with the text.

    Raises UserError if the file holds less than two rows of `length` ids.
    """

    def __init__(self, path, tokenizer, length):
        size = Path(path).stat().st_size // 2
        if size < 2 * length:
            part = "to train on" if "train" in Path(path).name else f"to measure by (one text in {HELD_OUT})"
            raise UserError(
                f"too little text: {size} tokens {part}, and rows of {length} need {2 * length} at least; "
                "give more text, one a line, or a smaller --max_length"
            )
        self.ids = np.memmap(path, np.uint16, mode="r")
        self.cls, self.sep, self.mask = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id
        tokens = [tokenizer.tokens[id] for id in range(len(tokenizer))]
        self.special = np.array([token in tokenizer.special for token in tokens])
        self.continues = np.array([token.startswith("##") for token in tokens])

    def rows(self, rng, number, length):
        """[CLS] text [SEP] from anywhere in the text: ids, int64 [number, length]"""
        starts = rng.integers(0, len(self.ids) - length + 1, number)
        rows = np.stack([self.ids[start : start + length] for start in starts]).astype(np.int64)
        rows[:, 0], rows[:, -1] = self.cls, self.sep
        return rows

    def pairs(self, rng, number, length):
        """[CLS] A [SEP] B [SEP]: ids and segments [number, length], and labels [number]: 0 if B follows A, 1 if not.

        Every second B, by chance, is taken from elsewhere in the text (section 3.1, task 2).
        """
        rows, other = self.rows(rng, number, length), self.rows(rng, number, length)
        cut = rng.integers(length // 4, 3 * length // 4, number)[:, None]  # where A's [SEP] stands
        second = np.arange(length) > cut
        elsewhere = rng.random(number) < 0.5
        rows = np.where(second & elsewhere[:, None], other, rows)
        np.put_along_axis(rows, cut, self.sep, axis=1)
        return rows, second.astype(np.int64), elsewhere.astype(np.int64)
