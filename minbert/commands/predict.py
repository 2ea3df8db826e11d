"""Label texts with what train_classifier.py has learnt: files of any size, in memory that does not grow with them.

    python predict.py --model runs/flexible-3-0.0001 --text new.txt                     one text a line
    python predict.py --model runs/flexible-3-0.0001 --text new.csv.gz --text_column tweet --out labels.csv
                                                            a column of a table with a header, CSV or TSV
    zcat new.gz | python predict.py --model runs/flexible-3-0.0001 --text - > labels.csv
    python predict.py --model runs/flexible-3-0.0001 --text new.txt --shard 2/8         every eighth row, from the 2nd

The result is CSV, a line for each text in the file's order: row, predicted, the probability of each label, and with
--with_text the text. row counts the rows of the file from 1; in a file of lines it is the line's number. It goes to
--out; by default, for FILE, to FILE.predictions.csv beside it, and for the standard input to the standard output. A
file gets its name when all of it is written: a run that was stopped leaves none.

Rows that hold no text, or cannot be read, end the run at the place where they stand; with --skip_bad_rows they are
listed at the end, and have no line in the result. Labels in the file are not read; train_classifier.py --eval_only
scores them.

Several machines share a file with --shard 1/8, 2/8, ... 8/8: together they label each row once, each into a file of
its own, FILE.predictions-2-of-8.csv for the second. Put them together, in order and with one header, by
    sort -nu FILE.predictions-*-of-8.csv > all.csv
(unless --with_text writes texts of several lines: these, sort would take apart).

Exit status: 0 done, 2 something you can put right, with the reason.
"""

import argparse
import re
import sys
import time
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from minbert import fast, training
from minbert.atomic import atomic_write
from minbert.commands import common
from minbert.config import Config
from minbert.errors import UserError
from minbert.fast.int8 import quantize
from minbert.files import stream
from minbert.heads import BertSentClassifier
from minbert.runs import report, selftest
from minbert.weights import hub

LISTED = 20  # bad rows


def shard(text):
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise argparse.ArgumentTypeError(f"{text} is not I/N, part I of N, such as 2/8")
    return int(match[1]), int(match[2])


def parse(arguments):
    """Command line -> settings, checked as far as they can be before anything is read."""
    parser = common.Parser("predict.py", __doc__)
    add = parser.add_argument
    add("--model", required=True, metavar="FOLDER", help="what train_classifier.py has written")
    add("--text", required=True, metavar="FILE", help="texts, one a line, or a table; -: the standard input")
    add("--text_column", metavar="NAME", help="of a table with a header; default: recognised")
    add("--out", metavar="FILE", help="-: the standard output; default: see above")
    add("--with_text", action="store_true", help="write the texts too")
    add("--excel_safe", action="store_true", help="an apostrophe before words that a spreadsheet takes for a formula")
    add("--shard", type=shard, default=(1, 1), metavar="I/N", help="label only rows I, I + N, I + 2 N, ...")
    length = common.number(int, 3, wanted="3 or more")
    add("--max_length", type=length, metavar="N", help="cut texts to N tokens; default: what the model can read")
    add("--precision", choices=("fp32", "bf16", "int8"), default="fp32", help="int8: on a CPU; default: %(default)s")
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="default: %(default)s")
    add("--skip_bad_rows", action="store_true", help="leave bad rows out and list them; default: stop there")
    args = parser.parse_args(arguments)
    if args.precision == "int8":
        if args.device not in ("auto", "cpu"):
            raise UserError("--precision int8 is for a CPU: leave --device out")
        args.device = "cpu"
    if not args.out:
        part = "" if args.shard == (1, 1) else "-{}-of-{}".format(*args.shard)
        args.out = "-" if args.text == "-" else f"{args.text}.predictions{part}.csv"
    return args


def check(path, inputs):
    """Raise UserError if the result cannot be written to path, or would overwrite one of the inputs."""
    if path == "-":
        return
    taken = {Path(input).resolve() for input in inputs}
    if taken & {Path(path).resolve(), Path(path + ".new").resolve()}:
        raise UserError(f"{path} would overwrite what is read here: give another file with --out")
    if Path(path).is_dir():
        raise UserError(f"{path} is a folder: --out should be a file")
    report.writable(path)


