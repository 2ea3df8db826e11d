"""How far a study is: on a terminal, a line that says which unit runs and how long its system takes still."""

import time
from collections.abc import Iterator

from tqdm import tqdm

from minbert.study.crossval import Study, Unit


def watch(study: Study, units: list[Unit], run: Iterator[tuple[Unit, dict]]) -> Iterator[tuple[Unit, dict]]:
    """What run, as Study.run, finds of the units, with a bar on a terminal; in a log file there is none."""
    missing = [not study.path(unit.name).exists() for unit in units]
    run = study.stop.watch(run) if study.stop else run
    with tqdm(total=len(units), leave=False, disable=None, bar_format="{n_fmt}/{total_fmt} |{bar:20}| {desc}") as bar:
        for at, unit in enumerate(units):
            if at == 0 or units[at - 1].system != unit.system:
                began = time.perf_counter()
            own = [new for new, other in zip(missing, units) if other.system == unit.system]
            before = [new for new, other in zip(missing[:at], units) if other.system == unit.system]
            said = left(time.perf_counter() - began, sum(before), sum(own) - sum(before))
            bar.set_description_str(f"{unit.system}, repeat {unit.repeat}, fold {unit.fold}{said}")
            found = next(run)
            bar.update()
            yield found


def left(seconds: float, done: int, missing: int) -> str:
    """', about 3 min left for it' of the system, or '' while nothing is known; units that were there took no time."""
    if not done:
        return ""
    minutes = seconds / done * missing / 60
    return f", about {minutes:.0f} min left for it" if minutes >= 1 else ", less than a minute left for it"
