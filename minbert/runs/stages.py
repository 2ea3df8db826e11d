"""The stages of a classifier's run, in order. `job` is the Job of minbert/commands/train.py."""

import os
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from minbert import families, fast, tokenizer_files, tokenizers, training
from minbert.errors import UserError
from minbert.fast import measure
from minbert.files import mentions
from minbert.files.checks import refuse_bad_rows
from minbert.files.examples import read_examples
from minbert.files.labels import LabelSet
from minbert.jsonfile import quoted
from minbert.losses import ONE
from minbert.metrics import Scores, score
from minbert.runs import classifier, findings, others, parallel, plots, precision, report, slices, state
from minbert.shell import quote
from minbert.tasks import CLASS, NOTHING, TASKS
from minbert.training import NotFinite
from minbert.weights import hub, not_for_transformers, save_course_checkpoint
from minbert.weights.folders import weight_files
from minbert.wording import counted

SCORED = ("dev", "test")  # the parts that are scored, where they have labels


def read_data(job):
    """The job's files -> {part: Examples}, {part: the class of each row}, LabelSet. Shows a summary."""
    report.say("data")
    examples, classes, labels = {}, {}, None
    task = TASKS[job.label_kind]
    if job.labels:
        labels = LabelSet.declare(job.labels)
    elif not job.settings:
        labels = stored_labels(job.directory, task)
    for part, path in job.files.items():
        needs_labels = part == "train" or (part == "dev" and job.settings is not None)
        columns = (job.text_column, job.label_column)
        how = (job.no_header, job.encoding, job.quoting, job.pair_column, True)
        found = read_examples(path, job.format, *columns, needs_labels, *how)
        labels = labels or task.labels(found)
        if found.labelled:
            classes[part] = task.targets(found, labels)
        listing = refuse_bad_rows(found, job.skip_bad_rows)
        if listing:
            report.warn(listing)
        if job.tweets:
            found.texts = list(map(mentions.replace_mentions, found.texts))
            found.pairs = found.pairs and list(map(mentions.replace_mentions, found.pairs))
        if job.limit:  # after the whole file was checked, so that the counts of rows are the file's
            found.select(range(min(job.limit, len(found.texts))))
            classes |= {part: classes[part][: job.limit]} if part in classes else {}
        examples[part] = found
        counts = task.describe(classes[part], labels) if part in classes else "no labels"
        report.say("  " + report.describe_data(part, found, counts))
    if not labels.names:
        return examples, classes, labels
    names = (name if name == str(id) else f"{id} = {name}" for id, name in enumerate(labels.names))
    report.say("  labels: " + ", ".join(names))
    return examples, classes, labels


def stored_labels(directory, task):
    """The classes of a trained folder: as its training files wrote them if it says so, or else their names alone."""
    config = families.read_config(directory)
    if task.changes(NOTHING).get("num_labels") == 1:  # a number
        return NOTHING
    written = LabelSet.load(directory / "labels.txt")
    if written and written.names == config.labels:
        return written
    names = config.labels or tuple(str(id) for id in range(config.num_labels))
    return LabelSet(names, names)


def load(job, labels):
    """The job's model as a classifier of these labels, and its tokenizer. Shows a summary."""
    changes = TASKS[job.label_kind].changes(labels) | {"option": job.option, "pooling": job.pooling}
    if job.settings:
        changes["classifier_dropout"] = job.hidden_dropout_prob
    changes = {name: value for name, value in changes.items() if value is not None}
    with tokenizer_files.quietly():  # the command has read it before
        tokenizer = tokenizers.from_pretrained(job.directory)
    model = families.load(job.directory, "classifier", **changes)
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


def encode(job, tokenizer, model, examples, classes):
    """{part: training.Data}; warns, once for each file, of texts that were cut."""
    longest = min(job.max_length or tokenizer.max_length, model.config.most_tokens)
    data = {}
    for part, found in examples.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            task, segments = TASKS[job.label_kind], model.config.type_vocab_size
            encoding = task.encode(found, tokenizer, longest, segments).encoding
        data[part] = training.Data(encoding, classes.get(part))
        for warning in caught:
            report.warn(f"{part}: {warning.message}")
    return data


def warn_before_training(job, examples, classes, labels, model, tokenizer):
    """Warnings worth seeing before a long run."""
    for sentence in TASKS[job.label_kind].warnings(examples, classes, labels):
        report.warn(sentence)
    if not job.settings:
        if "classifier" in model.loaded.new:
            report.warn(f"{job.model} has no classifier for these labels: a random one gives the scores below")
        return
    told = families.read_config(job.directory).labels
    if "classifier" in model.loaded.new and told and told != labels.names:
        size = [len(labels.names), model.config.hidden_size]
        tells = f"the checkpoint's classifier tells {', '.join(told)}; yours are {', '.join(labels.names)}"
        report.warn(f"{tells}: the output layer {size} is new")
    if "pooler" in model.loaded.new and job.option == "pretrain" and model.config.pooling == "pooler":
        report.warn(f"{job.model} has no pooler: a random one is frozen between encoder and head. Use --pooling mean")
    texts = examples["train"].texts
    if not tokenizer.lower_case and not any(text != text.lower() for text in texts):
        report.warn(f"{job.model} is cased, but the training texts have no capital letter: use an uncased model")
    _, total, warmup = job.settings.steps(len(texts))
    if warmup >= total:
        report.warn(
            f"a warm-up of {counted(warmup, 'step')} in a run of {total}: the learning rate never reaches its highest"
        )


