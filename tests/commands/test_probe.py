"""The command line of probing from end to end, on a tiny random model: every table, every flag, every mistake."""

import json
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from minbert import BertModel, BertTokenizer, fast, probing
from minbert.commands import common, probe
from minbert.heads import BertForMaskedLM
from tests.conftest import ROOT, VOCAB

WORDS = ["positive", "negative", "this", "movie", "review", "is", "it"]
READOUTS = list(probing.READOUTS)


class Ran(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def place(tiny, tiny_folder, tmp_path, monkeypatch):
    """A working directory with checkpoints/tiny, which is the default model; classifier/ has no masked-LM head."""
    monkeypatch.chdir(tmp_path)
    tiny_folder.rename("classifier")
    torch.manual_seed(0)
    vocab = VOCAB + WORDS
    BertForMaskedLM(tiny.change(vocab_size=len(vocab), initializer_range=0.6)).save_pretrained("checkpoints/tiny")
    BertTokenizer(vocab).save_pretrained("checkpoints/tiny")


@pytest.fixture
def run(place, monkeypatch, capsys):
    """run("--fill", "a [MASK]") -> Ran: what the program answers to this command line."""
    level = logging.getLogger("minbert").level

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["probe_lm.py", *arguments])
        status = common.run(probe.main)
        return Ran(status, *capsys.readouterr())

    yield run
    assert logging.getLogger("minbert").level == level


@pytest.fixture
def said(run):
    """What a run that ends well prints; no line is wider than a terminal, unless a text is."""

    def said(*arguments):
        ran = run(*arguments)
        assert (ran.status, ran.err) == (0, "")
        assert max(map(len, ran.out.splitlines())) <= 100
        return ran.out

    return said


