"""Compare systems on the same folds: word lists, classic learners, a frozen BERT and a flexible one. A paper's table.

    minbert study compare --data tweets.csv --text_column tweet --label_column stance --group_column author
    minbert study compare --data tweets.csv --systems table-s2 --tune 20 --seeds 3 --out runs/table-s2
    minbert study compare --data tweets.csv --systems vader words:moral.tsv svm+tfidf bert:frozen
    minbert study compare --data tweets.csv --out runs/table-s2 --shard 2/3   on the second of three machines
    minbert study compare --data tweets.csv --permute                         with random labels: a check of the check

Everything is fitted on training parts: vocabulary, weights of words, settings, cut-points, the best epoch. Copies and
near copies of a text are in one fold. A run that was stopped, or killed, goes on with the same command. Machines that
share the folder of --out, or copy the files in its units/ together, share the work with --shard; a last call without it
joins them. Written: table.csv, table.md, table.tex, rows.csv.gz with every prediction, folds.csv and study.json.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

from minbert.commands import common, study_data
from minbert.commands.common import natural, number
from minbert.errors import UserError

LADDER, TABLE_S2, NO_BERT = "ladder", "table-s2", "classic"  # names for several systems
DEFAULT = ("nb+count", "svm+tfidf", "logreg+tfidf", "bert:frozen")


def flags(parser):
    study_data.data_flags(parser)
    study_data.fold_flags(parser)
    add = parser.add_argument_group("folds").add_argument
    add("--folds_file", metavar="FILE", help="made by minbert study folds, or elsewhere; default: made now")
    add = parser.add_argument_group("systems").add_argument
    add(
        "--systems",
        nargs="+",
        default=DEFAULT,
        metavar="NAME",
        help=f"LEARNER+FEATURES, vader, words:FILE, bert:frozen, bert:flexible; or {LADDER}, {NO_BERT}, {TABLE_S2}; "
        f"default: {' '.join(DEFAULT)}",
    )
    add("--tune", type=number(int, 0), default=0, metavar="N", help="try N settings on inner folds; default: none")
    add("--seeds", type=natural, default=1, metavar="N", help="of systems that draw numbers; default: %(default)s")
    add("--positive", metavar="LABEL", help="the class of F1; default: of two the rarer, of more the mean of all")
    add("--lexicon_cuts", nargs=2, type=float, metavar="X", help="fix the cut-points of word lists: -0.05 0.05")
    add("--vectors", metavar="FILE", help="word vectors in GloVe's form for +vectors; default: the model's")
    add("--model", default="tiny", metavar="NAME", help="of bert:..., a folder or a known name; default: %(default)s")
    add("--max_length", type=number(int, 3, wanted="3 or more"), metavar="N", help="cut texts to N tokens")
    add("--epochs", type=natural, default=3, metavar="N", help="of bert:...; default: %(default)s")
    add("--batch_size", type=natural, default=16, metavar="N", help="of bert:...; default: %(default)s")
    add("--device", **common.DEVICE)
    add("--permute", action="store_true", help="shuffle the labels: a check, every system must be at chance")
    add = parser.add_argument_group("output").add_argument
    add("--out", default="runs/study", metavar="FOLDER", help="default: %(default)s")
    add("--shard", type=shard, metavar="I/N", help="compute only the units of machine I of N, from 1")


def shard(text):
    index, _, total = text.partition("/")
    if not (index.isdecimal() and total.isdecimal() and 1 <= int(index) <= int(total)):
        raise argparse.ArgumentTypeError(f"{text} is not a share such as 2/3")
    return int(index), int(total)


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    args: object
    names: list  # of the systems
    folder: Path


def check(args):
    from minbert.runs.report import writable

    common.readable(args.data)
    for path in filter(None, (args.folds_file, args.vectors)):
        common.readable(path)
    if args.lexicon_cuts and args.lexicon_cuts[0] > args.lexicon_cuts[1]:
        raise UserError("--lexicon_cuts: the low cut comes first")
    folder = Path(args.out)
    writable(folder / "study.json")
    return Job(args, expand(args.systems), folder)


def expand(names):
    """Names of systems, each once; those that stand for several taken apart."""
    from minbert.study.systems import LADDER as ALL
    from minbert.study.systems import TABLE_S2 as SEVEN

    classic = [name for name in ALL if not name.startswith("bert:")]
    several = {LADDER: ALL, TABLE_S2: SEVEN, NO_BERT: classic}
    return list(dict.fromkeys(each for name in names for each in several.get(name, [name])))


def run(job):
    from minbert.fast.memory import retain_freed_memory
    from minbert.runs import state

    retain_freed_memory()
    data = study_data.read_data(job.args)
    with state.Stop() as stop, claim(job):
        stop.advice = "; the same command goes on"
        study = prepare(job, data, stop)
        units = study.share(*job.args.shard) if job.args.shard else study.units()
        found = work(study, units, stop)
        if job.args.shard:
            print(
                f"{len(units)} of {len(study.units())} units are done here; the last call, without --shard, joins all"
            )
            return
        finish(job, study, found)


def claim(job):
    """The right to write into the folder: all of it, or a machine's share of it."""
    from minbert.runs import state

    if job.args.shard:
        state.check_free(job.folder)
        return state.claim(job.folder / "shard-{}-of-{}".format(*job.args.shard))
    for other in job.folder.glob("shard-*"):
        state.check_free(other)
    return state.claim(job.folder)


