"""The stages of a classifier's run, in order. `job` is the Job of minbert/commands/train.py."""

import os
import time
import warnings
from contextlib import contextmanager
from dataclasses import replace

import torch

from minbert import families, fast, tokenizer_files, tokenizers, training
from minbert.errors import UserError
from minbert.fast import measure
from minbert.files import mentions
from minbert.files.checks import refuse_bad_rows
from minbert.files.labels import LabelSet
from minbert.jsonfile import quoted
from minbert.runs import classifier, findings, parallel, plots, precision, report, state
from minbert.shell import advice, quote
from minbert.training import NotFinite
from minbert.weights import hub, not_for_transformers, save_course_checkpoint
from minbert.weights.folders import weight_files
from minbert.wording import counted

SCORED = ("dev", "test")  # the parts that are scored, where they have labels


def read_data(job):
    """The job's files -> the job, {part: examples}, {part: the right answer of each}, LabelSet. Shows a summary.

    The job's task then knows what the first file with answers shows of it.
    """
    report.say("data")
    examples, gold, labels, task = {}, {}, None, job.task
    if job.labels:
        labels = LabelSet.declare(job.labels)
    elif not job.settings:
        labels = stored_labels(job.directory, task)
    for part, path in job.files.items():
        found = task.read(path, job.how, part == "train" or (part == "dev" and job.settings is not None))
        task = task.seen(found)
        labels = labels or task.labels(found)
        task.check(labels)
        if found.labelled:
            gold[part] = task.gold(found, labels)
        listing = refuse_bad_rows(found, job.skip_bad_rows)
        if listing:
            report.warn(listing)
        if job.tweets:
            found.rewrite(mentions.replace_mentions)
        if job.limit:  # after the whole file was checked, so that the counts of rows are the file's
            found.select(range(min(job.limit, len(found.texts))))
            gold |= {part: gold[part][: job.limit]} if part in gold else {}
        examples[part] = found
        counts = task.describe(gold[part], labels) if part in gold else "no labels"
        report.say("  " + report.describe_data(part, found, counts))
        if found.columns and found.pairs and not job.how.pair_column:
            report.say(f"  note: each row of {part} is read as a pair; --text_column NAME reads one text alone")
    if labels.names:
        names = (name if name == str(id) else f"{id} = {name}" for id, name in enumerate(labels.names))
        report.say("  labels: " + ", ".join(names))
    return replace(job, task=task), examples, gold, labels


def stored_labels(directory, task):
    """The classes of a trained folder: as its training files wrote them if it says so, or else their names alone."""
    known, written = task.stored(families.read_config(directory)), LabelSet.load(directory / "labels.txt")
    return written if written and written.names == known.names else known


def load(job, labels):
    """The job's model as a classifier of these labels, and its tokenizer. Shows a summary."""
    changes = job.task.changes(labels) | {"option": job.option, "pooling": job.pooling}
    if job.settings:
        changes["classifier_dropout"] = job.hidden_dropout_prob
    changes = {name: value for name, value in changes.items() if value is not None}
    with tokenizer_files.quietly():  # the command has read it before
        tokenizer = tokenizers.from_pretrained(job.directory)
    model = families.load(job.directory, job.task.head, **changes)
    model.loaded.source = job.model
    report.say("model", *("  " + line for line in report.describe_model(model)[: 3 if job.settings else 2]))
    if not job.plain:
        fast.swap_in(model), fast.swap_in(tokenizer)
    precision.settle(model, job.precision, job.device)
    return model, tokenizer


def kernels(job):
    """The kernels of the run, {name: kernel}: a resumed run's own, and the same in all processes."""
    if job.plain:
        return {}
    if job.resume:
        path = job.folder / state.STATE
        with state.state_errors(path):
            measure.use(state.load_facts(path)["machine"], "the run that is resumed")
    chosen = parallel.gather([measure.choices(job.device)])[0]
    if parallel.size() > 1:
        measure.use(chosen, "the first process")
    return chosen


