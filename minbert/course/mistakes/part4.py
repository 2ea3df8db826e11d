"""Known mistakes of part 4: GELU, feed-forward, the encoder layer, the stack."""

import math

import torch
from torch.nn import functional as F

GELU = "gelu(1) is 0.8413447, gelu(-1) is -0.1586553."


def tanh_gelu(x):
    return F.gelu(x, approximate="tanh")


def network(activation):
    """A feed-forward network with another activation"""
    return lambda self, x: self.contract(activation(self.expand(x)))


ACTIVATIONS = {
    ("encoder.gelu", GELU): {
        "the GELU is the tanh approximation": tanh_gelu,
        "the activation is ReLU, not GELU": torch.relu,
        "the GELU is the sigmoid approximation, x * sigmoid(1.702 x)": lambda x: x * torch.sigmoid(1.702 * x),
        "the activation is SiLU, x * sigmoid(x), not GELU": F.silu,
        "the activation is tanh, not GELU": torch.tanh,
        "the GELU does not divide by sqrt(2)": lambda x: x * 0.5 * (1 + torch.erf(x)),
        "the GELU has x / sqrt(2) in the place of both x": lambda x: (
            x * (0.5 / math.sqrt(2)) * (1 + torch.erf(x / math.sqrt(2)))
        ),
        "the GELU divides by 2, not by sqrt(2)": lambda x: x * 0.5 * (1 + torch.erf(x / 2)),
        "the GELU multiplies by sqrt(2), it does not divide": lambda x: x * 0.5 * (1 + torch.erf(x * math.sqrt(2))),
        "the GELU is twice as large: 0.5 is forgotten": lambda x: x * (1 + torch.erf(x / math.sqrt(2))),
        "the GELU does not multiply by x": lambda x: 0.5 * (1 + torch.erf(x / math.sqrt(2))),
        "the GELU's erf is subtracted from 1, not added": lambda x: x * 0.5 * (1 - torch.erf(x / math.sqrt(2))),
        "the GELU's brackets are forgotten: x * 0.5 * 1 + erf": lambda x: x * 0.5 * 1 + torch.erf(x / math.sqrt(2)),
        "the GELU's factor 0.5 falls on erf alone: x * (1 + erf / 2)": lambda x: (
            x * (1 + 0.5 * torch.erf(x / math.sqrt(2)))
        ),
        "the GELU's 1 + is forgotten": lambda x: x * 0.5 * torch.erf(x / math.sqrt(2)),
        "the GELU has tanh in the place of erf": lambda x: x * 0.5 * (1 + torch.tanh(x / math.sqrt(2))),
        "gelu does nothing": lambda x: x,
    },
}


FEED_FORWARD = {
    ("encoder.FeedForward.forward", "Two layers, one activation: which comes between?"): {
        "the GELU is the tanh approximation": network(tanh_gelu),
        "the activation is ReLU, not GELU": network(torch.relu),
        "the activation is SiLU, x * sigmoid(x), not GELU": network(F.silu),
        "the activation is tanh, not GELU": network(torch.tanh),
        "the activation is always GELU, whatever the config says": network(F.gelu),
        "the feed-forward network has no activation": lambda self, x: self.contract(self.expand(x)),
        "the activation comes last": lambda self, x: self.activation(self.contract(self.expand(x))),
        "the activation comes twice in a row": lambda self, x: self.contract(
            self.activation(self.activation(self.expand(x)))
        ),
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
    order=("post", "post"),
    again=False,
    drop=("sublayer", "sublayer"),
    dropout=lambda self, x: self.dropout(x),
    first="attention",
    use=lambda mask: mask,
    middle=False,
    eps=(None, None),
    returned=lambda output, probabilities: (output, probabilities),
):
    """A wrong `EncoderLayer.forward`.

    norms   the two norms, None for none
    again   the second residual adds the layer's input; "looked": what attention gave; "sum": its sum before the norm
    order   of each half: "post"; "pre"; "inside": x + norm(f(x)); "both": norm before and after
    drop    where dropout falls, around attention and around the feed-forward network: "sublayer"; "sum": after the
            residual; "norm": after the norm; "input": on what the sublayer reads; "none"; words add up: "sum norm"
    """

    def normalise(self, name, x, eps):
        if name is None:
            return x
        norm = getattr(self, name)
        return F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps if eps is None else eps)

    def fall(self, x, places, here):
        for _ in range(places.split().count(here)):
            x = dropout(self, x)
        return x

    sums = []  # of the halves, before their norms

    def step(self, x, function, norm, keep, places, start, order, eps):
        read = normalise(self, norm, x, eps) if order in ("pre", "both") else x
        out = fall(self, function(fall(self, read, places, "input")), places, "sublayer")
        out = fall(self, normalise(self, norm, out, eps), places, "inside") if order == "inside" else out
        start = fall(self, start, places, "residual")
        out = fall(self, start + out if keep else out, places, "sum")
        sums.append(out)
        return fall(self, normalise(self, norm, out, eps) if order in ("post", "both") else out, places, "norm")

    def forward(self, x, mask):
        found, seen = [], []
        sums.clear()

        def attend(x):
            output, probabilities = self.attention(x, use(mask))
            found.append(probabilities)
            seen.append(output)
            return output

        functions = (attend, self.feed_forward) if first == "attention" else (self.feed_forward, attend)
        names = norms if first == "attention" else norms[::-1]
        looked = step(self, x, functions[0], names[0], residual[0], drop[0], x, order[0], eps[0])
        start = {False: looked, True: x, "looked": seen[0] if seen else x, "sum": sums[-1]}[again]
        output = step(self, looked, functions[1], names[1], residual[1], drop[1], start, order[1], eps[1])
        return returned(looked if middle else output, found[0])

    return forward


