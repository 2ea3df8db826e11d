"""What the benchmarks compute from what they measure; the speeds themselves are in bench/results, not here."""

import importlib.util
import json
import re
import warnings
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import gpu, learning, learnt, measure, page, prediction, scale, systems, texts, tokens
from bench.peers import predicting, tokenizing, training, writing
from bench.serve import checks, load
from minbert import BertSentClassifier, BertTokenizer
from minbert.weights import hub
from tests.conftest import ROOT


@pytest.fixture
def films(tmp_path):
    """Two short texts as the systems read them, with the ids of tiny."""
    return texts.write(tmp_path / "texts.jsonl", ["a film", "a good film"], tokenizer="tiny")


def test_the_cost_of_a_token_by_hand(films):
    """tiny has 6 layers of hidden size 384, and twice 4 * 384^2 + 2 * 384 * 1536 weights in each; attention comes on
    top: 4 * 384 for each pair of tokens."""
    tiny, ids = str(hub.find("tiny")), load(films).ids
    first, second = map(len, ids)
    weights, pairs = 4 * 384 * 384 + 2 * 384 * 1536, (first**2 + second**2) / (first + second)
    assert systems.flops(tiny, ids) == pytest.approx(6 * (2 * weights + 4 * 384 * pairs))
    assert systems.flops(tiny, ids, training=True) == pytest.approx(3 * systems.flops(tiny, ids))


def test_a_system_runs_in_a_process_of_its_own_and_tells_its_peak(films):
    system = measure.System("predict", folder=str(hub.find("tiny")), path=films)
    measure.race({"minbert": system, "a peer that is not there": None}, 2)
    assert len(system.runs) == 2 and system.median() > 0
    assert system.runs[0]["tokens"] == 9 and 50 < system.peak_mb < 5000
    assert system.process.returncode == 0
    lines = measure.rows("predict", {"minbert": system, "a peer that is not there": None})
    assert lines[0]["tokens_per_second"] > lines[0]["with_tokenizing_per_second"] > 0
    assert lines[1] == {"work": "predict", "system": "a peer that is not there", "missing": True}


def test_a_system_that_fails_ends_the_bench(tmp_path):
    with pytest.raises(SystemExit, match="exit status 1"):
        measure.System("predict", folder=str(tmp_path), path="nowhere.txt").run()


@pytest.mark.parametrize("value, text", [(12345.6, "12,300"), (0.01234, "0.01"), (3.456, "3.46"), (45.67, "45.7")])
def test_three_digits(value, text):
    assert measure.rounded(value) == text


def test_a_line_of_the_table():
    row = {"work": "predict", "system": "minbert", "tokens_per_second": 12345.6, "of_peak": 0.678, "peak_mb": 512.3}
    peer = {"work": "predict", "system": "a peer", "tokens_per_second": 6000, "peak_mb": 99}
    line = ("predict", "minbert", "12,300 tokens", "2.06", "a peer", "", "68 %", "512")
    assert page.cells(row, [peer, row], True) == line
    timed, beside = ({**each, "with_tokenizing_per_second": speed} for each, speed in ((row, 9000), (peer, 3000)))
    assert page.cells(timed, [beside, timed], False)[5] == "9,000 tokens, 3.00 of a peer"
    absent = {"work": "predict", "system": "a peer", "missing": True}
    assert page.cells(absent, [absent, row], False) == ("", "a peer", "not to be had here", "", "", "", "", "")
    other = {"work": "cut", "system": "x", "bytes_per_second": 2e6, "peak_mb": 9, "texts": 8000, "others": 31}
    assert page.cells(other, [other], True)[1:3] == ("x (other ids in 31 of 8,000 texts)", "2.0 MB")


