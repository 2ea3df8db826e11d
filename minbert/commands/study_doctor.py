"""Look at labelled texts before a study: contradictions, copies, authors, rare classes, telling words, bad rows.

    minbert study doctor --data tweets.csv --text_column tweet --label_column stance --group_column author

Nothing is trained. Each line is a finding: mend a stop, keep a warn in mind; ok is fine.

Exit status: 2 if there is a stop, else 0.
"""

import re
from dataclasses import dataclass

from minbert.commands import common, study_data
from minbert.commands.common import natural
from minbert.errors import UserError
from minbert.wording import counted

AUTHORS = ("author", "author_id", "user", "user_id", "username", "screen_name", "speaker", "account", "handle")


def flags(parser):
    study_data.data_flags(parser)
    add = parser.add_argument_group("the study that you plan").add_argument
    add("--folds", type=common.number(int, 2, wanted="2 or more"), default=5, metavar="K", help="default: %(default)s")
    add("--epochs", type=natural, default=3, metavar="N", help="of bert:flexible; default: %(default)s")
    add("--batch_size", type=natural, default=16, metavar="N", help="default: %(default)s")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    args: object


def check(args):
    common.readable(args.data)
    return Job(args)


def run(job):
    from minbert.study.doctor import STOP, Finding, examine

    args = job.args
    skips, args.skip_bad_rows = args.skip_bad_rows, True  # bad rows are a finding
    data = study_data.read_data(args, quiet=True)
    shares = ", ".join(f"{name} {count:,} ({count / len(data):.1%})" for name, count in data.counts().items())
    print(f"{len(data):,} texts, {len(data.names)} classes: {shares}")
    found = examine(data, args.folds, args.batch_size, args.epochs, authors(args))
    if data.left_out:
        rows = re.sub(r"\s*\n\s*", "; ", data.left_out)
        mend = ("warn", rows, "they are left out") if skips else (STOP, rows, "mend them, or pass --skip_bad_rows")
        found.insert(0, Finding(*mend))
    for finding in found:
        print(f"{finding.level:5} {finding.text}" + (f"  -> {finding.remedy}" if finding.remedy else ""))
    if stops := sum(finding.level == STOP for finding in found):
        raise UserError(f"{counted(stops, 'finding')} to mend before a study: see stop above")


def authors(args):
    """{column: values} of the first column whose name says that it holds authors, if --group_column names none."""
    from minbert.study.data import further_column

    for name in () if args.group_column else AUTHORS:
        how = {key: getattr(args, key) for key in study_data.READING}
        try:
            return {name: further_column(args.data, name, args.label_column, args.labels, args.limit, **how)}
        except UserError:  # there is none of that name
            continue
    return {}


def main(arguments):
    run(check(common.parse("study doctor", __doc__, flags, arguments)))
