"""What the commands have in common: flags, how a command is called, and mistakes answered by one line.

A command is a file with its manual as docstring and four functions, in this order:

    flags(parser)    adds its flags
    check(args)      raises UserError for all that can be refused before work begins; returns a Job, what was decided
    run(job)         the work, as a story
    main(arguments)  run(check(common.parse("name", __doc__, flags, arguments)))

At its top it imports light things only, so that --help and a mistyped flag are answered at once: what imports torch or
numpy is imported inside check and run, or where it is used.
"""

import argparse
import gc
import logging
import os
import re
import sys
import warnings
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from minbert.collector import collector_paused
from minbert.config_json import PROBLEM_TYPES
from minbert.errors import Stopped, UserError
from minbert.shell import SCRIPTS, advice, called
from minbert.wording import nearest

LARGEST = 10**9  # number of anything on a command line; torch counts no further than 2^63
SPELLINGS = {f"python {script}": command for command, script in SCRIPTS.items()} | {
    f"minbert {command}": command
    for command in (
        *(
            *SCRIPTS,
            "convert",
            "export",
            "generate",
            "similar",
            "translate",
            "study",
            "page",
            "play",
            "handout",
            "grade",
            "size",
        ),
        "doctor",
    )
}


NO_MANUAL = "python -OO leaves the manuals out: call it without -OO to read this one."


def manual(docstring):
    """A docstring with the commands in it as they are called here; what follows in columns stays in its column."""

    def write(match):
        spelling, rest, gap = match.groups()
        now = called(SPELLINGS[spelling])
        return now + rest + (gap and " " * max(2, len(gap) + len(spelling) - len(now)))

    spellings = "|".join(map(re.escape, sorted(SPELLINGS, key=len, reverse=True)))
    return re.sub(
        rf"(?<!-m )({spellings})(?!\w)([^\n]*?)( {{3,}}|$)", write, docstring or NO_MANUAL, flags=re.MULTILINE
    )


PATHS = ("FILE", "FILE.pt", "FILE.onnx", "FOLDER", "OUT")  # how the manuals call a value that is a path
MODELS = ("model", "vocab", "teacher")  # and these flags take a path or a name