def side_by_side(dropout):
    def forward(self, x, mask):
        output, probabilities = self.attention(x, mask)
        looked = self.attention_norm(x + dropout(self, output))
        return self.feed_forward_norm(looked + dropout(self, self.feed_forward(x))), probabilities

    return forward


def in_place(self, x, mask):
    looked, probabilities = self.attention(x, mask)
    x += self.dropout(looked)
    x = self.attention_norm(x)
    return self.feed_forward_norm(x + self.dropout(self.feed_forward(x))), probabilities


def always(self, x):
    return F.dropout(x, self.dropout.p)


NORM, DROP = "After what is normalised, and with which norm?", "On what does dropout fall?"
EPS = "the norms' eps is torch's 1e-5 or BERT's 1e-12, not the config's"
LAYER = {
    ("encoder.EncoderLayer.forward", NORM): {
        "the residual connections are forgotten": layer(residual=(False, False)),
        "the residual around attention is forgotten": layer(residual=(False, True)),
        "the residual around the feed-forward network is forgotten": layer(residual=(True, False)),
        "the second residual adds what attention gave": layer(again="looked"),
        "the second residual adds the layer's input": layer(again=True),
        "the second residual adds the first sum, before its norm": layer(again="sum"),
        "the layer changes its input in place": in_place,
        "the norms come first (pre-norm)": layer(order=("pre", "pre")),
        "the norms fall on what is added, before it is added": [
            layer(order=("inside", "inside")),
            layer(order=("inside", "inside"), drop=("inside", "inside")),
        ],
        "the first norm falls on what is added, before it is added": [
            layer(order=("inside", "post")),
            layer(order=("inside", "post"), drop=("inside", "sublayer")),
        ],
        "the second norm falls on what is added, before it is added": [
            layer(order=("post", "inside")),
            layer(order=("post", "inside"), drop=("sublayer", "inside")),
        ],
        "the first norm comes before attention (pre-norm)": layer(order=("pre", "post")),
        "the second norm comes before the feed-forward network (pre-norm)": layer(order=("post", "pre")),
        "the first norm comes before attention as well": layer(order=("both", "post")),
        "the second norm comes before the feed-forward network as well": layer(order=("post", "both")),
        "the norms come first and last": layer(order=("both", "both")),
        "both times the first norm is used": layer(norms=("attention_norm", "attention_norm")),
        "both times the second norm is used": layer(norms=("feed_forward_norm", "feed_forward_norm")),
        "the two norms are exchanged": layer(norms=("feed_forward_norm", "attention_norm")),
        "the norms are forgotten": layer(norms=(None, None)),
        "the first norm is forgotten": layer(norms=(None, "feed_forward_norm")),
        "the second norm is forgotten": layer(norms=("attention_norm", None)),
        EPS: layer(eps=(1e-12, 1e-12)),
        "the first norm's eps is torch's 1e-5 or BERT's 1e-12, not the config's": layer(eps=(1e-12, None)),
        "the second norm's eps is torch's 1e-5 or BERT's 1e-12, not the config's": layer(eps=(None, 1e-12)),
        "the feed-forward network comes before attention": layer(first="feed-forward"),
        "the feed-forward network reads the layer's input": [
            side_by_side(lambda self, x: self.dropout(x)),
            side_by_side(lambda self, x: x),
        ],
        "the layer returns what comes after attention": layer(middle=True),
        "the layer returns the probabilities first": layer(
            returned=lambda output, probabilities: (probabilities, output)
        ),
        "the layer returns no probabilities": layer(returned=lambda output, probabilities: output),
        "the layer does not hand on the mask": layer(use=torch.ones_like),
    },
    ("encoder.EncoderLayer.forward", DROP, True): {
        "there is no dropout": layer(drop=("none", "none")),
        "there is no dropout after attention": layer(drop=("none", "sublayer")),
        "there is no dropout after the feed-forward network": layer(drop=("sublayer", "none")),
        "dropout is on in evaluation": layer(dropout=always),
        "dropout comes after the norms": layer(drop=("norm", "norm")),
        "dropout comes after the first norm": layer(drop=("norm", "sublayer")),
        "dropout comes after the second norm": layer(drop=("sublayer", "norm")),
        "dropout comes after the second norm only": layer(drop=("none", "norm")),
        "dropout comes after the first norm only": layer(drop=("norm", "none")),
        "dropout comes after the norms as well": layer(drop=("sublayer norm", "sublayer norm")),
        "dropout comes after the second norm as well": layer(drop=("sublayer", "sublayer norm")),
        "dropout falls on the sums, with the residuals": layer(drop=("sum", "sum")),
        "dropout falls on the first sum, with the residual": layer(drop=("sum", "sublayer")),
        "dropout falls on the second sum, with the residual": layer(drop=("sublayer", "sum")),
        "dropout falls on what attention and feed-forward read": layer(drop=("input", "input")),
        "dropout falls on what the feed-forward network reads": layer(drop=("sublayer", "input")),
        "dropout falls on what attention reads": layer(drop=("input", "sublayer")),
        "dropout falls on the residuals, not on what is added": layer(drop=("residual", "residual")),
        "dropout falls on the first residual, not on what is added": layer(drop=("residual", "sublayer")),
        "dropout falls on the second residual, not on what is added": layer(drop=("sublayer", "residual")),
        "dropout comes twice each time": layer(drop=("sublayer sublayer", "sublayer sublayer")),
        "dropout comes twice after attention": layer(drop=("sublayer sublayer", "sublayer")),
        "dropout comes twice after the feed-forward network": layer(drop=("sublayer", "sublayer sublayer")),
    },
}


