"""The page of a run without a browser: its figures beside scikit-learn's, its data back, what it refuses, its size."""

import csv
import json
import re

import numpy as np
import pytest
from sklearn import metrics

from minbert.__main__ import main
from minbert.commands import page as command
from minbert.errors import UserError
from minbert.files.predictions import read_predictions
from minbert.metrics import score
from minbert.pages.outcomes import LONG, SHORT, important, in_order, recount, show, sureness
from minbert.pages.pack import unpack
from minbert.pages.record import read_run
from minbert.pages.rows import marked
from minbert.pages.run import STATIC, run_page
from minbert.pages.unpack import unpack_page
from minbert.runs import outcomes
from tests.pages.runs import random_rows, write_evidence, write_predictions, write_run

THREE = ("against", "for", "none of them")


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "runs" / "flexible", random_rows(300))


def cells(text, identity):
    """The texts of the cells of a table's body, row by row"""
    table = re.search(rf'<table[^>]*id="{identity}".*?</table>', text, re.DOTALL)[0]
    rows = re.findall(r"<tr.*?</tr>", re.search(r"<tbody>(.*?)</tbody>", table, re.DOTALL)[1], re.DOTALL)
    return [
        [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)] for row in rows
    ]


def rows_of(page):
    return json.loads(unpack(page.blocks["rows"]))


@pytest.mark.parametrize("names", [("negative", "positive"), THREE])
def test_the_figures_are_those_of_scikit_learn(tmp_path, names):
    rows = random_rows(211, names, seed=3)
    text = run_page(write_run(tmp_path / "r", rows, names)).text
    gold, predicted = [row[1] for row in rows], [row[2] for row in rows]
    assert [[*map(int, row)] for row in cells(text, "matrix")] == metrics.confusion_matrix(
        gold, predicted, labels=names
    ).tolist()
    report = metrics.classification_report(gold, predicted, labels=names, output_dict=True, zero_division=0)
    wanted = [report[name] for name in (*names, "macro avg", "weighted avg")]
    wanted = [[f"{each[key]:.3f}" for key in ("precision", "recall", "f1-score")] for each in wanted]
    assert [row[:3] for row in cells(text, "classes")] == wanted
    assert f'<span class="figure">{metrics.accuracy_score(gold, predicted):.3f}</span> accuracy' in text
    assert f'<span class="figure">{report["macro avg"]["f1-score"]:.3f}</span> macro F1' in text


def test_a_recount_is_what_training_scores(tmp_path):
    """Also of classes that are in no row, or that nothing was predicted as."""
    names = ("a", "b", "c", "d")
    rows = [
        ("x", "a", "b", 0.1, 0.7, 0.1, 0.1),
        ("y", "a", "a", 0.7, 0.1, 0.1, 0.1),
        ("z", "c", "a", 0.7, 0.1, 0.1, 0.1),
    ]
    found = read_predictions(write_predictions(tmp_path / "p.csv", rows, names))
    counted = recount(found.labelled, names)
    wanted = score([0, 0, 2], [0, 1, 0], names)
    assert (counted.matrix, counted.accuracy) == (wanted.matrix, wanted.accuracy)
    assert counted.macro[2] == pytest.approx(wanted.macro_f1)
    assert counted.interval == wanted.accuracy_interval
    assert counted.macro_interval == wanted.macro_f1_interval


def test_the_order_is_mistakes_then_unsure_then_the_rest(run):
    rows = in_order(read_predictions(run).rows)
    kinds = ["wrong" if not row.right else "unsure" if row.unsure else "rest" for row in rows]
    assert kinds == sorted(kinds, key=["wrong", "unsure", "rest"].index) and len(set(kinds)) == 3
    wrong = [row.sureness for row in rows if not row.right]
    assert wrong == sorted(wrong, reverse=True)
    for kind in ("unsure", "rest"):
        sure = [row.sureness for row, own in zip(rows, kinds) if own == kind]
        assert sure == sorted(sure)


def test_the_static_part_has_the_first_rows(run):
    text = run_page(run).text
    rows = in_order(read_predictions(run).rows)[:STATIC]
    found = cells(text, "list")
    assert [row[0] for row in found] == [str(row.number) for row in rows]
    assert [row[2:6] for row in found] == [[row.gold, row.predicted, f"{row.sureness:.3f}", row.text] for row in rows]


def test_the_bins_are_those_of_the_calibration_error(run):
    rows = read_predictions(run).labelled
    found = [each for each in sureness(rows) if each[2] + each[3]]
    wanted = outcomes.bins([row.p for row in rows], [["negative", "positive"].index(row.gold) for row in rows])
    assert [each[2] + each[3] for each in found] == [each.count for each in wanted]
    assert [each[2] / (each[2] + each[3]) for each in found] == pytest.approx([each.accuracy for each in wanted])


