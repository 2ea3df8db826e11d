"""Files of pairs, with one thing changed or with spoilt bytes: both texts of a row, or the row is reported, or neither.

Each row is known: both texts bear its number. Training must find these pairs with these classes, and prediction these
pairs; two texts of different rows, one text without the other, and a row of which nothing is said are faults.
"""

import csv
from collections import Counter

from minbert.errors import UserError
from minbert.files import formats, stream
from minbert.files.examples import read_examples
from minbert.files.labels import LabelSet
from tests.stress.fuzz import forms
from tests.stress.fuzz.readers import SPOIL as OF_BYTES
from tests.stress.fuzz.readers import clean, delimiter_of, fault, lines_of, parse

NAMES = [*formats.PAIR_COLUMNS, ("Sentence1", "SENTENCE2"), ("text", "context"), ("title", "body"), ("a", "b")]
EMPTY = ["", " ", "\u200b \xa0"]


def make(dice):
    """A Sheet whose second texts are its column with the name of `pair_name`."""
    sheet = forms.make(dice)
    sheet.form = dice.choice(["table", "table", "table", "jsonl", "json"])
    sheet.file = {"jsonl": "some.jsonl", "json": "some.json"}.get(sheet.form, dice.choice(["some.csv", "some.tsv"]))
    sheet.labels = list(sheet.classes)
    first, second = dice.choice(NAMES)
    sheet.names = [first, "label"]
    sheet.more = {second: [f"{text.split()[0]} {' '.join(dice.choices(forms.WORDS, k=3))}" for text in sheet.texts]}
    return sheet, second


def one_pair(change):
    def apply(sheet, second, dice):
        row = dice.randrange(len(sheet.texts) - 1)
        sheet.more[second][row] = change(sheet.more[second][row])

    return apply


def of_the_form(name):
    return lambda sheet, second, dice: forms.CHANGES[name](sheet, dice)


def swap_names(sheet, second, dice):
    """The second text's column stands where the first's stood, with its name."""
    sheet.names[0], sheet.texts, sheet.more = second, sheet.more[second], {sheet.names[0]: sheet.texts}


def name_again(sheet, second, dice):
    if sheet.form == "table":  # an object has one value of a name
        sheet.more |= {f"{second} ": sheet.more[second][::-1]}


OF_FORMS = ("nothing", "delimiter", "quoting", "end", "encoding", "packed", "above", "below", "column", "rows")
OF_FORMS += ("one label missing", "one label quoted", "one text empty", "one text of lines", "one text quoted")
OF_FORMS += ("one text with a stray quote", "one text with delimiters", "one text with NUL", "one text of a space")
CHANGES = {name: of_the_form(name) for name in OF_FORMS} | {
    "a pair empty": lambda sheet, second, dice: one_pair(lambda _: dice.choice(EMPTY))(sheet, second, dice),
    "a pair of lines": one_pair(lambda text: text + "\nnext line"),
    "a pair with a stray quote": one_pair(lambda text: '"' + text),
    "a pair with delimiters": one_pair(lambda text: text + ", ; \t |"),
    "a pair with NUL": one_pair(lambda text: text + "\0"),
    "a pair that is half a character": one_pair(lambda text: text + "\ud800"),
    "names swapped": swap_names,
    "a name twice": name_again,
}


# What is read


def train(path, how):
    """[(text, pair, class)], and how many rows are reported, as training reads them."""
    examples = read_examples(path, label_column="label", **how)
    labels = LabelSet.collect(examples)
    assert not examples.texts or len(examples.pairs) == len(examples.texts), "texts without their pairs"
    names = [labels.names[id] for id in labels.ids(examples)]
    return list(zip(examples.texts, examples.pairs, names, strict=True)), len(examples.problems)


def predict(path, how):
    rows = list(stream.read_rows(str(path), **how)[1])
    good = [row for row in rows if not row.problem]
    assert all(len(row.beside) == 1 for row in good), "texts without their pairs"
    return [(row.text, row.beside[0], None) for row in good], len(rows) - len(good)


def judge(sheet, columns, found, reported, labelled):
    """What became of a file that was read, or AssertionError. columns: the texts that are asked for"""
    texts, pairs = columns
    meant = {(forms.plain(text), forms.plain(pair)): name for text, pair, name in zip(texts, pairs, sheet.classes)}
    rows = {(forms.plain(text), forms.plain(pair)): name for text, pair, name in found}
    assert not (aliens := [both for both in rows if both not in meant]), f"a row that is none: {aliens[0]!r:.90}"
    classes = {(meant[both], name) for both, name in rows.items()}
    assert not labelled or len(classes) <= min(map(len, map(set, zip(*classes))), default=0), f"mixed up: {classes}"
    assert len(found) + reported >= len(texts), f"{len(texts) - len(found) - reported} of {len(texts)} rows are lost"
    return "read" if not reported else "read, a row reported"


