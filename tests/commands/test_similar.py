"""minbert similar from end to end: the nearest passages, pairs, tables of vectors, and what it refuses."""

import csv
import io
import json
import logging
import re
import shlex
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from minbert import BertModel, BertTokenizer, UserError, fast, metrics, similarity
from minbert.__main__ import main
from minbert.commands import similar
from minbert.files import stream
from minbert.similarity import cosine, cosine_of_pairs, vectors
from tests.commands.test_predict import sentences, write, write_table
from tests.conftest import ROOT, SHARED
from tests.families import tiny_gpt
from tests.test_modules_json import POOLING, TRANSFORMER
from tests.test_modules_json import write as write_modules
from tests.test_readme import FAQ as FAQ_OF_THE_PAGE

FAQ = [
    ["1", "a plot", "the film was good"],
    ["2", "", "not bad, \nnot good"],
    ["3", "the film", ""],
    ["4", "un", "wonderful!"],
]
PAIRS = [["good film", "the film was good", "4.5"], ["bad", "a wonderful plot", "0.25"], ["a plot", "the plot.", "3"]]
PAIRS += [["not good", "bad", "3"]]
TITLED = ("--text_column", "body", "--title_column", "head")
OF_PAIRS = ("--pairs", "pairs.csv", "--text_column", "a", "--pair_column", "b")


@pytest.fixture
def place(tiny_folder, tmp_path, monkeypatch):
    """A working directory with the folder tiny/, whose weights are large enough to tell texts apart, and files."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    model = BertModel.from_pretrained(tiny_folder)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    (tiny_folder / "config.json").unlink()
    model.save_pretrained(tiny_folder)
    write_table("faq.csv", FAQ, ("id", "head", "body"))
    write_table("pairs.csv", PAIRS, ("a", "b", "score"))
    write("faq.txt", ["the film was good", "bad", "a plot", "not bad"])
    return tmp_path


@pytest.fixture
def run(place, capsys):
    """run("--query", "x") -> exit status, standard output, standard error"""
    level = logging.getLogger("minbert").level

    def run(*words, model="tiny"):
        return main(["similar", "--device", "cpu", "--model", model, *words]), *capsys.readouterr()

    yield run
    logging.getLogger("minbert").setLevel(level)


def set_config(folder, **changes):
    """Change a folder's config.json; None: take that key out."""
    path = Path(folder, "config.json")
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in values.items() if value is not None}))


def standard_input(monkeypatch, text):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(text.encode()))))


def library(*columns):
    """The vectors of texts or pairs by the library alone."""
    return vectors(BertModel.from_pretrained("tiny"), BertTokenizer.from_pretrained("tiny"), *columns)


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# Passages


def test_the_nearest_passages_are_shown_with_their_titles(run):
    status, out, err = run("--query", "the film", "--passages", "faq.csv", *TITLED, "--top", "3")
    assert status == 0, err
    titles, texts = [row[1] for row in FAQ], [" ".join(row[2].split()) for row in FAQ]
    cosines = cosine(library(["the film"]), library(titles, [row[2].strip() for row in FAQ]))[0]
    order = cosines.argsort(descending=True)[:3].tolist()
    lines = out.splitlines()
    assert [float(line[:7]) for line in lines] == [round(cosines[at].item(), 3) for at in order]
    wide = max(len(titles[at]) for at in order)
    expected = [f"  {titles[at]:{wide}}  {texts[at]}" for at in order]
    assert [line[7:].replace(r"\n", "").rstrip() for line in lines] == [line.rstrip() for line in expected]
    assert re.search(r"^4 passages read in [\d.]+ s; 0 left out$", err, re.MULTILINE)


@pytest.mark.parametrize(("flags", "called"), [([], 1), (["--plain"], 0)])
def test_the_model_is_prepared_for_reading(flags, called, run, monkeypatch):
    prepared, for_reading = [], fast.for_reading
    monkeypatch.setattr(fast, "for_reading", lambda model: prepared.append(type(model)) or for_reading(model))
    status, _, err = run("--query", "the film", "--passages", "faq.txt", *flags)
    assert status == 0, err
    assert prepared == [fast.twin_of(BertModel)] * called


