"""Files -> examples. Reads the formats that courses, benchmarks and spreadsheets use, and reports every bad row.

    pipes       label ||| text                              the CMU kits: SST, CFIMDB
    table       CSV or TSV with a header, quoted or not     spreadsheets, IMDB, the Stanford kit's ids-*.csv
    label-last  text TAB label, no header, no quoting       SST-2
    lines       one text a line in NAME_text.txt, one label a line in NAME_labels.txt, names in mapping.txt: tweeteval

Any of them may be gzipped. The format is recognised by `recognise`, or named by the caller.
"""

import csv
import difflib
import gzip
import hashlib
import re
import zlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from minbert import checkpoint
from minbert.errors import UserError

FORMATS = ("pipes", "table", "label-last", "lines")
TEXT_COLUMNS = ("text", "sentence", "review", "tweet", "comment", "content", "message", "document", "headline")
LABEL_COLUMNS = ("label", "labels", "sentiment", "class", "category", "stance", "emotion", "rating", "target")
MOST_CLASSES = 200  # more different labels than this, and the wrong column was named

GZIP, ZIP, BOM = b"\x1f\x8b", b"PK\3\4", b"\xef\xbb\xbf"  # how such files begin
UTF16 = b"\xff\xfe", b"\xfe\xff"

UNBALANCED = 'unbalanced quote (in a table, a text with quotes is written "a ""quoted"" word")'

csv.field_size_limit(2**31 - 1)  # a text may be a book; csv alone stops at 131,072 characters


@dataclass
class Examples:
    """What a file holds: texts, labels as they are written there, and the rows that are no examples."""

    path: str
    format: str
    texts: list = field(default_factory=list)
    labels: list = field(default_factory=list)  # strings; empty if the file has no label column
    lines: list = field(default_factory=list)  # where each example begins, from 1
    problems: list = field(default_factory=list)  # (line, reason)
    mapping: dict = field(default_factory=dict)  # tweeteval: {label as written: its name}
    columns: str = ""  # which columns of a table were read
    sha256: str = ""

    @property
    def labelled(self):
        return len(self.labels) == len(self.texts) > 0

    def add(self, line, text, label=None):
        """Take a row as an example, or report it."""
        text = text.strip()
        label = None if label is None else " ".join(label.split())
        if not text:
            self.problems.append((line, "empty text"))
        elif label == "":
            self.problems.append((line, "empty label"))
        else:
            self.texts.append(text)
            self.lines.append(line)
            if label is not None:
                self.labels.append(label)

    def keep(self, wanted):
        """Only the examples with these indices."""
        for name in ("texts", "labels", "lines"):
            values = getattr(self, name)
            setattr(self, name, [values[index] for index in wanted] if values else [])


