"""infer: from files to three answers; what is refused; a truth that is known."""

import csv

import numpy as np
import pytest

from minbert import UserError
from minbert.commands.study_infer import warn
from minbert.study.columns import read_columns
from minbert.study.corrected import estimate
from minbert.study.formula import design, parse_model
from minbert.study.infer import CORRECTED, LABELS, TRUTH, answers, combine, refuse_strange
from minbert.study.joining import join, read_labels
from minbert.study.texts import Texts
from tests.study.inferring import ROWS, SLOPE, call, change, write


def numbers(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {(row["way"], row["term"]): row for row in csv.DictReader(file)}


def test_the_corrected_slope_is_right_and_the_naive_one_wrong(files, capsys):
    out = files["folder"] / "out.csv"
    assert call(files, "--out", str(out)) == 0
    found = numbers(out)
    low, high = (float(found[CORRECTED, "x"][name]) for name in ("low", "high"))
    assert low < SLOPE < high
    assert float(found[TRUTH, "x"]["high"]) < SLOPE
    assert float(found[CORRECTED, "x"]["se"]) < float(found[LABELS, "x"]["se"])
    shown = capsys.readouterr().out
    assert "250 of 1,500 texts are labelled, drawn: simple" in shown and "Report the corrected rows" in shown
    assert "take mistakes for facts: do not report them" in shown


def test_a_column_of_probabilities_is_the_same_draw(files):
    one, other = (files["folder"] / name for name in ("one.csv", "other.csv"))
    assert call(files, "--out", str(one)) == call(files, "--out", str(other), drawn="pi") == 0
    assert numbers(one)[CORRECTED, "x"] == numbers(other)[CORRECTED, "x"]
    again = files["folder"] / "again.csv"
    call(files, "--out", str(again))
    assert again.read_bytes() == one.read_bytes()


def test_texts_that_were_not_drawn_at_random_do_not_count(files):
    one, other = (files["folder"] / name for name in ("one.csv", "other.csv"))
    call(files, "--out", str(one), drawn="pi")
    taken = {row for row, *_ in files["rows"]}
    more = [[at, "against", ""] for at in range(1, 400) if at not in taken]
    files["labels"] = write(files["folder"] / "more.csv", ["row", "label", "pi"], files["rows"] + more)
    call(files, "--out", str(other), drawn="pi")
    assert other.read_bytes() == one.read_bytes()


def test_words_are_groups_and_authors_widen(files, capsys):
    out, by_author = files["folder"] / "out.csv", files["folder"] / "authors.csv"
    assert call(files, "--out", str(out), model="support ~ x + party") == 0
    assert [term for way, term in numbers(out) if way == CORRECTED] == ["", "intercept", "x", "party[red]"]
    assert call(files, "--group_column", "author", "--out", str(by_author), model="support ~ x + party") == 0
    assert numbers(by_author)[CORRECTED, "x"]["se"] != numbers(out)[CORRECTED, "x"]["se"]
    assert "by author." in capsys.readouterr().out


def test_a_share_alone(files, capsys):
    assert call(files, model="support ~ 1") == 0
    shown = capsys.readouterr().out
    assert "share of support" in shown and "term" not in shown


@pytest.mark.parametrize(
    "case, said",
    [
        ("hole", "row 7 was drawn but has no label: a random sample with holes is none"),
        ("strange", "the labelled texts are no random sample: their "),
        ("no class", "no text is labelled support; the labels are against"),
        ("outside", "the data have no row 1501"),
        ("twice", "is there twice"),
        ("no probability", "'half' is no probability of being drawn"),
        ("missing prediction", "row 1500 of the data has no prediction"),
        ("percent", "the column p_support holds no probabilities"),
        ("words", "has 1500 different words"),
        ("formula", "is not of the form: CLASS ~ COLUMN"),
        (
            "no column",
            "data.csv: no column age; the columns are 'text', 'x', 'party', 'author'. Name it with --model\n",
        ),
        (
            "no outcome",
            "predictions.csv: no column p_joy; the columns are 'row', 'predicted', 'p_support', 'p_against'\n",
        ),
        ("seen", "of the labelled texts are in"),
        ("unsaid", "say --trained_on FILE"),
    ],
)
def test_what_is_refused(files, capsys, case, said):
    rows, more, keywords = files["rows"], [], {}
    if case == "hole":
        change(files, "labels", ["row", "label"], [[7, ""], *(row[:2] for row in rows if row[0] != 7)])
    elif case == "strange":
        with open(files["data"], newline="", encoding="utf-8") as file:
            x = [float(row["x"]) for row in csv.DictReader(file)]
        keep = [row[:2] for row in rows if x[row[0] - 1] > 0]
        change(files, "labels", ["row", "label"], keep)
    elif case == "no class":
        change(files, "labels", ["row", "label"], [[row, "against"] for row, *_ in rows])
    elif case in ("outside", "twice"):
        change(
            files,
            "labels",
            ["row", "label"],
            [*(row[:2] for row in rows), [1501 if case == "outside" else rows[0][0], "against"]],
        )
    elif case == "no probability":
        change(files, "labels", ["row", "label", "pi"], [*rows[:-1], [*rows[-1][:2], "half"]])
        keywords["drawn"] = "pi"
    elif case == "missing prediction":
        change(files, "predictions", ["row", "predicted", "p_support"], [[at, "support", 0.9] for at in range(1, 1500)])
    elif case == "percent":
        change(files, "predictions", ["row", "predicted", "p_support"], [[at, "support", 90] for at in range(1, 1501)])
    elif case == "words":
        change(files, "data", ["text", "x", "id"], [[f"text {at}", at, f"id {at}"] for at in range(1500)])
        keywords["model"] = "support ~ id"
    elif case in ("formula", "no column"):
        keywords["model"] = "support on x" if case == "formula" else "support ~ age"
    elif case == "no outcome":
        keywords["model"] = "joy ~ x"
    elif case == "seen":
        trained = write(
            files["folder"] / "train.csv", ["text", "label"], [[f"A text,  the {rows[0][0] - 1}th", "support"]]
        )
        keywords["seen"] = ("--trained_on", trained)
    elif case == "unsaid":
        keywords["seen"] = ()
    assert call(files, *more, **keywords) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_few_labels_of_a_class_are_said(files, capsys):
    support = [row for row in files["rows"] if row[1] == "support"][:9]
    against = [row for row in files["rows"] if row[1] == "against"]
    rows = [row[:2] for row in support + against]
    data = Texts("data.csv", ["a text"] * ROWS, {}, [])
    few = join(read_columns(write(files["folder"] / "few.csv", ["row", "label"], rows)), data, every=False)
    y, weights = read_labels(few, "support", ROWS, "simple")
    warn(y, weights, None, "support")
    assert "only 9 texts are labelled support" in capsys.readouterr().err
    warn(y, weights, ["one", "two"] * (ROWS // 2), "support")
    assert "of 2 groups only" in capsys.readouterr().err


def test_formulas():
    assert parse_model("support ~ x + 1 + party") == ("support", ["x", "party"])
    assert parse_model(" a b ~1") == ("a b", [])
    for wrong in ("~ x", "y ~ x +", "y ~ x + x", "y"):
        with pytest.raises(UserError, match="is not of the form"):
            parse_model(wrong)


def test_columns():
    names, x = design({"x": ["1", "2.5", "-1"], "party": ["b", "c", "a"]}, 3)
    assert names == ["intercept", "x", "party[b]", "party[c]"]
    assert x.tolist() == [[1, 1, 1, 0], [1, 2.5, 0, 1], [1, -1, 0, 0]]
    for cells, said in ((["1", "", "2"], "empty in row 2"), (["1", "nan", "2"], "no finite number")):
        with pytest.raises(UserError, match=said):
            design({"x": cells}, 3)


def test_splits_of_cross_fitting_are_joined_by_medians():
    rng = np.random.default_rng(0)
    y, weights = rng.integers(0, 2, 300) * 1.0, np.where(np.arange(300) < 100, 3.0, 0.0)
    fits = [estimate(np.ones((300, 1)), y, rng.random(300), weights) for _ in range(3)]
    joined = combine(fits)
    points, errors = (np.array([getattr(fit, name)[0] for fit in fits]) for name in ("coefficients", "se"))
    assert joined.coefficients[0] == np.median(points)
    assert joined.se[0] == pytest.approx(np.sqrt(np.median(errors**2 + (points - np.median(points)) ** 2)))
    assert combine(fits[:1]) is fits[0]


def test_the_share_of_labels_alone_is_wilsons():
    from minbert.metrics import wilson

    y, weights = np.r_[np.ones(3), np.zeros(97), np.full(900, np.nan)], np.r_[np.full(100, 10.0), np.zeros(900)]
    found = answers(np.ones((1000, 1)), ["intercept"], y, weights, [np.full(1000, 0.5)], np.zeros(1000), "lm")
    assert [answer.way for answer in found] == [TRUTH, LABELS, CORRECTED]
    assert (found[1].low, found[1].high) == wilson(3, 100) and (found[0].low, found[0].high) == wilson(0, 1000)
    assert found[2].estimate == pytest.approx(0.03) and found[2].low >= 0


def test_a_label_that_is_no_class_is_named(files, capsys):
    typo = [[row, "suport" if at == 3 else label, pi] for at, (row, label, pi) in enumerate(files["rows"])]
    write(files["folder"] / "labels.csv", ["row", "label", "pi"], typo)
    assert call(files) == 2
    said = capsys.readouterr().err
    assert f"row {typo[3][0]} is labelled 'suport', but the classes are support, against" in said


def test_training_texts_are_found_in_a_file_with_several_label_columns(files, capsys):
    """The file of the page has a stance and a sentiment: which one was learnt does not matter here."""
    at = files["rows"][0][0] - 1
    rows = [[f"a text, the {at}th", "support", "positive"], ["another one", "against", "negative"]]
    path = write(files["folder"] / "trained.csv", ["text", "stance", "sentiment"], rows)
    assert call(files, seen=("--trained_on", path)) == 2
    assert "1 of the labelled texts are in" in capsys.readouterr().err


def test_predictions_of_one_class_are_named(files, capsys):
    """The corrected answer is still valid, but a logistic regression on a constant has no solution."""
    same = [[at, "support", 0.6, 0.4] for at in range(1, ROWS + 1)]
    change(files, "predictions", ["row", "predicted", "p_support", "p_against"], same)
    assert call(files) == 2
    said = capsys.readouterr().err
    assert "every text is predicted as support: a logistic regression on that has no answer" in said
    assert said.count("\n") == 1
    assert call(files, "--family", "lm") == call(files, model="support ~ 1") == 0
    assert capsys.readouterr().err.count("every text is predicted as support: has the model learnt anything?") == 2
    assert call(files, model="against ~ x") == 2
    assert "no text is predicted as against" in capsys.readouterr().err


def test_a_sample_is_strange_beyond_one_in_ten_thousand():
    """The mean of 100 values of spread 1 is 3.3 or 4.8 standard errors off: p is about 1e-3, and 2e-6."""
    weights = np.r_[np.full(100, 100.0), np.zeros(9900)]
    for off, refused in ((0.35, False), (0.55, True)):
        values = np.tile([-1.0, 1.0], 5000)
        values[:100] += off
        if refused:
            with pytest.raises(UserError, match=r"their x is too far from that of all texts \(p = [1-4]e-06\)"):
                refuse_strange(weights, {"x": values})
        else:
            refuse_strange(weights, {"x": values})
