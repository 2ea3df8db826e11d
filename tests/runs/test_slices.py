"""Accuracy by the values of further columns: each row's own value, whatever rows are left out."""

import csv
import json

import pytest

from minbert.errors import UserError
from minbert.files.examples import read_examples
from minbert.runs import slices

ROWS = [
    ("a good film", "positive", "films", "2021"),
    ('bad, "bad",\nand bad', "negative", "books", "2021"),
    ("", "negative", "no text", "2022"),
    ("a plot", "", "no label", "2022"),
    ("a plot", "positive", "", "2023"),
    ("bad", "negative", " films ", "2023"),
]
HEADER = ("text", "label", "topic", "year")


def table(folder, name="dev.csv", header=True, delimiter=","):
    with open(folder / name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([HEADER, *ROWS] if header else ROWS)
    return folder / name


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_each_row_has_its_own_value_whatever_rows_are_left_out(tmp_path, delimiter):
    examples = read_examples(table(tmp_path, delimiter=delimiter))
    assert len(examples.problems) == 2
    assert slices.read(examples, ["topic", "Year"]) == {
        "topic": ["films", "books", "", "films"],
        "Year": ["2021", "2021", "2023", "2023"],
    }
    examples.select([1, 3])
    assert slices.read(examples, ["topic"]) == {"topic": ["books", "films"]}


def test_in_a_table_without_a_header_columns_are_numbers(tmp_path):
    how = {"text_column": "1", "no_header": True}
    examples = read_examples(table(tmp_path, header=False), label_column="2", **how)
    assert slices.read(examples, ["3"], **how) == {"3": ["films", "books", "", "films"]}


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_fields_of_json_are_columns_too(tmp_path, form):
    rows = [dict(zip(HEADER, row)) | {"year": int(row[3])} for row in ROWS]
    (tmp_path / "dev.json").write_text(
        "\n".join(map(json.dumps, rows)) if form == "jsonl" else json.dumps(rows, indent=1)
    )
    found = slices.read(read_examples(tmp_path / "dev.json"), ["topic", "year"])
    assert found == {"topic": ["films", "books", "", "films"], "year": ["2021", "2021", "2023", "2023"]}


def test_rows_on_one_line_are_told_apart_or_refused(tmp_path):
    rows = [dict(zip(HEADER, row)) for row in ROWS]
    (tmp_path / "all.json").write_text(json.dumps([rows[0], rows[1], rows[0] | {"topic": "more"}, rows[5]]))
    assert slices.read(read_examples(tmp_path / "all.json"), ["topic"])["topic"] == ["films", "books", "more", "films"]
    for name, some in (("no label", rows[3:]), ("no topic", rows[4:])):
        (tmp_path / "some.json").write_text(json.dumps(some))
        with pytest.raises(UserError, match="several rows stand on one line"):
            slices.read(read_examples(tmp_path / "some.json"), ["topic"])
            pytest.fail(name)


def test_columns_of_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table(dict(zip(HEADER, map(list, zip(*ROWS))))), tmp_path / "dev.parquet")
    found = slices.read(read_examples(tmp_path / "dev.parquet"), ["topic"])
    assert found == {"topic": ["films", "books", "", "films"]}


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ("topics", "no column topics; the columns are 'text', 'label', 'topic', 'year'. Did you mean topic?"),
        ("mood", "no column mood; the columns are 'text', 'label', 'topic', 'year'. Name it with --slices"),
        ("text", "'text' is named as the text and in --slices"),
    ],
)
def test_a_column_that_is_not_there_is_answered_by_those_that_are(tmp_path, column, said):
    with pytest.raises(UserError) as error:
        slices.read(read_examples(table(tmp_path)), ["topic", column])
    assert said in str(error.value)


def test_a_form_without_columns_is_refused(tmp_path):
    (tmp_path / "dev.txt").write_text("0 ||| bad\n1 ||| good\n")
    with pytest.raises(UserError, match=r"--slices is for a table, JSON or Parquet, and this is pipes"):
        slices.read(read_examples(tmp_path / "dev.txt"), ["topic"])


def test_values_are_counted_in_the_order_of_the_last_part():
    values = {"dev": ["a", "a", "b", "c", "c", "c"], "test": ["b", "b", "a", ""]}
    right = {"dev": [True, False, True, True, True, False], "test": [True, False, True, False]}
    found = slices.by_value(values, right)
    assert list(found) == ["b", "a", "(empty)", "c"]
    assert {value: {part: counts[:2] for part, counts in parts.items()} for value, parts in found.items()} == {
        "a": {"dev": (2, 1), "test": (1, 1)},
        "b": {"dev": (1, 1), "test": (2, 1)},
        "c": {"dev": (3, 2)},
        "(empty)": {"test": (1, 0)},
    }
    low, high = found["b"]["test"][2:]
    assert 0 < low < 0.5 < high < 1
    assert slices.record({"x": found})["x"]["c"]["dev"]["accuracy"] == pytest.approx(2 / 3)


def test_after_the_twenty_largest_the_others_are_counted_together():
    column = [f"v{number:02}" for number in range(23) for _ in range(30 - number)]
    right = [value in ("v00", "v21") for value in column]
    found = slices.by_value({"test": column}, {"test": right})
    assert list(found) == [*(f"v{number:02}" for number in range(20)), "other (3 values)"]
    assert found["other (3 values)"]["test"][:2] == (10 + 9 + 8, 9)
    assert sum(parts["test"][0] for parts in found.values()) == len(column)
    at_most = [value for value in column if value < "v20"]
    assert "other" not in " ".join(slices.by_value({"test": at_most}, {"test": [True] * len(at_most)}))
