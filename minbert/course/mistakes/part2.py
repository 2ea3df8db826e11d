"""Known mistakes of part 2: embeddings."""

import math

import torch
from torch.nn import functional as F

from minbert.course.mistakes import Around
from minbert.embeddings import sinusoids


def norm(x, module, eps=None, dim=-1, plain=False, unbiased=False, outside=False, root=torch.sqrt):
    eps = module.eps if eps is None else eps
    variance = x.var(dim, keepdim=True, unbiased=unbiased)
    scale = root(variance) + eps if outside else root(variance + eps)
    x = (x - x.mean(dim, keepdim=True)) / scale
    return x if plain else x * module.weight + module.bias


def embed(
    add=("token", "position", "segment"),
    segments=lambda segments, ids: torch.zeros_like(ids) if segments is None else segments,
    places=None,
    token=lambda x: x,
    finish=norm,
    order=("norm", "dropout"),
    dropout=lambda self, x: self.dropout(x),
    early=lambda self, x: x,
    each=lambda self, x: x,
    late=(),
):
    """A wrong `Embeddings.forward`.

    early   acts on the token vectors;  each  on each of the three before they are added
    late    what is added after the norm
    places  gives each token's position; None: as it should be
    """

    def forward(self, input_ids, token_type_ids=None, positions=None):
        kinds = segments(token_type_ids, input_ids)
        x = each(self, early(self, token(self.token(input_ids))))
        if "position" in add:
            right = self.positions(input_ids) if positions is None else positions
            x = x + each(self, self.position(places(input_ids, positions, kinds) if places else right))
        if "segment" in add and kinds is not None:
            x = x + each(self, self.segment(kinds))
        for step in order:
            x = finish(x, self.norm) if step == "norm" else dropout(self, x)
            if step == "norm" and "position" in late:
                x = x + self.position(self.positions(input_ids) if positions is None else positions)
            if step == "norm" and "segment" in late:
                x = x + self.segment(kinds)
        return x

    return forward


def normed(**how):
    return embed(finish=lambda x, module: norm(x, module, **how))


def always(self, x):
    return F.dropout(x, self.dropout.p)


def first(ids, given, kinds):
    return torch.zeros_like(ids[0])


def rows(ids, given, kinds):
    return torch.arange(ids.size(0))[:, None].expand_as(ids)


def backwards(ids, given, kinds):
    return torch.arange(ids.size(1)).flip(0) if given is None else given


def later(ids, given, kinds):
    return (torch.arange(ids.size(1)) if given is None else given).add(1)


def unless_given(places):
    return lambda ids, given, kinds: places(ids, given, kinds) if given is None else given


def not_given(ids, given, kinds):
    return torch.arange(ids.size(1))


def each_text(ids, given, kinds):
    return torch.where(kinds > 0, kinds.cumsum(1) - 1, torch.arange(ids.size(1)))


def not_refused(limit):
    """A wrong `positions`: the last position again and again, or whatever the table says."""
    return lambda self, ids: torch.arange(ids.size(1)).clamp(max=self.position.num_embeddings - 1 if limit else 10**6)