def test_what_is_slower_is_named():
    rows = [
        {"work": f"predict {kind}, mean", "system": system, "tokens_per_second": speed}
        for kind, speeds in (("SST", (100, 90)), ("Chinese", (100, 110)))
        for system, speed in zip(("OpenVINO", "minbert"), speeds)
    ]
    record = {"machine": {"processor": "A CPU", "threads": 1, "versions": {}}, "rows": rows}
    assert list(page.ratios([record])) == [("predict, mean", [("SST", "OpenVINO", 0.9), ("Chinese", "OpenVINO", 1.1)])]
    assert page.behind([record]).splitlines()[2:] == ["- predict, mean: SST (0.90 of OpenVINO)"]
    assert "- nothing" in page.behind([record | {"rows": rows[2:]}])


def test_a_tokenizer_with_many_other_ids_is_no_peer():
    ours = {"work": "cut", "system": "minbert, warm", "bytes_per_second": 6, "texts": 200, "others": 0}
    peers = [ours | {"system": f"{others}", "bytes_per_second": 3 + others, "others": others} for others in (0, 2, 3)]
    assert page.strongest(ours, [*peers, ours]) == ("2", 1.2)
    assert page.strongest(ours, [ours]) is None


def test_the_strongest_peer_is_the_fastest_one_in_the_same_precision():
    speeds = {"transformers": 10, "onnxruntime": 40, "onnxruntime int8": 80, "minbert": 50, "minbert, int8": 60}
    rows = [{"work": "predict", "system": name, "tokens_per_second": speed} for name, speed in speeds.items()]
    other = {"work": "train", "system": "transformers", "tokens_per_second": 1000}
    found = [page.strongest(row, [*rows, other]) for row in rows]
    assert found == [
        ("onnxruntime", 0.25),
        ("onnxruntime", 1.0),
        ("onnxruntime int8", 1.0),
        ("onnxruntime", 1.25),
        ("onnxruntime int8", 0.75),
    ]
    whole = [{"work": "all", "system": name, "seconds": seconds} for name, seconds in (("peer", 6), ("minbert", 2))]
    assert page.strongest(whole[1], whole) == ("peer", 3.0)


def test_without_sst_the_shipped_reviews_stand_in(tmp_path):
    found = texts.find_data(tmp_path)
    paths = [*found.pop("tweets"), *found.values()]
    assert {Path(path).name for path in paths} == {"train.csv", "dev.csv"}
    assert all(Path(path).exists() for path in paths)


def test_the_kinds_of_text(tmp_path):
    found = texts.kinds(texts.find_data(tmp_path))
    assert set(found) == set(texts.NUMBER) and all(found.values())
    assert all(len(some) <= (texts.NUMBER[kind] or len(some)) for kind, some in found.items())
    assert not any(len(word.split()) > 1 for word in found["words"])
    assert set("".join(found["Chinese"])) <= set(texts.CLASSIC) | {"，", "。"} and len(set(texts.PHRASES)) == 28
    assert found["Chinese"] == texts.chinese(texts.NUMBER["Chinese"])


@pytest.mark.parametrize("path, made", [(page.PAGE, page.page), (page.README, page.short)])
def test_a_page_holds_what_is_made_from_the_results(path, made):
    text = path.read_text(encoding="utf-8")
    assert text.count(page.MARKS[0]) == text.count(page.MARKS[1]) == 1
    assert text.partition(page.MARKS[0])[2].partition(page.MARKS[1])[0].strip() == made()


def test_another_processor_is_written_beside_and_has_a_table_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    for features, speed in (("avx2", 1000.0), ("avx2, avx512f", 2000.0), ("avx2", 3000.0)):
        machine = {"processor": f"A CPU ({features})", "threads": 2, "versions": {"minbert": "1", "torch": "2"}}
        monkeypatch.setattr(measure, "machine", lambda machine=machine: machine)
        row = {"work": "frozen", "system": "minbert", "tokens_per_second": speed, "peak_mb": 1}
        measure.save("frozen", [row])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-cpu-avx2-2-threads", "a-cpu-avx2-avx512f-2-threads"]
    tables = page.page().split("### ")[1:]
    heads = [f"A CPU ({features}), 2 threads; minbert 1, torch 2" for features in ("avx2", "avx2, avx512f")]
    assert [table.partition("\n")[0] for table in tables] == heads
    assert "3,000 tokens" in tables[0] and "2,000 tokens" in tables[1] and "1,000 tokens" not in page.page()


