"""minbert generate: what it shows, beside the library's own numbers, and what it refuses."""

import json
import math
import re
import sys

import pytest
import torch

from minbert import fast, generation
from minbert.__main__ import main
from minbert.commands import generate
from tests.families import tiny_gpt

PROMPT = "The film was"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(the folder of a model, the model, its tokenizer)"""
    folder = tmp_path_factory.mktemp("gpt2")
    return folder, *tiny_gpt.write(folder)


@pytest.fixture
def run(made, capsys):
    """run("--prompt", "x") -> exit status, standard output, standard error"""

    def run(*words):
        status = main(["generate", "--model", str(made[0]), *words])
        return status, *capsys.readouterr()

    return run


def in_a_terminal(monkeypatch):
    """The standard output is a terminal that has colours."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def ids_of(made, text):
    return made[2](text, add_special_tokens=False)["input_ids"]


def library(made, text=PROMPT, **settings):
    settings |= {"decode": made[2].decode, "end": made[2].eos_token_id}
    return generation.generate(made[1], ids_of(made, text), **settings)


def test_the_text_alone_is_printed(run, made):
    status, out, err = run("--prompt", PROMPT, "--max_tokens", "9")
    assert (status, out, err) == (0, library(made, max_tokens=9)[0].text + "\n", "ended by: the limit\n")


def test_the_twins_are_swapped_in_unless_the_plain_way_is_asked_for(run, monkeypatch):
    swapped, swap_in = [], fast.swap_in
    monkeypatch.setattr(fast, "swap_in", lambda model: swapped.append(model) or swap_in(model))
    asked = ("--prompt", PROMPT, "--max_tokens", "9", "--n", "2")
    plain = run(*asked, "--plain")
    assert not swapped
    assert run(*asked) == plain and plain[0] == 0
    assert len(swapped) == 1


def test_json_holds_the_numbers_of_the_library(run, made):
    words = "--n 3 --seed 7 --temperature 0.7 --top_p 0.9 --top_k 40 --repetition_penalty 1.2 --max_tokens 5 --top 2"
    status, out, err = run("--prompt", PROMPT, "--prompt", "a", *words.split(), "--json")
    assert (status, err) == (0, "")
    found = json.loads(out)
    settings = {"n": 3, "seed": 7, "temperature": 0.7, "top_p": 0.9, "top_k": 40, "repetition_penalty": 1.2, "top": 2}
    assert found["settings"] == settings | {"max_tokens": 5, "max_length": None, "stop": []}
    for text, prompt in zip([PROMPT, "a"], found["prompts"]):
        assert (prompt["prompt"], prompt["ids"]) == (text, ids_of(made, text))
        expected = library(made, text, max_tokens=5, **settings)
        for ours, theirs in zip(prompt["continuations"], expected):
            assert (ours["text"], ours["ended_by"]) == (theirs.text, theirs.finish)
            assert [token["id"] for token in ours["tokens"]] == theirs.ids
            assert ours["log_p"] == pytest.approx(sum(step.log_p for step in theirs.steps), abs=1e-4)
            for token, step in zip(ours["tokens"], theirs.steps):
                assert token["token"] == made[2].show(step.id)
                assert [one["id"] for one in token["top"]] == [id for id, _ in step.top]
                assert [one["p"] for one in token["top"]] == pytest.approx([p for _, p in step.top], abs=1e-5)


def test_the_table_is_the_playgrounds(run, made):
    status, out, err = run("--prompt", PROMPT, "--max_tokens", "2", "--show", "--temperature", "0.5", "--top_p", "0.8")
    assert (status, err) == (0, "")
    one = library(made, max_tokens=2, temperature=0.5, top_p=0.8)[0]
    lines = out.splitlines()
    assert lines[0] == f"{made[0]}: 36 tensors loaded" and out.splitlines()[1] == PROMPT + one.text
    for number, (line, step) in enumerate(zip(lines[3:], one.steps), 1):
        cells = [generate.written(made[2].show(id)) + f" {100 * p:.2f} %" for id, p in step.top]
        first = [f"{number}  {generate.written(made[2].show(step.id))}", f"{100 * math.exp(step.log_p):.2f} %"]
        assert re.split("  +", line.strip().replace(f"{number}  ", f"{number}@", 1))[1:] == [*first[1:], *cells]
    total, covered = (sum(getattr(step, name) for step in one.steps) for name in ("log_p", "coverage"))
    assert lines[-2] == (
        f"Total: {total:.2f} logprob on 2 tokens, {50 * covered:.2f} % of the probability within the top 5 "
        "(the model's own, before anything is cut)"
    )
    assert lines[-1] == "temperature 0.5, top-p 0.8, at most 2 tokens, seed 0; ended by: the limit"
    assert "\x1b" not in out


