"""How many texts are of a class, and what it depends on: from predicted labels and a random sample of true ones.

    minbert study infer --data tweets.csv --predictions tweets.predictions.csv --labels drawn.csv --drawn probability
        --model "support ~ ideology + party" --family logit --trained_on train.csv
    minbert study infer --data tweets.csv --predictions tweets.predictions.csv --labels drawn.csv --drawn simple
        --model "support ~ 1" --unseen

A classifier makes mistakes, and a regression on its predictions takes them for facts: a slope may lose most of its size
and keep a narrow interval. Three answers are shown, each with its 95 % interval. "predictions as truth" is that
regression. "labels alone" uses the labelled texts and nothing else. "corrected" uses all predictions, and the labelled
texts to take their mistakes out: it is valid whatever the predictions are, and its interval is narrower where they are
good.

--model is a formula: "support ~ 1" asks for the share of the class support, "support ~ ideology" how its probability
depends on that column. --data holds all texts with these columns; the values of a column of words are groups.
--predictions is what minbert predict wrote for that file. --labels has the columns row and label, as minbert study
label writes them. The labelled texts must be drawn at random from --data: --drawn simple says that each text had the
same chance; --drawn COLUMN names the column of --labels that holds each text's probability of being drawn, empty for
texts that were chosen in another way, which are then left out.

The column row of both files counts the rows of --data from 1. If they have a column of texts, too, as predict
--with_text writes it, these must be the texts of --data; if they are not, the files are in another order or have more
rows, and the texts say what belongs together, where no two are the same. --id_column NAME joins by a column of ids.
The last lines say how the files were joined.

The classifier must not have learnt from the labels that correct it. Name its training texts with --trained_on, and
minbert compares them; or say --unseen. With cross-fitting, the labelled texts are divided into folds, and a model is
trained without each. Then a labelled text is predicted by the model that was trained without it, and any other text by
the mean of all these models. If you did this several times, give --predictions a file for each: the answer is the
median.

Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

import csv
import io
import sys
from collections import Counter
from dataclasses import astuple, dataclass, fields

from minbert.atomic import atomic_write
from minbert.commands import common
from minbert.errors import UserError

FEW_LABELS, FEW_GROUPS = 10, 30


def flags(parser):
    add = parser.add_argument
    add("--data", required=True, metavar="FILE", help="all texts, with the columns of the model")
    common.add_file_flags(add)
    add("--predictions", required=True, nargs="+", metavar="FILE", help="what minbert predict wrote for --data")
    add("--labels", required=True, metavar="FILE", help="a table with the columns row and label")
    add("--drawn", required=True, metavar="simple|COLUMN", help="how the labelled texts were drawn from --data")
    add("--model", required=True, metavar="FORMULA", help='"CLASS ~ COLUMN + COLUMN", or "CLASS ~ 1": the share')
    add(
        "--family",
        choices=("lm", "logit"),
        default="logit",
        help="lm: linear regression; logit: logistic; default: %(default)s",
    )
    add("--id_column", metavar="NAME", help="column of --data and of the other files: joined by it, not by row or text")
    add("--group_column", metavar="NAME", help="column of --data: rows that belong together, such as an author's")
    add("--trained_on", nargs="+", metavar="FILE", help="what the model was trained on: refused if it met the labels")
    add("--unseen", action="store_true", help="the model has seen none of the labels")
    add("--out", metavar="FILE", help="write all numbers as CSV")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    args: object
    outcome: str
    terms: list


def check(args):
    from minbert.runs.report import writable
    from minbert.study.formula import parse_model

    for path in (args.data, *args.predictions, args.labels, *(args.trained_on or ())):
        common.readable(path)
    if args.out:
        writable(args.out)
    if bool(args.trained_on) == args.unseen:
        raise UserError("say --trained_on FILE, what the model was trained on, or --unseen if it never saw the labels")
    return Job(args, *parse_model(args.model))


def run(job):
    from minbert.study import columns, formula, infer, joining

    args = job.args
    data, labelled, found = join(job)
    texts, groups = data.texts, data.beside[args.group_column] if args.group_column else None
    names, x = formula.design({term: data.beside[term] for term in job.terms}, len(data))
    predictions = [joining.read_predictions(each, job.outcome) for each in found]
    splits, hard = [probability for probability, _ in predictions], predictions[0][1]
    y, weights = joining.read_labels(labelled, job.outcome, len(data), args.drawn, columns.classes(found[0].file))
    if hard.min() == hard.max():
        one_class(job, bool(hard[0]))
    infer.refuse_seen(texts, weights, args.trained_on or (), args.text_column)
    infer.refuse_strange(weights, {"predicted probability": splits[0], **dict(zip(names[1:], x[:, 1:].T))})
    warn(y, weights, groups, job.outcome)
    answers = infer.answers(x, names, y, weights, splits, hard, args.family, groups)
    show(answers, job, int((weights > 0).sum()), len(texts), args)
    print(*(f"{each.file.path}: joined by {each.by}" for each in (labelled, *found)), sep="\n")
    if args.out:
        write(args.out, answers)
        print(f"written: {args.out}")


def join(job):
    """The data, the labels and each file of predictions, joined."""
    from minbert.study import columns, joining, texts

    args = job.args
    asked = {f"model_{at}": term for at, term in enumerate(job.terms, start=1)}
    asked |= {word: name for word, name in (("group", args.group_column), ("id", args.id_column)) if name}
    data = texts.read_texts(args.data, asked, **{name: getattr(args, name) for name in common.FILE_FLAGS})
    files = (args.labels, *args.predictions)
    labels, *others = (columns.read_columns(path, encoding=args.encoding) for path in files)
    if args.id_column and not any(file.find(args.id_column) for file in (labels, *others)):
        raise UserError(f"--id_column {args.id_column}: no such column in {args.labels} and {args.predictions[0]}")
    return data, joining.join(labels, data, every=False), [joining.join(file, data, every=True) for file in others]


def one_class(job, every):
    """Say that all texts are predicted alike. Raises UserError where no regression on the predictions is possible."""
    said = f"{job.args.predictions[0]}: {'every text' if every else 'no text'} is predicted as {job.outcome}"
    if job.terms and job.args.family == "logit":
        share = f"--model '{job.outcome} ~ 1'"
        raise UserError(f"{said}: a logistic regression on that has no answer. Pass {share} or --family lm")
    print(f"warning: {said}: has the model learnt anything?", file=sys.stderr)


def warn(y, weights, groups, outcome):
    """Say on standard error where the intervals are shaky."""
    counts = Counter(bool(value) for value, weight in zip(y, weights) if weight > 0)
    for value, name in ((True, f"labelled {outcome}"), (False, "labelled otherwise")):
        if counts[value] < FEW_LABELS:
            print(f"warning: only {counts[value]} texts are {name}: the intervals may be too narrow", file=sys.stderr)
    if groups is not None:
        with_label = len({group for group, weight in zip(groups, weights) if weight > 0})
        if with_label < FEW_GROUPS:
            few = f"the labelled texts are of {with_label} groups only"
            print(f"warning: {few}: the intervals may be too narrow", file=sys.stderr)


def show(found, job, labelled, rows, args):
    from minbert.runs.columns import table
    from minbert.study.infer import CORRECTED, LABELS

    parts = dict.fromkeys(answer.term for answer in found)
    for title, terms in ((f"share of {job.outcome}", [""]), (f"{args.model}, {args.family}", [t for t in parts if t])):
        lines = [answer for term in terms for answer in found if answer.term == term]
        if lines:
            print(f"\n{title}")
            header = ["", *(["term"] if terms != [""] else []), "estimate", "SE", "95 % interval"]
            table(header, [row(answer, terms != [""]) for answer in lines])
    by = {(answer.way, answer.term): answer.se for answer in found}
    lams = list(dict.fromkeys(f"{answer.lam:.2f}" for answer in found if answer.lam is not None))
    clustered = f", by {args.group_column}" if args.group_column else ""
    print(f"\n{labelled:,} of {rows:,} texts are labelled, drawn: {args.drawn}. The predictions count by lambda = "
          f"{', '.join(lams)}.\nIntervals: Wilson's, or t with sandwich errors{clustered}. "
          "Predictions as truth take mistakes for facts: do not report them.")  # fmt: skip
    ratios = [by[CORRECTED, term] / by[LABELS, term] for term in parts if by[LABELS, term]]
    if ratios and min(ratios) >= 1:
        print("The predictions add nothing to the labels: report the labels alone.")
    elif ratios:
        print(f"Report the corrected rows: their SE are {min(ratios):.2f} to {max(ratios):.2f} of the labels' alone.")


def row(answer, with_term):
    cells = [f"{answer.estimate:.4f}", f"{answer.se:.4f}", f"{answer.low:.4f} to {answer.high:.4f}"]
    return [answer.way, *([answer.term] if with_term else []), *cells]


def write(path, found):
    from minbert.study.infer import Answer

    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["lambda" if field.name == "lam" else field.name for field in fields(Answer)])
    for answer in found:
        writer.writerow(f"{value:.9g}" if isinstance(value, float) else value for value in astuple(answer))
    with atomic_write(path) as new:
        new.write_text(text.getvalue(), encoding="utf-8")


def main(arguments):
    run(check(common.parse("study infer", __doc__, flags, arguments)))
