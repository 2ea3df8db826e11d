"""What a run prints, and the files that it leaves in its folder."""

import csv
import errno
import json
import os
import platform
import sys
import unicodedata
from importlib.metadata import version
from pathlib import Path

import torch
from tqdm import tqdm

import minbert
from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.fast import measure
from minbert.fast.int8 import used_precision
from minbert.format import FORMAT, KEY
from minbert.runs import parallel
from minbert.runs.columns import table as table  # one of its names
from minbert.tasks import in_words
from minbert.wording import counted

RUN_FILES = (
    *("model.safetensors", "config.json", "vocab.txt", "tokenizer_config.json", "labels.txt", "run.json"),
    *("vocab.json", "merges.txt", "bpe.codes", "tokenizer.json", "sentencepiece.bpe.model", "texts.json"),
    *("dev_predictions.csv", "test_predictions.csv", "dev_out.txt", "test_out.txt"),
    *("dev_out.conll", "test_out.conll", "dev_out.json", "test_out.json"),
    *("dev_confusion.svg", "test_confusion.svg", "learning_curve.svg", "page.html"),
)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\0")  # how a cell begins that a spreadsheet runs (OWASP ASVS 1.2.10)
MEANING = {"pretrain": "the {} is frozen, only the head learns", "flexible": "everything learns"}


def say(*lines):
    print(*lines, sep="\n", flush=True)


def warn(sentence):
    print(f"warning: {sentence}", file=sys.stderr)


def header(device, seed=None):
    """The first line of a run: versions, and what it runs on."""
    threads = counted(torch.get_num_threads(), "thread")
    threads += f" in each of {parallel.size()} processes" if parallel.size() > 1 else ""
    seeded = "" if seed is None else f", seed {seed}"
    say(f"minbert {minbert.__version__}, torch {torch.__version__}, {device}, {threads}{seeded}")


def short(path):
    """A path as a person would type it here."""
    path = Path(path)
    path = os.path.relpath(path) if path.is_absolute() and path.is_relative_to(Path.cwd()) else str(path)
    return os.path.join(".", path) if path.startswith("-") else path  # no flag


def describe_data(part, examples, counts):
    """'train my-train.csv: 600 rows (negative 300, positive 300); table; columns text, label'"""
    columns = f"; columns {examples.columns}" if examples.columns else ""
    skipped = f"; {len(examples.problems)} bad rows left out" if examples.problems else ""
    rows = counted(len(examples.texts), examples.unit)
    return f"{part:5} {short(examples.path)}: {rows} ({counts}); {examples.format}{columns}{skipped}"


def count_parameters(model):
    """How many numbers the classifier holds, and how many of them learn."""
    return {
        "in all": sum(p.numel() for p in model.parameters()),
        "in the head": sum(p.numel() for p in getattr(model, model.output).parameters()),
        "that learn": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }


def describe_model(model):
    """Three lines: what was loaded, the sizes, what will learn."""
    config = model.config
    counts = ", ".join(f"{count:,} {where}" for where, count in count_parameters(model).items())
    layers, heads = counted(config.num_hidden_layers, "layer"), counted(config.num_attention_heads, "head")
    body = "decoder" if hasattr(model, "decoder") else "encoder"
    read = config.pooling if hasattr(model, "features") else "each token"
    return [
        str(model.loaded),
        f"{layers}, hidden size {config.hidden_size}, {heads}; parameters: {counts}",
        f"option {config.option}: {MEANING[config.option].format(body)}; the head reads: {read}",
    ]


class Progress:
    """A tqdm bar for each epoch, with loss and learning rate, and a line when it is done; no bars in a log file."""

    def __init__(self, epochs, steps):
        self.epochs, self.steps, self.bar = epochs, steps, None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def watch(self, progress, figures, rate):
        """As Loop.train calls it, after each step."""
        epoch, batch = divmod(progress["steps"] - 1, self.steps)
        if self.bar is None:
            options = {"total": self.steps, "initial": batch, "desc": f"epoch {epoch + 1}/{self.epochs}"}
            self.bar = tqdm(unit="batch", leave=False, disable=None, **options)
        self.bar.set_postfix(loss=f"{figures['loss']:.3f}", lr=f"{rate:.1e}", refresh=False)
        self.bar.update()
        if batch + 1 == self.steps:
            self.close()

    def line(self, figures):
        dev = ""
        if scores := in_words(figures):
            dev = f"  dev {scores}" + ("  best so far" if figures["best"] else "")
        say(f"  epoch {figures['epoch']}  {figures['train_seconds']:.0f} s  loss {figures['loss']:.4f}{dev}")


def text_bar(stream, total):
    """Batches of texts as they pass, with a tqdm bar of total texts."""
    with tqdm(total=total, desc="reading", unit="text", leave=False, disable=None) as bar:
        for rows in stream:
            yield rows
            bar.update(len(rows))


