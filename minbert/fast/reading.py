"""An encoder's layers for prediction: matrices in oneDNN's own order; GELU and sums are computed inside the products.

The plain counterpart is encoder.EncoderLayer. `for_reading` lets a model predict this way.
"""

import threading
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minbert import encoder
from minbert.fast import linear, measure, twins
from minbert.fast.attention import attend, attend_first
from minbert.fast.packing import Packing

# oneDNN's name for each activation that it computes inside a product
FUSED = {encoder.gelu: ("gelu", "none"), encoder.gelu_tanh: ("gelu", "tanh"), torch.relu: ("relu", "")}


class Product:
    """x [N, D] -> x W^T + b [N, E], or an activation of it. W is kept in the order in which oneDNN reads it.

    weights, biases  [E, D] and [E] of one layer, or of several side by side
    activation       a pair of FUSED
    """

    def __init__(self, weights: list[Tensor], biases: list[Tensor], activation: tuple = ("none", "")):
        self.weight = torch.ops.mkldnn._reorder_linear_weight(torch.cat(weights).detach(), None)
        self.bias, self.activation = torch.cat(biases).detach(), activation

    @classmethod
    def of(cls, *layers: nn.Linear, activation: tuple = ("none", "")) -> "Product":
        return cls([layer.weight for layer in layers], [layer.bias for layer in layers], activation)

    def __call__(self, x: Tensor) -> Tensor:
        name, variant = self.activation
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, name, [], variant)

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        """x W^T + b + other; other [N, E]"""
        return torch.ops.mkldnn._linear_pointwise.binary(x, other, self.weight, self.bias, "add")


class Products:
    """The products of an EncoderLayer, of its weights as they are now."""

    def __init__(self, layer: encoder.EncoderLayer):
        self.attention, feed_forward = layer.attention, layer.feed_forward
        self.output = Product.of(self.attention.output)
        self.expand = Product.of(feed_forward.expand, activation=FUSED[feed_forward.activation])
        self.contract = Product.of(feed_forward.contract)

    @cached_property
    def query_key_value(self) -> Product:
        """All three in one, for `forward`; `first` needs the two below. Each is copied when it is first used."""
        return Product.of(self.attention.query, self.attention.key, self.attention.value)

    @cached_property
    def query(self) -> Product:
        return Product.of(self.attention.query)

    @cached_property
    def key_value(self) -> Product:
        return Product.of(self.attention.key, self.attention.value)

    def __reduce__(self):
        return type(None), ()  # a copy of the layer, in this process or another, makes its own


def ways():
    """The feed-forward step of a layer on an example, {name: function}; "packed" only where this torch has oneDNN."""
    x, rows, columns = measure.example(linear.ROWS, linear.SIZE), 4 * linear.SIZE, linear.SIZE
    expand = measure.example(rows, columns), measure.example(rows)
    contract = measure.example(columns, rows) / rows, measure.example(columns)
    found = {"plain": lambda: (x + linear.linear(F.gelu(linear.linear(x, *expand)), *contract),)}
    if "onednn" in linear.kernels() and hasattr(torch.ops.mkldnn, "_reorder_linear_weight"):
        first = Product([expand[0]], [expand[1]], FUSED[encoder.gelu])
        second = Product([contract[0]], [contract[1]])
        found["packed"] = lambda: (second.plus(first(x), x),)
    return found


COPYING = threading.Lock()
KERNEL = measure.Choice("reading", ("plain", "packed"), ways, recorded=False)


