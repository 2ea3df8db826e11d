"""predict.py from end to end: every row once, in order, the same as all at once, and never more than a window held."""

import csv
import gzip
import io
import json
import logging
import os
import random
import select
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from minbert import BertModel, BertSentClassifier, BertTokenizer, fast, training
from minbert.commands import common, predict
from minbert.files import stream
from minbert.files.examples import Examples
from minbert.runs import classifier
from minbert.tasks import TASKS
from minbert.tasks.task import beginning
from tests.conftest import ROOT, VOCAB

WORDS = [word for word in VOCAB if word[0] not in "[#"]
TABLE = [["7", 'bad, "bad",\nand bad\n\nagain'], ["8", 'the "good" film'], ["9", "a plot;\tgood"]]


class Ran(NamedTuple):
    status: int
    out: str
    err: str


def sentences(number, longest=12):
    rng = random.Random(0)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, longest))) for _ in range(number)]


def write(name, texts):
    Path(name).write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def write_table(name, rows, header=("id", "text"), delimiter=","):
    with open(name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])


@pytest.fixture
def run(tiny_folder, tmp_path, monkeypatch, capsys):
    """run("--text", "new.txt") -> Ran: what the program answers, with the trained folder tiny/ beside it."""
    monkeypatch.chdir(tmp_path)
    level = logging.getLogger("minbert").level

    def run(*arguments, model="tiny"):
        monkeypatch.setattr("sys.argv", ["predict.py", "--device", "cpu", "--model", model, *arguments])
        return Ran(common.run(predict.main), *capsys.readouterr())

    yield run
    logging.getLogger("minbert").setLevel(level)


@pytest.fixture
def answer(run):
    """The same for a run that ends well; returns its rows as dicts, from the file `name` or the standard output."""

    def answer(*arguments, name="new.txt.predictions.csv"):
        ran = run(*arguments)
        assert ran.status == 0, ran.err
        return rows(Path(name).read_text(encoding="utf-8") if name else ran.out)

    return answer


@pytest.fixture
def refused(run):
    """The same for a run that must be refused in one message; no file is changed, made or left half-written."""

    def everything():
        return {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}

    def refused(*arguments, **options):
        before = everything()
        status, out, err = run(*arguments, **options)
        assert (status, out) == (2, "")
        assert err.startswith("error: ") and err.count("error: ") == 1
        assert everything() == before
        return err

    return refused


def test_what_the_tokenizer_guesses_is_one_line(run, tiny_folder):
    vocab = tiny_folder / "vocab.txt"
    vocab.write_text(vocab.read_text().replace("film", "Film"))
    (tiny_folder / "tokenizer_config.json").unlink()
    Path("new.txt").write_text("a good Film\n")
    ran = run("--text", "new.txt")
    assert ran.status == 0
    assert [line for line in ran.err.splitlines() if "apital" in line] == [
        "warning: tiny/vocab.txt: has capital letters, so capitals count; no file says it: "
        'write "do_lower_case" into tokenizer_config.json, true or false'
    ]
    assert "UserWarning" not in ran.err


