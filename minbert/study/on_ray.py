"""The units of a study as tasks of Ray. What a task finds comes back, and is written here: no folder is shared."""

from collections.abc import Iterator
from dataclasses import replace

from minbert.errors import UserError
from minbert.runs import on_ray
from minbert.study.crossval import Study, Unit
from minbert.weights import hub

COMPARED = set()  # folders of models that this process has compared with those of the study


def run(study: Study, units: list[Unit], ray, place: on_ray.Place) -> Iterator[tuple[Unit, dict]]:
    """Each unit and what it found, as Study.run has them. A try of a setting is a task of its own, and a unit waits for
    those of its training part. A file is written as soon as its task is done. Raises Stopped as the study's Stop says.
    """
    known = {unit.name: study.read(unit.system, unit.name) for unit in units}
    missing = [unit for unit in units if known[unit.name] is None]
    with on_ray.threads(place.cpus):
        for system in dict.fromkeys(unit.system for unit in missing):
            if hasattr(study.systems[system], "prepare"):
                study.systems[system].prepare(study.data.texts)
    remote = ray.remote(num_cpus=place.cpus)(compute)
    shared, tries, running = ray.put(replace(study, stop=None)), {}, {}
    for unit in missing:
        task = remote.options(num_gpus=place.gpus if hasattr(study.systems[unit.system], "reader") else 0)
        names = [unit.trial(number) for number in range(len(study.choices(unit)))]
        for number, name in enumerate(names):
            if name not in tries:
                tries[name] = study.read(unit.system, name)
            if tries[name] is None:
                tries[name] = task.remote(shared, place, "attempt", unit, number)
                running[tries[name]] = unit.system, name
        running[task.remote(shared, place, "compute", unit, *map(tries.get, names))] = unit.system, unit.name
    done = on_ray.as_done(ray, running, study.stop)
    for unit in units:
        while known[unit.name] is None:
            (system, name), found = next(done)
            known[name] = study.write(system, name, found)
        yield unit, known[unit.name]


def compute(study, place, step, unit, *words):
    """A step of a unit, where Ray has put it."""
    with on_ray.settle(place):
        find_model(study, unit.system)
        return getattr(study, step)(unit, *words)


def find_model(study, system):
    """Let a BERT read its weights on this machine. Raises UserError if they are not there, or are others."""
    reader = getattr(study.systems[system], "reader", None)
    if reader is None or reader.directory in COMPARED:
        return
    if not reader.directory.is_dir():
        reader.directory = hub.find(reader.name)
    if reader.facts() != study.own_facts[system]["model"]:
        raise UserError(f"--ray: {reader.directory} has other files on another machine of the cluster")
    COMPARED.add(reader.directory)
