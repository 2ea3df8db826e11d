"""What bench.pairs computes around its runs; the runs themselves are in bench/results, not here."""

import json
import random
from statistics import mean, stdev

import pytest
import torch

from bench import pair_files, pairs, trainer
from minbert import BertSentClassifier
from minbert.commands import common, train
from tests.conftest import ROOT

QUESTIONS = [f"question {number}" for number in range(600)]


def linked(number):
    """Rows that link questions at random."""
    rng = random.Random(1)
    return [(*rng.sample(QUESTIONS, 2), str(row)) for row in range(number)]


def test_no_question_is_in_two_parts():
    """Nor one that differs in capitals alone."""
    rows = linked(250)
    rows += [(first.upper(), f"{second}?", label) for first, second, label in rows[:50]]
    parts = pair_files.split(rows)
    assert sorted(row for found in parts.values() for row in found) == sorted(rows)
    seen = {part: {text.casefold() for row in found for text in row[:2]} for part, found in parts.items()}
    assert all(seen.values())
    assert not seen["train"] & seen["dev"] and not seen["train"] & seen["test"] and not seen["dev"] & seen["test"]


def test_a_chain_of_questions_stays_together():
    for chain in range(20):
        rows = [(f"{chain} {step}", f"{chain} {step + 1}", "") for step in range(30)]
        random.Random(chain).shuffle(rows)
        assert sorted(map(len, pair_files.split(rows).values())) == [0, 0, 30]


def test_the_order_of_the_rows_does_not_matter_and_a_tenth_each_is_for_dev_and_test():
    rows = [(f"{number} a", f"{number} b", "") for number in range(5000)]
    parts = pair_files.split(rows)
    assert {part: set(found) for part, found in pair_files.split(rows[::-1]).items()} == {
        part: set(found) for part, found in parts.items()
    }
    assert 430 < len(parts["dev"]) < 570 and 430 < len(parts["test"]) < 570


