"""Compare a stage's result with the right one; where they differ, say by how much and name the mistake."""

import torch
from torch import Tensor

TOLERANCE = 1e-5  # absolute; correct code differs from the reference by rounding, about 1e-6


def check(
    stage: str,
    ours: Tensor,
    golden: Tensor,
    real: Tensor | None = None,
    mistakes: dict[str, Tensor] | None = None,
    tolerance: float = TOLERANCE,
) -> None:
    """Assert that ours equals golden within the tolerance.

    real      True where it counts, in any shape that broadcasts to golden's; None: everywhere
    mistakes  {mistake: the result that it gives}, as in minbert.course.mistakes
    Raises AssertionError with the stage, the largest difference and, where the result is a known mistake's, its name.
    """
    __tracebackhide__ = True  # pytest shows the line that called this
    if ours.shape != golden.shape:
        problem = f"the shape is {list(ours.shape)}, but should be {list(golden.shape)}"
    else:
        difference = largest_difference(ours, golden, real)
        if difference <= tolerance:  # False for NaN
            return
        nan = "" if ours.isfinite().all() else " (NaN or Inf)"
        problem = f"the largest difference is {difference:.2e}{nan}; at most {tolerance:.0e} is allowed"
    known = (
        name
        for name, wrong in (mistakes or {}).items()
        if wrong.shape == ours.shape and largest_difference(ours, wrong, real) <= 2 * tolerance
    )
    raise AssertionError(f"{stage}: {problem}{hint(known)}")


def check_equal(stage: str, ours, right, mistakes: dict | None = None) -> None:
    """The same for what is equal or not, such as a list of pieces."""
    __tracebackhide__ = True
    if ours != right:
        known = (name for name, wrong in (mistakes or {}).items() if wrong == ours)
        raise AssertionError(f"{stage}: the result is {ours!r}, but should be {right!r}{hint(known)}")


def largest_difference(ours, theirs, real=None):
    difference = (ours - theirs).abs()
    if real is not None:
        difference = difference.masked_fill(~real.expand_as(difference), 0.0)
    return difference.max() if difference.numel() else torch.zeros(())


def hint(known):
    """'. Likely mistake: ...' with the known mistakes that fit, '' if none does"""
    names = "; or ".join(known)
    return f". Likely mistake: {names}" if names else ""
