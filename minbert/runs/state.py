"""What survives a crash or a full disk: files that are there as a whole or as they were, and runs that go on."""

import hashlib
import json
import os
import signal
import time
from contextlib import contextmanager, suppress

import filelock
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open

from minbert.atomic import atomic_write
from minbert.errors import Stopped, UserError
from minbert.format import FORMAT, KEY, check_format
from minbert.jsonfile import quoted
from minbert.runs import parallel

STATE = "state.safetensors"  # in a run's folder, as long as the run is not done
LOCK = ".lock"  # in it, as long as a process writes there


@contextmanager
def claim(folder):
    """The right to write into a folder, which is made. Raises UserError if another run has it, or nobody can."""
    if not parallel.writer():
        yield
        return
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
    """Write tensors and what JSON can hold in one file, which is whole, or the one before."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    told = json.dumps(facts | {KEY: FORMAT})
    with atomic_write(path) as new:
        safetensors.torch.save_file(tensors, new, metadata={"facts": told, "sha256": sha256_of(tensors, told)})


def sha256_of(tensors, told):
    """The SHA-256 of all that a state holds."""
    sha256 = hashlib.sha256(told.encode())
    for name in sorted(tensors):
        sha256.update(name.encode())
        sha256.update(tensors[name].flatten().view(torch.uint8).numpy())
    return sha256.hexdigest()


def forget(folder):
    """Remove a run's state, now that it is done, and what was written of another when it was killed."""
    for name in (f"{STATE}.new", STATE):
        (folder / name).unlink(missing_ok=True)


def load_facts(path):
    """The facts of what save_state wrote."""
    with state_errors(path), safe_open(path, framework="pt") as file:
        facts = dict(json.loads(file.metadata()["facts"]))
    check_format(path, facts)
    facts.pop(KEY, None)
    return facts


def load_state(path):
    """What save_state wrote: tensors and facts. Raises UserError if one bit of it has changed since."""
    facts = load_facts(path)
    with state_errors(path), safe_open(path, framework="pt") as file:
        tensors, metadata = safetensors.torch.load_file(path), file.metadata()
        if sha256_of(tensors, metadata["facts"]) != metadata["sha256"]:
            raise UserError(f"{path}: is damaged, its SHA-256 is another; the run in this folder has to begin again")
    return tensors, facts


@contextmanager
def state_errors(path):
    """A context in which a state is read; what it lacks, or holds instead, becomes a UserError."""
    try:
        yield
    except UserError:
        raise
    except (OSError, SafetensorError, KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        reason = quoted(str(error), 200)
        raise UserError(f"{path}: is damaged, or not the state of such a run; begin again ({reason})") from None


class Stop:
    """A context in which Ctrl-C and SIGTERM are noted, so that the step can be finished; a second one ends at once.

    asked   the signal that came, 0 as long as none did
    advice  what a person should hear when it has stopped
    """

    SIGNALS, advice = (signal.SIGINT, signal.SIGTERM), ""

    def __enter__(self):
        self.asked, self.before = 0, {number: signal.signal(number, self.note) for number in self.SIGNALS}
        return self

    def note(self, number, frame):
        self.asked = number
        if parallel.size() == 1:  # torchrun sends what the terminal has sent already, and ends what takes too long
            for each in self.SIGNALS:
                signal.signal(each, signal.SIG_DFL)

    def __exit__(self, *error):
        for number, handler in self.before.items():
            signal.signal(number, handler)

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
    """Saves the state of a run whenever it is due, and when the run is to stop.

    path     of the file
    state    called for the tensors and what JSON can hold
    facts    what it depends on, saved with it
    minutes  between two saves
    stop     a Stop
    """

    def __init__(self, path, state, facts, minutes, stop):
        self.path, self.state, self.facts, self.stop = path, state, facts, stop
        self.seconds, self.last = 60 * minutes, time.monotonic()

    def save(self):
        tensors, done = self.state()
        if parallel.writer():
            save_state(self.path, tensors, self.facts | {"done": done})
        self.last = time.monotonic()

    def step(self, due=False):
        """To be called between two steps, by all processes alike. Raises Stopped, if the run is to stop.

        due  save in any case
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
