"""Divide labelled texts into folds, once, so that every system and every other program tests on the same parts.

    minbert study folds --data tweets.csv --text_column tweet --label_column stance --out folds.csv
    minbert study folds --data tweets.csv --group_column author --repeats 10

Copies and near copies of a text, retweets say, form a group, as do the texts of one author with --group_column. A group
is never divided. Classes are as equal in all folds as the groups allow; the table that is printed says how equal. The
file has the columns id,group,repeat,fold; an id is the line of --data where the row begins. minbert study compare reads
it with --folds_file.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from minbert.commands import common, study_data
from minbert.errors import UserError


def flags(parser):
    study_data.data_flags(parser)
    study_data.fold_flags(parser)
    parser.add_argument("--out", default="folds.csv", metavar="FILE", help="default: %(default)s")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    args: object


def check(args):
    from minbert.runs.report import writable

    common.readable(args.data)
    writable(args.out)
    if Path(args.out).exists():
        raise UserError(f"{args.out} exists, and a study may rest on it: name another file with --out")
    return Job(args)


def run(job):
    from minbert.runs.columns import table
    from minbert.study import duplicates, folds

    args = job.args
    data = study_data.read_data(args)
    groups = study_data.grouped(data)
    made = folds.make_folds(data.labels, groups, args.folds, args.repeats, args.seed)
    folds.write_folds(args.out, data.ids, made)
    several = duplicates.sizes(groups)
    print(f"{len(data):,} texts, {groups.max() + 1:,} groups; {several.total():,} texts share a group with others")
    rows = []
    for repeat, fold, _, test in made.splits():
        counts = Counter(data.labels[test].tolist())
        shares = [f"{counts[id]} ({counts[id] / len(test):.1%})" for id in range(len(data.names))]
        rows.append([str(repeat), str(fold), str(len(test)), *shares])
    table(["repeat", "fold", "test", *data.names], rows)
    print(f"written: {args.out}, SHA-256 {folds.digest(data.ids, made)}...")


def main(arguments):
    run(check(common.parse("study folds", __doc__, flags, arguments)))
