"""How far a study is: on a terminal, a line that says which unit runs and how long its system takes still."""

import time
from collections.abc import Iterator

from tqdm import tqdm

from minbert.study.crossval import Study, Unit
from minbert.wording import counted


def work(study: Study, units: list[Unit], run: Iterator[tuple[Unit, dict]]) -> list[tuple[Unit, dict]]:
    """What run, as Study.run, finds of the units. Prints a line for each system when it is done."""
    missing = [not study.path(unit.name).exists() for unit in units]
    found, began, last = [], time.perf_counter(), len(units) - 1
    run = study.stop.watch(run) if study.stop else run
    with tqdm(total=len(units), leave=False, disable=None, bar_format="{n_fmt}/{total_fmt} |{bar:20}| {desc}") as bar:
        for at, unit in enumerate(units):
            own = [new for new, other in zip(missing, units) if other.system == unit.system]
            before = [new for new, other in zip(missing[:at], units) if other.system == unit.system]
            said = left(time.perf_counter() - began, sum(before), sum(own) - sum(before))
            bar.set_description_str(f"{unit.system}, repeat {unit.repeat}, fold {unit.fold}{said}")
            found.append(next(run))
            bar.update()
            if at == last or units[at + 1].system != unit.system:
                with tqdm.external_write_mode():  # not into the bar
                    print(
                        f"{unit.system}: {counted(len(own), 'unit')}, {time.perf_counter() - began:.0f} s", flush=True
                    )
                began = time.perf_counter()
    return found


def left(seconds: float, done: int, missing: int) -> str:
    """', about 3 min left for it' of the system, or '' while nothing is known; units that were there took no time."""
    if not done:
        return ""
    minutes = seconds / done * missing / 60
    return f", about {minutes:.0f} min left for it" if minutes >= 1 else ", less than a minute left for it"
