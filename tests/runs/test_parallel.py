"""Two processes are as good as one: the same weights, the same predictions, one voice."""

import copy
import json
import math
import os
import re
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from minbert import BertSentClassifier, UserError
from minbert.batch import make_batch
from minbert.families import bert
from minbert.files.conll import Sentences
from minbert.files.examples import read_examples
from minbert.files.squad import Questions
from minbert.runs import parallel, state
from minbert.runs.classifier import begin, fit, predict
from minbert.tasks import TASKS
from minbert.tasks.spans import Spans
from minbert.training import Data, Settings, batch_loss, class_weights, update
from tests.conftest import ROOT

PATIENCE = 120  # seconds, for two processes that start on a busy machine; one that waits for the other waits for ever


def free_port():
    with socket.socket() as place:
        place.bind(("localhost", 0))
        return str(place.getsockname()[1])


def work(rank, port, pipe):
    """What each of the two processes does: call what it is told, and send back what comes out."""
    where = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= where | {"LOCAL_RANK": str(rank)}
    torch.set_num_threads(1)
    parallel.start()
    while True:
        function, *arguments = pipe.recv()
        try:
            pipe.send(function(*arguments))
        except Exception as error:
            pipe.send(error)


@pytest.fixture(scope="module")
def both():
    """both(function, *arguments) -> what it returns, or raises, in each of two processes that work together."""
    context, port = multiprocessing.get_context("spawn"), free_port()
    pipes, processes = [], []
    for rank in range(2):
        here, there = context.Pipe()
        processes.append(context.Process(target=work, args=(rank, port, there), daemon=True))
        processes[-1].start()
        pipes.append(here)

    def both(*call):
        for pipe in pipes:
            pipe.send(call)
        if not all(pipe.poll(PATIENCE) for pipe in pipes):
            for process in processes:  # so that the next call fails at once
                process.kill()
            pytest.fail("one process waits for the other")
        return [pipe.recv() for pipe in pipes]

    yield both
    for process in processes:
        process.kill()
        process.join()


@pytest.fixture
def lessons(tokenizer):
    """Eleven sentences of different lengths, of a common and a rare class."""
    texts = [f"the {thing} was {word}" for thing in ("film", "plot") for word in ("good", "wonderful !", "unaffable .")]
    texts += ["a good , good , good film !", "bad", "not a wonderful plot", "the bad film was bad .", "a plot"]
    return Data(tokenizer(texts), [1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 1])


# Batches of 5, 5 and 1: uneven shares, and in the last batch nothing for rank 1.
SETTINGS = Settings(epochs=4, batch_size=5, lr=0.01, seed=5)


def train(config, lessons, settings=SETTINGS, dropout=0.0, best=True):
    """A new model's weights after training, what happened on the way, what it predicts, and where its dropout began."""
    torch.manual_seed(0)
    model = BertSentClassifier(config.change(initializer_range=0.2, classifier_dropout=dropout))
    losses = []
    history = fit(
        model,
        lessons,
        lessons if best else None,
        settings,
        watch=lambda _, figures, rate: losses.append(figures["loss"]),
    )
    figures = [{name: value for name, value in line.items() if "seconds" not in name} for line in history]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    return weights, losses, figures, predict(model, lessons), torch.initial_seed()


def train_on_tokens(config, tokenizer, kind):
    """The same for tags of sentences, or for answers in passages: rows of one batch have 1 to 6 words, or windows."""
    task = {"tags": TASKS["tags"], "spans": Spans(overlap=2, none=True)}[kind]
    words = [["the", "good", "film", "was", "not", "bad"][:length] for length in (1, 6, 2, 5, 3, 4, 1)]
    tags = [["B-X" if word in ("good", "bad") else "O" for word in each] for each in words]
    found = {
        "tags": Sentences("", words, tags, [[1] * len(each) for each in words]),
        "spans": Questions("", list("1234567"), ["was it"] * 7, [" ".join(each) for each in words],
                           [[(0, 3)], [(4, 8)], [], [(4, 8)], [(9, 13)], [(4, 8)], []], [*range(7)]),
    }[kind]  # fmt: skip
    labels = task.labels(found)
    encoded = task.encode(found, tokenizer, 10)
    data = Data(encoded.encoding, task.targets(found, task.gold(found, labels), labels, encoded))
    torch.manual_seed(0)
    model = bert.MODELS[task.head](config.change(initializer_range=0.2, **task.changes(labels)))
    losses = []
    watch = {"watch": lambda _, figures, rate: losses.append(figures["loss"])}
    history = fit(model, data, data, SETTINGS, task=task, **watch)
    figures = [{name: line[name] for name in ("loss", "best", *task.shown)} for line in history]
    sizes = [len(ids) for ids in encoded.encoding["input_ids"]]
    at = {"tags": 0, "spans": 1}[kind]
    logits = [row.narrow(at, 0, size).clone() for row, size in zip(predict(model, data), sizes, strict=True)]
    return {name: value.clone() for name, value in model.state_dict().items()}, losses, figures, logits