def rows(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def numbers(rows):
    return [int(row["row"]) for row in rows]


def probabilities(rows):
    return torch.tensor([[float(row["p_negative"]), float(row["p_positive"])] for row in rows])


def expected(texts, **options):
    """What training.predict says of all texts at once."""
    tokenizer = BertTokenizer.from_pretrained("tiny")
    encoding = tokenizer(texts, truncation=True, max_length=40, **options)
    return training.predict(BertSentClassifier.from_pretrained("tiny"), training.Data(encoding, None)).softmax(-1)


def balance(texts):
    """Change the model's bias so that it answers half of the texts with the one label and half with the other."""
    model = BertSentClassifier.from_pretrained("tiny")
    negative, positive = expected(texts).log().unbind(1)
    model.classifier.bias.data[1] += (negative - positive).median()
    model.save_pretrained("tiny")


def close(first, second):
    return first.shape == second.shape and (first - second).abs().max() < 1e-5


# What it answers


@pytest.mark.fault("numbers: an answer that depends on other texts, padding or order")
def test_it_says_what_training_predict_says_in_the_order_of_the_file(answer, monkeypatch):
    monkeypatch.setattr(stream, "TEXTS", 7)  # windows that do not divide the file
    texts = sentences(50)
    write("new.txt", texts)
    balance(texts)
    found = answer("--text", "new.txt", "--with_text")
    assert list(found[0]) == ["row", "predicted", "p_negative", "p_positive", "text"]
    assert numbers(found) == list(range(1, 51))
    assert [row["text"] for row in found] == texts
    p = probabilities(found)
    assert close(p, expected(texts))
    assert len({row["predicted"] for row in found}) == 2  # or else a wrong order could pass
    assert [row["predicted"] for row in found] == [("negative", "positive")[id] for id in p.argmax(1)]


def test_the_texts_are_written_on_request_only(answer):
    write("new.txt", ["good"])
    assert "text" not in answer("--text", "new.txt")[0]
    assert Path("new.txt.predictions.csv").read_text().startswith('"row","predicted","p_negative","p_positive"\n')


def test_a_table_with_line_breaks_in_quotes(answer):
    write_table("new.csv", TABLE)
    found = answer("--text", "new.csv", "--with_text", name="new.csv.predictions.csv")
    assert [row["text"] for row in found] == [text for _, text in TABLE]
    assert numbers(found) == [1, 2, 3]
    assert close(probabilities(found), expected([text for _, text in TABLE]))


@pytest.mark.parametrize("delimiter", ["\t", ";"])
def test_a_column_that_is_named(answer, delimiter):
    write_table("new.txt", [[text, number] for number, text in TABLE], ("What", "text"), delimiter)
    found = answer("--text", "new.txt", "--text_column", "what", "--with_text")
    assert [row["text"] for row in found] == [text for _, text in TABLE]


@pytest.mark.parametrize("packed", [False, True])
def test_the_standard_input_goes_to_the_standard_output(answer, monkeypatch, packed):
    texts = sentences(5)
    data = "\n".join(texts).encode()
    data = gzip.compress(data) if packed else data
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(data))))
    assert close(probabilities(answer("--text", "-", name=None)), expected(texts))


