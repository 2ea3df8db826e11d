"""Search for settings: which learning rate, how many epochs, which C suit these texts. Needs the package optuna.

    minbert study search --data train.csv --system bert:flexible --trials 20
    minbert study search --data train.csv --system svm+tfidf --trials 50 --range C 0.001 100
    minbert study search --data train.csv --system bert:frozen --range lr 0.0001 0.01 --range epochs 1 20

Give it the training texts alone: what is chosen on texts that are tested later looks better than it is. Each setting is
judged on 3 folds of --data; copies of a text are in one fold. The first trial has the defaults. If a search was stopped
or killed, the same command goes on, and finds what it would have found. You may raise --trials later. It writes
trials.json into --out.

The score of the best trial is too good, since it is the best of many: test the settings on other texts.

Exit status: 0 done, 2 a mistake that you can fix, with the reason, 130 or 143 stopped by a signal.
"""

from dataclasses import dataclass
from pathlib import Path

from minbert.commands import common, study_data
from minbert.errors import UserError


def flags(parser):
    study_data.data_flags(parser)
    add = parser.add_argument_group("search").add_argument
    add("--system", default="bert:flexible", metavar="NAME", help=f"{study_data.SYSTEM}; default: %(default)s")
    study_data.one_system_flags(add)
    add("--trials", type=common.natural, default=20, metavar="N", help="settings to try; default: %(default)s")
    add("--range", nargs=3, action="append", metavar=("NAME", "LOW", "HIGH"), help="search a setting in these bounds")
    add("--seed", **common.SEED)
    add("--out", default="runs/search", metavar="FOLDER", help="default: %(default)s")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    args: object
    names: list  # of the one system
    ranges: dict  # {setting: (low, high)}, those that the user gave
    folder: Path


def check(args):
    from minbert.runs.report import writable

    study_data.check_systems(args)
    given = {}
    for name, *bounds in args.range or ():
        try:
            given[name] = tuple(map(float, bounds))
        except ValueError:
            raise UserError(f"--range {name} {' '.join(bounds)}: two numbers are needed") from None
    folder = Path(args.out)
    writable(folder / "trials.json")
    args.shard = None  # a search is one machine's
    return Job(args, [args.system], given, folder)


def run(job):
    from minbert.fast.memory import retain_freed_memory
    from minbert.runs import state
    from minbert.study import search

    retain_freed_memory()
    data = study_data.read_data(job.args)
    with state.Stop() as stop, study_data.claim(job):
        stop.advice = "; the same command goes on"
        system, judge, facts = prepare(job, data)
        space = search.ranges(system.space, job.ranges)
        if not space:
            raise UserError(f"{job.args.system} has no settings to search")
        done, first = [], {name: values[0] for name, values in system.space.items()}
        seed, path = job.args.seed, job.folder / "trials.json"
        for trial in stop.watch(search.search(space, first, judge, job.args.trials, seed, path, facts)):
            done.append(trial)
            mark = "  best" if search.best(done) == len(done) - 1 else ""
            print(f"trial {len(done)}: {trial.score:.4f}  {in_words(trial.settings)}{mark}", flush=True)
    show(job, done[search.best(done)], done[0], len(data))


def prepare(job, data):
    """(the system, settings -> the scores of the inner folds, what these depend on)"""
    from minbert.commands.train import default_rate
    from minbert.study import crossval, folds
    from minbert.study.scores import Score
    from minbert.study.toolbox import Toolbox

    args = job.args
    tools = Toolbox(args, data, job.folder, default_rate)
    system, score = tools.make(args.system), Score(len(data.names), study_data.positive(args.positive, data))
    groups = study_data.grouped(data)
    inner = folds.divide(data.labels, groups, crossval.INNER, folds.seed_of(args.seed, "inner"))

    def judge(settings):
        found = []
        for fold in range(1, crossval.INNER + 1):
            learn, held = ([at for at, part in enumerate(inner) if (part == fold) == there] for there in (False, True))
            texts = [data.texts[at] for at in learn]
            seed = folds.seed_of(args.seed, "search", fold)
            made = system.with_settings(settings).fit(texts, data.labels[learn], groups[learn], seed)
            predicted = made.predict_proba([data.texts[at] for at in held]).argmax(axis=1)
            found.append(score(data.labels[held], predicted))
        return found

    positive = None if score.positive is None else data.names[score.positive]
    facts = tools.facts() | {"system": [args.system, tools.own_facts(args.system)], "positive": positive}
    return system, judge, facts


def show(job, best, first, count):
    """What was found, and the command that trains with it."""
    from minbert.shell import advice

    print(f"best: {best.score:.4f}, the defaults {first.score:.4f}, a mean of F1 over 3 inner folds of {count} texts")
    print("The best of many trials looks better than it is: test these settings on other texts.")
    if job.args.system.startswith("bert:"):
        option = {"bert:frozen": "pretrain", "bert:flexible": "flexible"}[job.args.system]
        words = [part for name, value in best.settings.items() for part in (f"--{name}", plain(value))]
        model, size = job.args.model, str(job.args.batch_size)
        chosen = advice("train", "--train", job.args.data, "--model", model, "--option", option, "--batch_size", size)
        print(f"train with them: {chosen} {' '.join(words)}")
    print(f"written: {job.folder / 'trials.json'}")


def in_words(settings):
    return "  ".join(f"{name} {plain(value)}" for name, value in settings.items())


def plain(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main(arguments):
    run(check(common.parse("study search", __doc__, flags, arguments)))
