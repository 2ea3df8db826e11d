"""What the words of minbert study that read labelled texts have in common: flags, data and folds."""

import sys
from pathlib import Path

from minbert.commands import common
from minbert.commands.common import natural, number
from minbert.errors import UserError

READING = (*common.FILE_FLAGS, "pair_column")  # flags that read_examples knows by the same name


def data_flags(parser, label=True):
    add = parser.add_argument_group("data").add_argument
    add("--data", metavar="FILE", required=True, help="labelled texts: CSV, JSONL, Parquet and others")
    common.add_file_flags(add)
    if label:
        add("--label_column", metavar="NAME", help="as --text_column")
    add("--pair_column", metavar="NAME", help="of a second text, such as a target: rows are pairs")
    add("--target_column", dest="pair_column", metavar="NAME", help="the same as --pair_column")
    add("--group_column", metavar="NAME", help="authors, say: all texts of one are in the same fold")
    if label:
        add("--labels", nargs="+", metavar="LABEL", help="VALUE or VALUE=NAME of each class; default: those in --data")
    add("--skip_bad_rows", action="store_true", help="list bad rows and go on; default: list them and stop")
    add("--limit", type=natural, metavar="N", help="use the first N rows, for a quick look")


def fold_flags(parser):
    add = parser.add_argument_group("folds").add_argument
    several = number(int, 2, wanted="2 or more")
    add("--folds", type=several, default=5, metavar="K", help="default: %(default)s")
    add("--repeats", type=natural, default=2, metavar="R", help="divide anew R times; default: %(default)s")
    add("--seed", **common.SEED)


def read_data(args, label_column=None):
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
    if data.left_out:
        print(data.left_out, file=sys.stderr)
    return data


def grouped(data):
    """The groups of a Dataset: copies, near copies, and texts of one author."""
    from minbert.study import duplicates

    return duplicates.groups(data.texts, data.authors)


def find_folds(args, data, path):
    """The folds in a file if it is there, or new ones, which are written to it."""
    from minbert.study import folds

    if Path(path).exists():
        found = folds.read_folds(path, data.ids, data.labels)
        if (found.count, found.repeats) != (args.folds, args.repeats):
            has = f"{found.repeats} x {found.count}"
            raise UserError(
                f"{path} has {has} folds: pass --repeats {found.repeats} --folds {found.count}, or remove it"
            )
        return found
    made = folds.make_folds(data.labels, grouped(data), args.folds, args.repeats, args.seed)
    folds.write_folds(path, data.ids, made)
    return made