def test_a_terminal_gets_colours_unless_someone_has_no_color(run, made, monkeypatch):
    in_a_terminal(monkeypatch)
    words = ["--prompt", PROMPT, "--max_tokens", "6", "--show"]
    _, out, _ = run(*words)
    assert out.count("\x1b[30;48;5;") >= 6
    assert PROMPT + library(made, max_tokens=6)[0].text in re.sub(r"\x1b\[[\d;]*m", "", out)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in run(*words)[1]
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in run(*words)[1]


def test_the_colours_go_from_red_to_green():
    assert [generate.paint("x", p) for p in (0, 0.5, 1)] == [f"\x1b[30;48;5;{n}mx\x1b[0m" for n in (196, 226, 46)]
    assert generate.paint("\n", 0.5) == "\n"


def test_each_token_has_its_part_of_the_text(made):
    """Two tokens make one character: it goes to the second of them."""
    ids = ids_of(made, "a é\n")
    assert len(ids) == 5
    one = {"text": "a é\n", "tokens": [{"id": id, "log_p": 0.0} for id in ids]}
    assert [text for text, _ in generate.pieces(one, made[2])] == ["a", " ", "", "é", "\n"]
    one["text"] = "a "  # a stop string came
    assert [text for text, _ in generate.pieces(one, made[2])] == ["a", " ", "", "", ""]


def test_streaming_writes_the_same_text_and_no_half_character(run, made, monkeypatch):
    in_a_terminal(monkeypatch)
    shown = []
    monkeypatch.setattr("builtins.print", lambda *words, **more: shown.append((words, more)))
    status, _, _ = run("--prompt", PROMPT, "--max_tokens", "30", "--seed", "3")
    pieces = [words[0] for words, more in shown if more.get("end") == ""]
    assert status == 0 and "".join(pieces) == library(made, max_tokens=30, seed=3)[0].text
    assert len(pieces) == 30
    assert not any(piece.endswith(generation.HALF) for piece in pieces[:-1])


def test_what_may_become_a_stop_string_waits():
    assert generate.certain("so\n", ["\n\n"]) == "so"
    assert generate.certain("so it", ["itself", "tea"]) == "so "
    assert generate.certain("so it\ufffd", []) == "so it"
    assert generate.certain("so it", ["\n"]) == "so it"


def test_a_stop_string_ends_the_text(run, made):
    whole = library(made, max_tokens=20, seed=1)[0].text
    stop = next(char for char in whole[2:] if char.isascii() and char.isprintable() and char not in " -")
    status, out, err = run("--prompt", PROMPT, "--max_tokens", "20", "--seed", "1", f"--stop={stop}")
    assert (status, out, err) == (0, whole[: whole.index(stop)] + "\n", "ended by: a stop string\n")


def test_a_line_end_is_written_as_two_letters():
    assert [generate.unescape(text) for text in (r"\n\n", r"a\tb", r"\\n", r"\x")] == ["\n\n", "a\tb", r"\n", r"\x"]


