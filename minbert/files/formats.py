"""Which form a file has, and which of its columns hold the text and the label. Training and prediction share this."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from minbert.errors import UserError
from minbert.files import objects
from minbert.files.labels import TAG, as_word, is_number
from minbert.files.table import cells_of, column, delimiter_of, records, sep_line

FORMATS = ("pipes", "table", "label-last", "lines", "fasttext", "jsonl", "json", "parquet")
TEXT_COLUMNS = ("text", "sentence", "review", "tweet", "comment", "content", "message", "document", "headline")
LABEL_COLUMNS = ("label", "labels", "sentiment", "class", "category", "stance", "emotion", "rating", "target")
PAIR_COLUMNS = (  # the two texts of a row: GLUE's names, and others'
    *(("sentence1", "sentence2"), ("question1", "question2"), ("premise", "hypothesis"), ("question", "sentence")),
    *(("text1", "text2"), ("text_a", "text_b"), ("question", "passage")),
)
PARTNERS = ("question", "passage", "context", "premise", "hypothesis", "text_pair", "text2", "sentence2")
LOOK = 20  # lines by which a form is recognised
PACKED = (".gz", ".bz2", ".xz")
FASTTEXT = "__label__"
ODD_DELIMITERS = ("::", '":"', "~", "^", "@@", "##", "¦", "\x01", "\x1e", "\x1f")


@dataclass(frozen=True)
class How:
    """How the user says that a file is to be read; None or False: as it is recognised."""

    format: str | None = None
    text_column: str | None = None
    label_column: str | None = None
    no_header: bool = False  # of a table
    encoding: str | None = None
    quoting: str | None = None  # "none": in a table, quotes are letters
    pair_column: str | None = None  # of the second text
    pairs: bool = False  # where the columns have names of PAIR_COLUMNS and none is named, they are a pair

    def __post_init__(self):
        if self.format and self.format not in FORMATS:
            raise UserError(f"no format {self.format}; known are {', '.join(FORMATS)}")
        if self.quoting not in (None, "none"):
            raise UserError(f"no quoting {self.quoting}; known is none")

    def check(self, path, form):
        """Raise UserError for a flag that means nothing for a file of this form."""
        table_only = {"--no_header": self.no_header, "--quoting": self.quoting}
        columns = {name: getattr(self, name[2:]) for name in ("--text_column", "--label_column", "--pair_column")}
        for flag, value in (table_only if form != "table" else {}).items():
            if value:
                raise UserError(f"{path}: {flag} is for a CSV or TSV, and this is {form}; --format table insists")
        for flag, value in ({} if form in ("table", "jsonl", "json", "parquet") else columns).items():
            if value:
                raise UserError(f"{path}: {flag} is for a table, JSON or Parquet, and this is {form}: leave {flag} out")
        if form == "parquet" and self.encoding:
            raise UserError(f"{path}: is Parquet: leave --encoding out")
        return form

    def with_pair(self, header):
        """The same, with the names of both columns where one is named, or none, and they are one of PAIR_COLUMNS."""
        if self.text_column or not (self.pair_column or self.pairs):
            return self
        lower = {name.lower(): name for name in header}
        known = [pair for pair in PAIR_COLUMNS if {*pair} <= set(lower)]
        if self.pair_column:
            known = [pair for pair in known if pair[1] == self.pair_column.strip().lower()]
        if not known:
            return self
        first, second = known[0]
        return replace(self, text_column=lower[first], pair_column=self.pair_column or lower[second])


def plain_name(path):
    """The name of a file without .gz and the like."""
    return path.with_suffix("").name if path.suffix in PACKED else path.name


def recognise(path, lines, how=None, labels_required=True):
    """The form of a file, from its name and its first lines. Where no labels are required, plain texts are lines.

    Raises UserError for a form that minbert does not read, or that it does not know.
    """
    how = how or How()
    path = Path(path)
    if how.format:
        return how.check(path, how.format)
    if labels_path(path) and labels_path(path).exists():
        return how.check(path, "lines")
    some = [line for line in lines[: 2 * LOOK] if line.strip()][:LOOK]
    delimiter = sep_line(some)
    some = [line for line in some if line.strip()]
    if delimiter or not some:
        return how.check(path, "table")
    return how.check(path, of_lines(path, some, how, labels_required))


def of_lines(path, some, how, labels_required):
    header = some[0]
    if form := of_json(path, some):
        return form
    if 2 * sum(line.startswith(FASTTEXT) for line in some) > len(some):
        return "fasttext"
    cells, second = ({cell.strip(' "').lower() for cell in line.split(delimiter_of(line))} for line in (some * 2)[:2])
    named = how.text_column or how.label_column or how.pair_column or how.no_header or how.quoting
    has_pair = any({*pair} <= cells for pair in PAIR_COLUMNS)
    if "|||" not in header and (named or has_pair or (cells & set(TEXT_COLUMNS) and len(cells) > 1)):
        return "table"
    above = (
        f"{path}: its first line, {header.strip()!r:.40}, stands above a table: delete it; "
        "if each line is a text, pass --format lines"
    )
    if second & set(TEXT_COLUMNS) and second & set(LABEL_COLUMNS):
        raise UserError(above)
    if any("|||" in line for line in some):
        return of_pipes(path, [line.split("|||") for line in some if line.count("|||") == 1])
    pairs = [line.split("\t") for line in some if line.count("\t") == 1]
    pairs = [(first.strip(), last.strip()) for first, last in pairs]
    if 2 * sum(len(last) <= 40 for _, last in pairs) > len(some) or 2 * len(pairs) > len(some) > 3:
        return of_pairs(path, pairs, some[0].count("\t") == 1)
    if plain_name(path).endswith((".csv", ".tsv")) or is_table(some):
        return "table"  # of columns that have to be named
    if len(some) > 4 and delimiter_of(some[1]) not in header and is_table(some[1:]):
        raise UserError(above)
    odd = next((mark for mark in ODD_DELIMITERS if same_count(some, mark)), None)
    names = [word.lower() for word in re.findall(r"\w+", header)]
    if not odd and len(names) > 1 and {*names} <= {*TEXT_COLUMNS, *LABEL_COLUMNS, "id"} and len(some) > 1:
        odd = re.search(r"\W+", header.strip(' "'))[0]
    if odd:
        raise UserError(f"{path}: each line has a {odd!r}; minbert reads tables with tabs, commas, semicolons or |")
    if header.strip(' "').lower() in TEXT_COLUMNS and len(some) > 1:
        raise UserError(f"{path}: its first line is {header.strip()}: say --format table if that is a header, or lines")
    if not labels_required:
        return "lines"
    raise UserError(
        f"{path}: the format was not recognised; the first line is {header!r:.80}. minbert reads: label ||| text; "
        "CSV or TSV (name its columns with --text_column and --label_column); text, a tab, label; "
        f"{FASTTEXT}LABEL text; JSONL, JSON and Parquet; NAME_text.txt beside NAME_labels.txt"
    )


def of_json(path, some):
    """jsonl, json, or None for what is no JSON. Raises UserError for JSON of another form."""

    def value(text):
        try:
            return objects.parse(text)
        except ValueError:
            return None

    values = [value(line) for line in some]
    of_lists = 2 * sum(isinstance(each, list) for each in values) > len(some) > 1
    if re.match(r"\s*\[\s*\{", "".join(some)) and not of_lists:
        return "json"
    if 2 * sum(isinstance(each, dict) for each in values) > len(some):
        first = next(each for each in values if isinstance(each, dict))
        if len(some) == 1 and first and all(isinstance(each, (dict, list)) for each in first.values()):
            raise UserError(
                f"{path}: is one JSON object of columns; write one object a line: in pandas, "
                'to_json(path, orient="records", lines=True)'
            )
        if {"nbformat", "cells"} <= set(first):
            raise UserError(f"{path}: is a notebook")
        return "jsonl"
    if 2 * sum(isinstance(each, list) for each in values) > len(some):
        raise UserError(f"{path}: is JSON of lists; {READ_JSON}")
    if any(
        isinstance(each, dict) or (isinstance(each, list) and each[:1] and isinstance(each[0], dict)) for each in values
    ):
        raise UserError(f"{path}: some lines are JSON and others are not; if each line is a text, pass --format lines")
    if values[0] is None and re.match(r'\s*\{\s*("[^"]*"\s*:|$)', some[0]):
        raise UserError(f"{path}: is a JSON object in several lines, or cut; {READ_JSON}")
    if 2 * sum(re.match(r"\s*\{\s*'[^']*'\s*:", line) is not None for line in some) > len(some):
        raise UserError(f"{path}: is of Python's dictionaries, not JSON, which writes names in double quotes")
    return None


READ_JSON = 'minbert reads objects such as {"text": "...", "label": "..."}, one a line or in an array'


def of_pipes(path, pairs):
    """pipes. Raises UserError if the second part of the lines looks like the label."""
    firsts, lasts = ({pair[at].strip() for pair in pairs} for at in (0, 1))
    if len(pairs) >= 4 and len(lasts) < len(firsts):
        raise UserError(f"{path}: the label seems to come last, but the form is label ||| text")
    return "pipes"


def of_pairs(path, pairs, header):
    """The form of lines with one tab each: label-last, or table if the first is a header.

    Raises UserError if the first column looks like the label, or nothing tells which column is which.
    """
    firsts, lasts = ([pair[at] for pair in pairs] for at in (0, 1))
    below = lasts[1:]
    if header and below and not is_number(lasts[0]) and all(map(is_number, below)):
        return "table"  # a word above numbers is a column's name
    if header and len(below) >= 4 and lasts[0] not in below and all(below.count(label) > 1 for label in below):
        raise UserError(
            f"{path}: its first line {pairs[0]} is a header or a row: pass --text_column {as_word(firsts[0])} "
            f"--label_column {as_word(lasts[0])}, or --format label-last for text, a tab, label"
        )
    if "O" in lasts and any(re.fullmatch(TAG, label) for label in lasts):
        raise UserError(f"{path}: has a tag for each word, such as 'O': --label_kind tags learns these")
    ways = "--no_header --text_column N --label_column N; or --format label-last for text, a tab, label"
    quoted = [first for first in firsts if re.fullmatch('".*"', first)]
    if len(pairs) >= 4 and (len(quoted) == len(pairs) or any('""' in first[1:-1] for first in quoted)):
        raise UserError(f"{path}: its texts stand in quotes. If these are no part of the texts, pass {ways}")
    if len(pairs) >= 4 and len(set(firsts)) < len(set(lasts)):
        raise UserError(f"{path}: of the two columns, the first looks like the label. Say which is which with {ways}")
    if len(pairs) >= 5 and len(set(lasts)) == len(pairs):
        raise UserError(f"{path}: two columns, and none looks like the label. Say which is which with {ways}")
    return "label-last"


def same_count(lines, mark):
    """Whether four lines or more have this mark, each as often."""
    counts = [line.count(mark) for line in lines]
    return len(lines) > 3 and counts[0] > 0 and len(set(counts)) == 1


def is_table(lines):
    """Whether lines look like rows: each has as many delimiters, or no fewer than a first line of names."""
    if len(lines) < 2:
        return False
    beside = '[,;|\t]"|"[,;|\t]'  # a quote beside a delimiter is no prose
    quoted = all(re.search(beside, line) for line in lines)
    for delimiter in "\t,;|":
        counts = {len(cells_of(line, delimiter)) for line in lines}
        if len(counts) == 1 and counts != {1} and (quoted or len(lines) >= (2 if delimiter == "\t" else 4)):
            return True
    delimiter = delimiter_of(lines[0])
    counts = [len(cells_of(line, delimiter)) for line in lines]
    if counts[0] < 2:
        return False
    names = all(re.fullmatch(r'"?[^\W\d][\w.-]*( [\w.-]+)?"?', cell) for cell in lines[0].split(delimiter))
    return names and 5 * sum(count >= counts[0] for count in counts) >= 4 * len(lines)


def choose_columns(path, header, how, labels_required, wants_label=True, below=(), form="table"):
    """The index of the text's column and of the label's, or None for a label that may be missing.

    header  the names of the columns; of a table without a header, their numbers from 1
    below   the first rows, to tell whether the header is a row too

    Raises UserError if a column is missing, if several fit and none is named, or if the header looks like a row.
    """
    doubt = "" if how.no_header or form != "table" else first_row(header, below)
    hint = ""
    if how.no_header and below:
        cells = ", ".join(f"{number} {cell!r:.30}" for number, cell in enumerate(below[0], start=1))
        hint = f". The first row is: {cells}"
    elif form == "table" and not plain_name(Path(path)).endswith((".csv", ".tsv")):
        hint = ". If each line is a text, pass --format lines"
    try:
        text = column(path, header, how.text_column, TEXT_COLUMNS, "text", hint=hint)
        label = None
        if wants_label:
            names = LABEL_COLUMNS
            label = column(path, header, how.label_column, names, "label", required=labels_required, hint=hint)
    except UserError:
        if not doubt:
            raise
        raise UserError(f"{path}: {doubt}") from None
    if doubt and ((how.text_column and " " in header[text]) or (label is not None and is_number(header[label]))):
        raise UserError(f"{path}: {doubt}. If it is the header, rename its columns")
    if form == "table" and not how.no_header and not how.text_column and shared_cells(header, below, apart=text):
        raise UserError(f"{path}: {first_row(header, below)}")
    partners = [name for name in header if name.lower() in PARTNERS]
    if partners and not how.text_column:
        raise UserError(
            f"{path}: the text could be {header[text]!r} or {' or '.join(map(repr, partners))}: "
            "name one column with --text_column; minbert reads one text a row"
        )
    others = [at for at, name in enumerate(header) if name.lower() in LABEL_COLUMNS]
    if len(others) == 1 and not how.text_column and not how.label_column and swapped(below, text, others[0]):
        raise UserError(
            f"{path}: the columns {header[text]!r} and {header[others[0]]!r} seem to be swapped: "
            "name them with --text_column and --label_column"
        )
    if label == text:
        raise UserError(f"{path}: {header[text]!r} is named as the text and as the label")
    return text, label


def choose_pair(path, header, how, text, label):
    """The index of the second text's column, or None if how names none; text and label as `choose_columns` has them.

    Raises UserError if there is no such column, or if it is the text's or the label's.
    """
    if not how.pair_column:
        return None
    pair = column(path, header, how.pair_column, (), "pair")
    if pair in (text, label):
        other = "text" if pair == text else "label"
        raise UserError(f"{path}: {header[pair]!r} is named as the {other} and as its pair")
    return pair


def swapped(rows, text, label):
    """Whether ten rows or more have few texts, and each a label of its own."""
    rows = [row for row in rows if len(row) > max(text, label)]
    texts, labels = ({row[at].strip() for row in rows} for at in (text, label))
    return len(rows) >= 10 and 2 * len(texts) <= len(rows) == len(labels)


def first_row(header, below):
    """Why a table's header looks like a row; "" if it does not."""
    if not [row for row in below if len(row) == len(header)]:
        return ""
    numbers = [cell for cell in header if is_number(cell)]
    counted = [cell for cell in header if cell] == [str(at) for at in range(len(numbers))]  # pandas names columns so
    shared = shared_cells(header, below)
    if (numbers and not counted) or shared:
        cell = (shared or numbers)[0]
        return (
            f"seems to have no header, as its first line has the cell {cell!r:.40}: pass --no_header, and name the "
            "columns by number, from 1: --text_column N --label_column N"
        )
    return ""


def shared_cells(header, below, apart=None):
    """The cells of a first line that stand below it in the same column, too; in the column `apart` they may."""
    below = [[cell.strip() for cell in row] for row in below if len(row) == len(header)]
    below = [row for row in below if row != header]
    return [cell for at, cell in enumerate(header) if cell and at != apart and any(row[at] == cell for row in below)]


def numbered_header(rows):
    """The header of a table without one, from its first rows: the numbers of its columns from 1."""
    widths = [len(fields) for fields in rows]
    return [str(number) for number in range(1, max(widths, key=widths.count, default=0) + 1)]


def first_rows(lines, delimiter, quoting=None):
    """The good rows among the first lines of a table, the header included."""
    found = records(lines[:LOOK], {}, delimiter, quoting=quoting)
    return [fields for _, _, fields, reason in found if not reason]


def labels_path(path):
    """train_text.txt -> train_labels.txt beside it; None for any other name."""
    plain = plain_name(path)
    if not plain.endswith("_text.txt"):
        return None
    return path.with_name(plain.removesuffix("_text.txt") + "_labels.txt" + path.name.removeprefix(plain))
