"""Part 4: the encoder layer (minbert/encoder.py). Its attention answers with the right output.

python -m pytest tests/parts/part4_encoder.py
"""

import pytest
import torch

from minbert.encoder import EncoderLayer, gelu
from tests.parts import agree, check_probe, each_probe

pytestmark = pytest.mark.part4


class GoldenAttention(torch.nn.Module):
    """Answers with what the reference's attention answered there."""

    def __init__(self, golden, layer):
        super().__init__()
        self.answer = golden.stage(f"{layer}.attention"), golden.stage(f"{layer}.probabilities")

    def forward(self, x, mask):
        return self.answer


@each_probe(4)
def test_probe(probe):
    check_probe(4, probe)


@pytest.mark.parametrize("layer", [0, 1])
def test_the_layer_equals_the_reference(golden, layer):
    module = EncoderLayer(golden.config)
    module.load_state_dict(golden.weights(f"encoder.layers.{layer}."))
    module.attention = GoldenAttention(golden, layer)
    x = golden.stage("embeddings" if layer == 0 else f"{layer - 1}.feed_forward_norm")
    output, probabilities = module.eval()(x, golden.mask)
    agree(4, "output", output, golden.stage(f"{layer}.feed_forward_norm"), golden.real)
    agree(4, "probabilities", probabilities, golden.stage(f"{layer}.probabilities"))


@pytest.mark.parametrize("layer", [0, 1])
def test_the_feed_forward_network_equals_the_reference(golden, layer):
    module = EncoderLayer(golden.config)
    module.load_state_dict(golden.weights(f"encoder.layers.{layer}."))
    ours = module.eval().feed_forward(golden.stage(f"{layer}.attention_norm"))
    agree(4, "feed-forward network", ours, golden.stage(f"{layer}.feed_forward"), golden.real, tolerance=2e-5)


def test_gelu_by_hand():
    """x P(Z <= x): 0 at 0, about x for large x, about 0 for small; at 1 it is 0.8413447 = P(Z <= 1)."""
    right = torch.tensor([0.0, 0.0, 0.8413447, 10.0])
    agree(4, "GELU of -10, 0, 1, 10", gelu(torch.tensor([-10.0, 0.0, 1.0, 10.0])), right, tolerance=1e-6)
