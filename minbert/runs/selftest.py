"""Does this device compute what the equations say? Asked of a tiny model, before hours are spent on a wrong answer.

What is tested by pytest is tested on the CPU of whoever ran it. A driver, a kernel or a library on another device may
be wrong without a word: a program that trains there asks this first.
"""

import copy
import math
import os
import platform
import shutil
import sys
from pathlib import Path

import torch
from torch.nn import functional as F

from minbert import fast, training
from minbert.batch import Batch
from minbert.config import Config
from minbert.errors import UserError
from minbert.fast import measure
from minbert.fast.optimizer import fused_adamw
from minbert.heads import BertSentClassifier
from minbert.optimizer import AdamW
from minbert.runs import report

# The largest difference that is rounding, as a share of the largest number of a stage. Rounding comes to 1e-6 with
# float32, 1e-3 with the 10 bits that a GPU may be told to multiply with, 5e-2 with bfloat16's 8; a wrong kernel to 1.
TOLERANCE = {"fp32": 5e-3, "bf16": 2e-1}
SIZES = Config(
    vocab_size=50,
    hidden_size=48,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=80,
    max_position_embeddings=24,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    num_labels=3,
)
LENGTHS = (19, 7, 2, 12, 1)
RATE = 0.1  # of the optimizer's step


def pick_device(name):
    """A torch.device from auto, cpu, cuda or mps. Only auto falls back, and says so if there seems to be a GPU."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    reason = unusable_gpu()
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if there[device])
        if name == "cpu" and reason:
            report.warn(f"{reason}: this runs on the CPU")
    if not there[name]:
        found = ", ".join(device for device in there if there[device])
        why = f" ({reason})" if reason else ""
        said = f"there is no {name} device here; torch {torch.__version__} finds: {found}{why}"
        raise UserError(f"{said}; leave --device out, or give one of these")
    return torch.device(name)


def unusable_gpu():
    """Why torch does not use a GPU that seems to be there; "" if it does, if there is none, or if it is hidden."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1")
    if torch.cuda.is_available() or torch.backends.mps.is_available() or hidden:
        return ""
    if Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi"):
        built = f"was built for CUDA {torch.version.cuda}, and its driver or this account cannot use it"
        fault = built if torch.version.cuda else "was built without CUDA"
        return f"there seems to be an NVIDIA GPU, but torch {torch.__version__} {fault}"
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return f"this Mac has a GPU, but torch {torch.__version__} or this macOS cannot use it"
    return ""


def self_test(device, precision="fp32", learns=True):
    """Raise UserError if a tiny classifier computes something else on a device than in float64 on the CPU.

    The CPU's float32 is not asked: pytest has asked it all. Nor is int8, which is far from exact.

    learns  whether a step of the optimizer is to be right too
    """
    device = torch.device(device)
    measure.choices(device)  # refuses a kernel that the environment names and that is not there
    if device.type != "cpu" or precision == "bf16":
        compare(device, precision, learns)


def compare(device, precision, learns):
    """`self_test` for any device. It takes 20 ms on a CPU, and the first optimizer of a program takes torch a second.

    Compared are vectors, logits and gradients of a padded batch, by the ways that prediction and training take; the
    other side goes the plain way. The generators of random numbers are left as they are.
    """
    model, batch = example()
    reference = copy.deepcopy(model).double()
    expected = stages(reference, batch, "fp32")
    gradients = [parameter.grad for parameter in reference.parameters()]
    expected |= step(reference, gradients, AdamW) if learns else {}
    try:
        found = stages(fast.swap_in(model).to(device), batch.to(device), precision)
        found |= step(model, gradients, fused_adamw) if learns else {}
    except (RuntimeError, NotImplementedError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{device} cannot run a tiny model with torch {torch.__version__} in {precision} ({reason})."
            " Use --device cpu"
        ) from None
    differences = {name: difference(found[name], expected[name]) for name in expected}
    worst = max(differences, key=differences.get)
    if differences[worst] > TOLERANCE[precision]:
        share = f"differ by {differences[worst]:.1%}" if differences[worst] < math.inf else "are no numbers, different"
        raise UserError(
            f"{device} computes wrongly with torch {torch.__version__} in {precision}: {worst} of a tiny model {share} "
            f"from the CPU's. Use --device cpu, or another torch or driver"
        )


def example():
    """The model and the batch: always the same. Weights of this size make any mistake visible in the logits."""
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        model = BertSentClassifier(SIZES)
    for name, parameter in model.named_parameters():
        around = 1.0 if name.endswith("norm.weight") else 0.0
        parameter.data = around + 0.3 * torch.randn(parameter.shape, generator=generator)
    shape = len(LENGTHS), max(LENGTHS)
    mask = (torch.arange(shape[1]) < torch.tensor(LENGTHS)[:, None]).long()
    ids = torch.randint(1, SIZES.vocab_size, shape, generator=generator) * mask
    segments = torch.randint(0, SIZES.type_vocab_size, shape, generator=generator) * mask
    return model, Batch(ids, mask, segments, torch.arange(len(LENGTHS)) % SIZES.num_labels)


def stages(model, batch, precision):
    """Everything on the way of a batch through a model and back: {what: its numbers, float64 on the CPU}."""
    bert, (*inputs, labels) = model.bert, batch
    with training.autocast(labels.device, precision):
        hidden_states = bert(*inputs, output_hidden_states=True)["hidden_states"]  # L + 1 [B, T, D]
        logits = model(*inputs)
    F.cross_entropy(logits if logits.dtype == torch.float64 else logits.float(), labels).backward()
    parts = {"the embeddings": bert.embeddings}
    parts |= {f"layer {number}": layer for number, layer in enumerate(bert.encoder.layers, 1)}
    found = {f"the vectors of {name}": x * batch.attention_mask[:, :, None] for name, x in zip(parts, hidden_states)}
    found["the logits"] = logits
    for name, part in (parts | {"the pooler": bert.pooler, "the classifier": model.classifier}).items():
        found[f"the gradients of {name}"] = torch.cat([parameter.grad.flatten() for parameter in part.parameters()])
    return {name: x.detach().cpu().double() for name, x in found.items()}


def step(model, gradients, optimizer):
    """How far a step of an optimizer moves the weights with these gradients, in the form of `stages`."""
    weights = list(model.parameters())
    before = [weight.detach().clone() for weight in weights]
    for weight, gradient in zip(weights, gradients):
        weight.grad = gradient.to(weight.device, weight.dtype, copy=True)
    optimizer([{"params": weights, "weight_decay": 0.01}], lr=RATE).step()
    moved = [(weight.detach() - old).flatten() for weight, old in zip(weights, before)]
    return {"the moves of the optimizer": torch.cat(moved).cpu().double()}


def difference(found, expected):
    """The largest, as a share of the largest number that is expected."""
    share = ((found - expected).abs().max() / expected.abs().max()).item()
    return share if share == share else math.inf