def test_mcnemar_in_whole_numbers_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    for b, c in ((0, 0), (3, 9), (26, 32), (400, 380), (2000, 1500)):
        first = [True] * b + [False] * c + [True]
        second = [False] * b + [True] * c + [True]
        wanted = stats.binomtest(min(b, c), b + c).pvalue if b + c else 1.0
        assert outcomes.mcnemar(first, second)["exact"] == pytest.approx(wanted, rel=1e-9)


def test_a_second_run_is_compared(tmp_path, run):
    rows = random_rows(300)
    other = [(text, gold, *new[2:]) for (text, gold, *_), new in zip(rows, random_rows(300, seed=9))]
    second = write_run(tmp_path / "runs" / "better", other)
    text = run_page(run, second).text
    one, two = (np.array([row[1] == row[2] for row in each]) for each in (rows, other))
    for case, count in {"fixed": ~one & two, "broken": one & ~two}.items():
        assert count.sum() and f'<span class="quiet">{case}</span> {count.sum()}' in text
    assert f"p = {outcomes.mcnemar(one, two)['exact']:.2g}" in re.sub(r"\s+", " ", text)
    table = rows_of(run_page(run, second))
    assert table["other"] == [("negative", "positive").index(other[number - 1][2]) for number in table["row"]]
    with pytest.raises(UserError, match="nobody can tell them apart"):
        run_page(run, write_run(tmp_path / "else", random_rows(300, seed=1)))


def test_a_second_run_in_another_order_is_joined_by_its_texts(tmp_path):
    rows = [(f"{number} {text}", *rest) for number, (text, *rest) in enumerate(random_rows(60, noise=0.6))]
    others = [(text, gold, *new[2:]) for (text, gold, *_), new in zip(rows, random_rows(60, seed=9))]
    first = write_run(tmp_path / "first", rows)
    second = write_run(tmp_path / "second", others[59:9:-1])  # the first ten are missing
    page = run_page(first, second)
    table = rows_of(page)
    assert sorted(table["row"]) == list(range(11, 61))
    assert table["other"] == [("negative", "positive").index(others[number - 1][2]) for number in table["row"]]
    shown = {row[0]: row for row in cells(page.text, "list")}
    assert len(shown) == 50 and all(others[int(number) - 1][2] in row for number, row in shown.items())
    assert "joined by text: 50 of 60 rows, and of 50" in page.text
    assert "run.json says" not in page.text  # it speaks of all rows


def test_run_json_that_tells_another_story_is_named(run):
    assert "run.json says the same" in run_page(run).text
    facts = json.loads((run / "run.json").read_text())
    facts["scores"]["test"]["accuracy"] -= 0.05
    (run / "run.json").write_text(json.dumps(facts))
    text = run_page(run).text
    assert re.search(r'class="note trouble">run.json says accuracy 0\.\d+, but the rows give 0\.\d+', text)
    assert "run.json says the same" not in text


def test_the_same_folder_gives_the_same_bytes_and_no_place(run, tmp_path):
    write_evidence(run, random_rows(300), [1, 2])
    text = run_page(run).text
    moved = tmp_path / "elsewhere" / run.name
    moved.parent.mkdir()
    run.rename(moved)
    assert run_page(moved).text == text
    for word in (str(tmp_path), "/home", "secret", "somebody/", "laptop"):
        assert word not in text
    assert ">tiny<" in text and "test.csv" in text and "0f" * 32 in text


def test_rows_come_back_as_they_were(run, tmp_path):
    rows = random_rows(300)
    write_evidence(run, rows, [5, 6])
    path = run_page(run).write(tmp_path / "page.html")
    unpack_page(path, tmp_path / "out")
    with open(tmp_path / "out" / "rows.csv", newline="", encoding="utf-8") as stream:
        found = sorted(csv.DictReader(stream), key=lambda row: int(row["row"]))
    assert [(row["text"], row["gold"], row["predicted"]) for row in found] == [row[:3] for row in rows]
    assert [float(row["p_positive"]) for row in found] == pytest.approx([row[4] for row in rows], abs=5e-5)
    lines = [json.loads(line) for line in (tmp_path / "out" / "evidence.jsonl").read_text().splitlines()]
    stored = [json.loads(line) for line in (run / "test_evidence.jsonl").read_text().splitlines()]
    assert {line["row"]: line["words"] for line in lines} == {line["row"]: line["words"] for line in stored}


