"""What several tests of the course need."""

import numpy as np

from minbert.course.compare import difference, form, tolerance
from minbert.course.naming import RAISED, places


def apart(first: dict, second: dict, expected: dict, enough: float = np.inf) -> float:
    """By how many tolerances two mistakes' `wrong_parts` differ at most, on some probe; infinite if in form.

    enough  stop looking beyond this
    """
    most = 0.0
    for probe, stage in places(first) | places(second):
        values = [parts.get(probe, {}).get(stage, expected[probe].get(stage)) for parts in (first, second)]
        if any(value is None for value in values) or (stage != RAISED and form(*values)):
            return np.inf
        if stage == RAISED:
            continue
        most = max(most, float(difference(*values).max(initial=0.0)) / max(tolerance(values[1]), 1e-30))
        if most > enough:
            break
    return most
