"""Folds x systems x seeds -> rows. The only file that trains, in units that are files: whole, or not there.

    units/svm+tfidf-r1-f3-s1.json     what one system predicts for the test part of repeat 1, fold 3, with seed 1
    units/svm+tfidf-r1-f3-try7.json   how good its 7th setting is on the inner folds of that training part

A run that is stopped or killed goes on with the units that are missing. The seed of a unit is made from its names, so
neither the order nor what else is run changes it.
"""

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.format import FORMAT, KEY, check_format
from minbert.jsonfile import read_json
from minbert.study import rows as rows_file
from minbert.study import systems as ladder
from minbert.study.data import Dataset
from minbert.study.folds import Folds, divide, seed_of
from minbert.study.scores import Score

INNER = 3  # folds of a training part on which settings are tried
LARGEST = 2**28  # bytes of a unit


@dataclass(frozen=True)
class Unit:
    """A system on one test part."""

    system: str
    repeat: int
    fold: int
    seed: int  # from 1

    @property
    def place(self) -> str:
        """The system and the fold, as in names of files."""
        plain = "".join(letter if letter.isalnum() or letter in "+.-" else "_" for letter in self.system)
        mark = "" if plain == self.system else "-" + hashlib.sha256(self.system.encode()).hexdigest()[:6]
        return f"{plain}{mark}-r{self.repeat}-f{self.fold}"

    @property
    def name(self) -> str:
        return f"{self.place}-s{self.seed}"

    def trial(self, number: int) -> str:
        """The name of a try of a setting, which all seeds share."""
        return f"{self.place}-try{number}"