def test_a_pipe_between_programs(run):
    command = [sys.executable, str(ROOT / "predict.py"), "--model", "tiny", "--device", "cpu", "--text", "-"]
    done = subprocess.run(command, input="good\nbad\n", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert close(probabilities(rows(done.stdout)), expected(["good", "bad"]))
    assert done.stderr.startswith("2 rows labelled") and done.stderr.count("\n") == 1


def test_a_gzipped_file_of_blocks_old_line_ends_and_a_byte_order_mark(answer, monkeypatch):
    monkeypatch.setattr(stream, "BLOCK", 5)  # smaller than a line: characters are cut apart
    texts = [f"{text} föhn 💧" for text in sentences(20)]
    for end in ("\n", "\r\n", "\r"):
        data = b"\xef\xbb\xbf" + end.join(texts).encode()
        for name, content in (("new.txt", data), ("new.gz", gzip.compress(data))):
            monkeypatch.setattr(stream, "BLOCK", 64 if end == "\r" else 5)  # by the first block it is recognised
            Path(name).write_bytes(content)
            found = answer("--text", name, "--with_text", name=f"{name}.predictions.csv")
            assert [row["text"] for row in found] == texts


def test_out_names_the_file_or_the_standard_output(answer):
    write("new.txt", ["good"])
    there = answer("--text", "new.txt", "--out", "some/where.csv", name="some/where.csv")
    assert answer("--text", "new.txt", "--out", "-", name=None) == there
    assert not Path("new.txt.predictions.csv").exists()


@pytest.mark.fault("tables: predictions that a spreadsheet would run, or with line breaks")
@pytest.mark.parametrize("flags", [[], ["--excel_safe"]])
def test_formulas_are_guarded_on_request(answer, flags):
    labels = ("=0", "-1")
    model = BertSentClassifier.from_pretrained("tiny", labels=labels)
    model.save_pretrained("tiny")
    texts = ["=1+1", "+a", "-a", "@a", "a=b", "'a", " =a"]
    write("new.txt", texts)
    found = answer("--text", "new.txt", "--with_text", *flags)
    guard = "'" if flags else ""
    assert [row["text"] for row in found] == [guard + text for text in texts[:4]] + ["a=b", "'a", guard + "=a"]
    assert {row["predicted"] for row in found} <= {guard + label for label in labels}
    assert numbers(found) == [1, 2, 3, 4, 5, 6, 7]


def test_int8_and_bf16_say_about_the_same(answer):
    texts = sentences(10)
    write("new.txt", texts)
    for precision in ("int8-always", "bf16"):
        p = probabilities(answer("--text", "new.txt", "--precision", precision))
        assert 0 < (p - expected(texts)).abs().max() < 0.05


# Sentences


def answers(out):
    """The lines of an answer as (label, {label: probability}, *text)."""
    found = []
    for line in out.splitlines():
        label, numbers, *text = line.split("\t")
        pairs = [cell.split() for cell in numbers.split("  ")]
        found.append((label, {name: float(p) for name, p in pairs}, *text))
    return found


def test_sentences_are_answered_in_their_order_by_label_and_probabilities(run):
    texts = ["a good film!", "bad, bad plot", "the film was so bad"]
    balance(texts)
    ran = run("--with_text", *(word for text in texts for word in ("--sentence", text)))
    assert (ran.status, ran.err) == (0, "")
    found = answers(ran.out)
    assert [text for _, _, text in found] == texts
    assert len({label for label, *_ in found}) == 2
    for (label, numbers, _), p in zip(found, expected(texts)):
        assert [*numbers.values()] == sorted(numbers.values(), reverse=True)
        assert label == next(iter(numbers)) == ("negative", "positive")[p.argmax()]
        assert [numbers["negative"], numbers["positive"]] == pytest.approx(p.tolist(), abs=6e-5)
    assert answers(run("--sentence", texts[0]).out) == [found[0][:2]]


@pytest.mark.skipif(sys.platform == "win32", reason="select is for sockets only there")
def test_lines_of_a_pipe_are_answered_before_the_next_one_comes(run):
    command = [sys.executable, str(ROOT / "predict.py"), "--model", "tiny", "--device", "cpu", "--sentence", "-"]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(command, env=buffered, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for text in ("good", "a bad film"):
            process.stdin.write(f"{text}\n")
            process.stdin.flush()
            assert select.select([process.stdout], [], [], 120)[0], "no answer before the next line"
            ((_, numbers),) = answers(process.stdout.readline())
            p = expected([text])[0]
            assert [numbers["negative"], numbers["positive"]] == pytest.approx(p.tolist(), abs=6e-5)
        process.stdin.close()
        assert process.stdout.read() == ""
    assert process.returncode == 0


@pytest.mark.parametrize("flags", [(), ("--sentence", "-")])
def test_each_line_has_its_answer_also_those_that_hold_no_text(run, flags):
    data = b"\xef\xbb\xbfgood\r\n\n\xff\xfe\n a\x1b[2Jplot\tbad\nbad"
    command = [sys.executable, str(ROOT / "predict.py"), "--model", "tiny", "--device", "cpu", "--with_text"]
    done = subprocess.run([*command, *flags], input=data, capture_output=True)
    out, err = done.stdout.decode().split("\n"), done.stderr.decode().splitlines()
    assert done.returncode == 0
    assert [line.split("\t")[2:] for line in out] == [["good"], [], [], ["a\\x1b[2Jplot\\tbad"], ["bad"], []]
    assert err[-2:] == ["warning: line 2: empty text", "warning: line 3: not UTF-8 (byte 0xff in column 1)"]
    assert err[:-2] == [] if flags else err[0].startswith("the texts are read from the standard input")


def test_a_pipe_without_a_line_is_a_mistake(run):
    command = [sys.executable, str(ROOT / "predict.py"), "--model", "tiny", "--device", "cpu"]
    done = subprocess.run(command, input="", capture_output=True, text=True)
    assert done.returncode == 2
    assert "error: the standard input holds no line" in done.stderr
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 2
    assert "error: there is nothing to label" in done.stderr


def test_a_long_sentence_is_cut_and_a_line_too_long_to_hold_is_named(run, monkeypatch):
    ran = run("--sentence", "good " * 50)
    assert "warning: sentence 1 was longer than 40 tokens and was cut\n" in ran.err
    with pytest.warns(UserWarning, match="1 of 1"):
        p = expected(["good " * 50])[0].tolist()
    assert [answers(ran.out)[0][1][name] for name in ("negative", "positive")] == pytest.approx(p, abs=6e-5)
    monkeypatch.setattr(stream, "LONGEST", 20)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"bad " * 30 + b"\ngood\n"))))
    ran = run("--sentence", "-")
    assert ran.err == "warning: line 1: longer than 20 bytes\n"
    assert [bool(line) for line in ran.out.split("\n")] == [False, True, False]


# Any size


