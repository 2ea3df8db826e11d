"""How arrays go from one process to another: a header of fixed size, then raw bytes. Needs numpy only.

    MBF1 | question u16 | stage u8 | kind u8 | dimensions u8 | 6 sizes u32 | bytes u32 | the bytes

A receiver reads the header, decides whether it wants what follows, and copies the bytes into an array. Nothing in a
frame is run, looked up or trusted: no pickle, no JSON, no header of the sender's own making.
"""

import math
import struct
from dataclasses import dataclass

import numpy as np

MAGIC = b"MBF1"
HEADER = struct.Struct("<4sHBBB6II")
KINDS = ("<f4", "<f8", "<i8", "?", "text")
TEXT = KINDS.index("text")
MOST = 8 << 20  # bytes that any one frame may hold, and any one array of text
DIRECTORY, RAISED = 254, 255  # stages of a special meaning: names and types of what follows; an exception


class FrameError(ValueError):
    """What came is no frame. The message says why, in one line."""


@dataclass(frozen=True)
class Header:
    question: int
    stage: int
    kind: int
    shape: tuple
    length: int


def pack(question: int, stage: int, array: np.ndarray) -> bytes:
    """An array -> a frame. Raises FrameError if it is of no kind that a frame can hold."""
    array = np.asarray(array)
    if array.ndim > 6 or array.dtype.kind not in "fiubU" or (array.dtype.itemsize > 8 and array.dtype.kind == "f"):
        raise FrameError(f"an array of {array.dtype} with {array.ndim} dimensions cannot be sent")
    if array.dtype.kind == "U":
        kind, words = TEXT, [str(word).encode("utf-8", "backslashreplace") for word in array.flat]
        content = b"".join(struct.pack("<I", len(word)) + word for word in words)
    else:
        kind = {"b": 3, "i": 2, "u": 2}.get(array.dtype.kind, 1 if array.dtype.itemsize == 8 else 0)
        content = np.ascontiguousarray(array, dtype=KINDS[kind]).tobytes()
    if len(content) > MOST:
        raise FrameError(f"an array of {len(content)} bytes is too large to be sent")
    sizes = (*array.shape, *[0] * (6 - array.ndim))
    return HEADER.pack(MAGIC, question, stage, kind, array.ndim, *sizes, len(content)) + content


def unpack_header(content: bytes) -> Header:
    """HEADER.size bytes -> a header that does not contradict itself. Raises FrameError."""
    magic, question, stage, kind, dimensions, *sizes, length = HEADER.unpack(content)
    if magic != MAGIC:
        raise FrameError("not a frame")
    if kind >= len(KINDS) or dimensions > 6 or any(sizes[dimensions:]):
        raise FrameError("not an array")
    shape, count = tuple(sizes[:dimensions]), math.prod(sizes[:dimensions])
    needed = 4 * count if kind == TEXT else count * np.dtype(KINDS[kind]).itemsize
    if length < needed or (kind != TEXT and length > needed):
        raise FrameError(f"an array of shape {list(shape)} does not have {length} bytes")
    return Header(question, stage, kind, shape, length)


def unpack(header: Header, content: bytes) -> np.ndarray:
    """The bytes that follow a header -> a new array. Raises FrameError."""
    if len(content) != header.length:
        raise FrameError(f"{len(content)} bytes came, but {header.length} were announced")
    if header.kind != TEXT:
        raw = np.frombuffer(content, dtype="u1" if header.kind == 3 else KINDS[header.kind])
        return (raw != 0 if header.kind == 3 else raw.copy()).reshape(header.shape)
    words, at = [], 0
    for _ in range(math.prod(header.shape)):
        if at + 4 > len(content):
            raise FrameError("a text that ends too early")
        (size,) = struct.unpack_from("<I", content, at)
        if at + 4 + size > len(content):
            raise FrameError("a text that ends too early")
        words.append(content[at + 4 : at + 4 + size].decode("utf-8", "replace"))
        at += 4 + size
    if at != len(content):
        raise FrameError("bytes are left after the last text")
    if len(words) * max(map(len, words), default=0) * 4 > MOST:  # numpy gives each string the room of the longest
        raise FrameError("texts that are too long")
    return np.array(words, dtype=str).reshape(header.shape)


# Named values, for the trusted direction: what the oracle tells the judge, and the arguments of a question

LINE = "\n"  # between the parts of a name


def flatten(values: dict[str, dict]) -> dict:
    """{outer: {inner: value}} -> {"outer LINE inner": value}"""
    return {outer + LINE + inner: value for outer, more in values.items() for inner, value in more.items()}


def unflatten(values: dict, names: int = 1) -> dict[str, dict]:
    """What `flatten` took; with names=2 the outer name holds a LINE itself."""
    found = {}
    for path, value in values.items():
        *outer, inner = path.split(LINE, names)
        found.setdefault(LINE.join(outer), {})[inner] = value
    return found


def pack_record(question: int, values: dict) -> bytes:
    """{name: array, number, string or list of strings} -> frames: a directory of names and types, then each value"""
    directory = np.array([[name, type(value).__name__] for name, value in values.items()] or [], dtype=str)
    arrays = [np.array(value, dtype=str) if isinstance(value, list) else np.asarray(value) for value in values.values()]
    return pack(question, DIRECTORY, directory.reshape(-1, 2)) + b"".join(pack(question, 0, array) for array in arrays)


def read_record(read) -> tuple[int, dict] | None:
    """The next record; None at the end. read(n) returns n bytes, or fewer at the end. Raises FrameError."""
    first = read_frame(read)
    if first is None:
        return None
    header, directory = first
    if header.stage != DIRECTORY:
        raise FrameError("no directory")
    values = {}
    for name, kind in directory.tolist():
        array = read_frame(read)[1]
        values[name] = array if kind == "ndarray" else array.tolist()
    return header.question, values


def read_frame(read) -> tuple[Header, np.ndarray] | None:
    """The next frame; None at the end. Raises FrameError."""
    start = read(HEADER.size)
    if not start:
        return None
    if len(start) < HEADER.size:
        raise FrameError("a frame that ends too early")
    header = unpack_header(start)
    return header, unpack(header, read(header.length))
