"""minbert probe with a GPT: the same tables as for a BERT, from one readout, and what a GPT cannot be asked."""

import json
import shlex

import pytest

from minbert import left_to_right
from minbert.__main__ import main
from minbert.commands import probe, probe_tables
from tests.commands.test_probe import Ran
from tests.families import tiny_gpt

SEEDS_PROMPT = "{} This movie review is (positive/negative)?"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder with a GPT-2 in gpt2/ and a GPT-1 in gpt1/; {name: (model, tokenizer)}"""
    place = tmp_path_factory.mktemp("place")
    gpt2 = tiny_gpt.write(place / "gpt2", max_position_embeddings=160)
    return place, {"gpt2": gpt2, "gpt1": tiny_gpt.write_gpt1(place / "gpt1")}


@pytest.fixture
def run(folders, capsys, monkeypatch):
    """run("--sentence", "a") -> Ran, with the GPT-2 unless --model says otherwise"""
    monkeypatch.chdir(folders[0])

    def run(*words):
        model = () if "--model" in words else ("--model", "gpt2")
        return Ran(main(["probe", *model, *words]), *capsys.readouterr())

    return run


@pytest.fixture
def found(run):
    """What a run says with --json, and nothing on the standard error"""

    def found(*words):
        ran = run("--json", *words)
        assert (ran.status, ran.err) == (0, "")
        return json.loads(ran.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))

    return found


@pytest.fixture
def said(run):
    """What a run that ends well prints"""

    def said(*words):
        ran = run(*words)
        assert (ran.status, ran.err) == (0, "")
        return ran.out

    return said


def row_of(out, number):
    """The cells of a text's row in the first table"""
    table = out.partition("\n  text ")[2]
    return next(line.split() for line in table.splitlines() if line.split()[:1] == [number])


def test_the_battery_by_the_one_readout(found, said, folders):
    asked = found()
    assert asked["model"] == "gpt2" and asked["words"] == ["positive", "negative"]
    assert [row["text"] for row in asked["rows"]] == [text for _, text, _ in probe.BATTERY]
    for row, (kind, text, right) in zip(asked["rows"], probe.BATTERY):
        expected = left_to_right.next_word(*folders[1]["gpt2"], text, asked["words"], "{} This movie review is")
        assert row.items() >= expected.items() and (row["kind"], row["right"]) == (kind, asked["words"][right])
    (conclusion,) = asked["conclusions"]
    assert (conclusion["readout"], conclusion["answers"], conclusion["pairs"]) == ("after the last word", 5, 6)
    assert conclusion["right"] == sum(row["label"] == row["right"] for row in asked["rows"])
    out = said()
    assert "\nafter the last word: what this model was trained to do\n" in out
    assert "[SEP]" not in out and "None" not in out and "of 5 answers" in out
    for row in asked["rows"]:
        cells = row_of(out, str(row["number"]))
        assert [float(cell) for cell in cells[1:4]] == pytest.approx([*row["p"].values(), row["ratio"]], rel=6e-3)
        assert cells[4] == row["label"]
    assert [float(cell) for cell in row_of(out, "none")[1:3]] == pytest.approx(list(row["prior"].values()), rel=6e-3)


def test_ones_own_texts_words_and_wordings(found, said, folders):
    with open("reviews.txt", "w", encoding="utf-8") as file:
        file.write("the film\n\ngöod plot \n")
    words = ["--sentence", "a film", "--file", "reviews.txt", "--words", "was", "water", "er", "--top", "3"]
    words += ["--prompt", SEEDS_PROMPT, "--prompt", "{} It was  "]
    asked = found(*words)
    rows = [
        left_to_right.next_word(*folders[1]["gpt2"], text, ["was", "water", "er"], prompt, top=3)
        for text in ("a film", "the film", "göod plot")
        for prompt in (SEEDS_PROMPT, "{} It was")
    ]
    for row, expected in zip(asked["rows"], rows, strict=True):
        assert {name: row[name] for name in expected if name != "prompt"} | {"prompt": expected["prompt"]} == expected
    out = said(*words)
    assert f"   a  {SEEDS_PROMPT}\n   b  {{}} It was  \n" in out
    best = asked["rows"][0]["top"][0]
    assert f"  '{best['token']}' {best['score']:.3g}  " in out  # the space of a token shows


def test_a_gpt_1_is_asked_too(found, said, folders):
    words = ["--model", "gpt1", "--words", "was", "mist", "--sentence", "The film", "--prompt", "{} the fish "]
    (row,) = found(*words)["rows"]
    expected = left_to_right.next_word(*folders[1]["gpt1"], "The film", ["was", "mist"], "{} the fish")
    assert row.items() >= {name: expected[name] for name in expected if name != "prompt"}.items()
    assert "after the last word" in said(*words)


def test_compare_says_from_where_it_counts(found, said, folders):
    texts = ["the film was er", "the film er"]
    asked = found("--compare", *texts)
    expected = left_to_right.compare(*folders[1]["gpt2"], *texts)
    assert asked == {"model": "gpt2", "texts": texts} | json.loads(json.dumps(expected))
    out = said("--compare", *texts)
    assert "log P of each token after all before it; <|endoftext|> stands in front of both texts\n" in out
    assert f"likelier: {texts[expected['preferred']]}\n" in out
    assert "' film'" in out and "''" not in out
    texts = ["the mist was", "the film was"]
    out = said("--model", "gpt1", "--compare", *texts)
    assert "all before it; the first one of each text is not counted\n" in out
    first = next(line for line in out.splitlines() if "'the '" in line)
    assert first.split() == ["'the", "'", "'the", "'"]  # no figure
    asked = found("--model", "gpt1", "--compare", *texts)
    assert asked["begins_with"] is None and asked["rows"][0] == [["the ", None], ["the ", None]]
    assert "the first one of each text is not counted, though here they differ\n" in said(
        "--model", "gpt1", "--compare", "mist was", "the film was"
    )


