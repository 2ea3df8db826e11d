"""Files of predictions: read or refused, wrong and unsure rows, what a second run fixed and broke, and the command."""

import csv
import json

import pytest

from minbert import BertSentClassifier, BertTokenizer, fast
from minbert.commands import study_errors
from minbert.errors import UserError
from minbert.files.predictions import paired, read_predictions
from minbert.runs import outcomes

ROWS = [  # text, gold, predicted, p of a, b
    ("Not bad at all!", "a", "b", 0.1, 0.9),
    ("GREAT film", "a", "a", 0.8, 0.2),
    ("is it 10 of 10?", "b", "a", 0.55, 0.45),
    ("so so, I think, but then again who knows", "b", "b", 0.41, 0.59),
    ("nobody labelled this", "", "b", 0.3, 0.7),
]
SECOND = [
    ("a", 0.9, 0.1),
    ("b", 0.4, 0.6),
    ("a", 0.7, 0.3),
    ("b", 0.2, 0.8),
    ("a", 0.6, 0.4),
]


def write(path, rows, names=("a", "b"), pairs=False):
    with open(path, "w", newline="", encoding="utf-8") as stream:
        lines = csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC)
        lines.writerow(["text", *["pair"] * pairs, "gold", "predicted", *(f"p_{name}" for name in names)])
        lines.writerows(rows)
    return path


@pytest.fixture
def first(tmp_path):
    return read_predictions(write(tmp_path / "one_predictions.csv", ROWS))


@pytest.fixture
def second(tmp_path):
    rows = [(text, gold, *new) for (text, gold, *_), new in zip(ROWS, SECOND)]
    return read_predictions(write(tmp_path / "two_predictions.csv", rows))


def test_rows_are_wrong_unsure_or_right(first):
    found = outcomes.cases(first)
    assert [row.number for row in found["wrong"]] == [1, 3]  # the surest first
    assert [row.number for row in found["right"]] == [2, 4]
    assert [row.number for row in found["unsure"]] == [3, 4]  # the least sure first
    assert outcomes.confusions(first.labelled) == [("a", "b", 1), ("b", "a", 1)]


def test_of_three_classes_the_margin_decides(tmp_path):
    rows = [("x", "a", "a", 0.5, 0.31, 0.19), ("y", "a", "a", 0.45, 0.24, 0.31), ("z", "a", "a", 0.55, 0.25, 0.2)]
    found = read_predictions(write(tmp_path / "p.csv", rows, "abc"))
    assert [row.unsure for row in found.rows] == [True, True, False]


def test_what_a_second_run_fixed_and_broke(first, second):
    assert paired(first, second) == (first, second, "")
    found = outcomes.against(first, second)
    numbers = {case: [one.number for one, _ in pairs] for case, pairs in found.items()}
    assert numbers == {"broken": [2], "fixed": [1], "both wrong": [3], "both right": [4]}


def test_slices_cover_the_rows_and_name_what_is_in_them(first):
    rows = first.labelled
    found = outcomes.slices(rows)
    quarters = [inside for name, inside in found.items() if name.endswith(" words")]
    assert [sum(each) for each in zip(*quarters)] == [1] * len(rows)
    marks = {
        "a negation": [1],
        "a question mark": [3],
        "an exclamation mark": [1],
        "a word in capitals": [2],
        "a digit": [3],
    }
    for name, numbers in marks.items():
        inside = [row.number for row, own in zip(rows, found[f"with {name}"]) if own]
        assert inside == numbers, name
        assert found[f"without {name}"] == [not each for each in found[f"with {name}"]]
    assert outcomes.accuracy(rows, [True, True, False, False])[:2] == (2, 0.5)