class EncoderLayer(encoder.EncoderLayer):
    """Predicts in float32 with the copies. In all other cases (training, gradients, bfloat16, a hook: see `reads`) it
    computes as the other twins do."""

    products = stamp = None

    def forget(self) -> None:
        """Drop the copies of the weights."""
        self.__dict__.pop("products", None)
        self.__dict__.pop("stamp", None)

    def forward(self, x: Tensor, mask: Packing | Tensor) -> tuple[Tensor, Tensor | None]:
        """x [N, D], mask Packing -> [N, D], None; with a mask as in the plain class, the same as there"""
        if not isinstance(mask, Packing) or not self.reads():
            return super().forward(x, mask)
        attention = self.attention
        query, key, value = self.products.query_key_value(x).chunk(3, dim=-1)  # [N, D]
        return self.after(x, attend(query, key, value, attention.heads, mask, attention.dropout)), None

    def first(self, x: Tensor, packing: Packing) -> Tensor:
        """`forward` for each text's first token only: x [N, D] -> [B, D]"""
        if not self.reads():
            return twins.first_only(self, x, packing)
        key, value = self.products.key_value(x).chunk(2, dim=-1)  # [N, D]
        first, attention = x[packing.first], self.attention
        query = self.products.query(first)  # [B, D]
        return self.after(first, attend_first(query, key, value, attention.heads, packing, attention.dropout))

    def after(self, x: Tensor, mixed: Tensor) -> Tensor:
        """The layer's input, and the values that attention has mixed -> the layer's output; all [N, D]"""
        x = self.attention_norm(self.products.output.plus(mixed, x))
        return self.feed_forward_norm(self.products.contract.plus(self.products.expand(x), x))

    def reads(self) -> bool:
        """Whether this is prediction in float32. If so, `products` hold the weights as they are now."""
        if torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
            return False
        layers, others = linears(self), uncalled(self)
        for part in layers + others:
            if part.training or part._forward_hooks or part._forward_pre_hooks:
                return False
        stamp = [self.feed_forward.activation, *map(type, layers + others)]
        try:
            for layer in layers:
                stamp += [(weight.data_ptr(), weight._version) for weight in layer._parameters.values()]
        except (AttributeError, RuntimeError):  # there is no bias; a tensor of inference_mode counts no changes
            return False
        if self.products is None or stamp != self.stamp:
            if not fits(self):
                return False
            with COPYING:  # one thread copies; the others find its copy
                if self.products is None or stamp != self.stamp:
                    self.products, self.stamp = Products(self), stamp
        return True

    def train(self, mode: bool = True):
        """As in any module. The copies of the weights are dropped in training: they will change."""
        if mode:
            self.forget()
        return super().train(mode)


# Both are asked for each batch, so they look where nn.Module keeps its parts: asking the module takes longer.
def uncalled(layer: encoder.EncoderLayer) -> list[nn.Module]:
    """The other parts whose work is done without a call of them"""
    attention = layer._modules["attention"]
    return [attention, layer._modules["feed_forward"], layer._modules["dropout"], attention._modules["dropout"]]


def linears(layer: encoder.EncoderLayer) -> list[nn.Linear]:
    attention, feed_forward = layer._modules["attention"]._modules, layer._modules["feed_forward"]._modules
    looking = [attention[name] for name in ("query", "key", "value", "output")]
    return looking + [feed_forward[name] for name in ("expand", "contract")]


def fits(layer: encoder.EncoderLayer) -> bool:
    """Whether a layer consists of our own parts, on the CPU, with an activation that oneDNN knows."""
    if type(layer.attention) is not twins.MultiHeadAttention or type(layer.feed_forward) is not twins.FeedForward:
        return False
    return layer.feed_forward.activation in FUSED and all(
        type(part) is linear.Linear
        and part.bias is not None
        and part.weight.dtype == torch.float32
        and part.weight.device.type == "cpu"
        for part in linears(layer)
    )


def for_reading(model: nn.Module) -> nn.Module:
    """Let the encoders of a swapped-in model predict with their matrices in oneDNN's order, if that is faster here.

    In place; it returns the model. Values, shapes and names stay. For prediction alone: the matrices then lie in memory
    twice, from the first batch on, and a weight that is changed through its `data`, in evaluation mode, goes unnoticed.
    """
    for module in model.modules():
        if type(module) is encoder.EncoderLayer and fits(module) and KERNEL.get() == "packed":
            module.__class__ = EncoderLayer
    return model