@pytest.fixture
def found(run):
    """What a run says with --json, which must be JSON in the strict sense."""

    def found(*arguments):
        ran = run("--json", *arguments)
        assert (ran.status, ran.err) == (0, "")
        return json.loads(ran.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    return found


@pytest.fixture
def model(place):
    model = fast.swap_in(BertForMaskedLM.from_pretrained("checkpoints/tiny"))  # as the command computes
    return model, BertTokenizer.from_pretrained("checkpoints/tiny")


def next_word(model, tokenizer, *asked, **options):
    """As probing.next_word, but at a hidden token by the plain way, as the command: the fast way leaves it out."""
    rows = probing.next_word(model, tokenizer, *asked, **options)
    plain = probing.next_word(fast.swap_out(model), tokenizer, *asked, **options)
    fast.swap_in(model)
    return [theirs if probing.READOUTS[row["readout"]].hide_sep else row for row, theirs in zip(rows, plain)]


def pipe(text, *arguments):
    """The program as a process, with this text sent to it."""
    command = [sys.executable, str(ROOT / "probe_lm.py"), *arguments]
    return subprocess.run(command, input=text.encode(), capture_output=True, check=False)


# The next word


def test_without_arguments_the_battery_is_asked_by_all_five_readouts(found, model):
    """Its figures are the library's; five texts from very positive to very negative, and one off topic."""
    asked = found()
    assert asked["model"] == "tiny" and asked["words"] == ["positive", "negative"]
    assert [row["readout"] for row in asked["rows"]] == READOUTS * 5
    kinds = ["very positive", "rather positive", "rather negative", "very negative", "off topic"]
    assert [row["kind"] for row in asked["rows"][::5]] == kinds
    assert [row["right"] for row in asked["rows"][::5]] == ["positive", "positive", "negative", "negative", "positive"]
    for number, (_, text, _) in enumerate(probe.BATTERY):
        rows = next_word(*model, text, ["positive", "negative"], "{} This movie review is")
        for row, expected in zip(asked["rows"][5 * number : 5 * number + 5], rows, strict=True):
            assert row.items() >= expected.items() and (row["number"], row["text"]) == (number + 1, text)


def test_the_battery_as_a_table(said, found):
    out = said()
    for _, text, _ in probe.BATTERY:
        assert text in out
    for row in found()["rows"]:
        block = out[out.index(f"\n{row['readout']}: ") :]
        cells = next(line for line in block.splitlines() if line.split()[:1] == [str(row["number"])] and "." in line)
        cells = cells.split()
        assert [float(cell) for cell in cells[1:4]] == pytest.approx([*row["p"].values(), row["ratio"]], rel=6e-3)
        share = row["corrected"][row["corrected_label"]]
        assert cells[4:] == [row["label"], row["corrected_label"], f"{share:.2f}"]
        none = next(line.split() for line in block.splitlines() if line.split()[:1] == ["none"] and "." in line)
        prior = [*row["prior"].values(), row["prior_ratio"]]
        assert [float(cell) for cell in none[1:4]] == pytest.approx(prior, rel=6e-3)


def test_the_conclusions_are_counted(found, said):
    """Recounted from the rows, in numbers and in words."""
    asked, out = found(), said().partition("what to conclude")[2]
    changed = 0
    for conclusion in asked["conclusions"]:
        rows = [row for row in asked["rows"] if row["readout"] == conclusion["readout"]]
        right = [row["label"] == row["right"] for row in rows]
        corrected = [row["corrected_label"] == row["right"] for row in rows]
        ratios = [row["ratio"] for row in rows[:4]]
        order = sum(ratios[i] > ratios[j] for i in range(4) for j in range(i + 1, 4))
        assert conclusion["answers"] == 5 and conclusion["pairs"] == 6
        assert (conclusion["right"], conclusion["corrected_right"]) == (sum(right), sum(corrected))
        assert conclusion["in_order"] == order
        line = next(line for line in out.splitlines() if line.strip().startswith(f"{conclusion['readout']}  "))
        assert re.findall(r"(\d) of", line) == [str(sum(right)), str(sum(corrected)), str(order)]
        changed += sum(row["label"] != row["corrected_label"] for row in rows)
    assert f"without a text changes {changed} of 25 answers" in out
    assert "never trained to name a word there" in out
    assert "Guessing gets 2.5 of 5 right" in out


def test_conclusions_of_made_up_answers():
    """Right ones as read and corrected, and pairs within one wording only: (4 choose 2) for each of two."""
    labels = {"very positive": "ab", "rather positive": "ba", "rather negative": "aa", "very negative": "bb"}
    ratios = {"very positive": 4.0, "rather positive": 1.0, "rather negative": 2.0, "very negative": 0.5}
    rows = [
        {"readout": "x", "prompt": prompt, "kind": kind, "ratio": factor * ratios[kind]}
        | {"label": as_read, "corrected_label": corrected, "right": "a" if "positive" in kind else "b"}
        for kind, (as_read, corrected) in labels.items()
        for prompt, factor in (("one", 1.0), ("two", 100.0))
    ]
    assert probe.conclude([*rows, {"readout": "y"}], "x") == {
        **{"readout": "x", "answers": 8, "labels": {"a": 4, "b": 4}, "corrected": {"a": 4, "b": 4}, "changed": 4},
        **{"right": 4, "corrected_right": 4, "in_order": 10, "pairs": 12},
    }
    rows[0]["corrected_label"] = "a"
    conclusion = probe.conclude(rows, "x")
    assert (conclusion["right"], conclusion["corrected_right"], conclusion["changed"]) == (4, 5, 3)


def test_a_readout_that_always_says_the_same_is_named(said):
    out = " ".join(said("--words", "good", "bad", "--sentence", "a", "--sentence", "a").split())
    assert f"the same answer whatever the text: {READOUTS[0]} (" in out
    assert "whatever the text" not in said("--sentence", "a")


def test_ones_own_texts_words_and_wordings(found, said, model):
    arguments = ["--sentence", "good, good", "--sentence", "a bad plot", "--words", "good", "wonderful", "bad"]
    arguments += ["--prompt", "{} it is", "--prompt", "it is {}, the film was"]
    asked = found(*arguments)
    rows = []
    for text in ("good, good", "a bad plot"):
        for prompt in ("{} it is", "it is {}, the film was"):
            rows += next_word(*model, text, ["good", "wonderful", "bad"], prompt)
    assert [{name: row[name] for name in rows[0]} for row in asked["rows"]] == rows
    assert "right" not in asked["conclusions"][0] and asked["conclusions"][0]["answers"] == 4
    out = said(*arguments)
    assert "   a  {} it is\n   b  it is {}, the film was\n" in out
    assert re.findall(r"^  (\d[ab]|none [ab])  ", out, re.M) == ["1a", "1b", "2a", "2b", "none a", "none b"] * 5
    assert "Guessing" not in out and "of 20 answers" in out


@pytest.mark.parametrize(
    ("flags", "readouts"),
    [
        (["--mask_sep"], READOUTS[:2]),
        (["--mask-sep"], READOUTS[:2]),
        (["--causal"], [READOUTS[2], READOUTS[4]]),
        (["--causal", "--mask_sep"], [*READOUTS[:3], READOUTS[4]]),
    ],
)
def test_flags_choose_the_readouts(found, said, flags, readouts):
    asked = found("--sentence", "a film", *flags)
    assert [row["readout"] for row in asked["rows"]] == readouts
    assert ("trained to name a word" in said("--sentence", "a film", *flags)) == (READOUTS[0] in readouts)


def test_top_lists_the_most_probable_tokens_of_each_readout(found, said, model):
    asked = found("--sentence", "a film", "--top", "3")
    for row, expected in zip(asked["rows"], next_word(*model, "a film", ["positive", "negative"], top=3)):
        assert row["top"] == expected["top"] and len(row["top"]) == 3
    out = said("--sentence", "a film", "--top", "3")
    first = asked["rows"][0]["top"]
    (line,) = (line for line in out.splitlines() if f"{first[0]['token']} {first[0]['score']:.3g}  " in line)
    assert float(line.split()[-1]) == pytest.approx(sum(best["score"] for best in first), rel=6e-3)


# Where texts come from


def test_a_file_has_a_text_on_each_line(found, place):
    Path("texts.txt").write_bytes("﻿a film\r\n\r\n  göod plot \n".encode())
    assert [row["text"] for row in found("--file", "texts.txt", "--mask_sep")["rows"][::2]] == ["a film", "göod plot"]
    both = found("--sentence", "bad", "--file", "texts.txt", "--mask_sep")["rows"][::2]
    assert [row["text"] for row in both] == ["bad", "a film", "göod plot"]


@pytest.mark.parametrize("arguments", [[], ["--file", "-"]])
def test_what_is_piped_in_is_asked_about(place, arguments):
    done = pipe("a film\ngood plot\n", "--json", "--mask_sep", *arguments)
    assert done.returncode == 0, done.stderr
    assert [row["text"] for row in json.loads(done.stdout)["rows"]] == ["a film", "a film", "good plot", "good plot"]


def test_a_silent_pipe_is_not_waited_for(place):
    """As a service or a test runner leaves it open; and an empty one means no texts."""
    command = [sys.executable, str(ROOT / "probe_lm.py"), "--mask_sep"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.wait(timeout=60) == 0
        assert b"very negative" in process.stdout.read()
    assert b"very negative" in pipe("", "--mask_sep").stdout


def test_a_reader_who_leaves_early_is_no_error(place):
    command = f"{sys.executable} {ROOT / 'probe_lm.py'} --top 5 </dev/null | true"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


# Fill, compare, attention


def test_fill(found, said, model):
    text = "The [MASK] is good."
    assert found("--fill", text)["masks"] == [probing.fill_mask(*model, text)]
    assert len(found("--fill", text, "--top", "2")["masks"][0]) == 2
    for line, row in zip(said("--fill", text).splitlines()[2:], probing.fill_mask(*model, text), strict=True):
        assert line.split()[1:] == [str(row["id"]), row["token"], *row["sequence"].split()]
        assert float(line.split()[0]) == pytest.approx(row["score"], rel=1e-3)


def test_fill_with_targets_and_several_masks(found, said, model):
    arguments = ["--fill", "a [MASK] film is [MASK]", "--targets", "wonderful", "good"]
    assert found(*arguments)["masks"] == probing.fill_mask(*model, arguments[1], targets=["wonderful", "good"])
    assert said(*arguments).count("a wonderful film is [MASK]") == 1


def test_compare(found, said, model):
    texts = ["the film was wonderful", "the film was good"]
    asked, expected = found("--compare", *texts), probing.compare(*model, *texts)
    whole = probing.compare(*model, *texts, whole_words=True)
    assert asked["scores"] == expected["scores"] and asked["whole_words"]["scores"] == whole["scores"]
    assert asked["rows"] == json.loads(json.dumps(expected["rows"]))
    out = said("--compare", *texts)
    assert f"likelier: {texts[expected['preferred']]}\n" in out
    assert "later pieces masked too: {:.1f} and {:.1f}".format(*whole["scores"]) in out
    assert "pieces" not in said("--compare", "a good film", "a bad film")


def test_words_that_the_vocabulary_cannot_spell_are_named(run):
    """The model reads [UNK] in their place, and answers about nothing."""
    unknown = ["电影", "好", "הסרט", "Фильм", "👩\u200d👦", "उर्दू"]
    for arguments in (["--fill", " ".join([*unknown, "[MASK]"])], ["--sentence", " ".join(unknown)]):
        ran = run("--json", *arguments)
        said = "tiny cannot spell '电', '影', '好', 'הסרט', 'фильм' and 2 more: it reads [UNK] there"
        assert (ran.status, ran.err) == (0, f"warning: {said}\n")
    assert (
        run("--prompt", "{} 好", "--sentence", "good").err == "warning: tiny cannot spell '好': it reads [UNK] there\n"
    )


def test_the_same_sentence_twice_is_equally_likely(said):
    assert "\nequally likely\n" in said("--compare", "the film was good", "The film was good")


def test_show_attention(found, said, model):
    arguments = ["--show", "attention", "--sentence", "a good film", "--layer", "1", "--head", "2", "--causal"]
    (one,) = found(*arguments)["attention"]
    expected = probing.attention_tables(*model, "a good film", 1, 2, causal=True)
    assert one["tokens"] == expected["tokens"]
    for name in ("padding_mask", "causal_mask", "probabilities"):
        assert one[name] == expected[name].tolist()
    hidden = [[score is None for score in row] for row in one["scores"]]
    assert hidden == (expected["scores"] == -torch.inf).tolist()
    out = said(*arguments)
    rows = [line.split() for line in out.partition("probabilities of layer 1, head 2")[2].splitlines()[2:]]
    assert [row[0] for row in rows] == expected["tokens"]
    assert [row[-1] for row in rows] == ["1.000"] * 6
    for row, numbers in zip(rows, expected["probabilities"].tolist()):
        assert [float(cell) for cell in row[1:-1]] == pytest.approx(numbers, abs=0.0051)
    assert out.count("-inf") == sum(map(sum, hidden))
    assert "not used here" not in out and "not used here" in said("--show", "attention", "--sentence", "a")


def test_wide_tables_are_cut_into_blocks(said):
    out = said("--show", "attention", "--sentence", "wonderful " * 6)
    assert out.partition("probabilities of")[2].count("\n  [CLS]  ") == 2


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["--words", "good", "zebra"], "the model's vocabulary cannot spell 'zebra': choose another word"),
        (["--words", "good"], "--words needs two words or more"),
        (["--words", "good", "Good"], "that differ in the model's vocabulary, not good, Good"),
        (["--words", "good", ""], "--words is empty"),
        (["--prompt", "it is"], "the prompt 'it is' needs one {}, for the text"),
        (["--prompt", "{} it is [MASK]"], "no [MASK]: the word comes last"),
        (["--sentence", "good " * 40], "44 tokens, but the model reads at most 38: shorten the text"),
        (["--sentence", ""], "--sentence is empty"),
        (["--fill", "a mask"], "the text has no [MASK]: write one"),
        (["--fill", ""], "--fill is empty"),
        (["--fill", "a [MASK]", "--targets", "zebra"], "cannot spell 'zebra'"),
        (["--fill", "a [MASK]", "--sentence", "a"], "--sentence does not go with --fill: leave it out"),
        (["--fill", "a [MASK]", "--compare", "a", "a"], "--fill and --compare: one at a time"),
        (["--targets", "good"], "--targets goes with --fill: add that, or leave it out"),
        (["--layer", "1"], "--layer goes with --show: add that, or leave it out"),
        (["--compare", "a film", "a zebra"], "cannot spell 'zebra'"),
        (["--show", "attention", "--layer", "2"], "layers are 0 to 1, heads 0 to 2"),
        (["--show", "attention", "--head", "-1"], "--head: -1 is not 0 or more"),
        (["--show", "tension"], "'tension' (choose from"),
        (["--top", "0"], "--top: 0 is not 1 or more"),
        (["--file", "txets.txt"], "there is no file txets.txt; did you mean texts.txt?"),
        (["--file", "checkpoints"], "checkpoints is a folder"),
        (["--file", "blank.txt"], "blank.txt: the file is empty"),
        (["--file", "latin.txt"], "latin.txt:2: not UTF-8"),
        (["--model", "classifier"], "classifier has no masked-LM head"),
        (["--model", "tinny"], "there is no model tinny"),
        (["--sentense", "a"], "did you mean --sentence?"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_mistake_is_answered_by_one_line(run, arguments, answer):
    Path("texts.txt").write_text("a film\n")
    Path("blank.txt").write_text("\n \n")
    Path("latin.txt").write_bytes(b"a film\ncaf\xe9\n")
    ran = run(*arguments)
    assert ran.status == 2 and ran.out == ""
    assert ran.err.startswith("error: ") and ran.err.count("\n") == 1
    assert answer in ran.err


def test_a_vocabulary_larger_than_the_model(run):
    with open("checkpoints/tiny/vocab.txt", "a") as stream:
        stream.write("extra\n")
    ran = run()
    assert ran.status == 2 and "tokens, but the model has vectors for" in ran.err


def test_the_exit_status_of_the_program(place):
    assert pipe("", "--fill", "a film").returncode == 2
    done = pipe("", "--help")
    assert done.returncode == 0 and b"exit status" in done.stdout.lower()


def test_plain_computes_the_written_out_way_and_says_the_same(found, monkeypatch):
    seen = []
    real = probing.fill_mask
    monkeypatch.setattr(probing, "fill_mask", lambda model, *rest: seen.append(type(model.bert)) or real(model, *rest))
    fast_way, plain_way = (found("--fill", "a [MASK]", *flags) for flags in ((), ("--plain",)))
    assert seen == [fast.TWINS[BertModel], BertModel]
    for one, other in zip(fast_way["masks"][0], plain_way["masks"][0], strict=True):
        assert one["token"] == other["token"] and one["score"] == pytest.approx(other["score"], abs=1e-5)


def test_the_default_wording_is_that_of_the_library():
    assert probe.DEFAULT_PROMPT == probing.PROMPT
