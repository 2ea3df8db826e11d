"""Part 5: the classifier, with the encoder replaced by its golden output, so that only this file's code is judged."""

import logging
from types import SimpleNamespace

import pytest
import torch

from minbert import BertSentClassifier
from tests.diagnosis import check, wrong_logits

pytestmark = pytest.mark.part5


class GoldenBert(torch.nn.Module):
    """Answers with the golden hidden states and pooler output, and learns nothing."""

    def __init__(self, golden):
        super().__init__()
        self.output = {
            "last_hidden_state": golden.stage("1.feed_forward_norm"),
            "pooler_output": golden.stage("pooler"),
        }

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        return self.output


def build(golden, **changes):
    model = BertSentClassifier(golden.config.change(**changes))
    model.bert = GoldenBert(golden)
    model.load_state_dict(head(golden))
    return model


def head(golden):
    return {name: tensor for name, tensor in golden.weights().items() if name.startswith("classifier.")}


def test_logits_equal_the_reference(golden):
    logits = build(golden)(golden.batch.input_ids, golden.batch.attention_mask)
    mistakes = wrong_logits(head(golden), golden.stage("1.feed_forward_norm"), golden.stage("pooler"))
    check("logits", logits, golden.stage("logits"), mistakes=mistakes)


def test_pooling_by_hand(golden):
    hidden, mask = golden.stage("1.feed_forward_norm"), golden.batch.attention_mask
    output = golden_output = GoldenBert(golden).output
    assert torch.equal(build(golden, pooling="cls").pool(golden_output, mask), hidden[:, 0])
    mean = build(golden, pooling="mean").pool(output, mask)
    for row, length in enumerate(mask.sum(1).tolist()):
        assert torch.allclose(mean[row], hidden[row, :length].mean(0), atol=1e-6), "padding counts in the mean"
    assert torch.allclose(build(golden, pooling="mean").pool(output), hidden.mean(1), atol=1e-6)


def build_with_stand_in(config):
    """A classifier whose encoder computes something short with its own weights: token vectors, dropout, the pooler."""
    model = BertSentClassifier(config)
    bert = model.bert

    def forward(input_ids, attention_mask=None, token_type_ids=None):
        x = bert.embeddings.dropout(bert.embeddings.token(input_ids))
        return {"last_hidden_state": x, "pooler_output": torch.tanh(bert.pooler(x[:, 0]))}

    bert.forward = forward
    return model


@pytest.fixture
def step(golden):
    """One step of training with an option; returns the names of the weights that moved, and those that did not."""

    def run(option):
        config = golden.config.change(option=option, hidden_dropout_prob=0.1, classifier_dropout=0.1)
        model = build_with_stand_in(config).train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
        logits = model(golden.batch.input_ids, golden.batch.attention_mask, golden.batch.token_type_ids)
        torch.nn.functional.cross_entropy(logits, golden.batch.labels).backward()
        optimizer.step()
        moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
        return moved, set(before) - moved

    return run


def test_pretrain_leaves_every_byte_of_the_encoder_alone(step):
    moved, still = step("pretrain")
    assert moved == {"classifier.weight", "classifier.bias"}
    assert still and all(name.startswith("bert.") for name in still)


def test_flexible_moves_the_encoder_too(step):
    moved, _ = step("flexible")
    encoder = {"bert.embeddings.token.weight", "bert.pooler.weight", "bert.pooler.bias"}  # what the stand-in uses
    assert moved == encoder | {"classifier.weight", "classifier.bias"}


def test_in_flexible_everything_may_learn_and_in_pretrain_only_the_head(golden):
    for option, frozen in (("flexible", False), ("pretrain", True)):
        model = BertSentClassifier(golden.config.change(option=option))
        assert all(parameter.requires_grad != frozen for parameter in model.bert.parameters())
        assert all(parameter.requires_grad for parameter in model.classifier.parameters())


def test_pretrain_has_no_dropout_in_the_encoder_and_flexible_has(golden):
    ids = golden.batch.input_ids
    for option, same in (("pretrain", True), ("flexible", False)):
        config = golden.config.change(option=option, hidden_dropout_prob=0.5, classifier_dropout=0.5)
        model = build_with_stand_in(config).train()
        first, second = (model.bert(ids)["last_hidden_state"] for _ in range(2))
        assert torch.equal(first, second) == same
        assert not torch.equal(model(ids), model(ids)), "the dropout before the linear layer is on in both"
        assert not model.eval().bert.training


def test_aliases_of_other_course_kits(golden):
    for alias, option in {"freeze": "pretrain", "last-linear-layer": "pretrain", "finetune": "flexible"}.items():
        assert BertSentClassifier(golden.config.change(option=alias)).config.option == option


def test_a_namespace_of_the_course_kits_will_do():
    config = SimpleNamespace(
        data_dir=".", hidden_dropout_prob=0.3, hidden_size=768, num_labels=2, option="pretrain",
        num_hidden_layers=1, vocab_size=50,
    )  # fmt: skip
    model = BertSentClassifier(config)
    assert model.dropout.p == 0.3 and model.bert.embeddings.dropout.p == 0.1
    assert model.config.intermediate_size == 3072 and not model.training
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["classifier.weight", "classifier.bias"]


def test_a_new_classifier_says_so(minilm, caplog):
    with caplog.at_level(logging.WARNING, logger="minbert"):
        BertSentClassifier.from_pretrained(minilm, num_labels=3)
    assert "new, with random weights: classifier" in caplog.text
