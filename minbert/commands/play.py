"""Ask models about a text in the browser: a playground on this machine alone.

    minbert play                                            with tiny, a small language model, part of minbert
    minbert play --lm bert-base-uncased                     another language model: a folder or a name
    minbert play --model runs/flexible-3-0.0001             a classifier that you have trained
    minbert play --model runs/flexible-3-0.0001 --lm tiny   both, on one page

You type a text and see its tokens, its class and the words that decided, what may stand at a [MASK], which word comes
next, how probable each token is, and where the heads look. Ctrl-C ends it.

The page is at http://127.0.0.1:8765 and a secret that changes each time: nobody else on this machine can open it, and
no other web page can ask it. Nothing that you type is kept. For a playground on another machine, let ssh bring it here:
    ssh -L 8765:127.0.0.1:8765 MACHINE minbert play --no_open

Exit status: 0 ended by Ctrl-C, 2 a mistake that you can fix, with the reason.
"""

import os
import sys
import tempfile
import threading
import webbrowser
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from minbert.commands import common
from minbert.errors import UserError

DEFAULT_LM, PORT = "tiny", 8765


def flags(parser):
    add = parser.add_argument
    add("--model", metavar="FOLDER", help="a trained classifier: a folder that training has written")
    add("--lm", metavar="NAME", help=f"a language model; default: {DEFAULT_LM}, or with --model none")
    port = common.number(int, 0, 65536, "a port, from 0 to 65535")
    add("--port", type=port, default=PORT, metavar="N", help="default: %(default)s; 0: one that is free")
    add("--no_open", action="store_true", help="only print the address, and open no browser")


@dataclass(frozen=True)
class Job:
    """What was decided before the work begins."""

    model: str | None
    lm: str | None
    port: int
    no_open: bool


def check(args):
    """Refuse everything that can be refused before the models are loaded. Returns the Job."""
    from minbert import families
    from minbert.commands.predict import check_run
    from minbert.weights import hub

    lm = args.lm or (None if args.model else DEFAULT_LM)
    if args.model:
        check_run(args.model)
        hub.find(args.model)
    if lm:
        families.class_of(hub.find(lm), language_kind(lm), lm)
    return Job(args.model, lm, args.port, args.no_open)


def run(job):
    """Load the models, then serve until Ctrl-C."""
    from minbert.commands.probe_tables import NOTES
    from minbert.fast.memory import retain_freed_memory
    from minbert.pages.playground import Playground
    from minbert.pages.server import Server

    retain_freed_memory()
    classifier = load_classifier(job.model) if job.model else None
    language = load_language(job.lm) if job.lm else None
    playground = Playground(classifier, language, NOTES)
    with Server(playground.page(), playground.ask, job.port, warn) as server, opened(server.address, job.no_open):
        for model in filter(None, playground.models.values()):
            print(f"{model.kind}: {model.name}", file=sys.stderr)
        print(server.address, flush=True)
        print("open this address in a browser of this machine; Ctrl-C ends", file=sys.stderr, flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            playground.stop()
            server.model.acquire()  # and keep it: Python cannot end well while another thread uses tensors
            print("\nstopped", file=sys.stderr)


def warn(text):
    print(text, file=sys.stderr, flush=True)


def load_classifier(name):
    """The classifier of a folder. Raises UserError for a model that has none, or that needs more than one text."""
    from minbert import families, fast, tasks
    from minbert.files import mentions
    from minbert.pages.answering import Classifier
    from minbert.study.evidence import explain
    from minbert.weights import hub

    directory = hub.find(name)
    config = families.read_config(directory)
    learnt, task = tasks.learnt(directory), tasks.of_model(directory, common.problem(config))
    if task.kind == "spans" or learnt.get("pairs"):
        raise UserError(f"{name} reads two texts at a time, and the playground has one: use minbert predict")
    tokenizer = common.load_tokenizer(name, directory, config)
    model = families.load(directory, task.head, problem_type=common.problem(config), random=False)
    common.check_trained(name, model)
    fast.swap_in(model), fast.swap_in(tokenizer)
    tweets, _ = mentions.choose(name, directory, False)
    return Classifier(Path(name).name, model, tokenizer, task.trained(learnt), tweets, explain)


def language_kind(name):
    """Which kind of language model it is: "causal" or "masked"."""
    from minbert import families
    from minbert.weights import hub

    return "causal" if "causal" in families.of(hub.find(name)).MODELS else "masked"


def load_language(name):
    """The language model of that name."""
    from minbert import families
    from minbert.pages.expecting import Causal, Masked
    from minbert.weights import hub

    directory, kind = hub.find(name), language_kind(name)
    tokenizer = common.load_tokenizer(name, directory, families.read_config(directory))
    model = families.load(directory, kind, random=False)
    return {"masked": Masked, "causal": Causal}[kind](Path(name).name, model, tokenizer)


@contextmanager
def opened(address, never=False):
    """A context with the page in a browser, if there is a screen for one.

    The browser gets a file that leads to the address and that nobody else may read: the words of a command line, and
    with them the secret, can be seen by all users of a machine.
    """
    screen = os.name == "nt" or sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & {*os.environ}
    if never or not screen:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:  # for this user alone
        path = Path(folder, "minbert.html")
        path.write_text(f'<meta http-equiv="refresh" content="0;url={address}">\n', encoding="utf-8")
        threading.Thread(target=webbrowser.open, args=(path.as_uri(),), daemon=True).start()
        yield


def main(arguments):
    run(check(common.parse("play", __doc__, flags, arguments)))