def at_home(path):
    """~/a -> /home/me/a where no shell has done it, as after --out=; a file that has such a name keeps it."""
    return os.path.expanduser(path) if path and path.startswith("~") and not os.path.lexists(path) else path


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake is answered by one line, and --batch-size is --batch_size.

    command    train, say
    docstring  its manual
    """

    def __init__(self, command, docstring):
        super().__init__(
            called(command),
            description=manual(docstring),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def parse_args(self, arguments):
        def spell(argument):
            flag, equals, value = argument.partition("=")
            return "--" + flag[2:].replace("-", "_") + equals + value if flag.startswith("--") else argument

        self.words = [spell(argument) for argument in arguments]
        args = super().parse_args(self.words)
        for action in self._actions:
            if action.metavar in PATHS or action.dest in MODELS:
                value = getattr(args, action.dest)
                setattr(args, action.dest, [*map(at_home, value)] if isinstance(value, list) else at_home(value))
        for name, value in vars(args).items():
            if value == "" or (isinstance(value, list) and "" in value):
                raise UserError(f"--{name} is empty")
        return args

    def error(self, message):
        flags, hint = self._option_string_actions, ""
        unknown = [word for word in self.words if re.match(r"--?[a-zA-Z_]+(=|$)", word)]
        unknown = [word for word in unknown if word.partition("=")[0] not in flags]
        wanted = re.search("expected (one|at least one) argument", message)
        dashed = wanted and not (unknown and unknown[0].startswith("--"))
        wrong = re.match(r"argument (--\w+): invalid choice: '(.*?)' ", message)
        if dashed:
            hint = "; a value that begins with - is written --flag=-value"
        elif unknown:
            if "unrecognized" not in message:  # what is missing may be there, but misspelt
                message = f"unrecognized arguments: {' '.join(unknown)}"
            hint = nearest("--" + unknown[0].partition("=")[0].lstrip("-"), flags)
        elif wrong:
            hint = nearest(wrong[2], flags[wrong[1]].choices)
        raise UserError(f"{message}{hint} (--help lists all flags)")


def parse(command, docstring, flags, arguments):
    """The words after a command -> its settings, each legal by itself. flags(parser) adds the flags."""
    parser = Parser(command, docstring)
    flags(parser)
    return parser.parse_args(arguments)


def number(kind, low, high=float("inf"), wanted=""):
    """A parser of numbers for argparse: low <= number < high, and below LARGEST."""

    def parse(text):
        value = kind(text)
        if not low <= value < high:
            raise argparse.ArgumentTypeError(f"{text} is not {wanted}")
        if value >= LARGEST:
            raise argparse.ArgumentTypeError(f"{text} is too large")
        return value

    parse.__name__ = "whole number" if kind is int else "number"  # argparse: "invalid whole number value: 'x'"
    return parse


natural = number(int, 1, wanted="1 or more")

# Flags of several commands: add("--seed", **common.SEED)
SEED = {
    "type": number(int, 0, 2**32, "from 0 to 4294967295"),
    "default": 11711,
    "metavar": "N",
    "help": "fixes the random numbers; default: %(default)s",
}
DEVICE = {"choices": ("auto", "cpu", "cuda", "mps"), "default": "auto", "help": "default: %(default)s"}
PRECISION = {
    "choices": ("fp32", "bf16", "int8", "int8-always"),
    "default": "fp32",
    "help": "bf16 is faster on GPUs and on CPUs with native bfloat16; int8 is for inference on a CPU: if a short "
    "measurement finds it slower than fp32, minbert uses fp32, except with int8-always; default: %(default)s",
}
PLAIN = {
    "action": "store_true",
    "help": "compute with the plain, written-out code: slower, the same results except for rounding",
}


def add_ray_flags(add):
    cluster = "share the work out by Ray: to the cores of this machine, or to the cluster at ADDRESS"
    add("--ray", nargs="?", const=True, metavar="ADDRESS", help=cluster)
    add("--ray_cpus", type=natural, metavar="N", help="CPUs, and threads, of each worker of Ray; default: 1")


def ray_of(args):
    """A context that gives Ray, connected as --ray says, or None without that flag."""
    from minbert.runs import on_ray

    return on_ray.connected(None if args.ray is True else args.ray) if args.ray else nullcontext()


def check_ray(args):
    """Raise UserError if Ray is asked for and is not installed. Fills in --ray_cpus."""
    from minbert.runs import on_ray

    if args.ray:
        on_ray.package()
        args.ray_cpus = args.ray_cpus or 1
    elif args.ray_cpus:
        raise UserError("--ray_cpus is for --ray: give both")


FILE_FLAGS = ("format", "text_column", "no_header", "encoding", "quoting")


def add_file_flags(add):
    """The flags that say how files are to be read, as formats.How has them."""
    from minbert.files.formats import FORMATS

    add("--format", choices=FORMATS, help="default: recognised from each file")
    add(
        "--text_column", metavar="NAME", help="column or JSON field with the text; without a header: its number, from 1"
    )
    add("--no_header", action="store_true", help="the table has no header: its first line is a row")
    add("--encoding", metavar="NAME", help="such as cp1252; default: UTF-8, or UTF-16 if the file shows it")
    add("--quoting", choices=("none",), help="none: quotation marks in a table are plain text")


def add_span_flags(add):
    """The flags of answers in passages."""
    add(
        "--overlap",
        type=number(int, 0, wanted="0 or more"),
        metavar="N",
        help="how many tokens neighbouring windows of a passage share (the doc_stride of BERT's own code is the step "
        "from one window to the next); default: a third of the window, at most 128",
    )
    add(
        "--null_threshold",
        type=number(float, -1e6, 1e6, "a number"),
        metavar="X",
        help="how much better no answer must be than the best answer; default: 0, where a question may have none",
    )


TWEETS = {
    "action": "store_true",
    "help": "write @user for words that begin with @, and http for links, as models of tweets learnt; a folder that "
    "was trained so needs no flag",
}


def load_tokenizer(name, directory, config):
    """The tokenizer of the model called name. Says so if the model has more vectors than there are tokens.

    Raises UserError as from_pretrained does, also for tokens for which the model has no vectors.
    """
    from minbert import tokenizers

    with warnings_in_a_line():
        tokenizer = tokenizers.from_pretrained(directory)
    if len(tokenizer) < config.vocab_size:
        files = ("vocab.txt", "vocab.json", "sentencepiece.bpe.model", "tokenizer.json")
        file = next((file for file in files if (directory / file).exists()), "the tokenizer")
        sizes = f"{file} has {len(tokenizer)} tokens, but the model has vectors for {config.vocab_size}"
        print(f"note: {name}: {sizes}: the last ones are not used", file=sys.stderr)
    return tokenizer


@contextmanager
def warnings_in_a_line():
    """A context in which the library's warnings are shown as one line each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        print(f"warning: {message}", file=sys.stderr)


@contextmanager
def warnings_once():
    """A context in which a warning of minbert's that nobody else shows is one line on stderr, once, and no error."""
    told, show, home = set(), warnings.showwarning, str(Path(__file__).parent.parent)

    def tell(message, category, filename, *more):
        if category is not UserWarning or not filename.startswith(home):
            show(message, category, filename, *more)
        elif str(message) not in told:
            told.add(str(message))
            print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.filterwarnings("default", category=UserWarning, module=r"minbert\b")
        warnings.showwarning = tell
        yield


@contextmanager
def importing():
    """A context for the import of torch, in which Python does not search for garbage.

    The search would make up more than a tenth of the import, and find nothing: what is imported stays. Nor is it
    searched later on (gc.freeze).
    """
    with collector_paused():
        yield
        gc.freeze()