def learnt_texts(folder, learn, size):
    rows = ["a film's end", "the films, the film", "don't  film 1999!", "Größe of films"] * 3
    learn(folder, rows, size)
    return (
        str(folder),
        texts.write(folder / "texts.jsonl", rows, tokenizer="tiny"),
        sum(map(len, map(str.encode, rows))),
    )


@pytest.mark.parametrize(
    "learn, size, peers",
    [
        (learnt.learn_bpe, 280, {"tokenizers_bpe": "tokenizers", "tiktoken_bpe": "tiktoken"}),
        (learnt.learn_unigram, 40, {"tokenizers_unigram": "tokenizers", "sentencepiece_unigram": "sentencepiece"}),
    ],
)
def test_the_peers_of_a_learnt_tokenizer_give_our_ids(tmp_path, learn, size, peers):
    """Of each peer that is there."""
    for package in ("tokenizers", "sentencepiece"):
        pytest.importorskip(package, reason="needs the extra reference")
    folder, path, number = learnt_texts(tmp_path, learn, size)
    ours = [systems.tokenize(folder, path, warm=warm)() for warm in (True, False)]
    assert ours[0]["checks"] == ours[1]["checks"] and len(set(ours[0]["checks"])) == 4
    for peer, package in peers.items():
        if importlib.util.find_spec(package):
            run = tokenizing.tokenize(peer, folder, path, threads=1)()
            assert (run["checks"], run["bytes"]) == (ours[0]["checks"], number)


def answered(name, **figures):
    """A system that has run once, and gave this."""
    system = measure.System.__new__(measure.System)
    system.name, system.warm, system.runs, system.peak_mb = name, {"seconds": 1.0, **figures}, [], 1.0
    system.runs.append(system.warm)
    return system


def test_logits_that_lie_apart_end_the_bench():
    wanted = np.random.default_rng(0).normal(size=(50, 3))
    one_wrong = wanted.copy()
    one_wrong[7] = one_wrong[8]
    for name, logits, fits in (
        ("a peer", wanted + 1e-6, True),
        ("a peer", one_wrong, False),
        ("a peer int8", one_wrong, True),
        ("a peer int8", wanted[::-1], False),
        ("a peer", wanted * np.nan, False),
    ):
        found, lines = {name: answered(name, logits=logits.tolist()), "absent": None}, [{"system": name}, {}]
        if fits:
            prediction.compare("predict", lines, found, wanted)
            assert 0 < lines[0]["apart"] < 0.35 and lines[1] == {}
        else:
            with pytest.raises(SystemExit, match=f"predict, {name}: logits .* above"):
                prediction.compare("predict", lines, found, wanted)


def test_losses_that_lie_apart_end_the_bench(monkeypatch):
    theirs = {"training.trainer": [1.0, 2.0], "training.tuned": [1.00005, 2.0], "train": [1.0, 1.99995]}
    monkeypatch.setattr(learning, "System", lambda name, **options: answered(name, losses=theirs[name]))
    monkeypatch.setattr(learning, "peer", lambda package, name, **options: answered(name, losses=theirs[name]))
    monkeypatch.setattr(learning, "race", lambda contest, runs: contest)
    learning.agree("train")
    theirs["training.tuned"] = [1.0, 2.001]
    with pytest.raises(SystemExit, match="the losses of transformers, tuned loop are"):
        learning.agree("train")


