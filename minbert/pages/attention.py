"""A page that shows where each head of each layer looked while a model read one text.

from minbert.pages.attention import attention_page

attention_page(model, tokenizer, "The animal didn't cross the street because it was too tired")  # in a notebook
attention_page(model, tokenizer, "Who?", "The animal.").write("attention.html")
"""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from minbert.encoding import Tokenizer
from minbert.errors import UserError
from minbert.pages.html import Page
from minbert.pages.looking import Looks, body_of, look
from minbert.pages.pack import LINEAR, ROOTS, quantise, restore
from minbert.pages.shares import by_units, measures, telling
from minbert.probing import check_head

BUDGET = 5_000_000  # bytes of a page
EXACT_TO = 64  # tokens up to which a probability is stored in two bytes
COARSE = 15  # steps of the root where ROOTS would make the page too large
TOP = 5  # tokens that a table names


def attention_page(
    model,
    tokenizer: Tokenizer,
    text: str,
    pair: str | None = None,
    causal: bool = False,
    padding: int = 0,
    layers: Sequence[int] | None = None,
    layer: int | None = None,
    head: int | None = None,
    name: str | None = None,
) -> Page:
    """The page of one text: all heads of some layers, [L, H, T, T] probabilities of T tokens, 512 at most.

    model        an encoder of any family, a GPT decoder, or a translator, whose encoder is shown; with any head
    pair         a second text, read after the first
    causal       no token looks at later ones, as in a decoder
    padding      number of padding tokens behind the text, for the mask to hide
    layers       which ones, counted from 0; None: all
    layer, head  the head that is shown first; None: the one that picks out single other words most clearly
    name         the model's, for the title; None: what it was loaded from
    Raises UserError for a text without words, for one that is too long, and for a layer or head that there is not.
    Warns if the page is larger than 5 MB.

    Up to 64 tokens a probability is stored to 1/65535. Beyond, its square root is stored in 31 steps.
    """
    config = body_of(model).config
    depth = config.num_hidden_layers
    layers = sorted(set(range(depth) if layers is None else layers))
    for number in [*layers, layer or 0]:
        if not 0 <= number < depth:
            raise UserError(f"there is no layer {number}: layers are 0 to {depth - 1}")
    if not layers:
        raise UserError("layers is empty: name one or more")
    check_head(config, layer or 0, head or 0)
    if layer is not None and layer not in layers:
        raise UserError(f"layer {layer} is to be shown first, but it is not among the layers of the page")
    looks = look(model, tokenizer, text, pair, causal, padding)
    if name is None:
        loaded = getattr(model, "loaded", None)
        name = Path(loaded.source).name if loaded else type(model).__name__
    given = looks, facts_of(looks, layers, first_head(looks, layers, layer, head)), name, depth
    if len(looks.tokens) <= EXACT_TO:
        return build(*given, LINEAR)
    page = build(*given, ROOTS)
    if len(page.text) > BUDGET:
        coarse = build(*given, COARSE)
        page = coarse if len(coarse.text) <= BUDGET else page
    if len(page.text) > BUDGET:
        size = len(page.text) / 1e6
        warnings.warn(f"a page of {size:.1f} MB opens slowly: name fewer layers, or shorten the text", stacklevel=2)
    return page


def first_head(looks: Looks, layers: list, layer: int | None, head: int | None) -> tuple[int, int]:
    """The head that is shown first: of those that fit layer and head, the most telling."""
    best = {}
    for number in layers if layer is None else [layer]:
        scores = telling(by_units(looks.exact(number), looks.words), looks)
        best |= {(number, at): score for at, score in enumerate(scores) if head in (None, at)}
    return max(best, key=best.get)


def facts_of(looks: Looks, layers: list, first: tuple) -> dict:
    """What the page's script reads at once, and its template too."""
    kinds = {"words": looks.words, "tokens": looks.tokens}
    figures, exact = {}, [looks.exact(number) for number in layers]
    for kind, units in kinds.items():
        found = [measures(by_units(p, units), looks, units) for p in exact]
        figures[kind] = [np.stack([*each.values()], axis=-1).round(4).tolist() for each in found]
    return {
        **kinds,
        "real": looks.real,
        "second": looks.second,
        "causal": looks.causal,
        "special": [at for places in looks.resting.values() for at in places],
        "layers": layers,
        "heads": len(exact[0]),
        "measured": list(found[0]),
        "figures": figures,  # by kind, layer and head: a number for each name in "measured"
        "first": first,
    }


def build(looks: Looks, facts: dict, model: str, depth: int, steps: int) -> Page:
    """The page, with probabilities stored in so many steps. depth: the layers of the model"""
    layer, head = facts["first"]
    codes = {number: quantise(looks.exact(number), steps) for number in facts["layers"]}
    sums = np.array([restore(code, steps).sum(-1) for code in codes.values()])
    stored = by_units(restore(codes[layer][head], steps), looks.words)
    facts = facts | {"steps": steps, "linear": steps == LINEAR, "digits": 3 if steps == LINEAR else 2}
    return Page(
        "attention",
        f"Attention in {model}",
        facts,
        {f"layer-{number}": code.tobytes() for number, code in codes.items()},
        facts=facts,
        looks=looks,
        model=model,
        depth=depth,
        sums=(sums.min(), sums.max()),
        error=1 / 2 / steps if steps == LINEAR else 1 - (1 - 1 / 2 / steps) ** 2,
        rows=[*table(stored, looks.words, looks.hidden(looks.words), facts["digits"])],
    )


def table(p: np.ndarray, units: list, hidden: np.ndarray, digits: int) -> Iterator[tuple]:
    """Yields a row of words for each unit: (its name, [(a name, probability), ...], the rest, the sum)

    The TOP units that it looks at most, of those that are not hidden from it.
    """
    for (name, _, _), row, out in zip(units, p, hidden):
        best = [at for at in np.argsort(-row, kind="stable") if not out[at]][:TOP]
        named = [(units[at][0], f"{row[at]:.{digits}f}") for at in best]
        yield name, named, f"{max(row.sum() - row[best].sum(), 0):.{digits}f}", f"{row.sum():.{digits}f}"
