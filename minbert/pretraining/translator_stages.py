"""The stages of a translator's training, in order. `job` is the Job of minbert/commands/translator.py."""

import json
import platform
from pathlib import Path

import torch
from tqdm import tqdm

from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.families.marian import MarianForTranslation
from minbert.families.marian_config import MarianConfig
from minbert.files import stream
from minbert.format import FORMAT, KEY, check_format
from minbert.pretraining import translator
from minbert.runs import report, state
from minbert.shell import quote
from minbert.tokenizers.marian import MarianTokenizer
from minbert.training import NotFinite
from minbert.weights import hub
from minbert.wording import counted

RECORD = "translation.json"
INNER = 2  # times the hidden size, within a feed-forward


def read_pairs(job, path):
    """The texts of a file and their translations. Raises UserError for the first row that lacks one of them."""
    how = job.text_column, job.format, job.no_header, job.encoding, job.quoting
    sources, targets = [], []
    for row in stream.read_rows(path, *how, pair_column=job.pair_column)[1]:
        if row.problem:
            raise UserError(f"{path}:{row.line}: {row.problem}")
        sources.append(row.text)
        targets.append(row.beside[-1])
    if not sources:
        raise UserError(f"{path}: there are no rows")
    return sources, targets


def prepare(job):
    """Read the pairs, and learn the pieces or, of a resumed run, read them.

    Returns the tokenizer, {"train": Pairs, "dev": Pairs or None}, and facts for the record.
    """
    files = {part: path for part in ("train", "dev") if (path := getattr(job, part))}
    texts = {part: read_pairs(job, path) for part, path in files.items()}
    facts = {"sha256": {part: digest(path) for part, path in files.items()}, "first": texts["train"][0][0]}
    if job.resume:
        if read_record(job.folder)["text"]["sha256"] != facts["sha256"]:
            raise UserError(f"the pairs have changed since the run in {job.folder} began: begin again")
        tokenizer = MarianTokenizer.from_pretrained(job.folder)
    else:
        with tqdm(desc="learning pieces", unit=" left", disable=None) as bar:
            tokenizer = translator.learn_tokenizer(*texts["train"], job.vocab_size, job.max_length, bar.update)
        write_record(job, facts)  # first: a run that has begun may be begun again in its folder
        tokenizer.save_pretrained(job.folder)
    data = {"dev": None}
    for part, columns in texts.items():
        data[part], long = translator.encode(tokenizer, *columns, job.max_length)
        tokens = sum(map(len, data[part].targets))
        left_out = f"; {long} longer than {job.max_length} tokens left out" if long else ""
        report.say(
            f"{part:5}  {report.short(files[part])}: {counted(len(data[part]), 'pair', form=',')}, "
            f"{tokens:,} tokens to write{left_out}"
        )
        facts |= {f"{part}_pairs": len(data[part]), f"{part}_left_out": long}
    return tokenizer, data, facts


def digest(path):
    with open(path, "rb") as file:
        return hub.digest(file)


def build(job, tokenizer):
    """A new model. Shows its sizes."""
    stack = {"layers": job.layers, "attention_heads": job.heads, "ffn_dim": INNER * job.hidden}
    config = MarianConfig(
        vocab_size=len(tokenizer),
        hidden_size=job.hidden,
        num_hidden_layers=job.layers,
        num_attention_heads=job.heads,
        intermediate_size=INNER * job.hidden,
        max_position_embeddings=job.max_length,
        hidden_dropout_prob=job.dropout,
        initializer_range=job.hidden
        ** -0.5,  # embeddings are as large as positions, and a matrix keeps the size of a vector
        **{f"decoder_{name}": value for name, value in stack.items()},
    )
    model = MarianForTranslation(config)
    count = sum(parameter.numel() for parameter in model.parameters())
    pieces = f"{len(tokenizer.source)} and {len(tokenizer.target)} pieces"
    layers = f"{job.layers} and {counted(job.layers, 'layer')}, hidden size {job.hidden}"
    report.say(f"model  {layers}, {counted(job.heads, 'head')}, {count:,} parameters; {pieces}")
    return model


