"""A file of texts, of any size -> its rows one after the other, in memory that does not grow with the file.

    lines   one text a line; empty lines at the end are no rows
    table   CSV or TSV with a header; a quoted text may hold line breaks; empty lines between rows are no rows

A path or "-", the standard input; plain or gzipped. `formats.recognise` tells a table from lines by how a file begins.
"""

import gzip
import sys
from collections import deque
from contextlib import nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from minbert.errors import UserError
from minbert.files import formats, table
from minbert.files import lines as line_reader

BLOCK = 2**20  # bytes that are read at once
LONGEST = 2**24  # bytes of a line, or of a table's row in several lines; what is longer is reported and not held
LOOK = 20  # lines by which the form is recognised
TEXTS, CHARACTERS = 4096, 2**22  # of a window


class Row(NamedTuple):
    """A row of a file. Bad rows are counted too, so that a row's number does not depend on what others hold."""

    number: int  # from 1; in a file of lines, the line's
    line: int  # where it begins, or its first bad line
    text: str
    problem: str | None  # why it holds no text


def read_rows(path, text_column=None):
    """(form, rows): how the file was read, "table" or another of formats.FORMATS, and an iterator of its Rows.

    Any form but a table is read as lines, each of which is a text as a whole. Raises UserError, now or when that place
    is reached, if the file cannot be read; now if it is empty or the table lacks the column.
    """
    lines = read_lines(path)
    begin = list(islice(lines, LOOK))
    texts = [line for line, _ in begin]
    header = next((line for line in texts if line.strip()), None)
    if header is None and (text_column or len(begin) < LOOK):
        raise UserError(f"{path}: the file is empty" + (f" in its first {LOOK} lines" if len(begin) == LOOK else ""))
    form = "lines"
    if header is not None:
        form = "table" if text_column else formats.recognise(Path(path), texts, labels_required=False)
    lines = chain(begin, lines)
    if form != "table":
        return form, line_rows(lines)
    records = read_records(lines, table.delimiter_of(header))
    number, _, header, reason = next(records)
    if reason:
        raise UserError(f"{path}:{number}: the header cannot be read: {reason}")
    header = [cell.strip() for cell in header]
    column = table.column(path, header, text_column, formats.TEXT_COLUMNS, "text")
    return form, table_rows(records, header, column)


def windows(rows, bad):
    """Lists of rows in their order, each small enough to be held; the last may be empty.

    bad  called with each row that holds no text, which is in no list
    """
    window, size = [], 0
    for row in rows:
        if row.problem:
            bad(row)
            continue
        window.append(row)
        size += len(row.text)
        if len(window) == TEXTS or size >= CHARACTERS:
            yield window
            window, size = [], 0
    yield window


def read_lines(path):
    """The lines of a file, decoded: (line, what is wrong with it or None)."""
    with (
        line_reader.file_errors(Path(path)),
        nullcontext(sys.stdin.buffer) if path == "-" else open(path, "rb") as file,
    ):
        stream = gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == line_reader.GZIP else file
        block = stream.read(BLOCK)
        line_reader.check_beginning(path, block)
        block, rest = block.removeprefix(line_reader.BOM), b""
        old_mac = block.count(b"\r") > 2 * block.count(b"\n")  # as in lines.decode
        while block:
            if old_mac:
                block = block.replace(b"\r", b"\n")
            *whole, rest = (rest + block).split(b"\n")
            yield from map(decode, whole)
            rest = rest[: LONGEST + 1]  # that it is too long can be seen from this
            block = stream.read(BLOCK)
        if rest:
            yield decode(rest)


def decode(raw):
    return ("", f"longer than {LONGEST:,} bytes") if len(raw) > LONGEST else line_reader.decode_line(raw)


def line_rows(lines):
    empty = 0  # lines, of which nobody knows yet whether they are the end
    for number, (line, problem) in enumerate(lines, start=1):
        if not line.strip() and not problem:
            empty += 1
            continue
        for at in range(number - empty, number):
            yield Row(at, at, "", "empty line")
        empty = 0
        yield Row(number, number, line.strip(), problem)


def table_rows(records, header, column):
    for number, (line, count, fields, problem) in enumerate(records, start=1):
        problem = problem or table.ragged(line, count, fields, header)
        text = "" if problem else fields[column].strip()
        yield Row(number, line, text, problem or (None if text else "empty text"))


def read_records(lines, delimiter):
    """What table.records gives, from an iterator: a quote that is not closed costs its own line and no other."""
    source = ((number, line, problem) for number, (line, problem) in enumerate(lines, start=1))
    taken, again = [], deque()  # lines of this row; lines that an open quote ran over, to be read once more
    vain = 0  # the last line to which an open quote ran in vain: as in table.records, the next is not followed

    def following():
        size = 0
        while entry := again.popleft() if again else next(source, None):
            taken.append(entry)
            yield entry[1]
            size += len(entry[1]) + 100  # with what Python needs to hold a short line
            if size > LONGEST or taken[0][0] < vain:
                return

    while True:
        taken.clear()
        fields, count, reason, ran = table.first_record(following(), delimiter)
        if not count:
            return
        vain = max(vain, taken[0][0] + ran - 1)
        again.extendleft(reversed(taken[count:]))
        bad = next((entry for entry in taken[:count] if entry[2]), None)
        number, line, _ = taken[0]
        if bad:
            yield bad[0], count, fields, bad[2]
        elif line.strip():
            yield number, count, fields, reason