def distance(weights, others, unseen=()):
    """The largest difference between two models' weights, key biases and those whose names end as `unseen` apart.

    A key's bias adds the same to all scores of a query, and softmax does not see it: its gradient is rounding error
    around 0, and Adam takes steps of full size after it.
    """
    assert weights.keys() == others.keys()
    names = [name for name in weights if not name.endswith(("key.bias", *unseen))]
    return max((weights[name] - others[name]).abs().max().item() for name in names)


def draw(config, lessons):
    """The same with dropout: the weights, and the seed of this process."""
    weights, *_, seed = train(config, lessons, dropout=0.5)
    return weights, seed


def ask():
    """Of two processes the second has had a SIGTERM."""
    return parallel.highest(15 * parallel.rank())


def go_on(config, lessons, path):
    """Whether a run that is killed after four steps and goes on ends with the weights of a whole one, bit for bit."""

    def new():
        torch.manual_seed(0)
        return begin(BertSentClassifier(config.change(classifier_dropout=0.5)), lessons, lessons, SETTINGS)

    whole, steps = new(), []
    whole.train()

    def watch(progress, figures, rate):
        steps.append(figures["loss"])
        if len(steps) == 4:
            tensors, progress = loop.state()
            if parallel.writer():
                state.save_state(path, tensors, {"progress": progress})
            raise InterruptedError

    loop = new()
    with suppress(InterruptedError):
        loop.train(watch=watch)
    torch.distributed.barrier()
    loop = new()
    tensors, facts = state.load_state(path)
    loop.restore(tensors, facts["progress"])
    loop.train()
    weights, expected = loop.task.model.state_dict(), whole.task.model.state_dict()
    return len(steps), all(torch.equal(weight, weights[name]) for name, weight in expected.items())


def step(config, lessons, rows, weight, poison=0.0):
    """One step on a batch of these rows: its loss and its gradients, clipped; or its error, and whether nothing moved.

    poison  added to the vector of a token of the last row
    """
    torch.manual_seed(0)
    model = BertSentClassifier(config.change(initializer_range=0.5))
    batch = make_batch(lessons.encoding, lessons.labels, rows)
    with torch.no_grad():
        model.bert.embeddings.token.weight[batch.input_ids[-1, 1]] += poison
    wrapped = parallel.wrap(model, 0)
    before = copy.deepcopy(model.state_dict())
    part, factor = parallel.share(batch, lambda labels: TASKS["class"].count(labels, weight))
    loss = parallel.mean(factor * batch_loss(wrapped, part, weight))
    try:
        update(model, loss, torch.optim.SGD(model.parameters(), lr=0.1), max_grad_norm=0.1)
    except UserError as error:
        return str(error), all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    return loss.item(), {name: p.grad for name, p in model.named_parameters()}


def read(config, lessons, copies):
    """The logits of several copies of the texts, and the batches in which they were read."""
    torch.manual_seed(0)
    model = BertSentClassifier(config.change(initializer_range=0.5))
    data = Data({name: rows * copies for name, rows in lessons.encoding.items()}, None)
    seen = []
    return predict(model, data, bar=lambda stream, total: (seen.append(rows) or rows for rows in stream)), seen


ADDED_TO_ALL = ("answers.bias", "layers.1.feed_forward_norm.bias")  # to the scores of all tokens of a window