def test_evidence_counts_in_javascript_units_and_comes_back(tmp_path):
    rows = [("so 😂 good film", "negative", "positive", 0.1, 0.9)]
    folder = write_run(tmp_path / "r", rows)
    write_evidence(folder, rows, [1])
    page = run_page(folder)
    words = rows_of(page)["words"][0]
    units = rows[0][0].encode("utf-16-le")
    assert [units[2 * begin : 2 * end].decode("utf-16-le") for begin, end, _ in words] == rows[0][0].split()
    unpack_page(page.write(tmp_path / "p.html"), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "evidence.jsonl").read_text())["words"][1][:2] == [3, 4]
    assert "<b>good</b>" in page.text  # of four words the one that spoke most


def test_evidence_of_other_predictions_is_left_out_and_counted(run):
    write_evidence(run, random_rows(300), [1, 2])
    lines = (run / "test_evidence.jsonl").read_text()
    for pattern, new in ((r'"p": [\d.]+', '"p": 0.01'), (r'"class": "\w+"', '"class": "other"'), ("row", "row")):
        (run / "test_evidence.jsonl").write_text(re.sub(pattern, new, lines))
        found = read_run(run)
        left_out = "test_evidence.jsonl: 2 lines of other predictions, left out."
        assert (len(found.evidence), found.notes) == ((2, []) if pattern == new else (0, [left_out]))
    (run / "test_evidence.jsonl").write_text('{"row": 1, "words": 3}\n')
    with pytest.raises(UserError, match="line 1 is no evidence"):
        run_page(run)


@pytest.mark.parametrize(
    "text, words, bold",
    [
        ("never again", [[0, 5, 0.4], [6, 11, -0.1]], ["never"]),
        ("a b c d e", [[0, 1, 0.1], [2, 3, 0.5], [4, 5, 0.3], [6, 7, 0.0], [8, 9, -1]], ["b", "c"]),
        ("dull", [[0, 4, -0.3]], []),
        ("cut here", [[0, 3, 0.1], [4, 99, 0.9]], []),
    ],
)
def test_the_words_that_spoke_most_are_bold(text, words, bold):
    found = marked(text, words)
    assert "".join(part for part, _ in found) == text
    assert [part for part, strong in found if strong] == bold


def test_long_texts_are_shortened_and_right_rows_drawn_and_the_page_says_so(tmp_path):
    rows = [(f"{at} " + text * 200, *more) for at, (text, *more) in enumerate(random_rows(400))]
    folder = write_run(tmp_path / "r", rows)
    predictions = read_predictions(folder)
    held = show(predictions, None, {}, {}, True, budget=15_000)
    table = json.loads(held.data)
    assert held.left_out and len(table["row"]) == 400 - held.left_out
    assert {row.number for row in predictions.rows if important(row)} <= set(table["row"])
    for row, text, length in zip(held.rows, table["text"], table["length"]):
        assert text == row.text[: held.longest if important(row) else SHORT] and length == len(row.text)
    page = run_page(folder, budget=15_000)
    said = re.sub(r"\s+", " ", page.text)
    assert f"leaves out {held.left_out} right rows" in said and f"shortens {held.shortened} long texts" in said
    assert show(predictions, None, {}, {}, True).longest == LONG
    short = run_page(write_run(tmp_path / "s", random_rows(400)))
    assert "leaves out" not in short.text and "shortens" not in short.text


def test_a_page_without_texts_holds_none(run):
    page = run_page(run, texts=False)
    assert not {"text", "pair", "words"} & set(rows_of(page)) and "This file holds texts" not in page.text
    assert not any(row[0] in page.text for row in random_rows(300) if len(row[0]) > 20)


def test_rows_without_labels_come_with_the_least_sure_first(tmp_path):
    rows = [(text, "", *more) for text, _, *more in random_rows(50)]
    path = write_predictions(tmp_path / "test_predictions.csv", rows)
    page = run_page(path)
    table = rows_of(page)
    sure = [max(rows[number - 1][3:]) for number in table["row"]]
    assert sure == sorted(sure) and set(table["gold"]) == {-1}
    assert "nobody knows which predictions are right" in page.text and 'id="matrix"' not in page.text


def test_many_classes_have_a_list_of_confusions_and_the_likeliest_classes_alone(tmp_path):
    names = tuple(f"class {at}" for at in range(60))
    rows = random_rows(500, names, noise=0.6)
    page = run_page(write_run(tmp_path / "r", rows, names))
    assert 'id="matrix"' not in page.text and "The commonest confusions" in page.text
    table = rows_of(page)
    for number, p in zip(table["row"], table["p"]):
        wanted = sorted(range(60), key=lambda id: -rows[number - 1][3 + id])[:3]
        assert [id for id, _ in p] == wanted
    twenty = names[:20]
    middle = run_page(write_run(tmp_path / "m", random_rows(300, twenty, noise=0.6), twenty)).text
    assert 'id="matrix"' in middle and "The commonest confusions" in middle