def prepare(job, data, stop):
    """Folds, systems and what they depend on."""
    import numpy as np

    from minbert.commands.train import default_rate
    from minbert.study import crossval, folds
    from minbert.study.scores import Score
    from minbert.study.toolbox import Toolbox

    args = job.args
    divided = study_data.find_folds(args, data, args.folds_file or job.folder / "folds.csv")
    if args.folds_file:
        folds.write_folds(job.folder / "folds.csv", data.ids, divided)
    if args.permute:
        np.random.default_rng(folds.seed_of(args.seed, "permute")).shuffle(data.labels)
    score = Score(len(data.names), positive(args.positive, data))
    tools = Toolbox(args, data, job.folder, default_rate)
    systems = {name: tools.make(name) for name in job.names}
    facts = tools.facts() | {
        "folds": folds.digest(data.ids, divided),
        "positive": None if score.positive is None else data.names[score.positive],
        "tune": args.tune,
        "permute": args.permute,
    }
    crossval.begin(job.folder / "study.json", facts)
    own = {name: tools.own_facts(name) for name in job.names}
    return crossval.Study(job.folder, data, divided, systems, score, args.seeds, args.tune, args.seed, facts, own, stop)


def positive(name, data):
    """The number of the class whose F1 counts; None: all."""
    if name is not None:
        if name not in data.names:
            raise UserError(f"--positive {name}: the classes are {', '.join(data.names)}")
        return data.names.index(name)
    counts = list(data.counts().values())
    return counts.index(min(counts)) if len(counts) == 2 else None


def work(study, units, stop):
    """Compute the units that are missing; a line for each system."""
    found, began = [], time.perf_counter()
    for at, (unit, made) in enumerate(stop.watch(study.run(units))):
        found.append((unit, made))
        if at + 1 == len(units) or units[at + 1].system != unit.system:
            count = sum(other.system == unit.system for other in units)
            print(f"{unit.system}: {count} units, {time.perf_counter() - began:.0f} s", flush=True)
            began = time.perf_counter()
    return found


def finish(job, study, found):
    """Write rows and tables, and show the table."""
    from minbert.atomic import atomic_write
    from minbert.runs.columns import table as show
    from minbert.study import crossval, rows, tables
    from minbert.study.note import note

    predictions = study.collect(found)
    rows.write_rows(job.folder / "rows.csv.gz", predictions)
    table = tables.summarise(predictions, study.score)
    table.note = note(study, table)
    texts = {"csv": tables.as_csv(table), "md": tables.as_markdown(table), "tex": tables.as_latex(table)}
    for kind, text in texts.items():
        with atomic_write(job.folder / f"table.{kind}") as new:
            new.write_text(text, encoding="utf-8")
    opened = {unit.name: {"seconds": made["seconds"], "settings": made["settings"]} for unit, made in found}
    crossval.record(job.folder / "study.json", study.facts, {"systems": study.own_facts, "test_parts_opened": opened})
    header, *lines = tables.header(table), *map(tables.cells, table.lines)
    show(header, lines, width=120)
    print(*table.note, sep="\n")
    if job.args.permute:
        print(*chance(table, len(study.data.names)), sep="\n")
    names = "table.csv table.md table.tex rows.csv.gz folds.csv study.json"
    print(f"written to {job.folder}: {names}")


def chance(table, classes):
    """With random labels: whether each system's mean recall is what guessing reaches, 1 / C."""
    from minbert.study.tables import corrected

    folds = len(table.lines[0].values["f1"])
    for line in table.lines:
        mean, low, high = corrected(line.values["mean_recall"], line.ratio)
        word = "at chance" if low <= 1 / classes <= high else "NOT at chance: something leaks"
        yield f"{line.system}: mean recall {mean:.3f} [{low:.3f}, {high:.3f}] over {folds} folds, {word}"


def main(arguments):
    run(check(common.parse("study compare", __doc__, flags, arguments)))
