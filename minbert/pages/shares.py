"""Probabilities of attention as numbers: of words instead of tokens, what sums up a head."""

import numpy as np

from minbert.pages.looking import Looks


def by_units(p: np.ndarray, units: list) -> np.ndarray:
    """Probabilities of tokens [..., T, T] -> of units [..., N, N]: to a unit the sum over its tokens, from a unit their
    mean, so that rows still sum to 1 (Clark et al. 2019, section 4.1)."""
    if len(units) == p.shape[-1]:
        return p
    starts = [first for _, first, _ in units]
    sizes = np.array([end - first for _, first, end in units])
    return np.add.reduceat(np.add.reduceat(p, starts, axis=-1), starts, axis=-2) / sizes[:, None]


def measures(p: np.ndarray, looks: Looks, units: list) -> dict[str, np.ndarray]:
    """What sums up each head, means over the rows of a text: p [H, N, N] of N units -> {its name: [H]}

    Entropy of a row in bits; how far away it looks, in units; its shares to itself, to the unit before and to the one
    after, of the rows that have one; to special tokens, or, of a model without one in front, to the first unit.
    """
    count = sum(first < looks.real for _, first, _ in units)
    p = p[:, :count, :count]  # what hides from padding, and what padding looks at, are left out
    apart = np.abs(np.arange(count)[:, None] - np.arange(count)[None, :])
    found = {
        "entropy (bits)": (p * np.log2(1 / np.where(p > 0, p, 1))).sum(-1).mean(-1),
        "distance": (p * apart).sum(-1).mean(-1),
        "to itself": np.diagonal(p, 0, -2, -1).mean(-1),
    }
    sides = {"to the one before": -1} if looks.causal else {"to the one before": -1, "to the one after": 1}
    if count > 1:
        found |= {name: np.diagonal(p, side, -2, -1).mean(-1) for name, side in sides.items()}
    for name, tokens in looks.resting.items():
        columns = [at for at, (_, first, end) in enumerate(units) if any(first <= token < end for token in tokens)]
        found[f"to {name}"] = p[:, :, columns].sum(-1).mean(-1)
    return found


def telling(p: np.ndarray, looks: Looks) -> np.ndarray:
    """How clearly each head picks out single other words: [H, N, N] of words -> [H], the mean over the rows of the
    largest share to a word that is not special, not the row's own, and not beside it."""
    real = [at for at, (_, first, _) in enumerate(looks.words) if first < looks.real]
    resting = [at for places in looks.resting.values() for at in places]
    other = np.array([at for at in real if looks.words[at][1] not in resting])
    if not len(other):
        return np.zeros(len(p))
    apart = np.abs(other[:, None] - other[None, :]) > 1
    return (p[:, other[:, None], other[None, :]] * apart).max(-1).mean(-1)
