"""What the words of minbert study that read labelled texts have in common: flags, data and folds."""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from minbert.commands import common
from minbert.commands.common import natural, number
from minbert.errors import UserError
from minbert.wording import counted

LADDER, TABLE_S2, NO_BERT = "ladder", "table-s2", "classic"  # names for several systems
DEFAULT = ("nb+count", "svm+tfidf", "logreg+tfidf", "bert:frozen")
READING = (*common.FILE_FLAGS, "pair_column")  # flags that read_examples knows by the same name


@dataclass(frozen=True)
class Job:
    """What was decided before the systems of a study are compared."""

    args: object
    names: list  # of the systems
    folder: Path


def data_flags(parser, label=True):
    """Adds them, and returns the group's function to add more. So does fold_flags."""
    add = parser.add_argument_group("data").add_argument
    add("--data", metavar="FILE", required=True, help="labelled texts: CSV, JSONL, Parquet and others")
    common.add_file_flags(add)
    if label:
        add("--label_column", metavar="NAME", help="column or field with the label")
    add("--pair_column", metavar="NAME", help="column of a second text, such as a target: rows are pairs")
    add("--target_column", dest="pair_column", metavar="NAME", help="the same as --pair_column")
    add("--group_column", metavar="NAME", help="column of authors, say: all texts of one are in the same fold")
    if label:
        add("--labels", nargs="+", metavar="LABEL", help="VALUE or VALUE=NAME of each class; default: those in --data")
    add("--skip_bad_rows", action="store_true", help="list bad rows and go on; default: list them and stop")
    add("--limit", type=natural, metavar="N", help="use the first N rows, for a quick look")
    return add


def fold_flags(parser):
    add = parser.add_argument_group("folds").add_argument
    several = number(int, 2, wanted="2 or more")
    add("--folds", type=several, default=5, metavar="K", help="default: %(default)s")
    add("--repeats", type=natural, default=2, metavar="R", help="divide anew R times; default: %(default)s")
    add("--seed", **common.SEED)
    return add


SYSTEM = "LEARNER+FEATURES, vader, words:FILE, bert:frozen, bert:flexible"


def system_flags(parser):
    """Adds them, and returns the group's function to add more."""
    add = parser.add_argument_group("systems").add_argument
    several = f"{SYSTEM}; or {LADDER}, {NO_BERT}, {TABLE_S2}; default: {' '.join(DEFAULT)}"
    add("--systems", nargs="+", default=DEFAULT, metavar="NAME", help=several)
    add("--tune", type=number(int, 0), default=0, metavar="N", help="try N settings on inner folds; default: none")
    add(
        "--seeds",
        type=natural,
        default=1,
        metavar="N",
        help="runs of a system that draws random numbers; default: %(default)s",
    )
    return one_system_flags(add)


def one_system_flags(add):
    """Flags of systems, however many there are. add: of a group"""
    add("--positive", metavar="LABEL", help="the class whose F1 counts; default: the rarer of two, or the mean of all")
    add("--lexicon_cuts", nargs=2, type=float, metavar="X", help="fix the cut-points of word lists, -0.05 0.05, say")
    add("--vectors", metavar="FILE", help="word vectors in GloVe's form for +vectors; default: the model's")
    add("--model", default="tiny", metavar="NAME", help="BERT of bert:...: a folder or a name; default: %(default)s")
    add("--max_length", type=number(int, 3, wanted="3 or more"), metavar="N", help="cut texts to N tokens")
    add(
        "--epochs",
        type=natural,
        default=3,
        metavar="N",
        help="epochs of bert:flexible; bert:frozen takes four times as many; default: %(default)s",
    )
    add("--batch_size", type=natural, default=16, metavar="N", help="of bert:...; default: %(default)s")
    add("--device", **common.DEVICE)
    return add


def shard(text):
    index, _, total = text.partition("/")
    if not (index.isdecimal() and total.isdecimal() and 1 <= int(index) <= int(total)):
        raise argparse.ArgumentTypeError(f"{text} is not a share such as 2/3")
    return int(index), int(total)


def read_data(args, label_column=None, quiet=False):
    """The Dataset of the flags; bad rows that are left out are listed."""
    from minbert.study.data import read_dataset

    data = read_dataset(
        args.data,
        label_column or args.label_column,
        args.group_column,
        getattr(args, "labels", None),
        args.skip_bad_rows,
        args.limit,
        **{name: getattr(args, name) for name in READING},
    )
    if data.left_out and not quiet:
        print(data.left_out, file=sys.stderr)
    return data


def grouped(data):
    """The groups of a Dataset: copies, near copies, and texts of one author."""
    from minbert.study import duplicates

    return duplicates.groups(data.texts, data.authors)


