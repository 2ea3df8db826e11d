"""The golden tensors, as the tests read them, and a comparison with them."""

import json
from functools import cached_property
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from minbert import Config
from minbert.batch import Batch
from minbert.bert import BertModel

TOLERANCE = 1e-5  # absolute; correct code differs from the reference by rounding, about 1e-6


def check(stage, ours, golden, real=None, tolerance=TOLERANCE, hint=lambda: ""):
    """Assert that a tensor equals the reference library's within the tolerance.

    real  True where it counts, in any shape that broadcasts to golden's; None: everywhere
    hint  called for the end of the message
    """
    __tracebackhide__ = True  # pytest shows the line that called this
    if ours.shape != golden.shape:
        raise AssertionError(f"{stage}: the shape is {list(ours.shape)}, but should be {list(golden.shape)}{hint()}")
    apart = (ours - golden).abs().detach()
    largest = (apart if real is None else apart.masked_fill(~real.expand_as(apart), 0.0)).max()
    if not largest <= tolerance:  # NaN is not, either
        nan = "" if ours.isfinite().all() else " (NaN or Inf)"
        problem = f"the largest difference is {largest:.2e}{nan}; at most {tolerance:.0e} is allowed"
        raise AssertionError(f"{stage}: {problem}{hint()}")


class Golden:
    """tiny_bert.safetensors: golden.stage("0.query"), golden.weights("encoder.layers.0."), golden.batch;
    and tiny_heads.safetensors, under "heads/": golden.pretraining("mlm/logits")."""

    def __init__(self):
        with safe_open(Path(__file__).with_name("tiny_bert.safetensors"), framework="pt") as file:
            self.tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        heads = load_file(Path(__file__).with_name("tiny_heads.safetensors"))
        self.tensors |= {f"heads/{name}": tensor for name, tensor in heads.items()}
        self.step = json.loads(metadata["step"])
        self.config = Config(
            **json.loads(metadata["sizes"]),
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            classifier_dropout=0.0,
        )

    def stage(self, name):
        return self.tensors[f"stage/{name}"]

    def pretraining(self, name):
        """What make.py wrote into tiny_heads.safetensors under this name."""
        return self.tensors[f"heads/{name}"]

    def part(self, prefix):
        """All tensors under a prefix, under our names."""
        theirs = {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}
        ours, unexpected, _ = BertModel.names.translate(theirs)
        assert not unexpected
        return ours

    def weights(self, prefix=""):
        """The weights whose names in BertModel begin with prefix, without it."""
        ours = self.part("weights/")
        return {name.removeprefix(prefix): t.clone() for name, t in ours.items() if name.startswith(prefix)}

    @cached_property
    def batch(self):
        return Batch(*(self.tensors[f"input/{name}"] for name in Batch._fields))

    @property
    def real(self):
        """[B, T, 1], True at real tokens."""
        return self.batch.attention_mask.bool()[:, :, None]

    @property
    def mask(self):
        """[B, 1, 1, T], as attend takes it."""
        return self.batch.attention_mask.bool()[:, None, None, :]

    def heads(self, name):
        """A stage [B, T, D] cut into heads: [B, H, T, K]."""
        x, size = self.stage(name), self.config.hidden_size // self.config.num_attention_heads
        return torch.stack(x.split(size, dim=-1), dim=1)