NORM = "What is added up, and what is normalised?"
DROP = "When does dropout act, and on what?"
FORWARD = {
    ("embeddings.Embeddings.forward", NORM): {
        "the segments are forgotten": embed(add=("token", "position")),
        "the segments are all 0": embed(segments=lambda kinds, ids: torch.zeros_like(ids)),
        "the segments are exchanged": embed(segments=lambda k, ids: torch.ones_like(ids) if k is None else 1 - k),
        "no segments given means the second": embed(segments=lambda k, ids: torch.ones_like(ids) if k is None else k),
        "no segments given means that none are added": embed(segments=lambda kinds, ids: kinds),
        "the positions are forgotten": embed(add=("token", "segment")),
        "the positions start at 1": [embed(places=later), embed(places=unless_given(later))],
        "every token has the first position": [embed(places=first), embed(places=unless_given(first))],
        "the positions are counted along the batch": [embed(places=rows), embed(places=unless_given(rows))],
        "the positions run backwards": embed(places=backwards),
        "the second text's positions start at 0 again": [
            embed(places=each_text),
            embed(places=unless_given(each_text)),
        ],
        "given positions are ignored": embed(places=not_given),
        "the tokens are forgotten": embed(token=lambda x: 0 * x),
        "the token vectors are multiplied by sqrt(D)": embed(token=lambda x: x * math.sqrt(x.size(-1))),
        "the norm is forgotten": embed(order=("dropout",)),
        "the token vectors are normalised, and the sum once more": embed(early=lambda self, x: norm(x, self.norm)),
        "tokens and positions are multiplied, not added": embed(
            early=lambda self, x: x * (self.position.weight[: x.size(1)] - 0) - self.position.weight[: x.size(1)]
        ),
        "each of the three vectors is normalised, then they are added": embed(
            each=lambda self, x: norm(x, self.norm), order=("dropout",)
        ),
        "each of the three vectors is normalised, and the sum once more": embed(
            each=lambda self, x: norm(x, self.norm)
        ),
        "the positions are added after the norm": embed(add=("token", "segment"), late=("position",)),
        "the segments are added after the norm": embed(add=("token", "position"), late=("segment",)),
        "the three vectors are averaged, not added": embed(each=lambda self, x: x / 3),
        "only the token vectors are normalised": embed(early=lambda self, x: norm(x, self.norm), order=("dropout",)),
        "the norm's eps is torch's 1e-5, not the config's": normed(eps=1e-05),
        "the norm's eps is 1e-12, not the config's": normed(eps=1e-12),
        "the norm runs over the tokens, not over a token's numbers": normed(dim=1),
        "the norm runs over all numbers of a text": normed(dim=(1, 2)),
        "the norm has no weight and bias": [normed(plain=True), normed(plain=True, eps=1e-5)],
        "the norm's variance divides by D - 1": normed(unbiased=True),
        "the norm adds eps outside the square root": normed(outside=True),
        "the norm divides by the variance, not by its root": normed(root=lambda variance: variance),
        "the norm divides by torch's std + eps: D - 1, and eps outside the root": normed(unbiased=True, outside=True),
    },
    ("embeddings.Embeddings.forward", DROP, True): {
        "dropout is on in evaluation": embed(dropout=always),
        "there is no dropout": embed(order=("norm",)),
        "dropout comes before the norm": embed(order=("dropout", "norm")),
        "dropout falls on the token vectors only": embed(early=lambda self, x: self.dropout(x), order=("norm",)),
        "dropout falls on each of the three vectors, not on the sum": embed(
            each=lambda self, x: self.dropout(x), order=("norm",)
        ),
        "dropout falls on the token vectors as well": embed(early=lambda self, x: self.dropout(x)),
        "dropout falls on the token vectors as well, before the norm of the sum": embed(
            early=lambda self, x: self.dropout(x), order=("dropout", "norm")
        ),
        "dropout comes twice": embed(order=("norm", "dropout", "dropout")),
    },
}


def table(
    halves=False,
    swapped=False,
    base=10000,
    power=2,
    first=0,
    together=False,
    only=None,
    times=False,
    trim=True,
    last=False,
    inside=True,
):
    def wrong(length, size):
        pairs = torch.arange((size + 1) // 2)
        angle = (torch.arange(length)[:, None] + first) / base ** (power * pairs / size)
        if times:
            angle = torch.arange(length)[:, None] * base ** (2 * pairs / size)
        if last:
            angle = torch.arange(length)[:, None] / base ** (pairs / (size // 2 - 1))
        if together:  # each of the size numbers has a frequency of its own
            angle = (torch.arange(length)[:, None] + first) / base ** (torch.arange(size) / size)
            return torch.where(torch.arange(size) % 2 == 0, angle.sin(), angle.cos())
        sines, cosines = (angle.cos(), angle.sin()) if swapped else (angle.sin(), angle.cos())
        if not inside:
            place, scale = torch.arange(length)[:, None], base ** (2 * pairs / size)
            sines, cosines = place.sin() / scale, place.cos() / scale
        if only:
            sines = cosines = angle.sin() if only == "sin" else angle.cos()
        if halves:
            return torch.cat([sines, cosines], 1)[:, :size]
        found = torch.stack([sines, cosines], 2).flatten(1)
        return found[:, :size] if trim else found

    return wrong


SINUSOIDS = {
    ("embeddings.sinusoids", "Write down the row of position 1."): {
        "the sinusoids: sine and cosine are exchanged": table(swapped=True),
        "the sinusoids: all sines come first, then all cosines": table(halves=True),
        "the sinusoids: there are sines only": table(only="sin"),
        "the sinusoids: there are cosines only": table(only="cos"),
        "the sinusoids: the position is multiplied, not divided": [table(power=-2), table(times=True)],
        "the sinusoids: the exponent is 4i / size, not 2i / size": table(power=4),
        "the sinusoids: the sine is divided, not its angle": table(inside=False),
        "the sinusoids: the exponent's last one is 1, as in tensor2tensor": table(last=True),
        "the sinusoids: an odd size has a cosine too many": table(trim=False),
        "the sinusoids: the base is 1000": table(base=1000),
        "the sinusoids: the exponent is i / size, not 2i / size": table(power=1),
        "the sinusoids: positions start at 1": table(first=1),
        "the sinusoids: sine and cosine of a pair have different frequencies": table(together=True),
    },
    ("embeddings.sinusoids", "Which shape is asked for?"): {
        "the sinusoids are turned: positions are columns": lambda length, size: sinusoids(size, length),
    },
}
LENGTH = {
    ("embeddings.Embeddings.positions", "What should a text of too many tokens do?"): {
        "a text that is too long is cut down to the last position": not_refused(True),
        "a text that is too long is not refused in words": not_refused(False),
        "a text as long as the model has positions is refused": Around(
            lambda right: lambda self, ids: right(self, F.pad(ids, (0, 1)))[:-1]
        ),
    },
}
KNOWN = FORWARD | SINUSOIDS | LENGTH
