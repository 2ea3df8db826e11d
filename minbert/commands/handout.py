"""Make a folder for students: the package without the functions that they write, with pages, tests and a check.

    minbert handout bert-2027                       all parts
    minbert handout bert-2027 --parts 1-4,6         some of them
    minbert handout bert-2027 --name "NLP 2027"     the name that receipts carry; default: the folder's

The folder needs no network and no download. It is tested before it is left there: the reference is right in all parts,
the folder as it is in none; without one function, its own part is wrong and no other; each known mistake is noticed;
and nothing of the solution is in it. If one of these fails, there is no folder.

Students run `python check.py` and `python submit.py` in it; `minbert grade` grades what they hand in.

Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

import argparse
import re
import shutil
import time
from pathlib import Path

from minbert.commands import common
from minbert.errors import UserError


def numbers(text):
    """ "1-4,6" -> (1, 2, 3, 4, 6)"""
    found = set()
    for word in text.split(","):
        match = re.fullmatch(r"\s*([1-8])(?:-([1-8]))?\s*", word)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise argparse.ArgumentTypeError(f"{text} is not a list of parts from 1 to 8, such as 1-4,6")
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(found))


def flags(parser):
    add = parser.add_argument
    add("out", metavar="OUT", help="a new folder")
    add("--parts", type=numbers, default=numbers("1-8"), metavar="N,N-N", help="default: 1-8")
    add("--name", metavar="NAME", help="of the course, for receipts; default: OUT's name")


def run(args):
    """Build the folder, test it, and keep it only if it passes."""
    from minbert.course import handout
    from minbert.course.parts import PARTS

    out, began = Path(args.out), time.monotonic()
    parts = tuple(part for part in PARTS if part.number in args.parts)
    about = handout.build(out, parts, args.name or out.resolve().name)
    try:
        blanks = sum(len(names) for part in parts for names in part.blank.values())
        files = {file for part in parts for file in part.blank}
        print(f"blanked    {blanks} functions in {len(files)} files; names, arguments and docstrings are kept")
        problems = handout.self_check(out, parts, lambda line: print(line, flush=True))
        if problems:
            raise UserError("\n".join([f"{out} was not made, as it failed its own test:", *problems]))
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    seconds, kit = time.monotonic() - began, about["kit"][:12]
    print(f"{out} is ready after {seconds:.0f} s: kit {kit}. Students run: python check.py")


def main(arguments):
    run(common.parse("handout", __doc__, flags, arguments))