class Meter:
    """A tqdm bar over the budget of a pretraining run, with loss and tokens per second; none in a log file."""

    def __init__(self, settings):
        self.settings = settings

    def __enter__(self):
        self.bar = tqdm(total=100, bar_format="{percentage:3.0f}% |{bar}| {desc}", leave=False, disable=None)
        return self

    def __exit__(self, *error):
        self.bar.close()

    def watch(self, progress, figures, rate):
        """As Loop.train calls it, after each step."""
        spent, seconds = self.settings.spent(progress), progress["seconds"]
        speed, left = progress["tokens"] / seconds, (seconds / spent - seconds) / 60
        text = f"{speed:,.0f} tokens/s, loss {figures['loss']:.3f}, lr {rate:.1e}, {left:.0f} min left"
        self.bar.set_description_str(text, refresh=False)
        self.bar.update(min(100.0, 100 * spent) - self.bar.n)

    def line(self, figures):
        """A line at each measurement on held-out text."""
        if "heldout_loss" in figures:
            with tqdm.external_write_mode():  # not into the bar
                say(
                    f"  {figures['spent']:4.0%}  {figures['seconds'] / 60:5.1f} min  {figures['steps']:,} steps  "
                    f"{figures['tokens'] / 1e6:.1f} M tokens  loss {figures['loss']:.3f}  held-out loss "
                    f"{figures['heldout_loss']:.3f}, accuracy {figures['heldout_accuracy']:.3f}"
                )


def versions():
    """Versions of everything that a run's result depends on."""
    names = ("torch", "numpy", "scikit-learn", "safetensors")
    own = {"minbert": minbert.__version__, "python": platform.python_version(), "unicode": unicodedata.unidata_version}
    return own | {name: version(name) for name in names}


def check_outputs(folder, inputs, outputs):
    """Raise UserError if something could not be written, or would overwrite an input or another output.

    folder   of the results
    inputs   paths that must not be overwritten
    outputs  what will be written beside the run's own files
    As far as can be told without writing: `prepare` tries, later.
    """
    taken = {Path(path).resolve() for path in inputs}
    for name in RUN_FILES:
        if (folder / name).resolve() in taken:
            raise UserError(
                f"{folder / name} is read in this run and would be overwritten: give another folder with --out"
            )
        taken.add((folder / name).resolve())
    for output in map(Path, outputs):
        if output.resolve() in taken:
            raise UserError(f"{output} would be overwritten: it is read here, or written by the run itself")
        taken.add(output.resolve())
    for place in [*outputs, folder / "run.json"]:
        writable(place)


def writable(path):
    """Raise UserError if no file could be written at path, as far as can be told without writing."""
    path = Path(path)
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        there = next(place for place in (path, *path.absolute().parents) if place.exists())
        if there != path and not there.is_dir():
            raise UserError(f"{path}: cannot be written ({short(there)} is a file, not a folder)")
        if not os.access(there, os.W_OK if there == path else os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:  # a name that is too long, say
        raise UserError(f"{path}: cannot be written ({error.strerror})") from None


def prepare(outputs):
    """Make the folders of the outputs before the work begins; `state.claim` makes the run's. Raises UserError."""
    for place in map(Path, outputs):
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            new = not place.exists()
            place.open("ab").close()
            if new:
                place.unlink()  # no empty file is left if the run comes to nothing
        except OSError as error:
            raise UserError(f"{place}: cannot be written ({error.strerror})") from None


def csv_writer(stream, excel_safe=False):
    """A function that writes a row of CSV, words in quotes and numbers without, to a stream opened with newline="".

    excel_safe  put an apostrophe before words that a spreadsheet would run as a formula; without it they stay exact
    """
    writer = csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC)

    def guard(cell):
        return "'" + cell if excel_safe and isinstance(cell, str) and cell.startswith(FORMULA) else cell

    return lambda row: writer.writerow(map(guard, row))


def nine_digits(value):
    """A number as files of predictions have it; words stay as they are."""
    return float(f"{value:.9g}") if isinstance(value, float) else value


def write_predictions(job, part, examples, gold, found, labels):
    """Write the predictions for one file: as CSV, and in the form of the field. found: what the task's columns give"""
    (first, leading), (header, rows) = job.task.leading(examples, gold, labels), found
    path = job.folder / f"{part}_predictions.csv"
    with atomic_write(path) as new, open(new, "w", newline="", encoding="utf-8") as stream:
        write = csv_writer(stream, job.excel_safe)
        write([*first, *header])
        for asked, answered in zip(leading, rows, strict=True):
            for before, after in zip(asked, answered, strict=True):
                write([*before, *map(nine_digits, after)])
    with atomic_write(job.course_files[part]) as new:
        new.write_text(job.task.plain(examples, rows, labels), encoding="utf-8")


def write_run(job, model, labels, examples, history, scores, seconds, more=None):
    """run.json: what was asked, on what, with what, and what came out.

    more  of what came out, {name: anything that JSON can hold}
    """
    record = {
        KEY: FORMAT,
        "arguments": job.arguments,
        "settings": job.settings and vars(job.settings),
        "device": str(job.device),
        "precision": used_precision(model, job.precision),
        "model": {"loaded": str(model.loaded), "parameters": count_parameters(model)},
        "labels": dict(zip(labels.values, labels.names)),
        "data": {
            part: {
                "path": found.path,
                "sha256": found.sha256,
                "rows": len(found.texts),
                "bad_rows": len(found.problems),
            }
            for part, found in examples.items()
        },
        "epochs": history,
        "scores": scores,
        **(more or {}),
        "seconds": seconds,
        "versions": versions(),
        "machine": {
            "platform": platform.platform(),
            "threads": torch.get_num_threads(),
            "processes": parallel.size(),
            **({} if job.plain else measure.choices(job.device)),
        },
    }
    text = json.dumps(record, indent=2, ensure_ascii=False)
    with atomic_write(job.folder / "run.json") as new:
        new.write_text(text + "\n", encoding="utf-8")


def written(folder, since=0.0):
    """Say which files were written to a folder since a time."""
    names = sorted(file.name for file in folder.glob("[!.]*") if file.stat().st_mtime >= since - 1)
    say(f"written to {short(folder)}: {', '.join(names)}")
