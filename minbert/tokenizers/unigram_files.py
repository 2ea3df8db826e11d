"""The files of a unigram tokenizer: SentencePiece's .model, read without its library, or a tokenizer.json.

A .model is a protobuf message: fields one after the other, each begins with the varint `number * 8 + kind`. Both files
are data alone, and nothing in them is run. Source: google/sentencepiece, src/sentencepiece_model.proto.
"""

import base64
import binascii
import struct
from dataclasses import dataclass, replace
from pathlib import Path

from minbert.errors import UserError
from minbert.jsonfile import quoted, read_bytes, read_json
from minbert.tokenizer_json import MAX_BYTES, as_dict, check, only_one, read_added
from minbert.tokenizers.bpe_json import Whole

MAX_MODEL = 2**25  # bytes of a .model; the largest published ones, of 250,000 pieces, have some 5 million
MOST_SCORE = (
    1e9  # of a piece, on either side of 0: -10 is usual, and sums of far larger numbers are infinite in float32
)
SPACE = "▁"  # as a space is written in pieces
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # types of pieces
KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}  # of models
VARINT, EIGHT, LENGTH, FOUR = 0, 1, 2, 5  # how the value of a field is written
PIECE, TRAINER, NORMALISER, SELF_TEST, DENORMALISER = range(1, 6)  # the fields of a .model
BYTES = {f"<0x{byte:02X}>": byte for byte in range(256)}


@dataclass(frozen=True)
class Model:
    """What a file says of a unigram tokenizer; piece, score and type of each id.

    charsmap       the rules for normal text, as `charsmap.Charsmap` reads them; b"": there are none
    byte_fallback  a character that is no piece becomes the pieces of its bytes
    dummy_prefix   a text begins as if a space stood before it
    remove_spaces  several spaces count as one, and those at the ends not at all
    escape_spaces  pieces hold "▁" for a space
    data           the bytes of the .model; None if it was read from elsewhere
    path           of the file, for messages
    """

    pieces: list[str]
    scores: list[float]
    types: list[int]
    charsmap: bytes = b""
    byte_fallback: bool = False
    dummy_prefix: bool = True
    remove_spaces: bool = True
    escape_spaces: bool = True
    data: bytes | None = None
    path: Path | None = None

    def __post_init__(self):
        """Raises UserError for pieces that no text can be cut into."""
        seen = {}
        for id, (piece, score, type) in enumerate(zip(self.pieces, self.scores, self.types)):
            if not piece or seen.setdefault(piece, id) != id:
                raise UserError(f"piece {id} is {quoted(piece)}" + (f", as piece {seen[piece]}" if piece else ""))
            if not abs(score) <= MOST_SCORE:
                raise UserError(f"piece {id}, {quoted(piece)}, has the score {score:g}, which no log-probability is")
            if not NORMAL <= type <= BYTE:
                raise UserError(f"piece {id}, {quoted(piece)}, has the type {type}, but types go from 1 to {BYTE}")
            if type == BYTE and piece not in BYTES:
                raise UserError(f"piece {id}, {quoted(piece)}, has the type of a byte, but is none")
        if self.types.count(UNKNOWN) != 1:
            raise UserError(f"{self.types.count(UNKNOWN)} pieces have the type of the unknown one; there must be one")
        count = self.types.count(BYTE)
        if count != 256 * self.byte_fallback:
            wanted = "needs 256" if self.byte_fallback else "is off"
            raise UserError(f"{count} pieces are bytes, but byte fallback {wanted}")
        if NORMAL not in self.types:
            raise UserError("no piece is a normal one, so there is nothing to cut texts into")

    def rules(self):
        """What decides how a text is cut, but for the pieces."""
        return self.charsmap, self.byte_fallback, self.dummy_prefix, self.remove_spaces, self.escape_spaces


# A .model


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The whole number that begins at this place, seven bits a byte, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise UserError(f"byte {at}: a number has no end; is the file cut off?")