def check_trained(name, model):
    """Raise UserError if the labels of the classifier called name were not learnt in training."""
    if missing := {"classifier", "pooler" if model.config.pooling == "pooler" else ""} & set(model.loaded.new):
        lacks = f"has no trained {' and no '.join(sorted(missing))}: its labels would be random"
        raise UserError(f"{name} {lacks}; train it first: {advice('train', '--model', name)}")


def problem(config):
    """What the classifier with this config does, as minbert can use it: one of PROBLEM_TYPES."""
    return PROBLEM_TYPES[0] if config.problem_type == "regression" and config.num_labels != 1 else config.problem_type


def readable(path):
    """Raise UserError, as read_examples would, if there is no such file or it may not be read. Reads nothing."""
    from minbert.files.lines import file_errors

    path = Path(path)
    with file_errors(path):
        if path.is_file() or path.is_dir() or not path.exists():  # a pipe that is opened twice may lose its writer
            path.open("rb").close()


def fits(length, name, config):
    """Raise UserError if --max_length is more than the model called name can read."""
    if length and length > config.most_tokens:
        positions = f"{name} has {config.most_tokens} positions"
        raise UserError(f"--max_length is {length}, but {positions}: give {config.most_tokens} or less")


@contextmanager
def streams():
    """A context in which print works wherever a command is called: in a terminal, a notebook, a service without either.

    A stream that is missing or closed swallows what is printed. A terminal that lacks a character of a label shows its
    code. When the command is done, all is as before.
    """
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as null:
        sys.stdout, sys.stderr = (null if is_missing(stream) else stream for stream in before)
        adapts = hasattr(sys.stdout, "reconfigure")  # a notebook's does not
        if adapts:
            settings = {"encoding": sys.stdout.encoding, "errors": sys.stdout.errors, "newline": None}
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            yield
        finally:
            if adapts:
                with suppress(OSError, ValueError):  # closed meanwhile
                    sys.stdout.reconfigure(**settings)
            for name, stream in zip(("stdout", "stderr"), before):
                if getattr(sys, name) is null:  # else it may be another thread's, by now
                    setattr(sys, name, stream)


def is_missing(stream):
    return stream is None or getattr(stream, "closed", False)


def check_here():
    """Raise UserError if the current folder is gone: no relative path leads anywhere then."""
    try:
        os.getcwd()
    except OSError:
        raise UserError("the current folder no longer exists: change to another one with cd") from None


def flush():
    """Flush the standard output. Where that fails, let it swallow the rest: Python flushes once more at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, ValueError, AttributeError):  # no file is behind it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def explain(error):
    """One line for the user about an error, or "" if it is minbert's own fault."""
    if isinstance(error, (UserError, OSError)):  # OSError: a full disk, say
        return str(error)
    if isinstance(error, UnicodeEncodeError):
        letters = error.object[error.start : error.end]
        return f"{letters!a:.40} cannot be written in {error.encoding}: set PYTHONUTF8=1, or rename that file"
    if isinstance(error, ModuleNotFoundError):
        package = (error.name or "minbert").partition(".")[0]
        how = "make train sets everything up in a clone; without make: pip install -c constraints.txt '.[plot]'"
        return "" if package == "minbert" else f"the package {package} is not installed here: {how}"
    gpu = type(error).__name__ == "OutOfMemoryError"  # torch's; it need not be imported to know this
    if gpu or isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        full = "the GPU's memory is full" if gpu else "the memory is full"
        return f"{full}; a smaller --batch_size or --max_length needs less"
    return ""


def run(main, arguments=None):
    """main(arguments), by default the words of the command line. Returns the exit status: 0 done, 2 something the user
    can put right, 130 or 143 stopped by a signal.

    Mistakes are one line on stderr, without a traceback.
    """
    logger = logging.getLogger("minbert")
    level = logger.level
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # before torch's first tensor: see fast/memory.py
    with streams():
        try:
            logger.setLevel(logging.ERROR)  # what was loaded is printed in its place
            check_here()
            with warnings_once():
                main(sys.argv[1:] if arguments is None else arguments)
            sys.stdout.flush()
        except SystemExit as end:  # argparse's, after --help: a notebook is not to end
            return end.code or 0
        except BrokenPipeError:  # the reader, `head` say, closed the pipe
            flush()
        except Stopped as stopped:
            number, what_next = stopped.args
            print(f"\nstopped{what_next}", file=sys.stderr)
            return 128 + number
        except KeyboardInterrupt:
            print("\nstopped", file=sys.stderr)
            return 130
        except (UserError, OSError, MemoryError, RuntimeError, UnicodeEncodeError, ModuleNotFoundError) as error:
            if not (message := explain(error)):
                raise
            print(f"error: {message}", file=sys.stderr)
            flush()
            return 2
        finally:
            logger.setLevel(level)
    return 0
