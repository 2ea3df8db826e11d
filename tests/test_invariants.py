"""What must hold of any model, whatever its weights: a small random one, and real ones where they are at hand.

Beside these: unpadded attention equals the plain one (test_fast.py), no token sees the future (test_heads.py), a text's
place in the file is its place in the answer (test_training.py, test_predict.py).
"""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from minbert import BertForMaskedLM, BertSentClassifier, BertTokenizer, fast, probing
from minbert.batch import make_batch
from minbert.files.examples import read_examples
from minbert.pretraining import corpus
from minbert.pretraining.objective import Objective, evaluate
from minbert.pretraining.settings import Settings as PretrainingSettings
from minbert.runs.classifier import fit
from minbert.training import Data, Settings, features, predict
from tests.conftest import ROOT

TEXTS = (
    *("the film was good", "bad", "the plot was un##affable, not good!", "a film", "wonderful!", "the film was bad ."),
    *("good " * 30, "[SEP]", "not bad", "the " * 17 + "plot", "wo", "a film a plot a film"),
)
LABELS = (1, 0, 0, 2, 1, 0, 1, 2, 1, 2, 0, 2)


@pytest.fixture(params=["tiny", "tiny-pretrain", "minilm"])
def asked(request, tiny, tokenizer):
    """A classifier of three classes with plenty of dropout, what it reads, and how it was made."""
    changes = {"num_labels": 3, "classifier_dropout": 0.5, "hidden_dropout_prob": 0.3, "labels": ()}
    torch.manual_seed(0)
    if request.param == "minilm":
        folder = request.getfixturevalue("minilm")
        model, tokenizer = BertSentClassifier.from_pretrained(folder, **changes), BertTokenizer.from_pretrained(folder)
        torch.nn.init.normal_(model.classifier.weight, std=0.5)
        words = " ".join(read_examples(ROOT / "data" / "reviews" / "test.csv").texts).split()
        texts = [" ".join(words[30 * at : 32 * at + 4]) for at in range(len(TEXTS))]
    else:
        option = "pretrain" if "pretrain" in request.param else "flexible"
        model, texts = BertSentClassifier(tiny.change(initializer_range=0.5, option=option, **changes)), TEXTS
    encoding = tokenizer(list(texts))
    return SimpleNamespace(model=model, data=Data(encoding, list(LABELS)))


def swapped(model, *inputs):
    """As programs compute: no padding."""
    try:
        return fast.swap_in(model)(*inputs)
    finally:
        fast.swap_out(model)


def plain(model, *inputs):
    """As the equations say: padding is computed, and hidden by the mask."""
    return model(*inputs)


every_way = pytest.mark.parametrize("compute", [swapped, plain])


def logits(compute, model, data, rows):
    *inputs, _ = make_batch(data.encoding, None, rows)
    with torch.no_grad():
        return compute(model, *inputs)


# Company


@pytest.mark.fault("numbers: an answer that depends on other texts, padding or order")
@every_way
def test_alone_together_in_another_order_and_with_more_padding_the_logits_are_the_same(asked, compute):
    model, data, rows = asked.model, asked.data, list(range(len(LABELS)))
    together = logits(compute, model, data, rows)
    assert together.std() > 0.1, "or nothing would be compared"
    alone = torch.cat([logits(compute, model, data, [row]) for row in rows])
    order = random.Random(0).sample(rows, len(rows))
    shuffled = logits(compute, model, data, order)
    in_threes = torch.cat([logits(compute, model, data, rows[start : start + 3]) for start in range(0, len(rows), 3)])
    *inputs, _ = make_batch(data.encoding, None, rows)
    with torch.no_grad():
        padded = compute(model, *(torch.nn.functional.pad(x, (0, 40 - x.size(1))) for x in inputs))
    for other in (alone, in_threes, padded, predict(model, data)):
        assert (other - together).abs().max() < 1e-5
    assert (shuffled - together[order]).abs().max() < 1e-5


@pytest.mark.fault("numbers: an answer that depends on other texts, padding or order")
@every_way
@pytest.mark.parametrize("pooling", ["pooler", "cls", "mean"])
def test_what_stands_under_the_padding_changes_no_bit(asked, compute, pooling):
    model = asked.model
    model.config = model.config.change(pooling=pooling)
    ids, mask, segments, _ = make_batch(asked.data.encoding, None, range(len(LABELS)))
    assert not mask.all()
    with torch.no_grad():
        expected = compute(model, ids, mask, segments)
        for id, segment in ((1, 1), (5, 0), (model.config.vocab_size - 1, 1)):
            other = compute(model, ids.where(mask.bool(), id), mask, segments.where(mask.bool(), segment))
            assert torch.equal(other, expected)


