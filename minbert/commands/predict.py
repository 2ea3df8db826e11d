"""Label texts with a trained classifier: sentences at once, and files of any size in memory that does not grow.

    minbert predict --model runs/flexible-3-0.0001 --sentence "Not what I had hoped for."
                                                            the label and the probabilities; may be repeated
    minbert predict --model runs/flexible-3-0.0001 --sentence -
                                                            lines of the standard input, each answered at once
    minbert predict --model runs/flexible-3-0.0001 --text new.txt
                                                            one text a line, or any form that training reads
    minbert predict --model runs/flexible-3-0.0001 --text new.csv.gz --text_column tweet --out labels.csv
                                                            a column of a table with a header, CSV or TSV
    zcat new.gz | minbert predict --model runs/flexible-3-0.0001 --text - > labels.csv
    minbert predict --model runs/flexible-3-0.0001 --text new.txt --shard 2/8
                                                            every eighth row, from the second
    minbert predict --model runs/flexible-3-0.0001 --text archive/*.csv --ray
                                                            many files, on all cores, or a cluster of machines

A sentence is answered by one line on the standard output: the label, a tab, and each label's probability, the highest
first; with --with_text another tab and the text. Lines are also read where the standard input is a pipe and neither
--sentence nor --text is given. A line that holds no text is answered by an empty line, and named on standard error.

The result for a file is CSV, a line for each text in the file's order: row, predicted, the probability of each label,
and with --with_text the text. row counts the rows of the file from 1; where each line is a row, it is the line's
number. The result goes to --out. By default that is FILE.predictions.csv beside FILE; for texts from the standard input
it is the standard output. A file gets its name when all of it is written: a run that is stopped leaves none.

A row that holds no text or cannot be read stops the run there. With --skip_bad_rows such rows have no line in the
result and are listed at the end. Labels in the file are not read; `minbert train --eval_only` scores them.

Several machines can share a file with --shard 1/8, 2/8, ... 8/8: together they label each row once, each into its own
file, FILE.predictions-2-of-8.csv for the second. This puts them together, in order and with one header:
    sort -nu FILE.predictions-*-of-8.csv > all.csv
(unless --with_text writes texts of several lines, which sort would take apart).

If one of several files has a bad row, the others still get their results, and that file is named at the end.

With --ray, Ray shares the texts of all files among the cores of this machine or of a cluster. The results are those of
one process on as many threads, byte for byte: OMP_NUM_THREADS there is --ray_cpus here. The machines need no common
folder. A worker that is lost is replaced, and its texts are read again. It needs `pip install 'minbert[ray]'`.

Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

import argparse
import os
import re
import stat
import sys
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path

from minbert.commands import common
from minbert.commands.predict_files import BadRows, File, Found, label_files, result
from minbert.config_json import unfit_classifier
from minbert.errors import UserError
from minbert.shell import advice

OF_FILES = (
    "out",
    "shard",
    "excel_safe",
    "skip_bad_rows",
    "pair_column",
    "ray",
    *common.FILE_FLAGS,
)  # sentences have no use for these flags


def shard(text):
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text} is not I/N, part I of N, such as 2/8")
    return int(match[1]), int(match[2])


def flags(parser):
    add = parser.add_argument
    add("--model", required=True, metavar="FOLDER", help="a trained classifier: a folder that training has written")
    rows = "texts, one a line, or a table or JSON; several files have a result each; -: the standard input"
    add("--text", nargs="+", metavar="FILE", help=rows)
    add("--sentence", action="append", metavar="TEXT", help="answer at once; -: lines of the standard input")
    add("--question", metavar="TEXT", help="answer at once, from --passage; for a model that finds answers")
    add("--passage", metavar="TEXT", help="where the answer stands")
    common.add_file_flags(add)
    add("--tweets", **common.TWEETS)
    add(
        "--pair_column", metavar="NAME", help="column of a second text: rows are pairs; default: by known names of both"
    )
    add("--out", metavar="FILE", help="-: the standard output; default: see above")
    add("--with_text", action="store_true", help="write the texts too")
    add("--excel_safe", action="store_true", help="an apostrophe before words that a spreadsheet takes for a formula")
    add("--shard", type=shard, default=(1, 1), metavar="I/N", help="label only rows I, I + N, I + 2 N, ...")
    length = common.number(int, 3, wanted="3 or more")
    add("--max_length", type=length, metavar="N", help="cut texts to N tokens; default: what the model can read")
    common.add_span_flags(add)
    add("--precision", **common.PRECISION)
    add("--device", **common.DEVICE)
    add("--plain", **common.PLAIN)
    add("--skip_bad_rows", action="store_true", help="leave bad rows out and list them; default: stop there")
    common.add_ray_flags(add)


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    directory: Path  # of the model
    task: object  # tasks.Task
    files: list  # the first a File, so that its mistakes are known at once, the others paths; []: sentences
    open: object  # path -> File
    device: object  # torch.device
    tweets: bool  # whether @user and http are written for names and links
    # as the flags of the same names say
    model: str
    sentence: list | None  # ["-"]: the standard input
    question: str | None
    passage: str | None
    shard: tuple
    with_text: bool
    excel_safe: bool
    max_length: int | None
    precision: str
    plain: bool
    skip_bad_rows: bool
    ray: str | bool | None  # True: no address was given
    ray_cpus: int | None


def check(args):
    """Refuse everything that can be refused before the work begins. Returns the Job."""
    int8 = args.precision.startswith("int8")
    if int8:
        if args.device not in ("auto", "cpu"):
            raise UserError("--precision int8 is for a CPU: leave --device out")
        if args.plain:
            raise UserError("--plain computes in float32 or bfloat16: leave out --plain or --precision int8")
    asked = [f"--{name}" for name in ("sentence", "question", "text") if getattr(args, name)]
    if len(asked) > 1:
        raise UserError(f"{' and '.join(asked)} are two questions: ask one of them")
    if args.text:
        check_files(args)
    else:
        check_sentences(args)

    with common.importing():
        from minbert import families, tasks
        from minbert.files import mentions
        from minbert.runs import selftest
        from minbert.weights import hub

    device = selftest.pick_device("cpu" if int8 else args.device)
    check_run(args.model)
    directory = hub.find(args.model)
    for path in args.text or []:
        check_output(out_of(args, path), [*args.text, *directory.iterdir()])
    config = families.read_config(directory)
    common.fits(args.max_length, args.model, config)
    learnt, task = tasks.learnt(directory), tasks.of_model(directory, common.problem(config))
    check_task(args, directory, config, task)
    task = task.with_flags(vars(args)).trained(learnt)
    if not args.text:
        check_pairs(args, learnt, bool(args.question), "--sentence")
    files = [read_file(args, task, learnt, args.text[0]), *args.text[1:]] if args.text else []
    selftest.self_test(device, args.precision, learns=False)
    tweets, note = mentions.choose(args.model, directory, args.tweets)
    if tweets and "tweets" in task.refused:
        tweets, note = False, f"{args.model} learnt from tweets; answers are slices of texts, which stay as they are"
    if note:
        print(f"note: {note}", file=sys.stderr)
    given = {name: value for name, value in vars(args).items() if name in Job.__dataclass_fields__}
    decided = {"directory": directory, "task": task, "files": files, "device": device, "tweets": tweets}
    return Job(**given | decided, open=partial(read_file, args, task, learnt))


def check_files(args):
    """Raise UserError for what does not go with several files or with Ray, and for a file that may not be read."""
    common.check_ray(args)
    if args.ray and args.shard != (1, 1):
        raise UserError("--shard and --ray are two ways to share a file out: take one of them")
    if len(args.text) > 1:
        if args.out or "-" in args.text:
            flag = "--out" if args.out else "--text -"
            raise UserError(f"{flag} is for one file; of several, each has its result beside it")
        if twice := [path for path in args.text if args.text.count(path) > 1]:
            raise UserError(f"--text: {twice[0]} is named twice")
    for path in args.text:
        if path != "-":
            common.readable(path)


def out_of(args, path):
    """Where the result for a file goes."""
    part, parts = args.shard
    suffix = "" if parts == 1 else f"-{part}-of-{parts}"
    return args.out or ("-" if path == "-" else f"{path}.predictions{suffix}.csv")


def read_file(args, task, learnt, path):
    """The File. Raises UserError for one text where pairs were learnt, or pairs where one text was."""
    from minbert.files.formats import How

    part, parts = args.shard
    how = How(**{name: getattr(args, name) for name in (*common.FILE_FLAGS, "pair_column")}, pairs=True)
    rows = task.rows(path, how)
    first = next(rows, None)
    if first and not first.problem:
        check_pairs(args, learnt, bool(task.take([first]).pairs), path)
    rows = islice(chain([first] if first else [], rows), part - 1, None, parts)
    return File(path, out_of(args, path), rows, BadRows(path))


def check_pairs(args, learnt, pairs, what):
    """Raise UserError if the model learnt from pairs and is given single texts, or the reverse."""
    known = learnt.get("pairs", pairs)
    if known and not pairs and args.text_column and not args.pair_column:
        second = f"--text_column {args.text_column} names one of them: name the other with --pair_column"
        raise UserError(f"{what}: {args.model} learnt from pairs of texts, and {second}")
    if known and not pairs:
        raise UserError(f"{what}: {args.model} learnt from pairs: name the second text with --text FILE --pair_column")
    if pairs and not known:
        raise UserError(f"{what}: has pairs, but {args.model} learnt from single texts: name one with --text_column")


def check_sentences(args):
    """Raise UserError for flags that do not go with sentences. Without any, take the standard input if it is a pipe."""
    if args.question or args.passage:
        if not (args.question and args.passage):
            raise UserError("a question is answered from a passage: give both --question and --passage")
    elif not args.sentence:
        if not piped():
            raise UserError("there is nothing to label: give --sentence TEXT or --text FILE (--help lists all flags)")
        args.sentence = ["-"]
        print("the texts are read from the standard input, one a line", file=sys.stderr, flush=True)
    given = [f"--{name}" for name in OF_FILES if getattr(args, name) not in (None, False, (1, 1))]
    if given:
        raise UserError(f"these flags are for a file of texts, --text FILE: {', '.join(given)}")
    sentences = args.sentence or []
    if "-" in sentences and len(sentences) > 1:
        raise UserError("--sentence - reads all sentences from the standard input: leave the others out")
    from minbert.files.examples import BLANK

    for name, texts in (("sentence", sentences), ("question", [args.question]), ("passage", [args.passage])):
        for text in texts:
            if text is not None and not text.strip(BLANK):
                raise UserError(f"--{name} {text!r} holds no text")


def piped():
    """Whether the standard input is a pipe or a file: no terminal, and no service's empty one."""
    try:
        kind = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):  # closed, or a notebook's
        return False
    return stat.S_ISFIFO(kind) or stat.S_ISREG(kind) or stat.S_ISSOCK(kind)