def read_fields(data: bytes, at: int, end: int):
    """Yields (number, kind, value) of each field from `at` to `end`; of LENGTH, the value is (begin, end) in data."""
    while at < end:
        begin = at
        tag, at = varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        if kind == LENGTH:
            size, at = varint(data, at, end)
            value = at, at + size
        elif kind == VARINT:
            value, at = varint(data, at, end)
            size = 0
        elif kind in (EIGHT, FOUR):
            size = 8 if kind == EIGHT else 4
            value = data[at : at + size]
        else:
            raise UserError(f"byte {begin}: no field begins here; is this a SentencePiece model?")
        if number == 0:
            raise UserError(f"byte {begin}: field 0, which no message has; was something appended?")
        at += size
        if at > end:
            raise UserError(f"byte {begin}: a field of {size:,} bytes, but {end - (at - size):,} are left")
        yield number, kind, value


def read_message(data: bytes, at: int, end: int, kinds: dict[int, int]) -> dict[int, object]:
    """{number: value} of the fields that `kinds` names. Raises UserError for one that is written in another way."""
    found = {}
    for number, kind, value in read_fields(data, at, end):
        if number in kinds:
            if kind != kinds[number]:
                raise UserError(f"byte {at}: field {number} is written as kind {kind}, not {kinds[number]}")
            found[number] = data[slice(*value)] if kind == LENGTH else value
    return found


def read_model(path: str | Path) -> Model:
    """A .model of SentencePiece. Raises UserError for a damaged file, and for a model that is no unigram model."""
    data = read_bytes(Path(path), MAX_MODEL)
    try:
        return replace(parse(data), path=Path(path))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def parse(data: bytes) -> Model:
    """The bytes of a .model. Raises UserError without the file's name."""
    pieces, scores, types, others = [], [], [], {}
    for number, kind, value in read_fields(data, 0, len(data)):
        if not PIECE <= number <= DENORMALISER or kind != LENGTH:
            raise UserError(f"holds a field {number} of kind {kind}, which no SentencePiece model has")
        if number != PIECE:
            if number in others:
                raise UserError(f"holds field {number} twice; was something appended?")
            others[number] = value
            continue
        piece = read_message(data, *value, {1: LENGTH, 2: FOUR, 3: VARINT})
        try:
            pieces.append(piece.get(1, b"").decode())
        except UnicodeDecodeError:
            raise UserError(f"piece {len(pieces)} is not UTF-8") from None
        scores.append(struct.unpack("<f", piece.get(2, b"\0\0\0\0"))[0])
        types.append(piece.get(3, NORMAL))
    nothing = (0, 0)
    trainer = read_message(data, *others.get(TRAINER, nothing), {3: VARINT, 24: VARINT, 35: VARINT})
    rules = read_message(data, *others.get(NORMALISER, nothing), {2: LENGTH, 3: VARINT, 4: VARINT, 5: VARINT})
    back = read_message(data, *others.get(DENORMALISER, nothing), {2: LENGTH})
    if (kind := trainer.get(3, 1)) != 1:
        name = KINDS.get(kind, f"number {kind}")
        raise UserError(f"is a model of type {name}, but minbert computes unigram only")
    if trainer.get(24):
        raise UserError("puts the space behind a word (treat_whitespace_as_suffix), which minbert does not compute")
    if back.get(2):
        raise UserError("has rules for written text (denormalizer_spec), which minbert does not compute")
    return Model(
        pieces,
        scores,
        types,
        charsmap=rules.get(2, b""),
        byte_fallback=bool(trainer.get(35, 0)),
        dummy_prefix=bool(rules.get(3, 1)),
        remove_spaces=bool(rules.get(4, 1)),
        escape_spaces=bool(rules.get(5, 1)),
        data=data,
    )


# A tokenizer.json


