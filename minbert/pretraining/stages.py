"""The stages of a pretraining run, in order. `job` is the Job of minbert/commands/pretrain.py."""

import json
import platform
from contextlib import contextmanager, suppress

import torch
from tqdm import tqdm

from minbert import fast, tokenizer_files
from minbert.atomic import atomic_write
from minbert.bert import BertModel
from minbert.errors import UserError
from minbert.fast import measure
from minbert.files.examples import read_examples
from minbert.format import FORMAT, KEY
from minbert.heads import BertForMaskedLM, BertForPreTraining
from minbert.pretraining import corpus, fit, vocabulary
from minbert.pretraining.objective import Objective
from minbert.pretraining.record import PACKED, RECORD, read_record, tidy
from minbert.pretraining.teacher import Teacher
from minbert.runs import plots, precision, report, state
from minbert.shell import quote
from minbert.tokenizer import SPECIAL, BertTokenizer
from minbert.training import NotFinite
from minbert.weights import hub
from minbert.wording import counted


def swap(job, model):
    """The twin of a model or a tokenizer, unless --plain was given."""
    return model if job.plain else fast.swap_in(model)


def prepare(job):
    """Learn the vocabulary, or take --model's, and pack the text. Returns the tokenizer, and the record's facts."""
    write_record(job)
    stream, left_out = texts(job)
    if job.model:
        tokenizer = its_tokenizer(job, job.model)
    elif job.inherit:
        tokenizer = common_tokens(job, its_tokenizer(job, job.teacher), stream)
        left_out[0] = 0  # the texts are read twice
    else:
        vocab = learn_vocab(job, stream, left_out)
        tokenizer = swap(job, BertTokenizer(vocab, lower_case=not job.cased, max_length=job.settings.max_length))
        left_out[0] = 0  # the texts are read twice
    tokenizer.save_pretrained(job.folder)
    packing = tqdm(stream(), desc="packing", unit=" texts", disable=None)
    number = corpus.pack(packing, tokenizer, *(job.folder / name for name in PACKED))
    tokens = sum((job.folder / name).stat().st_size // 2 for name in PACKED)
    repeats = f"; {left_out[0]} texts left out that repeat --exclude" if job.exclude else ""
    report.say(f"text   {number:,} texts, {tokens:,} tokens of {len(tokenizer):,} kinds{repeats}")
    digests = packed_digests(job.folder)
    return tokenizer, {"texts": number, "tokens": tokens, "left_out": left_out[0], "sha256": digests}


def prepared(job):
    """What `prepare` returned when the run began that is resumed."""
    tokenizer, text = swap(job, BertTokenizer.from_pretrained(job.folder)), read_record(job.folder)["text"]
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


def learn_vocab(job, stream, left_out):
    """A vocabulary for the texts: a list of tokens."""
    empty = swap(job, BertTokenizer(SPECIAL, lower_case=not job.cased))
    counts = vocabulary.count_words(tqdm(stream(), desc="counting words", unit=" texts", disable=None), empty)
    if not counts:
        but = " but what repeats --exclude" if left_out[0] else ""
        raise UserError(f"{', '.join(job.text)}: no text in it{but}")
    with tqdm(total=job.config.vocab_size, desc="learning vocabulary", unit=" tokens", disable=None) as bar:
        return vocabulary.learn_vocab(counts, job.config.vocab_size, watch=lambda tokens: bar.update(tokens - bar.n))


def its_tokenizer(job, name):
    """The tokenizer of a model that the command has read before."""
    with tokenizer_files.quietly():
        return swap(job, BertTokenizer.from_pretrained(name))


def common_tokens(job, teachers, stream):
    """A tokenizer like the teacher's, with those of its tokens that are commonest in the texts."""
    texts = tqdm(stream(), desc="counting tokens", unit=" texts", disable=None)
    vocab = vocabulary.common_tokens(texts, teachers, job.config.vocab_size)
    options = {name: getattr(teachers, name) for name in ("lower_case", "strip_accents", "cjk_apart")}
    return swap(job, BertTokenizer(vocab, **options, max_length=job.settings.max_length))


def packed_digests(folder):
    """The SHA-256 of each file of packed text."""
    found = {}
    for name in PACKED:
        with open(folder / name, "rb") as file:
            found[name] = hub.digest(file)
    return found


def build(job, tokenizer):
    """The model to train, and its teacher or None. Shows what they are."""
    model_class = BertForPreTraining if job.next_sentence else BertForMaskedLM
    if job.model:
        dropout = {"hidden_dropout_prob": job.dropout, "attention_probs_dropout_prob": job.dropout}
        model = model_class.from_pretrained(job.model, missing_head="new", **dropout)
        report.say(f"model  {model.loaded}")
    else:
        model = model_class(job.config)
    swap(job, model)
    precision.settle(model, job.settings.precision, job.device)
    teacher = None
    if job.teacher:
        encoder = swap(job, BertModel.from_pretrained(job.teacher))
        teacher = Teacher(encoder, its_tokenizer(job, job.teacher))
        if not (job.model or job.resume):
            (teacher.bequeath if job.inherit else teacher.initialize)(model, tokenizer)
    sizes = f"{counted(model.config.num_hidden_layers, 'layer')}, hidden size {model.config.hidden_size}"
    count = sum(parameter.numel() for parameter in model.parameters())
    taught = f"; taught by {job.teacher}" if teacher else ""
    taught += ", whose first layers it inherits" if job.inherit else ""
    report.say(f"model  {sizes}, {counted(model.config.num_attention_heads, 'head')}, {count:,} parameters{taught}")
    return model, teacher


def kernels(job):
    """The kernels of the run, {name: kernel}."""
    return {} if job.plain else measure.choices(job.device)


def train(job, model, tokenizer, teacher):
    """Train the model and show how it goes. Returns the history."""
    settings, path = job.settings, job.folder / state.STATE
    packed, heldout = (corpus.TokenFile(job.folder / name, tokenizer, settings.max_length) for name in PACKED)
    objective = Objective(model, tokenizer, settings, teacher, new_head=job.inherit)
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
    dropout = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}  # BERT's, to learn more with
    model.config = model.config.change(**dropout)
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
            left = RECORD, *PACKED, "vocab.txt", "tokenizer_config.json", "config.json", "model.safetensors", state.LOCK
            for name in left:
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # something else is in it
                folder.rmdir()
        raise