@pytest.mark.parametrize("kind", ["tags", "spans"])
@pytest.mark.parametrize("option", ["flexible", "pretrain"])
def test_two_processes_learn_tags_and_answers_as_one_does(both, tiny, tokenizer, kind, option):
    """Their shares of a batch have different numbers of words: the mean is over those of the whole batch."""
    config = tiny.change(option=option, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    alone, losses, history, logits = train_on_tokens(config, tokenizer, kind)
    for weights, *found in both(train_on_tokens, config, tokenizer, kind):
        assert distance(weights, alone, {"tags": (), "spans": ADDED_TO_ALL}[kind]) < 1e-4
        assert found[0] == pytest.approx(losses, abs=1e-5)
        assert found[1] == [pytest.approx(line, abs=1e-4) for line in history]
        for one, two in zip(found[2], logits, strict=True):
            dim = -1  # the classes of a token, or the tokens of a window
            assert torch.allclose(one.log_softmax(dim), two.log_softmax(dim), atol=1e-4)


@pytest.mark.fault("command line: several processes, one that dies or has less to do")
@pytest.mark.parametrize("pooling", ["pooler", "mean"])
@pytest.mark.parametrize("balanced", [False, True], ids=["mean", "class weights"])
@pytest.mark.parametrize("option", ["flexible", "pretrain"])
def test_two_processes_learn_what_one_learns(both, tiny, lessons, option, balanced, pooling):
    config = tiny.change(option=option, pooling=pooling)
    settings = Settings(**vars(SETTINGS) | {"balanced": balanced})
    alone, losses, history, logits, _ = train(config, lessons, settings)
    for weights, *found in both(train, config, lessons, settings):
        assert distance(weights, alone) < 1e-6
        assert found[0] == pytest.approx(losses, abs=1e-6)
        assert [line.pop("loss") for line in found[1]] == pytest.approx([line["loss"] for line in history], abs=1e-6)
        assert found[1] == [{name: line[name] for name in line if name != "loss"} for line in history]
        assert (found[2] - logits).abs().max() < 1e-5


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("rows", [(0, 2, 3, 5, 7), (8, 9), (2,)], ids=len)
def test_a_step_has_the_loss_and_gradient_of_the_whole_batch(both, tiny, lessons, rows, weighed):
    weight = class_weights(lessons.labels, 2) if weighed else None
    loss, gradients = step(tiny, lessons, rows, weight)
    for other, others in both(step, tiny, lessons, rows, weight):
        assert other == pytest.approx(loss, rel=1e-6)
        assert max((gradients[name] - grad).abs().max() for name, grad in others.items()) < 1e-6


@pytest.mark.fault("numbers: a loss or a gradient that is NaN or infinite")
def test_a_loss_that_is_not_finite_stops_all_before_any_weight_moves(both, tiny, lessons):
    """The last of two rows, which rank 1 reads, has a token that is infinite."""
    for message, unmoved in both(step, tiny, lessons, (10, 7), None, math.inf):
        assert message.startswith("the loss is nan") and unmoved


def test_each_process_draws_dropout_of_its_own_and_the_same_again(both, tiny, lessons):
    (weights, seed), (others, other_seed) = both(draw, tiny, lessons)
    assert (seed, other_seed) == (5, 6)
    assert distance(weights, others) == 0
    assert distance(weights, both(draw, tiny, lessons)[0][0]) == 0
    assert distance(weights, train(tiny, lessons)[0]) > 1e-3


def test_a_pooler_that_nobody_reads_does_not_decay(both, tiny, lessons):
    weights = both(train, tiny.change(pooling="mean"), lessons)[0][0]
    torch.manual_seed(0)
    fresh = BertSentClassifier(tiny.change(initializer_range=0.2))
    assert torch.equal(weights["bert.pooler.weight"], fresh.bert.pooler.weight)


@pytest.fixture
def one_thread():
    """As in each of the processes of `both`: the number of threads changes the last bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_two_processes_go_on_bit_for_bit_each_with_its_own_dropout(both, tiny, lessons, tmp_path):
    assert both(go_on, tiny, lessons, tmp_path / "state.safetensors") == [(4, True)] * 2


WHERE = {"WORLD_SIZE": "2", "RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29500"}


@pytest.mark.fault("command line: several processes, one that dies or has less to do")
@pytest.mark.parametrize(
    "said, wrong",
    [
        ({"RANK": "", "MASTER_ADDR": "", "MASTER_PORT": ""}, "RANK, MASTER_ADDR, MASTER_PORT"),  # a batch system's
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE"),
        ({"RANK": "2"}, "RANK"),
        ({"LOCAL_RANK": "gpu0"}, "LOCAL_RANK"),
        ({"MASTER_PORT": "http"}, "MASTER_PORT"),
    ],
)
def test_what_says_that_there_are_several_processes_is_checked(monkeypatch, capsys, said, wrong):
    for name, value in (WHERE | said).items():
        monkeypatch.setenv(name, value)
    assert parallel.together(lambda: pytest.fail("begun")) == 2
    err = capsys.readouterr().err
    assert f"but this is missing or wrong: {wrong}; start them with torchrun, or unset WORLD_SIZE" in err


def test_a_process_without_company_is_alone(monkeypatch):
    for size in ("1", ""):
        monkeypatch.setenv("WORLD_SIZE", size)
        assert parallel.together(lambda: 7) == 7


def test_processes_that_do_not_find_each_other_say_so(monkeypatch, capsys):
    for name, value in (WHERE | {"RANK": "0"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)

    def rendezvous(url):
        raise torch.distributed.DistNetworkError("The client socket has timed out")

    monkeypatch.setattr(torch.distributed, "rendezvous", rendezvous)
    assert parallel.together(lambda: pytest.fail("begun")) == 2
    waiting, error = capsys.readouterr().err.splitlines()
    assert waiting.startswith("WORLD_SIZE is 2: waiting at localhost:29500 for the other processes")
    assert error.startswith("error: the 2 processes do not find each other at localhost:29500 ('The client socket")


def test_what_one_process_is_asked_all_hear(both):
    assert both(parallel.highest, 0) == [0, 0]
    assert both(ask) == [15, 15]


@pytest.mark.fault("command line: several processes, one that dies or has less to do")
@pytest.mark.parametrize("copies", [1, 30])
def test_each_text_is_predicted_once_and_stands_in_its_place(both, tiny, lessons, copies, one_thread):
    """One batch, which rank 0 reads alone, and several."""
    alone, seen = read(tiny, lessons, copies)
    assert (len(seen) > 1) == (copies > 1)
    for logits, _ in both(read, tiny, lessons, copies):
        assert torch.equal(logits, alone)


# The program


def torchrun(script, *arguments, look=0.1):
    """What a script leaves and says in two processes. look  torchrun sees after so many seconds who has ended"""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port", free_port()]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command += ["--monitor_interval", str(look), script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE, env=environment)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


PROGRAM = """
import os, sys
from pathlib import Path
from minbert.__main__ import main

def only_rank_0_writes(event, arguments):
    if event == "open" and "out" in Path(str(arguments[0])).parts and set(arguments[1] or "") & set("wa+"):
        os._exit(7)

if os.environ["RANK"] != "0":
    sys.addaudithook(only_rank_0_writes)
sys.exit(main(["train", *sys.argv[1:]]))
"""


def test_one_of_two_processes_writes_and_speaks(place):
    flags = ["--device", "cpu", "--out", "out", "--limit", "41", "--epochs", "1", "--batch_size", "7"]
    Path("program.py").write_text(PROGRAM)
    ran = torchrun("program.py", *flags, "--max_length", "16")
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    for start in ("minbert ", "data", "model", "training: ", "  epoch 1 ", "dev: ", "test: ", "time: ", "written to"):
        assert sum(line.startswith(start) for line in lines) == 1, start
    assert "1 thread in each of 2 processes" in lines[0]
    warnings = [line.split(": ")[:2] for line in ran.stderr.splitlines()]  # of texts that were cut
    assert warnings == [["warning", part] for part in ("train", "dev", "test")]
    record = json.loads(Path("out/run.json").read_text(encoding="utf-8"))
    assert record["machine"]["processes"] == 2
    for part in ("dev", "test"):
        gold = read_examples(ROOT / "data" / "reviews" / f"{part}.csv")
        predicted = [line.split(" ||| ", 1) for line in Path(f"out/{part}_out.txt").read_text("utf-8").splitlines()]
        assert [text.split() for _, text in predicted] == [text.split() for text in gold.texts[:41]]
        right = sum(label == ("negative", "positive")[int(id)] for label, (id, _) in zip(gold.labels, predicted))
        assert record["scores"][part]["accuracy"] == pytest.approx(right / 41)
        assert sum(map(sum, record["scores"][part]["matrix"])) == 41


MISTAKES = """
import os, sys, time, torch
from minbert import UserError
from minbert.commands import common
from minbert.runs import parallel

def main(arguments):
    print("begin")
    if arguments == ["killed"]:
        parallel.highest(0)  # from here on they have met
        if parallel.rank() == 1:
            os.kill(os.getpid(), 9)
    if parallel.rank() == 0 and arguments != ["all"]:
        parallel.mean(torch.ones(1))  # which never comes
    if parallel.rank() == 0:
        time.sleep(1)
    raise UserError(f"wrong in {parallel.rank()}")

parallel.FIRST_WORD = 5 if sys.argv[1] == "all" else 0.5
sys.exit(parallel.together(lambda: common.run(main)))
"""


@pytest.mark.fault("command line: several processes, one that dies or has less to do")
@pytest.mark.parametrize(("who", "rank"), [("all", "0"), ("one", "1")])
def test_a_mistake_is_reported_once_and_ends_all(place, who, rank):
    Path("mistakes.py").write_text(MISTAKES)
    ran = torchrun("mistakes.py", who)
    assert ran.returncode != 0
    assert ran.stdout == "begin\n"
    assert re.findall("error: wrong in (.)", ran.stderr) == [rank]
    assert "exitcode  : 2 " in ran.stderr
    assert "parallel.py" not in ran.stderr  # as in a traceback


@pytest.mark.fault("command line: several processes, one that dies or has less to do")
def test_a_process_that_is_killed_is_missed_in_one_line(place):
    Path("mistakes.py").write_text(MISTAKES)
    ran = torchrun("mistakes.py", "killed", look=10)  # or it might stop the other process before that has noticed
    assert ran.returncode != 0
    assert f"\nerror: {parallel.LOST}\n" in f"\n{ran.stderr}"
    assert "parallel.py" not in ran.stderr
