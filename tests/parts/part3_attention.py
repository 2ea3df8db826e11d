"""Part 3: attention, who looks at whom (minbert/attention.py).

python -m pytest tests/parts/part3_attention.py
"""

import math

import pytest
import torch
from torch import nn

from minbert.attention import MultiHeadAttention, attend, attention_scores, causal_mask, padding_mask
from minbert.course import mistakes
from minbert.course.diagnosis import check

pytestmark = pytest.mark.part3

NAMES = ("query", "key", "value")
each_layer = pytest.mark.parametrize("layer", [0, 1])


def build(golden, layer):
    attention = MultiHeadAttention(golden.config)
    attention.load_state_dict(golden.weights(f"encoder.layers.{layer}.attention."))
    return attention.eval()


def test_two_tokens_by_hand():
    """Token 0 meets keys 0 and 1 with scores ln 3 and 0 after scaling by sqrt(4) = 2: weights 3/4 and 1/4."""
    query = torch.tensor([[[[2 * math.log(3), 0, 0, 0], [0, 0, 0, 0]]]], dtype=torch.float)
    key = torch.tensor([[[[1, 0, 0, 0], [0, 1, 0, 0]]]], dtype=torch.float)
    value = torch.tensor([[[[8, 0, 0, 0], [0, 4, 0, 0]]]], dtype=torch.float)
    mask = torch.ones(1, 1, 1, 2, dtype=torch.bool)
    mixed, probabilities = attend(query, key, value, mask)
    wrong = mistakes.probabilities(query, key, mask)
    check("two tokens, probabilities", probabilities, torch.tensor([[[[0.75, 0.25], [0.5, 0.5]]]]), mistakes=wrong)
    wrong = mistakes.mixes(query, key, value, mask)
    by_hand = torch.tensor([[[[6.0, 1, 0, 0], [4, 2, 0, 0]]]])
    check("two tokens, mixed values", mixed, by_hand, mistakes=wrong)


@each_layer
def test_scores_equal_the_reference(golden, layer):
    query, key, scores = golden.heads(f"{layer}.query"), golden.heads(f"{layer}.key"), golden.stage(f"{layer}.scores")
    check(
        f"layer {layer}, scores",
        attention_scores(query, key),
        scores,
        real=scores > -1e30,  # the reference has masked the others by now
        mistakes=mistakes.scores(query, key),
        tolerance=2e-5,  # scores go up to 30: float32 has 7 digits
    )


@each_layer
def test_probabilities_and_mixed_values_equal_the_reference(golden, layer):
    query, key, value = (golden.heads(f"{layer}.{name}") for name in NAMES)
    mixed, probabilities = attend(query, key, value, golden.mask)
    wrong = mistakes.probabilities(query, key, golden.mask)
    check(f"layer {layer}, probabilities", probabilities, golden.stage(f"{layer}.probabilities"), mistakes=wrong)
    wrong = mistakes.mixes(query, key, value, golden.mask)
    check(f"layer {layer}, mixed values", mixed, golden.heads(f"{layer}.merged"), mistakes=wrong)


@each_layer
def test_heads_are_split_and_merged_as_in_the_reference(golden, layer):
    attention, mixed = build(golden, layer), golden.heads(f"{layer}.merged")
    query = attention.split(golden.stage(f"{layer}.query"))
    check(f"layer {layer}, split query", query, golden.heads(f"{layer}.query"))
    wrong = mistakes.merges(mixed)
    check(f"layer {layer}, merged heads", attention.merge(mixed), golden.stage(f"{layer}.merged"), mistakes=wrong)


@each_layer
def test_the_module_equals_the_reference_at_each_step(golden, layer):
    x = golden.stage("embeddings" if layer == 0 else f"{layer - 1}.feed_forward_norm")
    attention, inside = build(golden, layer), {}
    for name in NAMES:
        getattr(attention, name).register_forward_hook(lambda m, i, out, name=name: inside.update({name: out}))
    attention.output.register_forward_hook(lambda m, inputs, out: inside.update(merged=inputs[0]))
    output, probabilities = attention(x, golden.mask)
    wrong = mistakes.projections(*(golden.stage(f"{layer}.{name}") for name in NAMES))
    for name in NAMES:
        check(f"layer {layer}, {name}", inside[name], golden.stage(f"{layer}.{name}"), mistakes=wrong[name])
    query, key, value = (golden.heads(f"{layer}.{name}") for name in NAMES)
    wrong = mistakes.probabilities(query, key, golden.mask)
    check(f"layer {layer}, probabilities", probabilities, golden.stage(f"{layer}.probabilities"), mistakes=wrong)
    wrong = mistakes.merges(golden.heads(f"{layer}.merged"))
    for name, mixed in mistakes.mixes(query, key, value, golden.mask).items():
        wrong[name] = mixed.transpose(1, 2).flatten(2)
    check(f"layer {layer}, merged heads", inside["merged"], golden.stage(f"{layer}.merged"), golden.real, wrong)
    check(f"layer {layer}, attention output", output, golden.stage(f"{layer}.attention"), golden.real, tolerance=2e-5)


def test_padding_is_not_looked_at():
    mask = padding_mask(torch.tensor([[1, 1, 0], [1, 1, 1]]))
    assert mask.shape == (2, 1, 1, 3)
    assert mask.flatten().tolist() == [True, True, False, True, True, True]
    x = torch.randn(2, 3, 3, 5)
    _, probabilities = attend(x, x, x, mask)
    assert (probabilities[0, :, :, 2] == 0).all()
    assert torch.allclose(probabilities.sum(-1), torch.ones(2, 3, 3), atol=1e-6)


def test_causal_mask():
    assert causal_mask(3).tolist() == [[True, False, False], [True, True, False], [True, True, True]]


def test_masks_of_both_kinds_combine():
    mask = padding_mask(torch.tensor([[1, 1, 0]])) & causal_mask(3)
    assert mask[0, 0].tolist() == [[True, False, False], [True, True, False], [True, True, False]]


def test_dropout_falls_on_the_probabilities():
    """The probabilities that are returned are those before dropout; the values are mixed by those after it."""
    x = torch.randn(1, 1, 4, 5)
    mask = torch.ones(1, 1, 1, 4, dtype=torch.bool)
    mixed, probabilities = attend(x, x, x, mask, dropout=nn.Dropout(1.0))
    assert (mixed == 0).all()
    assert torch.allclose(probabilities.sum(-1), torch.ones(1, 1, 4), atol=1e-6)
