"""Do the probabilities mean what they say? And from which probability should a text be called a class?

    minbert study calibrate --rows rows.csv.gz
    minbert study calibrate --rows rows.csv.gz --system bert:flexible --positive support --out calibration.csv

--rows is what minbert study compare writes: predictions for texts that a system had not seen. For each system it shows
the calibration error (the mean distance between confidence and accuracy, in 10 bins of equal width, and of equal
counts), the Brier score and the log loss; then the same at a temperature, one number by which logits are divided. The
temperature of a fold is fitted to the other folds, so nothing is judged by what it was fitted to. Predicted labels do
not change. The last number, T, is fitted to all rows: use it for new texts.

With --positive LABEL it shows the threshold with the largest F1 of that class, chosen in the other folds, and the F1
with it, beside that of the plain prediction. With --out the bins are written as CSV, to draw a reliability plot.

Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

from dataclasses import dataclass

from minbert.commands import common, study_label


def flags(parser):
    add = parser.add_argument
    add("--rows", required=True, metavar="FILE", help="rows.csv.gz of minbert study compare")
    add("--system", action="append", metavar="NAME", help="one of its systems; may be repeated; default: all")
    add("--positive", metavar="LABEL", help="choose a threshold for this class")
    add("--out", metavar="FILE", help="write the bins as CSV")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    args: object


def check(args):
    from minbert.runs.report import writable

    common.readable(args.rows)
    if args.out:
        writable(args.out)
    return Job(args)


def run(job):
    from minbert.runs.columns import table
    from minbert.study.rows import known, read_rows
    from minbert.study.scores import class_number

    args, lines, limits, drawn = job.args, [], [], []
    rows = read_rows(args.rows)
    positive = class_number(args.positive, rows.names) if args.positive else None
    for system in args.system or rows.systems():
        found = rows.of(system)
        gold, folds = known(found, args.rows), list(zip(found.repeat, found.fold))
        lines += measure(system, found.probabilities, gold, folds, drawn)
        if args.positive:
            limits.append(threshold(system, found, gold, folds, positive))
    table(["system", "", "ECE", "ECE, equal counts", "Brier", "log loss", "T"], lines)
    if limits:
        print(f"\nF1 of {args.positive}")
        table(["system", "as predicted", "with a threshold", "threshold"], limits)
    if args.out:
        study_label.write(args.out, ["system", "temperature", "bin", "texts", "confidence", "accuracy"], drawn)
        print(f"written: {args.out}")


def measure(system, p, gold, folds, drawn):
    """Two lines of the table: as they are, and at a temperature; and their bins, added to drawn."""
    import numpy as np

    from minbert.study import calibrate

    numbers = np.unique(np.array(folds), axis=0, return_inverse=True)[1].ravel()
    repeats = np.array([repeat for repeat, _ in folds])
    scaled = p.copy()
    for repeat in np.unique(repeats):  # the folds of a repeat share no text
        here = repeats == repeat
        scaled[here], _ = calibrate.by_fold(p[here], gold[here], numbers[here])
    whole = calibrate.fit_temperature(np.log(np.maximum(p, calibrate.LEAST)), gold)
    for name, values, t in (("as it is", p, ""), ("scaled", scaled, f"{whole:.3f}")):
        scores = [calibrate.ece(values, gold), calibrate.ece(values, gold, equal="count")]
        scores += [calibrate.brier(values, gold), calibrate.log_loss(values, gold)]
        yield [system, name, *(f"{score:.4f}" for score in scores), t]
        for at, part in enumerate(calibrate.bins(values, gold), start=1):
            drawn.append([system, name, at, part.count, f"{part.confidence:.9g}", f"{part.accuracy:.9g}"])


def threshold(system, found, gold, folds, positive):
    """A line: F1 of the class as predicted, with thresholds of the other folds, and the median of those."""
    import numpy as np

    from minbert.metrics import f1
    from minbert.study import calibrate

    p, right = found.probabilities[:, positive], gold == positive
    called, limits = np.zeros(len(p), bool), []
    for fold in dict.fromkeys(folds):
        here = np.array([place == fold for place in folds])
        others = np.array([place[0] == fold[0] and place != fold for place in folds])
        limit, _ = calibrate.best_threshold(p[others], right[others])
        called[here] = p[here] >= limit
        limits.append(limit)
    plain = np.array([name == found.names[positive] for name in found.predicted])
    scores = [f1(right.astype(int), side.astype(int)) for side in (plain, called)]
    return [system, *(f"{score:.4f}" for score in scores), f"{np.median(limits):.3f}"]


def main(arguments):
    run(check(common.parse("study calibrate", __doc__, flags, arguments)))
