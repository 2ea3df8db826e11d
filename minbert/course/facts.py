"""True observations about a difference, for a failure that has no name. Each is computed; none is a guess."""

import math

import numpy as np

from minbert.course.compare import Stage, compare, difference, form, tolerance
from minbert.course.naming import same

MASKS = ("attention_mask", "mask")


def facts(part: int | str, outputs: dict, inputs: dict, expected: dict) -> list[str]:
    """Sentences about the first wrong stage of a part, and about which probes are wrong.

    outputs, expected  {probe: {stage: array}};  inputs  {probe: {argument: value}}
    """
    stages = compare(outputs, expected)
    wrong = [stage for stage in stages if not stage.ok]
    if not wrong:
        return []
    found = about_probes(stages, wrong)
    first = wrong[0]
    ours = outputs.get(first.probe, {}).get(first.name)
    if ours is None:
        return found
    right, given = expected[first.probe][first.name], inputs.get(first.probe, {})
    found += equal_to(first, ours, given, expected)
    if form(ours, right):
        return found + about_form(ours, right)
    apart = difference(ours, right) > tolerance(right)
    found += about_places(apart, given)
    if right.dtype.kind == "f":
        found += about_numbers(ours, right)
    return found


def about_probes(stages: list[Stage], wrong: list[Stage]) -> list[str]:
    every, bad = (dict.fromkeys(stage.probe for stage in of) for of in (stages, wrong))
    if len(bad) == len(every):
        return []
    if len(bad) <= len(every) - len(bad):
        return [f"all is right but in: {'; '.join(bad)}"]
    return [f"nothing is wrong in: {'; '.join(probe for probe in every if probe not in bad)}"]


def about_form(ours, right) -> list[str]:
    if ours.ndim == right.ndim and sorted(ours.shape) == sorted(right.shape) and ours.shape != right.shape:
        return ["the axes are in another order"]
    if ours.size == right.size and ours.ndim != right.ndim:
        return ["the numbers are as many as they should be, with other axes"]
    return []


def about_places(apart, given: dict) -> list[str]:
    """Which rows and places are right."""
    found = []
    for axis in range(apart.ndim if apart.size > 1 else 0):
        rest = tuple(other for other in range(apart.ndim) if other != axis)
        wrong = apart.any(axis=rest)
        if wrong.all():
            continue
        right = np.flatnonzero(~wrong).tolist()
        found.append(f"right at {shown(right)} of axis {axis}, wrong at {shown(np.flatnonzero(wrong).tolist())}")
        mask = next((given[name] for name in MASKS if isinstance(given.get(name), np.ndarray)), None)
        if axis == 0 and mask is not None and mask.shape[0] == len(wrong):
            padded = ~mask.reshape(len(wrong), -1).astype(bool).all(axis=1)
            if (padded == wrong).all():
                found.append("that is: wrong in rows with padding, right in rows without")
    return found


def shown(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers[:6])) + (" ..." if len(numbers) > 6 else "")


def about_numbers(ours, right) -> list[str]:
    found, ours, right = [], ours.astype(np.float64), right.astype(np.float64)
    finite = np.isfinite(ours)
    if not finite.all():
        first = np.argwhere(~finite)[0].tolist()
        return [f"{(~finite).sum()} of {finite.size} numbers are NaN or infinite, the first at {first}"]
    counts = np.abs(right) > 1e-3
    if counts.any():
        ratios = ours[counts] / right[counts]
        if np.ptp(ratios) < 1e-3 * abs(ratios.mean()) and abs(ratios.mean() - 1) > 1e-3:
            found.append(f"every number is {ratios.mean():.5g}{as_root(ratios.mean())} times what it should be")
    gaps = ours - right
    if gaps.size > 1 and np.ptp(gaps) < 1e-4 and abs(gaps.mean()) > 1e-3:
        found.append(f"every number is too {'large' if gaps.mean() > 0 else 'small'} by {abs(gaps.mean()):.5g}")
    if right.ndim and sums_to_1(right, -1):
        if not sums_to_1(ours, -1):
            found.append(f"rows should sum to 1, but the first sums to {ours.sum(-1).flat[0]:.5g}")
        found += [f"the sums over axis {axis} are 1" for axis in range(ours.ndim - 1) if sums_to_1(ours, axis)]
    if ours.size > 1 and np.ptp(ours) == 0:
        found.append("every number is the same")
    return found


def as_root(value: float) -> str:
    """' = sqrt(5)' if a number is a whole number's root, or one over it; else ''"""
    for power, sign in ((value**2, ""), (1 / value**2, "1 / ")):
        whole = round(power)
        if 2 <= whole <= 1024 and abs(power - whole) < 1e-3 * whole:
            root = math.isqrt(whole)
            return f" = {sign}{root}" if root * root == whole else f" = {sign}sqrt({whole})"
    return ""


def sums_to_1(x, axis: int) -> bool:
    sums = x.sum(axis)
    return bool((np.isclose(sums, 1.0, atol=1e-4) | np.isclose(sums, 0.0, atol=1e-6)).all() and (sums > 0.5).any())


def equal_to(first: Stage, ours, given: dict, expected: dict) -> list[str]:
    """What came out is something that is known: an input, or the right result of another stage."""
    inputs = {f"the input {name}": value for name, value in given.items() if isinstance(value, np.ndarray)}
    others = {
        f"what {probe}: {stage} should be": value
        for probe, stages in expected.items()
        for stage, value in stages.items()
        if (probe, stage) != (first.probe, first.name)
    }
    if ours.size < 2:
        return []
    return [f"what came out is {name}" for name, value in (inputs | others).items() if same(ours, value)][:2]
