"""The state of a run: saved so that neither a crash nor a full disk spoils it, and loaded to resume the run."""

import hashlib
import json
import os
import signal
import time
from contextlib import contextmanager, suppress

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from minbert.atomic import atomic_write
from minbert.errors import Stopped, UserError
from minbert.format import KEY, check_format
from minbert.jsonfile import quoted
from minbert.runs import parallel

STATE = "state.safetensors"  # in a run's folder until the run is done
STATE_FORMAT = 2  # 1, up to minbert 0.1.0, had other names for classifiers than for pretraining
LOCK = ".lock"  # in the folder while a process writes there


@contextmanager
def claim(folder):
    """The right to write into a folder, which is made. Raises UserError if another run holds it, or none can."""
    if not parallel.writer():
        yield
        return
    import filelock  # here: whoever only looks for a run's state waits for no more than torch

    lock = filelock.FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise UserError(
            f"another run is writing into {folder}: wait for it, or name another folder with --out"
        ) from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
    try:
        yield
    finally:
        with suppress(OSError):  # Windows removes no file that is open
            os.unlink(lock.lock_file)
        lock.release()


def check_free(folder):
    """Raise UserError if a run is writing into a folder at this moment."""
    if (folder / LOCK).exists():
        with claim(folder):
            pass


def save_state(path, tensors, facts):
    """Write tensors and facts, a dict that JSON can hold, into one file. If that fails, the file before it stays."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(facts | {KEY: STATE_FORMAT})
    with atomic_write(path) as new:
        safetensors.torch.save_file(tensors, new, metadata={"facts": text, "sha256": sha256_of(tensors, text)})


def sha256_of(tensors, text):
    """The SHA-256 of all that a state holds; `text` is its facts."""
    sha256 = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        sha256.update(name.encode())
        sha256.update(tensors[name].flatten().view(torch.uint8).numpy())
    return sha256.hexdigest()


def forget(folder):
    """Remove the state of a run that is done, and a state that was half written when a run was killed."""
    for name in (f"{STATE}.new", STATE):
        (folder / name).unlink(missing_ok=True)


def load_facts(path):
    """The facts that save_state wrote."""
    with state_errors(path), safe_open(path, framework="pt") as file:
        facts = dict(json.loads(file.metadata()["facts"]))
    if (number := check_format(path, facts, STATE_FORMAT)) < STATE_FORMAT:
        formats = f"format {number}; this one reads {STATE_FORMAT}"
        raise UserError(f"{path}: saved by an older minbert ({formats}): finish the run with that one, or begin again")
    facts.pop(KEY)
    return facts


def load_state(path):
    """The tensors and the facts that save_state wrote. Raises UserError if one bit of them has changed since."""
    facts = load_facts(path)
    with state_errors(path), safe_open(path, framework="pt") as file:
        tensors, metadata = safetensors.torch.load_file(path), file.metadata()
        if sha256_of(tensors, metadata["facts"]) != metadata["sha256"]:
            raise UserError(f"{path}: is damaged, its SHA-256 is another; the run in this folder has to begin again")
    return tensors, facts


@contextmanager
def state_errors(path):
    """A context in which a state is read; anything missing or malformed in it raises UserError."""
    try:
        yield
    except UserError:
        raise
    except (OSError, SafetensorError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        reason = quoted(str(error), 200)
        raise UserError(f"{path}: is damaged, or not the state of such a run; begin again ({reason})") from None


class Stop:
    """A context in which Ctrl-C and SIGTERM are noted, so that the step can be finished; a second one ends at once.

    Python lets only the main thread handle signals: in another one, none is noted. A signal that was ignored before
    (by a shell that started the run in the background, say) stays ignored.

    asked   the number of the signal, or 0 if none came yet
    advice  a text for the user, once the run has stopped
    """

    SIGNALS, advice = (signal.SIGINT, signal.SIGTERM), ""

    def __enter__(self):
        self.asked, self.before = 0, {}
        for number in self.SIGNALS:
            handler = signal.getsignal(number)
            if handler not in (signal.SIG_IGN, None):  # None: another language's
                with suppress(ValueError):  # not the main thread
                    signal.signal(number, self.note)
                    self.before[number] = handler
        return self

    def note(self, number, frame):
        self.asked = number
        if parallel.size() == 1:  # torchrun sends what the terminal has sent already, and ends what takes too long
            self.restore()  # not SIG_DFL, which would end a notebook's kernel

    def restore(self):
        """Let the handlers from before act again."""
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def __exit__(self, *error):
        self.restore()

    def watch(self, stream, save=lambda: None):
        """The stream, with a stop between two of its items. Several processes, of which each has a stream, do not stop.

        save  called before it stops
        """
        for item in stream:
            if self.asked and parallel.size() == 1:
                save()
                raise Stopped(self.asked, self.advice)
            yield item


class Autosave:
    """Saves the state of a run every few minutes, when it is due, and before the run stops.

    path     of the file
    state    returns the tensors and the progress, as Loop.state
    facts    what the run depends on, saved with its state
    minutes  between two saves
    stop     a Stop
    """

    def __init__(self, path, state, facts, minutes, stop):
        self.path, self.state, self.facts, self.stop = path, state, facts, stop
        self.seconds, self.last = 60 * minutes, time.monotonic()

    def save(self):
        tensors, progress = self.state()
        if parallel.writer():
            save_state(self.path, tensors, self.facts | {"progress": progress})
        self.last = time.monotonic()

    def step(self, due=False):
        """Call this between two steps, in all processes alike. Raises Stopped if a signal asked the run to stop.

        due  save now
        """
        due = due or time.monotonic() - self.last >= self.seconds
        asked = parallel.highest(self.stop.asked or int(due))
        if asked:
            self.save()
        if asked > 1:
            raise Stopped(asked, self.stop.advice)

    def watch(self, stream):
        """The stream, with a stop between two of its items."""
        return self.stop.watch(stream, self.save)
