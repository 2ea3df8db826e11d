"""CoNLL -> sentences of words, with a tag for each word. Every bad row is reported, with the number of its line.

    -DOCSTART- -X- -X- O        begins a document: skipped
                                an empty line ends a sentence
    EU   NNP  B-NP  B-ORG       a word in the first column, its tag in the last, of as many as the first row has
    rejects VBZ B-VP O

Columns are parted by a tab where the line has one, or else by blanks. Between two sentences, a line that begins with #
and a blank and ends in no tag is a comment. The tags are O, or B-, I-, E-, S- (BILOU: L-, U-) and a kind.
"""

import hashlib
import re
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path

from minbert.errors import UserError
from minbert.files import stream
from minbert.files.lines import decode, load

DOCUMENT = "-DOCSTART-"
LETTERS = "BIESLU"
LONGEST = 10_000  # characters of a line; a longer one is no word


@dataclass
class Sentences:
    """What a file holds: sentences, and the rows that are none. A sentence with a bad row is not used as a whole."""

    path: str
    words: list = field(default_factory=list)  # of each sentence
    tags: list = field(default_factory=list)  # of each sentence, one for each word; empty if the file has none
    lines: list = field(default_factory=list)  # of each sentence: the number of each word's line, from 1
    problems: list = field(default_factory=list)  # (line, reason)
    left_out: int = 0  # good rows of sentences that have a bad one
    sha256: str = ""
    format, columns, pairs, unit = "CoNLL", "", (), "sentence"

    @property
    def texts(self):
        return [" ".join(words) for words in self.words]

    @property
    def labelled(self):
        return len(self.tags) == len(self.words) > 0

    def line(self, index):
        """Where a sentence begins, from 1."""
        return self.lines[index][0]

    def rewrite(self, function):
        """Change the words."""
        self.words = [list(map(function, words)) for words in self.words]

    def select(self, wanted):
        """Only the sentences with these numbers."""
        for name in ("words", "tags", "lines"):
            values = getattr(self, name)
            setattr(self, name, [values[index] for index in wanted] if values else [])


def is_tag(text):
    """O, or a letter, with or without a kind behind it."""
    return re.fullmatch(rf"O|[{LETTERS}](-.+)?", text) is not None


def is_conll(lines):
    """Whether a file that begins with these lines is one of tagged words: most rows end in a tag, and one names a kind
    or is O, and an empty line or DOCUMENT stands between two of them."""
    rows = [cells_of(line) for line in lines if line.strip() and not line.startswith("# ")]
    parted = "\n\n" in "\n".join(map(str.strip, lines)).strip() or any(row[0] == DOCUMENT for row in rows)
    tags = [row[-1] for row in rows if len(row) > 1 and is_tag(row[-1])]
    return parted and 5 * len(tags) >= 4 * len(rows) > 0 and any(tag == "O" or len(tag) > 2 for tag in tags)


def may_be_words(lines):
    """Whether these lines may be of CoNLL with mistakes, or without tags: one word each, or a tag in most of them."""
    rows = [cells_of(line) for line in lines if line.strip()]
    return all(len(row) == 1 for row in rows) or 2 * sum(is_tag(row[-1]) for row in rows) > len(rows)


def sentences(lines):
    """The good rows of each sentence, (word, tag or None, line), and its bad ones, (line, reason).

    lines  as stream.read_lines gives them
    """
    width, good, bad = None, [], []
    for number, (line, reason) in enumerate(lines, start=1):
        cells = cells_of(line)
        if not reason and (not line.strip() or cells[0] == DOCUMENT):
            if good or bad:
                yield good, bad
            good, bad = [], []
            continue
        if not (reason or good or bad) and line.startswith("# ") and not is_tag(cells[-1]):
            continue
        width = width or (None if reason else len(cells))
        if reason := reason or row_problem(line, cells, width):
            bad.append((number, reason))
        else:
            good.append((cells[0], cells[-1] if width > 1 else None, number))
    if good or bad:
        yield good, bad


