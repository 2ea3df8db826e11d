"""Compare what came out with what should: stage by stage, by how much, and where. Needs numpy only."""

from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-5  # for numbers up to 1, ten times the rounding of correct code; larger numbers may differ in proportion

UNWRITTEN = "not written yet"


@dataclass(frozen=True)
class Stage:
    """One array of one probe, judged."""

    probe: str
    name: str
    ok: bool
    problem: str = ""  # in words, one line; "" if ok
    largest: float = 0.0  # the largest difference; infinite where there is none to compute
    at: tuple = ()  # its index
    ours: object = None  # the number or string there
    right: object = None

    @property
    def title(self) -> str:
        return f"{self.probe}: {self.name}"


def unwritten(wrong: list[Stage]) -> bool:
    """True if functions that are not written yet explain all stages that are wrong: some tell what was raised."""
    return all(stage.problem.startswith(UNWRITTEN) or "NotImplementedError" in str(stage.ours) for stage in wrong)


def compare(outputs: dict[str, dict], expected: dict[str, dict]) -> list[Stage]:
    """{probe: {stage: array}}, twice -> each expected stage, judged, in order."""
    return [
        judge(probe, name, outputs.get(probe, {}), right)
        for probe, stages in expected.items()
        for name, right in stages.items()
    ]


def judge(probe: str, name: str, ours: dict, right: np.ndarray) -> Stage:
    """One stage of a probe. ours  all that came out of that probe"""
    if name not in ours:
        if "raised" not in ours:
            return Stage(probe, name, False, "nothing came out", np.inf)
        kind, message, where = ours["raised"].tolist()
        if kind == "NotImplementedError":
            more = f": {message}" if message and not message.startswith("part ") else ""  # "part 3: attend": a blank
            return Stage(probe, name, False, UNWRITTEN + more, np.inf)
        lines = message.splitlines() or [""]
        return Stage(probe, name, False, f"{where}: {kind}: {lines[0]}" if where else f"{kind}: {lines[0]}", np.inf)
    found = ours[name]
    problem = form(found, right)
    if problem:
        return Stage(probe, name, False, problem, np.inf)
    apart = difference(found, right)
    largest = float(apart.max(initial=0.0))
    if largest <= tolerance(right):
        return Stage(probe, name, True, largest=largest)
    at = tuple(map(int, np.unravel_index(apart.argmax(), apart.shape)))
    yours, should = found[at].item(), right[at].item()
    if right.dtype.kind == "U":
        problem = f"{yours!r} came out, but should be {should!r}"
    else:
        place = f" at {list(at)}" if at else ""
        problem = (
            f"the largest difference is {largest:.2e}{place}, allowed is {tolerance(right):.0e}; "
            f"yours {yours:.6g}, should be {should:.6g}"
        )
    return Stage(probe, name, False, problem, largest, at, yours, should)


def form(ours: np.ndarray, right: np.ndarray) -> str:
    """What is wrong with the kind or the shape of an array; "" if nothing. Any float does where a float is expected."""
    kinds = {"f": "numbers", "i": "whole numbers", "b": "True and False", "U": "strings"}
    if ours.dtype.kind != right.dtype.kind:
        kind = kinds.get(ours.dtype.kind, str(ours.dtype))
        return f"{kind} came out ({ours.dtype}), but should be {kinds[right.dtype.kind]} ({right.dtype})"
    if ours.shape != right.shape:
        return f"the shape is {list(ours.shape)}, but should be {list(right.shape)}"
    return ""


def difference(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Of two arrays of one form, place by place. NaN and infinity differ from all but themselves, by infinity."""
    if theirs.dtype.kind != "f":
        return np.where(ours == theirs, 0.0, np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    return np.where(same, 0.0, np.where(np.isfinite(apart), apart, np.inf))


def tolerance(right: np.ndarray) -> float:
    """What a stage may differ by: TOLERANCE, times its largest number if that is above 1."""
    if right.dtype.kind != "f":
        return 0.0
    finite = right[np.isfinite(right)]
    return TOLERANCE * max(1.0, float(np.abs(finite).max(initial=0.0)))
