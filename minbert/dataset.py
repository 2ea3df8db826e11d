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
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from minbert.errors import UserError

FORMATS = ("pipes", "table", "label-last", "lines")
TEXT_COLUMNS = ("text", "sentence", "review", "tweet", "comment", "content", "message", "document", "headline")
LABEL_COLUMNS = ("label", "labels", "sentiment", "class", "category", "stance", "emotion", "rating", "target")
MOST_CLASSES = 200  # more different labels than this, and the wrong column was named


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
        label = None if label is None else label.strip()
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
        values = sorted(
            set(examples.labels), key=lambda label: (not is_number(label), int(label) if is_number(label) else label)
        )
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
        lookup = {value: id for id, value in enumerate(self.values)}
        lookup = {name: id for id, name in enumerate(self.names)} | lookup
        if not any(map(is_number, lookup)):
            lookup |= {str(id): id for id in range(len(self.names))}
        known = ", ".join(self.values)
        good = [index for index, label in enumerate(examples.labels) if label in lookup]
        for index, label in enumerate(examples.labels):
            if label not in lookup:
                examples.problems.append((examples.lines[index], f"label {label!r:.40} is not one of: {known}"))
        if len(good) < len(examples.labels):
            examples.keep(good)
            examples.problems.sort()
        return [lookup[label] for label in examples.labels]


def is_number(text):
    return text.removeprefix("-").isdecimal()


def read(path, format=None, text_column=None, label_column=None, labels_required=True):
    """Read a file of examples. Bad rows are collected in .problems, nothing is dropped in silence.

    Raises UserError if the file as a whole cannot be used: absent, empty, compressed wrongly, of no known format,
    or without the columns.
    """
    path = Path(path)
    data = load(path)
    examples = Examples(str(path), format or "", sha256=hashlib.sha256(data).hexdigest())
    if not data.strip():
        raise UserError(f"{path}: the file is empty")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UserError(f"{path}: the file is UTF-16; save it as UTF-8")
    lines, bad = decode(data)
    examples.format = format or recognise(path, lines, text_column, label_column)
    if examples.format == "table":
        read_table(examples, lines, bad, text_column, label_column, labels_required)
    elif examples.format == "lines":
        read_lines(examples, lines, bad, labels_required)
    else:
        separator, label_first = ("|||", True) if examples.format == "pipes" else ("\t", False)
        for number, line in enumerate(lines, start=1):
            if number in bad:
                examples.problems.append((number, bad[number]))
            elif line.strip():
                first, found, second = line.partition(separator) if label_first else line.rpartition(separator)
                if not found:
                    wanted = "label ||| text" if label_first else "text, a tab, label"
                    examples.problems.append((number, f"not of the form: {wanted}"))
                else:
                    examples.add(number, *((second, first) if label_first else (first, second)))
    if not examples.texts and not examples.problems:
        raise UserError(f"{path}: a header, but no rows")
    return examples


def load(path):
    """The bytes of a file, unpacked if it is gzipped."""
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
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
    """Bytes -> lines without their ends, and {number of a bad line: reason}. Bad lines are left in place, empty.

    Only \\n ends a line: tweets hold characters at which str.splitlines would cut.
    """
    raw = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if raw[-1] == b"":
        raw.pop()
    lines, bad = [], {}
    for number, line in enumerate(raw, start=1):
        try:
            lines.append(line.removesuffix(b"\r").decode())
            if "\0" in lines[-1]:
                bad[number] = f"NUL character in column {lines[-1].index(chr(0)) + 1}"
        except UnicodeDecodeError as error:
            lines.append("")
            bad[number] = (
                f"not UTF-8 (byte 0x{line[error.start]:02x} in column {error.start + 1}); is the file Latin-1?"
            )
    return lines, bad


