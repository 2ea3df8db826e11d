"""Labels as files write them -> classes.

A label has one normal form (`normal_label`). What may be no label of a class is asked about (`ask_about`) before it
becomes one. Labels that the user declares, or that a mapping file or a model has, are final.
"""

import re
import shlex
import unicodedata
from collections import Counter
from dataclasses import dataclass

from minbert.atomic import atomic_write
from minbert.errors import UserError

MOST_CLASSES = 200  # more different labels than this, and the wrong column was named
FEW_ROWS = 10  # in fewer rows than this, each may have a label of its own
MANY_NUMBERS = 20  # more different numbers than this, with gaps between them, are scores or years
LONGEST_NAME = 80  # characters; a longer label is a text

# Zero-width characters, direction marks, the soft hyphen and the byte order mark.
INVISIBLE = "\xad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e" + "".join(
    map(chr, [*range(0x2060, 0x2070), 0xFEFF])
)
REMOVE_INVISIBLE = str.maketrans("", "", INVISIBLE)
MISSING_WORDS = """
    nan -nan na n/a #n/a #na n.a. n.a n\\a <na> null <null> (null) \\n none <none> nil nat undefined missing <missing>
    blank (blank) empty (empty) tbd todo - -- --- – — ? ?? ??? . .. ... … _ [] {} () '' ""
    #ref! #value! #name? #div/0! #null! #num! #error! 1.#ind -1.#ind 1.#qnan -1.#qnan
"""
MISSING = frozenset(MISSING_WORDS.split())  # what programs and people write where a value is missing, in lower case
NUMBER = r"[-+]?\d+(?:[.,]\d+)?"
LOOKS = (  # what a label may look like that is no name of a class: how it is called, the form
    ("lists", r"[\[({].*[\])}]|(?:tensor|array|list|set)\(.*\)"),
    ("percentages", rf"{NUMBER}\s*%"),
    ("dates or times", r"\d{4}[-/.]\d\d?[-/.]\d\d?\b.*|\d\d?[-/.]\d\d?[-/.]\d{2,4}\b.*|\d\d?:\d\d(:\d\d)?.*"),
    ("lists of numbers, such as one-hot vectors", rf"{NUMBER}(?:[ ;|/]+{NUMBER})+|[01](?:,\s*[01])+"),
    ("addresses", r"https?://.*|www\..*|\S+@\S+\.\w+"),
    ("texts", rf".{{{LONGEST_NAME},}}"),
)
TAG = r"[BIES]-\S+"  # of a word
LOOK_ALIKE = str.maketrans("аеорсухіј", "aeopcyxij")  # Cyrillic -> Latin


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
        with atomic_write(path) as new:
            new.write_text("".join(f"{entry}\n" for entry in entries), encoding="utf-8")

    @classmethod
    def declare(cls, entries):
        """['negative', 'positive'], or ['0=negative', '1=positive'] where files say one and people the other."""
        pairs = [entry.partition("=") for entry in entries]
        values = tuple(normal_label(value) for value, _, _ in pairs)
        names = tuple(normal_label(name or value) for value, _, name in pairs)
        for kind in (values, names):
            twice = [value for value, count in Counter(kind).items() if count > 1 or not value]
            if twice:
                raise UserError(f"the labels name {twice[0]!r} twice, or leave it empty")
        return cls(values, names)

    @classmethod
    def collect(cls, examples):
        """The labels that occur, sorted numerically, then alphabetically; a mapping file names them all.

        Words for a missing value move their rows to examples.problems. Raises UserError for labels that may be no
        classes, as `ask_about` has it.
        """
        if examples.mapping:
            return cls(tuple(examples.mapping), tuple(examples.mapping.values()))
        move_rows(examples, is_missing, lambda label: f"label {label!r} is a word for a missing value{IF_CLASS}")
        counts = Counter(map(plain_label, examples.labels))
        values = tuple(sorted(counts, key=in_order))
        ask_about(examples.path, values, len(examples.labels))
        return cls(values, values)

    def ids(self, examples):
        """Each example's class as a number; a row whose label is none of ours moves to examples.problems.

        A file may write a label's value, its name, or, where nothing is called by a number, its id.
        """
        lookup = {plain_label(value): id for id, value in enumerate(self.values)}
        lookup = {plain_label(name): id for id, name in enumerate(self.names)} | lookup
        if not any(map(is_number, lookup)):
            lookup |= {str(id): id for id in range(len(self.names))}
        known = ", ".join(self.values)
        move_rows(
            examples,
            lambda label: plain_label(label) not in lookup,
            lambda label: f"label {label!r:.40} is not one of: {known}",
        )
        return [lookup[plain_label(label)] for label in examples.labels]


IF_CLASS = "; if it is a class, name all classes with --labels"


def move_rows(examples, bad, reason):
    """Move the rows whose label is `bad` to examples.problems, with reason(label)."""
    good = [index for index, label in enumerate(examples.labels) if not bad(label)]
    if len(good) < len(examples.labels):
        pairs = zip(examples.lines, examples.labels)
        examples.problems.extend((line, reason(label)) for line, label in pairs if bad(label))
        examples.problems.sort()
        examples.select(good)