@pytest.mark.fault("tables: open quotes, ragged rows, NUL, odd encodings, nothing at all")
def test_memory_does_not_grow_with_the_file(answer, monkeypatch):
    monkeypatch.setattr(stream, "TEXTS", 32)
    monkeypatch.setattr(stream, "BLOCK", 2048)
    # What torch holds in passing comes and goes with Python's collector; it does not see more than a window.
    monkeypatch.setattr(classifier, "predict", lambda model, data, *_: torch.zeros(len(data), 2))

    def peak(form, size):
        texts = sentences(100) * (size // 100)
        if form == "table":
            write_table("new.txt", [["1", text] for text in texts])
        else:
            write("new.txt", texts)
        tracemalloc.start()
        run = ["--text", "new.txt", "--with_text", "--model", "tiny", "--device", "cpu"]
        predict.main(run)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert Path("new.txt.predictions.csv").read_text().count("\n") == size + 1
        return found

    for form in ("table", "lines"):
        peak(form, 100)
        small, large = peak(form, 200), peak(form, 5000)
        assert large - small < 20_000, f"{form}: {small} bytes for 200 texts, {large} for 5000"


def test_a_window_ends_at_a_number_of_characters_too(monkeypatch):
    monkeypatch.setattr(stream, "CHARACTERS", 10)
    texts = [stream.Row(at, at, text, None) for at, text in enumerate(("ab", "cd", "x" * 30, "e", "f" * 9, "g"), 1)]
    found = stream.windows(texts, bad=None)
    assert [[row.number for row in window] for window in found] == [[1, 2, 3], [4, 5], [6]]


@pytest.mark.fault("texts: empty, huge or with odd characters")
def test_a_line_of_ten_megabytes_harms_nobody(run):
    texts = ["good", "a bad film " * 900_000, "x" * 1_000_000, "x" * 1_000_000 + " good" * 50, "bad", "good " * 50]
    write("new.txt", texts)
    ran = run("--text", "new.txt")
    assert ran.status == 0
    assert "warning: 3 of 6 texts were longer than 40 tokens and were cut\n" in ran.err
    found = rows(Path("new.txt.predictions.csv").read_text())
    with pytest.warns(UserWarning, match="3 of 6"):
        wanted = expected(texts)
    assert numbers(found) == [1, 2, 3, 4, 5, 6]
    assert close(probabilities(found), wanted)


@pytest.mark.fault("texts: longer than the model reads")
@pytest.mark.parametrize("longest", [3, 7, 8, 9, 40])
def test_texts_are_cut_as_the_tokenizer_cuts_them(tokenizer, longest):
    texts = ["good " * words for words in (1, 5, 6, 7, 100)]
    encoded = TASKS["class"].encode(Examples("", "", texts), tokenizer, longest)
    found, cut = encoded.encoding, encoded.cut
    assert cut == sum(len(text.split()) > longest - 2 for text in texts)
    with pytest.warns(UserWarning, match=f"{cut} of 5"):
        assert found == tokenizer(texts, truncation=True, max_length=longest)


def test_of_a_long_text_no_more_is_split_than_is_read(tokenizer):
    for text in (
        "good " * 1000,
        "\u200b " * 600 + "bad " * 600,
        "x" * 3000,
        "x" * 3000 + " good bad" * 6000,
        ("x" * 55 + " ") * 99,
    ):
        cut = beginning(text, tokenizer, 10)
        assert tokenizer.text_to_ids(cut)[:11] == tokenizer.text_to_ids(text)[:11]
        assert len(cut) < 6500
    assert len(beginning("good " * 1000, tokenizer, 10)) < 600


def test_a_line_too_long_to_hold_is_reported(run, monkeypatch):
    monkeypatch.setattr(stream, "LONGEST", 1000)
    monkeypatch.setattr(stream, "BLOCK", 64)
    write("new.txt", ["good", "bad " * 1000, "x" * 1000])
    ran = run("--text", "new.txt", "--skip_bad_rows")
    assert "new.txt:2: longer than 1,000 bytes" in ran.err
    assert numbers(rows(Path("new.txt.predictions.csv").read_text())) == [1, 3]


@pytest.mark.fault("tables: a gzip file that unpacks to more than memory holds")
def test_a_line_too_long_to_hold_is_not_held(monkeypatch, tmp_path):
    monkeypatch.setattr(stream, "LONGEST", 1000)
    monkeypatch.setattr(stream, "BLOCK", 64)
    (tmp_path / "new.txt").write_text("x" * 100_000)
    tracemalloc.start()
    ((line, problem),) = stream.read_lines(tmp_path / "new.txt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (line, problem) == ("", "longer than 1,000 bytes")
    assert peak < 50_000


def test_a_quote_that_is_never_closed_costs_its_line_and_holds_no_file(run, monkeypatch):
    monkeypatch.setattr(stream, "LONGEST", 2000)
    held = []
    first_record = stream.table.first_record

    def counted(lines, delimiter):
        kept = []
        found = first_record((kept.append(line) or line for line in lines), delimiter)
        held.append(len(kept))
        return found

    monkeypatch.setattr(stream.table, "first_record", counted)
    Path("new.csv").write_text("id,text\n" + "1,good\n" * 5 + '2,"bad\n' + "3,good\n" * 500)
    ran = run("--text", "new.csv", "--skip_bad_rows")
    assert ran.err.count("new.csv:") == 2 and "new.csv:7: unbalanced quote" in ran.err
    found = numbers(rows(Path("new.csv.predictions.csv").read_text()))
    assert found == [*range(1, 6), *range(7, 507)]
    assert 10 < max(held) < 30


def test_what_an_open_quote_ran_over_is_read_by_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("new.csv").write_bytes(b'id,text\n1,"bad\n2,good\n3,\xe9\n4,good\n"5","one\ntwo"\n"6,bad\n"7","a\nb"\n')
    _, found = stream.read_rows("new.csv")
    assert [(row.line, (row.problem or row.text)[:9]) for row in found] == [
        *((2, "unbalance"), (3, "good"), (4, "not UTF-8"), (5, "good"), (6, "one\ntwo"), (8, "unbalance"), (9, "a\nb"))
    ]


# Parts of a file


def test_several_files_have_the_results_that_each_has_alone(run, monkeypatch):
    monkeypatch.setattr(stream, "TEXTS", 4)
    alone = {}
    for number, name in ((9, "a.txt"), (1, "b.txt"), (6, "c.txt")):
        write(name, sentences(number))
        assert run("--text", name, "--with_text").status == 0
        alone[name] = Path(f"{name}.predictions.csv").read_bytes()
        Path(f"{name}.predictions.csv").unlink()
    ran = run("--text", *alone, "--with_text")
    assert ran.status == 0 and ran.err.count("written to") == 3
    assert {name: Path(f"{name}.predictions.csv").read_bytes() for name in alone} == alone


def test_of_several_files_a_bad_one_is_named_and_the_others_have_their_results(run, monkeypatch):
    monkeypatch.setattr(stream, "TEXTS", 2)
    for name in ("a.txt", "c.txt"):
        write(name, sentences(3))
    Path("b.txt").write_bytes(b"good\nbad\ngood\n\xff\nbad\n")
    Path("empty.csv").write_text("id,text\n")
    ran = run("--text", "a.txt", "b.txt", "empty.csv", "c.txt")
    assert ran.status == 2 and "b.txt:4" in ran.err and "empty.csv: there are no rows" in ran.err
    assert ran.err.endswith("2 files of 4 without a result\n")
    assert sorted(path.name for path in Path().glob("*.predictions.csv*")) == [
        "a.txt.predictions.csv",
        "c.txt.predictions.csv",
    ]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["a.txt", "b.txt", "--out", "all.csv"], "--out is for one file"),
        (["a.txt", "-"], "--text - is for one file"),
        (["a.txt", "b.txt", "a.txt"], "a.txt is named twice"),
        (["a.txt", "missing.txt"], "missing.txt"),
        (["a.txt", "a.txt.predictions.csv"], "would overwrite what is read here"),
    ],
)
def test_what_does_not_go_with_several_files_is_refused_before_the_first(run, flags, said):
    for name in ("a.txt", "b.txt", "a.txt.predictions.csv"):
        write(name, ["good"])
    ran = run("--text", *flags)
    assert ran.status == 2 and said in ran.err
    assert Path("a.txt.predictions.csv").read_text() == "good\n"


