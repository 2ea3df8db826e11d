"""Files -> examples. Reads the forms that courses, benchmarks and spreadsheets use, and reports every bad row.

    pipes       label ||| text                              the CMU kits: SST, CFIMDB
    table       CSV or TSV, with a header or without        spreadsheets, IMDB, the Stanford kit's ids-*.csv
    label-last  text TAB label, no header, no quoting       SST-2
    lines       one text a line in NAME_text.txt, one label a line in NAME_labels.txt, names in mapping.txt: tweeteval
    fasttext    __label__LABEL text
    jsonl       a JSON object a line
    json        a JSON array of objects
    parquet     needs pyarrow

Any of them but Parquet may be packed by gzip, bzip2 or xz. `formats.recognise` tells them apart.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from minbert.errors import UserError
from minbert.files.formats import (
    FASTTEXT,
    How,
    choose_columns,
    choose_pair,
    first_rows,
    labels_path,
    numbered_header,
    recognise,
)
from minbert.files.labels import INVISIBLE, normal_label
from minbert.files.lines import PARQUET, decode, load
from minbert.files.objects import field_names, json_array, json_lines, label_field, parquet, text_field
from minbert.files.table import delimiter_of, joiner, records, row_problem, sep_line

ONE_SIDED = "empty second text: the row has one side of a pair alone"
BLANK = INVISIBLE + " \t\n\r\xa0"  # a text of these alone is empty


@dataclass
class Examples:
    """What a file holds: texts, labels as they are written there, and the rows that are no examples."""

    path: str
    format: str
    texts: list = field(default_factory=list)
    labels: list = field(default_factory=list)  # strings; empty if the file has no label column
    pairs: list = field(default_factory=list)  # the second text of each row; empty if there is none
    lines: list = field(default_factory=list)  # where each example begins, from 1
    problems: list = field(default_factory=list)  # (line, reason)
    mapping: dict = field(default_factory=dict)  # tweeteval: {label as written: its name}
    columns: str = ""  # which columns of a table were read
    sha256: str = ""

    @property
    def labelled(self):
        return len(self.labels) == len(self.texts) > 0

    @property
    def unit(self):
        """How an example is called."""
        return "pair" if self.pairs else "row"

    def line(self, index):
        """Where an example begins, from 1."""
        return self.lines[index]

    def joined(self, between):
        """The texts; of pairs, both as one."""
        return [between.join(pair) for pair in zip(self.texts, self.pairs)] if self.pairs else self.texts

    def rewrite(self, function):
        """Change the texts."""
        self.texts, self.pairs = list(map(function, self.texts)), list(map(function, self.pairs))

    def add(self, line, text, label=None, pair=None):
        """Take a row as an example, or report it. pair: its second text, if the file has one for each row"""
        text, pair = text.strip(), None if pair is None else pair.strip()
        label = None if label is None else normal_label(label)
        if not text.strip(BLANK):
            self.problems.append((line, "empty text"))
        elif pair is not None and not pair.strip(BLANK):
            self.problems.append((line, ONE_SIDED))
        elif label == "":
            self.problems.append((line, "empty label"))
        else:
            self.texts.append(text)
            self.lines.append(line)
            if label is not None:
                self.labels.append(label)
            if pair is not None:
                self.pairs.append(pair)

    def select(self, wanted):
        """Only the examples with these indices."""
        for name in ("texts", "pairs", "labels", "lines"):
            values = getattr(self, name)
            setattr(self, name, [values[index] for index in wanted] if values else [])


def read_examples(
    path,
    format=None,
    text_column=None,
    label_column=None,
    labels_required=True,
    no_header=False,
    encoding=None,
    quoting=None,
    pair_column=None,
    pairs=False,
):
    """Read a file of examples. Bad rows are collected in .problems, nothing is dropped in silence.

    format       one of formats.FORMATS; None: recognised
    text_column, label_column, pair_column
                 names of columns or fields; in a table without a header, numbers from 1. The last is that of a second
                 text: each row is then a pair
    pairs        columns with the names of formats.PAIR_COLUMNS are a pair, if no column is named
    no_header    the first line of a table is a row
    encoding     of the file; None: UTF-8, or UTF-16 where its first bytes show it
    quoting      "none": in a table, quotes are letters

    Raises UserError if the file as a whole cannot be used: absent, empty, packed wrongly, of no known form, or without
    the columns.
    """
    how = How(format, text_column, label_column, no_header, encoding, quoting, pair_column, pairs)
    path = Path(path)
    data = load(path, encoding, format)
    examples = Examples(str(path), format or "", sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    if data.startswith(PARQUET):
        del data
        examples.format = how.check(path, format or "parquet")
        if examples.format != "parquet":
            raise UserError(f"{path}: is Parquet: leave --format {format} out")
        names, rows, classes = parquet(path)
        read_objects(examples, names, rows, how, labels_required, classes)
        return examples
    lines, bad = decode(data)
    if not any(line.strip() for line in lines):
        raise UserError(f"{path}: the file is empty")
    examples.format = recognise(path, lines, how, labels_required)
    if examples.format == "parquet":
        raise UserError(f"{path}: is not Parquet: leave --format out")
    if examples.format == "table":
        read_table(examples, lines, bad, how, labels_required)
    elif examples.format == "lines":
        read_lines(examples, lines, bad, labels_required)
    elif examples.format in ("json", "jsonl"):
        names, rows = field_names(path, json_rows(path, examples.format, lines, bad))
        read_objects(examples, names, lambda _: rows, how, labels_required)
    else:
        for number, line in enumerate(lines, start=1):
            if number in bad or line.strip():
                text, label, reason = split_line(line, examples.format)
                if number in bad or reason:
                    examples.problems.append((number, bad.get(number, reason)))
                else:
                    examples.add(number, text, label)
    if not examples.texts and not examples.problems:
        raise UserError(f"{path}: a header, but no rows")
    return examples


def split_line(line, form):
    """(text, label, why it is no row or None) of a line of pipes, label-last or fasttext."""
    if form == "fasttext":
        label, _, text = line.strip().partition(" ")
        if not label.startswith(FASTTEXT):
            return "", "", f"not of the form: {FASTTEXT}LABEL text"
        several = text.lstrip().startswith(FASTTEXT)
        return text, label.removeprefix(FASTTEXT), "several labels" if several else None
    separator, means = ("|||", "label ||| text") if form == "pipes" else ("\t", "text, a tab, label")
    cells = line.split(separator)
    if len(cells) != 2:
        return "", "", f"not of the form: {means}"
    text, label = reversed(cells) if form == "pipes" else cells
    return text, label, None


def json_rows(path, form, lines, bad):
    """The rows of JSONL or of a JSON array, as files/objects.py has them."""
    if form == "jsonl":
        return json_lines((line, bad.get(number)) for number, line in enumerate(lines, start=1))
    for number, reason in bad.items():
        raise UserError(f"{path}:{number}: {reason}")
    return json_array(path, "\n".join(lines))


def read_objects(examples, names, rows, how, labels_required, classes=None):
    """JSON or Parquet: fields by name.

    names    of the fields
    rows     a function: names of the wanted fields -> the rows
    classes  {field: {label as written: its name}}, of Parquet
    """
    how = how.with_pair(names)
    text, label = choose_columns(examples.path, names, how, labels_required, form=examples.format)
    pair = choose_pair(examples.path, names, how, text, label)
    text, label, pair = (None if at is None else names[at] for at in (text, label, pair))
    found = list(rows([name for name in (text, pair, label) if name is not None]))
    if label is not None and not labels_required and not any(label_field(row or {}, label) for _, row, _ in found):
        label = None  # a field kept empty, to be filled with predictions
    examples.columns = ", ".join(name for name in (text, pair, label) if name is not None)
    for number, fields, reason in found:
        value, why = ("", reason) if reason else text_field(fields, text)
        second, why_not = (None, None) if pair is None or why else text_field(fields, pair)
        if why := why or (why_not and why_not.replace("empty text", "empty second text")):
            examples.problems.append((number, why))
        else:
            examples.add(number, value, None if label is None else label_field(fields, label), second)
    if label is not None:
        examples.mapping = (classes or {}).get(label, {})


def read_table(examples, lines, bad, how=None, labels_required=True):
    """CSV or TSV: columns by name, or by number without a header; quotes around fields, line breaks within them."""
    how = how or How()
    quoting, lines = how.quoting, list(lines)
    delimiter = sep_line(lines)
    delimiter = delimiter or delimiter_of(next(line for line in lines if line.strip()))
    below = first_rows(lines, delimiter, quoting)
    rows = list(records(lines, bad, delimiter, quoting=quoting))
    if not rows:
        raise UserError(f"{examples.path}: the file is empty")
    if how.no_header:
        header = numbered_header(below)
    else:
        (number, _, header, reason), *rows = rows
        if reason:
            raise UserError(f"{examples.path}:{number}: the header cannot be read: {reason}")
        header, below = [cell.strip() for cell in header], below[1:]
    how = how.with_pair(header)
    text, label = choose_columns(examples.path, header, how, labels_required, below=below)
    pair = choose_pair(examples.path, header, how, text, label)
    if label is not None and any(count > 1 for _, count, _, _ in rows):
        rows = list(records(lines, bad, delimiter, joiner(lines, rows, delimiter, len(header), text, label)))
        rows = rows if how.no_header else rows[1:]
    if label is not None and not labels_required:
        good_rows = [fields for _, _, fields, reason in rows if not reason and len(fields) == len(header)]
        if not any(fields[label].strip() for fields in good_rows):
            label = None  # a column kept empty, to be filled with predictions
    examples.columns = ", ".join(header[at] for at in (text, pair, label) if at is not None)
    for number, count, fields, reason in rows:
        reason = reason or row_problem(number, count, fields, header, how.no_header)
        if reason:
            examples.problems.append((number, reason))
        else:
            second = None if pair is None else fields[pair]
            examples.add(number, fields[text], None if label is None else fields[label], second)


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
