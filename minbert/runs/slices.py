"""Accuracy by the values of further columns of a file: by topic, say, or by how a text was collected."""

from collections import Counter, defaultdict, deque

from minbert.errors import UserError
from minbert.files.examples import read_examples
from minbert.metrics import wilson

MOST = 20  # values of a column that are shown by themselves
COLUMNS = ("table", "jsonl", "json", "parquet")  # the forms that have columns
EMPTY = "(empty)"


def read(
    examples, columns, text_column=None, no_header=False, encoding=None, quoting=None, pair_column=None
) -> dict[str, list]:
    """{column: its value for each example}, strings; "" where the file has none.

    examples  of one file, as read_examples returned them
    columns   names of columns or fields; in a table without a header, numbers from 1
    The other arguments are those with which read_examples was called.

    The file is read once more for each column, as if its values were the labels, so that the rows are the same ones.
    Raises UserError if there is no such column, with those that there are, or if the form has no columns.
    """
    if examples.format not in COLUMNS:
        raise UserError(
            f"{examples.path}: --slices is for a table, JSON or Parquet, and this is {examples.format}: leave it out"
        )
    found = {}
    for column in columns:
        try:
            more = (True, no_header, encoding, quoting, pair_column, True)
            rows = read_examples(examples.path, examples.format, text_column, column, *more)
        except UserError as error:
            said = str(error).replace("--label_column", "--slices").replace("as the label", "in --slices")
            raise UserError(said) from None
        numbers = [*examples.lines, *(line for line, _ in examples.problems)]
        if len(set(numbers)) < len(numbers) and (examples.problems or rows.problems):
            raise UserError(
                f"{examples.path}: several rows stand on one line, and some are left out or have no {column}: "
                "for --slices, write one object a line"
            )
        values = defaultdict(deque)
        for line, text, value in zip(rows.lines, rows.texts, rows.labels):
            values[line, text].append(rows.mapping.get(value, value))
        keys = zip(examples.lines, examples.texts)
        found[column] = [values[key].popleft() if values[key] else "" for key in keys]
    return found


def by_value(values: dict[str, list], right: dict[str, list]) -> dict[str, dict]:
    """{value: {part: (rows, right ones, low, high)}}, the commonest first; after MOST values, the others together.

    values, right  of each part: the column's value, and whether the prediction is right, for each row. The order is
                   that of the last part. low, high: the 95 % interval of the accuracy.
    """
    counts = Counter(value for part in values.values() for value in part)
    last = Counter(list(values.values())[-1])
    order = sorted(counts, key=lambda value: (-last[value], -counts[value], value))
    if len(order) > MOST:
        rest = set(order[MOST:])
        other = f"other ({len(rest)} values)"
        values = {part: [other if value in rest else value for value in found] for part, found in values.items()}
        order = [*order[:MOST], other]
    found = {value or EMPTY: {} for value in order}
    for part, column in values.items():
        rows = Counter(column)
        hits = Counter(value for value, hit in zip(column, right[part]) if hit)
        for value, count in rows.items():
            found[value or EMPTY][part] = (count, hits[value], *wilson(hits[value], count))
    return found


def record(found: dict[str, dict]) -> dict:
    """What run.json holds of it. found: {column: what by_value returned}"""

    def facts(rows, right, *interval):
        return {"rows": rows, "accuracy": right / rows, "accuracy_interval": interval}

    return {
        column: {value: {part: facts(*counts) for part, counts in parts.items()} for value, parts in values.items()}
        for column, values in found.items()
    }
