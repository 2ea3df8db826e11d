"""What a classifier gets wrong, and which words misled it; of two classifiers, what the second fixed and broke.

    minbert study errors --run runs/flexible-3-0.0001       its mistakes, the surest first, and where it makes them
    minbert study errors --run runs/small --against runs/large
                                                            what the second run fixed and what it broke
    minbert study errors --run runs/flexible-3-0.0001 --evidence 10 --top 10
                                                            the words that spoke for each of the ten surest mistakes

--run and --against take the folder of a run, or a file of predictions: test_predictions.csv or, if there is none,
dev_predictions.csv of the folder. Two files that have other rows, or have them in another order, are joined by their
texts, where no two are the same; the first line says so.

--evidence hides each word of a text behind [MASK] and measures how far that moves the prediction. Words that move it
furthest away are written as **word**. A deletion curve tests them: hiding these words first must lower the probability
faster than hiding words at random. With --method gradients, integrated gradients weigh the words. The weights go to
FILE_evidence.jsonl beside the predictions, a line for each row.

--out writes a table of all rows: their case, labels, probabilities and texts.

Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from minbert.atomic import atomic_write
from minbert.commands import common
from minbert.errors import UserError


def flags(parser):
    add = parser.add_argument
    add("--run", required=True, metavar="FOLDER", help="a run of training, or a file of its predictions")
    add("--against", metavar="FOLDER", help="a second run on the same texts")
    add(
        "--top",
        type=common.number(int, 0),
        default=10,
        metavar="N",
        help="rows to show of each case; default: 10",
    )
    add("--evidence", type=common.natural, metavar="N", help="weigh the words of N mistakes")
    add("--method", choices=("occlusion", "gradients"), help="with --evidence; default: occlusion")
    add("--model", metavar="FOLDER", help="with --evidence, the classifier; default: the folder of --run")
    add("--out", metavar="FILE", help="a table of all rows, as CSV")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    first: object  # Predictions
    second: object | None
    joined: str  # how the rows of both were joined, "" where they are the same
    top: int
    evidence: int
    method: str
    model: str | None
    out: Path | None
    to: Path  # of the evidence


def check(args):
    """Refuse everything that can be refused before the work begins. Returns the Job."""
    from minbert.files.predictions import paired, read_predictions

    first = read_predictions(args.run)
    second = read_predictions(args.against) if args.against else None
    joined = ""
    if second:
        first, second, joined = paired(first, second)
    if not first.labelled:
        raise UserError(f"{first.path} has no gold labels: nobody knows which predictions are wrong")
    if not args.evidence and (args.method or args.model):
        raise UserError(f"--{'method' if args.method else 'model'} is for --evidence: add it")
    shown = (second or first).path
    model = args.model or (str(shown.parent) if args.evidence else None)
    if args.evidence and any(row.pair for row in first.rows):
        raise UserError("--evidence weighs the words of single texts, and these rows are pairs: leave it out")
    to = shown.with_name(shown.name.replace("_predictions.csv", "") + "_evidence.jsonl")
    out = Path(args.out) if args.out else None
    if out and out.resolve() in {each.path.resolve() for each in (first, second) if each}:
        raise UserError(f"{args.out} is the file of predictions: choose another name for --out")
    return Job(first, second, joined, args.top, args.evidence or 0, args.method or "occlusion", model, out, to)


def run(job):
    """Show the cases and the slices; weigh words; write the table."""
    from minbert.runs import outcomes

    rows, second = job.first.labelled, job.second
    if job.joined:
        print(job.joined)
    if second:
        table = outcomes.against(job.first, second)
        show_change(job, table)
        chosen = [("broken", [two for _, two in table["broken"]]), ("fixed", [two for _, two in table["fixed"]])]
        chosen.append(("both wrong", [two for _, two in table["both wrong"]]))
    else:
        table = outcomes.cases(job.first)
        print(f"{job.first.path}: {len(table['wrong'])} of {len(rows)} wrong, {len(table['unsure'])} unsure")
        chosen = [("wrong", table["wrong"]), ("unsure", [row for row in table["unsure"] if row.right])]
    for gold, predicted, count in outcomes.confusions((second or job.first).labelled)[:10]:
        print(f"  {count:5}  {safe(gold)} taken for {safe(predicted)}")
    show_slices(job)
    first = next((found for case, found in chosen if case in ("wrong", "broken") and found), chosen[-1][1])
    weighed = weigh(job, first[: job.evidence]) if job.evidence else {}
    for case, found in chosen:
        show_rows(case, found[: job.top], weighed)
    if job.out:
        write(job, table)


def main(arguments):
    run(check(common.parse("study errors", __doc__, flags, arguments)))


def safe(text):
    from minbert.runs.findings import on_one_line

    return on_one_line(text)


def show_change(job, table):
    """The square of right and wrong, and whether it can be chance."""

    from minbert.runs import outcomes

    rights = [[row.right for row in each.labelled] for each in (job.first, job.second)]
    p = outcomes.mcnemar(*rights)["exact"]
    count = len(rights[0])
    print(f"{job.first.path}: {sum(rights[0]) / count:.4f} right of {count}")
    print(f"{job.second.path}: {sum(rights[1]) / count:.4f} right")
    print("  ".join(f"{case} {len(pairs)}" for case, pairs in table.items()))
    print(f"fixed against broken: p {p:.3g} (McNemar's exact test)" + ("" if p < 0.05 else "; it can be chance"))


def show_slices(job):
    """A line for each slice of the texts."""
    from minbert.runs import outcomes
    from minbert.runs.columns import table

    runs = [each for each in (job.first, job.second) if each]
    header = ["texts", "rows", *("accuracy (95% interval)" for _ in runs)]
    lines = []
    for name, inside in outcomes.slices(runs[0].labelled).items():
        cells = [outcomes.accuracy(each.labelled, inside) for each in runs]
        few = "  few rows" if cells[0][0] < outcomes.FEW else ""
        figures = [f"{share:.3f} ({low:.2f}-{high:.2f})" for _, share, low, high in cells]
        lines.append([name, str(cells[0][0]), *figures[:-1], figures[-1] + few])
    table(header, lines)


def show_rows(case, rows, weighed):
    """The rows of a case, one line each."""
    if not rows:
        return
    from minbert.runs.findings import cut, width

    print(f"{case}: row, label, predicted label and its probability, text")
    for row in rows:
        begin = f"  {row.number}  {safe(row.gold)}  {safe(row.predicted)}  {row.sureness:.3f}  "
        print(cut(begin + safe(weighed.get(row.number, row.text)), width() - 1))


def weigh(job, rows):
    """Write the evidence of these rows. Returns {number of a row: its text with the words marked}."""
    from minbert import families, fast
    from minbert.runs.outcomes import decisive
    from minbert.study import evidence
    from minbert.weights import hub

    directory = hub.find(job.model)
    model = families.load(job.model, "classifier", missing_head="new")
    common.check_trained(job.model, model)
    tokenizer = common.load_tokenizer(job.model, directory, model.config)
    if job.method == "occlusion":  # integrated gradients need the plain embeddings
        fast.for_reading(fast.swap_in(model))
    names, lines, marked, areas = list((job.second or job.first).names), [], {}, []
    if [*model.config.labels] != names:
        raise UserError(
            f"{job.model} has the classes {', '.join(model.config.labels)}, not {', '.join(names)}: use --model"
        )
    for row in rows:
        found = evidence.explain(model, tokenizer, row.text, job.method, names.index(row.predicted))
        if abs(found.p - row.p[found.number]) > 0.02:
            written = f"{row.p[found.number]:.3f} is written for row {row.number}, but {job.model} gives {found.p:.3f}"
            raise UserError(f"{written}: another model, or another --max_length, made these predictions")
        areas.append(found.area)
        marked[row.number] = mark(row.text, decisive([(word.start, word.end, word.weight) for word in found.words]))
        lines.append(as_record(row, found, job.method))
    with atomic_write(job.to) as new:
        new.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    mean = sum(areas) / len(areas)
    good = sum(area > 0 for area in areas)
    print(f"words weighed in {len(rows)} rows by {job.method}, written to {job.to}")
    print(f"  hidden in order of weight, they lower the probability by {mean:.3f} more than at random, in {good} rows")
    return marked


def as_record(row, found, method):
    """A line of the file of evidence."""
    words = [[word.start, word.end, round(word.weight, 4)] for word in found.words]
    curve = {"hidden": found.hidden, "own": found.own, "random": found.chance, "area": found.area}
    curve = {name: value if name == "hidden" else rounded(value) for name, value in curve.items()}
    more = {"p": rounded(found.p), "gap": rounded(found.gap), "words": words, "deletion": curve}
    return {"row": row.number, "class": row.predicted, "method": method, **more}


def rounded(value):
    return [rounded(each) for each in value] if isinstance(value, list) else round(value, 4)


def mark(text, words):
    """The text with these words, (from, to, weight) in their order, as **word**."""
    for start, end, _ in reversed(words):
        text = f"{text[:start]}**{text[start:end]}**{text[end:]}"
    return text


def write(job, table):
    """A table of all rows: case, row, labels, probabilities, text."""
    from minbert.runs.report import csv_writer, nine_digits

    runs = [each for each in (job.first, job.second) if each]
    case = {}
    if job.second:
        case = {one.number: name for name, pairs in table.items() for one, _ in pairs}
    else:
        case = {row.number: "right" if row.right else "wrong" for row in job.first.labelled}
    header = ["case", "row", "gold"]
    for number, _ in enumerate(runs, 1):
        header += [f"predicted_{number}", f"p_{number}"] if job.second else ["predicted", "p"]
    with atomic_write(job.out) as new, open(new, "w", newline="", encoding="utf-8") as stream:
        line = csv_writer(stream)
        line([*header, "text"])
        for rows in zip(*(each.rows for each in runs)):
            first = rows[0]
            answers = [cell for row in rows for cell in (row.predicted, nine_digits(row.sureness))]
            line([case.get(first.number, ""), first.number, first.gold, *answers, first.text])
    print(f"written: {job.out}")
