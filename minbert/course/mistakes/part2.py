"""Known mistakes of part 2: embeddings."""

import math

import torch
from torch.nn import functional as F

from minbert.course.mistakes import Around, Mistake
from minbert.embeddings import sinusoids


def norm(x, module, eps=None, dim=-1, plain=False, unbiased=False, outside=False):
    eps = module.eps if eps is None else eps
    variance = x.var(dim, keepdim=True, unbiased=unbiased)
    scale = variance.sqrt() + eps if outside else (variance + eps).sqrt()
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
):
    """A wrong `Embeddings.forward`.

    early   acts on the token vectors
    places  gives each token's position; None: as it should be
    """

    def forward(self, input_ids, token_type_ids=None, positions=None):
        kinds = segments(token_type_ids, input_ids)
        x = early(self, token(self.token(input_ids)))
        if "position" in add:
            right = self.positions(input_ids) if positions is None else positions
            x = x + self.position(places(input_ids, positions) if places else right)
        if "segment" in add and kinds is not None:
            x = x + self.segment(kinds)
        for step in order:
            x = finish(x, self.norm) if step == "norm" else dropout(self, x)
        return x

    return forward


def forward(name, hint, within=False, fair=False, **how):
    return Mistake(name, hint, {"embeddings.Embeddings.forward": embed(**how)}, within, fair)


def with_norm(name, hint, **how):
    return forward(name, hint, finish=lambda x, module: norm(x, module, **how))


def always(self, x):
    return F.dropout(x, self.dropout.p)


def first(ids, given):
    return torch.zeros_like(ids[0])


def rows(ids, given):
    return torch.arange(ids.size(0))[:, None].expand_as(ids)


def backwards(ids, given):
    return torch.arange(ids.size(1)).flip(0) if given is None else given


def later(ids, given):
    return (torch.arange(ids.size(1)) if given is None else given).add(1)


def not_given(ids, given):
    return torch.arange(ids.size(1))


def not_refused(limit):
    """A wrong `positions`: the last position again and again, or whatever the table says."""
    return lambda self, ids: torch.arange(ids.size(1)).clamp(max=self.position.num_embeddings - 1 if limit else 10**6)


SUM, PLACE, KIND, NORM = "What is added up?", "Where does counting begin?", "Which text is 0?", "What is normalised?"
DROP = "When does dropout act, and on what?"
FORWARD = (
    forward("the segments are forgotten", SUM, add=("token", "position")),
    forward("the segments are all 0", SUM, segments=lambda kinds, ids: torch.zeros_like(ids)),
    forward("the segments are exchanged", KIND, segments=lambda k, ids: torch.ones_like(ids) if k is None else 1 - k),
    forward(
        "no segments given means the second", KIND, segments=lambda k, ids: torch.ones_like(ids) if k is None else k
    ),
    forward("no segments given means that none are added", KIND, segments=lambda kinds, ids: kinds),
    forward("the positions are forgotten", SUM, add=("token", "segment")),
    forward("the positions start at 1", PLACE, places=later, fair=True),
    forward("every token has the first position", PLACE, places=first),
    forward("the positions are counted along the batch", PLACE, places=rows),
    forward("the positions run backwards", PLACE, places=backwards),
    forward("given positions are ignored", "What is the argument positions for?", places=not_given),
    forward("the tokens are forgotten", SUM, token=lambda x: 0 * x),
    forward("the token vectors are multiplied by sqrt(D)", SUM, token=lambda x: x * math.sqrt(x.size(-1)), fair=True),
    forward("the norm is forgotten", NORM, order=("dropout",)),
    forward(
        "only the token vectors are normalised", NORM, early=lambda self, x: norm(x, self.norm), order=("dropout",)
    ),
    with_norm("the norm's eps is torch's 1e-5, not the config's", "Print norm.eps.", eps=1e-5),
    with_norm("the norm's eps is 1e-12, not the config's", "Print norm.eps.", eps=1e-12),
    with_norm("the norm runs over the tokens, not over a token's numbers", NORM, dim=1),
    with_norm("the norm has no weight and bias", NORM, plain=True),
    with_norm("the norm's variance divides by D - 1", NORM, unbiased=True),
    with_norm("the norm adds eps outside the square root", NORM, outside=True),
    forward("dropout is on in evaluation", DROP, True, dropout=always),
    forward("there is no dropout", DROP, True, order=("norm",)),
    forward("dropout comes before the norm", DROP, True, order=("dropout", "norm"), fair=True),
    forward(
        "dropout falls on the token vectors only", DROP, True, early=lambda self, x: self.dropout(x), order=("norm",)
    ),
    forward("dropout comes twice", DROP, True, order=("norm", "dropout", "dropout")),
)


def table(halves=False, swapped=False, base=10000, power=2, first=0, together=False):
    def wrong(length, size):
        pairs = torch.arange((size + 1) // 2)
        angle = (torch.arange(length)[:, None] + first) / base ** (power * pairs / size)
        if together:  # each of the size numbers has a frequency of its own
            angle = (torch.arange(length)[:, None] + first) / base ** (torch.arange(size) / size)
            return torch.where(torch.arange(size) % 2 == 0, angle.sin(), angle.cos())
        sines, cosines = (angle.cos(), angle.sin()) if swapped else (angle.sin(), angle.cos())
        if halves:
            return torch.cat([sines, cosines], 1)[:, :size]
        return torch.stack([sines, cosines], 2).flatten(1)[:, :size]

    return wrong


def sines(name, **how):
    return Mistake(name, "Write down the row of position 1.", {"embeddings.sinusoids": table(**how)})


SINUSOIDS = (
    sines("the sinusoids: sine and cosine are exchanged", swapped=True),
    sines("the sinusoids: all sines come first, then all cosines", halves=True),
    sines("the sinusoids: the base is 1000", base=1000),
    sines("the sinusoids: the exponent is i / size, not 2i / size", power=1),
    sines("the sinusoids: positions start at 1", first=1),
    sines("the sinusoids: sine and cosine of a pair have different frequencies", together=True),
    Mistake(
        "the sinusoids are turned: positions are columns",
        "Which shape is asked for?",
        {"embeddings.sinusoids": lambda length, size: sinusoids(size, length)},
    ),
)
LENGTH = (
    Mistake(
        "a text that is too long is cut down to the last position",
        "What should a text of too many tokens do?",
        {"embeddings.Embeddings.positions": not_refused(True)},
    ),
    Mistake(
        "a text that is too long is not refused in words",
        "What should a text of too many tokens do?",
        {"embeddings.Embeddings.positions": not_refused(False)},
    ),
    Mistake(
        "a text as long as the model has positions is refused",
        "Is the limit itself allowed?",
        {
            "embeddings.Embeddings.positions": Around(
                lambda right: lambda self, ids: right(self, F.pad(ids, (0, 1)))[:-1]
            )
        },
    ),
)
MISTAKES = FORWARD + SINUSOIDS + LENGTH