def test_the_same_sentence_twice_is_equally_likely(said):
    for model in ("gpt1", "gpt2"):
        assert "\nequally likely\n" in said("--model", model, "--compare", "the film was", "the film was")


@pytest.mark.parametrize("model", ["gpt1", "gpt2"])
def test_show_attention(found, said, folders, model):
    words = ["--model", model, "--show", "attention", "--sentence", "the film was", "--layer", "1", "--head", "2"]
    (one,) = found(*words)["attention"]
    expected = left_to_right.attention_tables(*folders[1][model], "the film was", 1, 2)
    assert one["causal"] is True and one["tokens"] == expected["tokens"]
    assert one["probabilities"] == expected["probabilities"].tolist()
    assert [[score is None for score in row] for row in one["scores"]] == (expected["scores"] == -float("inf")).tolist()
    out = said(*words)
    assert "not used here" not in out and "probabilities of layer 1, head 2" in out
    rows = [line for line in out.partition("probabilities of layer")[2].splitlines()[2:] if line]
    assert len(rows) == len(one["tokens"]) and all(row.split()[-1] == "1.000" for row in rows)
    assert "'film '" in out or "' film'" in out


def test_plain_says_the_same(found):
    asked = [found("--sentence", "a film", *flags)["rows"][0]["p"] for flags in ((), ("--plain",))]
    assert asked[0] == pytest.approx(asked[1], rel=1e-3)


def test_a_prompt_that_is_empty_without_a_text(run):
    ran = run("--prompt", "{} ", "--sentence", "a film", "--json")
    note = "note: without a text, the prompt is empty: <|endoftext|> stands there, as before each text\n"
    assert (ran.status, ran.err) == (0, note) and json.loads(ran.out)["rows"][0]["prior"]["positive"] > 0
    ran = run("--model", "gpt1", "--prompt", "{}", "--sentence", "the film", "--words", "was", "the")
    said = "without a text the prompt is empty, and GPT-1 has no token to begin with: add words to it"
    assert (ran.status, ran.out, ran.err) == (2, "", f"error: {said}\n")


@pytest.mark.fault("texts: half a character (a lone surrogate)")
def test_half_characters_are_named_once(run):
    said = "warning: the text holds halves of characters (lone surrogates): 1, read as U+FFFD\n"
    for words in (["--sentence", "a \udcff"], ["--compare", "a \udcff film", "a \udcff"]):
        ran = run("--json", *words)
        assert (ran.status, ran.err) == (0, said)


def test_words_that_a_gpt_1_cannot_spell_are_named(run):
    ran = run("--model", "gpt1", "--sentence", "the dog", "--words", "was", "the", "--prompt", "{} film")
    assert ran.status == 0 and ran.err == "warning: gpt1 cannot spell 'dog': it reads <unk> there\n"


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--mask_sep"], "--mask_sep: GPT-2 has no [SEP]: leave it out"),
        (["--causal"], "--causal: GPT-2 never looks at later words: leave it out"),
        (["--show", "attention", "--causal"], "--causal: GPT-2 never looks at later words: leave it out"),
        (["--words", "was", " was"], "two words or more that differ in the model's vocabulary"),
        (["--words", "was", " "], "' ' holds no word"),
        (["--prompt", "it is"], "the prompt 'it is' needs one {}, for the text"),
        (["--sentence", "er" * 160], "but the model reads at most 152: shorten the text"),
        (["--compare", "e", "er" * 161], "161 tokens, but the model reads at most 160: shorten the text"),
        (["--model", "gpt1", "--compare", "the", "the film"], "'the' is one token, and GPT-1 gives the first one no"),
        (["--model", "gpt1", "--compare", "the dog", "the film"], "cannot spell 'dog'"),
        (["--show", "attention", "--layer", "2"], "layers are 0 to 1, heads 0 to 2"),
        (["--sentence", ""], "--sentence is empty"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_mistake_is_answered_by_one_line(run, words, answer):
    ran = run(*words)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("error: ") and ran.err.count("\n") == 1
    assert answer in ran.err


@pytest.mark.parametrize(("text", "prompt"), [("The film [MASK] a", "The film"), ("[MASK] was", "TEXT")])
def test_fill_is_refused_with_a_command_that_works(run, capsys, text, prompt):
    ran = run("--fill", text, "--targets", "good", "bad")
    said, _, command = ran.err.partition(" what it writes next says: ")
    assert (ran.status, ran.out) == (2, "") and ran.err.count("\n") == 1
    assert said == "error: --fill: GPT-2 reads from left to right and learnt no gaps;"
    command = shlex.split(command)
    assert command[-7:] == ["--model", "gpt2", "--prompt", prompt, "--max_tokens", "1", "--show"]
    assert main(command[command.index("generate") :]) == 0 and prompt in capsys.readouterr().out


def test_the_tables_know_the_readout_of_the_library():
    assert probe_tables.AFTER == left_to_right.READOUT
