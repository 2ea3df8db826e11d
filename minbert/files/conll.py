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
from pathlib import Path

from minbert.errors import UserError
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

    @property
    def texts(self):
        return [" ".join(words) for words in self.words]

    @property
    def labelled(self):
        return len(self.tags) == len(self.words) > 0

    def select(self, wanted):
        """Only the sentences with these numbers."""
        for name in ("words", "tags", "lines"):
            values = getattr(self, name)
            setattr(self, name, [values[index] for index in wanted] if values else [])


def is_tag(text):
    """O, or a letter, with or without a kind behind it."""
    return re.fullmatch(rf"O|[{LETTERS}](-.+)?", text) is not None


def read_conll(path, tags_required=True, encoding=None):
    """Read a file of tagged words. Bad rows are collected in .problems, nothing is dropped in silence.

    tags_required  False: rows may hold a word alone, all of them
    encoding       as in read_examples
    Raises UserError if the file as a whole cannot be used: absent, empty, or without tags that are required.
    """
    path = Path(path)
    lines, bad = decode(load(path, encoding, format="lines"))
    found = Sentences(str(path), sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    if not any(line.strip() for line in lines):
        raise UserError(f"{path}: the file is empty")
    width, rows, broken = None, [], False

    def close():
        nonlocal rows, broken
        if rows and not broken:
            words, tags, numbers = (list(column) for column in zip(*rows))
            found.words.append(words)
            found.lines.append(numbers)
            found.tags += [tags] if width > 1 else []
        elif broken:
            found.left_out += len(rows)
        rows, broken = [], False

    for number, line in enumerate(lines, start=1):
        if number not in bad and not line.strip():
            close()
            continue
        cells = cells_of(line)
        if number not in bad and cells[0] == DOCUMENT:
            close()
            continue
        if number not in bad and not rows and not broken and line.startswith("# ") and not is_tag(cells[-1]):
            continue
        if width is None and number not in bad:
            width = len(cells)
            if width == 1 and tags_required:
                raise UserError(f"{path}:{number}: each line should be a word, and its tag in the last column")
        reason = bad.get(number) or row_problem(line, cells, width)
        if reason:
            found.problems.append((number, reason))
            broken = True
        else:
            rows.append((cells[0], cells[-1], number))
    close()
    if not found.words and not found.problems:
        raise UserError(f"{path}: holds no sentence")
    return found


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
