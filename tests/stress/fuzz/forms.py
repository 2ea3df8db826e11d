"""Files of examples that are well formed, with one thing changed: read as they are meant, refused, or rows reported.

Each file is written from rows that are known: texts, each with its class. Training must find these texts with these
classes, and prediction these texts; or they refuse the file in one line; or they report a row, by its line. A row that
is another, a class that is two, two classes that are one, and a row of which nothing is said are faults.
"""

import bz2
import csv
import gzip
import io
import json
import lzma
from collections import Counter
from dataclasses import dataclass, field

from minbert.errors import UserError
from minbert.files import stream
from minbert.files.examples import read_examples
from minbert.files.labels import LabelSet

ROWS = 12
TEXT = """good bad film the a of plot, acting; it's "great" 5/10 10% café naïve 中国 😀 #wow @you so-so well... n/a nan
0 1 - don’t “fine” <br/> http://x.y/z?a=1&b=2 |"""
WORDS = TEXT.split()
CLASSES = [
    ("neg", "pos"),
    ("0", "1"),
    ("bad", "good", "so-so"),
    ("favor", "against", "none"),
    ("1", "2", "3", "4", "5"),
]
CLASSES += [("False", "True"), ("très bien", "mal"), ("yes", "no"), ("anger", "joy", "fear"), ("-1", "0", "1")]


@dataclass
class Sheet:
    """What is to be written, and how."""

    texts: list
    classes: list  # the class that each text is meant to have
    labels: list  # as they are written
    names: list = field(default_factory=lambda: ["text", "label"])
    more: dict = field(default_factory=dict)  # other columns
    form: str = "table"
    file: str = "some.csv"
    delimiter: str = ","
    quoting: int = csv.QUOTE_MINIMAL
    end: str = "\n"
    before: str = ""  # lines above and below
    after: str = ""
    encoding: str = "utf-8"
    pack: object = staticmethod(lambda data: data)
    meant: bool = True  # False: the labels are no classes, and a file that is read is a fault


def make(dice):
    names = dice.choice(CLASSES)
    classes = [names[at % len(names)] for at in range(ROWS)]
    dice.shuffle(classes)
    texts = [" ".join([f"row{row}", *dice.choices(WORDS, k=dice.randrange(1, 6))]) for row in range(ROWS)]
    sheet = Sheet(texts, classes, list(classes))
    sheet.form = dice.choice(["table"] * 5 + ["jsonl", "json", "pipes", "label-last", "fasttext", "lines"])
    if sheet.form == "table":
        sheet.delimiter = dice.choice([",", ",", ";", "\t", "|"])
        sheet.quoting = dice.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
        sheet.file = dice.choice(["some.csv", "some.csv", "some.tsv", "some.txt", "some.dat"])
        sheet.end = dice.choice(["\n", "\r\n"])
    else:
        sheet.file = {"lines": "some_text.txt", "jsonl": "some.jsonl", "json": "some.json"}.get(sheet.form, "some.txt")
        if sheet.form == "fasttext":
            sheet.labels = [label.replace(" ", "_") for label in classes]
    return sheet


# One thing changed


def of_labels(change, meant=True):
    """A change of every label, or of one (`change` says which by its argument `row`)."""

    def apply(sheet, dice):
        row = dice.randrange(ROWS)
        sheet.labels = [change(label, at == row, dice) for at, label in enumerate(sheet.labels)]
        sheet.meant = meant

    return apply


def one(change):
    return of_labels(lambda label, here, dice: change(label) if here else label)


def put(**fields):
    def apply(sheet, dice):
        for name, values in fields.items():
            setattr(sheet, name, dice.choice(values))

    return apply