@pytest.mark.fault("numbers: an answer that depends on other texts, padding or order")
@every_way
def test_no_text_is_influenced_by_its_neighbours(tiny, compute):
    """Each text has tokens of its own; the gradient of one text's logits by another's tokens is exactly 0."""
    torch.manual_seed(0)
    model = BertSentClassifier(tiny.change(initializer_range=0.5, pooling="mean"))
    rows = [[1, 2, 3, 4, 5, 6, 7], [8, 9], [10], [11, 12, 13, 14, 15, 16, 17, 18, 19], [20, 21, 22, 23]]
    encoding = {"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]}
    encoding["token_type_ids"] = [[0] * len(row) for row in rows]
    *inputs, _ = make_batch(encoding, None, range(len(rows)))
    found = compute(model, *inputs)
    weight = model.bert.embeddings.token.weight
    for own, row in zip(rows, found):
        (gradient,) = torch.autograd.grad(row.square().sum(), weight, retain_graph=True)
        touched = gradient.any(dim=1).nonzero().flatten().tolist()
        assert touched == own  # nor by the padding's, 0


def test_a_neighbour_changes_a_text_s_logits_by_rounding_at_most(asked):
    data = asked.data
    for other in (3, 6):
        first, second = (logits(swapped, asked.model, data, [0, row])[0] for row in (1, other))
        assert (first - second).abs().max() < 1e-5


@pytest.mark.fault("numbers: one seed, two results")
def test_threads_change_nothing_but_rounding(asked):
    threads, found = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            found.append(predict(asked.model, asked.data))
    finally:
        torch.set_num_threads(threads)
    assert (found[0] - found[1]).abs().max() < 1e-5
    assert torch.equal(found[0].argmax(-1), found[1].argmax(-1))


# Chance


def generators():
    """The state of every generator of random numbers."""
    return [torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())]


@pytest.mark.fault("numbers: dropout or random draws outside training")
@pytest.mark.parametrize(
    "look",
    [
        lambda model, data: predict(model, data),
        lambda model, data: features(model, data),
        lambda model, data: predict(model, data, precision="bf16"),
        lambda model, data: model.predict_proba(*make_batch(data.encoding, None, range(len(data)))[:3]),
    ],
    ids=["predict", "features", "predict in bf16", "predict_proba"],
)
def test_looking_draws_nothing_and_nothing_is_dropped(asked, look):
    """Whatever mode the model is in, and there is dropout to forget."""
    asked.model.train()
    before = generators()
    first = look(asked.model, asked.data)
    asked.model.train()
    assert torch.equal(first, look(asked.model, asked.data))
    assert generators() == before


def test_asking_for_words_draws_nothing_and_nothing_is_dropped(tiny, tokenizer):
    model = BertForMaskedLM(tiny.change(hidden_dropout_prob=0.5, attention_probs_dropout_prob=0.5)).train()
    before = generators()
    first, second = (probing.fill_mask(model, tokenizer, "the film was [MASK] .") for _ in range(2))
    assert first == second and generators() == before and model.training


@pytest.mark.fault("numbers: dropout or random draws outside training")
def test_measuring_a_model_on_held_out_text_draws_nothing(tiny, tokenizer, tmp_path):
    text = ["the film was good , not bad !", "a plot , a wonderful plot !"] * 300
    corpus.pack(iter(text), tokenizer, tmp_path / "train.ids", tmp_path / "heldout.ids")
    packed = corpus.TokenFile(tmp_path / "heldout.ids", tokenizer, 16)
    model = BertForMaskedLM(tiny.change(hidden_dropout_prob=0.5))
    objective = Objective(model, tokenizer, PretrainingSettings(batch_tokens=256)).train()
    before = generators()
    first, second = (evaluate(objective, packed, 16) for _ in range(2))
    assert first == second and generators() == before and model.training


SETTINGS = Settings(epochs=3, batch_size=5, lr=0.01, seed=5)


def fitted(asked, dev=None, **settings):
    """A copy of the model, trained from the same seed: its weights, and the loss of each epoch."""
    start = {name: value.clone() for name, value in asked.model.state_dict().items()}
    torch.manual_seed(1)
    history = fit(asked.model, asked.data, dev, Settings(**{**vars(SETTINGS), **settings}))
    end = {name: value.clone() for name, value in asked.model.state_dict().items()}
    asked.model.load_state_dict(start)
    return end, [figures["loss"] for figures in history]


@pytest.mark.fault("numbers: dropout or random draws outside training")
def test_being_measured_between_epochs_changes_nothing_in_training(asked):
    """Not a number that is drawn, not a mode that is left on."""
    losses = fitted(asked)[1]
    assert fitted(asked, dev=asked.data)[1] == losses
    assert len(set(losses)) == 3


@pytest.mark.fault("numbers: one seed, two results")
def test_the_same_seed_gives_the_same_bits_with_dropout_too(asked):
    first, second = fitted(asked)[0], fitted(asked)[0]
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    other = fitted(asked, seed=6)[0]
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


@pytest.mark.fault("numbers: a frozen encoder that moves, or a stale copy of its vectors")
def test_a_frozen_encoder_keeps_every_byte(asked):
    """Only the head moves with --option pretrain; with flexible, every layer does."""
    before = {name: value.numpy().tobytes() for name, value in asked.model.state_dict().items()}
    moved = {name for name, value in fitted(asked)[0].items() if value.numpy().tobytes() != before[name]}
    head = {"classifier.weight", "classifier.bias"}
    if asked.model.config.option == "pretrain":
        assert moved == head
    else:
        still = set(before) - moved
        assert head < moved and {name.split(".")[3] for name in moved if "encoder" in name} >= {"0", "1"}, still