def test_the_files_of_both_tasks(tmp_path, capsys, monkeypatch):
    """Rows without a label are named; test rows that are in the training file too are counted, in either order."""
    for path, label, lines in (
        ("sts/sts-train.csv", "similarity", ["a dog\ta cat\t1.0", "a\tb\t5.0"]),
        ("sts/sts-dev.csv", "similarity", ["A cat\ta dog\t1.0", "c\td\t0.5", "e\tf\t2.5"]),
        ("quora/quora-dev.csv", "is_duplicate", [f"{row} a\t{row} b\t{row % 2}.0" for row in range(40)] + ["x\ty\t"]),
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text("\n".join([f"sentence1\tsentence2\t{label}", *lines, ""]))
    paths = pair_files.files("STS-B", tmp_path, tmp_path)
    assert pair_files.counts(paths) == {"train": 2, "test": 3, "test also in train": 1}
    assert pair_files.rows(paths["test"], "label")[2] == ("e", "f", "2.5")
    monkeypatch.setattr(pair_files, "QUORA_ROWS", 20)
    paths = pair_files.files("Quora", tmp_path, tmp_path)
    assert "1 bad of 41 rows" in (err := capsys.readouterr().err) and "quora-dev.csv:42: empty label" in err
    assert pair_files.counts(paths)["train"] == 20
    assert {label for *_, label in pair_files.rows(paths["train"], "label")} == {"duplicate", "other"}


def test_what_two_texts_share_tells_more_than_their_words():
    """Whether both have the same word cannot be seen in both as one text."""
    words = [f"word{letter}" for letter in "abcdefgh"]
    every = [(one, two) for one in words for two in words]
    texts = {part: tuple(zip(*every)) for part in ("train", "dev", "test")}
    same = [int(one == two) for one, two in every]
    assert pairs.compared_words(texts, dict.fromkeys(texts, same)) == same


def test_the_tables_by_hand():
    def run(system, seed, pearson, spearman):
        score = {"pearson": pearson, "spearman": spearman}
        return {"task": "STS-B", "system": system, "seed": seed, "score": score}

    runs = [run("minbert", 1, 0.8, 0.7), run("cosine, minbert", 0, 0.5, 0.4), run("minbert", 2, 0.9, 0.72)]
    quora = {"task": "Quora", "system": "minbert", "seed": 1, "score": {"accuracy": 0.75, "f1": 0.6}}
    text = pairs.page({"rows": {"STS-B": {"train": 6040, "test": 863}, "Quora": {"train": 20}}, "runs": [*runs, quora]})
    assert text.splitlines() == [
        "STS-B, pairs: train 6,040, test 863.",
        "",
        "| system | runs | Pearson | Spearman |",
        "| --- | --- | --- | --- |",
        "| cosine, sentence-transformers | 0 | – | – |",
        "| cosine, minbert | 1 | 0.5000 | 0.4000 |",
        "| Trainer, its defaults | 0 | – | – |",
        "| Trainer, same settings | 0 | – | – |",
        "| minbert | 2 | 0.8500 (0.0707) | 0.7100 (0.0141) |",
        "",
        "Quora, pairs: train 20.",
        "",
        "| system | runs | accuracy | F1 of duplicates |",
        "| --- | --- | --- | --- |",
        "| counted words, TF-IDF | 0 | – | – |",
        "| compared words, TF-IDF | 0 | – | – |",
        "| minbert, frozen | 0 | – | – |",
        "| minbert | 1 | 0.7500 | 0.6000 |",
    ]


def test_the_page_of_results_holds_the_tables():
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert text.count(pairs.MARKS[0]) == text.count(pairs.MARKS[1]) == 1
    shown = text.partition(pairs.MARKS[0])[2].partition(pairs.MARKS[1])[0].strip()
    assert shown == pairs.page(json.loads(pairs.PATH.read_text(encoding="utf-8")))


def test_the_results_are_what_was_to_be_reached():
    """As good as the Trainer with the same settings, within 0.01; cosines as sentence-transformers', within 1e-4."""
    runs = json.loads(pairs.PATH.read_text(encoding="utf-8"))["runs"]

    def found(task, system, figure):
        return [run["score"][figure] for run in runs if (run["task"], run["system"]) == (task, system)]

    ours, theirs = (found("STS-B", name, "pearson") for name in ("minbert", "Trainer, same settings"))
    assert mean(ours) > mean(theirs) - 0.01
    assert abs(mean(ours) - mean(theirs)) < stdev(ours)  # as the page says
    ours, theirs = (found("STS-B", f"cosine, {name}", "spearman") for name in ("minbert", "sentence-transformers"))
    assert mean(ours) == pytest.approx(mean(theirs), abs=1e-4)
    for figure in pairs.FIGURES["Quora"]:
        counted, compared = (found("Quora", f"{how} words, TF-IDF", figure)[0] for how in ("counted", "compared"))
        assert counted < mean(found("Quora", "minbert, frozen", figure)) < compared
        assert min(found("Quora", "minbert", figure)) > compared + 0.05


def test_the_settings_are_the_defaults_of_minbert_train():
    args = common.parse("train", train.__doc__, train.flags, [])
    names = ("batch_size", "weight_decay", "warmup", "hidden_dropout_prob")
    assert {name: getattr(args, name) for name in names} == {name: pairs.SETTINGS[name] for name in names}
    assert pairs.SETTINGS["epochs"] == train.EPOCHS
    assert pairs.SETTINGS["lr"] == 2 * train.RATES["flexible"]  # all-MiniLM-L6-v2 is narrow


def test_the_peer_has_our_head(tmp_path):
    """The same weights give the same logits, padding included; the bias starts at the mean."""
    pytest.importorskip("transformers", reason="needs the extra reference")
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "max_position_embeddings": 20, "num_labels": 1, "problem_type": "regression"}
    torch.manual_seed(0)
    BertSentClassifier(sizes | {"pooling": "pooler"}).save_pretrained(tmp_path)
    peer = trainer.mean_regressor(str(tmp_path), 0.3, 2.5).eval()
    assert peer.dropout.p == 0.3 and peer.classifier.bias.item() == 2.5
    ours = BertSentClassifier.from_pretrained(tmp_path, pooling="mean", num_labels=1, problem_type="regression")
    with torch.no_grad():
        ours.classifier.weight.copy_(peer.classifier.weight)
        ours.classifier.bias.copy_(peer.classifier.bias)
        ids, segments = torch.randint(1, 50, (3, 7)), torch.randint(0, 2, (3, 7))
        mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 2 + [0] * 5])
        found = peer(ids, mask, segments, labels=torch.zeros(3))
        wanted = ours(ids, mask, segments)
    assert torch.allclose(found["logits"], wanted, atol=1e-5)
    assert found["loss"].item() == pytest.approx(wanted.square().mean().item(), abs=1e-5)