def add_column(sheet, dice):
    name, cell = dice.choice(
        [
            *(("id", str), ("", str), ("Unnamed: 0", str), ("date", lambda row: f"2026-01-{row + 1:02}")),
            *(("rating", lambda row: str(row % 5)), ("Sentiment", lambda row: "xy"[row % 2]), ("title", "t{}".format)),
            *(("text_pair", "other {}".format), ("labels", lambda row: "ab"[row % 2]), ("note", lambda row: "")),
            *(("stance", lambda row: ["FAVOR", "AGAINST"][row % 2]), ("sentence", "another text {}".format)),
            *(("label_confidence", lambda row: f"0.{row}1"), ("text", "twice {}".format), ("label", lambda row: "z")),
        ]
    )
    if sheet.form == "table" or name not in sheet.names:  # an object has one value of a name
        sheet.more[name] = [cell(row) for row in range(ROWS)]


def add_rows(sheet, dice):
    """The same rows again do no harm; each is used twice."""
    row = dice.randrange(ROWS)
    for values in (sheet.texts, sheet.classes, sheet.labels, *sheet.more.values()):
        values.append(values[row])


def one_text(change):
    def apply(sheet, dice):
        row = dice.randrange(ROWS - 1)  # an empty line at a file's end is no row
        sheet.texts[row] = change(sheet.texts[row])

    return apply


def swap_columns(sheet, dice):
    """The text stands under "label"; in JSON, only training could tell."""
    if sheet.form == "table":
        sheet.names = sheet.names[::-1]


NAMES = [
    *(["Text", "Label"], ["TEXT", "LABEL"], [" text ", " label "], ["review", "sentiment"], ["tweet", "class"]),
    *(["comment_text", "toxic"], ["x", "y"], ["0", "1"], ["sentence", "gold_label"], ["text", "polarity"]),
    *(["text", "text"], ["text", "target"], ["body", "stars"], ["Review Text", "Rating"]),
    *(["text", ""], ["", ""], ["message", "category"], ["utterance", "intent"], ["question", "label"]),
]
CHANGES = {
    "nothing": lambda sheet, dice: None,
    "no header": put(names=[None]),
    "names": put(names=NAMES),
    "file": put(file=["a.csv", "a.tsv", "a.txt", "a.dat", "a.json", "a.jsonl", "a_text.txt", "a", "a.xlsx", "a.text"]),
    "delimiter": put(delimiter=[",", ";", "\t", "|", "^", "~", ":"]),
    "quoting": put(quoting=[csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONE]),
    "end": put(end=["\n", "\r\n", "\r"]),
    "encoding": put(
        encoding=["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "gb18030", "cp1251"]
    ),
    "packed": put(pack=[gzip.compress, bz2.compress, lzma.compress, lambda data: gzip.compress(gzip.compress(data))]),
    "above": put(
        before=["\n", "# a comment\n", "My data\n", "sep=,\n", "sep=;\n", "sep=\t\n", "version,1\n", "\n\n", "{}\n"]
    ),
    "below": put(after=["\n", "\n\n", "Total\n", "(12 rows)\n", "# end\n", "text,label\n", "text\tlabel\n", "EOF"]),
    "column": add_column,
    "rows": add_rows,
    "swapped": swap_columns,
    "form": put(form=["table", "jsonl", "json", "pipes", "label-last", "fasttext", "lines", "wrapped", "columns"]),
    "form and name": put(
        form=["swapped pipes", "label-first", "several", "python", "pairs", "numbers", "split"], file=["a.txt", "a.csv"]
    ),
    "one label's case": one(str.upper),
    "one label capitalised": one(str.capitalize),
    "one label's width": one(lambda label: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in label)),
    "one label's accent": one(lambda label: label + "\u0301"),
    "one label's spaces": one(lambda label: f"  {label}\u00a0"),
    "one label invisible": one(lambda label: f"\u200b{label}\ufeff"),
    "one label quoted": one(lambda label: f"'{label}'"),
    "one label's dot": one(lambda label: label + "."),
    "one label missing": of_labels(lambda label, here, dice: dice.choice(MISSING) if here else label),
    "one label with a hash": one(lambda label: "#" + label),
    "all labels upper": of_labels(lambda label, here, dice: label.upper()),
    "labels as floats": of_labels(lambda label, here, dice: f"{label}.0"),
    "scores": of_labels(lambda label, here, dice: f"{dice.random() * 5:.2f}", meant=False),
    "percent": of_labels(lambda label, here, dice: f"{dice.randrange(100)}%", meant=False),
    "years": of_labels(lambda label, here, dice: str(dice.randrange(1950, 2026)), meant=False),
    "lists": of_labels(lambda label, here, dice: str([label, dice.choice("ab")]), meant=False),
    "one-hot": of_labels(lambda label, here, dice: dice.choice(["[1, 0, 0]", "[0, 1, 0]", "[0, 0, 1]"]), meant=False),
    "ids": of_labels(lambda label, here, dice: f"id{dice.random():.9f}", meant=False),
    "no labels": of_labels(lambda label, here, dice: "", meant=False),
    "one text empty": one_text(lambda text: ""),
    "one text of a space": one_text(lambda text: " \u200b "),
    "one text of lines": one_text(lambda text: text + "\nnext line\n\nlast"),
    "one text quoted": one_text(lambda text: f'"{text}"'),
    "one text with a stray quote": one_text(lambda text: '"' + text),
    "one text with delimiters": one_text(lambda text: text + ", ; \t ||| |"),
    "one text with NUL": one_text(lambda text: text + "\0"),
    "one text a header": one_text(lambda text: "text"),
    "one text long": one_text(lambda text: text + " word" * 50_000),
    "one text a number": one_text(lambda text: "12"),
    "one text nan": one_text(lambda text: "nan"),
}
MISSING = ["nan", "NaN", "NA", "N/A", "null", "None", "-", "?", "<NA>", "#N/A", "missing", "", " ", "--", "NULL", "nil"]


