"""Train on one label, test on another one of the same texts: is a classifier of sentiment a measure of stance?

    minbert study transfer --data tweets.csv --label_columns sentiment stance --same negative=against positive=support
    minbert study transfer --data tweets.csv --label_columns sentiment stance --systems vader svm+tfidf bert:frozen

Both sides are trained and tested on the same folds. The table has a line for each system and each label it learnt from:
its F1 on both labels, the mean and the standard error over folds. A warning names a system that learnt the first label
if, at the second label, it is worse beyond chance than the same system that learnt the second.

Exit status: 0 done, 2 a mistake that you can fix, with the reason, 130 or 143 stopped by a signal.
"""

from pathlib import Path

from minbert.commands import common, study_data
from minbert.errors import UserError


def flags(parser):
    add = study_data.data_flags(parser, label=False)
    add("--label_columns", nargs=2, required=True, metavar="NAME", help="two columns, such as sentiment stance")
    add("--same", nargs="+", metavar="A=B", help="which labels mean the same; texts with another one are left out")
    study_data.fold_flags(parser)
    study_data.system_flags(parser)
    add = parser.add_argument_group("output").add_argument
    add("--out", default="runs/transfer", metavar="FOLDER", help="default: %(default)s")


def check(args):
    from minbert.runs.report import writable

    study_data.check_systems(args)
    if args.label_columns[0] == args.label_columns[1]:
        raise UserError("--label_columns: name two different columns")
    args.shard, args.labels = None, None
    folder = Path(args.out)
    writable(folder / "study.json")
    return study_data.Job(args, study_data.expand(args.systems), folder)


def run(job):
    from minbert.fast.memory import retain_freed_memory
    from minbert.runs import state
    from minbert.study import folds, rows
    from minbert.study.scores import Score
    from minbert.study.transfer import squares, two_labels

    retain_freed_memory()
    args, columns = job.args, job.args.label_columns
    data = study_data.read_data(args, columns[0])
    *sides, left_out = two_labels(data, other_labels(args, data), args.same, columns)
    if left_out:
        print(f"{left_out:,} of {len(data):,} texts are left out: they have no label of these in both columns")
    first = sides[0]
    score = Score(len(first.names), None if args.positive is None else study_data.positive(args.positive, first))
    with state.Stop() as stop, study_data.claim(job):
        stop.advice = "; the same command goes on"
        places = [job.folder / f"trained-on-{folder_name(column)}" for column in columns]
        facts = [{"label": column} for column in columns]
        planned = [study_data.plan(job, *each) for each in zip(sides, places, [score] * 2, facts)]
        both, path = sides[0].labels * 100 + sides[1].labels, job.folder / "folds.csv"
        divided = study_data.find_folds(args, first, path, both)
        studies = [study_data.study(job, side, plan, divided, stop) for side, plan in zip(sides, planned)]
        if not path.exists():
            folds.write_folds(path, first.ids, divided)
        learnt = {}
        for column, place, study in zip(columns, places, studies):
            learnt[column] = study.collect(study_data.work(study, study.units(), study.run(study.units())))
            rows.write_rows(place / "rows.csv.gz", learnt[column])
        gold = {column: dict(zip(side.ids, side.labels.tolist())) for column, side in zip(columns, sides)}
        finish(job, squares(learnt, gold, score), sides, divided, folds.digest(first.ids, divided))


def other_labels(args, data):
    """The second column's value for each text of the data."""
    from minbert.study.data import further_column

    how = {key: getattr(args, key) for key in study_data.READING}
    values = further_column(args.data, args.label_columns[1], args.label_columns[0], None, args.limit, **how)
    if len(values) != len(data):
        raise UserError(f"{args.data}: the two label columns do not belong to the same rows")
    return values


def folder_name(column):
    return "".join(letter if letter.isalnum() else "_" for letter in column)


def finish(job, found, sides, divided, digest):
    """Write the table and show it, with its warnings."""
    import numpy as np
    from sklearn.metrics import cohen_kappa_score

    from minbert.atomic import atomic_write
    from minbert.runs.columns import table as show
    from minbert.study import transfer

    columns = job.args.label_columns
    texts = transfer.texts(found, columns, transfer.note(sides, divided, digest, job.args.positive))
    for kind, text in texts.items():
        with atomic_write(job.folder / f"table.{kind}") as new:
            new.write_text(text, encoding="utf-8")
    show(*transfer.printed(found, columns))
    print(transfer.note(sides, divided, digest, job.args.positive))
    labels = [side.labels for side in sides]
    agreement, kappa = float(np.mean(labels[0] == labels[1])), cohen_kappa_score(*labels)
    for square in found:
        if said := transfer.warning(square, columns, agreement, kappa):
            print(said)
    print(f"written to {job.folder}: table.csv table.md table.tex folds.csv, and all predictions in its folders")


def main(arguments):
    run(check(common.parse("study transfer", __doc__, flags, arguments)))
