"""Part 5: the classifier, frozen and not (BertSentClassifier in minbert/heads.py, BertModel.pool in minbert/bert.py).

    python -m pytest tests/parts/part5_classifier.py

Its encoder answers with the right hidden states.
"""

import pytest
import torch

from minbert import BertModel, BertSentClassifier
from minbert.course import mistakes
from minbert.course.diagnosis import check

pytestmark = pytest.mark.part5


class GoldenBert(torch.nn.Module):
    """Answers with the golden hidden states and pooler output, and learns nothing."""

    def __init__(self, golden):
        super().__init__()
        self.output = {
            "last_hidden_state": golden.stage("1.feed_forward_norm"),
            "pooler_output": golden.stage("pooler"),
        }

    def forward(self, input_ids, attention_mask=None, token_type_ids=None, **options):
        return self.output


def build(golden, **changes):
    model = BertSentClassifier(golden.config.change(**changes))
    model.bert = GoldenBert(golden)
    model.load_state_dict(head(golden))
    return model


def head(golden):
    return {name: tensor for name, tensor in golden.weights().items() if name.startswith("classifier.")}


def build_with_stand_in(config):
    """A classifier whose encoder computes something short with its own weights: token vectors, dropout, the pooler."""
    model = BertSentClassifier(config)
    bert = model.bert

    def forward(input_ids, attention_mask=None, token_type_ids=None, **options):
        x = bert.embeddings.dropout(bert.embeddings.token(input_ids))
        return {"last_hidden_state": x, "pooler_output": torch.tanh(bert.pooler(x[:, 0]))}

    bert.forward = forward
    return model


def names_after_one_step(golden, option):
    """One step of training with an option -> the names of the weights that moved, and of those that did not"""
    config = golden.config.change(option=option, hidden_dropout_prob=0.1, classifier_dropout=0.1)
    model = build_with_stand_in(config).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    logits = model(golden.batch.input_ids, golden.batch.attention_mask, golden.batch.token_type_ids)
    torch.nn.functional.cross_entropy(logits, golden.batch.labels).backward()
    optimizer.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    return moved, set(before) - moved


def test_the_pooler_equals_the_reference(golden):
    model, hidden = BertModel(golden.config), golden.stage("1.feed_forward_norm")
    model.load_state_dict({name: weight for name, weight in golden.weights().items() if "classifier" not in name})
    wrong = mistakes.poolers(golden.weights(), hidden)
    check("pooler output", model.pool(hidden), golden.stage("pooler"), mistakes=wrong)


def test_logits_equal_the_reference(golden):
    logits = build(golden)(golden.batch.input_ids, golden.batch.attention_mask)
    wrong = mistakes.logits(head(golden), golden.stage("1.feed_forward_norm"), golden.stage("pooler"))
    check("logits", logits, golden.stage("logits"), mistakes=wrong)


def test_pooling_by_hand(golden):
    output, mask = GoldenBert(golden).output, golden.batch.attention_mask
    hidden = output["last_hidden_state"]
    check("pooling cls", build(golden, pooling="cls").pool(output, mask), hidden[:, 0])
    mean = build(golden, pooling="mean").pool(output, mask)
    for row, length in enumerate(mask.sum(1).tolist()):
        wrong = {"padding counts in the mean": hidden[row].mean(0)}
        check(f"pooling mean, row {row}", mean[row], hidden[row, :length].mean(0), mistakes=wrong)
    check("pooling mean, no mask", build(golden, pooling="mean").pool(output), hidden.mean(1))


def test_pretrain_leaves_every_byte_of_the_encoder_alone(golden):
    moved, still = names_after_one_step(golden, "pretrain")
    frozen = {name for name in moved if name.startswith("bert.")}
    assert not frozen, f"one step with pretrain: {sorted(frozen)} moved. Likely mistake: the encoder is not frozen"
    assert moved == {"classifier.weight", "classifier.bias"}, "one step with pretrain: the linear layer did not move"
    assert still and all(name.startswith("bert.") for name in still)


def test_flexible_moves_the_encoder_too(golden):
    moved, _ = names_after_one_step(golden, "flexible")
    encoder = {"bert.embeddings.token.weight", "bert.pooler.weight", "bert.pooler.bias"}  # what the stand-in uses
    hint = "" if moved & encoder else ". Likely mistake: the encoder is frozen in flexible too"
    assert moved >= encoder, f"one step with flexible: {sorted(encoder - moved)} did not move{hint}"
    assert moved == encoder | {"classifier.weight", "classifier.bias"}


def test_in_flexible_everything_may_learn_and_in_pretrain_only_the_head(golden):
    for option, frozen in (("flexible", False), ("pretrain", True)):
        model = BertSentClassifier(golden.config.change(option=option))
        mistake = "the encoder is not frozen" if frozen else "the encoder is frozen in flexible too"
        wrong = [name for name, weight in model.bert.named_parameters() if weight.requires_grad == frozen]
        assert not wrong, f"{option}: requires_grad is {not frozen} for {wrong[0]}. Likely mistake: {mistake}"
        assert all(parameter.requires_grad for parameter in model.classifier.parameters())


def test_pretrain_has_no_dropout_in_the_encoder_and_flexible_has(golden):
    ids = golden.batch.input_ids
    for option, same in (("pretrain", True), ("flexible", False)):
        config = golden.config.change(option=option, hidden_dropout_prob=0.5, classifier_dropout=0.5)
        model = build_with_stand_in(config).train()
        first, second = (model.bert(ids)["last_hidden_state"] for _ in range(2))
        mistake = "the frozen encoder is in training mode" if same else "the encoder is in evaluation mode"
        assert torch.equal(first, second) == same, f"{option}, dropout in the encoder. Likely mistake: {mistake}"
        assert not torch.equal(model(ids), model(ids)), "the dropout before the linear layer is on in both"
        assert not model.eval().bert.training
