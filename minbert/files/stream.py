"""A file of texts, of any size -> its rows one after the other, in memory that does not grow with the file.

It reads the forms of files/examples.py, and tells them apart in the same way. Labels are not read. In a file of lines,
empty lines at the end are no rows; in the other forms, no empty line is a row. A JSON array alone is held in memory.

A path or "-", the standard input; plain or packed.
"""

from collections import deque
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from minbert.errors import UserError
from minbert.files import examples, formats, objects, table
from minbert.files import lines as line_reader

BLOCK = 2**20  # bytes that are read at once
LONGEST = 2**24  # bytes of a line, or of a table's row in several lines; what is longer is reported and not held
LOOK = 2 * formats.LOOK  # lines by which the form is recognised
TEXTS, CHARACTERS = 4096, 2**22  # of a window
EMPTY = "empty text"


class Row(NamedTuple):
    """A row of a file. Bad rows are counted too, so that a row's number does not depend on what others hold."""

    number: int  # from 1; in a file of lines, the line's
    line: int  # where it begins, or its first bad line
    text: str
    problem: str | None  # why it holds no text
    beside: tuple[str, ...] = ()  # the cells of other columns; "" where there is none


def read_rows(
    path,
    text_column=None,
    format=None,
    no_header=False,
    encoding=None,
    quoting=None,
    beside=None,
    pair_column=None,
    pairs=False,
):
    """(form, rows): one of formats.FORMATS, and an iterator of the file's Rows.

    beside  other columns to read: {the word of its flag: its name}, {"title": "headline"} for --title_column headline

    The other arguments are those of examples.read_examples; the second text of a row is the last of Row.beside.
    Raises UserError, now or when that place is reached, if the file cannot be read; now if it is empty, of no form that
    is read, or lacks a column.
    """
    how = formats.How(format, text_column, None, no_header, encoding, quoting, pair_column, pairs)
    beside = beside or {}
    blocks = line_reader.blocks(Path(path), encoding, BLOCK, format)
    first = next((block for block in blocks if block), b"")
    if first.startswith(line_reader.PARQUET):
        return parquet_rows(path, how, beside)
    blocks = chain([first], blocks)
    lines = split_blocks(blocks)
    begin = list(islice(lines, LOOK))
    texts = [line for line, _ in begin]
    if not any(line.strip() for line in texts):
        if text_column or no_header or len(begin) < LOOK:
            where = f" in its first {LOOK} lines" if len(begin) == LOOK else ""
            raise UserError(f"{path}: the file is empty{where}")
        return "lines", line_rows(chain(begin, lines))
    form = formats.recognise(Path(path), texts, how, labels_required=False)
    if form == "parquet":
        raise UserError(f"{path}: is not Parquet: leave --format out")
    if form == "table":
        return form, table_rows(path, begin, lines, how, beside)
    lines = chain(begin, lines)
    if beside and form not in ("json", "jsonl"):
        flag = f"--{next(iter(beside))}_column"
        raise UserError(f"{path}: {flag} is for a table, JSON or Parquet, and this is {form}: leave {flag} out")
    if form == "lines":
        return form, line_rows(lines)
    if form in ("json", "jsonl"):
        rows = objects.json_lines(lines) if form == "jsonl" else json_array(path, lines)
        names, rows = objects.field_names(path, rows)
        how, beside = with_pair(how, names, beside)
        text, _ = formats.choose_columns(path, names, how, False, wants_label=False, form=form)
        others = [names[at] for at in columns_beside(path, names, text, beside)]
        return form, object_rows(rows, names[text], others, bool(how.pair_column))
    return form, split_rows(lines, form)


def with_pair(how, names, beside):
    """how and beside, with the column of the second text if it is named, or known by its name."""
    how = how.with_pair(names)
    return how, beside | ({"pair": how.pair_column} if how.pair_column else {})


def columns_beside(path, names, text, beside):
    """The indices of the columns beside the text's. Raises UserError if one is not there, or is named twice."""
    found, taken = [], {text: "text"}
    for word, wanted in beside.items():
        at = table.column(path, names, wanted, (), word)
        if at in taken:
            raise UserError(f"{path}: {names[at]!r} is named as the {taken[at]} and as the {word}")
        taken[at] = word
        found.append(at)
    return found


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
        size += len(row.text) + sum(map(len, row.beside))
        if len(window) == TEXTS or size >= CHARACTERS:
            yield window
            window, size = [], 0
    yield window


def read_lines(path, encoding=None, format=None):
    """The lines of a file, decoded: (line, what is wrong with it or None)."""
    return split_blocks(line_reader.blocks(Path(path), encoding, BLOCK, format))


def split_blocks(blocks):
    """Blocks of bytes -> lines, decoded: (line, what is wrong with it or None)."""
    rest, old_mac = b"", None
    for number, block in enumerate(blocks):
        if number == 0:
            block = block.removeprefix(line_reader.BOM)
            old_mac = block.count(b"\r") > 2 * block.count(b"\n")  # as in lines.decode
        if old_mac:
            block = block.replace(b"\r", b"\n")
        *complete, rest = (rest + block).split(b"\n")
        yield from map(decode, complete)
        rest = rest[: LONGEST + 1]  # that it is too long can be seen from this
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
        yield as_row(number, number, line, problem)


