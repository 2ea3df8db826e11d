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

    def run(self, units: list[Unit]) -> Iterator[tuple[Unit, dict]]:
        """Each unit and what it found, computed where it is not there yet."""
        parts = {(repeat, fold): split for repeat, fold, *split in self.folds.splits()}
        for unit in units:
            yield unit, self.read(unit.system, unit.name) or self.compute(unit, *parts[unit.repeat, unit.fold])

    def compute(self, unit: Unit, train: np.ndarray, test: np.ndarray) -> dict:
        """Choose the settings on the training part, train there, and predict the test part, once."""
        system, began = self.systems[unit.system], time.perf_counter()
        settings = self.tuned(unit, train) if self.tries > 1 else ladder.defaults(system)
        system = system.with_settings(settings)
        if hasattr(system, "place"):  # it can be stopped while it trains
            system.place, system.stop = self.path(unit.name).with_suffix(".safetensors"), self.stop
        system.fit(*self.rows(train), seed_of(self.seed, unit.system, unit.repeat, unit.fold, unit.seed))
        found = system.predict_proba([self.data.texts[at] for at in test])
        return self.write(
            unit.system,
            unit.name,
            {
                "settings": system.settings,
                "texts": [self.data.ids[at] for at in test],
                "probabilities": [[float(f"{value:.9g}") for value in row] for row in np.asarray(found).tolist()],
                "seconds": time.perf_counter() - began,
            },
        )

    def rows(self, wanted):
        """texts, labels, groups of a part."""
        return [self.data.texts[at] for at in wanted], self.data.labels[wanted], self.folds.groups[wanted]

    def tuned(self, unit: Unit, train: np.ndarray) -> dict:
        """The settings that are best on inner folds of a training part; of equally good ones, the first."""
        system, place = self.systems[unit.system], (unit.system, unit.repeat, unit.fold)
        choices = ladder.choices(system, self.tries, seed_of(self.seed, "settings", *place))
        if len(choices) < 2:
            return choices[0]
        labels, groups = self.data.labels[train], self.folds.groups[train]
        inner = divide(labels, groups, INNER, seed_of(self.seed, "inner", *place))
        scores = []
        for number, settings in enumerate(choices):
            name = f"{unit.place}-try{number}"
            found = self.read(unit.system, name)
            if found is None:
                began = time.perf_counter()
                score = np.mean([self.attempt(system, settings, train, inner == k, place) for k in range(1, INNER + 1)])
                seconds = time.perf_counter() - began
                found = self.write(unit.system, name, {"settings": settings, "score": float(score), "seconds": seconds})
            scores.append(found["score"])
        return choices[int(np.argmax(scores))]

    def attempt(self, system, settings, train, held, place) -> float:
        """The score of some settings on a held-out part of a training part."""
        made = system.with_settings(settings).fit(*self.rows(train[~held]), seed_of(self.seed, "try", *place))
        texts, labels, _ = self.rows(train[held])
        return self.score(labels, made.predict_proba(texts).argmax(axis=1))

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
