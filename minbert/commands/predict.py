"""Label texts with a trained classifier: files of any size, in memory that does not grow with them.

    minbert predict --model runs/flexible-3-0.0001 --text new.txt
                                                            one text a line, or any form that training reads
    minbert predict --model runs/flexible-3-0.0001 --text new.csv.gz --text_column tweet --out labels.csv
                                                            a column of a table with a header, CSV or TSV
    zcat new.gz | minbert predict --model runs/flexible-3-0.0001 --text - > labels.csv
    minbert predict --model runs/flexible-3-0.0001 --text new.txt --shard 2/8
                                                            every eighth row, from the second

The result is CSV, a line for each text in the file's order: row, predicted, the probability of each label, and with
--with_text the text. row counts the rows of the file from 1; where each line is a row, it is the line's number. The
result goes to --out. By default that is FILE.predictions.csv beside FILE; for texts from the standard input it is the
standard output. A file gets its name when all of it is written: a run that is stopped leaves none.

A row that holds no text or cannot be read stops the run there. With --skip_bad_rows such rows have no line in the
result and are listed at the end. Labels in the file are not read; `minbert train --eval_only` scores them.

Several machines can share a file with --shard 1/8, 2/8, ... 8/8: together they label each row once, each into its own
file, FILE.predictions-2-of-8.csv for the second. This puts them together, in order and with one header:
    sort -nu FILE.predictions-*-of-8.csv > all.csv
(unless --with_text writes texts of several lines, which sort would take apart).

Exit status: 0 done, 2 a mistake that you can fix, with the reason.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from minbert.atomic import atomic_write
from minbert.commands import common
from minbert.config import Config
from minbert.config_json import unfit_classifier
from minbert.errors import UserError
from minbert.shell import advice

LISTED = 20  # bad rows


def shard(text):
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text} is not I/N, part I of N, such as 2/8")
    return int(match[1]), int(match[2])


def flags(parser):
    add = parser.add_argument
    add("--model", required=True, metavar="FOLDER", help="a trained classifier: a folder that training has written")
    add("--text", required=True, metavar="FILE", help="texts, one a line, or a table or JSON; -: the standard input")
    common.add_file_flags(add)
    add("--out", metavar="FILE", help="-: the standard output; default: see above")
    add("--with_text", action="store_true", help="write the texts too")
    add("--excel_safe", action="store_true", help="an apostrophe before words that a spreadsheet takes for a formula")
    add("--shard", type=shard, default=(1, 1), metavar="I/N", help="label only rows I, I + N, I + 2 N, ...")
    length = common.number(int, 3, wanted="3 or more")
    add("--max_length", type=length, metavar="N", help="cut texts to N tokens; default: what the model can read")
    add("--precision", **common.PRECISION)
    add("--device", **common.DEVICE)
    add("--plain", **common.PLAIN)
    add("--skip_bad_rows", action="store_true", help="leave bad rows out and list them; default: stop there")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    directory: Path  # of the model
    rows: Iterator  # stream.Row, those of --shard
    out: str  # a path, or "-"
    device: object  # torch.device
    # as the flags of the same names say
    model: str
    text: str
    shard: tuple
    with_text: bool
    excel_safe: bool
    max_length: int | None
    precision: str
    plain: bool
    skip_bad_rows: bool


def check(args):
    """Refuse everything that can be refused before the work begins. Returns the Job."""
    int8 = args.precision.startswith("int8")
    if int8:
        if args.device not in ("auto", "cpu"):
            raise UserError("--precision int8 is for a CPU: leave --device out")
        if args.plain:
            raise UserError("--plain computes in float32 or bfloat16: leave out --plain or --precision int8")
    part, parts = args.shard
    out = args.out
    if not out:
        suffix = "" if parts == 1 else f"-{part}-of-{parts}"
        out = "-" if args.text == "-" else f"{args.text}.predictions{suffix}.csv"

    from minbert.files import stream
    from minbert.runs import selftest
    from minbert.weights import hub

    device = selftest.pick_device("cpu" if int8 else args.device)
    how = (args.text_column, args.format, args.no_header, args.encoding, args.quoting)
    _, rows = stream.read_rows(args.text, *how)
    directory = hub.find(args.model)
    check_output(out, [args.text, *directory.iterdir()])
    common.fits(args.max_length, args.model, Config.from_json(directory / "config.json"))
    check_classifier(args.model, directory)
    selftest.self_test(device, args.precision, learns=False)
    given = {name: value for name, value in vars(args).items() if name in Job.__dataclass_fields__}
    rows = islice(rows, part - 1, None, parts)
    return Job(**given | {"directory": directory, "rows": rows, "out": out, "device": device})


def check_classifier(name, directory):
    """Raise UserError if the model called name has a classifier, but not one that finds the class of a text."""
    if unfit := unfit_classifier(directory / "config.json"):
        remedy = f"train one for texts: {advice('train', '--model', name)}"
        raise UserError(f"{name}: its classifier {unfit}: no label can be predicted; {remedy}")


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
    from minbert.runs import report

    retain_freed_memory()
    model, tokenizer = load_model(job)
    with result(job.out) as file:
        label(job, model, tokenizer, file)
    if job.out != "-":
        print(f"written to {report.short(job.out)}", file=sys.stderr)


@contextmanager
def result(path):
    """The stream to write to."""
    if path == "-":
        if hasattr(sys.stdout, "reconfigure"):  # a notebook's has it not, and takes all characters
            sys.stdout.reconfigure(encoding="utf-8", newline="")
        yield sys.stdout
        return
    with atomic_write(path) as new, open(new, "w", newline="", encoding="utf-8") as file:
        yield file


def load_model(job):
    """The classifier and its tokenizer. Raises UserError as common.check_trained does."""
    from minbert import fast
    from minbert.heads import BertSentClassifier
    from minbert.runs import precision, report

    tokenizer = common.load_tokenizer(job.model, job.directory, Config.from_json(job.directory / "config.json"))
    model = BertSentClassifier.from_pretrained(job.directory)
    if model.loaded.unknown:
        report.warn(model.loaded)
    common.check_trained(job.model, model)
    if not job.plain:
        fast.swap_in(model), fast.swap_in(tokenizer)
    precision.settle(model, job.precision, job.device)
    return model.to(job.device), tokenizer


class BadRows:
    """Counts the rows that hold no text, and keeps the first of them."""

    def __init__(self, path):
        self.path, self.count, self.first = path, 0, []

    def add(self, row):
        self.count += 1
        if self.count <= LISTED:
            self.first.append(f"  {self.path}:{row.line}: {row.problem}")

    def __str__(self):
        more = [f"  ... and {self.count - LISTED} more"] if self.count > LISTED else []
        return "\n".join([f"{self.path}: {self.count} bad {'row' if self.count == 1 else 'rows'}", *self.first, *more])


def encode(texts, tokenizer, longest):
    """What the model reads of each text, and how many texts were cut to `longest` tokens."""
    encoding = tokenizer([beginning(text, tokenizer, longest) for text in texts])
    cut = sum(len(ids) > longest for ids in encoding["input_ids"])
    for rows in encoding.values():
        for row in rows:
            del row[longest - 1 : -1]  # the last is [SEP]
    return encoding, cut


def beginning(text, tokenizer, tokens):
    """The text, or a prefix of it that ends at a space and has more than `tokens` tokens: the rest would be cut."""
    end = text.find(" ", 50 * tokens)
    while end >= 0 and len(tokenizer.text_to_ids(text[:end])) <= tokens:
        end = text.find(" ", 2 * end)
    return text if end < 0 else text[:end]


def label(job, model, tokenizer, file):
    """Write a line for each row that holds a text, and say on stderr what was done."""
    from tqdm import tqdm

    from minbert import training
    from minbert.files import stream
    from minbert.runs import report

    names = model.config.labels or tuple(str(id) for id in range(model.config.num_labels))
    longest = min(job.max_length or tokenizer.max_length, model.config.max_position_embeddings)
    write = report.csv_writer(file, job.excel_safe)
    write(["row", "predicted", *(f"p_{name}" for name in names), *["text"] * job.with_text])
    bad, done, tokens, cut, begin = BadRows(job.text), 0, 0, 0, time.perf_counter()

    def watch(batches, total):
        for batch in batches:
            yield batch
            bar.update(len(batch))

    with tqdm(unit=" texts", unit_scale=True, leave=False, disable=None) as bar:
        for window in stream.windows(job.rows, bad.add):
            if bad.count and not job.skip_bad_rows:
                raise UserError(f"{bad}\nFix these rows, or leave bad rows out with --skip_bad_rows.")
            if not window:
                break
            encoding, more = encode([row.text for row in window], tokenizer, longest)
            data = training.Data(encoding, None)
            probabilities = training.predict(model, data, job.device, job.precision, watch).softmax(-1)
            for row, p in zip(window, probabilities):
                numbers = (float(f"{value:.9g}") for value in p.tolist())
                write([row.number, names[p.argmax()], *numbers, *[row.text] * job.with_text])
            done, cut, tokens = done + len(window), cut + more, tokens + sum(map(len, encoding["input_ids"]))
    seconds = time.perf_counter() - begin
    if not done and job.shard[0] == 1:  # a later part of a short file may be empty
        raise UserError(f"{bad}\nNo row is left." if bad.count else f"{job.text}: there are no rows to label")
    if cut:
        report.warn(f"{cut} of {done} texts were longer than {longest} tokens and were cut")
    if bad.count:
        report.warn(str(bad))
    speed = f"{done / seconds:,.0f} texts/s, {tokens / seconds:,.0f} tokens/s"
    print(f"{done} rows labelled in {seconds:.1f} s: {speed}; {bad.count} left out", file=sys.stderr)


def main(arguments):
    run(check(common.parse("predict", __doc__, flags, arguments)))
