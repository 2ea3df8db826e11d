"""Train a BERT to classify texts, and measure how well it does.

    python train_classifier.py                              a small real BERT on the reviews in data/
    python train_classifier.py --option pretrain            the encoder frozen: only the last linear layer learns
    python train_classifier.py --train my-train.csv --dev my-dev.csv --test my-test.csv \\
           --text_column tweet --label_column stance        your own texts: CSV, JSONL, Parquet and others
    python train_classifier.py --model bert-base-uncased    another encoder: a folder, or a name
    python train_classifier.py --eval_only --model runs/flexible-3-0.0001 --test new.txt
                                                            evaluate an earlier run on other texts
    python train_classifier.py --resume runs/flexible-3-0.0001
                                                            resume a run that was stopped, or killed
    torchrun --nproc_per_node=2 -m minbert train            two processes, each with its share of every batch
                                                            (minbert/runs/parallel.py)

Everything goes into one folder (--out): model.safetensors, config.json, vocab.txt, labels.txt, run.json and the
predictions. A run that Ctrl-C or SIGTERM stops saves its state there first, as it does after each epoch and every few
minutes. Exit status: 0 done, 2 a mistake that you can fix, with the reason, 130 or 143 stopped.
"""

import argparse
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

from minbert import shipped
from minbert.commands import common
from minbert.commands.common import natural, number
from minbert.config import BOUNDS, OPTION_ALIASES, Config
from minbert.config_json import unfit_classifier
from minbert.errors import UserError
from minbert.jsonfile import quoted
from minbert.shell import advice, quote
from minbert.wording import counted

SHIPPED = shipped.folder("data")
SHIPPED_LABELS = ("negative", "positive")
PARTS = ("train", "dev", "test")
TINY = "tiny"
RATES = {"pretrain": 1e-3, "flexible": 5e-5}  # learning rates: of a new linear layer alone, or of all of BERT
# Narrow models get twice the default rate.
NARROW = 384
EPOCHS = 3
FIRST_RUN = {"epochs": 1, "lr": 2e-4}  # of tiny on the shipped reviews: it is to take about a minute
# Flags that do not change the result: they may be given, or given again, with --resume. So may those that say where
# something is that the run began with: what is in it is compared.
PLACES = (*PARTS, "model")
OUTPUT = ("resume", "out", "dev_out", "test_out", "filepath", "plot", "page", "slices", "no_baseline", "save_minutes")
READ = (*common.FILE_FLAGS, "label_column", "pair_column")  # the fields of formats.How
OWN_SLICES = ("kind", "topic")  # columns of the files in data/reviews


def option(text):
    name = OPTION_ALIASES.get(text, text)
    if name not in BOUNDS["option"]:
        hint = common.nearest(text, [*BOUNDS["option"], *OPTION_ALIASES])
        raise argparse.ArgumentTypeError(f"{text} is neither pretrain nor flexible{hint}")
    return name


