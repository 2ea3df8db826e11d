"""Labels as files write them -> classes."""

import re
from collections import Counter
from dataclasses import dataclass

from minbert.atomic import atomic_write
from minbert.errors import UserError

MOST_CLASSES = 200  # more different labels than this, and the wrong column was named


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
        values = tuple(value.strip() for value, _, _ in pairs)
        names = tuple((name or value).strip() for value, _, name in pairs)
        for kind in (values, names):
            twice = [value for value, count in Counter(kind).items() if count > 1 or not value]
            if twice:
                raise UserError(f"the labels name {twice[0]!r} twice, or leave it empty")
        return cls(values, names)

    @classmethod
    def collect(cls, examples):
        """The labels that occur, sorted numerically, then alphabetically; a mapping file names them all."""
        if examples.mapping:
            return cls(tuple(examples.mapping), tuple(examples.mapping.values()))
        values = sorted(set(map(plain_label, examples.labels)), key=in_order)
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
        lookup = {plain_label(value): id for id, value in enumerate(self.values)}
        lookup = {plain_label(name): id for id, name in enumerate(self.names)} | lookup
        if not any(map(is_number, lookup)):
            lookup |= {str(id): id for id in range(len(self.names))}
        known = ", ".join(self.values)
        good = [index for index, label in enumerate(examples.labels) if plain_label(label) in lookup]
        for index, label in enumerate(examples.labels):
            if plain_label(label) not in lookup:
                examples.problems.append((examples.lines[index], f"label {label!r:.40} is not one of: {known}"))
        if len(good) < len(examples.labels):
            examples.select(good)
            examples.problems.sort()
        return [lookup[plain_label(label)] for label in examples.labels]


def is_number(label):
    return re.fullmatch(r"-?\d+(\.\d+)?", label) is not None


def plain_label(label):
    """'1.0', as pandas and spreadsheets write the class 1 -> '1'; any other label stays as it is."""
    return label.partition(".")[0] if re.fullmatch(r"-?\d+\.0+", label) else label


def in_order(label):
    """A sorting key: numerically, then alphabetically."""
    return (0, float(label), label) if is_number(label) else (1, 0.0, label)