def ask_about(path, values, rows):
    """Raise UserError if labels may be no names of classes. The flag --labels confirms that they are.

    values  the different labels, sorted
    rows    how many rows have them
    """
    few = [as_word(value) for value in values]
    confirm = "name the classes with --labels" + (f" {' '.join(few)}" if len(few) <= 8 else "")
    if len(values) > MOST_CLASSES and all(map(is_number, values)):
        raise UserError(
            f"{path}: {len(values)} different numbers, such as {some(values)}: --label_kind number learns numbers; if "
            "another column has the labels, name it with --label_column"
        )
    if len(values) > MOST_CLASSES:
        raise UserError(
            f"{path}: {len(values)} different labels, such as {values[0]!r} and {values[-1]!r}; "
            "is this the label column? Name it with --label_column"
        )
    if any(re.fullmatch(TAG, value) for value in values) and "O" in values:
        raise UserError(f"{path}: the labels look like tags of words, such as 'O': --label_kind tags learns these")
    for kind, form in LOOKS:
        found = [value for value in values if re.fullmatch(form, value, re.DOTALL)]
        if found:
            raise UserError(f"{path}: some labels look like {kind}: {some(found)}. If these are classes, {confirm}")
    if len(values) > 2 and all(re.fullmatch("0*10*", value) for value in values) and len({*map(len, values)}) == 1:
        raise UserError(
            f"{path}: the labels look like one-hot vectors: {some(values)}. If these are classes, {confirm}"
        )
    if values and all(map(is_number, values)):
        fractions = [value for value in values if not re.fullmatch(r"[-+]?\d+", value)]
        if fractions or has_gaps(values):
            kind = "scores" if fractions else "scores or years"
            examples = some(fractions or values)
            raise UserError(
                f"{path}: the labels look like {kind}: {len(values)} different numbers, such as {examples}. "
                f"--label_kind number learns numbers; if these are classes, {confirm}"
            )
    if several := labels_of_several(values):
        ways = f"--label_kind several learns labels joined by |; if these are classes, {confirm}"
        raise UserError(f"{path}: some rows have several labels: {some(several)}. {ways}")
    for twins in twin_labels(values):
        raise UserError(
            f"{path}: the labels {' and '.join(map(repr, twins))} look like one class, written in {len(twins)} ways. "
            f"Write them alike, or if they are different classes, {confirm}"
        )
    numbers = [value for value in values if is_number(value)]
    if 0 < len(numbers) < len(values):
        words = [value for value in values if not is_number(value)]
        raise UserError(
            f"{path}: some labels are numbers, such as {some(numbers, 1)}, and some are words, such as "
            f"{some(words, 1)}. If these are classes, {confirm}"
        )
    if rows >= FEW_ROWS and 2 * len(values) > rows:
        raise UserError(
            f"{path}: {len(values)} different labels in {rows} rows, such as {some(values)}; is this the label "
            f"column? Name it with --label_column; if it is, {confirm}"
        )


def as_word(value):
    """A label or a name as a word of a command line."""
    return shlex.quote(value) if value.isprintable() else repr(value)


def some(values, most=3):
    return ", ".join(f"{value!r:.60}" for value in values[:most])


def labels_of_several(values):
    """Labels such as 'joy, anger', if their parts occur in other labels too."""
    parts = {value: [part.strip() for part in re.split(r"[,;|/+&]", value)] for value in values}
    parts = {value: found for value, found in parts.items() if all(found)}
    counts = Counter(part for found in parts.values() for part in set(found))
    return [value for value, found in parts.items() if len(found) > 1 and any(counts[part] > 1 for part in found)]


def has_gaps(values):
    """Whether so many whole numbers do not simply count the classes."""
    numbers = [float(value) for value in values]
    return len(numbers) > MANY_NUMBERS and max(numbers) - min(numbers) >= len(numbers)


def twin_labels(values):
    """Groups of labels that differ only in case, width, accents, spaces, hyphens or the punctuation at their ends."""
    groups = {}
    for value in values:
        groups.setdefault(folded(value), []).append(value)
    return [group for group in groups.values() if len(group) > 1]


def folded(label):
    """What twins have in common."""
    wide = unicodedata.normalize("NFKC", label)
    letters = unicodedata.normalize("NFKD", wide.casefold().translate(LOOK_ALIKE))
    letters = re.sub("[\u0300-\u036f\ufe0e\ufe0f]", "", letters)
    bare = letters.strip(" .,;:!?\"'`´‘’“”«»()[]").lstrip("#")
    if is_number(bare):
        return float(bare.replace(",", "."))
    return re.sub(r"(?<=\w)[\s_\-‐-―−]+(?=\w)", "", bare) or letters


def normal_label(label):
    """The one form of a label: composed characters (NFC), none invisible, single spaces, none at the ends."""
    if label.isascii():
        return " ".join(label.split())
    return " ".join(unicodedata.normalize("NFC", label.translate(REMOVE_INVISIBLE)).split())


def is_missing(label):
    return label.lower() in MISSING


def is_number(label):
    return re.fullmatch(NUMBER, label) is not None


def plain_label(label):
    """The normal form, and '1.0', as pandas and spreadsheets write the class 1 -> '1'."""
    label = normal_label(label)
    return label.partition(".")[0] if re.fullmatch(r"[-+]?\d+\.0+", label) else label


def in_order(label):
    """A sorting key: numerically, then alphabetically."""
    return (0, float(label.replace(",", ".")), label) if is_number(label) else (1, 0.0, label)