def test_other_tasks_show_their_scores_and_say_what_is_missing(tmp_path):
    (tmp_path / "run.json").write_text(
        json.dumps(
            {
                "arguments": {"label_kind": "tags"},
                "scores": {"test": {"f1": 0.8125}},
                "epochs": [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}],
            }
        )
    )
    text = run_page(tmp_path).text
    assert "This run predicts tags" in text and "0.8125" in text and "training loss" in text
    with pytest.raises(UserError, match="these predict something else"):
        run_page(tmp_path, write_predictions(tmp_path / "o" / "test_predictions.csv", random_rows(3)))


def test_run_json_of_a_stranger_does_not_break_the_page(run):
    strange = {"epochs": [7, {"epoch": "1"}, {"epoch": 1, "loss": 1e999}], "scores": [1], "arguments": "no"}
    strange |= {"data": {"train": 3}, "versions": {"a": {"b": [{}] * 1000}}, "baselines": {"x": {"name": ["y"]}}}
    (run / "run.json").write_text(json.dumps(strange))
    assert "macro F1" in run_page(run).text
    (run / "run.json").write_text("[]")
    with pytest.raises(UserError, match=r"run\.json"):
        run_page(run)


def test_ten_thousand_rows_fit_into_three_megabytes(tmp_path):
    rows = random_rows(10_000, words=110)
    assert sum(len(row[0]) for row in rows) > 4_000_000
    page = run_page(write_predictions(tmp_path / "test_predictions.csv", rows))
    assert len(page.text.encode()) < 3_000_000


def test_the_command_writes_where_it_is_told(run, tmp_path, capsys):
    command.main([str(run)])
    command.main([str(run / "test_predictions.csv")])
    second = write_run(tmp_path / "runs" / "other", random_rows(300))
    command.main([str(run), "--against", str(second)])
    command.main([str(run), "--no_texts", "--out", str(tmp_path / "here.html")])
    written = [line.removeprefix("written to ").rsplit(", ", 1)[0] for line in capsys.readouterr().out.splitlines()]
    places = [run / "page.html", run / "test_page.html", run / "page_against_other.html", tmp_path / "here.html"]
    assert written == [*map(str, places)] and all(place.read_text().startswith("<!doctype html>") for place in places)
    command.main(["--unpack", str(places[0]), "--out", str(tmp_path / "data")])
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"about.json", "rows.csv"}


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "name the folder of a run"),
        (["a", "b"], "a page shows one run"),
        (["nowhere"], "there is no file or folder nowhere"),
        (["RUN", "--against", "RUN"], "is the run itself"),
        (["RUN", "--evidence", "3", "--no_texts"], "give one of them"),
        (["RUN", "--out", "RUN/test_predictions.csv"], "exists and is no page"),
        (["RUN", "--unpack", "RUN/run.json", "--out", "x"], "--unpack reads a page alone"),
        (["--unpack", "RUN/run.json"], "--unpack needs a folder"),
        (["--unpack", "RUN/run.json", "--out", "x"], "is no page of minbert's"),
        (["nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_line(run, words, said):
    with pytest.raises(UserError, match=said) as error:
        command.main([word.replace("RUN", str(run)) for word in words])
    assert "\n" not in str(error.value)
    assert {path.name for path in run.iterdir()} == {"run.json", "test_predictions.csv"}


def test_training_writes_the_page_and_names_it(tiny_folder, tmp_path, capsys):
    texts = tmp_path / "test.csv"
    texts.write_text("text,label\nthe film was good,positive\nthe film was bad,negative\na bad plot,negative\n")
    out = tmp_path / "out"
    words = ["train", "--eval_only", "--model", str(tiny_folder), "--test", str(texts), "--out", str(out), "--page"]
    assert main(words) == 0
    assert str(out / "page.html") in capsys.readouterr().out
    assert (out / "page.html").read_text() == run_page(out).text


def test_training_refuses_a_page_of_nothing(tmp_path, capsys):
    texts = tmp_path / "train.csv"
    texts.write_text("text,label\ngood,positive\nbad,negative\n")
    assert main(["train", "--train", str(texts), "--out", str(tmp_path / "out"), "--page"]) == 2
    assert "--page shows predictions: name a file" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_damaged_page_is_refused(run, tmp_path):
    path = run_page(run).write(tmp_path / "page.html")
    text = path.read_text()
    for old, new, said in (
        ('"format": 1', '"format": 9', "of format 9"),
        (run_page(run).blocks["rows"], "AAAA", "is no page"),
        ('"kind": "run"', '"kind": "attention"', "not as minbert writes it"),
    ):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(UserError, match=said):
            unpack_page(path, tmp_path / "out")