def split_rows(lines, form):
    """The rows of pipes, label-last or fasttext."""
    for number, (line, problem) in enumerate(lines, start=1):
        if line.strip() or problem:
            text, _, reason = ("", "", problem) if problem else examples.split_line(line, form)
            yield as_row(number, number, text, reason)


def object_rows(rows, name, beside=(), paired=False):
    for number, (line, fields, problem) in enumerate(rows, start=1):
        cells = ("",) * len(beside) if problem else tuple(objects.label_field(fields, other) for other in beside)
        yield as_row(number, line, *(("", problem) if problem else objects.text_field(fields, name)), cells, paired)


def json_array(path, lines):
    """The rows of a JSON array. Raises UserError for a line that cannot be read: in an array, it is part of a row."""
    held = []
    for number, (line, problem) in enumerate(lines, start=1):
        if problem:
            raise UserError(f"{path}:{number}: {problem}")
        held.append(line)
    return objects.json_array(path, "\n".join(held))


def parquet_rows(path, how, beside):
    if str(path) == "-":
        raise UserError("-: Parquet cannot be read from the standard input: name a file")
    if how.check(path, how.format or "parquet") != "parquet":
        raise UserError(f"{path}: is Parquet: leave --format {how.format} out")
    names, rows, _ = objects.parquet(path)
    how, beside = with_pair(how, names, beside)
    text, _ = formats.choose_columns(path, names, how, False, wants_label=False, form="parquet")
    others = [names[at] for at in columns_beside(path, names, text, beside)]
    return "parquet", object_rows(rows([names[text], *others]), names[text], others, bool(how.pair_column))


def table_rows(path, begin, lines, how, beside):
    """The rows of a table. begin: its first lines, as `lines` gives them, of which the header is one."""
    texts = [line for line, _ in begin]
    delimiter = table.sep_line(texts)
    lines = chain(zip(texts, (problem for _, problem in begin)), lines)
    delimiter = delimiter or table.delimiter_of(next(line for line in texts if line.strip()))
    below = formats.first_rows(texts, delimiter, how.quoting)
    records = read_records(lines, delimiter, how.quoting)
    if how.no_header:
        header = formats.numbered_header(below)
    else:
        number, _, header, reason = next(records, (1, 0, None, "there is none"))
        if reason:
            raise UserError(f"{path}:{number}: the header cannot be read: {reason}")
        header, below = [cell.strip() for cell in header], below[1:]
    how, beside = with_pair(how, header, beside)
    column, _ = formats.choose_columns(path, header, how, False, wants_label=False, below=below)
    others = columns_beside(path, header, column, beside)

    def rows():
        for number, (line, count, fields, problem) in enumerate(records, start=1):
            problem = problem or table.row_problem(line, count, fields, header, how.no_header)
            cells = tuple("" if problem else fields[at] for at in others)
            yield as_row(number, line, "" if problem else fields[column], problem, cells, bool(how.pair_column))

    return rows()


def as_row(number, line, text, problem, beside=(), paired=False):
    """A Row. paired: the last of beside is the second text, and must not be empty"""
    text, beside = text.strip(), tuple(cell.strip() for cell in beside)
    found = problem or (None if text.strip(examples.BLANK) else EMPTY)
    if not found and paired and not beside[-1].strip(examples.BLANK):
        found = examples.ONE_SIDED
    return Row(number, line, "" if problem else text, found, beside)


def read_records(lines, delimiter, quoting=None):
    """What table.records gives, from an iterator: a quote that is not closed costs its own line and no other."""
    if quoting == "none":
        for number, (line, problem) in enumerate(lines, start=1):
            if line.strip() or problem:
                yield number, 1, line.split(delimiter), problem
        return
    source = ((number, line, problem) for number, (line, problem) in enumerate(lines, start=1))
    taken, again = [], deque()  # lines of this row; lines to read again, as an open quote went over them
    searched = 0  # the line up to which an open quote was followed and not closed, as in table.records

    def following():
        size = 0
        while entry := again.popleft() if again else next(source, None):
            taken.append(entry)
            yield entry[1]
            size += len(entry[1]) + 100  # with what Python needs to hold a short line
            if size > LONGEST or taken[0][0] < searched:
                return

    while True:
        taken.clear()
        fields, count, reason, followed = table.first_record(following(), delimiter)
        if not count:
            return
        searched = max(searched, taken[0][0] + followed - 1)
        again.extendleft(reversed(taken[count:]))
        bad = next((entry for entry in taken[:count] if entry[2]), None)
        number, line, _ = taken[0]
        if bad:
            yield bad[0], count, fields, bad[2]
        elif line.strip():
            yield number, count, fields, reason
