"""Train a BERT to classify texts, and say how well it does.

    python train_classifier.py                              a small real BERT on the reviews in data/
    python train_classifier.py --option pretrain            the encoder frozen: only the last linear layer learns
    python train_classifier.py --train my-train.csv --dev my-dev.csv --test my-test.csv \\
           --text_column tweet --label_column stance        your own texts, in any format of minbert/files
    python train_classifier.py --model bert-base-uncased    another encoder: a folder, or a name (minbert/weights)
    python train_classifier.py --eval_only --model runs/flexible-3-0.0001 --test new.txt
                                                            what an earlier run has learnt, on other texts
    python train_classifier.py --resume runs/flexible-3-0.0001
                                                            go on with a run that was stopped, or killed
    torchrun --nproc_per_node=2 -m minbert train            two processes, each with its share of every batch
                                                            (minbert/runs/parallel.py)

Everything goes into one folder (--out): model.safetensors, config.json, vocab.txt, labels.txt, run.json and the
predictions. A run that Ctrl-C or SIGTERM stops saves its state there first, as it does after each epoch and every few
minutes. Exit status: 0 done, 2 something you can put right, with the reason, 130 or 143 stopped.
"""

import argparse
import os
import time
import warnings
import zipfile
from pathlib import Path

import torch

import minbert
from minbert import fast, shipped, training
from minbert.commands import common
from minbert.commands.common import natural, number
from minbert.config import BOUNDS, OPTION_ALIASES, Config
from minbert.errors import UserError
from minbert.fast.int8 import quantize
from minbert.fast.memory import retain_freed_memory
from minbert.files.checks import data_warnings, refuse_bad_rows
from minbert.files.examples import read_examples
from minbert.files.formats import FORMATS
from minbert.files.labels import LabelSet
from minbert.heads import BertSentClassifier
from minbert.jsonfile import quoted
from minbert.metrics import score
from minbert.optimizer import SCHEDULES
from minbert.runs import parallel, plots, report, selftest, state
from minbert.weights import hub, save_course_checkpoint

SHIPPED = shipped.folder("data")
SHIPPED_LABELS = ("0=negative", "1=positive")
PARTS = ("train", "dev", "test")
# Flags that a run is not known by: they may be given, or given again, with --resume.
OUTPUT = ("resume", "out", "dev_out", "test_out", "filepath", "plot", "save_minutes")


def option(text):
    name = OPTION_ALIASES.get(text, text)
    if name not in BOUNDS["option"]:
        hint = common.nearest(text, [*BOUNDS["option"], *OPTION_ALIASES])
        raise argparse.ArgumentTypeError(f"{text} is neither pretrain nor flexible{hint}")
    return name