def test_prompts_from_a_file_and_their_place_in_another(run, made, tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_text("The film\n\na\n" + "x" * 30 + "\n")
    status, out, _ = run("--file", str(path), "--prompt", "{} was", "--max_tokens", "3", "--json")
    found = json.loads(out)["prompts"]
    assert status == 0 and [one["prompt"] for one in found] == ["The film was", "a was", "x" * 30 + " was"]
    for one in found:
        assert one["continuations"][0]["text"] == library(made, one["prompt"], max_tokens=3)[0].text
    status, out, _ = run("--file", str(path), "--max_tokens", "3", "--n", "2")
    assert re.findall("^-- prompt (.), continuation (.)$", out, re.MULTILINE)[:3] == [
        ("1", "1"),
        ("1", "2"),
        ("2", "1"),
    ]


def test_max_length_counts_the_prompt_and_says_so(run, made):
    status, out, err = run("--prompt", PROMPT, "--prompt", "a", "--max_length", "10", "--json")
    found = json.loads(out)["prompts"]
    assert [len(one["ids"]) + len(one["continuations"][0]["tokens"]) for one in found] == [10, 10]
    assert status == 0 and "counts the prompt's tokens, too" in err


def test_without_a_prompt_the_model_begins_a_text_and_says_so(run, made):
    status, out, err = run("--json", "--max_tokens", "2")
    assert status == 0 and "<|endoftext|> is put in front" in err
    assert json.loads(out)["prompts"][0]["ids"] == [made[2].eos_token_id]


def test_a_space_at_the_end_of_a_prompt_is_noted(run):
    assert "it expects half a word there" in run("--prompt", PROMPT + " ", "--max_tokens", "1")[2]
    assert "half a word" not in run("--prompt", PROMPT, "--max_tokens", "1")[2]


def test_the_end_token_ends_a_text_and_is_not_shown(made, tmp_path, capsys):
    """A model that thinks of nothing but the end."""
    model, tokenizer = tiny_gpt.write(tmp_path)
    with torch.no_grad():
        model.decoder.norm.weight.zero_()
        model.decoder.norm.bias.copy_(9 * model.decoder.token.weight[tokenizer.eos_token_id])
    model.save_pretrained(tmp_path)
    assert main(["generate", "--model", str(tmp_path), "--prompt", "a", "--show"]) == 0
    out = capsys.readouterr().out
    assert "1  '<|endoftext|>'" in out and out.endswith("ended by: the model's end of text\n")
    assert out.splitlines()[1] == "a"


def test_vectors_without_a_token_are_never_drawn(made, tmp_path, capsys):
    model, tokenizer = tiny_gpt.write(tmp_path, vocab_size=270)
    with torch.no_grad():
        model.decoder.norm.weight.zero_()
        model.decoder.norm.bias.copy_(9 * model.decoder.token.weight[268])
    model.save_pretrained(tmp_path)
    assert main(["generate", "--model", str(tmp_path), "--prompt", "a", "--max_tokens", "3", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "vocab.json has 266 tokens, but the model has vectors for 270: the last ones are not used" in err
    assert all(token["id"] < len(tokenizer) for token in json.loads(out)["prompts"][0]["continuations"][0]["tokens"])


def test_a_gpt1_writes_too_but_needs_a_prompt(tmp_path, capsys, monkeypatch):
    model, tokenizer = tiny_gpt.write_gpt1(tmp_path)
    words = ["generate", "--model", str(tmp_path), "--max_tokens", "9", "--seed", "2"]
    expected = generation.generate(model, tokenizer("The film")["input_ids"], max_tokens=9, seed=2)[0]
    assert main([*words, "--prompt", "The film"]) == 0
    assert capsys.readouterr().out == tokenizer.decode(expected.ids) + "\n"
    in_a_terminal(monkeypatch)
    assert main([*words, "--prompt", "The film"]) == 0
    assert capsys.readouterr().out == tokenizer.decode(expected.ids) + "\n"
    assert main(words) == 2
    assert "has no token to begin with: give --prompt" in capsys.readouterr().err


@pytest.mark.fault("command line: a file, column, number, choice or flag that is wrong")
@pytest.mark.parametrize(
    "words, said",
    [
        ("--prompt a --temperature -1", "-1 is not 0 or more"),
        ("--prompt a --temperature nan", "nan is not 0 or more"),
        ("--prompt a --temperature hot", "invalid number value: 'hot'"),
        ("--prompt a --top_p 1.1", "1.1 is not from 0 to 1"),
        ("--prompt a --top_k 1.5", "invalid whole number value"),
        ("--prompt a --repetition_penalty 0", "0 is not more than 0"),
        ("--prompt a --n 0", "0 is not 1 or more"),
        ("--prompt a --max_tokens 0", "0 is not 1 or more"),
        ("--prompt a --max_tokens 3 --max_length 3", "give one of them"),
        ("--prompt abc --max_length 3", "prompt 1: the prompt has 3 tokens: --max_length 3 leaves none for more"),
        ("--prompt=", "--prompt is empty"),
        ("--prompt a --stop=", "--stop is empty"),
        (f"--prompt {'x' * 40}", "prompt 1: the prompt has 40 tokens, but the model has 40 positions"),
        ("--prompt a --prompt b --file texts.txt", "with --file, --prompt needs a {}"),
        ("--file nothing.txt", "nothing.txt"),
        ("--prompt a --text_column x", "--text_column is for --file"),
        ("--prompt a --seed -1", "-1 is not from 0 to 4294967295"),
        ("--prompt a --temprature 1", "did you mean --temperature?"),
    ],
)
def test_a_mistake_is_answered_by_one_line(run, words, said):
    status, out, err = run(*words.split())
    assert (status, out) == (2, "") and err.startswith("error: ") and said in err and err.count("\n") == 1


def test_a_model_that_does_not_write_is_refused(tiny_folder, capsys):
    assert main(["generate", "--model", str(tiny_folder), "--prompt", "a"]) == 2
    assert "there is no causal language model of BERT here" in capsys.readouterr().err
