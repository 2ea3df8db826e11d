"""infer finds out which row of the data a prediction and a label belong to, or says in a line why it cannot."""

import csv
import json

import numpy as np
import pytest

from tests.study.inferring import call, change

GUESS = ["predicted", "p_support", "p_against"]


def shuffled(files, name, extra=(), keep=lambda header: header, texts=True):
    """Write the file again in another order, with its texts, its ids, and further rows."""
    with open(files["data"], newline="", encoding="utf-8") as file:
        data = [row["text"] for row in csv.DictReader(file)]
    with open(files[name], newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {"text": data[int(row["row"]) - 1].replace(" ", "  "), "number": f"t{row['row']}"}
    rows = [*rows, *({**rows[0], **more} for more in extra)]
    header = [column for column in keep([*rows[0]]) if texts or column != "text"]
    order = np.random.default_rng(1).permutation(len(rows))
    for place, at in enumerate(order, start=1):
        rows[at]["row"] = place
    change(files, name, header, [[rows[at][column] for column in header] for at in order])


def with_ids(files):
    with open(files["data"], newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    change(files, "data", [*header, "number"], [[*row, f"t{at}"] for at, row in enumerate(rows, start=1)])


def without(*names):
    return lambda header: [column for column in header if column not in names]


def test_files_in_another_order_are_joined_by_their_texts_or_ids(files, capsys):
    """Whatever the order, the numbers are the same: another join would be seen in each of them."""
    outs = [files["folder"] / f"{name}.csv" for name in ("rows", "texts", "ids")]
    assert call(files, "--out", str(outs[0])) == 0
    shown = capsys.readouterr().out
    assert "labels.csv: joined by row\n" in shown and "predictions.csv: joined by row\n" in shown
    kept = dict(files)
    shuffled(files, "predictions", extra=[{"text": f"of nobody {at}", "p_support": 1} for at in range(20)])
    shuffled(files, "labels", keep=without("row", "number"))
    assert call(files, "--out", str(outs[1])) == 0
    shown = capsys.readouterr().out
    assert "changed-labels.csv: joined by text\n" in shown
    assert "joined by text, as its rows are not those of the data; 20 that the data do not have are left out" in shown
    files |= kept
    with_ids(files)
    for name in ("predictions", "labels"):
        shuffled(files, name, keep=without("row"), texts=False)
    assert call(files, "--id_column", "number", "--out", str(outs[2])) == 0
    assert "changed-predictions.csv: joined by number\n" in capsys.readouterr().out
    assert outs[0].read_bytes() == outs[1].read_bytes() == outs[2].read_bytes()


def test_texts_that_stand_beside_their_rows_need_not_differ(files, capsys):
    """In the order of the data, copies are told apart by row; in another order, nobody can tell."""
    with open(files["data"], newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    rows[8][0] = rows[2][0]
    change(files, "data", header, rows)
    with open(files["predictions"], newline="", encoding="utf-8") as file:
        header, *guesses = csv.reader(file)
    told = [[*guess, row[0]] for guess, row in zip(guesses, rows)]
    change(files, "predictions", [*header, "text"], told)
    assert call(files) == 0
    assert "changed-predictions.csv: joined by row\n" in capsys.readouterr().out
    change(
        files,
        "predictions",
        [*header, "text"],
        [[at, *row[1:]] for at, row in enumerate([*told[10:], *told[:10]], start=1)],
    )
    assert call(files) == 2
    said = capsys.readouterr().err
    assert "rows 3 and 9 of the data have the same text, so it cannot say which is meant: name a column of ids" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "case, said",
    [
        (
            "more rows",
            "predictions.csv:1502: the data have no row 1501; their rows count from 1 to 1,500; texts",
        ),
        ("no key", "changed-predictions.csv: no column row or text says which row of {data} is meant: name a column"),
        ("misspelt", "the columns are 'row', 'predicted', 'p_suport', 'p_against'; did you mean p_suport?"),
        ("text of nobody", "changed-labels.csv:3: {data} has no row with the text 'never seen'"),
        ("id of nobody", "changed-labels.csv:3: {data} has no row with the number 't9999'"),
        ("ids that are alike", "rows 1 and 2 of the data have the same number, so it cannot say which is meant\n"),
        ("no ids", "no column number; the columns are 'text', 'x', 'party', 'author'. Name it with --id_column"),
        ("ids in one file", "--id_column number: no such column in"),
        ("a text is missing", "row 4 of the data has no prediction (joined by text)"),
    ],
)
def test_what_cannot_be_joined(files, capsys, case, said):
    more = ("--id_column", "number") if "id" in case else ()
    if case == "more rows":
        change(
            files,
            "predictions",
            ["row", "predicted", "p_support", "p_against"],
            [[at, "support", 1, 0] for at in range(1, 1502)],
        )
    elif case == "misspelt":
        header = ["row", "predicted", "p_suport", "p_against"]
        change(files, "predictions", header, [[at, "against", 0, 1] for at in range(1, 1501)])
    elif case == "no key":
        change(files, "predictions", GUESS, [["support", 1, 0]] * 1500)
    elif case == "text of nobody":
        change(files, "labels", ["text", "label"], [["a text, the 1th", "support"], ["never seen", "support"]])
    elif case == "a text is missing":
        texts = [f"a text, the {at}th" for at in range(1500) if at != 3]
        change(
            files,
            "predictions",
            ["text", "predicted", "p_support", "p_against"],
            [[text, "support", 1, 0] for text in texts],
        )
    elif case != "no ids":
        with_ids(files)
        ids = {"id of nobody": ["t1", "t9999"]}.get(case, ["t1", "t2"])
        if case != "ids in one file":
            change(files, "labels", ["number", "label"], [[name, "support"] for name in ids])
        if case == "ids that are alike":
            with open(files["data"], newline="", encoding="utf-8") as file:
                header, *cells = csv.reader(file)
            cells[1][-1] = cells[0][-1]
            change(files, "data", header, cells)
    assert call(files, *more) == 2
    error = capsys.readouterr().err
    assert said.format(data=files["data"]) in error and error.count("\n") == 1


def test_labels_may_be_of_any_form(files, capsys):
    """A spreadsheet of a country with decimal commas saves semicolons; annotation tools save JSON lines."""
    outs = [files["folder"] / f"{number}.csv" for number in range(3)]
    call(files, "--out", str(outs[0]))
    files["labels"] = str(files["folder"] / "semicolons.csv")
    lines = [f"{row};{label}" for row, label, _ in files["rows"]]
    (files["folder"] / "semicolons.csv").write_text("\n".join(["row;label", *lines]), encoding="utf-8")
    call(files, "--out", str(outs[1]))
    files["labels"] = str(files["folder"] / "labels.jsonl")
    lines = [json.dumps({"row": int(row), "label": label}) for row, label, _ in files["rows"]]
    (files["folder"] / "labels.jsonl").write_text("\n".join(lines), encoding="utf-8")
    call(files, "--out", str(outs[2]))
    assert outs[0].read_bytes() == outs[1].read_bytes() == outs[2].read_bytes()
