"""minbert probe --endpoint from end to end, against a server on this machine: tables, JSON, mistakes, the key."""

import json
import math
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from minbert.__main__ import main
from minbert.commands import endpoint, probe
from minbert.completions import Answer, Step
from tests.conftest import ROOT
from tests.servers import Reply, chat, completion, failure, fleet

KEY = "sk-0123456789"
# What a server answers to the five built-in reviews: the ratios are at least 9, 2, below 0.5, 0.1, and 3.
ANSWERS = [
    completion("\n\nPositive.", {"\n\n": 0.5}, {"Pos": 0.8, " positive": 0.1, "neg": 0.06, "Negative": 0.04}),
    completion("Pos", {"Pos": 0.6, "Neg": 0.3, "\n": 0.1}),
    completion(" negative", {" negative": 0.6, "Neg": 0.2, "The": 0.1}),
    completion("Neg", {"Neg": 0.9, "pos": 0.09}),
    completion("positive", {"positive": 0.75, "negative": 0.25}),
]
RATIOS = [0.9 / 0.1, 0.6 / 0.3, None, 0.09 / 0.9, 0.75 / 0.25]


@pytest.fixture
def servers(monkeypatch):
    with fleet(monkeypatch) as start:
        yield start


@pytest.fixture
def ask(servers, monkeypatch, capsys):
    """ask(*replies, words=[...]) -> status, out, err, the server; waiting takes no time"""

    def ask(*replies, words=(), **routes):
        server = servers(**({"completions": list(replies)} if replies else {}), **routes)
        slept = []
        monkeypatch.setattr(endpoint.time, "sleep", slept.append)
        status = main(["probe", "--endpoint", server.url, "--endpoint_model", "some-model", *words])
        out, err = capsys.readouterr()
        assert "Traceback" not in err and KEY not in out + err
        return SimpleNamespace(status=status, out=out, err=err, server=server, slept=slept)

    return ask


def prompts(server):
    return [said["prompt"] for _, _, said in server.requests]