def read_whole(path: str | Path) -> tuple[Model, Whole]:
    """A tokenizer.json of the kind Unigram: its pieces, and what it says of special and added tokens.

    Raises UserError, naming the part, for one that computes something else.
    """
    path = Path(path)
    values = read_json(path, limit=MAX_BYTES)
    model = as_dict(values.get("model"))
    check(path, "model.type", model.get("type"), "Unigram")
    pieces, scores = read_vocab(path, model.get("vocab"))
    unknown = model.get("unk_id")
    if type(unknown) is not int or not 0 <= unknown < len(pieces):
        raise UserError(f"{path}: model.unk_id is {quoted(unknown)}, but there are {len(pieces)} pieces")
    added = read_added(path, "added_tokens", values.get("added_tokens", []))
    types = [NORMAL] * len(pieces)
    fallback = model.get("byte_fallback", False)
    check(path, "model.byte_fallback", fallback, True, False)
    for id, piece in enumerate(pieces):
        if fallback and piece in BYTES:
            types[id] = BYTE
        elif piece in added:
            check(path, f"added_tokens, the id of {quoted(piece)}", added[piece][0], id)
            types[id] = CONTROL
    types[unknown] = UNKNOWN
    check_cutting(path, values)
    try:
        charsmap = read_normaliser(path, values.get("normalizer"))
        found = Model(pieces, scores, types, charsmap, byte_fallback=fallback, path=path)
    except UserError as error:
        raise error if str(path) in str(error) else UserError(f"{path}: {error}") from None
    vocab = {piece: id for id, piece in enumerate(pieces)}
    post, padding = as_dict(values.get("post_processor")), as_dict(values.get("padding"))
    return found, Whole(path, vocab, [], added, pieces[unknown], post, padding)


def read_vocab(path, vocab):
    """[[piece, score], ...] -> pieces, scores as float32 has them"""
    pieces, scores = [], []
    for number, entry in enumerate(vocab if isinstance(vocab, list) else [None]):
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str)):
            raise UserError(f"{path}: model.vocab has {quoted(entry)} in place {number}, not a piece and its score")
        if any("\ud800" <= char <= "\udfff" for char in entry[0]):
            raise UserError(f"{path}: model.vocab has {quoted(entry[0])}, half a character, which no text holds")
        pieces.append(entry[0])
        try:
            scores.append(struct.unpack("<f", struct.pack("<f", entry[1]))[0])
        except (struct.error, OverflowError):
            raise UserError(f"{path}: model.vocab gives {quoted(entry[0])} the score {quoted(entry[1])}") from None
    return pieces, scores


def check_cutting(path, values):
    """Raise UserError unless the parts around the pieces are those of SentencePiece: spaces as ▁, one in front."""
    before = as_dict(values.get("pre_tokenizer"))
    parts = before.get("pretokenizers") if before.get("type") == "Sequence" else [before]
    parts = [as_dict(part) for part in (parts if isinstance(parts, list) else [])]
    kinds = [part.get("type") for part in parts]
    check(path, "pre_tokenizer", kinds, ["WhitespaceSplit", "Metaspace"], ["Metaspace"])
    for name, part in (("pre_tokenizer", parts[-1]), ("decoder", as_dict(values.get("decoder")))):
        check(path, f"{name}.type", part.get("type"), "Metaspace")
        check(path, f"{name}.replacement", part.get("replacement"), SPACE)
        check(path, f"{name}.prepend_scheme", part.get("prepend_scheme", "always"), "always")
        check(path, f"{name}.add_prefix_space", part.get("add_prefix_space", True), True)
    check(path, "truncation.direction", as_dict(values.get("truncation")).get("direction", "Right"), "Right")


def read_normaliser(path, part):
    """The charsmap of a tokenizer.json. A rule that makes several spaces one may follow it: here that is always so."""
    parts = as_dict(part).get("normalizers") if as_dict(part).get("type") == "Sequence" else [part]
    parts = [as_dict(one) for one in (parts if isinstance(parts, list) else [])]
    if len(parts) == 2:
        check(path, "normalizer.pattern", parts[1].get("pattern"), {"Regex": " {2,}"})
        check(path, "normalizer.content", parts[1].get("content"), " ", SPACE)
        parts.pop()
    first = only_one(parts[0] if parts else None, "normalizers")
    check(path, "normalizer.type", first.get("type"), "Precompiled")
    try:
        return base64.b64decode(first.get("precompiled_charsmap") or b"", validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise UserError(f"{path}: normalizer.precompiled_charsmap is not base64") from None
