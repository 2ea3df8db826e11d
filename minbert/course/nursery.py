"""The side of the students' code: a process that has imported torch, knows no secret, and forks a pupil for each part.

A pupil seals itself, imports a student's files, answers questions with arrays, and ends. The parent's side of this
talk is asking.py. What runs here sees the kit only: the package with the blanks, in a folder of its own.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import traceback

CHANNEL = 3  # the pupil's descriptor for questions and answers; 0 is empty, 1 and 2 are the text it prints


def main(control: int, readable: list[str]) -> None:
    """Serve until the other end of `control` is closed. readable: what every pupil may read.

    A message is a line of JSON, with the descriptors of channel and text where it asks for a pupil.
    """
    prepare()
    with socket.socket(fileno=control) as line:
        send(line, {"memory": resident()})
        while True:
            message, descriptors, _, _ = socket.recv_fds(line, 1 << 16, 2)
            if not message:
                return
            order = json.loads(message)
            pid = fork(order, descriptors, line, readable)
            for descriptor in descriptors:
                os.close(descriptor)
            send(line, {"pid": pid})
            line.recv(1 << 16)  # "end it"; or nothing, if the judge is gone
            send(line, end(pid))


def prepare():
    """Import what the pupils need, so that they share it. No tensor is made: forks and threads do not mix."""
    import tempfile

    import torch
    import torch._dynamo  # optimizers import it at their first step: 1 s of every pupil's time

    from minbert.course import adapter, frames, probes, seal  # noqa: F401

    torch.set_num_threads(1)
    torch.set_num_threads = torch.set_num_interop_threads = lambda number: None  # a pupil that asks for more would end
    tempfile.tempdir = "/nonexistent"  # torch asks where it could write, and is content with any answer
    if sys.platform.startswith("linux"):
        seal.call("prctl", 36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what a pupil leaves behind becomes ours
        seal.hide_memory()


def send(line, message):
    try:
        line.sendall(json.dumps(message).encode() + b"\n")
    except OSError:
        sys.exit()  # the judge is gone


def resident():
    """Of this process, in megabytes; 0 where it cannot be read."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20
    except OSError:
        return 0


def fork(order, descriptors, line, readable):
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        leave = os._exit
        status = 1
        try:
            line.detach()
            become_pupil(order, descriptors, readable)
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 0 if error.code is None else 1
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    stream.flush()
            leave(status & 255)
    return pid


def become_pupil(order, descriptors, readable):
    import fcntl

    from minbert.course import frames, seal

    os.setsid()
    channel, text = (fcntl.fcntl(descriptor, fcntl.F_DUPFD, 16) for descriptor in descriptors)
    nothing = os.open(os.devnull, os.O_RDWR)
    for source, target in ((nothing, 0), (text, 1), (text, 2), (channel, CHANNEL)):
        os.dup2(source, target)
    os.closerange(CHANNEL + 1, 1 << 16)
    signal.set_wakeup_fd(-1)
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = open(descriptor, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
    sys.argv = [""]
    os.chdir(order["room"])
    steps = seal.seal([*readable, order["room"]], order["seconds"], order["megabytes"])
    if "secret" in order:  # a trial: no student's code is here
        steps |= try_the_seal(order)
    write(CHANNEL, frames.pack_record(0, steps))  # the last word before a student's code can speak
    if "scan" in order:
        scan(order["room"], order["scan"])
    elif "part" in order and seal.LEVELS.index(seal.level(steps)) >= seal.LEVELS.index(order["level"]):
        answer(order)


def scan(room, names):
    """Read each file, without running it: the hashes of its tokens, and what it uses."""
    import numpy as np

    from minbert.course import adapter, frames, similarity

    for name in names:
        with open(os.path.join(room, adapter.spot(name)), "rb") as file:
            source = file.read()
        values = {"grams": np.array(similarity.grams(source), dtype=np.int64).reshape(-1, 2)}
        write(CHANNEL, frames.pack_record(0, values | {"uses": similarity.uses(source)[:100]}))


def answer(order):
    """Load the student's files and answer each question that comes."""
    import minbert
    from minbert.course import adapter, frames, probes

    minbert.__path__.insert(0, os.path.join(order["room"], "minbert"))
    probes.probes(order["part"])  # imports them, before a student's code can
    own = os.path.join(order["room"], "own", "minbert")
    with open(CHANNEL, "rb", closefd=False) as questions, adapter.adapted(own, order["names"]) as code:
        while (question := frames.read_record(questions.read)) is not None:
            number, arguments = question
            found = probes.call(order["part"], arguments.pop(""), code, arguments)
            raised = found.pop(probes.RAISED, None)
            reply = [pack(number, stage, array) for stage, array in enumerate(found.values())]
            reply += [] if raised is None else [pack(number, frames.RAISED, raised)]
            write(CHANNEL, b"".join(reply))


def pack(number, stage, array):
    from minbert.course import frames

    try:
        return frames.pack(number, stage, array)
    except frames.FrameError as error:
        return frames.pack(number, frames.RAISED, ["TypeError", str(error), ""])


def write(descriptor, content):
    content = memoryview(content)
    while content:
        content = content[os.write(descriptor, content) :]


def end(pid):
    """Kill a pupil and all that it started: its exit status (negative: a signal) and memory."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    for _ in range(100):  # what it left behind is ours by now, generation after generation
        for child in children():
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return {"status": os.waitstatus_to_exitcode(status), "memory": usage.ru_maxrss // unit}


def children():
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def try_the_seal(order):
    """What a pupil could do after all: {attempt: "refused", or "possible"}"""
    import socket

    attempts = {
        "read a file": lambda: open(order["secret"]).close(),
        "write a file": lambda: open(order["secret"], "a").close(),
        "list a folder": lambda: os.listdir(os.path.dirname(order["secret"])),
        "change a file's mode": lambda: os.chmod(order["secret"], 0o600),
        "open a socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "start a process": lambda: os.fork() or os._exit(0),
        "signal another process": lambda: os.kill(os.getppid(), 0),
        "read another's memory": lambda: open(f"/proc/{os.getppid()}/mem", "rb").close(),
        "import the reference": lambda: open(order["reference"]).close(),
    }
    found = {}
    for name, attempt in attempts.items():
        try:
            attempt()
            found[name] = "possible"
        except OSError:
            found[name] = "refused"
    return found