@pytest.mark.fault("command line: several processes, one that dies or has less to do")
@pytest.mark.parametrize("parts", [1, 3, 7])
def test_the_shards_cover_every_row_once_and_say_what_the_whole_says(answer, parts):
    write("new.txt", sentences(5))
    whole = answer("--text", "new.txt")
    together = []
    for part in range(1, parts + 1):
        name = f"new.txt.predictions-{part}-of-{parts}.csv" if parts > 1 else "new.txt.predictions.csv"
        found = answer("--text", "new.txt", "--shard", f"{part}/{parts}", name=name)
        assert all((number - part) % parts == 0 for number in numbers(found))
        together += found
    together.sort(key=lambda row: int(row["row"]))
    assert numbers(together) == [1, 2, 3, 4, 5]
    assert [row["predicted"] for row in together] == [row["predicted"] for row in whole]
    assert close(probabilities(together), probabilities(whole))


def test_sort_puts_the_shards_together(answer):
    """The command in the docstring."""
    if shutil.which("sort") is None or "sort -nu FILE.predictions-*-of-8.csv > all.csv" not in predict.__doc__:
        pytest.skip("needs sort")
    write("new.txt", sentences(25))
    whole = answer("--text", "new.txt")
    for part in (1, 2):
        answer("--text", "new.txt", "--shard", f"{part}/2", name=f"new.txt.predictions-{part}-of-2.csv")
    subprocess.run("sort -nu new.txt.predictions-*-of-2.csv > all.csv", shell=True, check=True)
    together = rows(Path("all.csv").read_text())
    assert numbers(together) == list(range(1, 26)) == numbers(whole)
    assert close(probabilities(together), probabilities(whole))


