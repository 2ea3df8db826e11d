"""The whole model against the reference library: every stage, the loss, the gradients, one step of training."""

import pytest
import torch
from torch.nn import functional as F

from minbert import AdamW, BertModel, BertSentClassifier
from minbert.embeddings import sinusoids
from minbert.optimizer import parameter_groups
from minbert.training import train_step
from minbert.weights import fill
from tests.golden import check


def classifier(golden, **changes):
    model = BertSentClassifier(golden.config.change(**changes))
    fill(model, {name.removeprefix("weights/"): t for name, t in golden.tensors.items() if name.startswith("weights/")})
    return model


def inputs(golden):
    return golden.batch.input_ids, golden.batch.attention_mask, golden.batch.token_type_ids


def test_every_stage_of_the_whole_model(golden):
    model = classifier(golden)
    with torch.no_grad():
        output = model.bert(*inputs(golden), output_hidden_states=True, output_attentions=True)
    check("embeddings", output["hidden_states"][0], golden.stage("embeddings"), golden.real)
    for number in range(golden.config.num_hidden_layers):
        name = f"layer {number}"
        check(
            f"{name}, probabilities", output["attentions"][number], golden.stage(f"{number}.probabilities"), golden.mask
        )
        check(
            f"{name}, output",
            output["hidden_states"][number + 1],
            golden.stage(f"{number}.feed_forward_norm"),
            golden.real,
        )
    last = golden.stage("1.feed_forward_norm")
    check("last hidden state", output["last_hidden_state"], last, golden.real)
    check("pooler", output["pooler_output"], golden.stage("pooler"))


def test_logits_and_loss(golden):
    with torch.no_grad():
        logits = classifier(golden)(*inputs(golden))
    check("logits", logits, golden.stage("logits"))
    check("loss", F.cross_entropy(logits, golden.batch.labels), golden.stage("loss"))


def test_causal_attention_with_padding(golden):
    with torch.no_grad():
        output = classifier(golden).bert(*inputs(golden), causal=True)
    check(
        "causal, last hidden state",
        output["last_hidden_state"],
        golden.tensors["causal/last_hidden_state"],
        golden.real,
    )


@pytest.mark.parametrize("option", ["flexible", "pretrain"])
def test_gradients_and_weights_after_one_step(golden, option):
    model = classifier(golden, option=option)
    optimizer = AdamW(parameter_groups(model, golden.step["weight_decay"]), **golden.step)
    batch = golden.batch
    loss = train_step(model, batch, optimizer, max_grad_norm=None)
    assert loss == pytest.approx(golden.stage("loss").item(), abs=1e-5)
    plain = {name.removeprefix("bert."): parameter for name, parameter in model.named_parameters()}
    gradients, after = golden.part(f"{option}/grad/"), golden.part(f"{option}/after/")
    assert set(gradients) == {name for name, parameter in plain.items() if parameter.grad is not None}
    for name, grad in gradients.items():
        check(f"{option}, gradient of {name}", plain[name].grad, grad)
        check(f"{option}, {name} after one step", plain[name].detach(), after[name])
    for name, parameter in plain.items():
        if name not in gradients:
            assert torch.equal(parameter, golden.weights()[name]), f"{name} is frozen, but moved"


def test_a_row_gives_the_same_alone_and_in_a_padded_batch(golden):
    model = classifier(golden)
    with torch.no_grad():
        together = model(*inputs(golden))
        for row, length in enumerate(golden.batch.attention_mask.sum(1).tolist()):
            alone = model(*(tensor[row : row + 1, :length] for tensor in inputs(golden)))
            check(f"row {row} alone", alone[0], together[row])


def test_whatever_stands_in_the_padding_changes_nothing(golden):
    ids, mask, segments = inputs(golden)
    other = torch.where(mask.bool(), ids, 5)
    with torch.no_grad():
        model = classifier(golden)
        assert torch.equal(model(ids, mask, segments), model(other, mask, segments))


@pytest.mark.parametrize("layer", [1, 2])
def test_with_a_causal_mask_no_later_token_is_seen(golden, layer):
    """Changing token 4 changes nothing before it, at any layer, and does change what comes after."""
    ids = golden.batch.input_ids[:1]
    other = ids.clone()
    other[0, 4] = (ids[0, 4] + 1) % golden.config.vocab_size
    model = classifier(golden).bert
    with torch.no_grad():
        first, second = (model(x, causal=True, output_hidden_states=True)["hidden_states"][layer] for x in (ids, other))
    assert torch.equal(first[:, :4], second[:, :4])
    assert (first[:, 4:] - second[:, 4:]).abs().amax(-1).min() > 1e-4


def test_a_model_starts_in_evaluation_mode_and_answers_alike_twice(tiny):
    model = BertModel(tiny.change(hidden_dropout_prob=0.5))
    ids = torch.tensor([[2, 5, 6, 3]])
    assert torch.equal(model(ids)["pooler_output"], model(ids)["pooler_output"])


def test_without_a_mask_nothing_is_padding(golden):
    model, ids = classifier(golden), golden.batch.input_ids
    assert torch.equal(model(ids), model(ids, torch.ones_like(ids)))


def test_sinusoidal_positions_are_fixed(golden):
    model = classifier(golden, sinusoidal_positions=True)
    position = model.bert.embeddings.position.weight
    assert torch.equal(position, sinusoids(*position.shape)) and not position.requires_grad


def test_parameters_of_bert_base():
    """110M, as published; counted without making them."""
    with torch.device("meta"):
        model = BertSentClassifier({})
    assert sum(p.numel() for p in model.parameters()) == 109_483_778
    assert sum(p.numel() for p in model.classifier.parameters()) == 1_538
