"""One HTML file for a browser, offline: the results of a run, where heads look, or each step of a model.

    minbert page runs/flexible-3-0.0001                      a run: scores, mistakes, words that misled it
    minbert page runs/flexible-3-0.0001 --against runs/other what the other run fixed, and what it broke
    minbert page runs/flexible-3-0.0001 --evidence 20        weigh the words of 20 mistakes first
    minbert page --unpack page.html --out FOLDER             the data of a page as CSV, .npy or JSON
    minbert page --attention --model tiny --text "..."       where each head of each layer looks
    minbert page --walk --sentence "..."                     a sentence through every stage, with its numbers

minbert page --attention --help and minbert page --walk --help show the manuals of these two.

The page of a run goes into its folder, as page.html. It shows the scores as the predictions give them, the confusion
matrix, how far the probabilities can be trusted, for which texts the run is better or worse, and all predictions: the
mistakes first, the surest at the top. In place of a folder, you may name a file of predictions: the page then lies
beside it. A page loads nothing and sends nothing, but it holds the texts: --no_texts leaves them out.

--against takes a second run, or a file of its predictions, on the same texts. --evidence N hides the words of the N
surest mistakes one by one, as minbert study errors does, and writes the weights beside the predictions. Where such a
file lies in the folder, the page shows it.

Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path

from minbert.commands import common
from minbert.errors import UserError

KINDS = {"--attention": "minbert.commands.page_attention", "--walk": "minbert.commands.page_walk"}
ENDING = "_predictions.csv"
BEGIN = b"<!doctype html>"


def flags(parser):
    add = parser.add_argument
    add("run", nargs="*", metavar="FOLDER", help="a run of training, or a file of its predictions")
    add("--against", metavar="FOLDER", help="a second run on the same texts")
    add("--evidence", type=common.natural, metavar="N", help="measure which words mattered in the N surest mistakes")
    add("--no_texts", action="store_true", help="leave the texts out, but not labels and predictions")
    add("--unpack", metavar="FILE", help="write the data of this page to the folder --out")
    add("--out", metavar="OUT", help="the file to write; default: page.html in the run's folder")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    run: Path
    against: Path | None
    evidence: int
    texts: bool
    out: Path


def check(args):
    """Refuse everything that can be refused before the work begins. Returns the Job."""
    if not args.run:
        raise UserError("name the folder of a run: minbert page runs/flexible-3-0.0001 (--help shows the other pages)")
    if len(args.run) > 1:
        raise UserError(f"a page shows one run: minbert page {args.run[0]} --against {args.run[1]} compares two")
    if args.evidence and args.no_texts:
        raise UserError("--evidence weighs words, which --no_texts leaves out: give one of them")
    run, against = Path(args.run[0]), Path(args.against) if args.against else None
    if against and run.resolve() == against.resolve():
        raise UserError(f"--against {against} is the run itself: name another one")
    out = Path(args.out) if args.out else place(run, against)
    if out.is_file() and not is_page(out):
        raise UserError(f"{out} exists and is no page: name another file with --out")
    return Job(run, against, args.evidence or 0, not args.no_texts, out)


def is_page(path):
    with open(path, "rb") as file:
        return file.read(len(BEGIN)) == BEGIN


def place(run, against):
    """Where a page goes if nobody says it."""
    name = "page.html"
    if against:
        name = f"page_against_{against.resolve().name.removesuffix(ENDING)}.html"
    return run / name if run.is_dir() else run.with_name(f"{run.name.removesuffix(ENDING)}_{name}")


def run(job):
    """Weigh words if that is wanted, and write the page."""
    from minbert.pages.run import run_page

    if job.evidence:
        weigh(job)
    page = run_page(job.run, job.against, job.texts)
    path = page.write(job.out)
    for note in page.values["notes"]:
        print(note)
    print(f"written to {path}, {path.stat().st_size / 1000:,.0f} kB: open it in a browser")


def weigh(job):
    """Write the evidence of the surest mistakes beside the predictions."""
    from minbert.commands import study_errors
    from minbert.runs.outcomes import cases

    words = ["--run", str(job.run), "--evidence", str(job.evidence)]
    errors = study_errors.check(common.parse("study errors", study_errors.__doc__, study_errors.flags, words))
    study_errors.weigh(errors, cases(errors.first)["wrong"][: job.evidence])


def unpack(args):
    """Write the data of a page to a folder."""
    from minbert.pages.unpack import unpack_page

    given = [f"--{name}" for name in ("against", "evidence", "no_texts") if getattr(args, name)]
    if args.run or given:
        raise UserError(f"--unpack reads a page alone: leave {' '.join([*args.run, *given])} out")
    if not args.out:
        raise UserError("--unpack needs a folder to write to: --out FOLDER")
    print(f"written: {', '.join(map(str, unpack_page(args.unpack, args.out)))}")


def main(arguments):
    kinds = [flag for flag in KINDS if flag in arguments]
    if len(kinds) > 1:
        raise UserError(f"{' and '.join(kinds)} are two pages: name one of them")
    if kinds:
        importlib.import_module(KINDS[kinds[0]]).main([word for word in arguments if word not in KINDS])
        return
    args = common.parse("page", __doc__, flags, arguments)
    if args.unpack:
        unpack(args)
    else:
        run(check(args))