def test_json_holds_the_numbers_of_the_library(run, monkeypatch):
    monkeypatch.setattr(stream, "TEXTS", 7)  # windows that do not divide the file
    texts, queries = sentences(50), ["good film", "a bad plot"]
    write("texts.txt", texts)
    status, out, err = run("--query", queries[0], "--query", queries[1], "--passages", "texts.txt", "--json")
    assert status == 0, err
    found = json.loads(out)
    facts = {"model": "tiny", "pooling": "mean", "max_length": 40, "passages": 50, "left_out": 0}
    assert {name: found[name] for name in facts} == facts
    for query, cosines in zip(found["queries"], cosine(library(queries), library(texts))):
        best = cosines.sort(descending=True).values[:5].tolist()
        assert [passage["cosine"] for passage in query["passages"]] == pytest.approx(best, abs=1e-5)
        for passage in query["passages"]:
            assert passage["text"] == texts[passage["row"] - 1] and passage["line"] == passage["row"]
            assert passage["cosine"] == pytest.approx(cosines[passage["row"] - 1].item(), abs=1e-5)
    assert [query["query"] for query in found["queries"]] == queries


def test_queries_from_the_standard_input(run, monkeypatch):
    standard_input(monkeypatch, "good film\n\n \t\na bad plot\n")
    status, out, err = run("--query", "-", "--passages", "faq.txt", "--top", "1")
    assert status == 0 and [line for line in out.splitlines() if line[0] != " "] == ["good film", "a bad plot"]
    assert "warning: line 2 of the standard input: empty text: left out" in err and "line 3" in err
    standard_input(monkeypatch, "\n\n")
    assert run("--query", "-", "--passages", "faq.txt")[0] == 2


def test_passages_from_the_standard_input(run, monkeypatch):
    standard_input(monkeypatch, Path("faq.txt").read_text())
    from_pipe = run("--query", "good", "--passages", "-")[:2]
    assert from_pipe == run("--query", "good", "--passages", "faq.txt")[:2]
    assert from_pipe[0] == 0


def test_a_table_of_neighbours(run):
    words = ("--query", "=1+1", "--query", "bad", "--passages", "faq.csv", *TITLED, "--out", "found.csv", "--top", "2")
    status, out, err = run(*words, "--excel_safe")
    assert (status, out) == (0, "") and "written to found.csv" in err
    found = rows("found.csv")
    assert list(found[0]) == ["query", "rank", "cosine", "row", "title", "text"]
    assert [(row["query"], row["rank"]) for row in found] == [
        ("'=1+1", "1"),
        ("'=1+1", "2"),
        ("bad", "1"),
        ("bad", "2"),
    ]
    assert all(row["title"] == FAQ[int(row["row"]) - 1][1] for row in found)


@pytest.mark.parametrize("swap", [(), ("--plain",)])
def test_a_table_of_vectors(run, monkeypatch, swap):
    monkeypatch.setattr(stream, "TEXTS", 3)
    texts = sentences(10)
    write("texts.txt", ["", *texts[:4], "", "", *texts[4:]])
    status, out, err = run("--passages", "texts.txt", "--out", "texts.npy", "--skip_bad_rows", *swap)
    assert (status, out) == (0, "") and "3 bad rows" in err and "texts.txt:6: empty line" in err
    found = np.load("texts.npy")
    assert found.shape == (13, 15) and found.dtype == np.float32
    assert not found[[0, 5, 6]].any()
    assert np.abs(np.delete(found, [0, 5, 6], axis=0) - library(texts).numpy()).max() < 1e-5


def test_vectors_of_a_file_that_ends_in_bad_rows_and_a_query_beside_them(run):
    write_table("end.csv", [["good", "1"], ["bad", "2"], [" ", "3"]], ("text", "id"))
    status, out, _ = run("--passages", "end.csv", "--query", "good", "--out", "end.npy", "--skip_bad_rows")
    assert status == 0 and out.startswith("  1.000  good\n")
    assert np.abs(np.load("end.npy")[:2] - library(["good", "bad"]).numpy()).max() < 1e-5
    assert np.load("end.npy").shape == (3, 15) and not np.load("end.npy")[2].any()


