"""Files of texts -> a result for each, by this process or by the workers of Ray. A part of `minbert predict`."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import NamedTuple

from minbert.atomic import atomic_write
from minbert.commands import common
from minbert.errors import UserError
from minbert.wording import counted

LISTED = 20  # bad rows


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
        return "\n".join([f"{self.path}: {counted(self.count, 'bad row')}", *self.first, *more])


@dataclass(frozen=True, eq=False)
class File:
    """A file that is read row by row."""

    path: str
    out: str  # a path, or "-"
    rows: Iterator  # stream.Row, those of --shard
    bad: BadRows


class Window(NamedTuple):
    """The next rows of a file, or why there are no more."""

    file: File
    rows: list
    problem: UserError | None = None


def read_windows(job):
    """The windows of all files: at least one of each, with no row if it holds none. What is wrong with a file ends that
    file alone."""
    from minbert.files import stream

    for path in job.files:
        file = path if isinstance(path, File) else File(path, "-", iter(()), BadRows(path))
        try:
            file = path if isinstance(path, File) else job.open(path)
            for rows in stream.windows(file.rows, file.bad.add):
                if file.bad.count and not job.skip_bad_rows:
                    raise UserError(f"{file.bad}\nFix these rows, or leave bad rows out with --skip_bad_rows.")
                yield Window(file, rows)
        except UserError as error:
            yield Window(file, [], error)


class Found:
    """The predictions for some rows: the header and rows that the task's columns give, and what was read for them."""

    def __init__(self, job, model, tokenizer, rows, bar=None):
        from minbert import training
        from minbert.files.mentions import replace_mentions
        from minbert.runs import classifier

        self.longest = min(job.max_length or tokenizer.max_length, model.config.most_tokens)
        examples, labels = job.task.take(rows), job.task.stored(model.config)
        if job.tweets:
            examples.rewrite(replace_mentions)
        encoded = job.task.encode(examples, tokenizer, self.longest, model.config.type_vocab_size)
        targets = job.task.targets(examples, None, labels, encoded)
        data, options = training.Data(encoded.encoding, None), (job.device, job.precision, bar or training.no_bar)
        logits = classifier.predict(model, data, *options)
        self.header, self.rows = job.task.columns(logits, labels, targets)
        self.pairs, self.cut = bool(examples.pairs), encoded.cut
        self.tokens = sum(map(len, encoded.encoding["input_ids"]))


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


def labeller(job, model, tokenizer, bar=None):
    """A function: rows -> what is Found in them; None of no rows."""
    return lambda rows: Found(job, model, tokenizer, rows, bar) if rows else None


def label_files(job, model, tokenizer):
    """Write the result of each file. What is wrong with some of them is raised when the others are done."""
    from tqdm import tqdm

    failed, header = [], job.task.header(job.task.stored(model.config))
    with common.ray_of(job) as ray, tqdm(unit=" texts", unit_scale=True, leave=False, disable=None) as bar:
        work = on_ray(job, model, tokenizer, ray, bar) if ray else here(job, model, tokenizer, bar)
        for file, labelled in groupby(work, key=lambda pair: pair[0].file):
            try:
                label_file(job, file, labelled, header)
            except UserError as error:
                failed.append(str(error))
    if failed:
        left = f"{counted(len(failed), 'file')} of {len(job.files)} without a result"
        raise UserError("\n".join([*failed, *[left] * (len(job.files) > 1)]))


def here(job, model, tokenizer, bar):
    """(window, a function that says what is Found in it), computed by this process."""

    def watch(batches, total):
        for batch in batches:
            yield batch
            bar.update(len(batch))

    work = labeller(job, model, tokenizer, watch)
    return ((window, partial(work, window.rows)) for window in read_windows(job))


def on_ray(job, model, tokenizer, ray, bar):
    """The same, in the same order, computed by workers of Ray. They read no file: a window is what it is here, so each
    batch has the same texts, and its result the same bits."""
    from minbert.runs import on_ray

    place = on_ray.place(ray, job.ray_cpus, job.device)
    parts = replace(job, files=[], open=None), model, tokenizer
    windows = ((window, window.rows) for window in read_windows(job))
    for window, found in on_ray.in_order(ray, place, labeller, parts, windows):
        yield window, found
        bar.update(len(window.rows))


def label_file(job, file, labelled, header):
    """Write the lines of each row of a file that holds a text, and say on stderr what was done."""
    from minbert.runs import report

    with result(file.out) as stream:
        write = report.csv_writer(stream, job.excel_safe)
        done, tokens, cut, longest, begin = 0, 0, 0, 0, time.perf_counter()
        for window, find in labelled:
            if window.problem:
                raise window.problem
            if not window.rows:
                break
            found = find()
            if not done:
                longest = found.longest
                write(["row", *found.header, *["text", *["pair"] * found.pairs] * job.with_text])
            for row, lines in zip(window.rows, found.rows, strict=True):
                texts = [row.text, *row.beside[-1:] * found.pairs] if job.with_text else []
                for line in lines:
                    write([row.number, *map(report.nine_digits, line), *texts])
            done, cut, tokens = done + len(window.rows), cut + found.cut, tokens + found.tokens
        seconds = time.perf_counter() - begin
        if not done:
            write(["row", *header, *["text"] * job.with_text])
        if not done and job.shard[0] == 1:  # a later part of a short file may be empty
            none = f"{file.path}: there are no rows to label"
            raise UserError(f"{file.bad}\nNo row is left." if file.bad.count else none)
    if cut:
        report.warn(f"{cut} of {done} texts were longer than {longest} tokens and were cut")
    if file.bad.count:
        report.warn(str(file.bad))
    speed = f"{done / seconds:,.0f} texts/s, {tokens / seconds:,.0f} tokens/s"
    print(f"{counted(done, 'row')} labelled in {seconds:.1f} s: {speed}; {file.bad.count} left out", file=sys.stderr)
    if file.out != "-":
        print(f"written to {report.short(file.out)}", file=sys.stderr)
