"""Train a BERT to classify texts, and say how well it does.

    python train_classifier.py                              a small real BERT on the reviews in data/
    python train_classifier.py --option pretrain            the encoder frozen: only the last linear layer learns
    python train_classifier.py --train my-train.csv --dev my-dev.csv --test my-test.csv \\
           --text_column tweet --label_column stance        your own texts, in any format of minbert/dataset.py
    python train_classifier.py --model bert-base-uncased    another encoder: a folder, or a name (minbert/hub.py)
    python train_classifier.py --eval_only --model runs/flexible-3-5e-05 --test new.txt
                                                            what an earlier run has learnt, on other texts

Everything goes into one folder (--out): model.safetensors, config.json, vocab.txt, labels.txt, run.json and the
predictions. Exit status: 0 done, 2 something you can put right, with the reason.
"""

import argparse
import csv
import difflib
import json
import logging
import os
import platform
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

import minbert
from minbert import dataset, hub, plots, training
from minbert.config import BOUNDS, OPTION_ALIASES, Config
from minbert.errors import UserError
from minbert.heads import BertSentClassifier
from minbert.metrics import score
from minbert.optimizer import SCHEDULES
from minbert.tokenizer import BertTokenizer
from minbert.weights import save_course_checkpoint

HERE = Path(__file__).parent
SHIPPED = {part: str(HERE / "data" / f"reviews-{part}.txt") for part in ("train", "dev", "test")}
SHIPPED_LABELS = ["0=negative", "1=positive"]


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is answered by one line, and --batch-size is --batch_size."""

    def parse_args(self, arguments):
        def spell(argument):
            flag, equals, value = argument.partition("=")
            return flag.replace("-", "_").replace("__", "--", 1) + equals + value if flag.startswith("--") else argument

        return super().parse_args([spell(argument) for argument in arguments])

    def error(self, message):
        unknown = [word for word in message.split() if word.startswith("--")]
        close = (
            difflib.get_close_matches(unknown[0], self._option_string_actions, n=1) if "unrecognized" in message else []
        )
        hint = f"; did you mean {close[0]}?" if close else ""
        raise UserError(f"{message}{hint} (--help lists all flags)")


def parse(arguments):
    parser = Parser(
        prog="train_classifier.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument_group("data").add_argument
    add("--train", metavar="FILE", help="default: data/reviews-train.txt, with its dev and test files")
    add("--dev", metavar="FILE", help="scored after each epoch; the best epoch is kept")
    add("--test", metavar="FILE", help="scored once, at the end; may lack labels")
    add("--format", choices=dataset.FORMATS, help="default: recognised from the file")
    add("--text_column", metavar="NAME", help="of a table with a header")
    add("--label_column", metavar="NAME", help="of a table with a header")
    add(
        "--labels",
        nargs="+",
        metavar="LABEL",
        help="all classes in the order of their ids, as VALUE or VALUE=NAME; default: those that occur in --train",
    )
    add("--skip_bad_rows", action="store_true", help="list them and go on; default: stop")
    add("--limit", type=natural, metavar="N", help="use the first N rows of each file: a quick look")
    add = parser.add_argument_group("model").add_argument
    add(
        "--model",
        default="all-MiniLM-L6-v2",
        metavar="NAME",
        help="a folder or a name, such as bert-base-uncased; default: %(default)s",
    )
    add(
        "--option",
        type=option,
        metavar="pretrain|flexible",
        help="pretrain: the encoder is frozen, only the linear layer learns (also: freeze, last-linear-layer); "
        "flexible: everything learns (also: finetune, full-model); default: flexible",
    )
    add(
        "--pooling",
        choices=BOUNDS["pooling"],
        help="what the linear layer reads: the pooler's output, the first token, or the mean of all; default: the checkpoint's, or pooler",
    )
    add(
        "--hidden_dropout_prob",
        type=share,
        metavar="P",
        help="dropout before the linear layer (the encoder keeps its own); default: 0.3",
    )
    add("--max_length", type=natural, metavar="N", help="cut texts to N tokens; default: what the model can read")
    add = parser.add_argument_group("training").add_argument
    add("--epochs", type=natural, default=3, metavar="N", help="default: %(default)s")
    add(
        "--lr",
        type=positive,
        metavar="RATE",
        help=f"the peak; default: {training.LEARNING_RATES['pretrain']} with pretrain, {training.LEARNING_RATES['flexible']} with flexible",
    )
    add("--batch_size", type=natural, default=16, metavar="N", help="default: %(default)s")
    add("--weight_decay", type=non_negative, default=0.01, metavar="X", help="default: %(default)s")
    add(
        "--warmup",
        type=non_negative,
        default=0.1,
        metavar="X",
        help="a share of the run if below 1, else steps; default: %(default)s",
    )
    add(
        "--schedule",
        choices=tuple(SCHEDULES),
        default="linear",
        help="of the learning rate after the warm-up; default: %(default)s",
    )
    add("--class_weights", choices=["balanced"], help="weigh each class against its frequency")
    add("--seed", type=int, default=11711, metavar="N", help="default: %(default)s")
    add("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto", help="default: %(default)s")
    add("--use_gpu", action="store_true", help="the same as --device cuda")
    add = parser.add_argument_group("output").add_argument
    add("--out", metavar="FOLDER", help="default: runs/OPTION-EPOCHS-LR")
    add("--dev_out", metavar="FILE", help="predictions as 'pred ||| text'; default: dev_out.txt in --out")
    add("--test_out", metavar="FILE", help="the same for test")
    add("--filepath", metavar="FILE.pt", help="also write the course kits' single-file checkpoint, for torch.load")
    add("--eval_only", action="store_true", help="do not train: score --dev and --test with --model as it is")
    add("--plot", action="store_true", help="also draw the confusion matrices and the learning curve as SVG")
    args = parser.parse_args(arguments)

    args.shipped = not (args.train or args.dev or args.test)
    if args.shipped:
        args.train, args.dev, args.test = SHIPPED.values()
    if args.eval_only:
        args.train = None
    elif not args.train:
        raise UserError("--dev or --test without --train: name the training file too, or pass --eval_only")
    if args.use_gpu:
        args.device = "cuda"
    if args.plot:
        plots.pyplot()  # better now than after the training
    return args


def natural(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return int(text)


def non_negative(text):
    if not 0 <= float(text) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return float(text)


def positive(text):
    if not non_negative(text):
        raise argparse.ArgumentTypeError("0 would learn nothing")
    return float(text)


def share(text):
    if not 0 <= float(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a share from 0 up to 1")
    return float(text)


def option(text):
    name = OPTION_ALIASES.get(text, text)
    if name not in BOUNDS["option"]:
        raise argparse.ArgumentTypeError(f"{text} is neither pretrain nor flexible")
    return name


# The stages


class Clock:
    """Seconds spent in each phase."""

    def __init__(self):
        self.seconds = {}

    @contextmanager
    def __call__(self, phase):
        begin = time.perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - begin


def read_data(args):
    """The files named in args -> {part: Examples}, {part: classes by row}, LabelSet. Prints a summary."""
    files, ids = {}, {}
    if args.labels:
        labels = dataset.LabelSet.declare(args.labels)
    elif args.eval_only:
        labels = stored_labels(args.model)
    elif args.shipped:
        labels = dataset.LabelSet.declare(SHIPPED_LABELS)
    else:
        labels = None
    print("data")
    for part in ("train", "dev", "test"):
        path = getattr(args, part)
        if not path:
            continue
        needed = part == "train" or (part == "dev" and not args.eval_only)
        examples = dataset.read(path, args.format, args.text_column, args.label_column, labels_required=needed)
        if args.limit:
            examples.keep(range(min(args.limit, len(examples.texts))))
        if labels is None:
            labels = dataset.LabelSet.collect(examples)
        if examples.labels:
            ids[part] = labels.ids(examples)
        listing = dataset.refuse_bad_rows(examples, args.skip_bad_rows)
        files[part] = examples
        counts = (
            ", ".join(f"{name} {ids[part].count(id)}" for id, name in enumerate(labels.names))
            if part in ids
            else "no labels"
        )
        columns = f"; columns {examples.columns}" if examples.columns else ""
        skipped = f"; {len(examples.problems)} bad rows left out" if listing else ""
        print(
            f"  {part:5}  {shorten(path)}: {len(examples.texts)} rows ({counts}); {examples.format}{columns}{skipped}"
        )
        if listing:
            print(listing, file=sys.stderr)
    print(
        f"  labels {', '.join(name if name == str(id) else f'{id} = {name}' for id, name in enumerate(labels.names))}"
    )
    return files, ids, labels


def stored_labels(model):
    """The labels that a trained folder was trained with; numbers where it names none."""
    config = Config.from_json(hub.find(model) / "config.json")
    names = config.labels or tuple(str(id) for id in range(config.num_labels))
    return dataset.LabelSet(names, names)


def shorten(path):
    """A path as a person would type it here."""
    return os.path.relpath(path) if Path(path).is_relative_to(Path.cwd()) else path


def load_model(args, labels):
    """The classifier and its tokenizer, from args.model. Prints a summary."""
    changes = {"labels": labels.names, "num_labels": len(labels.names)}
    if args.option:
        changes["option"] = args.option
    if args.pooling:
        changes["pooling"] = args.pooling
    if not args.eval_only:
        changes["classifier_dropout"] = 0.3 if args.hidden_dropout_prob is None else args.hidden_dropout_prob
    model = BertSentClassifier.from_pretrained(args.model, **changes)
    tokenizer = BertTokenizer.from_pretrained(args.model)
    if len(tokenizer) > model.config.vocab_size:
        raise UserError(
            f"{args.model}: vocab.txt has {len(tokenizer)} tokens, but the model only {model.config.vocab_size}"
        )
    return model, tokenizer


def describe(model):
    """Sizes and parameters, for people."""
    config = model.config
    counts = {
        "in all": sum(p.numel() for p in model.parameters()),
        "in the head": sum(p.numel() for p in model.classifier.parameters()),
        "that learn": sum(p.numel() for p in model.parameters() if p.requires_grad),
    }
    print("model")
    print(f"  {model.loaded}")
    print(
        f"  {config.num_hidden_layers} layers, hidden size {config.hidden_size}, {config.num_attention_heads} heads; parameters: "
        + ", ".join(f"{count:,} {where}" for where, count in counts.items())
    )
    meaning = {"pretrain": "the encoder is frozen, only the head learns", "flexible": "everything learns"}[
        config.option
    ]
    print(f"  option {config.option}: {meaning}; the head reads: {config.pooling}")
    return counts


def encode(tokenizer, files, ids, max_length):
    """{part: training.Data}; warns, once for each file, of texts that were cut."""
    data = {}
    for part, examples in files.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            encoding = tokenizer(examples.texts, truncation=True, max_length=max_length)
        data[part] = training.Data(encoding, ids.get(part))
        for warning in caught:
            warn(f"{part}: {warning.message}")
    return data


def warn(sentence):
    print(f"warning: {sentence}", file=sys.stderr)


def warn_before_training(args, files, ids, labels, tokenizer, settings):
    """What a person would want to know before the hour is spent."""
    for sentence in dataset.suspicions(files, ids, labels.names):
        warn(sentence)
    texts = files["train"].texts if "train" in files else []
    if texts and not tokenizer.lower_case and not any(text != text.lower() for text in texts):
        warn(
            f"{args.model} is a cased model, but the training texts have no capital letter: an uncased model fits them better"
        )
    if texts:
        _, total, warmup = settings.steps(len(texts))
        if warmup >= total:
            warn(
                f"the warm-up of {warmup} steps is as long as the run of {total}: the learning rate never reaches its peak"
            )


def show_epochs(epochs):
    """A tqdm bar for each epoch, and a line when it is done."""

    def progress(stream, epoch, steps):
        return tqdm(stream, total=steps, desc=f"epoch {epoch}/{epochs}", unit="batch", leave=False, disable=None)

    def report(figures):
        dev = (
            f"  dev accuracy {figures['accuracy']:.4f}  macro F1 {figures['macro_f1']:.4f}"
            if "accuracy" in figures
            else ""
        )
        best = "  best so far" if dev and figures["best"] else ""
        print(
            f"  epoch {figures['epoch']}  loss {figures['loss']:.4f}{dev}  ({figures['seconds']:.0f} s){best}",
            flush=True,
        )

    return progress, report


def write_predictions(folder, part, examples, gold, probabilities, names, course_file):
    """PART_predictions.csv, and the course kits' file of lines 'pred ||| text'."""
    predicted = probabilities.argmax(-1).tolist()
    with open(folder / f"{part}_predictions.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(["text", "gold", "predicted", *(f"p_{name}" for name in names)])
        for index, text in enumerate(examples.texts):
            label = names[gold[index]] if gold else ""
            row = [round(p, 6) for p in probabilities[index].tolist()]
            writer.writerow([text, label, names[predicted[index]], *row])
    course_file.parent.mkdir(parents=True, exist_ok=True)
    lines = (f"{id} ||| {' '.join(text.split())}\n" for id, text in zip(predicted, examples.texts))
    course_file.write_text("".join(lines), encoding="utf-8")


def prepare(args, folder):
    """Make the folder of the results, before the work that is to be saved in it."""
    inputs = {Path(path).resolve() for path in (args.train, args.dev, args.test) if path}
    for output in (args.dev_out, args.test_out, args.filepath):
        if output and Path(output).resolve() in inputs:
            raise UserError(f"{output} is one of the files to read; it would be overwritten")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").touch()
    except OSError as error:
        raise UserError(f"{folder}: cannot be written to ({error.strerror})") from None


def environment():
    """What a figure may depend on."""
    return {
        "minbert": minbert.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
    }


def main(arguments=None):
    args = parse(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(format="%(message)s", level=logging.ERROR)  # model.loaded says it, in its place
    clock = Clock()
    device = training.pick_device(args.device)
    training.set_seed(args.seed)
    print(
        f"minbert {minbert.__version__}, torch {torch.__version__}, {device}, {torch.get_num_threads()} threads, seed {args.seed}"
    )

    files, ids, labels = read_data(args)
    model, tokenizer = load_model(args, labels)
    option = model.config.option
    settings = training.Settings(
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr or training.LEARNING_RATES[option],
        weight_decay=args.weight_decay,
        warmup=args.warmup,
        schedule=args.schedule,
        balanced=args.class_weights == "balanced",
        seed=args.seed,
    )
    counts = describe(model)
    with clock("tokenise"):
        limit = min(args.max_length or tokenizer.max_length, model.config.max_position_embeddings)
        data = encode(tokenizer, files, ids, limit)
    warn_before_training(args, files, ids, labels, tokenizer, settings)
    if args.eval_only and any(part.startswith("classifier") for part in model.loaded.new):
        warn(f"{args.model} has no classifier for these labels: its new one is random, and so are these scores")
    folder = Path(args.out or ("runs/eval" if args.eval_only else f"runs/{option}-{args.epochs}-{settings.lr}"))
    prepare(args, folder)

    history = []
    if "train" in data:
        steps, total, warmup = settings.steps(len(data["train"]))
        default = "" if args.lr else f", the default for {option}"
        print(
            f"training: {args.epochs} epochs of {steps} batches of {args.batch_size}; AdamW, learning rate {settings.lr}{default}; "
            f"{settings.schedule} schedule, {warmup} steps of warm-up"
        )
        progress, report = show_epochs(args.epochs)
        with clock("train and score dev"):
            history = training.fit(
                model,
                data["train"],
                data.get("dev"),
                settings,
                device,
                tokenizer.pad_token_id,
                progress=lambda stream, epoch: progress(stream, epoch, steps),
                report=report,
            )

    scores = {}
    model.to(device)
    for part in ("dev", "test"):
        if part not in data:
            continue
        with clock("evaluate"):
            logits = training.predict(model, data[part], args.batch_size, device, tokenizer.pad_token_id)
        probabilities = logits.softmax(-1)
        course_file = Path(getattr(args, f"{part}_out") or folder / f"{part}_out.txt")
        write_predictions(folder, part, files[part], ids.get(part), probabilities, labels.names, course_file)
        if part in ids:
            scores[part] = score(ids[part], probabilities.argmax(-1).tolist(), labels.names)
            print(f"\n{part}: accuracy {scores[part].accuracy:.4f}, macro F1 {scores[part].macro_f1:.4f}")
            print(scores[part].report, scores[part].confusion, sep="\n\n")
            if args.plot:
                plots.confusion_matrix(scores[part].matrix, labels.names, part, folder / f"{part}_confusion.svg")

    if history:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        (folder / "labels.txt").write_text("".join(f"{name}\n" for name in labels.names), encoding="utf-8")
        if args.filepath:
            save_course_checkpoint(model, args.filepath)
        if args.plot:
            plots.learning_curve(history, folder / "learning_curve.svg")
    record = {
        "arguments": vars(args),
        "settings": vars(settings),
        "environment": environment() | {"device": str(device)},
        "model": {"loaded": str(model.loaded), "parameters": counts},
        "labels": dict(zip(labels.values, labels.names)),
        "data": {
            part: {"path": file.path, "rows": len(file.texts), "bad_rows": len(file.problems), "sha256": file.sha256}
            for part, file in files.items()
        },
        "epochs": history,
        "scores": {
            part: {"accuracy": s.accuracy, "macro_f1": s.macro_f1, "table": s.table, "confusion": s.matrix}
            for part, s in scores.items()
        },
        "seconds": clock.seconds,
    }
    (folder / "run.json").write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print("\ntime: " + ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in clock.seconds.items()))
    print(f"written to {shorten(folder)}: {', '.join(sorted(file.name for file in folder.iterdir()))}")
    if history:
        print(f"use it again: python train_classifier.py --eval_only --model {shorten(folder)} --test FILE")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nstopped; nothing was saved", file=sys.stderr)
        sys.exit(130)