def told(path, read):
    """What read() says; "refused", or a fault."""
    try:
        return read()
    except UserError as error:
        return "refused" if str(path) in str(error) and str(error).isprintable() else f"fault: {error!s:.200}"
    except Exception as error:
        return f"fault: {type(error).__name__}: {error!s:.200}"


def fuzz_sheets(count, rng, folder):
    """count files with one thing changed, as training and as prediction read them."""
    outcomes, number = Counter(), 0
    while number < count:
        dice = type(rng)(rng.getrandbits(64))
        (sheet, second), what = make(dice), dice.choice(list(CHANGES))
        first, texts, pairs = sheet.names[0], sheet.texts, sheet.more[second]
        CHANGES[what](sheet, second, dice)
        try:
            path = forms.write(sheet, folder)
        except (UnicodeError, csv.Error):
            continue
        number += 1
        how = {"text_column": first, "pair_column": second}
        if (first.lower(), second.lower()) in formats.PAIR_COLUMNS:
            how = dice.choice([how, {"pairs": True}, {"pair_column": second}])
        for reader in (train, predict):

            def read(reader=reader, path=path, how=how, sheet=sheet, columns=(texts, pairs)):
                return judge(sheet, columns, *reader(path, how), reader is train)

            outcome = told(path, read)
            where = f" ({reader.__name__} of file {number - 1}, {sheet.form}, {how}, changed: {what})"
            outcomes[outcome + where * outcome.startswith("fault")] += 1
    return outcomes


# Spoilt bytes: what a table's row is, line by line


def check_table(path, data):
    """Read a table with the header premise,hypothesis,label, in this order or another; each line is accounted for."""
    examples = read_examples(path, pairs=True)
    if examples.format != "table":
        return "read as another form"  # its first line is no header now
    assert len(examples.pairs) == len(examples.texts), "texts without their pairs"
    raw, lines = lines_of(data)
    at = next(at for at, line in enumerate(lines) if line.strip())
    delimiter = delimiter_of(lines[at])
    taken, header = parse(lines, at, delimiter)
    columns = [[name.strip().lower() for name in header].index(name) for name in ("premise", "hypothesis", "label")]
    cells = zip(examples.texts, examples.pairs, examples.labels, strict=True)
    used, problems = dict(zip(examples.lines, cells, strict=True)), list(examples.problems)
    at += taken
    while at < len(lines):
        count, fields = parse(lines, at, delimiter)
        if at + 1 in used:
            assert fields and len(fields) == len(header), f"line {at + 1} is no row"
            assert not any(map(fault, raw[at : at + count])), f"line {at + 1} cannot be read"
            text, pair, label = (fields[column].strip() for column in columns)
            assert used.pop(at + 1) == (text, pair, clean(label)), f"line {at + 1}: {text!r}, {pair!r}, {label!r}"
            assert text and pair and clean(label), f"line {at + 1} has an empty cell"
        elif lines[at].strip():
            line, reason = problems.pop(0) if problems else (None, "")
            assert line in range(at + 1, at + 1 + count), f"nothing is said of line {at + 1}, but of {line}: {reason}"
            count = 1 if "unbalanced" in reason else count
        at += count if lines[at].strip() else 1
    assert not used and not problems, f"too much: {used}, {problems}"
    return "read" if not examples.problems else "read, a row reported"


def fuzz_bytes(count, rng, folder):
    """count tables of pairs, with one to three faults in their bytes."""
    outcomes, path = Counter(), folder / "some.csv"
    usual = [name for name in OF_BYTES if "gzip" not in name and name not in ("UTF-16", "a column renamed")]
    for number in range(count):
        dice = type(rng)(rng.getrandbits(64))
        sheet = forms.make(dice)
        sheet.form, sheet.names, sheet.labels = "table", ["premise", "label"], list(sheet.classes)
        sheet.delimiter, sheet.more = dice.choice(",;\t"), {"hypothesis": [f"{text} too" for text in sheet.texts]}
        data, spoilt = forms.as_table(sheet).encode(), dice.choices(usual, k=dice.choice([1, 1, 2, 3]))
        for name in spoilt:
            data = OF_BYTES[name](dice, data)
        path.write_bytes(data)
        outcome = told(path, lambda data=data: check_table(path, data))
        outcomes[outcome + f" (file {number}, spoilt by {spoilt})" * outcome.startswith("fault")] += 1
    return outcomes


FUZZERS = {"pairs": fuzz_sheets, "pairs-bytes": fuzz_bytes}