def flags(parser):
    amount = number(float, 0.0, wanted="0 or more")
    add = parser.add_argument_group("data").add_argument
    add("--train", metavar="FILE", help="default: the reviews in data/, with their dev and test files")
    add("--dev", metavar="FILE", help="scored after each epoch; the best epoch is kept")
    add("--test", metavar="FILE", help="scored once, at the end; may lack labels")
    common.add_file_flags(add)
    add("--label_column", metavar="NAME", help="as --text_column")
    add("--tweets", **common.TWEETS)
    add("--pair_column", metavar="NAME", help="of a second text: rows are pairs; default: by known names of both")
    add(
        "--label_kind",
        choices=("class", "number", "several", "tags", "spans"),
        help="class: one class; number: a number such as a rating; several: labels joined by |; tags: a tag for each "
        "word, in CoNLL; spans: answers in a passage, in SQuAD's JSON; default: seen from the file, class for a table, "
        "or what --eval_only finds in the model",
    )
    add("--null_label", metavar="NAME", help="also give the micro F1 without this class, and choose the epoch by it")
    add("--labels", nargs="+", metavar="LABEL", help="VALUE or VALUE=NAME of each class; default: those in --train")
    add("--skip_bad_rows", action="store_true", help="list bad rows and go on; default: list them and stop")
    add("--limit", type=natural, metavar="N", help="use the first N rows of each file, for a quick look")
    add = parser.add_argument_group("model").add_argument
    add("--model", default=TINY, metavar="NAME", help="a folder or a known name; default: %(default)s")
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
    common.add_span_flags(add)
    add = parser.add_argument_group("training").add_argument
    add(
        "--epochs",
        type=natural,
        metavar="N",
        help=f"default: {EPOCHS}; for the first run, with neither --train nor --model, {FIRST_RUN['epochs']}",
    )
    add(
        "--lr",
        type=number(float, 1e-12, 10.0, "above 0 and below 10"),
        metavar="RATE",
        help=f"the highest learning rate; default: {RATES['pretrain']} for pretrain, {RATES['flexible']} for flexible, "
        f"twice that up to a hidden size of {NARROW}; for that first run {FIRST_RUN['lr']}",
    )
    add("--batch_size", type=natural, default=16, metavar="N", help="default: %(default)s")
    add("--weight_decay", type=amount, default=0.01, metavar="X", help="default: %(default)s")
    add("--warmup", type=amount, default=0.1, metavar="X", help="a share of the run, or steps; default: %(default)s")
    add("--schedule", choices=("linear", "constant"), default="linear", help="after the warm-up; default: %(default)s")
    add("--class_weights", choices=["balanced"], help="give rare classes more weight")
    add("--seed", **common.SEED)
    add("--precision", **common.PRECISION)
    add("--device", **common.DEVICE)
    add("--use_gpu", action="store_true", help="the same as --device cuda")
    add("--plain", **common.PLAIN)
    add("--eval_only", action="store_true", help="do not train: score --dev and --test with --model as it is")
    add = parser.add_argument_group("output").add_argument
    add("--out", metavar="FOLDER", help="default: runs/OPTION-EPOCHS-LR")
    add(
        "--dev_out",
        metavar="FILE",
        help="predictions as 'pred ||| text', tags as CoNLL, answers as JSON; default: dev_out.txt, dev_out.conll or "
        "dev_out.json in --out",
    )
    add("--test_out", metavar="FILE", help="the same for --test")
    add("--filepath", metavar="FILE.pt", help="also write the course kits' one-file checkpoint, for torch.load")
    add("--excel_safe", action="store_true", help="in CSV, an apostrophe before what a spreadsheet takes for a formula")
    add("--plot", action="store_true", help="also draw confusion matrices and the learning curve as SVG")
    add("--page", action="store_true", help="also write page.html: scores and mistakes for a browser (minbert page)")
    add(
        "--slices",
        nargs="+",
        metavar="COLUMN",
        help="also give the accuracy by the values of these columns of --dev and --test; default: "
        f"{' and '.join(OWN_SLICES)} for the reviews in data/reviews, none for other files",
    )
    add("--no_baseline", action="store_true", help="do not train simple systems to compare with")
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
        help="resume the run that was stopped in FOLDER, with the flags it began with; of these, repeat those of this "
        "group (output) that you want, and --train, --dev, --test or --model if the file or folder has moved",
    )


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    arguments: dict  # all flags, as run.json and the state of a stopped run hold them
    output_flags: tuple  # the names of those on which the result does not depend
    files: dict  # {"train": path, "dev": path, "test": path}, those that there are
    course_files: dict  # {"dev": path, "test": path} of the predictions in the course kits' form
    outputs: list  # paths of what is written outside the folder
    folder: Path  # of the results
    directory: Path  # of the model
    device: object  # torch.device
    settings: object  # training.Settings; None: evaluate only
    how_to_resume: str  # command lines
    how_to_use: str
    task: object  # tasks.Task
    view: object  # runs.scored.View
    how: object  # formats.How, to read files by
    tweets: bool  # whether @user and http are written for names and links
    slices: dict  # {"dev": columns, "test": columns} by whose values to split the scores
    # as the flags of the same names say
    labels: list | None
    skip_bad_rows: bool
    limit: int | None
    model: str
    option: str
    pooling: str | None
    hidden_dropout_prob: float
    max_length: int | None
    lr: float | None
    seed: int
    precision: str
    plain: bool
    filepath: str | None
    excel_safe: bool
    plot: bool
    page: bool
    no_baseline: bool
    save_minutes: float
    resume: str | None


