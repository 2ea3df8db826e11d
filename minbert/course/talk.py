"""The talk with one pupil: questions go out, frames come in, and nothing that it does can hang the judge."""

import json
import os
import selectors
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from minbert.course import frames
from minbert.errors import UserError

KEPT = 64 << 10  # bytes of a pupil's printed text that are kept
TEXT = 64 << 20  # bytes of it that are read; then the pupil is ended
ANSWERS = 8 << 20  # bytes of answers in a part
SMALL = 64 << 10  # an answer of this size is taken even where a smaller one is expected
TICK = 0.05  # seconds between two looks at a pupil's memory


class Broken(Exception):
    """The talk is over: what the pupil did, and a sentence about it."""


def reply(number: int, right: dict):
    """A generator that reads an answer: it yields how many bytes it wants, is sent them, and returns {stage: array}.

    Raises Broken for what is no answer to question `number`. An array larger than expected is read past; one of its
    shape, all zeros and without memory of its own, stands for it.
    """
    names, found = list(right), {}
    while len(found) < len(names):
        try:
            header = frames.unpack_header((yield frames.HEADER.size))
            if header.question != number or header.stage not in (len(found), frames.RAISED):
                raise Broken("out of order", f"an answer to question {header.question}, when {number} was asked")
            if header.stage == frames.RAISED:
                if header.kind != frames.TEXT or header.shape != (3,) or header.length > SMALL:
                    raise Broken("not an array", "an exception that is none")
                return found | {"raised": frames.unpack(header, (yield header.length))}
            name = names[len(found)]
            if header.length <= max(2 * right[name].nbytes, SMALL):
                found[name] = frames.unpack(header, (yield header.length))
            elif header.kind == frames.TEXT or header.length > ANSWERS:
                raise Broken("too much", f"{name}: {header.length} bytes came, where {right[name].nbytes} are enough")
            else:
                left = header.length
                while left:
                    left -= len((yield min(left, 1 << 16)))
                found[name] = np.broadcast_to(np.zeros((), frames.KINDS[header.kind]), header.shape)
        except (frames.FrameError, ValueError, MemoryError) as error:
            raise Broken("not an array", str(error)) from None
    return found


def record():
    """The same for named values."""

    def frame():
        header = frames.unpack_header((yield frames.HEADER.size))
        if header.length > ANSWERS:
            raise Broken("too much", "a record that is too large")
        return frames.unpack(header, (yield header.length))

    try:
        values = {}
        for name, kind in (yield from frame()).tolist():
            array = yield from frame()
            values[name] = array if kind == "ndarray" else array.tolist()
        return values
    except ValueError as error:
        raise Broken("not an array", str(error)) from None


class Talk:
    """One pupil, from its fork to its end."""

    def __init__(self, nursery, order):
        self.nursery = nursery
        self.text, self.printed, self.largest, self.received = bytearray(), 0, 0, 0
        self.buffer = bytearray()
        self.channel, theirs = socket.socketpair()
        self.output, text = os.pipe()
        try:
            message = json.dumps(order).encode() + b"\n"
            try:
                socket.send_fds(nursery.line, [message], [theirs.fileno(), text])
                self.pid = nursery.receive()["pid"]
            except (OSError, UserError):  # it died since: anew, once
                nursery.start()
                socket.send_fds(nursery.line, [message], [theirs.fileno(), text])
                self.pid = nursery.receive()["pid"]
        finally:
            theirs.close()
            os.close(text)
        self.channel.setblocking(False)
        os.set_blocking(self.output, False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.channel, selectors.EVENT_READ)
        self.selector.register(self.output, selectors.EVENT_READ)
        self.looked = 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.nursery.line.sendall(b"end it\n")
            self.usage = self.nursery.receive()
        except (OSError, UserError):  # the nursery died: its pupils have ended with it
            self.usage = {"status": 1, "memory": 0}
        self.read_text()
        self.selector.close()
        self.channel.close()
        os.close(self.output)

    def record(self, deadline):
        """What a pupil says before it loads a student's code, or without loading any: {name: value}"""
        return self.exchange(b"", record(), deadline, more=True)

    def exchange(self, out: bytes, reader, deadline: float, more: bool = False):
        """Send bytes, and feed the reader, a generator as in `reply`, until it returns. Raises Broken."""
        out = memoryview(out)
        wanted = next(reader)
        while True:
            while wanted <= len(self.buffer):
                content = bytes(self.buffer[:wanted])
                del self.buffer[:wanted]
                try:
                    wanted = reader.send(content)
                except StopIteration as stop:
                    if self.buffer and not more:
                        raise Broken("out of order", "more came than was asked for") from None
                    return stop.value
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if out else 0)
            self.selector.modify(self.channel, events)
            ready = dict.fromkeys((key.fileobj for key, _ in self.selector.select(TICK)))
            self.watch(deadline)
            if self.output in ready:
                self.read_text()
            if self.channel in ready:
                try:
                    out = out[self.channel.send(out) :] if out else out
                except BlockingIOError:
                    pass
                except OSError:
                    out = memoryview(b"")  # it reads no more; what it has sent still counts
                self.read()

    def watch(self, deadline):
        """Raises Broken once the time is over, or the memory."""
        now = time.monotonic()
        if now > deadline:
            raise Broken("timed out", "no answer in time")
        if self.printed > TEXT:
            raise Broken("too much", f"more than {TEXT >> 20} MB of text were printed")
        if now - self.looked < TICK:
            return
        self.looked = now
        self.largest = max(self.largest, resident(self.pid))
        most = self.nursery.memory + self.nursery.megabytes
        if self.largest > most:
            raise Broken("memory", f"{self.largest} MB were taken, {most} are allowed")

    def read(self):
        try:
            content = self.channel.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            content = b""
        if not content:
            raise Broken("no answer", "")
        self.received += len(content)
        if self.received > ANSWERS:
            raise Broken("too much", f"more than {ANSWERS >> 20} MB of answers")
        self.buffer += content

    def read_text(self):
        """Take what was printed, and let it go beyond the first 64 kB."""
        try:
            while content := os.read(self.output, 1 << 16):
                self.printed += len(content)
                self.text += content[: max(0, KEPT - len(self.text))]
                if self.printed > TEXT:
                    return
        except OSError:
            return
        if self.output in self.selector.get_map():
            self.selector.unregister(self.output)


def resident(pid: int) -> int:
    """The memory of a process in megabytes; 0 if it cannot be read, or is gone."""
    try:
        if sys.platform.startswith("linux"):
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20
        return int(subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True).stdout or 0) >> 10
    except (OSError, ValueError, IndexError):
        return 0
