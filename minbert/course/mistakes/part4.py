"""Known mistakes of part 4: GELU, feed-forward, the encoder layer, the stack."""

import math

import torch
from torch.nn import functional as F

GELU = "gelu(1) is 0.8413447, gelu(-1) is -0.1586553."


ACTIVATIONS = {
    ("encoder.gelu", "gelu(1) is 0.8413447, gelu(-1) is -0.1586553."): {
        "the GELU is the tanh approximation": lambda x: F.gelu(x, approximate="tanh"),
        "the activation is ReLU, not GELU": torch.relu,
        "the GELU is the sigmoid approximation, x * sigmoid(1.702 x)": lambda x: x * torch.sigmoid(1.702 * x),
        "the activation is SiLU, x * sigmoid(x), not GELU": F.silu,
        "the activation is tanh, not GELU": torch.tanh,
        "the GELU does not divide by sqrt(2)": lambda x: x * 0.5 * (1 + torch.erf(x)),
        "the GELU divides by 2, not by sqrt(2)": lambda x: x * 0.5 * (1 + torch.erf(x / 2)),
        "the GELU multiplies by sqrt(2), it does not divide": lambda x: x * 0.5 * (1 + torch.erf(x * math.sqrt(2))),
        "the GELU is twice as large: 0.5 is forgotten": lambda x: x * (1 + torch.erf(x / math.sqrt(2))),
        "the GELU does not multiply by x": lambda x: 0.5 * (1 + torch.erf(x / math.sqrt(2))),
        "the GELU's 1 + is forgotten": lambda x: x * 0.5 * torch.erf(x / math.sqrt(2)),
        "gelu does nothing": lambda x: x,
    },
    ("encoder.gelu_tanh", "gelu(1) is 0.8413447, gelu(-1) is -0.1586553."): {
        "gelu_tanh is the exact GELU": F.gelu,
        "gelu_tanh forgets the cube": lambda x: x * 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * x)),
        "gelu_tanh takes sqrt(pi / 2), not sqrt(2 / pi)": lambda x: (
            x * 0.5 * (1 + torch.tanh(math.sqrt(math.pi / 2) * (x + 0.044715 * x**3)))
        ),
        "gelu_tanh takes 2 / pi, not its square root": lambda x: (
            x * 0.5 * (1 + torch.tanh(2 / math.pi * (x + 0.044715 * x**3)))
        ),
        "gelu_tanh squares where it should cube": lambda x: (
            x * 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**2)))
        ),
    },
}


FEED_FORWARD = {
    ("encoder.FeedForward.forward", "Two layers, one activation: which comes between?"): {
        "the feed-forward network has no activation": lambda self, x: self.contract(self.expand(x)),
        "the activation comes last": lambda self, x: self.activation(self.contract(self.expand(x))),
        "the activation comes after both layers": lambda self, x: self.activation(
            self.contract(self.activation(self.expand(x)))
        ),
        "the activation comes first": lambda self, x: self.contract(self.expand(self.activation(x))),
        "the feed-forward network has its residual inside": lambda self, x: (
            x + self.contract(self.activation(self.expand(x)))
        ),
        "the second layer's bias is left out": lambda self, x: self.activation(self.expand(x)) @ self.contract.weight.T,
        "the first layer's bias is left out": lambda self, x: self.contract(self.activation(x @ self.expand.weight.T)),
    },
    ("encoder.FeedForward.forward", "Two layers, one activation: which comes between?", True): {
        "there is dropout inside the feed-forward network": lambda self, x: self.contract(
            F.dropout(self.activation(self.expand(x)), 0.4, self.training)
        ),
    },
}


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
LAYER = {
    ("encoder.EncoderLayer.forward", NORM): {
        "the residual connections are forgotten": layer(residual=(False, False)),
        "the residual around attention is forgotten": layer(residual=(False, True)),
        "the residual around the feed-forward network is forgotten": layer(residual=(True, False)),
        "the second residual adds the layer's input": layer(again=True),
        "the norms come first (pre-norm)": layer(order="pre"),
        "the norms fall on what is added, before it is added": layer(order="inside"),
        "the norms come first and last": layer(order="both"),
        "both times the first norm is used": layer(norms=("attention_norm", "attention_norm")),
        "both times the second norm is used": layer(norms=("feed_forward_norm", "feed_forward_norm")),
        "the two norms are exchanged": layer(norms=("feed_forward_norm", "attention_norm")),
        "the norms are forgotten": layer(norms=(None, None)),
        "the first norm is forgotten": layer(norms=(None, "feed_forward_norm")),
        "the second norm is forgotten": layer(norms=("attention_norm", None)),
        EPS: layer(eps=1e-12),
        "the feed-forward network comes before attention": layer(first="feed-forward"),
        "the feed-forward network reads the layer's input": side_by_side,
        "the layer returns what comes after attention": layer(middle=True),
        "the layer does not hand on the mask": layer(use=torch.ones_like),
    },
    ("encoder.EncoderLayer.forward", DROP, True): {
        "there is no dropout": layer(drops=(0, 0)),
        "there is no dropout after attention": layer(drops=(0, 1)),
        "there is no dropout after the feed-forward network": layer(drops=(1, 0)),
        "dropout is on in evaluation": layer(dropout=always),
        "dropout is on in evaluation, after attention": layer(dropout=always, drops=(1, 0)),
        "dropout comes after the norms": layer(place="norm"),
        "dropout falls on the sum, with the residual": layer(place="sum"),
        "dropout falls on what attention and feed-forward read": layer(place="input"),
        "dropout comes twice each time": layer(drops=(2, 2)),
        "dropout comes after the second norm only": layer(place="norm", drops=(0, 1)),
    },
}


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


STACK = {
    ("encoder.Encoder.forward", "Print the hidden states, one layer after the other."): {
        "the first layer is used each time": stack(layers=lambda layers: [layers[0]] * len(layers)),
        "the last layer is used each time": stack(layers=lambda layers: [layers[-1]] * len(layers)),
        "only the first layer is used": stack(layers=lambda layers: layers[:1]),
        "the last layer is left out": stack(layers=lambda layers: layers[:-1]),
        "the first layer is left out": stack(layers=lambda layers: layers[1:]),
        "the layers run in reverse order": stack(layers=lambda layers: list(layers)[::-1]),
        "each layer reads the embeddings, not the layer before": stack(chained=False),
        "the hidden states are those before each layer": stack(before=True),
        "the stack does not hand on the mask": stack(use=torch.ones_like),
    },
}
KNOWN = ACTIVATIONS | FEED_FORWARD | LAYER | STACK