def test_bad_rows_keep_their_number_in_every_shard(answer, run):
    write("new.txt", ["good", "", "bad", "good"])
    assert numbers(answer("--text", "new.txt", "--skip_bad_rows")) == [1, 3, 4]
    name = "new.txt.predictions-2-of-2.csv"
    assert numbers(answer("--text", "new.txt", "--skip_bad_rows", "--shard", "2/2", name=name)) == [4]
    assert run("--text", "new.txt", "--shard", "1/2").status == 0  # the empty line is not its row


# Bad rows


def test_every_row_is_used_or_reported(run):
    lines = [b"good", b"", b"b\xe4d", b"bad", b"b\0d", b"  ", b"good", b"", b" ", b""]
    Path("new.txt").write_bytes(b"\n".join(lines))
    ran = run("--text", "new.txt", "--skip_bad_rows")
    assert ran.status == 0
    assert numbers(rows(Path("new.txt.predictions.csv").read_text())) == [1, 4, 7]
    reported = [line for line in ran.err.splitlines() if line.startswith("  new.txt:")]
    assert [line.split(":")[1] for line in reported] == ["2", "3", "5", "6"]  # the empty lines at the end are no rows
    for word in ("empty line", "not UTF-8 (byte 0xe4 in column 2)", "NUL character in column 2", "new.txt: 4 bad rows"):
        assert word in ran.err
    assert ran.err.splitlines()[-2].endswith("; 4 left out")


@pytest.mark.fault("tables: open quotes, ragged rows, NUL, odd encodings, nothing at all")
def test_every_row_of_a_table_is_used_or_reported(run):
    lines = [
        b"id,text",
        b"1,good",
        b"2,good,bad",
        b"",
        b'3,"bad',
        b'bad"',
        b"4",
        b"5,",
        b'6,"b\xe4d',
        b'bad"',
        b"7,bad",
    ]
    Path("new.csv").write_bytes(b"\n".join([*lines, b'8,"bad', b"9,good", b'10,a "bad', b"", b""]))
    ran = run("--text", "new.csv", "--skip_bad_rows", "--with_text")
    found = rows(Path("new.csv.predictions.csv").read_text())
    assert [row["text"] for row in found] == ["good", "bad\nbad", "bad", "good"]
    assert numbers(found) == [1, 3, 7, 9]
    reported = [line.strip().split(": ") for line in ran.err.splitlines() if line.startswith("  new.csv:")]
    assert [(place.split(":")[1], *reason[0].split()[:1]) for place, *reason in reported] == [
        *[("3", "ragged"), ("7", "ragged"), ("8", "empty"), ("9", "not"), ("12", "unbalanced"), ("14", "unbalanced")]
    ]


def test_bad_rows_stop_the_run_where_they_stand(refused, monkeypatch):
    monkeypatch.setattr(stream, "TEXTS", 2)
    write("new.txt", ["good", "bad", "good", "", "good", "bad", "", "bad"])
    err = refused("--text", "new.txt")
    assert "new.txt:4: empty line" in err and "--skip_bad_rows" in err


