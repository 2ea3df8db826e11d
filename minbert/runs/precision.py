"""Which precision a model computes in: the one that was asked for, unless that is int8 and int8 is slow here."""

import torch

from minbert.fast import measure, reading
from minbert.fast.int8 import Int8Linear, quantize
from minbert.runs import report
from minbert.training import autocast

TOKENS = 256  # that the timed layer reads


def settle(model, asked, device="cpu"):
    """Prepare a model for the precision that was asked for. Returns the one it computes in: fp32, bf16 or int8.

    asked  "fp32"; "bf16", which is used in any case; "int8", where fp32 is used instead if it is faster;
           "int8-always"
    What is not as one would expect is said in one line on stderr. Call it after fast.swap_in and fast.for_reading:
    the race is with what fp32 would really use.
    """
    precision = "int8" if asked == "int8-always" else asked
    if torch.device(device).type == "cpu" and asked in ("bf16", "int8"):
        seconds = layer_times(first_query(model), precision, is_packed(model))
        if measure.fastest(seconds, precision) == "fp32":
            slower = f"{precision} is {seconds[precision] / seconds['fp32']:.1f} times slower than fp32 on this machine"
            if asked == "bf16":
                report.warn(f"{slower}; leave --precision out for fp32")
            else:
                report.warn(f"{slower}: fp32 is used; --precision int8-always uses int8 all the same")
                precision = "fp32"
    if precision == "int8":
        quantize(model)
    return precision


def first_query(model):
    """The layer that makes the queries in a model's first attention."""
    return next(module for name, module in model.named_modules() if name.endswith("attention.query"))


def is_packed(model):
    """Whether fp32 predicts with matrices in oneDNN's order, by fast.for_reading."""
    return any(isinstance(module, reading.EncoderLayer) for module in model.modules())


@torch.no_grad()
def layer_times(layer, precision, packed=False):
    """How long a linear layer takes in fp32 and in bf16 or int8, on one thread: {precision: seconds}.

    packed  whether fp32 takes the matrix in oneDNN's order
    """
    x = measure.example(TOKENS, layer.in_features)
    usual = reading.Product.of(layer) if packed else layer
    compared = Int8Linear(layer) if precision == "int8" else layer

    def run():
        with autocast("cpu", precision):
            compared(x)

    return measure.race({"fp32": lambda: usual(x), precision: run})
