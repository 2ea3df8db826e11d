"""A unigram model -> the bytes of a .model, which SentencePiece opens too. unigram_files.py reads them."""

import struct
from dataclasses import replace

from minbert.tokenizers.unigram_files import (
    FOUR,
    LENGTH,
    NORMAL,
    NORMALISER,
    PIECE,
    TRAINER,
    VARINT,
    Model,
    parse,
)

UNIGRAM = 1  # the type of the model, in the trainer's field 3


def with_data(model: Model) -> Model:
    """The same model with the bytes of its .model; the scores are those of float32."""
    return replace(parse(as_bytes(model)), path=model.path)


def as_bytes(model: Model) -> bytes:
    """The bytes of a .model."""
    rows = zip(model.pieces, model.scores, model.types)
    rules = (model.dummy_prefix, model.remove_spaces, model.escape_spaces)
    trainer = number(3, UNIGRAM) + number(4, len(model.pieces)) + number(35, model.byte_fallback)
    name = field(1, LENGTH, b"identity" if not model.charsmap else b"user_defined")
    normaliser = name + field(2, LENGTH, model.charsmap) + b"".join(map(number, (3, 4, 5), rules))
    pieces = b"".join(field(PIECE, LENGTH, piece(*row)) for row in rows)
    return pieces + field(TRAINER, LENGTH, trainer) + field(NORMALISER, LENGTH, normaliser)


def piece(text: str, score: float, type: int) -> bytes:
    """A piece as a message; NORMAL need not be written."""
    message = field(1, LENGTH, text.encode()) + field(2, FOUR, struct.pack("<f", score))
    return message + (b"" if type == NORMAL else number(3, type))


def number(place: int, value: int) -> bytes:
    return field(place, VARINT, varint(value))


def field(place: int, kind: int, value: bytes) -> bytes:
    size = varint(len(value)) if kind == LENGTH else b""
    return varint(place << 3 | kind) + size + value


def varint(value: int) -> bytes:
    """A whole number of 0 or more, seven bits a byte, the last byte below 128."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