def facts(job, examples):
    """What the result of a run depends on, besides the code: {kind: {name: value}}.

    For a resumed run: warns of facts that differ from when it began, and raises UserError if it is not the same run.
    """
    arguments = {name: value for name, value in job.arguments.items() if name not in job.output_flags}
    for name in (*job.files, "model"):  # so that the run can be resumed from anywhere
        if os.path.exists(arguments[name]):
            arguments[name] = os.path.abspath(arguments[name])
    arguments["labels"] = arguments["labels"] and list(arguments["labels"])
    model, weights = {}, {path.name for path in weight_files(job.directory)}
    for path in sorted(job.directory.iterdir()):
        if path.name in (*weights, "config.json", "modules.json", mentions.FILE, *tokenizer_files.ALL_FILES):
            with open(path, "rb") as file:
                model[path.name] = hub.digest(file)
    machine = {"threads": torch.get_num_threads(), "processes": parallel.size(), "device": str(job.device)}
    machine |= kernels(job)
    data = {part: found.sha256 for part, found in examples.items()}
    now = {"arguments": arguments, "data": data, "model": model, "versions": report.versions(), "machine": machine}
    if job.resume:
        compare_facts(job.folder / state.STATE, now)
    return now


def compare_facts(path, now):
    """`facts` compared with those in a state."""
    with state.state_errors(path):
        began = state.load_facts(path)
        for kind, place in (
            ("data", "the file of --{}"),
            ("model", "the model's {}"),
            ("versions", ""),
            ("machine", ""),
        ):
            names = now[kind] if kind == "versions" else dict.fromkeys((*now[kind], *began[kind]))
            changed = [name for name in names if now[kind].get(name) != began[kind].get(name)]
            if place and changed:
                names = " and ".join(place.format(name) for name in changed)
                raise UserError(f"--resume: {names} changed since the run began: put it back, or begin again")
            for name in changed:
                values = f"{quoted(began[kind].get(name))} when the run began, {quoted(now[kind].get(name))} now"
                report.warn(f"{name}: {values}; the result will be as good, but not the same to the last bit")


def encode(job, tokenizer, model, examples, gold, labels):
    """{part: training.Data} and {part: Encoded}; warns, once for each file, of texts that were cut."""
    longest = min(job.max_length or tokenizer.max_length, model.config.most_tokens)
    data, encodings = {}, {}
    for part, found in examples.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            encoded = job.task.encode(found, tokenizer, longest, model.config.type_vocab_size)
        encodings[part] = encoded
        data[part] = training.Data(encoded.encoding, job.task.targets(found, gold.get(part), labels, encoded))
        for warning in caught:
            report.warn(f"{part}: {warning.message}")
        texts, windows = len(found.texts), len(encoded.windows or [])
        if encoded.cut:
            report.warn(f"{part}: {encoded.cut} of {texts} texts were longer than {longest} tokens and were cut")
        if windows > texts:
            report.say(f"  {part}: {counted(texts, found.unit)} in {counted(windows, 'window')}")
    return data, encodings


def warn_before_training(job, examples, gold, labels, model, tokenizer, data):
    """Warnings worth seeing before a long run."""
    for sentence in job.task.warnings(examples, gold, labels):
        report.warn(sentence)
    if not job.settings:
        if model.new_output:
            title = model.names.titles[model.output]
            report.warn(f"{job.model} has no {title} for these labels: a random one gives the scores below")
        return
    told = families.read_config(job.directory).labels
    if model.new_output and labels.names and told and told != labels.names:
        size = [len(labels.names), model.config.hidden_size]
        tells = f"the checkpoint's classifier tells {', '.join(told)}; yours are {', '.join(labels.names)}"
        report.warn(f"{tells}: the output layer {size} is new")
    if "pooler" in model.loaded.new and job.option == "pretrain" and model.config.pooling == "pooler":
        report.warn(f"{job.model} has no pooler: a random one is frozen between encoder and head. Use --pooling mean")
    texts = examples["train"].texts
    if not tokenizer.lower_case and not any(text != text.lower() for text in texts):
        report.warn(f"{job.model} is cased, but the training texts have no capital letter: use an uncased model")
    _, total, warmup = job.settings.steps(len(data["train"]))
    if warmup >= total:
        report.warn(
            f"a warm-up of {counted(warmup, 'step')} in a run of {total}: the learning rate never reaches its highest"
        )


