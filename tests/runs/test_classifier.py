"""Training a classifier: all of BERT or its last layer, as the equations say or faster."""

import numpy as np
import pytest
import torch
from torch import nn

from minbert import AdamW, BertSentClassifier, UserError, fast, metrics, optimizer, training
from minbert.batch import batches, epoch_order
from minbert.fast.optimizer import fused_adamw
from minbert.metrics import score
from minbert.optimizer import linear, parameter_groups
from minbert.runs import classifier
from minbert.runs.classifier import begin, fit
from minbert.training import Data, Settings, predict, train_step


@pytest.fixture
def lessons(tokenizer):
    """Eight sentences that one word decides."""
    texts = [
        f"the {thing} was {word}" for thing in ("film", "plot") for word in ("good", "bad", "wonderful", "unaffable")
    ]
    return Data(tokenizer(texts), [1, 0, 1, 0] * 2)


SETTINGS = Settings(epochs=30, batch_size=3, lr=0.01, seed=5)


def train(tiny, lessons, dev=None, **changes):
    torch.manual_seed(0)
    sizes = {"initializer_range": 0.2, "option": changes.pop("option", "flexible"), "pooling": "mean"}
    model = BertSentClassifier(tiny.change(**sizes))
    history = fit(model, lessons, dev, Settings(**{**vars(SETTINGS), **changes}))
    return model, history


def test_it_learns_by_heart(tiny, lessons):
    model, history = train(tiny, lessons)
    assert history[0]["loss"] > 0.4 and history[-1]["loss"] < 0.02
    assert predict(model, lessons).argmax(-1).tolist() == lessons.labels


@pytest.mark.parametrize("option", ["flexible", "pretrain"])
def test_nothing_to_learn_from_or_to_choose_by_is_refused_at_once(tiny, lessons, option):
    model = BertSentClassifier(tiny.change(option=option))
    none, unlabelled = Data({name: [] for name in lessons.encoding}, []), Data(lessons.encoding, None)
    for train_data, dev in ((none, None), (lessons, none), (lessons, unlabelled), (unlabelled, None)):
        with pytest.raises(UserError, match="texts with labels"):
            fit(model, train_data, dev, SETTINGS)
    with pytest.raises(UserError, match="no text to read"):
        predict(model, none)


def test_a_frozen_encoder_lets_only_the_head_learn(tiny, lessons):
    model, history = train(tiny, lessons, option="pretrain", lr=0.3, epochs=60)
    assert history[-1]["loss"] < 0.1 < history[0]["loss"]
    torch.manual_seed(0)
    fresh = BertSentClassifier(tiny.change(initializer_range=0.2))
    for name, value in fresh.bert.state_dict().items():
        assert torch.equal(value, model.bert.state_dict()[name]), name