def stack(
    layers=lambda layers: layers,
    before=False,
    chained=True,
    use=lambda mask: mask,
    forget=False,
    first=False,
    collect=("hidden states", "attentions"),
):
    """A wrong `Encoder.forward`."""

    def forward(self, x, mask, hidden_states=None, attentions=None):
        start = x
        for layer in layers(self.layers):
            given = x
            x, probabilities = layer(x if chained else start, use(mask))
            x = given if forget else x
            if hidden_states is not None and "hidden states" in collect:
                hidden_states.insert(0 if first else len(hidden_states), given if before else x)
            if attentions is not None and "attentions" in collect:
                attentions.append(probabilities)
        return x

    return forward


STACK = {
    ("encoder.Encoder.forward", "Print the hidden states, one layer after the other."): {
        "the first layer is used each time": stack(layers=lambda layers: [layers[0]] * len(layers)),
        "the last layer is used each time": stack(layers=lambda layers: [layers[-1]] * len(layers)),
        "only the first layer is used": stack(layers=lambda layers: layers[:1]),
        "what a layer gives is thrown away": stack(layers=lambda layers: layers, forget=True),
        "the hidden states are collected in reverse order": stack(first=True),
        "the hidden states are not collected": stack(collect=("attentions",)),
        "the probabilities are not collected": stack(collect=("hidden states",)),
        "the last layer is left out": stack(layers=lambda layers: layers[:-1]),
        "the first layer is left out": stack(layers=lambda layers: layers[1:]),
        "the layers run in reverse order": stack(layers=lambda layers: list(layers)[::-1]),
        "each layer reads the embeddings, not the layer before": stack(chained=False),
        "the hidden states are those before each layer": stack(before=True),
        "the stack does not hand on the mask": stack(use=torch.ones_like),
    },
}
KNOWN = ACTIVATIONS | FEED_FORWARD | LAYER | STACK
