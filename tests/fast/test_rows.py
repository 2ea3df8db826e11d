"""Training on the rows of the embedding that occur equals training on all of them."""

import pytest
import torch

from minbert import BertSentClassifier, training
from minbert.batch import batches, epoch_order
from minbert.fast.optimizer import fused_adamw
from minbert.optimizer import linear, parameter_groups
from minbert.runs.classifier import begin
from minbert.training import Data, Settings


@pytest.fixture
def lessons(tokenizer):
    texts = [f"the {'very ' * at} {thing} was {word}" for at, thing in enumerate(("film", "plot")) for word in
             ("good", "bad", "wonderful", "unaffable")]  # fmt: skip
    return Data(tokenizer(texts), [1, 0, 1, 0] * 2)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_training_on_the_used_rows_alone_equals_training_on_all(tiny, lessons, weight_decay):
    settings = Settings(epochs=2, batch_size=3, lr=0.02, weight_decay=weight_decay, seed=5)
    quick, plain = BertSentClassifier(tiny), BertSentClassifier(tiny)
    plain.load_state_dict(quick.state_dict())
    before = quick.bert.embeddings.token.weight.detach().clone()
    loop = begin(quick, lessons, lessons, settings)
    trainable = sum(weight.numel() for weight in loop.trainable.values())
    history = loop.train()
    optimizer = fused_adamw(parameter_groups(plain, weight_decay), settings.lr)
    _, total, warmup = settings.steps(len(lessons))
    rates = (settings.lr * linear(step, warmup, total) for step in range(total))
    for epoch in (1, 2):
        order = epoch_order(len(lessons), settings.seed, epoch)
        stream = batches(lessons.encoding, lessons.labels, order, settings.batch_size)
        training.train_epoch(plain, stream, optimizer, rates)
        if history[epoch - 1]["best"]:
            best = {name: weight.clone() for name, weight in plain.state_dict().items()}
    for name, weight in quick.state_dict().items():
        if "key.bias" not in name:  # its gradient is 0 but for rounding, which Adam makes as large as any
            assert torch.allclose(weight, best[name], atol=2e-5), name
    used = sorted({id for row in lessons.encoding["input_ids"] for id in row})
    rest = sorted(set(range(tiny.vocab_size)) - set(used))
    assert trainable == sum(weight.numel() for weight in quick.parameters()) - len(rest) * tiny.hidden_size
    moved = (quick.bert.embeddings.token.weight != before).any(dim=1)
    assert moved[used].all() and moved[rest].all().item() == bool(weight_decay) == moved[rest].any().item()