def read_conll(path, tags_required=True, encoding=None):
    """Read a file of tagged words. Bad rows are collected in .problems, nothing is dropped in silence.

    tags_required  False: rows may hold a word alone, all of them
    encoding       as in read_examples
    Raises UserError if the file as a whole cannot be used: absent, empty, or without tags that are required.
    """
    path = Path(path)
    lines, reasons = decode(load(path, encoding, format="lines"))
    found = Sentences(str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    if not any(line.strip() for line in lines):
        raise UserError(f"{path}: the file is empty")
    for good, bad in sentences((line, reasons.get(number)) for number, line in enumerate(lines, start=1)):
        if good and tags_required and good[0][1] is None:
            raise UserError(f"{path}:{good[0][2]}: each line should be a word, and its tag in the last column")
        found.problems += bad
        if bad:
            found.left_out += len(good)
            continue
        words, tags, numbers = (list(column) for column in zip(*good))
        found.words.append(words)
        found.lines.append(numbers)
        found.tags += [] if tags[0] is None else [tags]
    if not found.words and not found.problems:
        raise UserError(f"{path}: holds no sentence")
    return found


def rows(path, encoding=None):
    """A stream.Row for each sentence, its words in Row.beside: tags are not read.

    A file without tags has a word a line, and an empty line between two sentences; or else it is one of plain texts,
    one a line. Raises UserError, when that place is reached, if it cannot be read, or is empty.
    """
    lines = stream.read_lines(path, encoding, format="lines")
    begin = list(islice(lines, stream.LOOK))
    texts = [line for line, _ in begin if line.strip()]
    if not texts:
        raise UserError(f"{path}: the file is empty")
    lines = chain(begin, lines)
    words = all(len(cells_of(line)) == 1 for line in texts) and len(texts) > 1
    if not words and not is_conll([line for line, _ in begin]):
        yield from stream.line_rows(lines)
        return
    for number, (good, bad) in enumerate(sentences(lines), start=1):
        words = tuple(word for word, _, _ in good)
        line, reason = bad[0] if bad else (good[0][2], None)
        yield stream.Row(number, line, " ".join(words), reason, words)


def cells_of(line):
    """The columns of a line. A word may hold other white space than blanks and tabs."""
    bare = line.strip(" ")
    return [cell.strip(" ") for cell in line.split("\t")] if "\t" in bare else re.split(" +", bare)


def row_problem(line, cells, width):
    """Why a row is refused, or None."""
    if len(line) > LONGEST:
        return f"longer than {LONGEST:,} characters"
    if len(cells) != width:
        return f"ragged row: {len(cells)} columns, but the first row has {width}"
    if not cells[0]:
        return "no word in the first column"
    if width > 1 and not is_tag(cells[-1]):
        return f"{cells[-1]!r:.40} is no tag: O, or B-, I-, E- or S- and a kind"
    return None


def tag_names(sentences):
    """The tags that occur: O first, then by kind, and in the order of LETTERS."""
    found = {tag for tags in sentences.tags for tag in tags}
    order = sorted(found - {"O"}, key=lambda tag: (tag[2:], LETTERS.index(tag[0])))
    return ("O", *order)


def refuse_unknown_tags(sentences, known):
    """Move the sentences with a tag that is not known to .problems, a line for each such word."""
    if not sentences.labelled:
        return
    good = []
    for at, (tags, lines) in enumerate(zip(sentences.tags, sentences.lines)):
        unknown = [(line, tag) for line, tag in zip(lines, tags) if tag not in known]
        sentences.problems += [(line, f"tag {tag!r:.40} is not one of: {', '.join(known)}") for line, tag in unknown]
        if unknown:
            sentences.left_out += len(tags) - len(unknown)
        else:
            good.append(at)
    sentences.problems.sort()
    if len(good) < len(sentences.words):
        sentences.select(good)
