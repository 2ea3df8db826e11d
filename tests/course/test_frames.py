"""Arrays go through frames unchanged; what is no frame is refused, without hanging and without taking memory."""

import io
import random
import struct
import tracemalloc

import numpy as np
import pytest

from minbert.course import frames
from minbert.course.frames import HEADER, FrameError, pack, pack_record, read_record, unpack, unpack_header
from minbert.course.talk import ANSWERS, SMALL, Broken, reply
from tests.course.conftest import ALL

ARRAYS = [
    np.arange(24, dtype="f4").reshape(2, 3, 4),
    np.linspace(0, 1, 5),
    np.array([[1, -(2**62)]]),
    np.array([True, False]),
    np.array(3.5),
    np.zeros((0, 7), "f4"),
    np.array([["ä", ""], ["##x", "a\nb\0c"]]),
    np.array([], dtype=str),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}-{array.shape}")
def test_an_array_comes_back(array):
    content = pack(7, 3, array)
    header = unpack_header(content[: HEADER.size])
    back = unpack(header, content[HEADER.size :])
    assert (header.question, header.stage) == (7, 3)
    assert back.dtype.kind == array.dtype.kind and back.shape == array.shape
    assert (back == array).all()


def test_narrow_and_strided_numbers_are_widened():
    array = np.arange(12, dtype=">i2").reshape(3, 4)[:, ::2]
    content = pack(0, 0, array)
    back = unpack(unpack_header(content[: HEADER.size]), content[HEADER.size :])
    assert back.dtype == np.int64 and (back == array).all()
    half = np.array([0.5, 2], "f2")
    content = pack(0, 0, half)
    assert unpack(unpack_header(content[: HEADER.size]), content[HEADER.size :]).dtype == np.float32
    for array in (np.array([1j]), np.array([{}]), np.array([b"x"]), np.zeros((1,) * 7)):
        with pytest.raises(FrameError):
            pack(0, 0, array)


def test_a_record_comes_back():
    values = {"": "name", "x": ARRAYS[0], "n": 3, "rate": 0.25, "yes": True, "words": ["a", "bc"], "none": []}
    number, back = read_record(io.BytesIO(pack_record(5, values)).read)
    assert number == 5 and back.keys() == values.keys()
    for name, value in values.items():
        assert type(back[name]) is type(value)
        assert np.array_equal(back[name], value)
    assert read_record(io.BytesIO(b"").read) is None


RIGHT = {"probabilities": np.zeros((2, 3, 4), "f4"), "pieces": np.array(["un", "##able"])}
ANSWER = pack(0, 0, RIGHT["probabilities"]) + pack(0, 1, RIGHT["pieces"])


def feed(content, right=RIGHT):
    """What the judge makes of a stream: its answer, the reason to end it, or None if it waits for more."""
    reader = reply(0, right)
    wanted, at = next(reader), 0
    while at + wanted <= len(content):
        assert 0 <= wanted <= max(SMALL, 1 << 16), "the judge never waits for more than it means to keep"
        try:
            at, wanted = at + wanted, reader.send(content[at : at + wanted])
        except StopIteration as stop:
            return stop.value
        except Broken as error:
            return error.args[0]
    return None


def header(*sizes, question=0, stage=0, kind=0, length=0):
    return HEADER.pack(b"MBF1", question, stage, kind, len(sizes), *sizes, *[0] * (6 - len(sizes)), length)


@pytest.mark.parametrize(
    "content, result",
    [
        (b"\x80\x04pickle" + bytes(40), "not an array"),
        (header(3, length=11), "not an array"),
        (header(1 << 20, 1 << 20, length=0), "not an array"),
        (header(1 << 16, 1 << 16, 1 << 16, 1 << 16, length=0), "not an array"),
        (header(3, kind=9, length=12), "not an array"),
        (header(2, 2, length=16, question=1), "out of order"),
        (header(2, 2, length=16, stage=1), "out of order"),
        (header(1 << 28, length=1 << 30), "too much"),
        (header(2, kind=4, stage=0, length=1 << 20), "too much"),
        (header(1, stage=frames.RAISED, length=4), "not an array"),
        (header(2, kind=4, length=12) + struct.pack("<I", 1 << 31) + bytes(8), "not an array"),
    ],
)
def test_what_is_no_answer(content, result):
    assert feed(content) == result


def test_a_large_array_is_read_past_and_judged_by_its_shape():
    large = np.ones((300, 300), "f4")
    found = feed(pack(0, 0, large) + pack(0, 1, RIGHT["pieces"]))
    assert found["probabilities"].shape == (300, 300)
    assert found["probabilities"].strides == (0, 0)
    assert found["pieces"].tolist() == ["un", "##able"]


def test_many_short_texts_with_one_long_one_take_no_memory():
    """numpy gives each string the room of the longest: 15,000 of them beside one of 4,000 letters would take 240 MB."""
    words = [b"x" * 4000, *[b""] * 15_000]
    content = b"".join(struct.pack("<I", len(word)) + word for word in words)
    frame = header(len(words), kind=4, length=len(content)) + content
    assert feed(frame, {"pieces": RIGHT["pieces"]}) == "not an array"


@pytest.mark.fault("grading: random bytes in the place of an answer")
def test_no_stream_makes_the_judge_raise_hang_or_take_memory():
    draw, results = random.Random(0), {}
    tracemalloc.start()
    for _ in range(100_000 if ALL else 2_000):
        content = bytearray(ANSWER if draw.random() < 0.8 else draw.randbytes(draw.randrange(200)))
        for _ in range(draw.randrange(4)):
            if not content:
                break
            at = draw.randrange(min(len(content), 2 * HEADER.size) if draw.random() < 0.7 else len(content))
            change = draw.randrange(4)
            if change == 0:
                content[at] = draw.randrange(256)
            elif change == 1:
                content[at : at + 4] = struct.pack("<I", draw.choice((0, 1, 1 << 16, 1 << 31, (1 << 32) - 1)))
            elif change == 2:
                del content[at : at + draw.randrange(40)]
            else:
                content[at:at] = draw.randbytes(draw.randrange(40))
        result = feed(bytes(content))
        assert result is None or isinstance(result, (dict, str))
        name = result if isinstance(result, str) else "answer" if result else "waits"
        results[name] = results.get(name, 0) + 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < ANSWERS
    assert results.keys() == {"answer", "waits", "not an array", "out of order", "too much"}, results
