"""Which settings suit a training part: Optuna proposes, inner folds judge. Test texts have no way in here.

Optuna's sampler draws from its own random state, which no storage keeps: a search that is stopped and goes on finds
something else. So each trial has a sampler of its own, seeded by the search's seed and the trial's number, which is
told of the trials before. What a search finds then depends on nothing but their results, and these are a file.

J. Bergstra et al. (2011), Algorithms for Hyper-Parameter Optimization, NeurIPS 24 (the tree-structured Parzen
estimator); T. Akiba et al. (2019), Optuna, KDD.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.format import FORMAT, KEY, check_format
from minbert.jsonfile import read_json
from minbert.study.facts import changes
from minbert.study.folds import seed_of

WIDER = 4  # a range reaches from the least of the values to try / WIDER to the largest * WIDER, if it is logarithmic


@dataclass(frozen=True)
class Range:
    """Numbers from low to high. whole: integers; log: as many from 1 to 10 as from 10 to 100"""

    low: float
    high: float
    whole: bool = False
    log: bool = True


@dataclass(frozen=True)
class Trial:
    """Settings, and the score of each inner fold."""

    settings: dict
    scores: list[float]

    @property
    def score(self) -> float:
        return sum(self.scores) / len(self.scores)


def ranges(space: dict, given: dict[str, tuple[float, float]]) -> dict[str, Range | list]:
    """What to search, from a system's space {setting: the values to try}; given: {setting: (low, high)} of the user.

    Numbers become ranges, wider than the values; other settings stay lists. Raises UserError for ranges that are none.
    """
    for name, (low, high) in given.items():
        if name not in space:
            raise UserError(f"--range {name}: the settings are {', '.join(space) or 'none'}")
        if not is_numeric(space[name]):
            raise UserError(f"--range {name}: it is no number, but one of {', '.join(map(str, space[name]))}")
        if not 0 < low < high:
            raise UserError(f"--range {name} {low:g} {high:g}: two numbers above 0 are needed, the smaller one first")
    found = {}
    for name, values in space.items():
        if not is_numeric(values):
            found[name] = list(values)
            continue
        whole = all(isinstance(value, int) for value in values)
        low, high = given.get(name) or (min(values) / (1 if whole else WIDER), max(values) * (1 if whole else WIDER))
        if whole and (low != int(low) or high != int(high)):
            raise UserError(f"--range {name} {low:g} {high:g}: whole numbers are needed")
        top = high if name in given or max(values) > 1 else min(high, 1.0)  # a share, or a rate: up to 1
        found[name] = Range(int(low) if whole else low, int(top) if whole else top, whole)
    return found


def is_numeric(values) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) and value > 0 for value in values)


def search(
    space: dict[str, Range | list],
    first: dict,
    score: Callable[[dict], list[float]],
    trials: int,
    seed: int,
    path: str | Path,
    facts: dict,
) -> Iterator[Trial]:
    """Yield the trials, in order: those in the file first, then new ones, each written before the next begins.

    space   as `ranges` returns it
    first   the settings of the first trial: the defaults
    score   settings -> the score of each inner fold, higher is better
    path    of the file of trials; facts: what the scores depend on, JSON

    Raises UserError if the file holds the trials of another search, or Optuna is not installed.
    """
    done = read_trials(path, facts | {"space": described(space), "seed": seed})
    yield from done[:trials]
    for number in range(len(done), trials):
        settings = propose(space, done, seed_of(seed, "trial", number)) if number else first
        done.append(Trial(settings, score(settings)))
        write_trials(path, facts | {"space": described(space), "seed": seed}, done)
        yield done[-1]


def propose(space: dict[str, Range | list], done: list[Trial], seed: int) -> dict:
    """The settings to try next, after these trials."""
    try:
        import optuna
    except ImportError:
        raise UserError("a search needs a package: pip install optuna") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    kinds = {name: distribution(optuna.distributions, values) for name, values in space.items()}
    for trial in done:
        if all(holds(kinds[name], trial.settings[name]) for name in kinds):
            study.add_trial(optuna.trial.create_trial(params=trial.settings, distributions=kinds, value=trial.score))
    return study.ask(kinds).params


def distribution(kinds, values):
    """A Range or a list, as Optuna has it"""
    if isinstance(values, list):
        return kinds.CategoricalDistribution(values)
    kind = kinds.IntDistribution if values.whole else kinds.FloatDistribution
    return kind(values.low, values.high, log=values.log)


def holds(kind, value) -> bool:
    """Whether a value lies in a distribution: the defaults may lie outside of a range that the user gave."""
    choices = getattr(kind, "choices", None)
    return value in choices if choices is not None else kind.low <= value <= kind.high


def described(space: dict) -> dict:
    return {name: values if isinstance(values, list) else asdict(values) for name, values in space.items()}


def flat(facts: dict) -> dict:
    """Facts by the names of flags: the bounds of each setting, and what the system depends on, for themselves."""
    bounds = {f"range {name}": as_bounds(values) for name, values in facts.get("space", {}).items()}
    system, own = facts.get("system", (None, {}))
    rest = {name: value for name, value in facts.items() if name not in ("space", "system")}
    return rest | {"system": system} | bounds | own


def as_bounds(values) -> list | str:
    return values if isinstance(values, list) else f"{values['low']:g} to {values['high']:g}"


def read_trials(path: str | Path, facts: dict) -> list[Trial]:
    """The trials in a file; [] if there is none. Raises UserError if they are those of another search."""
    path = Path(path)
    if not path.exists():
        return []
    found = read_json(path)
    check_format(path, found)
    if changed := changes(flat(found.get("facts", {})), flat(facts)):
        raise UserError(f"{path} holds another search: {'; '.join(changed)}. Put it back, or name another --out")
    trials = [Trial(each["settings"], each["scores"]) for each in found["trials"]]
    if not all(trial.scores and all(map(math.isfinite, trial.scores)) for trial in trials):
        raise UserError(f"{path}: holds scores that are no numbers: remove it")
    return trials


def write_trials(path: str | Path, facts: dict, trials: list[Trial]) -> None:
    with atomic_write(path) as new:
        held = {KEY: FORMAT, "facts": facts, "trials": [asdict(trial) for trial in trials]}
        new.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")


def best(trials: list[Trial]) -> int:
    """The number of the best trial, from 0; of equal ones, the first."""
    return max(range(len(trials)), key=lambda number: (trials[number].score, -number))
