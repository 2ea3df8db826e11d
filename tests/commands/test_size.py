"""minbert size: what it prints, and what it refuses."""

import json
import shutil

import pytest

from minbert.__main__ import main
from minbert.published import PUBLISHED
from minbert.size import LETTERS


@pytest.fixture
def printed(capsys):
    """printed("gpt2") -> the lines of `minbert size gpt2`, none wider than 80 columns and nothing on stderr."""

    def printed(*words):
        assert main(["size", *words]) == 0
        out, err = capsys.readouterr()
        assert err == "" and max(map(len, out.splitlines())) <= 80
        return [line.split() for line in out.splitlines()]

    return printed


@pytest.fixture
def refused(capsys):
    """refused("gtp2") -> the one line with which it is refused."""

    def refused(*words):
        assert main(["size", *words]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1
        return err

    return refused


def test_a_published_model_with_its_formulas(printed):
    lines = printed("google-bert/bert-base-uncased", "--head", "classifier")
    assert ["Parameters,", "head:", "classifier", "109,483,778"] in lines
    assert ["classifier", "D*C", "+", "C", "1,538"] in lines
    words = printed("bert-base-uncased", "--formulas")
    assert next(line for line in words if line[:1] == ["[7]"])[1:4] == ["NVIDIA's", "data", "sheets"]
    assert {line[0] for line in words if line and line[0] in LETTERS} >= set(LETTERS)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_table_fits_a_screen(name, printed):
    devices = ["--devices", "123456", "--tokens", "999999999999", "--hardware", "312.125", "--formulas", "--recompute"]
    printed(name, *devices, "--stored_attention")


def test_the_published_models(printed):
    lines = printed()
    assert len(lines) == len(PUBLISHED) + 3
    assert ["mt-nlg-530b", "105", "20480", "529,600,819,200", "530,000.0"] in lines


def test_a_folder_a_config_and_a_shipped_name_are_the_same_model(tiny_folder, printed, tmp_path):
    (tmp_path / "mine.json").write_bytes((tiny_folder / "config.json").read_bytes())
    folder, file, copy = (
        printed(str(path))[1:] for path in (tiny_folder, tiny_folder / "config.json", tmp_path / "mine.json")
    )
    counts = [next(line for line in lines if line[:1] == ["Parameters,"]) for lines in (folder, file, copy)]
    assert counts[0] == counts[1] == counts[2]
    assert printed("tiny")[0][0] == "tiny:"


def test_a_trained_run_is_counted_with_its_head(tiny_folder, printed, tmp_path):
    """As training counted it: a line says so where the formulas come to something else."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_folder, folder)

    def counted(*words):
        return next(line for line in printed(str(folder), *words) if line[:1] == ["Parameters,"])

    encoder, with_head = (int(counted("--head", head)[-1].replace(",", "")) for head in ("none", "classifier"))
    (folder / "run.json").write_text(json.dumps({"model": {"parameters": {"in all": with_head}}}), encoding="utf-8")
    assert counted() == ["Parameters,", "head:", "classifier", f"{with_head:,}"] and with_head > encoder
    assert "minbert train" not in " ".join(" ".join(line) for line in printed(str(folder)))
    (folder / "run.json").write_text(json.dumps({"model": {"parameters": {"in all": 7}}}), encoding="utf-8")
    assert "minbert train counted 7 parameters" in " ".join(" ".join(line) for line in printed(str(folder)))


def test_json_holds_the_same_numbers(capsys):
    assert main(["size", "gpt3", "--devices", "1024", "--utilisation", "0.5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["family"], found["letters"]["D"]) == ("gpt3-175b", "gpt2", 12288)
    tables = {table["title"]: table for table in found["tables"]}
    assert tables["Parameters, head: words"]["total"] == 174_604_259_328
    (hours, days) = next(table for title, table in tables.items() if title.startswith("Time"))["rows"]
    assert hours["value"] == pytest.approx(24 * days["value"]) and hours["formula"] == "n*f / (G*p*u) / 3600"
    assert main(["size", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == list(PUBLISHED)


def test_flags_change_what_they_say(printed):
    def value(title, *words):
        lines = printed("gpt2", "--tokens", "1e9", *words)
        return next(float(line[len(title.split()) :][-1].replace(",", "")) for line in lines if line[:1] == [title])

    assert value("hours", "--devices", "4") == pytest.approx(value("hours") / 4, rel=0.01)
    assert value("hours", "--hardware", "31.2") == pytest.approx(value("hours") * 10, rel=0.01)
    assert value("hours", "--hardware", "a100", "--precision", "fp32") == pytest.approx(value("hours") * 16, rel=0.01)
    assert value("hours", "--utilisation", "0.6") == pytest.approx(value("hours") / 2, rel=0.01)
    assert value("hours", "--recompute") > value("hours") * 1.2
    assert value("hours", "--max_length", "8") < value("hours")


@pytest.mark.fault("command line: the size of what is no model")
def test_mistakes_are_one_line(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "did you mean gpt3 or gpt2 or gpt1?" in refused("gpt")
    assert "no folder or config.json, and not among the published models (minbert size" in refused("nosuchthing")
    assert "cannot be read" in refused(str(tmp_path))
    for text, message in (
        ('{"model_type": "t5"}', "model_type is 't5', but minbert knows bert, roberta"),
        ('{"vocab_size": 5}', "does not describe a BERT: it lacks hidden_size"),
        ("[1]", "holds a list"),
        ("{", "not valid JSON"),
    ):
        (tmp_path / "config.json").write_text(text)
        assert message in refused("config.json")
    huge = {"vocab_size": 10**30, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    (tmp_path / "config.json").write_text(json.dumps(huge | {"intermediate_size": 8, "max_position_embeddings": 8}))
    assert "vocab_size is 1000000000000000000000000000000, but must be" in refused("config.json")


@pytest.mark.parametrize(
    "words, message",
    [
        ("--tokens -3", "-3 is not a number above 0"),
        ("--tokens nan", "nan is not a number above 0"),
        ("--tokens inf", "inf is not a number above 0"),
        ("--devices 0", "0 is not 1 or more"),
        ("--hardware tpu", "tpu is neither one of v100, a100, h100 nor a number"),
        ("--hardware=-1", "-1 is neither one of"),
        ("--utilisation 1.5", "--utilisation is 1.5, but it is a part of the peak"),
        ("--max_length 1025", "--max_length is 1025, but gpt2 has 1024 positions"),
        ("--labels 3", "--labels is for --head classifier, not for --head words"),
        ("--head pooler", "invalid choice: 'pooler'"),
    ],
)
def test_flags_that_make_no_sense(words, message, refused):
    assert message in refused("gpt2", *words.split())


def test_a_head_that_a_family_lacks(refused):
    assert "there is no head classifier for a model of the family openai-gpt" in refused(
        "openai-gpt", "--head", "classifier"
    )
