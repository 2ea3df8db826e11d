"""CSV and TSV -> rows, where quotes may be unbalanced: a stray quote costs its own line and no other."""

import csv
import difflib
import re
from collections import Counter

from minbert.errors import UserError

MAX_FIELD = 2**31 - 1  # characters; a text may be a book, and csv alone stops at 131,072
UNBALANCED = (
    'unbalanced quote (in a table, a text with quotes is written "a ""quoted"" word"; '
    "if quotes are letters in this table, pass --quoting none)"
)


def sep_line(lines):
    """The delimiter that a first line such as "sep=;" names, as Excel writes it; the line becomes empty. Or None."""
    at = next((at for at, line in enumerate(lines) if line.strip()), None)
    found = None if at is None else re.fullmatch(r'"?sep=(.)"?\s*', lines[at], re.IGNORECASE | re.DOTALL)
    if not found:
        return None
    lines[at] = ""
    return found[1]


def cells_of(line, delimiter):
    """The cells of a line, roughly: no delimiter between two quotes counts."""
    return re.sub(r'"[^"]*"', '""', line).split(delimiter)


def delimiter_of(header):
    """A table's delimiter, from its header: a tab if there is one, else the commonest of comma, semicolon and |."""
    bare = header if header.count('"') % 2 else re.sub(r'"[^"]*"', "", header)
    return "\t" if "\t" in bare else max(",;" if "|||" in bare else ",;|", key=bare.count)


def row_problem(number, count, fields, header, no_header=False):
    """Why a row is refused: it has the wrong number of fields, or is the header again; None if it is good.

    number, count  its first line, and of how many lines it consists
    """
    if len(fields) == len(header):
        again = not no_header and [cell.strip() for cell in fields] == header
        return "the header again" if again else None
    until = f" (up to line {number + count - 1})" if count > 1 else ""
    model = "most of the first rows have" if no_header else "the header has"
    return f"ragged row{until}: {len(fields)} fields, but {model} {len(header)}"


def column(path, header, wanted, candidates, kind, required=True, hint=""):
    """The index of a column: the one that is named, or the only candidate; None if it may be missing.

    Raises UserError if there is none, or if several fit.
    """
    columns = f"the columns are {', '.join(map(repr, header))}"
    found = {}  # {candidate: its places}
    for name in [wanted.strip()] if wanted else candidates:
        same = [index for index, cell in enumerate(header) if cell.lower() == name.lower()]
        same = [index for index in same if header[index] == name] or same
        if len(same) > 1:
            raise UserError(f"{path}: {len(same)} columns are called {name}; {columns}")
        if same:
            found[name] = same[0]
    if len(found) > 1:
        several = " or ".join(repr(header[index]) for index in found.values())
        raise UserError(f"{path}: the {kind} could be {several}: name one column with --{kind}_column")
    if found or not required:
        return next(iter(found.values()), None)
    asked = f"no column {wanted}" if wanted else f"no column that looks like the {kind}"
    close = difflib.get_close_matches(wanted, header, n=1) if wanted else []
    remedy = f"Did you mean {close[0]}?" if close else f"Name it with --{kind}_column{hint}"
    raise UserError(f"{path}: {asked}; {columns}. {remedy}")


def records(lines, bad, delimiter, joined=lambda start, stop: False, quoting=None):
    """A table's rows: (line number, count of lines, fields, reason); the reason is None for a good row.

    A row with an unbalanced quote costs its own line and no other: reading goes on with the next line, also where a
    later row's quote would close it (`joined`). The number is that of the row's first line, or of its first bad line.
    """
    at = searched = 0  # lines; an open quote was followed up to `searched` and not closed
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        # The next open quote would not be closed up to there either: to follow it would make n lines cost n * n.
        stop = at + 1 if at + 1 < searched or quoting == "none" else len(lines)
        fields, count, reason, followed = record(lines, at, delimiter, stop, quoting)
        searched = max(searched, at + followed)
        if count > 1 and joined(at, at + count):
            count, reason = 1, UNBALANCED
        number = next((number for number in range(at + 1, at + count + 1) if number in bad), at + 1)
        yield number, count, fields, bad.get(number, reason)
        at += count


def joiner(lines, rows, delimiter, width, text, label):
    """For `records`: did a stray quote join these lines? Rows have a label each; a text of several lines shares one.

    A label is what the table has more than once. Where it has no label column, there is nothing to tell by.
    """
    counts = Counter(fields[label] for _, _, fields, reason in rows if not reason and len(fields) == width)
    known = {value for value, count in counts.items() if value.strip() and count > 1}
    place = label if label < text else label - width  # where a text holds delimiters that no quote protects

    def good(at):
        fields, *_ = record(lines, at, delimiter, len(lines))
        return fields is not None and len(fields) == width and fields[label] in known

    def joined(start, stop):
        cells = [line.split(delimiter) for line in lines[start:stop] if line.strip()]
        alone = sum(len(each) >= width and each[place].strip('"') in known for each in cells)
        if good(start):  # a row in every respect, but perhaps the work of two stray quotes
            return alone > 1 and 2 * alone >= len(cells)
        return alone > 1 or any(map(good, range(start + 1, stop)))

    return joined


def record(lines, at, delimiter, stop, quoting=None):
    """The table row that begins in line `at` and ends before line `stop`, as `first_record` gives it."""
    if quoting == "none":
        return lines[at].split(delimiter), 1, None, 0
    return first_record((lines[index] for index in range(at, stop)), delimiter)


def first_record(lines, delimiter):
    """The table row with which an iterator of lines begins: fields, count of lines, None, 0; no lines, count 0.

    For a bad row: None, 1, the reason, and how many lines an open quote was followed without an end.
    """
    quotes = taken = 0

    def counted():
        nonlocal quotes, taken
        for line in lines:
            quotes += line.count('"')
            taken += 1
            yield line + "\n"

    reader = csv.reader(counted(), delimiter=delimiter, strict=True)
    limit = csv.field_size_limit(MAX_FIELD)
    try:
        fields = next(reader, None)
    except csv.Error as error:
        here = "new-line" in str(error) and taken == 1  # or else in a line that an open quote ran over
        return None, 1, "line break outside quotes" if here else UNBALANCED, taken
    finally:
        csv.field_size_limit(limit)  # it is the whole process's
    if quotes % 2:
        return None, 1, UNBALANCED, 0
    return fields, taken, None, 0