@dataclass(frozen=True)
class LabelSet:
    """The classes: how labels are written in the files, and what they are called."""

    values: tuple
    names: tuple

    @classmethod
    def load(cls, path):
        """What `save` wrote; None if there is no such file."""
        return cls.declare(path.read_text(encoding="utf-8").splitlines()) if path.exists() else None

    def save(self, path):
        """A line for each class, as `declare` takes it: NAME, or VALUE=NAME."""
        entries = (name if name == value else f"{value}={name}" for value, name in zip(self.values, self.names))
        with checkpoint.whole(path) as new:
            new.write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8")

    @classmethod
    def declare(cls, entries):
        """['negative', 'positive'], or ['0=negative', '1=positive'] where files say one and people the other."""
        pairs = [entry.partition("=") for entry in entries]
        values = tuple(value.strip() for value, _, _ in pairs)
        names = tuple((name or value).strip() for value, _, name in pairs)
        for kind in (values, names):
            twice = [value for value, count in Counter(kind).items() if count > 1 or not value]
            if twice:
                raise UserError(f"the labels name {twice[0]!r} twice, or leave it empty")
        return cls(values, names)

    @classmethod
    def collect(cls, examples):
        """The labels that occur, numbers in their order, words in the alphabet's; a mapping file names them all."""
        if examples.mapping:
            return cls(tuple(examples.mapping), tuple(examples.mapping.values()))
        values = sorted(set(map(whole, examples.labels)), key=in_order)
        if len(values) > MOST_CLASSES:
            raise UserError(
                f"{examples.path}: {len(values)} different labels, such as {values[0]!r} and {values[-1]!r}; "
                "is this the label column? Name it with --label_column"
            )
        return cls(tuple(values), tuple(values))

    def ids(self, examples):
        """Each example's class as a number; a label that is none of ours moves its row to examples.problems.

        A file may write a label's value, its name, or, where nothing is called by a number, its id.
        """
        lookup = {whole(value): id for id, value in enumerate(self.values)}
        lookup = {whole(name): id for id, name in enumerate(self.names)} | lookup
        if not any(map(is_number, lookup)):
            lookup |= {str(id): id for id in range(len(self.names))}
        known = ", ".join(self.values)
        good = [index for index, label in enumerate(examples.labels) if whole(label) in lookup]
        for index, label in enumerate(examples.labels):
            if whole(label) not in lookup:
                examples.problems.append((examples.lines[index], f"label {label!r:.40} is not one of: {known}"))
        if len(good) < len(examples.labels):
            examples.keep(good)
            examples.problems.sort()
        return [lookup[whole(label)] for label in examples.labels]


def is_number(label):
    return re.fullmatch(r"-?\d+(\.\d+)?", label) is not None


def whole(label):
    """'1.0', as pandas and spreadsheets write the class 1 -> '1'; any other label stays as it is."""
    return label.partition(".")[0] if re.fullmatch(r"-?\d+\.0+", label) else label


def in_order(label):
    """A sorting key: numbers in their order, then words in the alphabet's."""
    return (0, float(label), label) if is_number(label) else (1, 0.0, label)


def check_beginning(path, data):
    """Raise UserError for what begins as a file does that can be no table or text."""
    if data[:2] in UTF16:
        raise UserError(f"{path}: the file is UTF-16; save it as UTF-8")
    if data[:4] == ZIP:
        raise UserError(f"{path}: is a zip archive, as Excel's files are: save the table as CSV UTF-8")