def parse(arguments):
    """Command line -> settings, checked as far as they can be before anything is read."""
    amount = number(float, 0.0, wanted="0 or more")
    rates = training.LEARNING_RATES
    parser = common.Parser("train", __doc__)
    add = parser.add_argument_group("data").add_argument
    add("--train", metavar="FILE", help="default: the reviews in data/, with their dev and test files")
    add("--dev", metavar="FILE", help="scored after each epoch; the best epoch is kept")
    add("--test", metavar="FILE", help="scored once, at the end; may lack labels")
    add("--format", choices=FORMATS, help="default: recognised from each file")
    add("--text_column", metavar="NAME", help="of a table with a header")
    add("--label_column", metavar="NAME", help="of a table with a header")
    add("--labels", nargs="+", metavar="LABEL", help="VALUE or VALUE=NAME of each class; default: those in --train")
    add("--skip_bad_rows", action="store_true", help="list bad rows and go on; default: list them and stop")
    add("--limit", type=natural, metavar="N", help="use the first N rows of each file, for a quick look")
    add = parser.add_argument_group("model").add_argument
    add("--model", default="tiny", metavar="NAME", help="a folder or a known name; default: %(default)s")
    add(
        "--option",
        type=option,
        default="flexible",
        metavar="OPTION",
        help="pretrain: the encoder is frozen, only the linear layer learns (also: freeze, last-linear-layer); "
        "flexible: everything learns (also: finetune, full-model); default: %(default)s",
    )
    add(
        "--pooling",
        choices=BOUNDS["pooling"],
        help="what the linear layer reads: the pooler's output, the first "
        "token's vector, or the mean of all tokens'; default: the checkpoint's, or pooler",
    )
    add(
        "--hidden_dropout_prob",
        type=number(float, 0.0, 1.0, "a share from 0 up to 1"),
        default=0.3,
        metavar="P",
        help="dropout before the linear layer (the encoder keeps its own); default: %(default)s",
    )
    add(
        "--max_length",
        type=number(int, 3, wanted="3 or more"),
        metavar="N",
        help="cut texts to N tokens; default: as many as the model can read",
    )
    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=natural, default=3, metavar="N", help="default: %(default)s")
    add(
        "--lr",
        type=number(float, 1e-12, 10.0, "above 0 and below 10"),
        metavar="RATE",
        help=f"the highest learning rate; default: {rates['pretrain']} for pretrain, {rates['flexible']} for flexible, "
        f"twice that if the model is narrower than {training.NARROW}",
    )
    add("--batch_size", type=natural, default=16, metavar="N", help="default: %(default)s")
    add("--weight_decay", type=amount, default=0.01, metavar="X", help="default: %(default)s")
    add("--warmup", type=amount, default=0.1, metavar="X", help="a share of the run, or steps; default: %(default)s")
    add("--schedule", choices=tuple(SCHEDULES), default="linear", help="after the warm-up; default: %(default)s")
    add("--class_weights", choices=["balanced"], help="weigh each class against its frequency")
    add(
        "--seed",
        type=number(int, 0, 2**32, "from 0 to 4294967295"),
        default=11711,
        metavar="N",
        help="default: %(default)s",
    )
    add(
        "--precision",
        choices=("fp32", "bf16", "int8"),
        default="fp32",
        help="bf16 is faster on GPUs and on processors that multiply it; int8 is for --eval_only on a CPU; "
        "default: %(default)s",
    )
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto", help="default: %(default)s")
    add("--use_gpu", action="store_true", help="the same as --device cuda")
    add("--eval_only", action="store_true", help="do not train: score --dev and --test with --model as it is")
    add = parser.add_argument_group("output").add_argument
    add("--out", metavar="FOLDER", help="default: runs/OPTION-EPOCHS-LR")
    add("--dev_out", metavar="FILE", help="predictions as 'pred ||| text'; default: dev_out.txt in --out")
    add("--test_out", metavar="FILE", help="the same for --test")
    add("--filepath", metavar="FILE.pt", help="also write the course kits' one-file checkpoint, for torch.load")
    add("--excel_safe", action="store_true", help="in CSV, an apostrophe before what a spreadsheet takes for a formula")
    add("--plot", action="store_true", help="also draw confusion matrices and the learning curve as SVG")
    add(
        "--save_minutes",
        type=amount,
        default=10.0,
        metavar="X",
        help="save the state of the run this often, besides after each epoch; default: %(default)s",
    )
    add(
        "--resume",
        metavar="FOLDER",
        help="go on with the run that was stopped in FOLDER, with the flags it began with; only those of this group "
        "may be given, and have to be if they are wanted",
    )
    args = parser.parse_args(arguments)
    if args.resume:
        args = resumed(args, parser)

    if args.eval_only and (args.train or args.filepath):
        raise UserError("--eval_only does not train: leave --train and --filepath out")
    if not (args.train or args.dev or args.test):
        args.train, args.dev, args.test = (str(SHIPPED / f"reviews-{part}.txt") for part in PARTS)
        args.labels = args.labels or (None if args.eval_only else SHIPPED_LABELS)
        args.train = None if args.eval_only else args.train
    elif not (args.train or args.eval_only):
        raise UserError("--dev or --test without --train: name the training file too, or pass --eval_only")
    if args.use_gpu:
        args.device = "cuda"
    if args.precision == "int8":
        if not args.eval_only or args.device not in ("auto", "cpu"):
            raise UserError("--precision int8 predicts, on a CPU: it goes with --eval_only and no GPU")
        args.device = "cpu"
    if args.plot:
        plots.pyplot()  # better to fail now than after the training
    return args