def test_ids_that_differ_are_counted(tmp_path, monkeypatch):
    """A peer gives one text of two other ids; another peer is not there."""
    path, found = str(tmp_path / "texts.jsonl"), checks([[1], [2]])
    monkeypatch.setattr(tokens, "System", lambda name, **options: answered(name, bytes=9, checks=found))
    wrong = {"there": answered("there", bytes=9, checks=checks([[1], [3]])), "absent": None}
    monkeypatch.setattr(tokens, "peer", lambda package, name, **options: wrong[package])
    monkeypatch.setattr(tokens, "race", lambda contest, runs: contest)
    lines = tokens.tokenizing("cut", tmp_path, path, {"there": ("there", [1]), "absent": ("absent", [1])}, 1)
    assert [line.get("others") for line in lines] == [1, None, 0, 0] and lines[1]["missing"]


def test_other_ids_or_labels_end_the_bench(monkeypatch, tmp_path):
    with pytest.raises(SystemExit, match="a peer: other ids than"):
        answered("a peer", ids=[1, 2]).must_equal([1, 3], "ids")
    out = tmp_path / "labels"
    commands = {name: ["-c", f"open({str(out)!r}, 'w').write({text!r})"] for name, text in (("a", "1\n"), ("b", "1\n"))}
    lines = prediction.processes("whole", commands, 1, out)
    assert [line["system"] for line in lines] == ["a", "b"] and all(line["seconds"] > 0 for line in lines)
    commands["b"][1] = commands["b"][1].replace("'1", "'2")
    with pytest.raises(SystemExit, match="whole: b gives other labels"):
        prediction.processes("whole", commands, 1, out)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A small classifier of each pooling with large weights, in the forms of all peers; and texts."""
    for package in ("transformers", "onnxruntime", "accelerate"):
        pytest.importorskip(package, reason="needs the extra reference")
    from tokenizers import BertWordPieceTokenizer

    place, tokenizer = tmp_path_factory.mktemp("folders"), BertTokenizer.from_pretrained("tiny")
    sizes = {"vocab_size": len(tokenizer.vocab), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "max_position_embeddings": 512, "num_labels": 3, "initializer_range": 0.3}
    for pooling in ("pooler", "mean"):
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # transformers knows no mean
            BertSentClassifier(sizes | {"pooling": pooling}).save_pretrained(place / pooling)
        tokenizer.save_pretrained(place / pooling)
        BertWordPieceTokenizer(str(place / pooling / "vocab.txt")).save(str(place / pooling / "tokenizer.json"))
        prediction.convert(place / pooling)
    some = ["a film", "the", "a good film that is long, and has an end", "the end", "not a good film"]
    return place, texts.write(place / "texts.jsonl", some, [0, 1, 2, 1, 0], tokenizer="tiny")


PEERS = [(name, function, package) for name, (package, function) in prediction.PEERS.items() if "int8" not in name]


@pytest.mark.parametrize("pooling", ["pooler", "mean"])
@pytest.mark.parametrize("name, function, package", PEERS)
@pytest.mark.filterwarnings("ignore")
def test_a_peer_gives_our_logits(folders, monkeypatch, pooling, name, function, package):
    """Of ids in batches of two, padded, and of single texts."""
    pytest.importorskip(package, reason="needs the extra bench")
    if "compile" in name and not prediction.has_compiler():
        pytest.skip("needs a compiler")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    place, path = folders
    wanted = prediction.plain_logits(place / pooling, path)
    assert wanted.std() > 0.1
    run = predicting.predict(function, str(place / pooling), path, size=2)()
    assert np.abs(np.array(run["logits"]) - wanted).max() < 1e-5 and run["tokens"] == sum(map(len, load(path).ids))
    if "compile" not in name:
        alone = predicting.latency(function, str(place / pooling), path)()
        assert np.abs(np.array(alone["logits"]) - wanted).max() < 1e-5 and len(alone["each"]) == 5


def test_ours_gives_our_logits(folders):
    for pooling in ("pooler", "mean"):
        place, path = folders[0] / pooling, folders[1]
        wanted = prediction.plain_logits(place, path)
        for run in (systems.predict(str(place), path)(), systems.latency(str(place), path)()):
            assert np.abs(np.array(run["logits"]) - wanted).max() < 1e-5


def test_the_memory_of_predict_over_lines_that_are_new(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    scale.memory(tmp_path, texts.find_data(tmp_path), minutes=0.02, every=0.3)
    (path,) = tmp_path.glob("*/memory.json")
    record = json.loads(path.read_text())
    assert record["lines"] > 0 and record["lines"] % 100 == 0 and record["rows"][0]["lines"] == 0
    assert "| seconds of predict | lines | MB |" in capsys.readouterr().out
    assert scale.growth([{"seconds": at, "lines": 9 * at, "mb": 7.0} for at in range(99)]).count("\n") == 13


@pytest.mark.filterwarnings("ignore")
def test_the_peers_of_training_have_our_losses(folders):
    """Without dropout, in the order of the file; the loop that groups texts by length has other losses."""
    options = {"folder": str(folders[0] / "pooler"), "path": folders[1], "batch_size": 2}
    same = options | {"changes": learning.NO_DROPOUT}
    ours = systems.train(**same)()["losses"]
    assert len(ours) == 3 and ours[0] != pytest.approx(ours[1], abs=1e-3)
    assert training.tuned(**same, is_grouped=False)()["losses"] == pytest.approx(ours, abs=1e-4)
    assert training.trainer(**same)()["losses"] == pytest.approx(ours, abs=1e-4)
    assert training.tuned(**same)()["losses"] != pytest.approx(ours, abs=1e-3)


def test_a_gpt2_and_its_peer_write_the_same(tmp_path, monkeypatch):
    pytest.importorskip("transformers", reason="needs the extra reference")
    monkeypatch.setattr(writing, "WRITTEN", 5)
    learnt.new_gpt(str(tmp_path), 1, 64)
    threads = torch.get_num_threads()
    try:
        ours, theirs = (work(str(tmp_path), batch_size=2, threads=1)() for work in (systems.write, writing.generate))
    finally:
        torch.set_num_threads(threads)
    assert ours["ids"] == theirs["ids"] and ours["tokens"] == 10
    assert len(set(map(tuple, ours["ids"]))) == 2


def test_a_marian_and_its_peer_find_the_same(tmp_path, monkeypatch):
    pytest.importorskip("transformers", reason="needs the extra reference")
    monkeypatch.setattr(writing, "WRITTEN", 6)
    monkeypatch.setattr(writing, "MARIAN_WORDS", 50)
    learnt.new_marian(str(tmp_path), 1, 64)
    threads = torch.get_num_threads()
    try:
        ours, theirs = (work(str(tmp_path), batch_size=3, threads=1)() for work in (systems.search, writing.search))
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
    assert page.strongest(row, [row, row | {"system": "a peer", "tokens_per_second": 1}]) == ("a peer", 1.25)


@pytest.mark.filterwarnings("default")
def test_the_gpu_bench_runs_on_a_cpu_in_small(monkeypatch, tmp_path, capsys):
    pytest.importorskip("transformers")
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "max_position_embeddings": 20}
    gpu.main(1, "cpu", sizes, number=8, batch_size=4, size=32)
    record = json.loads((tmp_path / "cpu" / "gpu.json").read_text())
    assert [(row["work"], row["system"]) for row in record["rows"]][:2] == [
        ("predict", "transformers"),
        ("predict", "minbert"),
    ]
    assert "| train | minbert |" in capsys.readouterr().out


def test_make_installs_the_peers_that_the_package_names():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    named = setup["options.extras_require"]["bench"].split()
    assert re.search(r"for peer in (.*); do", (ROOT / "Makefile").read_text("utf-8"))[1].split() == named
    pinned = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    assert all(any(line.startswith(f"{name}==") for line in pinned) for name in named)
