"""What to label next, how many labels are needed, and which labels may be wrong.

    minbert study label --next 150 --predictions pool.predictions.csv --data pool.csv --out batch.csv
    minbert study label --next 150 --predictions pool.predictions.csv --way badge --features pool.npy --out batch.csv
    minbert study label --curve sizes.csv --goal 0.2
    minbert study label --suspicious rows.csv.gz --system bert:flexible --data tweets.csv --out suspicious.csv

--next N chooses N of the texts that minbert predict has labelled. A third of them is drawn at random. The others are
those that should teach most: with --way margin, where the two likeliest classes are closest; with --way badge, where an
error would change the classifier most, in different directions. For badge, --features has a row of numbers for each
text, such as minbert similar writes. With --way random, all are drawn. The table has the columns row, predicted,
chosen, probability and label. Fill in label. probability is that of being drawn, and is empty where a text was not
drawn at random: minbert study infer --drawn probability then uses the random texts alone. The others say nothing about
all texts.

--curve reads a table with the columns n, fold and error: the error, such as 1 - F1, of each fold with n labels. It
needs 5 or more different n. minbert fits the curve a + b n^-c, and says nothing beyond 4 times the largest n.

--suspicious reads the rows of minbert study compare: predictions for texts that a system had not seen. A label is
suspicious if the system is as sure of another class as it is of the texts of that class on average (Northcutt et al.
2021). It is a reason to look again and no proof. --out lists all of them, the least probable label first.

--data is the file that was predicted or compared. With it, the texts are shown, cut to the width of the screen, and
--out has a column text, and pair for a second text. The texts of --next are found as minbert study infer finds them:
by row, by the text, or by --id_column.

Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from minbert.atomic import atomic_write
from minbert.commands import common
from minbert.errors import UserError

READING = (*common.FILE_FLAGS, "pair_column")  # how --data is to be read
SHOWN = 10  # texts or labels on the screen
TEXT = 60  # places on the screen for a text
FLAGS = {  # the flags that go with one question only
    "next": ("predictions", "way", "features"),
    "curve": ("goal",),
    "suspicious": ("system",),
}


def flags(parser):
    add = parser.add_argument
    add("--next", type=common.natural, metavar="N", help="choose N texts to label")
    add("--predictions", metavar="FILE", help="what minbert predict wrote for texts without labels")
    add("--way", choices=("margin", "badge", "random"), help="how two thirds are chosen; default: margin")
    add("--features", metavar="FILE.npy", help="for badge: a row of numbers for each text")
    add("--curve", metavar="FILE", help="how many labels are needed: a table with the columns n, fold, error")
    add("--goal", type=float, metavar="E", help="the error to reach")
    add("--suspicious", metavar="FILE", help="which labels may be wrong: rows of minbert study compare")
    add("--system", metavar="NAME", help="whose rows; default: the only system of the file")
    add("--seed", **common.SEED)
    add("--out", metavar="FILE", help="write CSV; needed with --next")
    add = parser.add_argument_group("texts").add_argument
    add("--data", metavar="FILE", help="show the texts: the file that was predicted or compared")
    common.add_file_flags(add)
    add("--pair_column", metavar="NAME", help="column of a second text, such as a target")
    add("--id_column", metavar="NAME", help="column of --data and --predictions: joined by it, not by row or text")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    question: str
    args: object


def check(args):
    from minbert.runs.report import writable

    asked = [question for question in FLAGS if getattr(args, question) is not None]
    if len(asked) != 1:
        raise UserError("ask one thing: --next N, --curve FILE or --suspicious FILE")
    for question, names in FLAGS.items():
        for name in names:
            if question != asked[0] and getattr(args, name) is not None:
                raise UserError(f"--{name} goes with --{question}")
    for name in ("predictions", "out") if asked == ["next"] else ():
        if getattr(args, name) is None:
            raise UserError(f"--next needs --{name} FILE")
    for name in ("out", "data"):
        if getattr(args, name) and asked == ["curve"]:
            raise UserError(f"--{name} goes with --next and --suspicious")
    for name in (*READING, "id_column"):
        if getattr(args, name) and not args.data:
            raise UserError(f"--{name} says how to read --data: name that file")
    if args.id_column and asked == ["suspicious"]:
        raise UserError("--id_column goes with --next: rows of minbert study compare have the lines of --data")
    if (args.way == "badge") != (args.features is not None):
        raise UserError("--way badge and --features FILE.npy go together")
    for path in (args.predictions, args.features, args.curve, args.suspicious, args.data):
        if path:
            common.readable(path)
    if args.out:
        writable(args.out)
        if asked == ["next"] and Path(args.out).exists():
            raise UserError(f"{args.out} exists, and may hold labels: name another file with --out")
    return Job(asked[0], args)


def run(job):
    {"next": choose, "curve": curve, "suspicious": suspicious}[job.question](job.args)


def choose(args):
    from minbert.runs.columns import table
    from minbert.study import columns, next

    names, predicted, probabilities, data, joined = pool(args)
    features = columns.read_features(args.features, len(predicted)) if args.features else None
    chosen, random = next.choose(probabilities, args.next, args.way or "margin", features, args.seed)
    drawn = int(random.sum())
    lines, shown = [], []
    for at, by_chance in sorted(zip(chosen.tolist(), random.tolist())):
        how = ("random", f"{drawn / len(predicted):.9g}") if by_chance else (args.way or "margin", "")
        texts = data.cells(at) if data else []
        lines.append([at + 1, predicted[at], *how, "", *texts])
        shown.append([str(at + 1), how[0], predicted[at], on_screen(texts)])
    header = ["row", "predicted", "chosen", "probability", "label"]
    write(args.out, header + (data.header if data else []), lines)
    others = f", {args.next - drawn} by {args.way or 'margin'}" if drawn < args.next else ""
    print(f"{args.next:,} of {len(predicted):,} texts: {drawn} at random{others}; classes: {', '.join(names)}")
    if data:
        table(["row", "chosen", "predicted", "text"], shown[:SHOWN], width=120)
        print(f"{args.predictions}: joined with {args.data} by {joined}")
    print("Only the random ones can say something about all texts: minbert study infer --drawn probability.")
    print(f"written: {args.out}")


def pool(args):
    """The texts to choose from: names of classes, the predicted ones [N], probabilities [N, C], the Texts of --data,
    and how they were joined."""
    import numpy as np

    from minbert.study import columns, joining

    file = columns.read_columns(
        args.predictions, ["row", "predicted"] if not args.data else ["predicted"], args.encoding
    )
    names = columns.classes(file)
    predicted, p = file["predicted"], np.column_stack([file.numbers(f"p_{name}") for name in names])
    if data := read_data(args):
        joined = joining.join(file, data, every=True)
        return names, joined.spread(predicted).tolist(), joined.spread(p), data, joined.by
    if file["row"] != [str(at) for at in range(1, len(file) + 1)]:
        raise UserError(f"{args.predictions}: row does not count from 1 to {len(file):,}: a text has no prediction")
    return names, predicted, p, None, ""


def read_data(args, skip=False):
    """The Texts of --data, or None. skip: leave bad rows out"""
    from minbert.study.texts import read_texts

    asked = {"id": args.id_column} if args.id_column else {}
    how = {name: getattr(args, name) for name in READING}
    return read_texts(args.data, asked, skip, **how) if args.data else None


def on_screen(texts):
    from minbert.runs.findings import cut, on_one_line

    return cut(on_one_line(" | ".join(texts)), TEXT)


def curve(args):
    from minbert.runs.columns import table
    from minbert.study import columns, next

    sizes, errors = columns.read_curve(args.curve)
    found = next.learning_curve(sizes, errors, seed=args.seed)
    print(f"error = {found.a:.4f} + {found.b:.4g} n^-{found.c:.3f}, from {len(errors)} folds")
    lines = []
    for n in sorted({*map(int, sizes), *(found.largest * times for times in (2, next.BEYOND))}):
        interval = "needs 3 folds" if found.folds < 3 else "{:.4f} to {:.4f}".format(*found.interval(n))
        lines.append([f"{n}", f"{found.error(n):.4f}", interval, "" if n <= found.largest else "beyond what was seen"])
    table(["labels", "error", "95 % interval", ""], lines)
    if args.goal is not None:
        wanted = found.labels_for(args.goal)
        limit = next.BEYOND * found.largest
        print(
            f"an error of {args.goal:g} is expected with {wanted:,} labels"
            if wanted
            else f"an error of {args.goal:g} is not reached with {limit:,} labels; the curve says nothing beyond"
        )


def suspicious(args):
    from minbert.runs.columns import table
    from minbert.study import labels
    from minbert.study.rows import read_out_of_fold

    ids, names, gold, probabilities = read_out_of_fold(args.suspicious, args.system)
    data = read_data(args, skip=True)
    if data:
        refuse_other(args)
        places = data.places(ids)
    found = labels.suspicious(probabilities, gold)
    other = labels.confident(probabilities, gold)
    lines, shown = [], []
    for at in found:
        sure = (probabilities[at, which] for which in (gold[at], other[at]))
        line = [ids[at], names[gold[at]], f"{next(sure):.4f}", names[other[at]], f"{next(sure):.4f}"]
        texts = data.cells(places[at]) if data else []
        lines.append([*line, *texts])
        shown.append([*line, *([on_screen(texts)] if texts else [])])
    header = ["line", "label", "its probability", "rather", "that probability", *(data.header if data else [])]
    print(f"{len(found):,} of {len(ids):,} labels are suspicious")
    if len(found):
        table(header[: len(shown[0])], shown[:SHOWN], width=140)
    if args.out:
        write(args.out, [name.replace(" ", "_") for name in header], lines)
        print(f"written: {args.out}")


def refuse_other(args):
    """Raise UserError if the study that wrote the rows says that it read another file than --data."""
    import hashlib

    from minbert.jsonfile import read_json

    path = Path(args.suspicious).with_name("study.json")
    known = read_json(path).get("facts", {}).get("data", [None])[0] if path.exists() else None
    if known and known != hashlib.sha256(Path(args.data).read_bytes()).hexdigest():
        raise UserError(f"{args.data} is not the file that {path} is about, or has changed since")


def write(path, header, lines):
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    with atomic_write(path) as new:
        new.write_text(text.getvalue(), encoding="utf-8")


def main(arguments):
    run(check(common.parse("study label", __doc__, flags, arguments)))