# What is written


def as_table(sheet):
    out = io.StringIO()
    quotes = sheet.quoting != csv.QUOTE_NONE
    writer = csv.writer(out, delimiter=sheet.delimiter, quoting=sheet.quoting, lineterminator=sheet.end)
    if not quotes:
        writer = csv.writer(out, delimiter=sheet.delimiter, quoting=3, quotechar=None, lineterminator=sheet.end)
    if sheet.names:
        writer.writerow([*sheet.names, *sheet.more])
    for row in zip(sheet.texts, sheet.labels, *sheet.more.values()):
        writer.writerow(row)
    return out.getvalue()


def as_objects(sheet):
    text, label = sheet.names or ("0", "1")
    if text == label:
        raise UnicodeError
    columns = {text: sheet.texts, label: sheet.labels} | sheet.more
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def joined(separator, *columns):
    return "".join(separator.join(row) + "\n" for row in zip(*columns))


def dump(value):
    return json.dumps(value, ensure_ascii=False)


WRITE = {
    "table": as_table,
    "jsonl": lambda sheet: "".join(dump(row) + "\n" for row in as_objects(sheet)),
    "json": lambda sheet: dump(as_objects(sheet)),
    "wrapped": lambda sheet: dump({"data": as_objects(sheet)}),
    "columns": lambda sheet: dump({"text": sheet.texts, "label": sheet.labels}),
    "python": lambda sheet: "".join(f"{row}\n" for row in as_objects(sheet)),
    "pairs": lambda sheet: dump([list(row) for row in zip(sheet.texts, sheet.labels)]),
    "split": lambda sheet: dump({"train": as_objects(sheet), "test": []}),
    "numbers": lambda sheet: "".join(dump({"text": 7, "label": label}) + "\n" for label in sheet.labels),
    "pipes": lambda sheet: joined(" ||| ", sheet.labels, sheet.texts),
    "swapped pipes": lambda sheet: joined(" ||| ", sheet.texts, sheet.labels),
    "label-last": lambda sheet: joined("\t", sheet.texts, sheet.labels),
    "label-first": lambda sheet: joined("\t", sheet.labels, sheet.texts),
    "fasttext": lambda sheet: "".join(f"__label__{label} {text}\n" for label, text in zip(sheet.labels, sheet.texts)),
    "several": lambda sheet: "".join(f"__label__{label} __label__x {text}\n" for label, text in zip(*both(sheet))),
    "lines": lambda sheet: "".join(f"{text}\n" for text in sheet.texts),
}