def recognise(path, lines, text_column=None, label_column=None):
    """The format of a file, from its name and its first lines."""
    if labels_path(path) and labels_path(path).exists():
        return "lines"
    some = [line for line in lines if line.strip()][:20]
    if any("|||" in line for line in some):
        return "pipes"
    header = some[0] if some else ""
    cells = {cell.strip().strip('"').lower() for cell in header.split(delimiter_of(header))}
    if text_column or label_column or cells & set(TEXT_COLUMNS) and len(cells) > 1:
        return "table"
    if all(line.count("\t") == 1 and len(line.rpartition("\t")[2]) <= 40 for line in some):
        return "label-last"
    if path.name.removesuffix(".gz").endswith((".csv", ".tsv")):
        return "table"  # of columns that have to be named
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
    rows = records(lines, bad, delimiter_of(next(line for line in lines if line.strip())))
    number, header, reason = next(rows)
    if reason:
        raise UserError(f"{examples.path}:{number}: the header cannot be read: {reason}")
    header = [cell.strip() for cell in header]
    text = column(examples.path, header, text_column, TEXT_COLUMNS, "text")
    label = column(examples.path, header, label_column, LABEL_COLUMNS, "label", required=labels_required)
    examples.columns = header[text] + ("" if label is None else f", {header[label]}")
    for number, fields, reason in rows:
        if not reason and len(fields) != len(header):
            reason = f"ragged row: {len(fields)} fields, but the header has {len(header)}"
        if reason:
            examples.problems.append((number, reason))
        else:
            examples.add(number, fields[text], None if label is None else fields[label])


def column(path, header, wanted, candidates, kind, required=True):
    """The index of a column: the one that was named, or the first candidate there is; None if it may be missing."""
    lower = [name.lower() for name in header]
    for name in [wanted] if wanted else candidates:
        if name.lower() in lower:
            return lower.index(name.lower())
    if not required and not wanted:
        return None
    asked = f"no column {wanted}" if wanted else f"no column that looks like the {kind}"
    raise UserError(f"{path}: {asked}; the columns are {', '.join(map(repr, header))}. Name it with --{kind}_column")


def records(lines, bad, delimiter):
    """A table's rows: (number of the first line, fields, None), or (number, None, reason) for a row that is none.

    After a quote that never closes, reading goes on with the next line: one bad row swallows no good ones.
    """
    at = 0
    while at < len(lines):
        if not lines[at].strip() and at + 1 not in bad:
            at += 1
            continue
        reader = csv.reader(following(lines, bad, at), delimiter=delimiter, strict=True)
        try:
            fields = next(reader)
        except BadLine as error:
            at = error.number
            yield at, None, bad[at]
        except csv.Error as error:
            at += 1
            yield at, None, f"unbalanced quote ({error})"
        else:
            yield at + 1, fields, None
            at += reader.line_num


class BadLine(Exception):
    """A line in the middle of a record that could not be decoded."""

    def __init__(self, number):
        self.number = number


def following(lines, bad, start):
    """The lines from index start on, for the csv reader."""
    for index in range(start, len(lines)):
        if index + 1 in bad:
            raise BadLine(index + 1)
        yield lines[index] + "\n"


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
        if len(labels) != len(lines):
            raise UserError(f"{path} has {len(lines)} lines, but {other} has {len(labels)}")
        bad = bad | {number: f"{other.name}: {reason}" for number, reason in bad_labels.items()}
        for mapping in (path.parent / "mapping.txt", path.parent.parent / "mapping.txt"):
            if mapping.exists() and not examples.mapping:
                rows = [row.split("\t") for row in decode(load(mapping))[0] if row.strip()]
                if not all(len(row) == 2 for row in rows):
                    raise UserError(f"{mapping}: each line should be a label, a tab, its name")
                examples.mapping = {label.strip(): name.strip() for label, name in rows}
    for number, (line, label) in enumerate(zip(lines, labels), start=1):
        if number in bad:
            examples.problems.append((number, bad[number]))
        else:
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
