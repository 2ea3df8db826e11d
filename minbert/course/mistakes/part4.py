"""Known mistakes of part 4: GELU, feed-forward, the encoder layer, the stack."""

import math

import torch
from torch.nn import functional as F

from minbert.course.mistakes import Mistake


def mistake(name, hint, place, function, within=False, fair=False):
    return Mistake(name, hint, {f"encoder.{place}": function}, within, fair)


GELU = "gelu(1) is 0.8413447, gelu(-1) is -0.1586553."


def gelu(name, function, place="gelu", fair=False):
    return mistake(name, GELU, place, function, fair=fair)


ACTIVATIONS = (
    gelu("the GELU is the tanh approximation", lambda x: F.gelu(x, approximate="tanh"), fair=True),
    gelu("the activation is ReLU, not GELU", torch.relu, fair=True),
    gelu("the GELU is the sigmoid approximation, x * sigmoid(1.702 x)", lambda x: x * torch.sigmoid(1.702 * x)),
    gelu("the activation is SiLU, x * sigmoid(x), not GELU", F.silu),
    gelu("the activation is tanh, not GELU", torch.tanh),
    gelu("the GELU does not divide by sqrt(2)", lambda x: x * 0.5 * (1 + torch.erf(x))),
    gelu("the GELU divides by 2, not by sqrt(2)", lambda x: x * 0.5 * (1 + torch.erf(x / 2))),
    gelu("the GELU multiplies by sqrt(2), it does not divide", lambda x: x * 0.5 * (1 + torch.erf(x * math.sqrt(2)))),
    gelu("the GELU is twice as large: 0.5 is forgotten", lambda x: x * (1 + torch.erf(x / math.sqrt(2)))),
    gelu("the GELU does not multiply by x", lambda x: 0.5 * (1 + torch.erf(x / math.sqrt(2)))),
    gelu("the GELU's 1 + is forgotten", lambda x: x * 0.5 * torch.erf(x / math.sqrt(2))),
    gelu("gelu does nothing", lambda x: x),
    gelu("gelu_tanh is the exact GELU", F.gelu, "gelu_tanh"),
    gelu(
        "gelu_tanh forgets the cube",
        lambda x: x * 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * x)),
        "gelu_tanh",
    ),
    gelu(
        "gelu_tanh takes sqrt(pi / 2), not sqrt(2 / pi)",
        lambda x: x * 0.5 * (1 + torch.tanh(math.sqrt(math.pi / 2) * (x + 0.044715 * x**3))),
        "gelu_tanh",
    ),
    gelu(
        "gelu_tanh takes 2 / pi, not its square root",
        lambda x: x * 0.5 * (1 + torch.tanh(2 / math.pi * (x + 0.044715 * x**3))),
        "gelu_tanh",
    ),
    gelu(
        "gelu_tanh squares where it should cube",
        lambda x: x * 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**2))),
        "gelu_tanh",
    ),
)


def forward(name, function, within=False):
    return mistake(name, "Two layers, one activation: which comes between?", "FeedForward.forward", function, within)


FEED_FORWARD = (
    forward("the feed-forward network has no activation", lambda self, x: self.contract(self.expand(x))),
    forward("the activation comes last", lambda self, x: self.activation(self.contract(self.expand(x)))),
    forward(
        "the activation comes after both layers",
        lambda self, x: self.activation(self.contract(self.activation(self.expand(x)))),
    ),
    forward("the activation comes first", lambda self, x: self.contract(self.expand(self.activation(x)))),
    forward(
        "the feed-forward network has its residual inside",
        lambda self, x: x + self.contract(self.activation(self.expand(x))),
    ),
    forward(
        "the second layer's bias is left out", lambda self, x: self.activation(self.expand(x)) @ self.contract.weight.T
    ),
    forward(
        "the first layer's bias is left out", lambda self, x: self.contract(self.activation(x @ self.expand.weight.T))
    ),
    forward(
        "there is dropout inside the feed-forward network",
        lambda self, x: self.contract(F.dropout(self.activation(self.expand(x)), 0.4, self.training)),
        True,
    ),
)


def layer(
    norms=("attention_norm", "feed_forward_norm"),
    residual=(True, True),
    order="post",
    again=False,
    drops=(1, 1),
    place="sublayer",
    dropout=lambda self, x: self.dropout(x),
    first="attention",
    use=lambda mask: mask,
    middle=False,
    eps=None,
):
    """A wrong `EncoderLayer.forward`.

    norms   the two norms, None for none; again  the second residual adds the layer's input
    order   "post"; "pre"; "inside": x + norm(f(x)); "both": norm before and after
    drops   how often dropout acts after attention and after the feed-forward network
    place   "sublayer", "sum": after the residual, "norm": after the norm, "input": on what a sublayer reads
    """

    def normalise(self, name, x):
        if name is None:
            return x
        norm = getattr(self, name)
        return F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps if eps is None else eps)

    def drop(self, x, times, here):
        for _ in range(times if here == place else 0):
            x = dropout(self, x)
        return x

    def step(self, x, function, norm, keep, times, start):
        read = normalise(self, norm, x) if order in ("pre", "both") else x
        out = drop(self, function(drop(self, read, times, "input")), times, "sublayer")
        out = normalise(self, norm, out) if order == "inside" else out
        out = drop(self, start + out if keep else out, times, "sum")
        return drop(self, normalise(self, norm, out) if order in ("post", "both") else out, times, "norm")

    def forward(self, x, mask):
        found = []

        def attend(x):
            output, probabilities = self.attention(x, use(mask))
            found.append(probabilities)
            return output

        functions = (attend, self.feed_forward) if first == "attention" else (self.feed_forward, attend)
        names = norms if first == "attention" else norms[::-1]
        looked = step(self, x, functions[0], names[0], residual[0], drops[0], x)
        output = step(self, looked, functions[1], names[1], residual[1], drops[1], x if again else looked)
        return (looked if middle else output), found[0]

    return forward


