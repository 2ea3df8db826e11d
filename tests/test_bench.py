"""What the benchmarks compute from what they measure; the speeds themselves are in bench/results, not here."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from bench import gpu, measure, systems
from bench.__main__ import MARKS, PAGE, cells, find_data, page, strongest
from minbert import BertTokenizer
from minbert.weights import hub


def test_the_cost_of_a_token_by_hand(monkeypatch, tmp_path):
    """tiny has 6 layers of hidden size 384, and twice 4 * 384^2 + 2 * 384 * 1536 weights in each; attention comes on
    top: 4 * 384 for each pair of tokens."""
    path = tmp_path / "texts.txt"
    path.write_text("0 ||| a film\n1 ||| a good film\n")
    tiny = str(hub.find("tiny"))
    first, second = (len(row) for row in BertTokenizer.from_pretrained(tiny)(["a film", "a good film"])["input_ids"])
    weights, pairs = 4 * 384 * 384 + 2 * 384 * 1536, (first**2 + second**2) / (first + second)
    assert systems.flops(tiny, str(path)) == pytest.approx(6 * (2 * weights + 4 * 384 * pairs))
    assert systems.flops(tiny, str(path), training=True) == pytest.approx(3 * systems.flops(tiny, str(path)))


def test_a_system_runs_in_a_process_of_its_own_and_tells_its_peak(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("0 ||| a film\n1 ||| a good film\n")
    system = measure.System("predict", folder=str(hub.find("tiny")), path=str(path))
    measure.race({"minbert": system}, 2)
    assert len(system.runs) == 2 and system.median() > 0
    assert system.runs[0]["tokens"] == 9 and 50 < system.peak_mb < 5000
    assert system.process.returncode == 0


def test_a_system_that_fails_ends_the_bench(tmp_path):
    with pytest.raises(SystemExit, match="exit status 1"):
        measure.System("predict", folder=str(tmp_path), path="nowhere.txt")


@pytest.mark.parametrize("value, text", [(12345.6, "12,300"), (0.01234, "0.01"), (3.456, "3.46"), (45.67, "45.7")])
def test_three_digits(value, text):
    assert measure.rounded(value) == text


def test_a_line_of_the_table():
    row = {"work": "predict", "system": "minbert", "tokens_per_second": 12345.6, "of_peak": 0.678, "peak_mb": 512.3}
    line = ("predict", "minbert", "12,300 tokens", "2.04", "a peer", "68 %", "512")
    assert cells(row, ("a peer", 2.041), True) == line


def test_the_strongest_peer_is_the_fastest_one_in_the_same_precision():
    speeds = {"transformers": 10, "onnxruntime": 40, "onnxruntime int8": 80, "minbert": 50, "minbert, int8": 60}
    rows = [{"work": "predict", "system": name, "tokens_per_second": speed} for name, speed in speeds.items()]
    other = {"work": "train", "system": "transformers", "tokens_per_second": 1000}
    found = [strongest(row, [*rows, other]) for row in rows]
    assert found == [
        ("onnxruntime", 0.25),
        ("onnxruntime", 1.0),
        ("onnxruntime int8", 1.0),
        ("onnxruntime", 1.25),
        ("onnxruntime int8", 0.75),
    ]
    whole = [{"work": "all", "system": name, "seconds": seconds} for name, seconds in (("peer", 6), ("minbert", 2))]
    assert strongest(whole[1], whole) == ("peer", 3.0)


def test_without_sst_the_shipped_reviews_stand_in(tmp_path):
    found = find_data(tmp_path)
    paths = [*found.pop("tweets"), *found.values()]
    assert {Path(path).name for path in paths} == {"train.csv", "dev.csv"}
    assert all(Path(path).exists() for path in paths)


def test_the_page_on_speed_holds_the_table_of_the_results():
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(MARKS[0]) == text.count(MARKS[1]) == 1
    assert text.partition(MARKS[0])[2].partition(MARKS[1])[0].strip() == page()


def test_the_peers_of_byte_level_bpe_give_our_ids(tmp_path):
    """Of each peer that is there; and of one that cuts differently, some texts differ."""
    pytest.importorskip("tokenizers", reason="needs the extra reference")
    path = tmp_path / "texts.txt"
    rows = ["a film's end", "the films, the film", "don't  film 1999!", "Größe of films"]
    path.write_text("".join(f"0 ||| {row}\n" for row in rows * 3))
    systems.learn_bpe(str(tmp_path), rows * 3, 280)
    options = {"folder": str(tmp_path), "paths": [str(path)]}
    size = sum(len(row.encode()) for row in rows * 3)
    for warm in (True, False):
        assert systems.bpe(warm=warm, **options)()["bytes"] == size
    peers = [systems.hf_bpe]
    if importlib.util.find_spec("tiktoken"):
        peers.append(systems.tiktoken_bpe)
    for peer in peers:
        run = peer(threads=1, **options)()
        assert (run["equal"], run["rows"], run["bytes"]) == (12, 12, size)
    wrong = systems.peer_bpe(**options, encode=lambda rows: [[0] * len(row) for row in rows])()
    assert (wrong["equal"], wrong["rows"]) == (0, 12)


def test_the_peers_of_unigram_give_our_ids(tmp_path):
    """Of texts as they are, and joined to long ones; of a peer that cuts differently, none are equal."""
    pytest.importorskip("sentencepiece", reason="needs the extra reference")
    pytest.importorskip("tokenizers", reason="needs the extra reference")
    path, rows = tmp_path / "texts.txt", ["a film's end", "the films, the film", "don't  film 1999!", "Größe of films"]
    path.write_text("".join(f"0 ||| {row}\n" for row in rows * 3))
    systems.learn_unigram(str(tmp_path), rows * 3, 40)
    options = {"folder": str(tmp_path), "paths": [str(path)]}
    size = sum(len(row.encode()) for row in rows * 3)
    for warm in (True, False):
        assert systems.unigram(rows="reviews", warm=warm, **options)()["bytes"] == size
    for peer in (systems.sentencepiece_unigram, systems.hf_unigram):
        run = peer(rows="reviews", threads=1, **options)()
        assert (run["equal"], run["rows"], run["bytes"]) == (12, 12, size)
        run = peer(rows="long texts", threads=1, **options)()
        assert (run["equal"], run["rows"], run["bytes"]) == (1, 1, size + 11)
    wrong = systems.peer_unigram(str(tmp_path), "tweets", lambda rows: [[0] for _ in rows], options)()
    assert (wrong["equal"], wrong["rows"]) == (0, 12)


def test_a_gpt2_and_its_peer_write_the_same(tmp_path, monkeypatch):
    pytest.importorskip("transformers", reason="needs the extra reference")
    monkeypatch.setattr(systems, "WRITTEN", 5)
    systems.new_gpt(str(tmp_path), 1, 64)
    threads = torch.get_num_threads()
    try:
        ours, theirs = (work(str(tmp_path), batch_size=2, threads=1)() for work in (systems.write, systems.hf_write))
    finally:
        torch.set_num_threads(threads)
    assert ours["ids"] == theirs["ids"] and ours["tokens"] == 10
    assert len(set(map(tuple, ours["ids"]))) == 2


def test_a_marian_and_its_peer_find_the_same(tmp_path, monkeypatch):
    pytest.importorskip("transformers", reason="needs the extra reference")
    monkeypatch.setattr(systems, "WRITTEN", 6)
    monkeypatch.setattr(systems, "MARIAN_WORDS", 50)
    systems.new_marian(str(tmp_path), 1, 64)
    threads = torch.get_num_threads()
    try:
        ours, theirs = (work(str(tmp_path), batch_size=3, threads=1)() for work in (systems.search, systems.hf_search))
    finally:
        torch.set_num_threads(threads)
    assert ours["ids"] == theirs["ids"] and ours["tokens"] == 15  # five of each text, an end among them


def test_a_ratio_of_runs_that_followed_one_another():
    """What slows down both does not count: the machine was ten times as slow in the second pair."""
    ours, theirs = (measure.System.__new__(measure.System) for _ in range(2))
    ours.runs = [{"seconds": 1.0}, {"seconds": 10.0}, {"seconds": 1.0}]
    theirs.runs = [{"seconds": 2.0}, {"seconds": 20.0}, {"seconds": 1.5}]
    assert ours.times_as_fast(theirs) == 2.0
    row = {"work": "write", "system": "minbert", "tokens_per_second": 3, "times_the_peer": 1.25}
    assert strongest(row, [row, row | {"system": "a peer", "tokens_per_second": 1}]) == ("a peer", 1.25)


@pytest.mark.filterwarnings("default")
def test_the_gpu_bench_runs_on_a_cpu_in_small(monkeypatch, tmp_path, capsys):
    pytest.importorskip("transformers")
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "max_position_embeddings": 20}
    gpu.main(1, "cpu", sizes, number=8, batch_size=4, size=32)
    record = json.loads((tmp_path / "gpu.json").read_text())
    assert [(row["work"], row["system"]) for row in record["rows"]][:2] == [
        ("predict", "transformers"),
        ("predict", "minbert"),
    ]
    assert "| train | minbert |" in capsys.readouterr().out