def test_equal_lengths_make_one_slice(tmp_path):
    found = read_predictions(write(tmp_path / "p.csv", [("one two", "a", "a", 0.9, 0.1)] * 5))
    assert list(outcomes.slices(found.rows)) == ["2 words"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "columns text, gold, predicted"),
        ("text,label\nx,a\n", "not text, label"),
        ("text,gold,predicted,p_a\nx,a,a,1\n", "two classes or more"),
        ("text,gold,predicted,p_a,p_b\n", "holds no row"),
        ("text,gold,predicted,p_a,p_b\nx,a,a,.5\n", "row 1 has 4 cells, the header 5"),
        (
            "text,gold,predicted,p_a,p_b\nx,a,a,.5,.5\nx,c,a,.5,.5\n",
            "row 2 has the label 'c', but there is no column p_c",
        ),
        ("text,gold,predicted,p_a,p_b\nx,a,a,.5,.6\n", "row 1 are no numbers from 0 to 1 that sum to 1"),
        ("text,gold,predicted,p_a,p_b\nx,a,a,nan,1\n", "row 1 are no numbers"),
        ("text,gold,predicted,p_a,p_b\nx,a,a,high,1\n", "row 1 are no numbers"),
        ('text,gold,predicted,p_a,p_b\n"x,a,a,.5,.5\n', "cannot be read as predictions"),
    ],
)
def test_other_files_are_refused(tmp_path, text, said):
    path = tmp_path / "p.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as error:
        read_predictions(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_folder_without_predictions_and_other_texts_are_refused(tmp_path, first):
    with pytest.raises(UserError, match=r"holds no test_predictions\.csv and no dev_predictions\.csv"):
        read_predictions(tmp_path)
    changes = {
        "no text in common": [("other", *ROWS[0][1:])],
        "'a' in row 1, and 'b' in row 2": [ROWS[1], (ROWS[0][0], "b", *ROWS[0][2:]), *ROWS[2:]],
        "'none' in row 5, and 'a' in row 5": [*ROWS[:-1], (ROWS[-1][0], "a", *ROWS[-1][2:])],
        "rows 1 and 6 of .* have the same text": [*ROWS, ROWS[0]],
    }
    for said, rows in changes.items():
        with pytest.raises(UserError, match=said):
            paired(first, read_predictions(write(tmp_path / "p.csv", rows)))
    other = read_predictions(write(tmp_path / "p.csv", [("x", "", "c", 0.1, 0.9)], "bc"))
    with pytest.raises(UserError, match="has the classes a, b, but"):
        paired(first, other)


def test_files_in_another_order_are_joined_by_their_texts(first, second, tmp_path, capsys):
    """The second run has predicted the same texts backwards, less one, and another one."""
    main = study_errors.main
    main(["--run", str(first.path), "--against", str(second.path)])
    told = capsys.readouterr().out
    rows = [(row.text, row.gold, row.predicted, *row.p) for row in reversed(second.rows[:-1])]
    turned = write(tmp_path / "turned.csv", [*rows, ("only here", "a", "a", 0.9, 0.1)])
    main(["--run", str(first.path), "--against", str(turned)])
    shown = capsys.readouterr().out
    assert shown.startswith("joined by text: 4 of 5 rows, and of 5\n")
    assert "broken 1  fixed 1  both wrong 1  both right 1" in shown and "broken 1  fixed 1" in told


def test_the_command_compares_two_runs(first, second, tmp_path, capsys):
    out = tmp_path / "cases.csv"
    study_errors.main(["--run", str(first.path), "--against", str(second.path), "--out", str(out)])
    said = capsys.readouterr().out
    assert "broken 1  fixed 1  both wrong 1  both right 1" in said
    assert "p 1 (McNemar's exact test); it can be chance" in said
    assert "broken: row, label, predicted label and its probability, text\n  2  a  b  0.600  GREAT film" in said
    with open(out, newline="", encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    assert [row["case"] for row in table] == ["fixed", "broken", "both wrong", "both right", ""]
    assert [row["predicted_2"] for row in table] == [row[0] for row in SECOND]


def test_words_are_weighed_and_written(tmp_path, capsys, monkeypatch):
    prepared, for_reading = [], fast.for_reading
    monkeypatch.setattr(fast, "for_reading", lambda model: prepared.append(model) or for_reading(model))
    names = ("bad", "good")
    model, tokenizer = BertSentClassifier.from_pretrained("tiny", labels=names), BertTokenizer.from_pretrained("tiny")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    texts, rows = ["Not good, and the food was cold.", "I loved every minute."], []
    for text in texts:
        p = model(**tokenizer([text], return_tensors="pt")).softmax(-1)[0].tolist()
        predicted = names[p.index(max(p))]
        rows.append((text, next(name for name in names if name != predicted), predicted, *p))
    path = write(tmp_path / "dev_predictions.csv", rows, names)
    study_errors.main(["--run", str(path), "--evidence", "2"])
    said = capsys.readouterr().out
    assert "words weighed in 2 rows by occlusion" in said and "**" in said
    assert len(prepared) == 1
    lines = [json.loads(line) for line in (tmp_path / "dev_evidence.jsonl").read_text().splitlines()]
    assert sorted(line["row"] for line in lines) == [1, 2]
    for line in lines:
        text = texts[line["row"] - 1]
        assert [text[start:end] for start, end, _ in line["words"]] == text.split()
        assert line["deletion"]["own"][0] == line["p"]
    wrong = [(*row[:3], *((0.9, 0.1) if row[2] == names[0] else (0.1, 0.9))) for row in rows]
    write(path, wrong, names)
    with pytest.raises(UserError, match=r"0\.900 is written for row \d, but .* gives"):
        study_errors.main(["--run", str(path), "--evidence", "2"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "gradients"], "--method is for --evidence"),
        (["--model", "tiny"], "--model is for --evidence"),
        (["--out", "one_predictions.csv"], "is the file of predictions"),
        (["--evidence", "0"], "--evidence"),
    ],
)
def test_flags_that_would_do_nothing_are_refused(first, words, said, monkeypatch):
    monkeypatch.chdir(first.path.parent)
    with pytest.raises(UserError, match=said):
        study_errors.main(["--run", "one_predictions.csv", *words])


def test_pairs_and_unlabelled_rows(tmp_path):
    pairs = write(tmp_path / "pairs.csv", [("x", "y", "a", "a", 0.9, 0.1)], pairs=True)
    assert read_predictions(pairs).rows[0].pair == "y"
    with pytest.raises(UserError, match="these rows are pairs"):
        study_errors.main(["--run", str(pairs), "--evidence", "1"])
    bare = write(tmp_path / "bare.csv", [("x", "", "a", 0.9, 0.1)])
    with pytest.raises(UserError, match="has no gold labels"):
        study_errors.main(["--run", str(bare)])


def test_the_slices_by_length_are_quarters(tmp_path):
    rows = [(" ".join(["word"] * count), "a", "a", 0.9, 0.1) for count in range(1, 41)]
    found = outcomes.slices(read_predictions(write(tmp_path / "p.csv", rows)).labelled)
    sizes = {name: sum(inside) for name, inside in found.items()}
    assert sizes == {f"{low} to {low + 9} words": 10 for low in (1, 11, 21, 31)}
