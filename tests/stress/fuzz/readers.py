"""Files of examples, spoilt in every way, through read_examples and stream.read: each row is used or reported.

A file is made in one of formats.FORMATS, each of its lines marked with its row, and then spoilt. What the readers say
about it is compared with what the spoilt bytes say, line by line, without their code.
"""

import csv
import gzip
import io
import re
import zlib
from collections import Counter

from minbert import UserError
from minbert.files import formats, stream
from minbert.files.examples import read_examples
from minbert.files.labels import LabelSet

WORDS = ["good", "bad", "the film", "5", "é", "中", "a, b", "x;y", "it's", "\u2028", "\x85", "😀", "say", "0", "=1"]
LABELS = ["no", "yes"]
ROWS = 12
INVISIBLE = "[\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
UTF16 = (b"\xff\xfe", b"\xfe\xff")


# Files to spoil: (bytes, line of each row)


def text_of(rng, row, *, quotes=False, lines=1):
    """The text of a row: on each of its lines stands which row it is."""
    pieces = [rng.choices([*WORDS, '"', '"'] if quotes else WORDS, k=rng.randrange(4)) for _ in range(lines)]
    return "\n".join(" ".join([f"<{row}>", *words]) for words in pieces)


def make_pipes(rng):
    return "".join(f"{rng.choice(LABELS)} ||| {text_of(rng, row, quotes=True)}\n" for row in range(ROWS))


def make_label_last(rng):
    return "".join(f"{text_of(rng, row, quotes=True)}\t{rng.choice(LABELS)}\n" for row in range(ROWS))


def make_lines(rng):
    return "".join(f"{text_of(rng, row, quotes=True)}\n" for row in range(ROWS))


