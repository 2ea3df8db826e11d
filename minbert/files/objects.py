"""JSON and Parquet -> rows of named fields.

    jsonl     an object a line: {"text": "I loved it", "label": "positive"}
    json      an array of such objects; it is held in memory as a whole
    parquet   through pyarrow, where that is installed, a group of rows after the other

Each row is (number of its line or, in Parquet, of the row; its fields or None; why it is no row or None).
"""

import json
import re
from itertools import chain, islice

from minbert.errors import UserError

LOOK = 20  # rows by which the fields are known
BATCH = 1024  # rows of a Parquet file that are held at once
SURROGATE = re.compile("[\ud800-\udfff]")  # half a character: JSON can write one, and UTF-8 cannot hold it


def unique(pairs):
    """A JSON object as a dict. Raises ValueError for a name that occurs twice."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a name occurs twice in an object")
    return fields


def parse(text):
    """A JSON value. Raises ValueError; RecursionError becomes one."""
    try:
        return json.loads(text, object_pairs_hook=unique)
    except RecursionError:
        raise ValueError("too many brackets") from None


def json_lines(lines):
    """The rows of a JSONL file. lines: (line, what is wrong with it or None)"""
    for number, (line, problem) in enumerate(lines, start=1):
        if line.strip() or problem:
            fields = None
            if not problem:
                try:
                    fields = parse(line)
                    problem = row_problem(fields, line)
                except ValueError as error:
                    problem = f"not a JSON object ({error})"
            yield number, None if problem else fields, problem


def json_array(path, text):
    """The rows of a JSON array. Raises UserError if it is not one."""
    decoder = json.JSONDecoder(object_pairs_hook=unique)
    at, line, counted = skip(text, 0) + 1, 1, 0
    if text[at - 1 : at] != "[":
        raise UserError(f"{path}: is no JSON array: it does not begin with [")
    while True:
        at = skip(text, at)
        if text[at : at + 1] == "]":
            break
        line, counted = line + text.count("\n", counted, at), at
        try:
            begin = at
            fields, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}:{line}: the JSON array cannot be read ({error})") from None
        problem = row_problem(fields, text[begin:at])
        yield line, None if problem else fields, problem
        at = skip(text, at)
        if text[at : at + 1] == ",":
            at += 1
        elif text[at : at + 1] != "]":
            line += text.count("\n", counted, at)
            raise UserError(f"{path}:{line}: the JSON array cannot be read: a comma or ] should follow")
    if text[at + 1 :].strip():
        raise UserError(f"{path}: there is more after the end of the JSON array")


def row_problem(fields, source):
    """Why a JSON value that is written so is no row, or None."""
    if not isinstance(fields, dict):
        return "not a JSON object"
    escaped = "\\ud" in source.lower()
    half = escaped and SURROGATE.search(json.dumps(fields, ensure_ascii=False))
    return f"holds half a character ({half[0]!r}), which no file can hold" if half else None


def skip(text, at):
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def parquet(path):
    """The names of the columns, the rows of a Parquet file, and {label: its name} where the file says so."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise UserError(f"{path}: is Parquet: pip install pyarrow to read it, or save the table as CSV") from None

    try:
        file = ParquetFile(path)
    except (OSError, ArrowException) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None

    def rows(columns):
        number = 0
        try:
            for batch in file.iter_batches(BATCH, columns=columns):
                for fields in batch.to_pylist():
                    number += 1
                    yield number, fields, None
        except (OSError, ArrowException) as error:
            raise UserError(f"{path}: cannot be read after row {number} ({error})") from None

    return file.schema_arrow.names, rows, class_names(file.schema_arrow.metadata)


def class_names(metadata):
    """{column: {"0": "negative", ...}} as the datasets library stores them; {} where it did not."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        lists = {column: feature["names"] for column, feature in features.items() if "names" in feature}
        return {column: {str(id): str(name) for id, name in enumerate(names)} for column, names in lists.items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def field_names(path, rows):
    """The names of the fields in the first rows, and all rows. Raises UserError if the first rows have none."""
    first = list(islice(rows, LOOK))
    names = list(dict.fromkeys(name for _, fields, _ in first if fields for name in fields))
    if not names:
        reason = f": {first[0][2]}" if first and first[0][2] else ""
        raise UserError(f"{path}: no row with fields among the first{reason}")
    return names, chain(first, rows)


def text_field(fields, name):
    """(text, why there is none or None)"""
    if name not in fields:
        return "", f"no field {name}"
    value = fields[name]
    if value is None:
        return "", "empty text"
    return (value, None) if isinstance(value, str) else ("", f"{name} is not a string: {value!r:.40}")


def label_field(fields, name):
    """A label as a table would write it: 1, 1.0, True, words; "" where there is none. Lists and objects are JSON."""
    value = fields.get(name)
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (list, dict)) else str(value)