@contextmanager
def result(path):
    """The stream to write to."""
    if path == "-":
        sys.stdout.reconfigure(encoding="utf-8", newline="")
        yield sys.stdout
        return
    with atomic_write(path) as new, open(new, "w", newline="", encoding="utf-8") as file:
        yield file


def load_model(args, directory, device):
    """The classifier and the tokenizer of a folder. Raises UserError if training has not made them what they are."""
    tokenizer = common.load_tokenizer(args.model, directory, Config.from_json(directory / "config.json"))
    model = BertSentClassifier.from_pretrained(directory)
    if missing := {"classifier", "pooler" if model.config.pooling == "pooler" else ""} & set(model.loaded.new):
        lacks = f"has no trained {' and no '.join(sorted(missing))}: its labels would be random"
        raise UserError(f"{args.model} {lacks}; train it first: train_classifier.py --model {args.model}")
    if args.precision == "int8":
        quantize(model)
    return fast.swap_in(model).to(device), tokenizer


class BadRows:
    """Counts the rows that are no texts and keeps the first of them."""

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
    """A text, or as much of a long one, up to a space, as makes more than so many tokens: the rest would be cut."""
    end = text.find(" ", 50 * tokens)
    while end >= 0 and len(tokenizer.text_ids(text[:end])) <= tokens:
        end = text.find(" ", 2 * end)
    return text if end < 0 else text[:end]


def label(args, rows, model, tokenizer, device, file):
    """Write a line for each row that holds a text, and say on stderr what was done."""
    names = model.config.labels or tuple(str(id) for id in range(model.config.num_labels))
    longest = min(args.max_length or tokenizer.max_length, model.config.max_position_embeddings)
    write = report.csv_writer(file, args.excel_safe)
    write(["row", "predicted", *(f"p_{name}" for name in names), *["text"] * args.with_text])
    bad, done, tokens, cut, begin = BadRows(args.text), 0, 0, 0, time.perf_counter()

    def watch(batches, total):
        for batch in batches:
            yield batch
            bar.update(len(batch))

    with tqdm(unit=" texts", unit_scale=True, leave=False, disable=None) as bar:
        for window in stream.windows(rows, bad.add):
            if bad.count and not args.skip_bad_rows:
                raise UserError(f"{bad}\nMend these rows, or leave bad rows out with --skip_bad_rows.")
            if not window:
                break
            encoding, more = encode([row.text for row in window], tokenizer, longest)
            data = training.Data(encoding, None)
            probabilities = training.predict(model, data, device, args.precision, watch).softmax(-1)
            for row, p in zip(window, probabilities):
                numbers = (float(f"{value:.9g}") for value in p.tolist())
                write([row.number, names[p.argmax()], *numbers, *[row.text] * args.with_text])
            done, cut, tokens = done + len(window), cut + more, tokens + sum(map(len, encoding["input_ids"]))
    seconds = time.perf_counter() - begin
    if not done and args.shard[0] == 1:  # a later part of a short file may be empty
        raise UserError(f"{bad}\nNo row is left." if bad.count else f"{args.text}: there are no rows to label")
    if cut:
        report.warn(f"{cut} of {done} texts were longer than {longest} tokens and were cut")
    if bad.count:
        report.warn(str(bad))
    speed = f"{done / seconds:,.0f} texts/s, {tokens / seconds:,.0f} tokens/s"
    print(f"{done} rows labelled in {seconds:.1f} s: {speed}; {bad.count} left out", file=sys.stderr)


def main(arguments):
    args = parse(arguments)
    device = selftest.pick_device(args.device)
    form, rows = stream.read_rows(args.text, args.text_column)
    directory = hub.find(args.model)
    check(args.out, [args.text, *directory.iterdir()])
    common.fits(args.max_length, args.model, Config.from_json(directory / "config.json"))
    if form in ("pipes", "label-last"):
        report.warn(f"{args.text} looks like texts with labels ({form}); here each line as a whole is read as a text")
    selftest.self_test(device, "fp32" if args.precision == "int8" else args.precision, learns=False)
    model, tokenizer = load_model(args, directory, device)
    with result(args.out) as file:
        part, parts = args.shard
        label(args, islice(rows, part - 1, None, parts), model, tokenizer, device, file)
    if args.out != "-":
        print(f"written to {report.short(args.out)}", file=sys.stderr)


def run():
    return common.run(main)