def make_table(rng):
    header = rng.choice([["text", "label"], ["label", "text"], ["id", "label", "text"], ["text", "id", "label", "x"]])
    quoting, end = rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), rng.choice(["\n", "\r\n"])
    out = io.StringIO()
    writer = csv.writer(out, delimiter=rng.choice(",;\t"), quoting=quoting, lineterminator=end)
    writer.writerow(header)
    for row in range(ROWS):
        text = text_of(rng, row, quotes=rng.random() < 0.4, lines=rng.choice([1, 1, 1, 2, 3]))
        # A third of the rows has the same id as another.
        cells = {"text": text, "label": rng.choice(LABELS), "id": str(row * 2 // 3), "x": ""}
        writer.writerow([cells[name] for name in header])
    return out.getvalue()


MAKERS = {"pipes": make_pipes, "table": make_table, "label-last": make_label_last, "lines": make_lines}


# Ways to spoil bytes


def at(rng, data):
    return rng.randrange(len(data)) if data else 0


def flip_a_bit(rng, data):
    where = at(rng, data)
    return data[:where] + bytes([data[where] ^ 1 << rng.randrange(8)]) + data[where + 1 :] if data else data


def delete_bytes(rng, data):
    where = at(rng, data)
    return data[:where] + data[where + rng.choice([1, 1, 1, 5]) :]


def double_bytes(rng, data):
    where, size = at(rng, data), rng.choice([1, 1, 1, 5])
    return data[: where + size] + data[where:]


def swap_bytes(rng, data):
    where = at(rng, data)
    return data[:where] + data[where + 1 : where + 2] + data[where : where + 1] + data[where + 2 :]


def insert(*choices):
    def spoil(rng, data):
        where = at(rng, data)
        return data[:where] + rng.choice(choices) + data[where:]

    return spoil


def of_lines(change):
    def spoil(rng, data):
        lines = data.split(b"\n")
        change(rng, lines, rng.randrange(len(lines)))
        return b"\n".join(lines)

    return spoil


def swap_lines(rng, lines, where):
    other = rng.randrange(len(lines))
    lines[where], lines[other] = lines[other], lines[where]


def replace_a_line(rng, lines, where):
    lines[where] = rng.choice([b"", b" ", b",", b"\t", b"|||", b" ||| ", b'"', b'""', b"no", b"1\t2\t3", b"a,b,c,d,e"])


def cut_a_cell(rng, lines, where):
    lines[where] = re.sub(rb"[,;\t|]+[^,;\t|]*$", b"", lines[where])


def empty_a_label(rng, lines, where):
    lines[where] = re.sub(rb"\b(no|yes)\b", b"", lines[where])


def change_a_label(rng, lines, where):
    lines[where] = re.sub(rb"\b(no|yes)\b", rng.choice([b"perhaps", b"NO", b"no\x1b[2J", b"yes=1"]), lines[where])


def rename_a_column(rng, lines, where):
    names = [b"text", b"label", b"other", b'te"xt', b"", b"\xff"]
    lines[0] = re.sub(rb"text|label", rng.choice(names), lines[0], count=1)


SPOIL = {
    "a bit": flip_a_bit,
    "bytes deleted": delete_bytes,
    "bytes doubled": double_bytes,
    "bytes swapped": swap_bytes,
    "a quote": insert(b'"', b'"', b'"', b'""'),
    "a NUL": insert(b"\0"),
    "a line end": insert(b"\n", b"\r", b"\r\n", b"\n\n", "\u2028".encode()),
    "a separator": insert(b",", b";", b"\t", b"|||"),
    "Latin-1": insert(b"\xe9", b"\xff", b"\x80"),
    "a line deleted": of_lines(lambda rng, lines, where: lines.pop(where)),
    "a line doubled": of_lines(lambda rng, lines, where: lines.insert(where, lines[where])),
    "lines swapped": of_lines(swap_lines),
    "a line replaced": of_lines(replace_a_line),
    "a cell cut off": of_lines(cut_a_cell),
    "an empty label": of_lines(empty_a_label),
    "an unknown label": of_lines(change_a_label),
    "a column renamed": of_lines(rename_a_column),
    "cut short": lambda rng, data: data[: at(rng, data)],
    "empty": lambda rng, data: rng.choice([b"", b"\n", b" \n\n", b"\r\n", b"\xef\xbb\xbf"]),
    "a huge field": insert(200_000 * b"x"),
    "a BOM": lambda rng, data: b"\xef\xbb\xbf" + data,
    "UTF-16": lambda rng, data: data.decode(errors="replace").encode(rng.choice(["utf-16", "utf-16-be"])),
    "CRLF": lambda rng, data: data.replace(b"\n", b"\r\n"),
    "CR": lambda rng, data: data.replace(b"\r\n", b"\n").replace(b"\n", b"\r"),
    "gzip": lambda rng, data: gzip.compress(data),
    "gzip spoilt": lambda rng, data: rng.choice([flip_a_bit, delete_bytes])(rng, gzip.compress(data)),
}


# What the bytes say, without the readers


def as_utf8(data):
    """The bytes of a file in UTF-16 as UTF-8, and those of others as they are; None if it is not UTF-16 throughout."""
    name = "utf-16" if data[:2] in UTF16 else None
    name = "utf-32" if data[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff") else name
    some = data[:4096]
    zeros = [some[at : len(some) // 2 * 2 : 2].count(0) / max(1, len(some) // 2) for at in (0, 1)]
    if not name and len(some) >= 16 and max(zeros) >= 0.4 and min(zeros) <= 0.02:
        name = "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be"
    try:
        return data.decode(name).encode() if name else data
    except UnicodeError:
        return None


def lines_of(data):
    """The file's lines as bytes, and as text; cut at \\r where a file has hardly another end."""
    data = data[3:] if data[:3] == b"\xef\xbb\xbf" else data
    if data.count(b"\r") > 2 * data.count(b"\n"):
        data = data.replace(b"\r", b"\n")
    raw = data.split(b"\n")
    raw = [line[:-1] if line[-1:] == b"\r" else line for line in (raw if raw[-1] else raw[:-1])]
    return raw, [line.decode(errors="replace").replace("\0", "\ufffd") for line in raw]


def fault(raw):
    """How the reason begins why a line cannot be read; None if it can be."""
    if b"\0" in raw:
        return "NUL character in column"
    try:
        raw.decode()
    except UnicodeDecodeError:
        return "not UTF-8 (byte 0x"
    return None


def parse(lines, at, delimiter):
    """The row of a table that begins in this line: (count of lines, fields), or (1, None) if there is none.

    A quoted field begins and ends beside a delimiter or a line's end; elsewhere a quote is a letter. All the quotes
    of a row are an even number.
    """
    fields, cell, quoted, quotes = [], "", False, 0
    for count, line in enumerate(lines[at:], start=1):
        place, quotes = 0, quotes + line.count('"')
        while place < len(line):
            char = line[place]
            if quoted:
                if char == '"' and line[place + 1 : place + 2] == '"':
                    cell, place = cell + '"', place + 1
                elif char == '"':
                    quoted = False
                    if line[place + 1 : place + 2] != delimiter and line[place + 1 :].strip("\r"):
                        return 1, None
                else:
                    cell += char
            elif char == delimiter:
                fields, cell = [*fields, cell], ""
            elif char == '"' and (place == 0 or line[place - 1] == delimiter) and not cell:
                quoted = True
            elif char == "\r":
                if line[place:].strip("\r"):
                    return 1, None
            else:
                cell += char
            place += 1
        if not quoted:
            return (count, [*fields, cell]) if quotes % 2 == 0 else (1, None)
        cell += "\n"
    return 1, None


def delimiter_of(header):
    """The commonest outside quotes, where these are balanced."""
    cells = header.split('"')
    bare = "".join(cells[::2]) if len(cells) % 2 else header
    if "\t" in bare:
        return "\t"
    choice = ";" if bare.count(";") > bare.count(",") else ","
    return "|" if "|||" not in bare and bare.count("|") > bare.count(choice) else choice


def expect_plain(rows, used, problems):
    """Rows of formats without quotes: used must be {line: (text, label)} and problems [(line, reason)] to the letter.

    rows  [(line, what is wrong with it or None, (text, label) or None if it is not of the form)] of all that are rows
    """
    good, bad = {}, []
    for number, reason, cells in rows:
        text, label = cells or (None, None)
        if reason or text is None:
            bad.append((number, reason or "not of the form"))
        elif not re.sub(INVISIBLE, "", text).strip():
            bad.append((number, "empty text"))
        elif label is not None and not known(label):
            bad.append((number, "label " if clean(label) else "empty label"))
        else:
            good[number] = (text.strip(), label and clean(label))
    assert used == good, f"used {used}, not {good}"
    agree = len(problems) == len(bad) and all(
        number == line and reason.startswith(begin) for (number, reason), (line, begin) in zip(problems, bad)
    )
    assert agree, f"reported {problems}, not {bad}"


def clean(label):
    """A label without invisible characters, and with single spaces."""
    return " ".join(re.sub(INVISIBLE, "", label).split())


def known(label):
    """Whether a label is one of LABELS, or, since they are words, its number."""
    return re.sub(r"^(-?[0-9]+)\.0+$", r"\1", clean(label)) in (*LABELS, "0", "1")


def expect_table(raw, lines, columns, used, problems):
    """Rows of a table, one after the other: each is used as it stands there, or the next to be reported, and truly bad.

    columns  the header's text column and its label column, or the one alone
    returns  how many lines that are rows by themselves stand within another row, between two stray quotes
    """
    at = next(at for at, line in enumerate(lines) if line.strip())
    delimiter = delimiter_of(lines[at])
    count, header = parse(lines, at, delimiter)
    assert header and not any(map(fault, raw[at : at + count])), "the header cannot be read"
    names = [name.strip() for name in header]
    text, *label = map(names.index, columns)
    places = [place for place, name in enumerate(names) if name == "label"]  # which a stream does not look at
    at, used, problems, swallowed = at + count, dict(used), list(problems), 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        number = at + 1
        count, fields = parse(lines, at, delimiter)
        if number in used:
            assert fields and len(fields) == len(header), f"line {number} is no row"
            assert not any(map(fault, raw[at : at + count])), f"line {number} cannot be read"
            cells = (fields[text].strip(), *(clean(fields[place]) for place in label))
            assert used.pop(number) == cells, f"line {number}: {cells}"
            assert all(cells) and all(map(known, cells[1:])), f"line {number} has an empty or unknown cell"
        else:
            assert problems, f"nothing is said of line {number}"
            line, reason = problems.pop(0)
            inside = number <= line < number + count
            assert inside, f"nothing is said of line {number}, the next report is of line {line}"
            if begin := fault(raw[line - 1]):
                assert reason.startswith(begin), f"line {line}: {reason}"
                following = min([*used, *(other for other, _ in problems)], default=len(lines) + 1)
                count = 1 if line == number and following < number + count else count
            elif reason.startswith("ragged row"):
                until = re.match(r"ragged row(?: \(up to line (\d+)\))?: (\d+) fields, but the header has", reason)
                assert fields and int(until[2]) == len(fields) != len(header), f"line {line}: {reason}"
                assert line == number and int(until[1] or number) == at + count, f"line {line}: {reason}"
            elif reason.startswith(("empty", "label ")):
                assert line == number and fields and len(fields) == len(header), f"line {line}: {reason}"
                cells = dict(zip(("text", "label"), (fields[place] for place in (text, *label))))
                if reason.startswith("label "):
                    assert not known(cells["label"]), f"line {line}: {reason}"
                else:
                    assert not re.sub(INVISIBLE, "", cells[reason.removeprefix("empty ")]).strip(), (
                        f"line {line}: {reason}"
                    )
            elif reason == "the header again":
                assert line == number and [field.strip() for field in fields] == names, f"line {line}: {reason}"
            elif reason.startswith("unbalanced quote"):
                assert line == number and '"' in lines[at], f"line {line}: {reason}"
                assert fields is None or count > 1, f"line {line}: {reason}"
                count = 1
            else:
                assert reason.startswith("line break outside") and line == number, f"line {line}: {reason}"
                assert fields is None and "\r" in lines[at], f"line {line}: {reason}"
        for inner in range(at + 1, at + count):
            size, fields = parse(lines, inner, delimiter)
            labels = fields and len(fields) == len(header) and [fields[place] for place in label or places]
            swallowed += bool(size == 1 and labels and any(map(known, labels)))
        at += count
    assert not used and not problems, f"no such rows: {used} {problems}"
    return swallowed


# One spoilt file


def check_dataset(path, data, format):
    """read_examples of a file, of this format or, if it is None, of any. Returns what came of it, as `outcome`."""
    other = formats.labels_path(path)
    labels = lines_of(as_utf8(other.read_bytes()) or b"") if other and other.exists() else None
    try:
        examples = read_examples(path, format, labels_required=format != "lines" or labels is not None)
    except UserError as error:
        return refused(error, path, data, format)
    assert format in (None, examples.format)
    assert data is not None
    if examples.labels:
        LabelSet.declare(LABELS).ids(examples)
    problems = sorted(examples.problems)
    used = dict(zip(examples.lines, zip(examples.texts, examples.labels or [None] * len(examples.texts))))
    assert len(used) == len(examples.texts), "a line is used twice"
    raw, lines = lines_of(data)
    if examples.format == "table":
        columns = examples.columns.split(", ")
        used = {line: row[: len(columns)] for line, row in used.items()}
        return outcome(used, problems, expect_table(raw, lines, columns, used, problems))
    rows = []
    for at, line in enumerate(lines):
        if examples.format == "lines":
            cells = (line, None if labels is None else "".join(labels[1][at : at + 1]))
            reason = fault(raw[at])
            if labels and at < len(labels[0]) and fault(labels[0][at]):
                reason = f"{other.name}: {fault(labels[0][at])}"
        else:
            cells = line.split("|||")[::-1] if examples.format == "pipes" else line.split("\t")
            cells, reason = cells if len(cells) == 2 else None, fault(raw[at])
        if reason or line.strip() or (examples.format == "lines" and (cells[1] or "").strip()):
            rows.append((at + 1, reason, cells))
    expect_plain(rows, used, problems)
    return outcome(used, problems)


def check_stream(path, data, block):
    """stream.read of the same file in blocks of so many bytes; its labels are not read."""
    usual, stream.BLOCK = stream.BLOCK, block
    try:
        form, rows = stream.read_rows(str(path))
        rows = list(rows)
    except UserError as error:
        return refused(error, path, data)
    finally:
        stream.BLOCK = usual
    assert data is not None
    used = {row.line: (row.text,) for row in rows if not row.problem}
    problems = [(row.line, row.problem) for row in rows if row.problem]
    assert len(used) + len(problems) == len(rows), "a line is used twice"
    raw, lines = lines_of(data)
    full = [number for number, line in enumerate(lines, start=1) if line.strip()]
    if form == "table":
        assert [row.number for row in rows] == list(range(1, len(rows) + 1)), "rows are not counted"
        names = parse(lines, full[0] - 1, delimiter_of(lines[full[0] - 1]))[1]
        if [name.strip().lower() for name in names].count("label") == 1:
            check_beside(path, rows)
        texts = (name.strip() for wanted in formats.TEXT_COLUMNS for name in names if name.strip().lower() == wanted)
        return outcome(used, problems, expect_table(raw, lines, [next(texts)], used, problems))
    assert all(row.number == row.line for row in rows), "rows are not counted"
    if form in ("pipes", "label-last"):
        expected = []
        for number in full:
            cells = lines[number - 1].split("|||" if form == "pipes" else "\t")
            text = None if len(cells) != 2 else (cells[form == "pipes"], None)
            expected.append((number, fault(raw[number - 1]), text))
        expect_plain(expected, {line: (*row, None) for line, row in used.items()}, problems)
        return outcome(used, problems)
    expect_plain(
        [
            (number, fault(raw[number - 1]) or (None if line.strip() else "empty line"), (line, None))
            for number, line in enumerate(lines[: full[-1]], start=1)
        ],
        {line: (*row, None) for line, row in used.items()},
        problems,
    )
    return outcome(used, problems)


def check_beside(path, rows):
    """The rows of a table are the same when another column's cell stands beside each."""
    again = list(stream.read_rows(str(path), beside={"label": "label"})[1])
    assert [row._replace(beside=()) for row in again] == rows, "a cell beside the text changes the rows"
    assert all(len(row.beside) == 1 for row in again), "a row without its cell"


REFUSALS = {  # how a refusal ends, or goes on: whether it is right of these bytes
    "is packed twice": None,
    "the file is empty": lambda data: not "".join(lines_of(data)[1]).strip(),
    " throughout (": lambda data: data is None,
    "cannot be read (": lambda data: data[:2] == b"\x1f\x8b",
    "the format was not recognised; ": None,
    "the header cannot be read: ": None,
    "no column that looks like the ": None,
    "a header, but no rows": None,
    "seems to have no header": None,
    "of the two columns, the first looks like the label": None,
    "two columns, and none looks like the label": None,
    "is a header or a row": None,
    "its first line is ": None,
    " could be ": None,
    "each line has a ": None,
    " columns are called ": None,
    " lines, but ": None,
    "its labels should be in ": None,
    "the label seems to come last": None,
    "stands above a table": None,
    "seem to be swapped": None,
    "its texts stand in quotes": None,
    "some lines are JSON": None,
}
OF_ANY_FORMAT = 4  # of these


def refused(error, path, data, format=None):
    message = str(error)
    assert len(message.splitlines()) == 1 and message.isprintable(), f"not one line: {message!r}"
    assert str(path) in message, f"no file is named: {message}"
    why = next((why for why in REFUSALS if why in message), None)
    assert why, f"refused: {message}"
    assert why in list(REFUSALS)[:OF_ANY_FORMAT] or format in (None, "table", "lines"), f"refused: {message}"
    assert not REFUSALS[why] or REFUSALS[why](data), f"refused: {message}"
    return Counter({"refused": 1})


def outcome(used, problems, swallowed=0):
    return Counter({"read": 1, "rows used": len(used), "rows reported": len(problems), "rows swallowed": swallowed})


def fuzz(count, rng, folder):
    """count files of each format, each read as what it is, as what it looks like, and as a stream."""
    outcomes = Counter()
    for format, make in MAKERS.items():
        for number in range(count):
            plain = make(rng).encode()
            data, spoilt = plain, rng.choices(list(SPOIL), k=rng.choice([1, 1, 2, 3]))
            for name in spoilt:
                data = SPOIL[name](rng, data)
            path = folder / rng.choice(["some.txt", "some.csv", "some_text.txt"])
            path.write_bytes(data)
            beside = folder / "some_labels.txt"
            beside.unlink(missing_ok=True)
            if format == "lines" and path.name == "some_text.txt":
                labels = "".join(f"{rng.choice(LABELS)}\n" for _ in range(ROWS)).encode()
                if rng.random() < 0.5:
                    labels = SPOIL[rng.choice([name for name in SPOIL if "gzip" not in name])](rng, labels)
                beside.write_bytes(labels)
            content = data
            if data[:2] == b"\x1f\x8b":
                try:
                    content = gzip.decompress(data)
                except (OSError, EOFError, ValueError, ArithmeticError, zlib.error):
                    content = data  # both readers have to refuse it
            content = as_utf8(content)
            # Of other files the first block tells how lines end.
            small = content is not None and b"\r" not in content and len(content) < 10_000
            block = rng.choice([4, 50]) if small else stream.BLOCK
            for reader, *options in ((check_dataset, format), (check_dataset, None), (check_stream, block)):
                try:
                    found = reader(path, content, *options)
                    # Two stray quotes can make a text of what was rows; often labels tell (table.joiner), not always.
                    lawful = len(spoilt) + spoilt.count("lines swapped") > 1
                    assert lawful or not found["rows swallowed"], "a row is swallowed by another"
                    outcomes += found
                except Exception as error:
                    told = f"{reader.__name__}{options} of file {number} of format {format}, spoilt by {spoilt}:\n"
                    raise AssertionError(f"{told}{error}\n{data!r:.3000}") from error
    return dict(outcomes)


FUZZERS = {"readers": fuzz}