def resumed(args, parser):
    """The flags with which the run began that is stopped in --resume, and those that were given now."""
    folder = Path(args.resume)
    given = [name for name, value in vars(args).items() if value != parser.get_default(name)]
    if foreign := [f"--{name}" for name in given if name not in OUTPUT or name == "out"]:
        raise UserError(f"--resume goes on as the run began: leave out {', '.join(foreign)}")
    if not folder.is_dir():
        raise UserError(f"--resume: there is no folder {folder}")
    state.check_free(folder)
    if (folder / "pretraining.json").exists():
        raise UserError(f"{folder} holds a run of pretraining: {common.advice('pretrain', '--resume', folder)}")
    if not (folder / state.STATE).exists():
        if (folder / "run.json").exists():
            raise UserError(f"the run in {folder} is done; use it with --eval_only --model {folder} --test FILE")
        raise UserError(f"{folder} holds no stopped run: there is no {state.STATE} in it")
    words, stored = [], state.load_facts(folder / state.STATE)
    with state.state_errors(folder / state.STATE):
        for name, value in stored["arguments"].items():
            if name not in vars(args) or name in OUTPUT:  # a stranger's state says nothing of where to write
                raise KeyError(name)
            if isinstance(value, list):
                words += [f"--{name}", *value]
            elif value not in (None, False):
                words.append(f"--{name}" if value is True else f"--{name}={value}")
        began = parser.parse_args(words)
    for name in given:
        setattr(began, name, getattr(args, name))
    began.out = args.resume  # wherever it was when the run began
    return began


def facts(args, files, directory, device):
    """What the result of a run depends on, besides the code: {kind: {name: value}}."""
    arguments = {name: value for name, value in vars(args).items() if name not in OUTPUT}
    for name in (*PARTS, "model"):  # so that the run goes on from anywhere
        if arguments[name] and os.path.exists(arguments[name]):
            arguments[name] = os.path.abspath(arguments[name])
    arguments["labels"] = arguments["labels"] and list(arguments["labels"])
    model = {}
    for path in sorted(directory.iterdir()):
        if path.name in (*hub.WEIGHTS, "config.json", "vocab.txt"):
            with open(path, "rb") as file:
                model[path.name] = hub.digest(file)
    return {
        "arguments": arguments,
        "data": {part: file.sha256 for part, file in files.items()},
        "model": model,
        "versions": report.versions(),
        "machine": {"threads": torch.get_num_threads(), "processes": parallel.size(), "device": str(device)},
    }


def compare(began, now):
    """Warn of what is not as it was when the run began. Raises UserError if it cannot be the same run any more."""
    for kind, place in (("data", "the file of --{}"), ("model", "the model's {}"), ("versions", ""), ("machine", "")):
        changed = [name for name in now[kind] if now[kind][name] != began[kind].get(name)]
        if place and changed:
            names = " and ".join(place.format(name) for name in changed)
            raise UserError(f"--resume: {names} changed since the run began: put it back, or begin again")
        for name in changed:
            values = f"{quoted(began[kind].get(name))} when the run began, {quoted(now[kind][name])} now"
            report.warn(f"{name}: {values}; the result will be as good, but not the same to the last bit")


def inputs(args):
    return [path for path in (args.train, args.dev, args.test) if path]


def outputs(args):
    """What is written outside of the run's folder, or may be."""
    return [path for path in (args.dev_out, args.test_out, args.filepath) if path]


def check_files(args):
    """Raise UserError for a file that cannot be read, or a place that cannot be written, before any work is done."""
    for path in inputs(args):
        common.readable(path)
    report.check_outputs(Path(args.out or "runs/new"), inputs(args), outputs(args))
    if args.filepath and not replaceable(Path(args.filepath)):
        raise UserError(f"{args.filepath} is there already and no checkpoint: name another file with --filepath")