def stopped_early(job):
    """What to say where Ctrl-C stopped a run while it prepared itself."""
    if (job.folder / state.STATE).exists():
        return f"; go on with: {job.how_to_resume}"
    return " before the first step: nothing was saved, and the same command begins anew"


def train(job, model, data):
    """Learn, and show how it goes. Returns the history."""
    settings, path = job.settings, job.folder / state.STATE
    loop = translator.begin(model, data["train"], data["dev"], settings, job.device, job.plain)
    steps, total, warmup = settings.steps(len(data["train"]))
    if job.resume:
        tensors, saved = state.load_state(path)
        with state.state_errors(path):
            loop.restore(tensors, saved["progress"])
        report.say(f"going on after {counted(loop.progress['steps'], 'step', form=',')}")
        for figures in loop.progress["history"]:
            show(figures)
    report.say(
        f"training for {counted(settings.epochs, 'epoch')}, {total:,} steps of {settings.batch_size} pairs, learning "
        f"rate {settings.lr}, {counted(warmup, 'step')} of warm-up"
    )
    with report.Progress(settings.epochs, steps) as progress, state.Stop() as stop:
        stop.advice = f"; go on with: {job.how_to_resume}"
        autosave = state.Autosave(path, loop.state, {}, job.save_minutes, stop)
        try:
            return loop.train(progress.watch, show, autosave=autosave)
        except NotFinite as error:
            resume = quote("--resume", report.short(job.folder))
            saved = f"; the last good state is kept: {resume}" if path.exists() else ""
            raise UserError(f"{error}. It came at step {error.step}{saved}") from None


def show(figures):
    """A line for each epoch."""
    dev = ""
    if "dev_loss" in figures:
        dev = f"  dev loss {figures['dev_loss']:.4f}, exact {figures['dev_exact']:.3f}"
    report.say(f"  epoch {figures['epoch']}  {figures['train_seconds']:.0f} s  loss {figures['loss']:.4f}{dev}")


def finish(job, model, facts, history):
    """Leave a model and its record, and none of what only the run needed."""
    model.cpu().save_pretrained(job.folder, dtype=torch.float16 if job.half else torch.int8 if job.int8 else None)
    write_record(job, facts, history, finished=True)
    state.forget(job.folder)
    report.written(job.folder)


def write_record(job, facts, history=(), finished=False):
    """translation.json: what was asked, on what, with what, and, once it is finished, what came out."""
    record = {
        KEY: FORMAT,
        "finished": finished,
        "arguments": job.arguments,
        "text": facts,
        "history": list(history),
        "versions": report.versions(),
        "machine": {"platform": platform.platform(), "threads": torch.get_num_threads()},
    }
    with atomic_write(job.folder / RECORD) as new:
        new.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_record(folder):
    """The record of the run in a folder; None if there is none."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        check_format(path, record)
        return {name: record[name] for name in ("finished", "arguments", "text")}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UserError:
        raise
    except (OSError, ValueError, TypeError, KeyError):
        raise UserError(f"{path}: is not the record of a translator's training") from None


def resumed(folder):
    """The arguments with which the stopped run in a folder began. Raises UserError if there is none."""
    record = read_record(folder)
    if record is None:
        raise UserError(f"{folder} holds no {RECORD}: no run of translate --train began there")
    if record["finished"]:
        state.forget(folder)  # it may have been killed before it could do so
        raise UserError(f"the run in {folder} is done; use it with {quote('--model', folder)}")
    if not (folder / state.STATE).exists():
        raise UserError(f"the run in {folder} was stopped before it first saved its state: begin again")
    return dict(record["arguments"])


def check_folder(folder):
    """Raise UserError if a new run would write over something. A run that saved nothing yet may be begun again."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, not a folder")
    state.check_free(folder)
    record = read_record(folder)
    if record and not record["finished"]:
        if (folder / state.STATE).exists():
            ways = f"go on with {quote('--resume', folder)}, or delete it to begin again"
            raise UserError(f"{folder} holds a stopped run: {ways}")
    elif folder.exists() and any(Path(folder).glob("[!.]*")):
        raise UserError(f"{folder} is not empty, and would be written over: name another folder with --out")