def train(job, model, examples, data, known, stop, seconds):
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
    loop = classifier.begin(model, *texts, settings, job.device, job.plain, stoppable_bar(stop))
    stop.advice = f"; go on with: {job.how_to_resume}"
    autosave = state.Autosave(path, loop.state, known, job.save_minutes, stop)
    with report.Progress(settings.epochs, steps) as progress:
        if job.resume:
            restore(loop, path, steps, progress)
        try:
            history = loop.train(progress.watch, progress.line, stoppable_bar(autosave), autosave)
        except NotFinite as error:
            lines = ", ".join(str(examples["train"].lines[row]) for row in error.rows)
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


@dataclass(frozen=True)
class Scored:
    """The predictions for one file, and how good they are."""

    gold: list  # class ids
    predicted: list  # class ids
    probabilities: torch.Tensor  # [N, C]
    scores: Scores

    @property
    def right(self):
        """Whether each prediction is right."""
        return [gold == predicted for gold, predicted in zip(self.gold, self.predicted)]


def read_slices(job, examples, classes):
    """{part: {column: its value for each row}}, of each part that will be scored, where job.slices names columns."""
    scored = [part for part in SCORED if part in classes]
    if job.arguments["slices"] and not scored:
        raise UserError("--slices splits scores, and neither --dev nor --test has labels to score")
    how = (job.text_column, job.no_header, job.encoding, job.quoting, job.pair_column)
    return {part: slices.read(examples[part], job.slices[part], *how) for part in scored if job.slices.get(part)}


def evaluate(job, model, examples, data, labels, stop):
    """Predict dev and test, and write the predictions. Returns {part: Scored} of those that have labels."""
    model.to(job.device)
    scored = {}
    for part in SCORED:
        if part in data:
            logits = classifier.predict(model, data[part], job.device, job.precision, stoppable_bar(stop))
            if parallel.writer():
                gold = data[part].labels
                if model.config.problem_type != ONE:
                    found = others.evaluate(job, model, part, examples[part], gold, logits, labels)
                    scored |= {part: found} if found else {}
                    continue
                probabilities = logits.softmax(-1)
                write_predictions(job, part, examples[part], gold, probabilities, labels)
                if gold is not None:
                    predicted = probabilities.argmax(-1).tolist()
                    scored[part] = Scored(gold, predicted, probabilities, score(gold, predicted, labels.names))
    return scored


def write_predictions(job, part, examples, gold, probabilities, labels):
    """Write the predictions for one file, in both forms."""
    path = job.folder / f"{part}_predictions.csv"
    report.write_predictions(path, examples, gold, probabilities, labels.names, job.excel_safe)
    report.write_course_predictions(job.course_files[part], examples, probabilities)


def compare(job, examples, classes, labels, scored):
    """({name: Baseline}, Verdict) of simple systems that learn from the same training file; ({}, None) without one."""
    if job.no_baseline or not scored or "train" not in examples or job.label_kind != CLASS:
        return {}, None
    from minbert.runs import baseline  # here: what it imports takes a while

    texts = {part: both_texts(examples[part], " ") for part in ("train", *scored)}
    rivals = baseline.baselines(texts, {part: classes[part] for part in texts}, labels.names)
    part, last = list(scored.items())[-1]
    return rivals, baseline.judge(part, last.gold, last.predicted, rivals)


def both_texts(examples, between):
    """The texts of a file; of pairs, both as one."""
    return [between.join(pair) for pair in zip(examples.texts, examples.pairs)] if examples.pairs else examples.texts


def show(job, examples, labels, scored, rivals, verdict, values):
    """Show what came out, draw it with --plot, and return more of it for run.json: {"baselines": ..., "slices": ...}.

    rivals, verdict  as `compare` returns them
    values           as `read_slices` returns them
    """
    if job.label_kind != CLASS:
        if scored:
            others.show(scored, examples)
        return {}
    found = {
        column: slices.by_value(
            {part: columns[column] for part, columns in values.items() if column in columns},
            {part: scored[part].right for part in values},
        )
        for column in dict.fromkeys(column for columns in values.values() for column in columns)
    }
    if scored:
        findings.scores({part: each.scores for part, each in scored.items()}, rivals, verdict)
        part, last = list(scored.items())[-1]
        findings.classes(part, last.scores, labels.names)
        findings.slices(found, list(values))
        findings.mistakes(part, last, both_texts(examples[part], " / "), labels.names)
    if job.plot:
        for part, each in scored.items():
            plots.confusion_matrix(each.scores.matrix, labels.names, part, job.folder / f"{part}_confusion.svg")
    more = {}
    if rivals:
        from minbert.runs import baseline

        more["baselines"] = baseline.record(rivals, verdict)
    return more | ({"slices": slices.record(found)} if found else {})


def next_steps(job, model, scored):
    """Say what was written, what to look at, and what to type next."""
    files = [file for file in job.folder.rglob("[!.]*") if file.is_file()]
    report.say(f"written to {report.short(job.folder)}: {counted(len(files), 'file')}")
    last = list(scored)[-1] if scored else "test"
    pictures = (f"{last}_confusion.svg", "learning_curve.svg") if job.plot else ()
    commands = {"use it": job.how_to_use} if job.settings else {}
    if job.settings or "classifier" not in model.loaded.new:
        commands["try a sentence"] = job.how_to_try
    findings.next_steps([job.folder / name for name in (f"{last}_predictions.csv", *pictures)], commands)


@contextmanager
def timed(seconds, phase):
    """A context that adds its seconds to those of a phase."""
    begin = time.perf_counter()
    yield
    seconds[phase] = seconds.get(phase, 0.0) + time.perf_counter() - begin