def replaceable(path):
    """Whether nothing is lost if a checkpoint is written there: no file, an empty one, or what torch.save wrote."""
    if not path.is_file() or not path.stat().st_size:
        return True
    try:
        with zipfile.ZipFile(path) as file:
            return any(name.endswith("/data.pkl") for name in file.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def check_new(folder):
    """Raise UserError for a folder with a stopped run, which a new one would write over."""
    state.check_free(folder)
    path = folder / state.STATE
    if path.exists():
        way = f"go on with --resume {folder}, name another --out, or delete {path} to begin again"
        raise UserError(f"{folder} holds a stopped run: {way}")


def check_model(args, directory):
    """Raise UserError for what does not go with the model, before the data or its weights are read."""
    config = Config.from_json(directory / "config.json")
    common.fits(args.max_length, args.model, config)
    shipped = args.eval_only and args.dev == str(SHIPPED / "reviews-dev.txt")
    if shipped and config.labels not in ((), ("negative", "positive")):
        told = f"the reviews in data/ are negative or positive, but {args.model} tells {', '.join(config.labels)}"
        raise UserError(f"--eval_only: name your texts with --test; {told}")
    if args.eval_only and args.labels and config.labels and len(args.labels) != config.num_labels:
        known = f"but {args.model} knows {config.num_labels}: {', '.join(config.labels)}"
        raise UserError(f"--labels names {len(args.labels)} classes, {known}; leave --labels out to use these")


def read_data(args, directory):
    """The files named in args -> {part: Examples}, {part: the class of each row}, LabelSet. Prints a summary.

    directory  the model's, which knows the classes if it is only to be evaluated
    """
    print("data")
    files, ids, labels = {}, {}, None
    if args.labels:
        labels = LabelSet.declare(args.labels)
    elif args.eval_only:
        labels = stored_labels(directory)
    for part in PARTS:
        path = getattr(args, part)
        if not path:
            continue
        needs_labels = part == "train" or (part == "dev" and not args.eval_only)
        examples = read_examples(path, args.format, args.text_column, args.label_column, needs_labels)
        labels = labels or LabelSet.collect(examples)
        if examples.labelled:
            ids[part] = labels.ids(examples)
        listing = refuse_bad_rows(examples, args.skip_bad_rows)
        if listing:
            report.warn(listing)
        if args.limit:  # after the whole file was checked, so that the counts of rows are the file's
            examples.select(range(min(args.limit, len(examples.texts))))
            ids |= {part: ids[part][: args.limit]} if part in ids else {}
        files[part] = examples
        print("  " + report.describe_data(part, examples, ids.get(part), labels))
    print(
        "  labels: " + ", ".join(name if name == str(id) else f"{id} = {name}" for id, name in enumerate(labels.names))
    )
    return files, ids, labels


def stored_labels(directory):
    """The classes of a trained folder: how its training files wrote them if it says so, or else their names alone."""
    config = Config.from_json(directory / "config.json")
    written = LabelSet.load(directory / "labels.txt")
    if written and written.names == config.labels:
        return written
    names = config.labels or tuple(str(id) for id in range(config.num_labels))
    return LabelSet(names, names)


def load_model(args, directory, labels):
    """The classifier and the tokenizer of a model's directory. Prints a summary."""
    changes = {"labels": labels.names, "option": args.option, "pooling": args.pooling}
    if not args.eval_only:
        changes["classifier_dropout"] = args.hidden_dropout_prob
    changes = {name: value for name, value in changes.items() if value is not None}
    tokenizer = common.load_tokenizer(args.model, directory, Config.from_json(directory / "config.json"))
    model = BertSentClassifier.from_pretrained(directory, **changes)
    model.loaded.source = args.model
    print("model", *report.describe_model(model)[: 2 if args.eval_only else 3], sep="\n  ")
    return model, tokenizer


def encode(tokenizer, files, ids, max_length):
    """{part: training.Data}; warns, once for each file, of texts that were cut."""
    data = {}
    for part, examples in files.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            encoding = tokenizer(examples.texts, truncation=True, max_length=max_length)
        data[part] = training.Data(encoding, ids.get(part))
        for warning in caught:
            report.warn(f"{part}: {warning.message}")
    return data


def warn_before_training(args, files, ids, labels, model, tokenizer, settings):
    """What a person would want to know before the hour is spent."""
    for sentence in data_warnings(files, ids, labels.names):
        report.warn(sentence)
    if args.eval_only:
        if "classifier" in model.loaded.new:
            report.warn(f"{args.model} has no classifier for these labels: a random one gives the scores below")
        return
    if "pooler" in model.loaded.new and args.option == "pretrain" and model.config.pooling == "pooler":
        report.warn(f"{args.model} has no pooler: a random one is frozen between encoder and head. Use --pooling mean")
    texts = files["train"].texts
    if not tokenizer.lower_case and not any(text != text.lower() for text in texts):
        report.warn(f"{args.model} is cased, but the training texts have no capital letter: use an uncased model")
    _, total, warmup = settings.steps(len(texts))
    if warmup >= total:
        report.warn(f"a warm-up of {warmup} steps in a run of {total}: the learning rate never reaches its highest")


def train(args, model, files, data, settings, device, folder, known, stop):
    """Fit the model and show how it goes. Returns the figures of each epoch.

    known  facts, of this run
    stop   a state.Stop
    """
    steps, _, warmup = settings.steps(len(data["train"]))
    default = "" if args.lr else f", the default for {model.config.option}"
    print(
        f"training: {args.epochs} epochs of {steps} batches of up to {args.batch_size}; AdamW, learning rate "
        f"{settings.lr}{default}; {settings.schedule} schedule, {warmup} steps of warm-up"
    )
    show, path = report.Progress(args.epochs, steps), folder / state.STATE
    run = training.Run(model, data["train"], data.get("dev"), settings, device, stoppable(stop))
    stop.advice = f"; go on with: {common.advice('train', '--resume', report.short(folder))}"
    if args.resume:
        tensors, saved = state.load_state(path)
        with state.state_errors(path):
            run.restore(tensors, saved["done"])
            print(f"going on after epoch {len(run.done['epochs'])} and {run.done['steps']} batches")
            for figures in run.done["epochs"]:
                show.line(figures)
    keeper = state.Autosave(path, run.state, known, args.save_minutes, stop)

    def step(loss, rate):
        show.watch(loss, rate)
        keeper.step()

    def epoch(figures):
        show.line(figures)
        keeper.step(due=True)

    try:
        return run.go(show.bars, step, epoch, stoppable(keeper))
    except training.NotFinite as error:
        lines = ", ".join(str(files["train"].lines[row]) for row in error.rows)
        saved = f"; the last good state is kept: --resume {report.short(folder)}" if path.exists() else ""
        raise UserError(f"{error}. It came from lines {lines} of {args.train}{saved}") from None


def stoppable(stop):
    """report.progress, with a stop between two batches."""
    return lambda stream, total: report.progress(stop.watch(stream), total)


def evaluate(args, part, model, examples, data, labels, device, folder, stop):
    """Predict one file, write the predictions, and print and return its scores (None without gold labels)."""
    logits = training.predict(model, data, device, args.precision, stoppable(stop))
    probabilities = logits.softmax(-1)
    if not parallel.writer():
        return None
    path = folder / f"{part}_predictions.csv"
    report.write_predictions(path, examples, data.labels, probabilities, labels.names, args.excel_safe)
    course_file = getattr(args, f"{part}_out") or folder / f"{part}_out.txt"
    report.write_course_predictions(course_file, examples, probabilities)
    if data.labels is None:
        return None
    scores = score(data.labels, probabilities.argmax(-1).tolist(), labels.names)
    print(f"\n{part}: accuracy {scores.accuracy:.4f}, macro F1 {scores.macro_f1:.4f}")
    print(scores.report, scores.confusion, sep="\n\n")
    if args.plot:
        plots.confusion_matrix(scores.matrix, labels.names, part, folder / f"{part}_confusion.svg")
    return scores


def choose_settings(args, directory):
    """How to train, from the flags and the defaults that depend on the option."""
    return training.Settings(
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr or training.default_rate(Config.from_json(directory / "config.json").change(option=args.option)),
        weight_decay=args.weight_decay,
        warmup=args.warmup,
        schedule=args.schedule,
        balanced=args.class_weights == "balanced",
        precision=args.precision,
        seed=args.seed,
    )


def save(args, folder, model, tokenizer, labels, history):
    """What was learnt, so that --model FOLDER finds it."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    labels.save(folder / "labels.txt")
    if args.filepath:
        save_course_checkpoint(model, args.filepath)
    if args.plot:
        plots.learning_curve(history, folder / "learning_curve.svg")


def main(arguments):
    args = parse(arguments)
    check_files(args)
    retain_freed_memory()
    began = time.time()
    device, directory = selftest.pick_device(args.device), hub.find(args.model)
    parallel.take_device(device)
    check_model(args, directory)
    settings = None if args.eval_only else choose_settings(args, directory)
    folder = Path(args.out or (f"runs/{args.option}-{args.epochs}-{settings.lr}" if settings else "runs/eval"))
    if settings and not args.resume:
        check_new(folder)
    places = folder, [*inputs(args), *directory.iterdir()], outputs(args)
    report.check_outputs(*places)
    selftest.self_test(device, "fp32" if args.precision == "int8" else args.precision, learns=not args.eval_only)
    training.set_seed(args.seed)
    threads = f"{torch.get_num_threads()} threads"
    threads += f" in each of {parallel.size()} processes" if parallel.size() > 1 else ""
    print(f"minbert {minbert.__version__}, torch {torch.__version__}, {device}, {threads}, seed {args.seed}")
    files, ids, labels = read_data(args, directory)
    model, tokenizer = load_model(args, directory, labels)
    if args.precision == "int8":
        quantize(model)
    fast.swap_in(model)
    if parallel.writer():
        report.prepare(*places)

    with state.claim(folder), state.Stop() as stop:
        known = facts(args, files, directory, device)
        if args.resume:
            with state.state_errors(folder / state.STATE):
                compare(state.load_facts(folder / state.STATE), known)
        begin = time.perf_counter()
        longest = min(args.max_length or tokenizer.max_length, model.config.max_position_embeddings)
        data = encode(tokenizer, files, ids, longest)
        seconds = {"tokenise": time.perf_counter() - begin}
        warn_before_training(args, files, ids, labels, model, tokenizer, settings)
        history = train(args, model, files, data, settings, device, folder, known, stop) if settings else []
        if history and parallel.writer():
            save(args, folder, model, tokenizer, labels, history)
        seconds["train"] = sum(figures["train_seconds"] for figures in history)

        begin = time.perf_counter()
        scores = {
            part: evaluate(args, part, model.to(device), files[part], data[part], labels, device, folder, stop)
            for part in ("dev", "test")
            if part in data
        }
        if not parallel.writer():
            return
        evaluating = sum(figures.get("evaluate_seconds", 0) for figures in history)
        seconds["evaluate"] = time.perf_counter() - begin + evaluating
        report.write_run(folder, args, settings, device, model, labels, files, history, scores, seconds)
        if settings:  # the run is done
            state.forget(folder)
    print("\ntime: " + ", ".join(f"{phase} {amount:.1f} s" for phase, amount in seconds.items()))
    written = sorted(file.name for file in folder.glob("[!.]*") if file.stat().st_mtime >= began - 1)
    print(f"written to {report.short(folder)}: {', '.join(written)}")
    if history:
        print("use it:", common.advice("train", "--eval_only", "--model", report.short(folder), "--test", "FILE"))


def run():
    return parallel.together(lambda: common.run(main))
