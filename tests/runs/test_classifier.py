"""A frozen encoder reads each text once."""

import numpy as np
import pytest
import torch
from torch import nn

from minbert import BertSentClassifier, training
from minbert.batch import epoch_order
from minbert.optimizer import fused_adamw, parameter_groups
from minbert.training import Data, Settings, fit, train_step

SETTINGS = Settings(epochs=4, batch_size=3, lr=0.05, seed=5)


@pytest.fixture
def lessons(tokenizer):
    texts = [f"the {'very ' * at} {thing} was {word}" for at, thing in enumerate(("film", "plot")) for word in
             ("good", "bad", "wonderful", "unaffable")]  # fmt: skip
    return Data(tokenizer(texts), [1, 0, 1, 0] * 2)


def frozen(tiny):
    torch.manual_seed(0)
    return BertSentClassifier(tiny.change(initializer_range=0.2, option="pretrain", pooling="mean"))


def test_a_frozen_encoder_reads_each_text_once(tiny, lessons, monkeypatch):
    model, calls = frozen(tiny), []
    model.bert.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    fit(model, lessons, lessons, SETTINGS)
    assert sum(calls) == 2 * len(lessons)  # to train on and as dev


@pytest.mark.fault("numbers: a frozen encoder that moves, or a stale copy of its vectors")
def test_what_it_learns_equals_reading_again_in_each_epoch_bit_for_bit(tiny, lessons):
    remembered, again = frozen(tiny), frozen(tiny)
    torch.manual_seed(1)
    fit(remembered, lessons, None, SETTINGS)

    torch.manual_seed(1)
    head = nn.Sequential(again.dropout, again.classifier)
    optimizer = fused_adamw(parameter_groups(head, SETTINGS.weight_decay), SETTINGS.lr)
    _, total, warmup = SETTINGS.steps(len(lessons))
    step = 0
    for epoch in range(1, 5):
        vectors = training.features(again, lessons)
        again.train()
        for rows in np.split(epoch_order(8, SETTINGS.seed, epoch), [3, 6]):
            for group in optimizer.param_groups:
                group["lr"] = SETTINGS.lr * training.SCHEDULES["linear"](step, warmup, total)
            train_step(head, (vectors[rows], torch.tensor(lessons.labels)[rows]), optimizer)
            step += 1
    for ours, theirs in zip(remembered.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


def test_and_equals_training_through_the_whole_model(tiny, lessons):
    """Where padding is another, so are the last bits."""
    remembered, whole = frozen(tiny), frozen(tiny)
    torch.manual_seed(1)
    history = fit(remembered, lessons, lessons, SETTINGS)
    torch.manual_seed(1)
    way = training.Flexible(whole, lessons, lessons, SETTINGS, "cpu")
    optimizer = fused_adamw(parameter_groups(whole, SETTINGS.weight_decay), SETTINGS.lr)
    _, total, warmup = SETTINGS.steps(len(lessons))
    rates = (SETTINGS.lr * training.SCHEDULES["linear"](step, warmup, total) for step in range(total))
    seen = []
    with way.learning():
        for epoch in range(1, 5):
            stream = way.batches(epoch_order(8, SETTINGS.seed, epoch))
            training.train_epoch(whole, stream, optimizer, rates, watch=lambda loss, rate: seen.append(loss))
    losses = np.average(np.reshape(seen, (4, 3)), axis=1, weights=[3, 3, 2]).tolist()  # of eight texts, three at a time
    assert losses == pytest.approx([figures["loss"] for figures in history], rel=1e-4)
    assert whole.classifier.weight.abs().max() > 0.1