def both(sheet):
    return sheet.labels, sheet.texts


def fits_a_line(sheet):
    """Whether a form without quotes can hold the rows."""
    return not (
        any("\n" in text for text in sheet.texts)
        or any("\t" in text for text in sheet.texts if "label" in sheet.form)
        or any(len(label.split(" ")) > 1 for label in sheet.labels if sheet.form in ("fasttext", "several"))
        or sheet.before.strip()
        or sheet.after.strip()
    )


def write(sheet, folder):
    """The file; raises UnicodeError or csv.Error if the form cannot hold the rows."""
    for old in folder.iterdir():
        old.unlink()
    if sheet.form not in ("table", "json", "jsonl") and not fits_a_line(sheet):
        raise UnicodeError
    data = (sheet.before + WRITE[sheet.form](sheet) + sheet.after).encode(sheet.encoding)
    path = folder / sheet.file
    path.write_bytes(sheet.pack(data))
    if sheet.form == "lines":
        labels = "".join(f"{label}\n" for label in sheet.labels)
        (folder / path.name.replace("_text", "_labels")).write_text(labels, encoding="utf-8") if "_" in path.name else 0
    return path


# What is read


def train(path):
    """[(text, class)], and how many rows are reported, as training reads them."""
    examples = read_examples(path)
    labels = LabelSet.collect(examples)
    ids = labels.ids(examples)
    return [(text, labels.names[id]) for text, id in zip(examples.texts, ids)], len(examples.problems)


def predict(path):
    rows = list(stream.read_rows(str(path))[1])
    return [(row.text, None) for row in rows if not row.problem], sum(bool(row.problem) for row in rows)


def plain(text):
    return " ".join(text.split())


def judge(sheet, found, reported, labelled):
    """What became of a file that was read: a word, or why it is a fault."""
    meant = dict(zip(map(plain, sheet.texts), sheet.classes))
    rows = len(sheet.texts)
    texts = [plain(text) for text, _ in found]
    if alien := [text for text in texts if text not in meant]:
        return f"a row that is none: {alien[0]!r:.60}"
    if len(texts) + reported < rows:
        return f"{rows - len(texts) - reported} of {rows} rows are lost"
    if Counter(texts) - Counter(map(plain, sheet.texts)):
        return "a row is used twice"
    if labelled and found:
        if not sheet.meant:
            return "what is no class is a class"
        pairs = {(meant[plain(text)], name) for text, name in found}
        if len(pairs) > min(len({a for a, _ in pairs}), len({b for _, b in pairs})):
            return f"classes are mixed up: {sorted(pairs)}"
    return "read" if not reported else "read, a row reported"


def fuzz_forms(count, rng, folder):
    """Files with one thing changed, as training and as prediction read them."""
    outcomes, number = Counter(), 0
    while number < count:
        dice = type(rng)(rng.getrandbits(64))
        sheet, what = make(dice), dice.choice(list(CHANGES))
        CHANGES[what](sheet, dice)
        try:
            path = write(sheet, folder)
        except (UnicodeError, csv.Error):
            continue
        number += 1
        for reader in (train, predict):
            try:
                found, reported = reader(path)
                told = judge(sheet, found, reported, reader is train)
                told = told if told.startswith("read") else f"fault: {told}"
            except UserError as error:
                whole = str(path) in str(error) and str(error).isprintable()
                told = "refused" if whole else f"fault: the message is {error!s:.200}"
            except Exception as error:
                told = f"fault: {type(error).__name__}: {error!s:.200}"
            if told.startswith("fault"):
                told += f" ({reader.__name__} of file {number - 1}, {sheet.form} {sheet.file}, changed: {what})"
            outcomes[told] += 1
    return outcomes


FUZZERS = {"forms": fuzz_forms}
