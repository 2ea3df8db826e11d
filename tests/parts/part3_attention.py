"""Part 3: attention, who looks at whom (minbert/attention.py).

python -m pytest tests/parts/part3_attention.py
"""

import math

import pytest
import torch

from minbert.attention import MultiHeadAttention, attend, attention_scores
from tests.parts import agree, check_probe, each_probe

pytestmark = pytest.mark.part3

NAMES = ("query", "key", "value")


@each_probe(3)
def test_probe(probe):
    check_probe(3, probe)


def test_two_tokens_by_hand():
    """Token 0 meets keys 0 and 1 with scores ln 3 and 0 after scaling by sqrt(4) = 2: weights 3/4 and 1/4."""
    query = torch.tensor([[[[2 * math.log(3), 0, 0, 0], [0, 0, 0, 0]]]], dtype=torch.float)
    key = torch.tensor([[[[1, 0, 0, 0], [0, 1, 0, 0]]]], dtype=torch.float)
    value = torch.tensor([[[[8, 0, 0, 0], [0, 4, 0, 0]]]], dtype=torch.float)
    mixed, probabilities = attend(query, key, value, torch.ones(1, 1, 1, 2, dtype=torch.bool))
    agree(3, "two tokens, probabilities", probabilities, torch.tensor([[[[0.75, 0.25], [0.5, 0.5]]]]))
    agree(3, "two tokens, mixed values", mixed, torch.tensor([[[[6.0, 1, 0, 0], [4, 2, 0, 0]]]]))


@pytest.mark.parametrize("layer", [0, 1])
def test_each_step_equals_the_reference(golden, layer):
    query, key, value = (golden.heads(f"{layer}.{name}") for name in NAMES)
    scores = golden.stage(f"{layer}.scores")
    seen = scores > -1e30  # the reference has masked the others by now
    agree(3, "scores", attention_scores(query, key), scores, seen, tolerance=2e-5)  # up to 30: float32 has 7 digits
    mixed, probabilities = attend(query, key, value, golden.mask)
    agree(3, "probabilities", probabilities, golden.stage(f"{layer}.probabilities"))
    agree(3, "mixed values", mixed, golden.heads(f"{layer}.merged"))


@pytest.mark.parametrize("layer", [0, 1])
def test_the_module_equals_the_reference(golden, layer):
    attention = MultiHeadAttention(golden.config)
    attention.load_state_dict(golden.weights(f"encoder.layers.{layer}.attention."))
    x = golden.stage("embeddings" if layer == 0 else f"{layer - 1}.feed_forward_norm")
    agree(3, "split query", attention.split(golden.stage(f"{layer}.query")), golden.heads(f"{layer}.query"))
    agree(3, "merged heads", attention.merge(golden.heads(f"{layer}.merged")), golden.stage(f"{layer}.merged"))
    output, _ = attention.eval()(x, golden.mask)
    agree(3, "output", output, golden.stage(f"{layer}.attention"), golden.real, tolerance=2e-5)