@pytest.mark.fault("numbers: one seed, two results")
def test_the_same_seed_gives_the_same_bits_and_another_seed_another_order(tiny, lessons):
    states = [train(tiny, lessons, epochs=3, seed=seed)[0].state_dict() for seed in (5, 5, 6)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert any(not torch.equal(value, states[2][name]) for name, value in states[0].items())


def test_the_best_epoch_on_dev_is_kept(tiny, lessons, monkeypatch):
    """Dev accuracies are set to .5, .9, .9, .7: the first .9 is kept, and its weights come back."""
    accuracies, seen = iter([0.5, 0.9, 0.9, 0.7]), []

    def scripted(gold, predicted, names):
        scores = score(gold, predicted, names)
        scores.accuracy = next(accuracies)
        return scores

    real_predict = classifier.predict

    def watched(model, *args):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return real_predict(model, *args)

    monkeypatch.setattr(metrics, "score", scripted)
    monkeypatch.setattr(classifier, "predict", watched)
    model, history = train(tiny, lessons, dev=lessons, epochs=4)
    assert [figures["best"] for figures in history] == [True, True, False, False]
    assert all(torch.equal(value, seen[1][name]) for name, value in model.state_dict().items())
    assert not torch.equal(seen[1]["classifier.weight"], seen[3]["classifier.weight"])


def test_the_loss_of_an_epoch_is_the_mean_over_examples_not_batches(tiny, lessons):
    """8 examples in batches of 3, 3 and 2."""
    losses = []
    torch.manual_seed(0)
    settings = Settings(epochs=1, batch_size=3, lr=0.01)

    def watch(progress, figures, rate):
        losses.append(figures["loss"])

    history = fit(BertSentClassifier(tiny), lessons, None, settings, watch=watch)
    assert history[0]["loss"] == pytest.approx((3 * losses[0] + 3 * losses[1] + 2 * losses[2]) / 8, rel=1e-6)


def test_the_learning_rate_follows_its_schedule(tiny, lessons):
    rates = []
    settings = Settings(epochs=2, batch_size=2, lr=1.0, warmup=2, schedule="linear")
    fit(BertSentClassifier(tiny), lessons, None, settings, watch=lambda progress, figures, rate: rates.append(rate))
    assert rates == pytest.approx([0, 1 / 2, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


# A frozen encoder reads each text once

FROZEN = Settings(epochs=4, batch_size=3, lr=0.05, seed=5)


@pytest.fixture
def long_lessons(tokenizer):
    texts = [f"the {'very ' * at} {thing} was {word}" for at, thing in enumerate(("film", "plot")) for word in
             ("good", "bad", "wonderful", "unaffable")]  # fmt: skip
    return Data(tokenizer(texts), [1, 0, 1, 0] * 2)


def frozen(tiny):
    torch.manual_seed(0)
    return BertSentClassifier(tiny.change(initializer_range=0.2, option="pretrain", pooling="mean"))


def test_a_frozen_encoder_reads_each_text_once(tiny, long_lessons, monkeypatch):
    model, calls = frozen(tiny), []
    model.bert.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    fit(model, long_lessons, long_lessons, FROZEN)
    assert sum(calls) == 2 * len(long_lessons)  # to train on and as dev


@pytest.mark.fault("numbers: a frozen encoder that moves, or a stale copy of its vectors")
def test_what_it_learns_equals_reading_again_in_each_epoch_bit_for_bit(tiny, long_lessons):
    remembered, again = frozen(tiny), frozen(tiny)
    torch.manual_seed(1)
    fit(remembered, long_lessons, None, FROZEN, plain=True)

    torch.manual_seed(1)
    head = nn.Sequential(again.dropout, again.classifier)
    optimizer = AdamW(parameter_groups(head, FROZEN.weight_decay), FROZEN.lr)
    _, total, warmup = FROZEN.steps(len(long_lessons))
    step = 0
    for epoch in range(1, 5):
        vectors = training.features(again, long_lessons)
        again.train()
        for rows in np.split(epoch_order(8, FROZEN.seed, epoch), [3, 6]):
            for group in optimizer.param_groups:
                group["lr"] = FROZEN.lr * linear(step, warmup, total)
            train_step(head, (vectors[rows], torch.tensor(long_lessons.labels)[rows]), optimizer)
            step += 1
    for ours, theirs in zip(remembered.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_and_equals_training_through_the_whole_model(tiny, long_lessons):
    """Where padding is another, so are the last bits."""
    remembered, whole = frozen(tiny), frozen(tiny)
    torch.manual_seed(1)
    history = fit(remembered, long_lessons, long_lessons, FROZEN)
    torch.manual_seed(1)
    optimizer = fused_adamw(parameter_groups(whole, FROZEN.weight_decay), FROZEN.lr)
    _, total, warmup = FROZEN.steps(len(long_lessons))
    rates = (FROZEN.lr * linear(step, warmup, total) for step in range(total))
    seen = []
    for epoch in range(1, 5):
        order = epoch_order(8, FROZEN.seed, epoch)
        stream = batches(long_lessons.encoding, long_lessons.labels, order, FROZEN.batch_size)
        training.train_epoch(whole, stream, optimizer, rates, watch=lambda loss, rate: seen.append(loss))
    losses = np.average(np.reshape(seen, (4, 3)), axis=1, weights=[3, 3, 2]).tolist()  # of eight texts, three at a time
    assert losses == pytest.approx([figures["loss"] for figures in history], rel=1e-4)
    assert whole.classifier.weight.abs().max() > 0.1


# The written-out way


@pytest.mark.parametrize("option", ["flexible", "pretrain"])
def test_the_plain_way_and_the_faster_one_agree(tiny, lessons, option):
    """Twins, the fused optimizer, the other clipping and the used rows change no more than rounding."""
    settings = Settings(epochs=3, batch_size=3, lr=0.01, max_grad_norm=0.1, weight_decay=0.1, seed=5)
    models, histories = [], []
    for plain in (True, False):
        torch.manual_seed(0)
        model = BertSentClassifier(tiny.change(initializer_range=0.2, option=option))
        models.append(model if plain else fast.swap_in(model))
        histories.append(fit(model, lessons, lessons, settings, plain=plain))
    for one, other in zip(*histories):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4) and one["accuracy"] == other["accuracy"]
    logits = [predict(model, lessons) for model in models]
    assert (logits[0] - logits[1]).abs().max() < 1e-3 < logits[0].std()
    for name, weight in models[0].state_dict().items():
        if "key.bias" not in name:  # its gradient is 0 but for rounding, which Adam makes as large as any
            assert torch.allclose(weight, models[1].state_dict()[name], atol=1e-3), name


@pytest.mark.parametrize("option", ["flexible", "pretrain"])
def test_the_plain_way_takes_the_plain_classes(tiny, lessons, option):
    for plain in (True, False):
        loop = begin(BertSentClassifier(tiny.change(option=option)), lessons, None, SETTINGS, plain=plain)
        assert type(loop.task.optimizer) is (AdamW if plain else torch.optim.AdamW)
        assert (loop.task.clip is optimizer.clip) == plain
        embedding = loop.trainable.get("bert.embeddings.token.weight")
        assert option == "pretrain" or (len(embedding) == tiny.vocab_size) == plain