def read(path, format=None, text_column=None, label_column=None, labels_required=True):
    """Read a file of examples. Bad rows are collected in .problems, nothing is dropped in silence.

    Raises UserError if the file as a whole cannot be used: absent, empty, compressed wrongly, of no known format,
    or without the columns.
    """
    if format and format not in FORMATS:
        raise UserError(f"no format {format}; known are {', '.join(FORMATS)}")
    path = Path(path)
    data = load(path)
    examples = Examples(str(path), format or "", sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    check_beginning(path, data)
    lines, bad = decode(data)
    if not any(line.strip() for line in lines):
        raise UserError(f"{path}: the file is empty")
    examples.format = format or recognise(path, lines, text_column, label_column, labels_required)
    if examples.format == "table":
        read_table(examples, lines, bad, text_column, label_column, labels_required)
    elif examples.format == "lines":
        read_lines(examples, lines, bad, labels_required)
    else:
        separator, form = ("|||", "label ||| text") if examples.format == "pipes" else ("\t", "text, a tab, label")
        for number, line in enumerate(lines, start=1):
            if number in bad:
                examples.problems.append((number, bad[number]))
            elif line.strip():
                cells = line.split(separator)
                if len(cells) != 2:
                    examples.problems.append((number, f"not of the form: {form}"))
                else:
                    text, label = reversed(cells) if separator == "|||" else cells
                    examples.add(number, text, label)
    if not examples.texts and not examples.problems:
        raise UserError(f"{path}: a header, but no rows")
    return examples


def load(path):
    """The bytes of a file, unpacked if it is gzipped."""
    with reading(path):
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == GZIP else data


@contextmanager
def reading(path):
    """Turn what can go wrong with a file into a UserError."""
    try:
        yield
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a file of examples") from None
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise UserError(f"there is no file {path}, nor a folder {path.parent}") from None
        close = difflib.get_close_matches(path.name, [file.name for file in path.parent.iterdir()], n=1)
        hint = f"; did you mean {path.with_name(close[0])}?" if close else ""
        raise UserError(f"there is no file {path}{hint}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def decode(data):
    """Bytes -> lines without their ends, and {number of a bad line: reason}.

    A bad line keeps its place and its quotes, which may be part of a longer row; what is wrong in it becomes U+FFFD.
    Only \\n ends a line (\\r in a file from an old Mac): tweets hold characters at which str.splitlines would cut.
    """
    data = data.removeprefix(BOM)
    if data.count(b"\r") > 2 * data.count(b"\n"):
        data = data.replace(b"\r", b"\n")
    lines, bad = [], {}
    for number, raw in enumerate(data.removesuffix(b"\n").split(b"\n"), start=1):
        line, reason = decode_line(raw)
        if reason:
            bad[number] = reason
        lines.append(line)
    return lines, bad


def decode_line(raw):
    """Bytes of a line -> the line without its end, and what is wrong with it, or None; as in `decode`."""
    raw, reason = raw.removesuffix(b"\r"), None
    try:
        line = raw.decode()
    except UnicodeDecodeError as error:
        column = len(raw[: error.start].decode()) + 1
        reason = f"not UTF-8 (byte 0x{raw[error.start]:02x} in column {column}); is the file Latin-1?"
        line = raw.decode(errors="replace")
    if "\0" in line:
        reason = f"NUL character in column {line.index(chr(0)) + 1}"
    return line.replace("\0", "\ufffd"), reason


def recognise(path, lines, text_column=None, label_column=None, labels_required=True):
    """The format of a file, from its name and its first lines. Where no labels are required, plain texts are lines."""
    if labels_path(path) and labels_path(path).exists():
        return "lines"
    some = [line for line in lines if line.strip()][:20]
    header = some[0]
    cells = {cell.strip(' "').lower() for cell in header.split(delimiter_of(header))}
    if "|||" not in header and (text_column or label_column or (cells & set(TEXT_COLUMNS) and len(cells) > 1)):
        return "table"
    if any("|||" in line for line in some):
        return "pipes"
    labels = [line.rpartition("\t")[2].strip() for line in some]
    if 2 * sum(line.count("\t") == 1 and len(label) <= 40 for line, label in zip(some, labels)) > len(some):
        named = len(labels) > 1 and not is_number(labels[0]) and all(map(is_number, labels[1:]))
        return "table" if named else "label-last"  # a word above numbers is a column's name
    if path.name.removesuffix(".gz").endswith((".csv", ".tsv")):
        return "table"  # of columns that have to be named
    if not labels_required:
        return "lines"
    raise UserError(
        f"{path}: the format was not recognised; the first line is {header!r:.80}. Known are: label ||| text; "
        "CSV or TSV with a header (name its columns with --text_column and --label_column); text, a tab, label; "
        "NAME_text.txt beside NAME_labels.txt"
    )


def delimiter_of(header):
    """A table's delimiter, from its header: a tab if there is one, else the commoner of comma and semicolon."""
    return "\t" if "\t" in header else max(",;", key=header.count)


def read_table(examples, lines, bad, text_column, label_column, labels_required):
    """CSV or TSV with a header: columns by name, quotes around fields, line breaks in quoted fields."""
    delimiter = delimiter_of(next(line for line in lines if line.strip()))
    (number, _, header, reason), *rows = records(lines, bad, delimiter)
    if reason:
        raise UserError(f"{examples.path}:{number}: the header cannot be read: {reason}")
    header = [cell.strip() for cell in header]
    text = column(examples.path, header, text_column, TEXT_COLUMNS, "text")
    label = column(examples.path, header, label_column, LABEL_COLUMNS, "label", required=labels_required)
    if label is not None and any(count > 1 for _, count, _, _ in rows):
        _, *rows = records(lines, bad, delimiter, joiner(lines, rows, delimiter, len(header), text, label))
    if label is not None and not labels_required:
        whole_rows = [fields for _, _, fields, reason in rows if not reason and len(fields) == len(header)]
        if not any(fields[label].strip() for fields in whole_rows):
            label = None  # a column kept empty, to be filled with predictions
    examples.columns = header[text] + ("" if label is None else f", {header[label]}")
    for number, count, fields, reason in rows:
        reason = reason or ragged(number, count, fields, header)
        if reason:
            examples.problems.append((number, reason))
        else:
            examples.add(number, fields[text], None if label is None else fields[label])


def ragged(number, count, fields, header):
    """What is wrong with a row, of count lines from this number, that has not a field for each column; or None."""
    if len(fields) == len(header):
        return None
    until = f" (up to line {number + count - 1})" if count > 1 else ""
    return f"ragged row{until}: {len(fields)} fields, but the header has {len(header)}"


def column(path, header, wanted, candidates, kind, required=True):
    """The index of a column: the one that was named, or the first candidate there is; None if it may be missing."""
    for name in [wanted.strip()] if wanted else candidates:
        same = [index for index, cell in enumerate(header) if cell.lower() == name.lower()]
        same = [index for index in same if header[index] == name] or same
        if len(same) > 1:
            raise UserError(
                f"{path}: {len(same)} columns are called {name}; the columns are {', '.join(map(repr, header))}"
            )
        if same:
            return same[0]
    if not required:
        return None
    asked = f"no column {wanted}" if wanted else f"no column that looks like the {kind}"
    close = difflib.get_close_matches(wanted, header, n=1) if wanted else []
    remedy = f"Did you mean {close[0]}?" if close else f"Name it with --{kind}_column"
    raise UserError(f"{path}: {asked}; the columns are {', '.join(map(repr, header))}. {remedy}")


def records(lines, bad, delimiter, joined=lambda start, stop: False):
    """A table's rows: (line number, count of lines, fields, reason); the reason is None unless the row is none.

    A row with an unbalanced quote costs its own line and no other: reading goes on with the next one, also where a
    later row's quote would close it (`joined`). The number is that of the row's first line, or of its first bad line.
    """
    at = vain = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        # Where one open quote ran on in vain so would the next: do not follow it, or n lines cost n * n.
        fields, count, reason, ran = record(lines, at, delimiter, at + 1 if at + 1 < vain else len(lines))
        vain = max(vain, at + ran)
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


def record(lines, at, delimiter, stop):
    """The table row that begins in line `at` and ends before line `stop`, as `first_record` gives it."""
    return first_record((lines[index] for index in range(at, stop)), delimiter)


def first_record(lines, delimiter):
    """The table row with which an iterator of lines begins: fields, count of lines, None, 0; no lines, count 0.

    Or None, 1, the reason, and how many lines were taken, over which a quote was open in vain.
    """
    quotes = taken = 0

    def counted():
        nonlocal quotes, taken
        for line in lines:
            quotes += line.count('"')
            taken += 1
            yield line + "\n"

    reader = csv.reader(counted(), delimiter=delimiter, strict=True)
    try:
        fields = next(reader, None)
    except csv.Error as error:
        here = "new-line" in str(error) and taken == 1  # or else in a line that an open quote ran over
        return None, 1, "line break outside quotes" if here else UNBALANCED, taken
    if quotes % 2:
        return None, 1, UNBALANCED, 0
    return fields, taken, None, 0


def labels_path(path):
    """train_text.txt -> train_labels.txt beside it; None for any other name."""
    plain = path.name.removesuffix(".gz")
    if not plain.endswith("_text.txt"):
        return None
    return path.with_name(plain.removesuffix("_text.txt") + "_labels.txt" + path.name.removeprefix(plain))


def read_lines(examples, lines, bad, labels_required):
    """tweeteval: texts by line, labels by line in a second file, their names in mapping.txt here or a folder above."""
    path = Path(examples.path)
    other = labels_path(path)
    labels = [None] * len(lines)
    if other is None or not other.exists():
        if labels_required:
            raise UserError(f"{path}: its labels should be in {other or 'NAME_labels.txt beside NAME_text.txt'}")
    else:
        labels, bad_labels = decode(load(other))
        if any(line.strip() for line in lines[len(labels) :] + labels[len(lines) :]):
            raise UserError(f"{path} has {len(lines)} lines, but {other} has {len(labels)}")
        bad = bad | {number: f"{other.name}: {reason}" for number, reason in bad_labels.items()}
        for mapping in (path.parent / "mapping.txt", path.parent.parent / "mapping.txt"):
            if mapping.exists() and not examples.mapping:
                rows, bad_rows = decode(load(mapping))
                rows = [[cell.strip() for cell in row.split("\t")] for row in rows if row.strip()]
                if bad_rows or not all(len(row) == 2 for row in rows):
                    raise UserError(f"{mapping}: each line should be a label, a tab, its name")
                examples.mapping = dict(rows)
                if len(set(examples.mapping.values())) < len(rows):
                    raise UserError(f"{mapping}: two lines have the same label or the same name")
    for number, (line, label) in enumerate(zip(lines, labels), start=1):
        if number in bad:
            examples.problems.append((number, bad[number]))
        elif line.strip() or (label or "").strip():
            examples.add(number, line, label)


def refuse_bad_rows(examples, skip=False, most=20):
    """Raise UserError with the rows that are no examples; with skip=True return that list as text instead.

    Every row of the file is either an example or in the list.
    """
    problems = examples.problems
    if not problems:
        return ""
    rows = [f"  {examples.path}:{line}: {reason}" for line, reason in problems[:most]]
    if len(problems) > most:
        rows.append(f"  ... and {len(problems) - most} more")
    total = len(problems) + len(examples.texts)
    listing = "\n".join([f"{examples.path}: {len(problems)} bad of {total} rows", *rows])
    if not skip:
        raise UserError(f"{listing}\nNothing was trained. Mend these rows, or leave them out with --skip_bad_rows.")
    if not examples.texts:
        raise UserError(f"{listing}\nNo row is left.")
    return listing


def suspicions(files, ids, names):
    """What is worth a warning before an hour is spent; files and ids: {"train": Examples}, {"train": classes by row}.

    Returns sentences.
    """
    found = []
    train = ids.get("train", [])
    if train and len(set(train)) == 1:
        found.append(f"every row of {files['train'].path} is labelled {names[train[0]]}: there is nothing to learn")
    elif train and len(set(train)) < len(names):
        absent = [name for id, name in enumerate(names) if id not in set(train)]
        found.append(f"no row of {files['train'].path} is labelled {', '.join(absent)}")
    for part in ("dev", "test"):
        if len(names) > 1 and len(ids.get(part, [])) > 1 and len(set(ids[part])) == 1:
            label = names[ids[part][0]]
            found.append(
                f"every row of {files[part].path} is labelled {label}: placeholders? Scores on it mean nothing"
            )
    seen = {normalise(text) for text in files["train"].texts} if "train" in files else set()
    for part in ("dev", "test"):
        if part in files:
            shared = sum(normalise(text) in seen for text in files[part].texts)
            if shared:
                found.append(
                    f"{shared} of {len(files[part].texts)} texts of {files[part].path} are in the training file too"
                )
    return found


def normalise(text):
    return " ".join(text.lower().split())