def test_memory_does_not_grow_with_the_passages(run, monkeypatch):
    """A window is held, and the passages that are shown."""
    monkeypatch.setattr(stream, "TEXTS", 50)
    monkeypatch.setattr(stream, "BLOCK", 2**14)

    def peak(number):
        write("many.txt", (f"good {at} " + "x" * 1000 for at in range(number)))
        tracemalloc.start()
        assert run("--query", "good", "--passages", "many.txt", "--max_length", "5")[0] == 0
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    run("--query", "good", "--passages", "faq.txt")  # what is loaded once
    small = peak(100)
    assert peak(600) < small + 200_000  # the file is 500 kB longer


def test_long_texts_are_cut_and_counted_and_wide_ones_shortened(run):
    write("long.txt", ["good " * 300, "bad " * 30, "good"])
    status, out, err = run("--query", "good", "--passages", "long.txt", "--max_length", "9")
    assert status == 0 and "warning: 2 texts were longer than 9 tokens and were cut" in err
    assert all(len(line) <= similar.WIDTH for line in out.splitlines()) and "good good ...\n" in out


@pytest.mark.parametrize("text, width, short", [("a  b\nc", 9, "a  b\\nc"), ("abcdefgh", 8, "abcdefgh")])
def test_what_fits_is_not_shortened(text, width, short):
    assert similar.shorten(text, width) == short


def test_wide_characters_take_two_places():
    assert similar.shorten("漢" * 50, 20) == "漢" * 8 + " ..."


def test_the_pooling_that_is_asked_for(run):
    _, mean, err = run("--query", "good", "--passages", "faq.txt", "--json")
    assert "note: tiny may not have been trained to compare texts" in err
    status, cls, err = run("--query", "good", "--passages", "faq.txt", "--json", "--pooling", "cls")
    assert status == 0 and "note" not in err
    assert json.loads(cls)["pooling"] == "cls" and json.loads(cls)["queries"] != json.loads(mean)["queries"]


def test_a_folders_own_words_are_put_in_front_and_said(run):
    write_modules(Path("tiny"), [TRANSFORMER, POOLING])
    set_config("tiny", pooling=None)
    Path("tiny/sentence_bert_config.json").write_text('{"max_seq_length": 12}')
    prompts = {"prompts": {"query": "a bad "}, "similarity_fn_name": "dot"}
    Path("tiny/config_sentence_transformers.json").write_text(json.dumps(prompts))
    status, out, err = run("--query", "plot", "--passages", "faq.txt", "--json")
    assert "words put before a query: 'a bad '" in err and "trained for another similarity than the cosine: dot" in err
    expected = cosine(library(["a bad plot"]), library(["the film was good", "bad", "a plot", "not bad"]))[0]
    found = json.loads(out)
    assert status == 0 and found["max_length"] == 12
    assert found["queries"][0]["passages"][0]["cosine"] == pytest.approx(expected.max().item(), abs=1e-5)


# Pairs


def cosines_of_pairs():
    first, second, _ = zip(*PAIRS)
    return cosine_of_pairs(library(first), library(second)).tolist()


def test_the_cosine_of_each_pair(run):
    status, out, err = run(*OF_PAIRS)
    assert status == 0, err
    values = [f"{value:7.3f}  {first}  /  {second}" for value, (first, second, _) in zip(cosines_of_pairs(), PAIRS)]
    assert out.splitlines() == values and "4 pairs read" in err


def test_the_rank_correlation_with_a_label(run):
    status, out, err = run(*OF_PAIRS, "--label_column", "score", "--out", "found.csv")
    rho = metrics.spearman([float(row[2]) for row in PAIRS], cosines_of_pairs())
    assert (status, out) == (0, f"4 pairs: Spearman of the cosine with score {rho:.4f}\n"), err
    found = rows("found.csv")
    assert list(found[0]) == ["row", "cosine", "label", "text", "pair"]
    assert [[row["text"], row["pair"], f"{float(row['label']):g}"] for row in found] == PAIRS
    assert [float(row["cosine"]) for row in found] == pytest.approx(cosines_of_pairs(), abs=1e-5)
    report = json.loads(run(*OF_PAIRS, "--label_column", "score", "--json")[1])
    assert report["spearman"] == pytest.approx(rho) and report["count"] == 4
    assert [pair["label"] for pair in report["pairs"]] == [float(row[2]) for row in PAIRS]