def check(args):
    """Refuse everything that can be refused before the work begins. Returns the Job."""
    from minbert import families
    from minbert.files import mentions
    from minbert.files.formats import How
    from minbert.runs import parallel, plots, report, scored, selftest
    from minbert.weights import hub

    args = resume(args) if args.resume else args
    complete(args)
    if args.plot:
        plots.pyplot()  # better to fail now than after the training
    files = {part: getattr(args, part) for part in PARTS if getattr(args, part)}
    outputs = [path for path in (args.dev_out, args.test_out, args.filepath) if path]
    for part, path in files.items():
        with moved(args, part):
            common.readable(path)
    report.check_outputs(Path(args.out or "runs/new"), files.values(), outputs)
    if args.filepath and not replaceable(Path(args.filepath)):
        raise UserError(f"{args.filepath} exists and is not a checkpoint: name another file with --filepath")
    device = selftest.pick_device(args.device)
    with moved(args, "model"):
        directory = hub.find(args.model)
    parallel.take_device(device)
    config = families.read_config(directory)
    task = choose_task(args, directory, config, files)
    check_model(args, directory, config, task)
    tweets, note = mentions.choose(args.model, directory, args.tweets, learns=not args.eval_only)
    if tweets and "tweets" in task.refused:
        tweets, note = False, f"{args.model} learnt from tweets; answers are slices of texts, which stay as they are"
    if note:
        report.say(f"note: {note}")
    settings = None if args.eval_only else choose_settings(args, config)
    folder = Path(args.out or (f"runs/{args.option}-{args.epochs}-{settings.lr}" if settings else "runs/eval"))
    if settings and not args.resume:
        check_new(folder)
    report.check_outputs(folder, [*files.values(), *directory.iterdir()], outputs)
    selftest.self_test(device, args.precision, learns=not args.eval_only)
    given = {field.name: getattr(args, field.name, None) for field in fields(Job)}
    decided = {
        "arguments": dict(vars(args)),
        "output_flags": OUTPUT,
        "files": files,
        "course_files": {
            part: getattr(args, f"{part}_out") or folder / f"{part}_{task.form}" for part in ("dev", "test")
        },
        "outputs": outputs,
        "folder": folder,
        "directory": directory,
        "device": device,
        "settings": settings,
        "task": task,
        "view": scored.view(task),
        "how": How(**{name: getattr(args, name) for name in READ}, pairs=True),
        "tweets": tweets,
        "slices": {part: args.slices or own_slices(path) for part, path in files.items() if part != "train"},
        "how_to_use": advice("train", "--eval_only", "--model", report.short(folder), "--test", "FILE"),
        "how_to_resume": advice("train", "--resume", report.short(folder)),
    }
    return Job(**given | decided)


def own_slices(path):
    """The columns by which the scores of a file are split if none are named."""
    return OWN_SLICES if Path(path).resolve().parent == (SHIPPED / "reviews").resolve() else ()