def test_the_built_in_reviews_as_json(ask):
    done = ask(*ANSWERS, words=["--json"])
    assert (done.status, done.err) == (0, "")
    asked = "{} This movie review is (positive/negative)?"
    assert prompts(done.server) == [asked.replace("{}", text) for _, text, _ in probe.BATTERY]
    assert {said["logprobs"] for _, _, said in done.server.requests} == {5}
    found = json.loads(done.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    rows = found.pop("rows")
    assert found == {
        **{"model": "some-model", "endpoint": done.server.url, "api": "completions", "questions": 5},
        **{"words": ["positive", "negative"]},
        "conclusion": {"answers": 5, "right": 5, "in_order": 5, "pairs": 6, "undecided": 1},
    }
    assert [(row["number"], row["kind"], row["text"]) for row in rows] == [
        (number, kind, text) for number, (kind, text, _) in enumerate(probe.BATTERY, 1)
    ]
    assert [row["label"] for row in rows] == ["positive", "positive", "negative", "negative", "positive"]
    for row, ratio in zip(rows, RATIOS, strict=True):
        assert row["ratio"] == (ratio and pytest.approx(ratio))
    first, _, third, *_ = rows
    assert first["p"] == {"positive": pytest.approx(0.9), "negative": pytest.approx(0.1)} and first["at"] == 1
    assert [best["token"] for best in first["top"]] == ["Pos", " positive", "neg", "Negative"]
    assert first["covered"] == pytest.approx(1) and first["answer"] == "\n\nPositive."
    assert first["log_p"] == pytest.approx(math.log(0.5) + math.log(0.8))  # of the whole answer
    assert third["p"] == {"positive": None, "negative": pytest.approx(0.8)} and third["below"] == pytest.approx(0.1)
    assert third["covered"] == pytest.approx(0.9)


def test_the_built_in_reviews_as_a_table(ask):
    done = ask(*ANSWERS)
    assert (done.status, done.err) == (0, "") and max(map(len, done.out.splitlines())) <= 100
    assert done.out.startswith(f"some-model at {done.server.url}, asked by /completions\n")
    for kind, text, _ in probe.BATTERY:
        assert f"  {kind}: {text}\n" in done.out
    lines = [re.split(r"\s{2,}", line.strip()) for line in done.out.splitlines()]
    at = lines.index(["text", "P(positive)", "P(negative)", "ratio", "label"])
    assert lines[at + 1 : at + 6] == [
        ["1", "90 %", "10 %", "9", "positive"],
        ["2", "60 %", "30 %", "2", "positive"],
        ["3", "below 10 %", "80 %", "below 0.125", "negative"],
        ["4", "9 %", "90 %", "0.1", "negative"],
        ["5", "75 %", "25 %", "3", "positive"],
    ]
    (first,) = (line for line in lines if line[:3] == ["1", "2.", "'Pos' 80 %"])
    assert first[3:] == ["' positive' 10 %", "'neg' 6 %", "'Negative' 4 %", "100 %", "-0.92"]
    assert ["1", r"'\n\nPositive.'"] in [[line[0], line[-1]] for line in lines]
    assert "right: 5 of 5; in order: 5 of 6 pairs, and 1 cannot be told\nGuessing gets 2.5 of 5 right" in done.out


def test_a_server_without_figures_shows_what_it_wrote(ask):
    answers = [chat("Positive!"), chat("well, it\x1b[31m is"), chat("negative"), chat("Negative"), chat("")]
    done = ask(chat=answers)
    assert done.status == 0 and "asked by /chat/completions" in done.out and "%" not in done.out
    assert "gives no log-probabilities here, so there are no figures" in done.out
    lines = [line.split() for line in done.out.splitlines()]
    assert ["1", "positive", "'Positive!'"] in lines and ["5", "?", "''"] in lines
    assert ["2", "?", *[r"'well,", r"it\x1b[31m", r"is'"]] in lines
    assert "right: 3 of 5\n" in done.out
    found = json.loads(ask(chat=answers, words=["--json"]).out)
    assert found["api"] == "chat" and found["rows"][0]["p"] == {"positive": None, "negative": None}
    assert found["rows"][0]["below"] is None and found["conclusion"]["pairs"] == 0


def test_ones_own_texts_words_and_wordings(ask, tmp_path):
    (tmp_path / "texts.csv").write_text('id,text\n1,"a {} film"\n2,dull\n')
    words = ["--file", str(tmp_path / "texts.csv"), "--sentence", "fine", "--words", "good", "Bad", "so-so"]
    done = ask(completion("bad", {" bad": 0.5, "good": 0.25}), words=[*words, "--top", "7", "--json"])
    assert prompts(done.server) == [
        f"{text} This movie review is (good/Bad/so-so)?" for text in ("fine", "a {} film", "dull")
    ]
    assert {said["logprobs"] for _, _, said in done.server.requests} == {7}
    found = json.loads(done.out)
    assert found["conclusion"] == {"answers": 3} and "right" not in found["rows"][0]
    assert found["rows"][0]["p"] == {"good": pytest.approx(0.25), "Bad": pytest.approx(0.5), "so-so": None}
    assert found["rows"][0]["label"] == "Bad" and found["rows"][0]["ratio"] is None
    done = ask(
        completion("a", {"a": 1.0}), words=["--sentence", "x", "--prompt", "{} It was", "--prompt", "Is '{}' good?"]
    )
    assert prompts(done.server) == ["x It was", "Is 'x' good?"]
    assert "\n   a  {} It was\n   b  Is '{}' good?\n" in done.out
    assert re.findall(r"^ +(1[ab]) +below 100 %  below 100 %  \? +none$", done.out, re.M) == ["1a", "1b"]
    assert "right" not in done.out


@pytest.mark.parametrize(
    ("tokens", "p"),
    [
        ({" Good": 0.5, "GOOD\n": 0.25, "▁good": 0.125}, {"good": 0.875}),
        ({"goo": 0.5, "go": 0.25}, {"good": 0.5}),  # three letters at least
        ({"goods": 0.5, "goody": 0.25}, {"goods": 0.5}),
        ({"Ġneg": 0.5}, {}),  # the beginning of two words
        ({"neg": 0.5, "negative": 0.25, "negat": 0.125, "negli": 0.0625}, {"negative": 0.375, "negligible": 0.0625}),
        ({"ok": 0.5, "o": 0.25}, {"ok": 0.5}),  # a short word needs all of its letters
        ({"": 0.5, " ": 0.25, "bad.": 0.125}, {}),
    ],
)
def test_which_tokens_count_for_a_word(tokens, p):
    words = ["good", "goods", "negative", "negligible", "ok", "bad"]
    if "goo" in tokens or "GOOD\n" in tokens:
        words.remove("goods")
    assert endpoint.share(list(tokens.items()), words) == dict.fromkeys(words) | p


def test_the_place_of_the_word():
    """The first token with a letter or a digit; the last one if there is none."""

    def place(*tokens):
        steps = [Step(token, -1.0, [(token, -1.0)]) for token in tokens]
        return endpoint.read(Answer("", steps), ["a", "b"], 5)["at"]

    assert place("a", "b") == 0 and place("\n", "**", "_", " '", "é", "x") == 4 and place("\n", "\n") == 1


def test_ratios_between_bounds():
    def row(*p, below=0.1):
        return {"p": dict(enumerate(p)), "below": below}

    assert endpoint.bounds(row(0.6, 0.2)) == (pytest.approx(3), pytest.approx(3))
    assert endpoint.bounds(row(0.6, None)) == (pytest.approx(6), math.inf)
    assert endpoint.bounds(row(None, 0.5, 0.2)) == (0, pytest.approx(0.2))
    assert endpoint.bounds(row(0.6, 0.2, None)) == (pytest.approx(3), pytest.approx(3))
    assert endpoint.bounds(row(None, None)) == (0, math.inf)
    cells = [endpoint.ratio(*pair) for pair in ((3.0, 3.0), (6.0, math.inf), (0.0, 0.2), (0.0, math.inf))]
    assert cells == ["3", "above 6", "below 0.2", "?"]


def test_conclusions_of_made_up_answers():
    """Pairs of one wording are in order, are not, are equal, or are left open by a bound; off topic counts for none."""
    kinds = ("very positive", "rather positive", "rather negative", "very negative", "off topic")

    def conclude(*ps, prompt="x"):
        rows = []
        for kind, p in zip(kinds, ps):
            row = {"kind": kind, "prompt": prompt, "right": "a", "label": "a", "p": dict(zip("ab", p)), "below": 0.1}
            rows.append(row if any(p) else row | {"below": None, "label": None})
        return endpoint.conclude(rows)

    ratios = [(0.9, 0.1), (0.6, None), (0.2, 0.8), (0.2, 0.8), (0.1, 0.9)]  # 9, above 6, 0.25, 0.25
    assert conclude(*ratios) == {"answers": 5, "right": 5, "in_order": 4, "pairs": 6, "undecided": 1}
    swapped = [(0.2, 0.8), (None, 0.2), (0.6, None), (0.6, 0.2)]  # 0.25, below 0.5, above 6, 3
    assert conclude(*swapped) == {"answers": 4, "right": 4, "in_order": 1, "pairs": 6, "undecided": 1}
    assert conclude(ratios[0], (None, None)) == {"answers": 2, "right": 1, "in_order": 0, "pairs": 0, "undecided": 0}


# The key


@pytest.mark.fault("servers: a key that is shown")
@pytest.mark.parametrize("variable", ["MINBERT_ENDPOINT_KEY", "OPENAI_API_KEY"])
def test_the_key_is_sent_and_never_shown(ask, monkeypatch, variable):
    """The fixture looks at what is printed."""
    monkeypatch.setenv(variable, KEY)
    for replies in ([completion(KEY, {KEY: 0.5, f" {KEY}": 0.2})], [failure(401, f"Incorrect API key: {KEY}")]):
        for words in ([], ["--json"]):
            done = ask(*replies, words=words)
            assert done.server.requests[0][1]["Authorization"] == f"Bearer {KEY}"
            assert "[key]" in done.out + done.err
    assert f"the server refuses the key in {variable} (401: 'Incorrect API key: [key]')" in done.err


def test_a_broken_key_is_refused_without_being_shown(ask, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY} \x07{KEY}")
    done = ask(*ANSWERS)
    assert done.status == 2 and "the key in OPENAI_API_KEY holds a space or another character" in done.err


def test_the_user_is_told_that_texts_and_key_leave_the_machine(servers, monkeypatch, capsys):
    """Not of a server on this machine: other tests look at that."""
    words = [
        "probe",
        "--endpoint_model",
        "m",
        "--endpoint_api",
        "chat",
        "--sentence",
        "a",
        "--sentence",
        "b",
        "--endpoint",
    ]
    seen = []
    monkeypatch.setattr(
        "minbert.endpoint.Endpoint.ask", lambda self, prompt, top: seen.append(prompt) or Answer("a", None)
    )
    assert main([*words, "http://example.com/v1"]) == 0
    assert capsys.readouterr().err == "note: the texts leave this machine, in 2 questions to example.com\n"
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert main([*words, "https://example.com:8443/v1", "--json"]) == 0
    told = "note: the texts leave this machine, in 2 questions to example.com:8443, with the key in OPENAI_API_KEY\n"
    assert capsys.readouterr().err == told and len(seen) == 4
    assert main([*words, "http://example.com/v1"]) == 2
    assert "unencrypted" in capsys.readouterr().err and len(seen) == 4


# Failures


def test_a_wait_is_shown(ask):
    done = ask(failure(429, "slow", (("Retry-After", "3"),)), *ANSWERS, words=["--json"])
    assert done.status == 0 and done.slept == [3] and len(json.loads(done.out)["rows"]) == 5
    assert re.fullmatch(r"note: .*429 Too Many Requests: 'slow'; waiting 3 s before try 2 of \d\n", done.err)


def test_what_came_before_a_failure_is_shown(ask):
    done = ask(*ANSWERS[:2], failure(400, "no more"), words=["--json"])
    assert done.status == 2
    assert re.fullmatch(r"error: question 3 of 5: http\S+: the server refuses this \(400: 'no more'\)\n", done.err)
    found = json.loads(done.out)
    assert found["questions"] == 5 and found["conclusion"]["answers"] == len(found["rows"]) == 2
    done = ask(*ANSWERS[:2], failure(400, "no more"))
    assert "right: 2 of 2" in done.out and "Guessing" not in done.out and done.err.startswith("error: question 3")


def test_a_failure_at_once_prints_nothing_else(ask):
    done = ask(Reply(200, "<html>"), words=["--sentence", "a"])
    assert (done.status, done.out) == (2, "")
    assert re.fullmatch(r"error: http\S+/v1/completions is a web page, not an API; .*\n", done.err)


@pytest.mark.fault("servers: Ctrl-C during a wait")
def test_ctrl_c_during_a_wait(ask, servers, monkeypatch, capsys):
    def stop(_):
        raise KeyboardInterrupt

    for replies, printed in (([Reply(503)], False), ([ANSWERS[0], Reply(503)], True)):
        server = servers(completions=list(replies))
        monkeypatch.setattr(endpoint.time, "sleep", stop)
        assert main(["probe", "--endpoint", server.url, "--endpoint_model", "m"]) == 130
        out, err = capsys.readouterr()
        assert err.endswith("\nstopped\n") and "Traceback" not in err and ("right: 1 of 1" in out) == printed


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--model", "tiny"], "--model does not go with --endpoint: leave it out"),
        (["--fill", "a [MASK]"], "--fill does not go with --endpoint"),
        (["--compare", "a", "b"], "--compare does not go with --endpoint"),
        (["--show", "attention", "--layer", "0"], "--show does not go with --endpoint"),
        (["--plain"], "--plain does not go with --endpoint"),
        (["--mask_sep"], "--mask_sep does not go with --endpoint"),
        (["--causal"], "--causal does not go with --endpoint"),
        (["--layer", "0"], "--layer goes with --show"),
        (["--words", "good"], "--words needs two words or more"),
        (["--words", "good", "Good"], "--words needs words that differ in more than upper case, not good, Good"),
        (["--prompt", "it is"], "the prompt 'it is' needs one {}, for the text"),
        (["--prompt", "{}{}"], "the prompt '{}{}' needs one {}, for the text"),
        (["--no_header"], "--no_header is for --file"),
        (["--file", "nowhere.csv"], "there is no file nowhere.csv"),
        (["--endpoint", "localhost"], "--endpoint is an address such as https://host/v1"),
        (["--endpoint_api", "chats"], "did you mean chat?"),
        (["--endpoint_timeout", "0"], "0 is not more than 0, and at most a day"),
        (["--endpoint_timeout", "nan"], "nan is not more than 0, and at most a day"),
        (["--endpoint_timeout", "86402"], "86402 is not more than 0, and at most a day"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_mistake_is_answered_by_one_line_and_nothing_is_sent(ask, words, answer):
    done = ask(*ANSWERS, words=words)
    assert (done.status, done.out) == (2, "") and done.err.startswith("error: ") and done.err.count("\n") == 1
    assert answer in done.err and done.server.requests == []


@pytest.mark.parametrize("flag", endpoint.FLAGS)
def test_a_flag_alone_says_what_is_missing(capsys, flag):
    value = {"endpoint_api": "chat", "endpoint_timeout": "5", "endpoint": "http://localhost:1"}.get(flag, "m")
    assert main(["probe", f"--{flag}", value]) == 2
    missing = "endpoint_model" if flag == "endpoint" else "endpoint"
    assert capsys.readouterr().err.endswith(f"needs --endpoint URL and --endpoint_model NAME: add --{missing}\n")


def test_no_torch_is_loaded(servers):
    """Nor is what is piped in forgotten."""
    server = servers(completions=[completion("positive", {"positive": 1.0})])
    code = "import sys; from minbert.__main__ import main; print(main(), 'torch' in sys.modules)"
    words = ["probe", "--endpoint", server.url, "--endpoint_model", "m"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=ROOT, input="fine\n", capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.endswith("\n0 False\n")
    assert prompts(server) == ["fine This movie review is (positive/negative)?"]