def train(job, model, examples, data, encodings, known, stop, seconds):
    """Train the model and show how it goes. Returns the figures of each epoch.

    known    the facts of this run
    stop     a state.Stop
    seconds  of each phase; those of training and of measuring on dev are added
    """
    settings, path = job.settings, job.folder / state.STATE
    steps, _, warmup = settings.steps(len(data["train"]))
    default = "" if job.lr else f", the default for {model.config.option}"
    epochs, batches = counted(settings.epochs, "epoch"), counted(steps, "batch", "batches")
    report.say(
        f"training: {epochs} of {batches} of up to {settings.batch_size}; AdamW, learning rate "
        f"{settings.lr}{default}; {settings.schedule} schedule, {counted(warmup, 'step')} of warm-up"
    )
    texts = data["train"], data.get("dev")
    loop = classifier.begin(model, *texts, settings, job.device, job.plain, stoppable_bar(stop), job.task)
    stop.advice = f"; go on with: {job.how_to_resume}"
    autosave = state.Autosave(path, loop.state, known, job.save_minutes, stop)
    with report.Progress(settings.epochs, steps) as progress:
        if job.resume:
            restore(loop, path, steps, progress)
        try:
            history = loop.train(progress.watch, progress.line, stoppable_bar(autosave), autosave)
        except NotFinite as error:
            rows = dict.fromkeys(encodings["train"].owner(row) for row in error.rows)
            lines = ", ".join(str(examples["train"].line(row)) for row in rows)
            resume = quote("--resume", report.short(job.folder))
            saved = f"; the last good state is kept: {resume}" if path.exists() else ""
            raise UserError(f"{error}. It came from lines {lines} of {job.files['train']}{saved}") from None
    seconds["train"] = sum(figures["train_seconds"] for figures in history)
    seconds["evaluate"] = sum(figures.get("evaluate_seconds", 0.0) for figures in history)
    return history


def restore(loop, path, steps, progress):
    """Continue a loop from its state, and show again what it has shown."""
    tensors, saved = state.load_state(path)
    with state.state_errors(path):
        loop.restore(tensors, saved["progress"])
        epochs = loop.progress["history"]
        batches = counted(loop.progress["steps"] - len(epochs) * steps, "batch", "batches")
        report.say(f"going on after epoch {len(epochs)} and {batches}")
        for figures in epochs:
            progress.line(figures)


def stoppable_bar(stop):
    """report.text_bar, with a stop between two batches."""
    return lambda stream, total: report.text_bar(stop.watch(stream), total)


def save(job, model, tokenizer, labels, history):
    """Write what was learnt, so that --model FOLDER finds it."""
    model.save_pretrained(job.folder)
    if why := not_for_transformers(model):
        report.say(f"note: {why}")
    tokenizer.save_pretrained(job.folder)
    labels.save(job.folder / "labels.txt")
    mentions.record(job.folder, job.tweets)
    if job.filepath:
        save_course_checkpoint(model, job.filepath)
    if job.plot:
        plots.learning_curve(history, job.folder / "learning_curve.svg")


def evaluate(job, model, examples, gold, data, labels, stop):
    """Predict dev and test, and write the predictions. Returns {part: what scored.View has of it}, of parts with gold
    answers."""
    model.to(job.device)
    found = {}
    for part in SCORED:
        if part in data:
            logits = classifier.predict(model, data[part], job.device, job.precision, stoppable_bar(stop))
            if parallel.writer():
                targets, known = data[part].labels, gold.get(part)
                columns = job.task.columns(logits, labels, targets)
                report.write_predictions(job, part, examples[part], known, columns, labels)
                if known is not None:
                    found[part] = job.view.score(job, known, columns[1], targets, logits, labels)
    return found


def next_steps(job, model, examples, scored):
    """Say what was written, what to look at, and what to type next."""
    files = [file for file in job.folder.rglob("[!.]*") if file.is_file()]
    report.say(f"written to {report.short(job.folder)}: {counted(len(files), 'file')}")
    last = list(scored)[-1] if scored else "test"
    pictures = (f"{last}_confusion.svg", "learning_curve.svg") if job.plot else ()
    pictures += ("page.html",) if job.page else ()
    commands = {"use it": job.how_to_use} if job.settings else {}
    if job.settings or not model.new_output:
        pairs = any(found.pairs for found in examples.values())
        words = job.task.trial_of_pairs if pairs else job.task.trial
        commands["try it" if pairs else "try a sentence"] = advice(
            "predict", "--model", report.short(job.folder if job.settings else job.model), *words
        )
    findings.next_steps([job.folder / name for name in (f"{last}_predictions.csv", *pictures)], commands)


@contextmanager
def timed(seconds, phase):
    """A context that adds its seconds to those of a phase."""
    begin = time.perf_counter()
    yield
    seconds[phase] = seconds.get(phase, 0.0) + time.perf_counter() - begin