@dataclass
class Study:
    """All that the units of a study depend on."""

    folder: Path
    data: Dataset
    folds: Folds
    systems: dict  # {name: system}, see systems.py
    score: Score  # what settings are chosen by
    seeds: int = 1
    tries: int = 0  # settings tried for each system; 0: defaults
    seed: int = 11711
    facts: dict = field(default_factory=dict)  # {kind: JSON}, of all systems
    own_facts: dict = field(default_factory=dict)  # {system: JSON}
    stop: object = None  # runs.state.Stop

    def units(self) -> list[Unit]:
        """All units, system after system. Where no seed changes a system, it has one."""
        folds = [(repeat, fold) for repeat, fold, _, _ in self.folds.splits()]
        return [
            Unit(name, *place, seed)
            for name, system in self.systems.items()
            for place in folds
            for seed in range(1, (self.seeds if system.random else 1) + 1)
        ]

    def share(self, index: int, total: int) -> list[Unit]:
        """The units of machine `index` of `total`, from 1; all seeds of a fold are on one: they share its settings."""
        places = list(dict.fromkeys(unit.place for unit in self.units()))
        mine = set(places[index - 1 :: total])
        return [unit for unit in self.units() if unit.place in mine]

    def digest(self, system: str) -> str:
        """What the units of a system depend on, in 16 digits."""
        known = json.dumps([self.facts, self.own_facts.get(system)], sort_keys=True)
        return hashlib.sha256(known.encode()).hexdigest()[:16]

    def path(self, name: str) -> Path:
        return self.folder / "units" / f"{name}.json"

    def read(self, system: str, name: str) -> dict | None:
        """A finished unit, or None. Raises UserError for one of another study."""
        path = self.path(name)
        if not path.exists():
            return None
        found = read_json(path, limit=LARGEST)
        check_format(path, found)
        if found.get("depends") != self.digest(system):
            raise UserError(f"{path}: belongs to another study, or to other files of {system}: remove it")
        return found

    def write(self, system: str, name: str, found: dict) -> dict:
        found = {KEY: FORMAT, "depends": self.digest(system)} | found
        with atomic_write(self.path(name)) as new:
            new.write_text(json.dumps(found) + "\n", encoding="utf-8")
        return found

    def kept(self, system: str, name: str, make, *words) -> dict:
        """A unit that is there, or make(*words), which is written."""
        return self.read(system, name) or self.write(system, name, make(*words))

    def run(self, units: list[Unit]) -> Iterator[tuple[Unit, dict]]:
        """Each unit and what it found, computed where it is not there yet."""
        for unit in units:
            yield unit, self.kept(unit.system, unit.name, self.fitted, unit)

    def fitted(self, unit: Unit) -> dict:
        numbers = range(len(self.choices(unit)))
        tries = [self.kept(unit.system, unit.trial(number), self.attempt, unit, number) for number in numbers]
        return self.compute(unit, *tries)

    def compute(self, unit: Unit, *tries: dict) -> dict:
        """Train with the settings that were best on the training part, and predict the test part, once.

        tries  what `attempt` found for each choice; of equally good ones, the first is taken
        """
        system, began, (train, test) = self.systems[unit.system], time.perf_counter(), self.split(unit)
        settings = max(tries, key=lambda found: found["score"])["settings"] if tries else ladder.defaults(system)
        system = system.with_settings(settings)
        if hasattr(system, "place"):  # it can be stopped while it trains
            system.place, system.stop = self.path(unit.name).with_suffix(".safetensors"), self.stop
        system.fit(*self.rows(train), seed_of(self.seed, unit.system, unit.repeat, unit.fold, unit.seed))
        found = system.predict_proba([self.data.texts[at] for at in test])
        return {
            "settings": system.settings,
            "texts": [self.data.ids[at] for at in test],
            "probabilities": [[float(f"{value:.9g}") for value in row] for row in np.asarray(found).tolist()],
            "seconds": time.perf_counter() - began,
        }

    def split(self, unit: Unit) -> tuple[np.ndarray, np.ndarray]:
        """The rows to train on, and to test on."""
        part = self.folds.parts[unit.repeat - 1]
        return np.flatnonzero(part != unit.fold), np.flatnonzero(part == unit.fold)

    def rows(self, wanted):
        """texts, labels, groups of a part."""
        return [self.data.texts[at] for at in wanted], self.data.labels[wanted], self.folds.groups[wanted]

    def choices(self, unit: Unit) -> list[dict]:
        """The settings that are tried on a training part; [] where there is nothing to choose from."""
        seed = seed_of(self.seed, "settings", unit.system, unit.repeat, unit.fold)
        found = ladder.choices(self.systems[unit.system], self.tries, seed) if self.tries > 1 else []
        return found if len(found) > 1 else []

    def attempt(self, unit: Unit, number: int) -> dict:
        """How good some settings are on inner folds of a training part: the mean score."""
        place, settings, began = (unit.system, unit.repeat, unit.fold), self.choices(unit)[number], time.perf_counter()
        train, _ = self.split(unit)
        inner = divide(self.data.labels[train], self.folds.groups[train], INNER, seed_of(self.seed, "inner", *place))
        scores = []
        for fold in range(1, INNER + 1):
            made = self.systems[unit.system].with_settings(settings)
            made.fit(*self.rows(train[inner != fold]), seed_of(self.seed, "try", *place))
            texts, labels, _ = self.rows(train[inner == fold])
            scores.append(self.score(labels, made.predict_proba(texts).argmax(axis=1)))
        return {"settings": settings, "score": float(np.mean(scores)), "seconds": time.perf_counter() - began}

    def collect(self, found: list[tuple[Unit, dict]]) -> rows_file.Rows:
        """The predictions of finished units as rows."""
        names, number = self.data.names, {id: at for at, id in enumerate(self.data.ids)}
        gold = [names[label] for label in self.data.labels.tolist()]
        parts = []
        for unit, made in found:
            values, count = np.array(made["probabilities"]), len(made["texts"])
            parts.append(
                rows_file.Rows(
                    names,
                    *([unit.system] * count, made["texts"]),
                    *([value] * count for value in (unit.repeat, unit.fold, unit.seed)),
                    [gold[number[id]] for id in made["texts"]],
                    [names[best] for best in values.argmax(axis=1)],
                    values,
                )
            )
        return rows_file.join(parts)
