"""Probes: what each part is asked, and what comes back. A probe calls one function on the right input of its stage.

Inputs and answers are numpy arrays and plain values only, so that they can pass from one process to another:
`draw` makes the inputs from a seed and needs numpy alone; `run` needs torch and the code under test, and nothing of
the reference. An answer is {stage: array}, in the order in which the stages are computed.
"""

import contextlib
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

PUBLIC_SEED = 2018  # of the probes that a student has; a grader draws others
RAISED = "raised"  # the stage that holds an exception: its type, its message, and where it was raised


@dataclass(frozen=True)
class Probe:
    """A question to a student's code.

    name  unique in its part: what is asked, a comma, and how. One that begins with "option: " asks for a branch of
          its own, which can be right although the rest is wrong
    draw  a numpy generator -> {argument: array, number or list of strings}, at least one
    ask   a generator function: ask(code, **arguments) yields (stage, what came out). `code.attention` is the module
          attention of the package under test. Arrays arrive as tensors
    """

    name: str
    draw: Callable
    ask: Callable


class Code:
    """The modules of the package under test, imported when they are first used: Code().attention"""

    def __getattr__(self, name):
        return import_module(f"minbert.{name}")


def probes(part: int | str) -> tuple[Probe, ...]:
    """The probes of a part, 1 to 8 or "whole", in order."""
    return import_module(f"{__name__}.{f'part{part}' if isinstance(part, int) else part}").PROBES


def draw(part: int | str, seed: int) -> dict[str, dict]:
    """The inputs of a part: {probe: {argument: array, number or list of strings}}; the same seed, the same inputs."""
    numbers = [seed, part if isinstance(part, int) else 0]
    return {
        probe.name: probe.draw(np.random.default_rng([*numbers, index])) for index, probe in enumerate(probes(part))
    }


def run(part: int | str, inputs: dict[str, dict], code=None) -> dict[str, dict[str, np.ndarray]]:
    """Ask the code under test each probe of `inputs`: {probe: {stage: array}}. What it raises is a stage, RAISED."""
    return {name: call(part, name, code or Code(), arguments) for name, arguments in inputs.items()}


def call(part: int | str, name: str, code, arguments: dict) -> dict[str, np.ndarray]:
    """Ask one probe: {stage: array}. After an exception, the stages before it and RAISED."""
    import torch

    probe = next(probe for probe in probes(part) if probe.name == name)
    found = {}
    torch.default_generator.manual_seed(0)
    try:
        with steady_dropout(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            arguments = {key: tensor(value) for key, value in arguments.items()}
            for stage, value in probe.ask(code, **arguments):
                found[stage] = array(value)
    except Exception as error:  # of any kind: it is a student's
        found[RAISED] = np.array([type(error).__name__, str(error)[:500], place(error)])
    return found


def tensor(value):
    import torch

    return torch.from_numpy(value.copy()) if isinstance(value, np.ndarray) and value.dtype.kind != "U" else value


def array(value) -> np.ndarray:
    """A tensor, a number, or a list of strings -> an array of its own: what is yielded can change in place later.

    Raises TypeError for anything else.
    """
    import torch

    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return np.array(value, dtype=str)
    if not isinstance(value, (torch.Tensor, np.ndarray, bool, int, float)):
        raise TypeError(f"a {type(value).__name__} came out, but should be a tensor")
    value = torch.as_tensor(value).detach().cpu().contiguous()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy().copy()


def place(error: Exception) -> str:
    """'attention.py:31', the last line that ran in a file of the package under test; "" if none did."""
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    inside = [f"{path.name}:{line}" for path, line in frames if path.parent.name == "minbert"]
    return inside[-1] if inside else ""


@contextlib.contextmanager
def steady_dropout() -> Iterator[None]:
    """torch's dropout drops the same places on every machine: random numbers differ between processors."""
    import torch
    from torch.nn import functional

    def dropout(input, p=0.5, training=True, inplace=False):
        dropped = input * keep(input, p) if training else input
        return input.copy_(dropped) if inplace else dropped

    saved = functional.dropout, torch.dropout
    functional.dropout, torch.dropout = dropout, lambda input, p, train: dropout(input, p, train)
    try:
        yield
    finally:
        functional.dropout, torch.dropout = saved


def keep(x, p: float):
    """What dropout multiplies by: 0 at about a share p of the places, else 1 / (1 - p); the same for the same shape."""
    import torch

    where = torch.arange(1, x.numel() + 1, dtype=torch.float64).mul(0.6180339887498949).frac().view(x.shape)
    return (where >= p).to(x.dtype) / max(1 - p, 1e-9)


# What several parts need


def normal(rng, *shape, scale=1.0):
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def linears(rng, **sizes):
    """{"query.weight": [D, D], "query.bias": [D], ...} for query=(out, in)"""
    found = {}
    for name, (rows, columns) in sizes.items():
        found[f"{name}.weight"] = normal(rng, rows, columns, scale=0.5)
        found[f"{name}.bias"] = normal(rng, rows, scale=0.5)
    return found


def norms(rng, size, *names):
    """The same for layer norms: weights about 1, biases about 0."""
    found = {}
    for name in names:
        found[f"{name}.weight"] = (1 + normal(rng, size, scale=0.2)).astype(np.float32)
        found[f"{name}.bias"] = normal(rng, size, scale=0.5)
    return found


def lengths(*sizes, gap=None, width=None):
    """An attention mask, int64 [B, T]: ones at the tokens, zeros behind. gap  (row, position), one more zero"""
    mask = np.array([[int(at < size) for at in range(width or max(sizes))] for size in sizes], dtype=np.int64)
    if gap:
        mask[gap] = 0
    return mask


def fill(module, weights: dict):
    """Load {name: tensor} into a module, all of it, and put it in evaluation mode."""
    module.load_state_dict(weights)
    return module.eval()


def real(x, attention_mask):
    """x [B, T, ...] with 0 where there is padding: what stands there does not count."""
    if list(x.shape[:2]) != list(attention_mask.shape):
        return x
    return x.masked_fill(~attention_mask.bool().view(*attention_mask.shape, *[1] * (x.ndim - 2)), 0.0)


def gradient(weight):
    """A weight's gradient; 0 if it has none."""
    return 0 * weight.detach() if weight.grad is None else weight.grad


@contextlib.contextmanager
def replaced(module, **functions) -> Iterator[None]:
    """A context in which a module finds other functions under these names: the work of another part."""
    saved = {name: getattr(module, name) for name in functions if hasattr(module, name)}
    for name in saved:
        setattr(module, name, functions[name])
    try:
        yield
    finally:
        for name, function in saved.items():
            setattr(module, name, function)


def refusal(function, *arguments) -> str:
    """What a call raises, by name; "no exception" if it answers."""
    try:
        function(*arguments)
    except Exception as error:
        return type(error).__name__
    return "no exception"


def names(values) -> list[str]:
    """A list of names as one array of strings that is never empty."""
    return [", ".join(sorted(values)) or "none"]