def test_of_many_bad_rows_the_first_twenty_are_listed(refused):
    write("new.txt", [""] * 50 + ["good"])
    err = refused("--text", "new.txt")
    assert "new.txt: 50 bad rows" in err and err.count("empty line") == 20 and "... and 30 more" in err


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--text", "nwe.txt"], "there is no file nwe.txt; did you mean new.txt?"),
        (["--text", "tiny"], "tiny is a folder"),
        (["--text", "empty.txt"], "empty.txt: the file is empty"),
        (["--text", "half.gz"], "half.gz: cannot be read"),
        (["--text", "utf16.txt"], "utf16.txt: the file is not UTF-16 throughout"),
        (["--text", "new.csv", "--text_column", "tweet"], "no column tweet; the columns are 'id', 'text'"),
        (["--text", "bad.csv"], "bad.csv:1: the header cannot be read"),
        (["--text", "new.txt", "--out", "new.txt"], "would overwrite"),
        (["--text", "new.txt", "--out", "./tiny/../new.txt"], "would overwrite"),
        (["--text", "out.csv.new", "--out", "out.csv"], "would overwrite"),
        (["--text", "new.txt", "--out", "tiny/config.json"], "would overwrite"),
        (["--text", "new.txt", "--out", "tiny"], "tiny is a folder"),
        (["--text", "new.txt", "--out", "new.csv/x.csv"], "new.csv/x.csv: cannot be written"),
        *((["--text", "new.txt", "--shard", part], "such as 2/8") for part in ("0/2", "3/2", "2", "1/0", "a/b")),
        (["--text", "new.txt", "--precision", "int8", "--device", "cuda"], "int8 is for a CPU"),
        (["--text", "new.txt", "--max_length", "2"], "3 or more"),
        (["--text", "new.txt", "--model", "./nothing"], "nothing"),
        ([], "there is nothing to label: give --sentence TEXT or --text FILE"),
        (["--sentence", "good", "--text", "new.txt"], "--sentence and --text are two questions"),
        (["--sentence", "-", "--sentence", "good"], "leave the others out"),
        (["--sentence", " \u200b"], "holds no text"),
        (["--sentence", ""], "--sentence is empty"),
        *(
            (["--sentence", "good", flag, *value], f"for a file of texts, --text FILE: {flag}\n")
            for flag, *value in (
                ("--out", "x.csv"),
                ("--shard", "1/2"),
                ("--excel_safe",),
                ("--skip_bad_rows",),
                ("--format", "lines"),
                ("--text_column", "text"),
                ("--no_header",),
                ("--encoding", "cp1252"),
                ("--quoting", "none"),
            )
        ),
        (["--sentence", "good", "--model", "runs/mine"], "there is no folder runs/mine; did you mean runs/mine2?"),
        (["--sentence", "good", "--model", "runs/x"], "there is no folder runs/x; train a classifier first: "),
        (["--sentence", "good", "--model", "runs/mine2"], "stopped before it had a classifier; finish it first: "),
        (["--sentence", "good", "--model", "runs"], "runs holds no config.json"),
    ],
)
def test_a_mistake_is_answered_before_the_model_is_loaded(refused, monkeypatch, arguments, said):
    monkeypatch.setattr(predict, "load_model", None)
    for name in ("new.txt", "out.csv.new"):
        write(name, ["good"])
    write_table("new.csv", TABLE)
    Path("bad.csv").write_text('id,"text\n1,good\n')
    Path("half.gz").write_bytes(gzip.compress(b"good\n" * 100)[:-12])
    Path("utf16.txt").write_bytes("good".encode("utf-16")[:-1])
    Path("empty.txt").write_text("\n\n")
    Path("runs/mine2").mkdir(parents=True)
    Path("runs/mine2/state.safetensors").touch()
    assert said in (err := refused(*arguments))
    assert err.count("\n") == 1