@contextmanager
def moved(args, name):
    """A context in which something is looked for; with --resume, an error tells how to say where it is now."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{error}; if it has moved, add --{name}" if args.resume else error) from None


def complete(args):
    """Refuse flags that contradict each other, and fill in what follows from the others."""
    if args.eval_only and (args.train or args.filepath):
        raise UserError("--eval_only does not train: leave --train and --filepath out")
    if not (args.train or args.dev or args.test):
        if (args.option, args.model, args.eval_only, args.epochs) == ("flexible", TINY, False, None):
            args.epochs, args.lr = FIRST_RUN["epochs"], args.lr or FIRST_RUN["lr"]
        args.train, args.dev, args.test = (str(SHIPPED / "reviews" / f"{part}.csv") for part in PARTS)
        args.labels = args.labels or SHIPPED_LABELS
        args.train = None if args.eval_only else args.train
    elif not (args.train or args.eval_only):
        raise UserError("--dev or --test without --train: name the training file too, or pass --eval_only")
    args.epochs = args.epochs or EPOCHS
    if args.slices and not (args.dev or args.test):
        raise UserError("--slices splits scores: name a file to score with --dev or --test")
    if args.page and not (args.dev or args.test):
        raise UserError("--page shows predictions: name a file to predict with --dev or --test")
    if args.use_gpu:
        args.device = "cuda"
    if args.precision.startswith("int8"):
        if not args.eval_only or args.device not in ("auto", "cpu"):
            raise UserError("--precision int8 is for inference on a CPU; add --eval_only, and leave out the GPU")
        if args.plain:
            raise UserError("--plain computes in float32 or bfloat16: leave out --plain or --precision int8")
        args.device = "cpu"


def resume(args):
    """The flags that a stopped run was started with, and those of the output group that are given now."""
    from minbert.runs import state

    folder, defaults = Path(args.resume), common.parse("train", __doc__, flags, [])
    given = [name for name, value in vars(args).items() if value != getattr(defaults, name)]
    if foreign := [f"--{name}" for name in given if name not in (*OUTPUT, *PLACES) or name == "out"]:
        raise UserError(f"--resume goes on as the run began: leave out {', '.join(foreign)}")
    if not folder.is_dir():
        raise UserError(f"--resume: there is no folder {folder}")
    state.check_free(folder)
    if (folder / "pretraining.json").exists():
        raise UserError(f"{folder} holds a run of pretraining: {advice('pretrain', '--resume', folder)}")
    if not (folder / state.STATE).exists():
        if (folder / "run.json").exists():
            raise UserError(
                f"the run in {folder} is done; use it with {quote('--eval_only', '--model', folder, '--test', 'FILE')}"
            )
        raise UserError(f"{folder} holds no stopped run: there is no {state.STATE} in it")
    words, stored = [], state.load_facts(folder / state.STATE)
    with state.state_errors(folder / state.STATE):
        for name, value in stored["arguments"].items():
            if name not in vars(args):
                unknown = f"the run began with {quoted(name)}, a flag that this minbert does not know"
                raise UserError(f"{folder / state.STATE}: {unknown}: go on with the minbert that began it")
            if name in OUTPUT:  # a stranger's state may not say where to write
                raise KeyError(name)
            if isinstance(value, list):
                words += [f"--{name}", *value]
            elif value is not None and value is not False:  # 0 is a value
                words.append(f"--{name}" if value is True else f"--{name}={value}")
        began = common.parse("train", __doc__, flags, words)
    for name in given:
        setattr(began, name, getattr(args, name))
    began.out = args.resume  # wherever it was when the run began
    return began


def replaceable(path):
    """Whether nothing is lost if a checkpoint is written there: no file, an empty one, or one by torch.save."""
    if not path.is_file() or not path.stat().st_size:
        return True
    try:
        with zipfile.ZipFile(path) as file:
            return any(name.endswith("/data.pkl") for name in file.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def check_new(folder):
    """Raise UserError for a folder with a stopped run, which a new one would write over."""
    from minbert.runs import state

    state.check_free(folder)
    path = folder / state.STATE
    if path.exists():
        ways = f"go on with {quote('--resume', folder)}, name another --out, or delete {path} to begin again"
        raise UserError(f"{folder} holds a stopped run: {ways}")


def choose_task(args, directory, config, files):
    """The task of a run; --label_kind is filled in. Raises UserError if a file, a flag or the model contradicts it."""
    from minbert import families, tasks
    from minbert.files import kinds

    stored = tasks.of_model(directory, common.problem(config))
    if not args.label_kind:
        first = args.train and not args.format and kinds.kind_of(args.train, args.encoding)
        args.label_kind = stored.kind if args.eval_only else first or "class"
    task = tasks.TASKS[args.label_kind]
    for path in () if args.format else files.values():
        kinds.check_kind(path, task.kind, args.encoding)
    defaults = common.parse("train", __doc__, flags, [])
    if given := [f"--{name}" for name in task.refused if getattr(args, name) != getattr(defaults, name)]:
        raise UserError(f"--label_kind {task.kind} has no use for {', '.join(given)}: leave it out")
    families.class_of(directory, task.head, args.model)
    return task.with_flags(vars(args)).trained(tasks.learnt(directory) if args.eval_only else {})


def check_model(args, directory, config, task):
    """Raise UserError for flags that do not go with the model, before the data or its weights are read."""
    path = directory / "config.json"
    unfit = args.eval_only and unfit_classifier(path, config.form, task.problem, task.of)
    if unfit:
        raise UserError(
            f"{args.model}: its classifier {unfit}: it cannot be scored; without --eval_only, train a new one"
        )
    if args.pooling and args.pooling not in config.bounds["pooling"]:
        ways = " or ".join(config.bounds["pooling"])
        raise UserError(f"--pooling {args.pooling}: the classifier of a {config.form.title} reads {ways}: leave it out")
    if args.filepath and type(config) is not Config:
        raise UserError(f"--filepath writes what the course kits read, a BERT; {args.model} is a {config.form.title}")
    common.fits(args.max_length, args.model, config)
    common.load_tokenizer(args.model, directory, config)
    shipped = args.eval_only and args.dev == str(SHIPPED / "reviews" / "dev.csv")
    classes = config.labels or tuple(map(str, range(config.num_labels)))
    if shipped and classes not in (("0", "1"), SHIPPED_LABELS):
        reason = f"the reviews in data/ are negative or positive, but {args.model} tells {', '.join(classes)}"
        raise UserError(f"--eval_only: name your texts with --test; {reason}")
    if args.eval_only and args.labels and config.labels and len(args.labels) != config.num_labels:
        known = f"but {args.model} knows {config.num_labels}: {', '.join(config.labels)}"
        raise UserError(
            f"--labels names {counted(len(args.labels), 'class', 'classes')}, {known}; leave --labels out to use these"
        )


def choose_settings(args, config):
    """How to train, from the flags and the defaults that depend on the option."""
    from minbert.training import Settings

    return Settings(
        epochs=args.epochs,
        batch_size=args.batch_size,
        lr=args.lr or default_rate(args.option, config.hidden_size),
        weight_decay=args.weight_decay,
        warmup=args.warmup,
        schedule=args.schedule,
        balanced=args.class_weights == "balanced",
        precision=args.precision,
        seed=args.seed,
    )


def default_rate(option, hidden_size):
    """The highest learning rate, if none is given."""
    return RATES[option] * (2 if option == "flexible" and hidden_size <= NARROW else 1)


def run(job):
    """Files -> examples -> ids -> a trained model -> its scores; all of it in job.folder."""
    from minbert.fast.memory import retain_freed_memory
    from minbert.runs import parallel, report, stages, state
    from minbert.training import set_seed

    retain_freed_memory()
    seconds = {}
    set_seed(job.seed)
    report.header(job.device, job.seed)
    job, examples, gold, labels = stages.read_data(job)
    values = job.view.values(job, examples, gold)
    model, tokenizer = stages.load(job, labels)
    if parallel.writer():
        report.prepare(job.outputs)
    with state.claim(job.folder), state.Stop() as stop:
        facts = stages.facts(job, examples)
        with stages.timed(seconds, "tokenise"):
            data, encodings = stages.encode(job, tokenizer, model, examples, gold, labels)
        stages.warn_before_training(job, examples, gold, labels, model, tokenizer, data)
        history = stages.train(job, model, examples, data, encodings, facts, stop, seconds) if job.settings else []
        if history and parallel.writer():
            stages.save(job, model, tokenizer, labels, history)
        with stages.timed(seconds, "evaluate"):
            scored = stages.evaluate(job, model, examples, gold, data, labels, stop)
        if not parallel.writer():
            return
        with stages.timed(seconds, "compare"):
            rivals, verdict = job.view.compare(job, examples, gold, labels, scored)
        more = job.view.show(job, examples, labels, scored, rivals, verdict, values)
        if job.settings:
            more["learnt"] = {"pairs": bool(examples["train"].pairs)} | job.task.learnt
        scores = {part: each.record for part, each in scored.items()}
        report.write_run(job, model, labels, examples, history, scores, seconds, more)
        write_page(job)
        if job.settings:  # the run is done
            state.forget(job.folder)
    report.say("time: " + ", ".join(f"{phase} {amount:.1f} s" for phase, amount in seconds.items()))
    stages.next_steps(job, model, examples, scored)


def write_page(job):
    """With --page: the run's page, in its folder."""
    if job.page:
        from minbert.pages.run import run_page

        run_page(job.folder).write(job.folder / "page.html")


def main(arguments):
    run(check(common.parse("train", __doc__, flags, arguments)))