def check_run(name):
    """Raise UserError for a folder of training that is not there, or whose training is not done."""
    from minbert.runs import state

    folder = Path(name)
    if folder.parts[:1] == ("runs",) and not folder.exists():  # not OWNER/NAME on the hub
        runs = [str(path) for path in sorted(Path("runs").glob("*")) if path.is_dir()]
        hint = common.nearest(name, runs) or f"; train a classifier first: {advice('train', '--out', name)}"
        raise UserError(f"there is no folder {name}{hint}")
    if (folder / state.STATE).exists() and not (folder / "config.json").exists():
        remedy = f"finish it first: {advice('train', '--resume', name)}"
        raise UserError(f"{name} holds a run that was stopped before it had a classifier; {remedy}")


def check_task(args, directory, config, task):
    """Raise UserError if the model has a classifier of another kind than its task needs, or flags do not go with it."""
    if unfit := unfit_classifier(directory / "config.json", config.form, common.problem(config), task.of):
        remedy = f"train one for texts: {advice('train', '--model', args.model)}"
        raise UserError(f"{args.model}: its classifier {unfit}: no label can be predicted; {remedy}")
    defaults = common.parse("predict", __doc__, flags, ["--model=" + args.model])
    refused = [name for name in (*task.refused, *task.unasked) if name in vars(args)]
    if given := [f"--{name}" for name in refused if getattr(args, name) != getattr(defaults, name)]:
        raise UserError(f"{args.model} gives {task.title}: it has no use for {', '.join(given)}")


