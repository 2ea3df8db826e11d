"""The stages of a pretraining run, in order. `job` is the Job of minbert/commands/pretrain.py."""

import json
import platform
from contextlib import contextmanager, suppress

import torch
from tqdm import tqdm

from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.fast import measure
from minbert.files.examples import read_examples
from minbert.format import FORMAT, KEY
from minbert.pretraining import causal_lm, corpus, fit, masked_lm, vocabulary
from minbert.pretraining.record import PACKED, RECORD, read_record, tidy
from minbert.runs import plots, precision, report, state
from minbert.shell import quote
from minbert.training import NotFinite
from minbert.weights import hub
from minbert.wording import counted

KINDS = {"bert": masked_lm, "gpt2": causal_lm}  # what --family decides


def prepare(job):
    """Learn the vocabulary, or take --model's, and pack the text. Returns the tokenizer, and the record's facts."""
    write_record(job)
    kind, (stream, left_out) = KINDS[job.family], texts(job)
    if job.model:
        tokenizer = kind.read_tokenizer(job.model)
    else:
        tokenizer = kind.learn_tokenizer(job, stream, lambda empty: count_words(job, stream, left_out, job.swap(empty)))
        left_out[0] = 0  # the texts are read twice
    job.swap(tokenizer).save_pretrained(job.folder)
    packing = tqdm(stream(), desc="packing", unit=" texts", disable=None)
    paths = (job.folder / name for name in PACKED)
    number = corpus.pack(packing, tokenizer, *paths, end=kind.end_of_text(tokenizer))
    tokens = sum((job.folder / name).stat().st_size // 2 for name in PACKED)
    repeats = f"; {left_out[0]} texts left out that repeat --exclude" if job.exclude else ""
    report.say(f"text   {number:,} texts, {tokens:,} tokens of {len(tokenizer):,} kinds{repeats}")
    digests = packed_digests(job.folder)
    return tokenizer, {"texts": number, "tokens": tokens, "left_out": left_out[0], "sha256": digests}


def prepared(job):
    """What `prepare` returned when the run began that is resumed."""
    tokenizer, text = job.swap(KINDS[job.family].read_tokenizer(job.folder)), read_record(job.folder)["text"]
    if text != text | {"sha256": packed_digests(job.folder)}:
        raise UserError(f"the packed text in {job.folder} has changed since the run began: begin again")
    return tokenizer, text


def texts(job):
    """A function that yields the texts to learn from, and how many it left out because they repeat --exclude, [n]."""
    left_out, overlap = [0], None
    if job.exclude:
        overlap = corpus.Overlap(text for path in job.exclude for text in read_examples(path).texts)

    def stream():
        for text in corpus.read_texts(job.text):
            if overlap and text in overlap:
                left_out[0] += 1
            else:
                yield text

    return stream, left_out


def count_words(job, stream, left_out, tokenizer):
    """How often each word of the tokenizer occurs in the texts, {word: count}."""
    counts = vocabulary.count_words(tqdm(stream(), desc="counting words", unit=" texts", disable=None), tokenizer)
    if not counts:
        but = " but what repeats --exclude" if left_out[0] else ""
        raise UserError(f"{', '.join(job.text)}: no text in it{but}")
    return counts


def packed_digests(folder):
    """The SHA-256 of each file of packed text."""
    found = {}
    for name in PACKED:
        with open(folder / name, "rb") as file:
            found[name] = hub.digest(file)
    return found


def build(job, tokenizer):
    """What to minimise, with the model to train in it. Shows what they are."""
    kind = KINDS[job.family]
    model = job.swap(kind.build(job, **dict.fromkeys(kind.DROPOUTS, job.dropout)))
    if job.model:
        report.say(f"model  {model.loaded}")
    precision.settle(model, job.settings.precision, job.device)
    objective = kind.objective(job, model, tokenizer)
    sizes = f"{counted(model.config.num_hidden_layers, 'layer')}, hidden size {model.config.hidden_size}"
    count = sum(parameter.numel() for parameter in model.parameters())
    taught = f"; taught by {job.teacher}" if job.teacher else ""
    taught += ", whose first layers it inherits" if job.inherit else ""
    report.say(f"model  {sizes}, {counted(model.config.num_attention_heads, 'head')}, {count:,} parameters{taught}")
    return objective


def kernels(job):
    """The kernels of the run, {name: kernel}."""
    return {} if job.plain else measure.choices(job.device)


def train(job, objective, tokenizer):
    """Minimise the objective and show how it goes. Returns the history."""
    settings, path = job.settings, job.folder / state.STATE
    rows = KINDS[job.family].rows
    packed, heldout = (rows(job.folder / name, tokenizer, settings.max_length) for name in PACKED)
    loop = fit.begin(objective, packed, heldout, settings, job.device, job.plain)
    if job.resume:
        tensors, saved = state.load_state(path)
        with state.state_errors(path):
            measure.use(saved.get("kernels", {}), "the run that is resumed")
            loop.restore(tensors, saved["progress"])
    budget = (
        counted(settings.steps, "step", form=",") if settings.steps else counted(settings.minutes, "minute", form="g")
    )
    report.say(
        f"training for {budget}, {settings.batch_tokens} tokens a step, learning rate {settings.lr}, "
        f"{settings.precision}"
    )
    with report.Meter(settings) as meter, state.Stop() as stop:
        stop.advice = f"; go on with: {job.how_to_resume}"
        autosave = state.Autosave(path, loop.state, {"kernels": kernels(job)}, job.save_minutes, stop)
        try:
            return loop.train(meter.watch, meter.line, autosave=autosave)
        except NotFinite as error:
            resume = quote("--resume", report.short(job.folder))
            saved = f"; the last good state is kept: {resume}" if path.exists() else ""
            raise UserError(f"{error}. It came at step {error.step}{saved}") from None


def finish(job, model, text, history):
    """Leave a model, its record and the loss curve, and none of what only the run needed."""
    usual = dict.fromkeys(KINDS[job.family].DROPOUTS, 0.1)  # as published models have them, to learn more with
    model.config = model.config.change(**usual)
    model.cpu().save_pretrained(job.folder, dtype=torch.float16 if job.half else torch.int8 if job.int8 else None)
    try:
        plots.loss_curve(history, job.folder / "loss.svg")
    except UserError as error:
        report.warn(f"no loss curve: {error}")
    write_record(job, text, history, finished=True)
    tidy(job.folder)
    report.written(job.folder)


def write_record(job, text=None, history=(), finished=False):
    """pretraining.json: what was asked, on what, with what, and, once it is finished, what came out."""
    record = {
        KEY: FORMAT,
        "finished": finished,
        "arguments": job.arguments,
        "text": text,
        "history": list(history),
        "versions": report.versions(),
        "machine": {"platform": platform.platform(), "threads": torch.get_num_threads(), **kernels(job)},
    }
    with atomic_write(job.folder / RECORD) as new:
        new.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


@contextmanager
def clearing(folder):
    """A context that clears the folder if it fails before a state of the run was saved."""
    try:
        yield
    except BaseException:
        if not (folder / state.STATE).exists() and folder.is_dir():
            left = RECORD, *PACKED, "config.json", "model.safetensors", state.LOCK
            left += "vocab.txt", "vocab.json", "merges.txt", "tokenizer_config.json"
            for name in left:
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # something else is in it
                folder.rmdir()
        raise