def test_a_gzip_file_that_breaks_off_leaves_no_result(refused, monkeypatch):
    monkeypatch.setattr(stream, "TEXTS", 2)
    monkeypatch.setattr(stream, "BLOCK", 512)
    rng = random.Random(0)
    data = gzip.compress("".join(f"{rng.random()}\n" for _ in range(2000)).encode())
    Path("new.gz").write_bytes(data[: len(data) // 8])
    assert "new.gz: cannot be read" in refused("--text", "new.gz")


@pytest.mark.fault("weights: tensors missing, left over, misshapen or under other names")
def test_a_model_without_a_trained_classifier_is_refused(refused, tiny, tokenizer):
    BertModel(tiny).save_pretrained("plain")
    tokenizer.save_pretrained("plain")
    write("new.txt", ["good"])
    err = refused("--text", "new.txt", model="plain")
    assert "plain has no trained classifier" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "content", ["1 ||| good\n0 ||| bad\n", "good\t1\nbad\t0\n", "__label__1 good\n__label__0 bad\n"]
)
def test_of_texts_with_labels_the_texts_are_read(answer, content):
    Path("new.txt").write_text(content)
    assert [row["text"] for row in answer("--text", "new.txt", "--with_text")] == ["good", "bad"]


def test_json_is_read(answer):
    Path("new.jsonl").write_text('{"text": "good", "label": 1}\n{"text": "bad", "label": 0}\n')
    found = answer("--text", "new.jsonl", "--with_text", name="new.jsonl.predictions.csv")
    assert [row["text"] for row in found] == ["good", "bad"]


@pytest.mark.fault("tables: files of another form, or under another form's name")
def test_a_table_of_unknown_columns_is_refused_whatever_its_name(run):
    Path("new.txt").write_text("SentimentText;Sentiment\nI loved it;1\nSo bad;0\nNice;1\n")
    ran = run("--text", "new.txt")
    assert ran.status == 2 and "the columns are 'SentimentText', 'Sentiment'" in ran.err
    assert not Path("new.txt.predictions.csv").exists()


@pytest.mark.fault("saving: Ctrl-C, or a signal to end")
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_run_that_is_stopped_leaves_no_result_and_an_old_one_as_it_was(run, monkeypatch, error):
    monkeypatch.setattr(stream, "TEXTS", 2)
    write("new.txt", sentences(10))
    Path("out.csv").write_text("old")
    found, seen = classifier.predict, []

    def stopped(*arguments):
        seen.append(Path("out.csv.new").exists())
        if len(seen) == 3:
            raise error
        return found(*arguments)

    monkeypatch.setattr(classifier, "predict", stopped)
    assert run("--text", "new.txt", "--out", "out.csv").status == (130 if error is KeyboardInterrupt else 2)
    assert seen == [True, True, True]
    assert Path("out.csv").read_text() == "old" and not Path("out.csv.new").exists()


@pytest.mark.parametrize("content", ["\n" * 50, "id,text\n", "id,text\n\n\n"])
def test_a_file_without_rows_is_named_and_leaves_no_result(run, content):
    Path("none.csv").write_text(content)
    ran = run("--text", "none.csv", "--out", "out.csv")
    assert (ran.status, ran.out) == (2, "") and "there are no rows to label" in ran.err
    assert not Path("out.csv").exists()


def test_a_file_of_bad_rows_alone_is_named(run):
    Path("bad.txt").write_bytes(b"\xe4\n\xe4\n")
    ran = run("--text", "bad.txt", "--skip_bad_rows")
    assert ran.status == 2 and "2 bad rows" in ran.err and "No row is left" in ran.err


# The plain way


@pytest.mark.parametrize(("flags", "called"), [([], 1), (["--plain"], 0)])
def test_the_model_is_prepared_for_reading(flags, called, answer, monkeypatch):
    prepared, for_reading = [], fast.for_reading
    monkeypatch.setattr(fast, "for_reading", lambda model: prepared.append(type(model)) or for_reading(model))
    write("new.txt", sentences(3))
    answer("--text", "new.txt", *flags)
    assert prepared == [fast.twin_of(BertSentClassifier)] * called


def test_plain_computes_the_written_out_way_and_says_the_same(answer, monkeypatch):
    write("new.txt", sentences(20))
    seen = []
    real = classifier.predict
    monkeypatch.setattr(classifier, "predict", lambda model, *rest: seen.append(type(model)) or real(model, *rest))
    fast_way, plain_way = answer("--text", "new.txt"), answer("--text", "new.txt", "--plain")
    assert seen == [fast.TWINS[BertSentClassifier], BertSentClassifier]
    for one, other in zip(fast_way, plain_way, strict=True):
        assert one["predicted"] == other["predicted"]
        assert float(one["p_positive"]) == pytest.approx(float(other["p_positive"]), abs=1e-5)


def test_plain_and_int8_contradict_each_other(refused):
    write("new.txt", ["good"])
    refused("--text", "new.txt", "--plain", "--precision", "int8")


def change_config(**values):
    path = Path("tiny", "config.json")
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def test_a_classifier_that_finds_no_class_of_a_text_labels_none(refused):
    write("new.txt", ["the film"])
    change_config(problem_type="regression")
    err = refused("--text", "new.txt")
    assert "tiny: its classifier gives a score, not a class (problem_type regression): no label can be predicted" in err


def test_what_is_said_of_a_model_is_said_once(run, tiny):
    write("new.txt", ["the film"])
    assert run("--text", "new.txt").err.count("note: ") == 0
    model = BertSentClassifier(tiny.change(vocab_size=32, labels=("negative", "positive")))
    model.save_pretrained("tiny")
    change_config(alibi=True)
    err = run("--text", "new.txt").err
    sizes = f"vocab.txt has {len(VOCAB)} tokens, but the model has vectors for 32: the last ones are not used"
    assert err.count(f"note: tiny: {sizes}\n") == 1
    assert err.count("in config.json, unknown and not used: alibi") == 1