def check_output(path, inputs):
    """Raise UserError if the result cannot be written to path, or would overwrite one of the inputs."""
    from minbert.runs import report

    if path == "-":
        if getattr(sys.stdout, "name", "") == os.devnull:  # see common.streams
            raise UserError("there is no standard output here: name a file with --out")
        return
    taken = {Path(input).resolve() for input in inputs}
    if taken & {Path(path).resolve(), Path(path + ".new").resolve()}:
        raise UserError(f"{path} would overwrite what is read here: give another file with --out")
    if Path(path).is_dir():
        raise UserError(f"{path} is a folder: --out should be a file")
    report.writable(path)


def run(job):
    """Rows -> labels, a line of the result for each."""
    from minbert.fast.memory import retain_freed_memory

    retain_freed_memory()
    model, tokenizer = load_model(job)
    if job.files:
        label_files(job, model, tokenizer)
    else:
        with result("-") as stream:
            answer(job, model, tokenizer, stream)


def load_model(job):
    """The classifier and its tokenizer. Raises UserError as common.check_trained does."""
    from minbert import families, fast
    from minbert.runs import precision, report

    config = families.read_config(job.directory)
    tokenizer = common.load_tokenizer(job.model, job.directory, config)
    model = families.load(job.directory, job.task.head, problem_type=common.problem(config), random=False)
    if model.loaded.unknown:
        report.warn(model.loaded)
    common.check_trained(job.model, model)
    if not job.plain:
        fast.for_reading(fast.swap_in(model)), fast.swap_in(tokenizer)
    precision.settle(model, job.precision, job.device)
    return model.to(job.device), tokenizer