def find_folds(args, data, path, labels=None):
    """The folds in a file if it is there, or new ones. labels: by which to divide

    Raises UserError for a file that divides copies of a text, or the texts of an author.
    """
    from minbert.study import folds

    labels, groups = data.labels if labels is None else labels, grouped(data)
    if Path(path).exists():
        found = folds.read_folds(path, data.ids, labels)
        if (found.count, found.repeats) != (args.folds, args.repeats):
            has = f"{found.repeats} x {found.count}"
            raise UserError(
                f"{path} has {has} folds: pass --repeats {found.repeats} --folds {found.count}, or remove it"
            )
        if divided := folds.divided(found, groups):
            raise UserError(
                f"{path} divides {counted(divided, 'group')} of copies or of one author: make the folds anew"
            )
        return found
    return folds.make_folds(labels, groups, args.folds, args.repeats, args.seed)


def expand(names):
    """Names of systems, each once; those that stand for several taken apart. Raises UserError for one that is none."""
    from minbert.study.systems import LADDER as ALL
    from minbert.study.systems import TABLE_S2 as SEVEN
    from minbert.study.systems import check_name

    classic = [name for name in ALL if not name.startswith("bert:")]
    several = {LADDER: ALL, TABLE_S2: SEVEN, NO_BERT: classic}
    found = list(dict.fromkeys(each for name in parted(names) for each in several.get(name, [name])))
    for name in found:
        check_name(name)
    return found


def parted(names):
    """Names that commas may part, but for a file of words that has one in its own name."""
    for name in names:
        words = name.startswith("words:") and Path(name.partition(":")[2]).exists()
        yield from [name] if words else filter(None, map(str.strip, name.split(",")))


def home(job):
    """Where a call writes what several would write at once: its own folder in that of the job, for a share."""
    return job.folder / "shard-{}-of-{}".format(*job.args.shard) if job.args.shard else job.folder


def claim(job):
    """The right to write into the folder: all of it, or a machine's share of it."""
    from minbert.runs import state

    if job.args.shard:
        state.check_free(job.folder)
        return state.claim(home(job))
    for other in job.folder.glob("shard-*"):
        state.check_free(other)
    return state.claim(job.folder)


def work(study, units, run):
    """What run, as Study.run, finds of the units; a line for each system."""
    from tqdm import tqdm

    from minbert.study import progress

    found, began = [], time.perf_counter()
    for unit, made in progress.watch(study, units, run):
        found.append((unit, made))
        if len(found) == len(units) or units[len(found)].system != unit.system:
            own = sum(other.system == unit.system for other in units)
            with tqdm.external_write_mode():  # not into the bar
                print(f"{unit.system}: {counted(own, 'unit')}, {time.perf_counter() - began:.0f} s", flush=True)
            began = time.perf_counter()
    return found


def positive(name, data):
    """The number of the class whose F1 counts; None: all."""
    from minbert.study.scores import class_number

    if name is not None:
        return class_number(name, data.names)
    counts = list(data.counts().values())
    return counts.index(min(counts)) if len(counts) == 2 else None


def check_systems(args):
    """Refuse what can be refused before the data is read."""
    for path in filter(None, (args.data, args.vectors)):
        common.readable(path)
    if args.lexicon_cuts and args.lexicon_cuts[0] > args.lexicon_cuts[1]:
        raise UserError("--lexicon_cuts: the low cut comes first")


def plan(job, data, folder, score, more):
    """What a study has besides its folds, once it is sure that the folder holds no other. more: further facts"""
    from minbert.commands.train import default_rate
    from minbert.study import facts as known
    from minbert.study import toolbox

    args, place = job.args, home(job) if job.folder == folder else folder
    tools = toolbox.Toolbox(args, data, place, default_rate)
    systems = {name: tools.make(name) for name in job.names}
    positive = None if score.positive is None else data.names[score.positive]
    facts = tools.facts() | {"positive": positive, "tune": args.tune, **more}
    own = {name: tools.own_facts(name) for name in job.names}
    known.refuse_other(place / "study.json", facts, own)
    if tools.reader and tools.reader.cut:
        print(f"warning: {tools.reader.cut}", file=sys.stderr)
    return {"folder": folder, "systems": systems, "score": score, "facts": facts, "own_facts": own}


def study(job, data, planned, divided, stop):
    """The Study of a plan and of folds. It writes what the study depends on."""
    from minbert.study import crossval, folds
    from minbert.study import facts as known

    args, folder = job.args, planned["folder"]
    place = home(job) if job.folder == folder else folder
    facts = planned["facts"] | {"folds": folds.digest(data.ids, divided)}
    known.begin(place / "study.json", facts, planned["own_facts"])
    rest = {"seeds": args.seeds, "tries": args.tune, "seed": args.seed, "stop": stop}
    return crossval.Study(data=data, folds=divided, **planned | {"facts": facts}, **rest)