@pytest.mark.parametrize("form", ["jsonl", "json", "parquet"])
def test_pairs_in_json_and_parquet(run, form):
    fields = [{"a": first, "b": second, "score": float(score)} for first, second, score in PAIRS]
    if form == "parquet":
        pytest.importorskip("pyarrow.parquet").write_table(
            pytest.importorskip("pyarrow").Table.from_pylist(fields), "pairs.parquet"
        )
    else:
        text = json.dumps(fields) if form == "json" else "".join(json.dumps(row) + "\n" for row in fields)
        Path(f"pairs.{form}").write_text(text)
    words = ("--text_column", "a", "--pair_column", "b", "--label_column", "score")
    assert run("--pairs", f"pairs.{form}", *words)[:2] == run(*OF_PAIRS, "--label_column", "score")[:2]


def test_a_constant_side_has_no_correlation(run):
    write_table("pairs.csv", [[*row[:2], "3"] for row in PAIRS], ("a", "b", "score"))
    status, out, _ = run(*OF_PAIRS, "--label_column", "score")
    assert (status, out) == (0, "4 pairs: Spearman of the cosine with score none, as one side is constant\n")


BAD = [
    (["good", "", "1"], "empty pair"),
    ([" ", "bad", "1"], "empty text"),
    (["good", "bad", ""], "empty label"),
    (["good", "bad", "high"], "the label is not a number: 'high'"),
    (["good", "bad", "nan"], "the label is not a finite number"),
    (["good", "bad"], "ragged row: 2 fields, but the header has 3"),
]


@pytest.mark.fault("tables: a pair with one side, or a rating that is no number")
@pytest.mark.parametrize("row, said", BAD, ids=[said for _, said in BAD])
def test_a_bad_pair_is_named_or_left_out(run, row, said):
    write_table("pairs.csv", [*PAIRS[:2], row, *PAIRS[2:]], ("a", "b", "score"))
    words = (*OF_PAIRS, "--label_column", "score")
    status, out, err = run(*words)
    assert (status, out) == (2, "") and f"pairs.csv:4: {said}" in err
    status, out, err = run(*words, "--skip_bad_rows")
    assert status == 0 and out.startswith("4 pairs: ") and f"pairs.csv:4: {said}" in err and "1 left out" in err


# What is refused

FILE = ("--passages", "faq.txt")
MISTAKES = [
    ((), "--passages FILE and --pairs FILE are what is compared: give one of them"),
    ((*FILE, *OF_PAIRS), "--passages FILE and --pairs FILE are two questions: ask one of them"),
    (FILE, "--passages needs --query TEXT, or --out FILE.npy for the vectors alone"),
    ((*FILE, "--out", "x.csv"), "--passages needs --query TEXT"),
    ((*FILE, "--query", " \u200b"), "holds no text"),
    ((*FILE, "--query="), "--query is empty"),
    ((*FILE, "--query", "-", "--query", "x"), "--query - reads all queries from the standard input: leave the others"),
    (("--passages", "-", "--query", "-"), "--query and --passages cannot both be the standard input"),
    ((*FILE, "--query", "x", "--pair_column", "b"), "--pair_column is for --pairs: leave it out with --passages"),
    ((*OF_PAIRS, "--query", "x", "--top", "3"), "--query, --top is for --passages: leave it out with --pairs"),
    (OF_PAIRS[:4], "--pairs needs --pair_column NAME"),
    ((*OF_PAIRS, "--out", "x.npy"), "x.npy: vectors are written for --passages; for --pairs, name a CSV file"),
    ((*OF_PAIRS[:5], "c"), "pairs.csv: no column c; the columns are 'a', 'b', 'score'"),
    ((*OF_PAIRS[:5], "a"), "pairs.csv: 'a' is named as the text and as the pair"),
    ((*OF_PAIRS, "--label_column", "b"), "pairs.csv: 'b' is named as the pair and as the label"),
    ((*FILE, "--query", "x", "--title_column", "head"), "--title_column is for a table, JSON or Parquet, and this is"),
    (("--passages", "fag.csv", "--query", "x"), "there is no file fag.csv; did you mean faq.csv?"),
    (("--passages", "tiny", "--query", "x"), "tiny is a folder, not a file of examples"),
    ((*FILE, "--query", "x", "--out", "faq.txt"), "faq.txt would overwrite what is read here"),
    ((*FILE, "--query", "x", "--out", "tiny/vocab.txt"), "tiny/vocab.txt would overwrite what is read here"),
    ((*FILE, "--out", "nowhere.npy/x.npy", "--max_length", "41"), "--max_length is 41, but tiny has 40 positions"),
    ((*FILE, "--query", "x", "--out", "-"), "--out is a file; --json writes to the standard output"),
    ((*FILE, "--query", "x", "--pooling", "max"), "invalid choice: 'max' (choose from 'mean', 'cls')"),
    ((*FILE, "--query", "x", "--plain", "--precision", "int8"), "leave out --plain or --precision int8"),
    ((*FILE, "--qeury", "x"), "did you mean --query?"),
    ((*FILE, "--query", "x", "--model", "tinny"), "did you mean tiny?"),
    ((*FILE, "--query", "x", "--model", "gpt"), "gpt looks back only"),
    ((*FILE, "--query", "x", "--model", "max"), "max/modules.json: pools by max, but minbert makes vectors by mean or"),
]