def answer(job, model, tokenizer, file):
    """Write a line for each sentence, as soon as it is there. Raises UserError if there is none."""
    from minbert.files import stream
    from minbert.files.examples import BLANK
    from minbert.runs import report
    from minbert.runs.findings import on_one_line

    number, lines = 0, job.sentence == ["-"]
    sentences = typed_lines() if lines else ((text, None) for text in job.sentence or [job.question])
    beside = ("question", job.passage) if job.question else ()
    for number, (text, problem) in enumerate(sentences, start=1):
        name = f"line {number}" if lines else f"sentence {number}"
        text = text.strip()
        if problem or not text.strip(BLANK):
            report.warn(f"{name}: {problem or 'empty text'}")
            print(file=file, flush=True)
            continue
        found = Found(job, model, tokenizer, [stream.Row(number, number, text, None, beside)])
        if found.cut:
            report.warn(f"{name} was longer than {found.longest} tokens and was cut")
        cells = [*job.task.cells(found.header, found.rows[0]), *[text] * job.with_text]
        print(*map(on_one_line, cells), sep="\t", file=file, flush=True)
    if not number:
        raise UserError("the standard input holds no line")


def typed_lines():
    """The lines of the standard input as they come: (line, what is wrong with it or None)."""
    from minbert.files import lines, stream

    source, first = lines.standard_input(), True
    if sys.stdin.isatty():
        print("type a text and press Enter; Ctrl-D ends", file=sys.stderr, flush=True)
    while raw := source.readline(stream.LONGEST + 1):
        long = len(raw) > stream.LONGEST
        while long and raw and not raw.endswith(b"\n"):  # what follows is not held
            raw = source.readline(stream.LONGEST + 1)
        raw, first = raw.removeprefix(lines.BOM) if first else raw, False
        text, problem = lines.decode_line(raw.removesuffix(b"\n"))
        if long:
            text, problem = "", f"longer than {stream.LONGEST:,} bytes"
        yield text, problem and problem.partition(";")[0]  # what follows names flags of files


def main(arguments):
    run(check(common.parse("predict", __doc__, flags, arguments)))