def encode(name, hint, within=False, fair=False, **how):
    return mistake(name, hint, "EncoderLayer.forward", layer(**how), within, fair)


def side_by_side(self, x, mask):
    output, probabilities = self.attention(x, mask)
    return self.feed_forward_norm(self.attention_norm(x + output) + self.feed_forward(x)), probabilities


def always(self, x):
    return F.dropout(x, self.dropout.p)


ADD, NORM, DROP = (
    "Which two things are added?",
    "After what is normalised, and with which norm?",
    "On what does dropout fall?",
)
EPS = "the norms' eps is torch's 1e-5 or BERT's 1e-12, not the config's"
LAYER = (
    encode("the residual connections are forgotten", ADD, residual=(False, False)),
    encode("the residual around attention is forgotten", ADD, residual=(False, True)),
    encode("the residual around the feed-forward network is forgotten", ADD, residual=(True, False)),
    encode("the second residual adds the layer's input", ADD, again=True),
    encode("the norms come first (pre-norm)", NORM, order="pre", fair=True),
    encode("the norms fall on what is added, before it is added", NORM, order="inside"),
    encode("the norms come first and last", NORM, order="both"),
    encode("both times the first norm is used", NORM, norms=("attention_norm", "attention_norm")),
    encode("both times the second norm is used", NORM, norms=("feed_forward_norm", "feed_forward_norm")),
    encode("the two norms are exchanged", NORM, norms=("feed_forward_norm", "attention_norm")),
    encode("the norms are forgotten", NORM, norms=(None, None)),
    encode("the first norm is forgotten", NORM, norms=(None, "feed_forward_norm")),
    encode("the second norm is forgotten", NORM, norms=("attention_norm", None)),
    encode(EPS, "Print the norms' eps.", eps=1e-12),
    encode("the feed-forward network comes before attention", "Look around, then think.", first="feed-forward"),
    mistake(
        "the feed-forward network reads the layer's input",
        "Look around, then think.",
        "EncoderLayer.forward",
        side_by_side,
    ),
    encode("the layer returns what comes after attention", "What is the layer's output?", middle=True),
    encode("the layer does not hand on the mask", "What does attention get?", use=torch.ones_like),
    encode("there is no dropout", DROP, True, drops=(0, 0)),
    encode("there is no dropout after attention", DROP, True, drops=(0, 1)),
    encode("there is no dropout after the feed-forward network", DROP, True, drops=(1, 0)),
    encode("dropout is on in evaluation", DROP, True, dropout=always),
    encode("dropout is on in evaluation, after attention", DROP, True, dropout=always, drops=(1, 0)),
    encode("dropout comes after the norms", DROP, True, place="norm", fair=True),
    encode("dropout falls on the sum, with the residual", DROP, True, place="sum", fair=True),
    encode("dropout falls on what attention and feed-forward read", DROP, True, place="input"),
    encode("dropout comes twice each time", DROP, True, drops=(2, 2)),
    encode("dropout comes after the second norm only", DROP, True, place="norm", drops=(0, 1)),
)


def stack(layers=lambda layers: layers, before=False, chained=True, use=lambda mask: mask):
    def forward(self, x, mask, hidden_states=None, attentions=None):
        start = x
        for layer in layers(self.layers):
            if before and hidden_states is not None:
                hidden_states.append(x)
            x, probabilities = layer(x if chained else start, use(mask))
            if hidden_states is not None and not before:
                hidden_states.append(x)
            if attentions is not None:
                attentions.append(probabilities)
        return x

    return forward


def stacked(name, **how):
    return mistake(name, "Print the hidden states, one layer after the other.", "Encoder.forward", stack(**how))


STACK = (
    stacked("the first layer is used each time", layers=lambda layers: [layers[0]] * len(layers)),
    stacked("the last layer is used each time", layers=lambda layers: [layers[-1]] * len(layers)),
    stacked("only the first layer is used", layers=lambda layers: layers[:1]),
    stacked("the last layer is left out", layers=lambda layers: layers[:-1]),
    stacked("the first layer is left out", layers=lambda layers: layers[1:]),
    stacked("the layers run in reverse order", layers=lambda layers: list(layers)[::-1]),
    stacked("each layer reads the embeddings, not the layer before", chained=False),
    stacked("the hidden states are those before each layer", before=True),
    stacked("the stack does not hand on the mask", use=torch.ones_like),
)
MISTAKES = ACTIVATIONS + FEED_FORWARD + LAYER + STACK
