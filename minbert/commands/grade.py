"""Grade what students handed in: a folder with a zip or a folder for each student.

    minbert grade submissions --out results                 all parts
    minbert grade submissions --out results --parts 1-6     some of them
    minbert grade submissions --out results --course course.toml
    minbert grade --one ada.zip --out results               one submission, with Gradescope's results.json
    minbert grade --gradescope autograder.zip               the bundle for Gradescope, and nothing else

A student's code runs in a process that can do nothing but answer: it may not write, use the network, start processes,
or read anything but Python's own packages and its own files. It returns arrays, and never a verdict; the right answers
are in another process. Inputs are drawn anew for each run. How far this holds on this machine is measured, printed and
required: see --seal.

A run that was stopped goes on where it was, with the same command. --out gets results.csv, rows.jsonl (a line for each
part of each submission), feedback/ (a text for each student), incidents.txt (what looked like an attempt: for you to
read), unnamed.txt (failures that no known mistake explains, grouped) and similarity.txt (work that is alike).
run.json has the seed of the hidden inputs: keep it to yourself.

course.toml may hold:

    parts = "1-6"
    detail = "stage"                 what students are told of hidden inputs: part, stage or numbers
    [shares]
    "the mask is ignored" = 0.7      of a part's points, for a known mistake

Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from minbert.commands import common
from minbert.commands.handout import numbers
from minbert.course.reports import DETAILS
from minbert.course.seal import LEVELS
from minbert.errors import UserError


def flags(parser):
    add = parser.add_argument
    add("folder", nargs="?", metavar="FOLDER", help="with a zip or a folder for each student")
    add("--one", metavar="ZIP", help="grade this zip or folder alone")
    add("--out", default="results", metavar="FOLDER", help="default: %(default)s")
    add("--parts", type=numbers, metavar="N,N-N", help="default: 1-8 and the whole")
    add("--course", metavar="FILE", help="a file of settings, in TOML")
    add("--also", metavar="FOLDER", help="submissions of earlier terms, compared with these and not graded")
    add("--handout", metavar="FOLDER", help="what students were given: work made with another one is noted")
    add(
        "--seed",
        type=common.number(int, 0, wanted="0 or more"),
        metavar="N",
        help="of the hidden inputs; drawn if left out",
    )
    add("--seal", choices=LEVELS[::-1], default=LEVELS[-1], help="what must be reached at least; default: %(default)s")
    add("--detail", choices=DETAILS, help="what students are told of hidden inputs; default: stage")
    add("--gradescope", metavar="ZIP", help="write the bundle for Gradescope's autograder")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    paths: list
    out: Path
    settings: object
    gradescope: Path | None = None


def check(args):
    from minbert.course import grader
    from minbert.course.parts import PARTS, WHOLE
    from minbert.course.submission import find

    given = [bool(args.folder), bool(args.one), bool(args.gradescope)]
    if sum(given) != 1:
        raise UserError("give a FOLDER of submissions, or --one ZIP, or --gradescope ZIP")
    course = read_course(args.course) if args.course else {}
    chosen = args.parts or course.get("parts")
    parts = [part for part in PARTS if not chosen or part.number in chosen] + [WHOLE] * (not chosen)
    settings = grader.Settings(
        parts=parts,
        level=args.seal,
        seed=args.seed,
        shares=course.get("shares", {}),
        detail=args.detail or course.get("detail", "stage"),
        handout=kit_of(args.handout) if args.handout else "",
        also=tuple(earlier(args.also)) if args.also else (),
    )
    if args.gradescope:
        return Job([], Path(args.out), settings, Path(args.gradescope))
    path = Path(args.one or args.folder)
    if not path.exists():
        raise UserError(f"there is no {path}")
    if args.folder and not path.is_dir():
        raise UserError(f"{path} is no folder; to grade one submission: --one {path}")
    paths = [path] if args.one else find(path)
    if not paths:
        raise UserError(f"{path} has no submissions: a zip or a folder for each student is expected")
    return Job(paths, Path(args.out), settings)


def read_course(path):
    """course.toml -> its settings. Raises UserError for one that is not known."""
    try:
        import tomllib
    except ImportError:
        raise UserError("--course needs Python 3.11 or newer; give the settings as flags") from None
    try:
        course = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    unknown = sorted(set(course) - {"parts", "detail", "shares"})
    if unknown:
        raise UserError(f"{path}: {unknown[0]} is no setting; there are parts, detail and [shares]")
    try:
        course |= {"parts": numbers(str(course["parts"]))} if "parts" in course else {}
    except Exception as error:
        raise UserError(f"{path}: parts: {error}") from None
    if course.get("detail", "stage") not in DETAILS:
        raise UserError(f"{path}: detail is {course['detail']!r}, but should be one of {', '.join(DETAILS)}")
    shares = course.get("shares", {})
    for name, share in shares.items() if isinstance(shares, dict) else [("shares", None)]:
        if not isinstance(share, (int, float)) or isinstance(share, bool) or not 0 <= share <= 1:
            raise UserError(f"{path}: {name}: a share is a number from 0 to 1")
    if shares:
        from minbert.course.oracle import names

        known = names()
        for name in set(shares) - set(known):
            raise UserError(f"{path}: {name!r} is no known mistake{common.nearest(name, known)}")
    return course


def earlier(folder):
    """The submissions of a folder that --also names."""
    from minbert.course.submission import find

    if not Path(folder).is_dir():
        raise UserError(f"--also: {folder} is no folder")
    return find(Path(folder))


def kit_of(folder):
    """The hash that `minbert handout` wrote into a handout."""
    import json

    try:
        return str(json.loads((Path(folder) / "kit" / "handout.json").read_text("utf-8"))["kit"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{folder} is no handout: it has no kit/handout.json") from None


def run(job):
    """Grade, and say what came of it."""
    import time

    from minbert.course import bundle, grader

    if job.gradescope:
        print(bundle.write(job.gradescope, job.settings))
        return
    began = time.monotonic()
    class_ = grader.grade(job.paths, job.out, job.settings, lambda line: print(line, flush=True))
    incidents = (job.out / "incidents.txt").read_text("utf-8").count("\n")
    groups = len(re.findall("^group ", (job.out / "unnamed.txt").read_text("utf-8"), re.MULTILINE))
    print(
        f"{len(class_)} in {time.monotonic() - began:.0f} s · incidents: {incidents} · groups of unnamed failures: "
        f"{groups} · {job.out}/results.csv"
    )


def main(arguments):
    run(check(common.parse("grade", __doc__, flags, arguments)))
