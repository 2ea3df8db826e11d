"""What a file asks for, seen from its form: a tag for each word, answers in a passage, or an answer for each row."""

from pathlib import Path

from minbert.errors import UserError
from minbert.files import conll, squad, stream
from minbert.files.lines import PARQUET, blocks

TITLES = {"tags": "CoNLL, with a tag for each word", "spans": "SQuAD's JSON, with answers in passages"}


def kind_of(path, encoding=None):
    """ "tags" of CoNLL, "spans" of SQuAD's JSON, or None of any other form, and of what is no file but a pipe.

    Raises UserError if the file cannot be read.
    """
    begin, lines = beginning(path, encoding)
    if squad.is_squad(begin) and b'"paragraphs"' in begin:  # lines of JSON may begin with a version, too
        return "spans"
    return "tags" if conll.is_conll(lines) else None


def beginning(path, encoding):
    """The first bytes of a file, and its first lines; nothing of Parquet and of pipes, which are read once."""
    begin = b""
    if Path(path).is_file():
        begin = next(blocks(Path(path), encoding, stream.BLOCK, format="lines"), b"")
    if begin.startswith(PARQUET):
        begin = b""
    lines = begin.decode(errors="replace").replace("\r\n", "\n").split("\n")[: stream.LOOK]
    return begin, lines


def check_kind(path, kind, encoding=None):
    """Raise UserError if the form of a file contradicts the kind of its answers."""
    found = kind_of(path, encoding)
    if found and found != kind:
        raise UserError(f"{path}: is {TITLES[found]}: it needs --label_kind {found}, not {kind}")
    begin, lines = beginning(path, encoding)
    if kind in TITLES and begin and not found and not (kind == "tags" and conll.may_be_words(lines)):
        raise UserError(f"{path}: is not {TITLES[kind]}: --label_kind {kind} needs that form")