@pytest.mark.fault("command line: a file, column, number, choice or flag that is wrong")
@pytest.mark.parametrize("words, said", MISTAKES, ids=[said[:50] for _, said in MISTAKES])
def test_a_mistake_is_answered_by_one_line_before_weights_are_read(run, monkeypatch, words, said):
    if "gpt" in words:
        tiny_gpt.write(Path("gpt"))
    if "max" in words:
        write_modules(Path("tiny").rename("max"), [TRANSFORMER, POOLING], {"pooling_mode": "max"})
        set_config("max", pooling=None)
    monkeypatch.setattr(similar, "Reader", None)
    before = {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}
    status, out, err = run(*words)
    assert (status, out, err.count("\n")) == (2, "", 1) and err.startswith("error: ") and said in err
    assert {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")} == before


@pytest.mark.fault("saving: a run that stops in the middle of a table of vectors")
@pytest.mark.parametrize("out", ["x.npy", "x.csv"])
def test_what_was_not_finished_is_not_there(run, monkeypatch, out):
    def stop(*arguments):
        raise UserError("stopped")

    write("texts.txt", sentences(9))
    monkeypatch.setattr(stream, "TEXTS", 4)
    monkeypatch.setattr(similarity.Nearest, "add", lambda self, found, window: len(window) == 4 or stop())
    status, _, err = run("--query", "good", "--passages", "texts.txt", "--out", out)
    assert (status, err.splitlines()[-1]) == (2, "error: stopped")
    assert not [path for path in Path().iterdir() if path.name.startswith("x.")]


def test_a_file_without_rows(run):
    Path("head.csv").write_text("text,id\n")
    assert run("--query", "x", "--passages", "head.csv")[2].endswith("error: head.csv: there are no rows\n")
    write("empty.txt", ["good", ""])
    Path("all.csv").write_text("text,id\n ,1\n")
    assert "No row is left" in run("--query", "x", "--passages", "all.csv", "--skip_bad_rows")[2]


# Real weights


def test_the_page_shows_what_is_printed(run, minilm):
    page = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8").replace("\\\n", "")
    command = next(line for line in page.splitlines() if line.startswith("minbert similar --model all-MiniLM-L6-v2"))
    Path("my-faq.csv").write_text(FAQ_OF_THE_PAGE)
    assert run(*shlex.split(command)[4:], model=str(minilm))[:2] == (0, re.search("```text\n(.*?)```", page, re.S)[1])


@pytest.mark.skipif(not (SHARED / "data/sts").exists(), reason="needs data/sts from the reference files")
def test_pairs_that_people_have_rated(run, minilm, shared):
    """On the first rows; docs/results.md has the whole file."""
    lines = shared("data/sts/sts-dev.csv").read_text(encoding="utf-8").splitlines(keepends=True)[:41]
    Path("sts.csv").write_text("".join(lines), encoding="utf-8")
    words = ("--text_column", "sentence1", "--pair_column", "sentence2", "--label_column", "similarity")
    status, out, err = run("--pairs", "sts.csv", *words, model=str(minilm))
    assert status == 0 and "note" not in err
    assert float(re.fullmatch(r"40 pairs: Spearman of the cosine with similarity (0\.\d+)\n", out)[1]) > 0.7
