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
    if not Path(path).is_file():
        return None
    begin = next(blocks(Path(path), encoding, stream.BLOCK, format="lines"), b"")
    if begin.startswith(PARQUET):
        return None
    if squad.is_squad(begin):
        return "spans"
    lines = begin.decode(errors="replace").replace("\r\n", "\n").split("\n")[: stream.LOOK]
    return "tags" if conll.is_conll(lines[:-1] if len(begin) == stream.BLOCK else lines) else None


def check_kind(path, kind, encoding=None):
    """Raise UserError if the form of a file contradicts the kind of its answers."""
    found = kind_of(path, encoding)
    if found and found != kind:
        raise UserError(f"{path}: is {TITLES[found]}: it needs --label_kind {found}, not {kind}")
    if kind == "spans" and not found and Path(path).is_file():
        raise UserError(f"{path}: is not {TITLES['spans']}, as --label_kind spans needs it")
