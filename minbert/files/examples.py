"""Files -> examples. Reads the formats that courses, benchmarks and spreadsheets use, and reports every bad row.

    pipes       label ||| text                              the CMU kits: SST, CFIMDB
    table       CSV or TSV with a header, quoted or not     spreadsheets, IMDB, the Stanford kit's ids-*.csv
    label-last  text TAB label, no header, no quoting       SST-2
    lines       one text a line in NAME_text.txt, one label a line in NAME_labels.txt, names in mapping.txt: tweeteval

Any of them may be gzipped. The format is recognised by `recognise`, or named by the caller.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from minbert.errors import UserError
from minbert.files.formats import FORMATS, LABEL_COLUMNS, TEXT_COLUMNS, labels_path, recognise
from minbert.files.lines import check_beginning, decode, load
from minbert.files.table import column, delimiter_of, joiner, ragged, records


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

    def select(self, wanted):
        """Only the examples with these indices."""
        for name in ("texts", "labels", "lines"):
            values = getattr(self, name)
            setattr(self, name, [values[index] for index in wanted] if values else [])


def read_examples(path, format=None, text_column=None, label_column=None, labels_required=True):
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
