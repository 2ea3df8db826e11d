"""The commands with each encoder family, by --model alone: train, predict, probe, and what they refuse."""

import csv
import json
import logging
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from minbert import BertTokenizer, families, tokenizers
from minbert.__main__ import main
from minbert.tokenizers import XLMRobertaTokenizer
from minbert.tokenizers.byte_bpe import LETTERS, ROBERTA, ByteBPETokenizer, to_letters
from minbert.tokenizers.unigram_files import NORMAL
from tests.conftest import VOCAB
from tests.tokenizers.tiny_unigram import PIECES
from tests.tokenizers.tiny_unigram import model as sentencepiece
from tests.weights.test_weights import shake

TRAIN = [
    *(("positive", "the film was good"), ("negative", "the film was bad"), ("positive", "a good plot!")),
    *(("negative", "a bad plot!"), ("positive", "good, good."), ("negative", "bad, bad.")),
]
LEARN = ("--lr", "0.01", "--epochs", "25", "--hidden_dropout_prob", "0", "--batch_size", "3", "--no_baseline")
SIZES = {
    "hidden_size": 15,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 23,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


class Ran(NamedTuple):
    status: int
    out: str
    err: str


def byte_bpe(folder):
    """The 256 bytes, each word of TRAIN with its space, and RoBERTa's special tokens, whose ids are like its own."""
    letters = list(LETTERS.values())
    merges, tokens = [], ["<s>", "<pad>", "</s>", "<unk>", *letters]
    for word in ("the", "film", "was", "good", "bad", "plot", "a", "wonderful"):
        parts = list(to_letters(" " + word))
        while len(parts) > 1:
            pair = parts[0], parts[1]
            parts[:2] = ["".join(pair)]
            if parts[0] not in tokens:
                merges.append(pair)
                tokens.append(parts[0])
    tokens.append("<mask>")
    ByteBPETokenizer({token: id for id, token in enumerate(tokens)}, merges, ROBERTA).save_pretrained(folder)
    return {"vocab_size": len(tokens), "max_position_embeddings": 32}


def wordpiece(folder):
    tokenizer = BertTokenizer(VOCAB)
    tokenizer.save_pretrained(folder)
    return {"vocab_size": len(VOCAB), "max_position_embeddings": 24}


def unigram(folder):
    """The letters, each word of TRAIN, and XLM-RoBERTa's special tokens."""
    words = ("the", "film", "was", "good", "bad", "plot", "a", "wonderful")
    letters = [(char, -8.0, NORMAL) for char in "abcdefghijklmnoprstuvwxyz@.,!"]
    pieces = [*PIECES[:4], *letters, *((f"▁{word}", -4.0, NORMAL) for word in words)]
    (folder / "sentencepiece.bpe.model").write_bytes(sentencepiece(pieces))
    tokenizer = XLMRobertaTokenizer.from_files(folder / "sentencepiece.bpe.model")
    tokenizer.save_pretrained(folder)
    return {"vocab_size": len(tokenizer), "max_position_embeddings": 34, "model_type": "xlm-roberta"}


FAMILIES = {  # model_type: how its tokenizer is written, and sizes of its own
    "bert": (wordpiece, {}),
    "roberta": (byte_bpe, {}),
    "xlm-roberta": (unigram, {}),
    "distilbert": (wordpiece, {}),
    "electra": (wordpiece, {"embedding_size": 9}),
}
RELATIVES = [family for family in FAMILIES if family != "bert"]
each_relative = pytest.mark.parametrize("family", RELATIVES)
each_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """run("train", "--model", ...) -> Ran, in a folder with train.csv"""
    monkeypatch.chdir(tmp_path)
    with open("train.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("label", "text"), *TRAIN])
    level = logging.getLogger("minbert").level

    def run(*arguments):
        return Ran(main([*arguments]), *capsys.readouterr())

    yield run
    logging.getLogger("minbert").setLevel(level)


@pytest.fixture
def model(tmp_path):
    """model("distilbert", "masked") -> the name of a folder with large random weights and a tokenizer"""

    def write(family, kind, large=True):
        tokenizer, sizes = FAMILIES[family]
        torch.manual_seed(1)
        folder = tmp_path / f"{family}-{kind}"
        folder.mkdir()
        of_family = families.FAMILIES[family]
        config = of_family.CONFIG(**SIZES | tokenizer(folder) | sizes, initializer_range=0.3)
        model = of_family.MODELS[kind](config)
        (shake(model) if large else model).save_pretrained(folder)
        return folder.name

    return write


def probabilities(ran):
    """A line of `minbert predict --sentence` -> {label: probability}"""
    pairs = ran.out.split("\t")[1].split("  ")
    return {name: float(p) for name, p in (pair.split() for pair in pairs)}


@each_family
@pytest.mark.parametrize("option", ["flexible", "pretrain"])
def test_a_classifier_is_trained_and_used(run, model, family, option):
    name = model(family, "masked", large=False)
    ran = run("train", "--model", name, "--option", option, "--train", "train.csv", "--out", "run", *LEARN)
    assert ran.status == 0, ran.err
    assert "new, with random weights: classifier" in ran.out and "left out: masked-LM head" in ran.out
    assert ("reads: cls" in ran.out) == (family != "bert")
    written = json.loads(Path("run/config.json").read_text())
    assert written["model_type"] == family and written["architectures"][0].endswith("ForSequenceClassification")
    answers = [run("predict", "--model", "run", "--sentence", text) for _, text in TRAIN]
    assert [ran.status for ran in answers] == [0] * len(TRAIN)
    if option == "flexible":  # a frozen random encoder need not tell them apart
        assert [ran.out.split("\t")[0] for ran in answers] == [label for label, _ in TRAIN]
    plain = run("predict", "--model", "run", "--plain", "--sentence", TRAIN[0][1])
    assert probabilities(plain) == pytest.approx(probabilities(answers[0]), abs=2e-4)
    ran = run("train", "--eval_only", "--model", "run", "--test", "train.csv", "--out", "eval")
    assert ran.status == 0, ran.err


@each_family
def test_a_file_is_labelled_and_long_texts_are_cut(run, model, family):
    name = model(family, "classifier")
    limit = families.read_config(name).most_tokens
    Path("new.txt").write_text("the film was good\n" + "bad " * 200 + "\n")
    ran = run("predict", "--model", name, "--text", "new.txt")
    assert ran.status == 0 and f"1 of 2 texts were longer than {limit} tokens and were cut" in ran.err
    with open("new.txt.predictions.csv", newline="") as file:
        assert [row["row"] for row in csv.DictReader(file)] == ["1", "2"]
    ran = run("predict", "--model", name, "--text", "new.txt", "--max_length", str(limit + 1))
    said = f"--max_length is {limit + 1}, but {name} has {limit} positions: give {limit} or less"
    assert (ran.status, ran.err) == (2, f"error: {said}\n")


@each_family
def test_words_are_asked_for(run, model, family):
    name = model(family, "masked")
    found = {}
    for way in ((), ("--plain",)):
        asked = ("--words", "good", "bad", "--sentence", "the film was wonderful", "--top", "3")
        ran = run("probe", "--model", name, *asked, "--prompt", "{} the plot was", "--json", *way)
        assert ran.status == 0, ran.err
        found[way] = json.loads(ran.out)["rows"]
    assert len(found[()]) == 5  # one of them is read at a token that no other looks at
    for one, other in zip(*found.values()):
        assert one["p"] == pytest.approx(other["p"], rel=1e-3) and list(one["p"]) == ["good", "bad"]
    ran = run("probe", "--model", name, "--words", "good", "bad", "--sentence", "a plot", "--prompt", "{} the film was")
    assert ran.status == 0 and "what to conclude" in ran.out
    ran = run("probe", "--model", name, "--compare", "the film was good", "the film was bad")
    assert ran.status == 0 and "in all" in ran.out
    ran = run("probe", "--model", name, "--show", "attention", "--sentence", "the film was good", "--causal")
    assert ran.status == 0 and "causal mask" in ran.out


@each_family
def test_a_missing_word_is_filled_in(run, model, family):
    name = model(family, "masked")
    ran = run("probe", "--model", name, "--fill", "the film was [MASK].", "--top", "4", "--json")
    assert ran.status == 0, ran.err
    (rows,) = json.loads(ran.out)["masks"]
    assert len(rows) == 4 and all(row["sequence"].startswith("the film was") for row in rows)
    ran = run("probe", "--model", name, "--fill", "the film was [MASK].", "--targets", "good", "bad", "--json")
    (rows,) = json.loads(ran.out)["masks"]
    space = " " * (family == "xlm-roberta")  # what follows a special token begins as a text does
    assert {row["sequence"] for row in rows} == {f"the film was good{space}.", f"the film was bad{space}."}
    assert run("probe", "--model", name, "--fill", "the film was [MASK].").status == 0


# What is refused, in one line


@each_relative
@pytest.mark.parametrize(
    "flags, said",
    [
        (("--pooling", "mean"), "--pooling mean: the classifier of a {} reads cls: leave it out"),
        (("--filepath", "x.pt"), "--filepath writes what the course kits read, a BERT; {name} is a {}"),
    ],
)
def test_flags_for_bert_alone(run, model, family, flags, said):
    name = model(family, "masked")
    ran = run("train", "--model", name, "--train", "train.csv", *flags)
    title = families.read_config(name).form.title
    assert (ran.status, ran.err) == (2, f"error: {said.format(title, name=name)}\n")


@each_relative
@pytest.mark.parametrize(
    "arguments", [("export", "--out", "x.onnx"), ("pretrain", "--text", "train.csv", "--out", "new")]
)
def test_commands_for_bert_alone(run, model, family, arguments):
    ran = run(*arguments, "--model", model(family, "masked"))
    assert ran.status == 2 and len(ran.err.splitlines()) == 1, ran.err
    assert f"model_type is '{family}', but only 'bert' is supported" in ran.err


@each_relative
def test_a_classifier_cannot_be_asked_for_words_nor_a_language_model_for_labels(run, model, family):
    ran = run("probe", "--model", model(family, "classifier"), "--fill", "the [MASK]")
    assert ran.status == 2 and "has no masked-LM head" in ran.err and len(ran.err.splitlines()) == 1, ran.err
    ran = run("predict", "--model", model(family, "masked"), "--sentence", "the film")
    assert ran.status == 2 and "has no trained classifier" in ran.err.splitlines()[-1], ran.err


def test_a_family_that_there_is_not(run, model):
    name = model("distilbert", "masked")
    path = Path(name, "config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "t5"}))
    for command in (("predict", "--sentence", "x"), ("probe", "--fill", "[MASK]"), ("train", "--train", "train.csv")):
        ran = run(*command, "--model", name)
        assert ran.status == 2 and "model_type is 't5', but minbert computes bert, roberta" in ran.err, ran.err
        assert len(ran.err.splitlines()) == 1


@each_relative
def test_a_folder_without_a_tokenizer(run, model, family):
    name = model(family, "masked")
    for path in Path(name).glob("*"):
        if path.name not in ("config.json", "model.safetensors"):
            path.unlink()
    ran = run("train", "--model", name, "--train", "train.csv")
    assert ran.status == 2 and name in ran.err and len(ran.err.splitlines()) == 1, ran.err
    shutil.rmtree(name)


def test_a_folder_that_held_another_tokenizer_holds_one(run, model):
    """Whatever was trained into it before."""
    for family in ("roberta", "distilbert", "roberta"):
        ran = run(
            "train",
            "--model",
            model(family, "masked"),
            "--train",
            "train.csv",
            "--out",
            "run",
            *LEARN[4:],
            "--epochs",
            "1",
        )
        assert ran.status == 0, ran.err
        shutil.rmtree(f"{family}-masked")
        ran = run("predict", "--model", "run", "--sentence", "the film was good")
        assert ran.status == 0 and not ran.err.startswith("error"), ran.err
        files = {path.name for path in Path("run").iterdir()} & {"vocab.txt", "vocab.json", "merges.txt"}
        assert files == ({"vocab.txt"} if family == "distilbert" else {"vocab.json", "merges.txt"})


def test_words_of_byte_level_bpe_have_their_space(run, model):
    """The same figures, whether a word is given with its space or without; the answer shows the words as given."""
    name = model("roberta", "masked")
    found = []
    for words, prompt in ((("good", "bad"), "{} the film was"), ((" good", "bad "), "{} the film was  ")):
        ran = run("probe", "--model", name, "--words", *words, "--sentence", "a plot.", "--prompt", prompt, "--json")
        assert ran.status == 0, ran.err
        found.append([row["p"] for row in json.loads(ran.out)["rows"]])
    assert found[0] == found[1] and list(found[0][0]) == ["good", "bad"]
    tokenizer = tokenizers.from_pretrained(name)
    ids = tokenizer.encode("a plot. the film was good")
    masked = torch.tensor([[*ids[:-2], tokenizer.mask_token_id, ids[-1]]])
    with torch.no_grad():
        logits, _ = families.load(name, "masked")(masked)
    rows = json.loads(ran.out)["rows"]
    wanted = logits[0, -2].double().softmax(-1)[tokenizer.vocab["\u0120good"]].item()
    assert rows[3]["readout"] == "at a [MASK] appended" and rows[3]["p"]["good"] == pytest.approx(wanted, rel=1e-3)


def test_the_mask_of_a_roberta_takes_the_space_before_it(run, model):
    name = model("roberta", "masked")
    found = [
        run("probe", "--model", name, "--fill", text, "--targets", "good", "bad", "--json").out
        for text in ("the film was [MASK].", "the film was <mask>.", "the film was<mask>.")
    ]
    assert found[0] == found[1] == found[2]
    (rows,) = json.loads(found[0])["masks"]
    assert {row["token"] for row in rows} == {" good", " bad"}
    shown = run("probe", "--model", name, "--fill", "the film was [MASK].").out
    assert "here </s> is what is called [SEP] below, <mask> is [MASK]" in shown


@each_relative
@pytest.mark.parametrize("flags", [("--precision", "int8-always"), ("--precision", "bf16")])
def test_other_precisions_agree_with_float32(run, model, family, flags):
    name = model(family, "classifier", large=False)
    ran = [run("predict", "--model", name, "--sentence", "the film was good", *more) for more in ((), flags)]
    assert [each.status for each in ran] == [0, 0], ran[1].err
    assert probabilities(ran[1]) == pytest.approx(probabilities(ran[0]), abs=0.05)


def test_a_damaged_sentencepiece_model_is_refused_in_one_line(run, model):
    name = model("xlm-roberta", "classifier")
    path = Path(name, "sentencepiece.bpe.model")
    path.write_bytes(path.read_bytes()[:-1])
    ran = run("predict", "--model", name, "--sentence", "the film was good")
    assert ran.status == 2 and "a field of" in ran.err and len(ran.err.splitlines()) == 1


TWEETS = [(label, f"@ann_{n} {text} http://t.co/{n}") for n, (label, text) in enumerate(TRAIN)]


def as_tweets(texts=TWEETS):
    with open("tweets.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("label", "text"), *texts])
    return "tweets.csv"


def test_the_spanish_story_of_tweets(run, model):
    """A classifier of seven feelings learns to tell two, on tweets without names, and its folder says so."""
    name = model("xlm-roberta", "classifier", large=False)
    feelings = ("others", "joy", "sadness", "anger", "surprise", "disgust", "fear")
    seven = families.load(name, "classifier", labels=feelings)
    seven.save_pretrained(name)
    file = as_tweets([(label[0].upper(), text) for label, text in TWEETS])
    ran = run("train", "--model", name, "--train", file, "--labels", "N", "P", "--tweets", "--out", "run", *LEARN)
    assert ran.status == 0, ran.err
    told = f"tells {', '.join(feelings)}; yours are N, P: the output layer [2, 15] is new"
    assert f"warning: the checkpoint's classifier {told}" in ran.out + ran.err
    assert json.loads(Path("run/run.json").read_text())["arguments"]["tweets"] is True
    assert json.loads(Path("run/texts.json").read_text())["tweets"] is True
    with_names, without = (
        run("predict", "--model", "run", "--sentence", text) for text in ("@zoe good http://x.y/z", "@user good http")
    )
    assert with_names.out == without.out != run("predict", "--model", "run", "--sentence", "zoe good").out
    assert "run learnt from tweets with @user and http" in with_names.err
    Path("new.txt").write_text("@zoe good http://x.y/z\n@user good http\n", encoding="utf-8")
    assert run("predict", "--model", "run", "--text", "new.txt", "--out", "out.csv", "--with_text").status == 0
    rows = list(csv.DictReader(Path("out.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[0]["text"] == "@zoe good http://x.y/z"
    assert [float(rows[0][name]) for name in ("p_N", "p_P")] == pytest.approx(
        [float(rows[1]["p_N"]), float(rows[1]["p_P"])]
    )
    ran = run("train", "--eval_only", "--model", "run", "--test", file, "--labels", "N", "P", "--out", "eval")
    assert ran.status == 0 and "note: run learnt from tweets" in ran.out, ran.err


def test_tweets_that_contradict_the_model_are_refused(run, model):
    name = model("xlm-roberta", "classifier", large=False)
    ran = run("train", "--model", name, "--train", as_tweets(), "--out", "run", "--epochs", "1", "--no_baseline")
    assert ran.status == 0 and not Path("run/texts.json").exists(), ran.err
    for command in (("predict", "--sentence", "good"), ("train", "--eval_only", "--test", "tweets.csv")):
        ran = run(command[0], "--model", "run", "--tweets", *command[1:])
        assert ran.status == 2 and "run learnt from texts with all names and links" in ran.err
    Path("run/texts.json").write_text('{"tweets": "yes"}')
    ran = run("predict", "--model", "run", "--sentence", "good")
    assert ran.status == 2 and "tweets is 'yes', but only true is supported" in ran.err
