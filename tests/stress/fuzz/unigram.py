"""Unigram models with pieces, scores, rules and settings that are odd or spoilt: refused, or read as the file says.

What a .model holds is read here by a few lines of their own; texts are cut by a slow search, rules are looked up one by
one. A tokenizer.json is compared with its JSON.
"""

import json
import struct
import warnings
from array import array
from collections import Counter
from functools import partial

from minbert.tokenizers import Unigram, XLMRobertaTokenizer, unigram_files
from minbert.tokenizers.unigram_files import BYTE, NORMAL, UNKNOWN, UNUSED, USER_DEFINED
from tests.stress.fuzz.checkpoints import flip, judge, rounds
from tests.stress.fuzz.families import spoil_json
from tests.tokenizers.tiny_unigram import PIECES, RULES, charsmap, varint, written

NAN, INFINITE = float("nan"), float("inf")
TEXTS = (
    "",
    " ",
    "the good film",
    "aaaaaaaa 0000000 aaaab",
    "Ae\u0301 ﬁlm\t① ϟϟé",
    "a  b \u0001 in.",
    "<s> <unk> <0x41>",
)
SETTINGS = {3: (0, 1), 4: (0, 1), 5: (0, 1)}  # of the normaliser: dummy prefix, spaces removed, spaces written as ▁


# A .model in parts, which are changed and written


def parts(rng):
    """What a good .model is written from."""
    pieces = [list(piece) for piece in PIECES]
    made = {"pieces": pieces, "rules": charsmap(RULES), "settings": {}, "trainer": {3: 1}, "more": b"", "cut": None}
    if rng.random() < 0.3:
        made["settings"] = {number: rng.choice(values) for number, values in SETTINGS.items()}
    if rng.random() < 0.2:
        pieces += [[f"<0x{byte:02X}>", 0.0, BYTE] for byte in range(256)]
        made["trainer"][35] = 1
    if rng.random() < 0.2:
        pieces += [["ϟ", 0.0, USER_DEFINED], ["Ae", 0.0, USER_DEFINED], ["ab", -1.0, UNUSED]][rng.randrange(3) :][:2]
    return made


def to_bytes(made):
    pieces = b"".join(
        written(1, written(1, text) + (b"" if score is None else written(2, score)) + written(3, type))
        for text, score, type in made["pieces"]
    )
    rules = written(2, made["rules"]) if made["rules"] else b""
    rules += b"".join(written(number, value) for number, value in made["settings"].items())
    trainer = b"".join(written(number, value) for number, value in made["trainer"].items())
    data = pieces + written(2, trainer) + written(3, rules) + made["more"]
    return data if made["cut"] is None else data[: made["cut"]]


def of_piece(change):
    def spoil(rng, made):
        change(rng, made["pieces"], rng.randrange(len(made["pieces"])))

    return spoil


def score(*choices):
    def spoil(rng, made):
        for _ in range(rng.choice([1, 1, 5])):
            rng.choice(made["pieces"])[1] = rng.choice(choices)

    return spoil


def spoil_units(rng, made):
    """Units of the trie with other places, or places that lead back, or round and round."""
    size = int.from_bytes(made["rules"][:4], "little")
    units, strings = array("I", made["rules"][4 : 4 + size]), made["rules"][4 + size :]
    for _ in range(rng.choice([1, 5, 50])):
        at, to = rng.choice([at for at, unit in enumerate(units) if unit] or [0]), rng.randrange(len(units))
        new = (at ^ (to & ~255)) << 10 | units[at] & 0x1FF, units[to], 0, 0xFFFFFFFF, rng.getrandbits(32)
        units[at] = rng.choice((*new, units[at] ^ 1 << rng.randrange(32)))
    made["rules"] = struct.pack("<I", size) + units.tobytes() + strings


def spoil_rules(rng, made):
    rules = made["rules"]
    size = int.from_bytes(rules[:4], "little")
    made["rules"] = rng.choice(
        (
            *(struct.pack("<I", lie) + rules[4:] for lie in (0, 4, size - 4, size + 4, size + 1, 2**31, 2**32 - 1)),
            *(rules[:3], rules[:4], rules[: 4 + size], rules[:-1], rules[: rng.randrange(len(rules))], b"\0" * 1028),
            *(rules[: 4 + size] + b"\xff" * 9 + b"\0", rules.replace(b"fi\0", b" \xff\0"), flip(rules, rng, 4 + size)),
        )
    )


def spoil_setting(rng, made):
    where = made[rng.choice(["settings", "trainer"])]
    where[rng.choice([2, 3, 4, 5, 24, 35, 35, 99])] = rng.choice([0, 1, 2, 5, 2**40, b"", b"\x05", 0.5])


def spoil_more(rng, made):
    made["more"] = rng.choice(
        [b"\0", b"hello", written(4, b""), written(5, written(2, b"x")), written(9, b"x"), b"\x0a"]
    )


def grow(rng, made):
    """A piece, or a field, of a length beyond the file, or of one that is too long."""
    lie = rng.choice([1, 127, 2**20, 50 * 2**20, 2**32, 2**63, 2**64 - 1, 2**69])
    made["more"] = rng.choice([b"\x0a", b"\x12", b"\x0a\x08\x0a"]) + varint(lie) + b"abc"


def cut(rng, made):
    made["cut"] = rng.randrange(len(to_bytes(made)))


SPOIL = {
    "nothing": lambda rng, made: None,
    "a piece lost": of_piece(lambda rng, pieces, at: pieces.pop(at)),
    "a piece twice": of_piece(lambda rng, pieces, at: pieces.insert(rng.randrange(len(pieces)), list(pieces[at]))),
    "a piece's text": of_piece(
        lambda rng, pieces, at: pieces[at].__setitem__(
            0, rng.choice(["", " ", "a b", "▁▁", "a▁", "\0", "\n", "é", b"\xff", "x" * 9999, "<0x41>", "<s>"])
        )
    ),
    "a type": of_piece(lambda rng, pieces, at: pieces[at].__setitem__(2, rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 2**33]))),
    "scores that are none": score(NAN, INFINITE, -INFINITE),
    "scores of any size": score(0.0, -0.0, 1.0, 90.0, -1e-45, 1e6, -1e9, 2e9, 3.4e38, -3.4e38, None),
    "bytes": of_piece(lambda rng, pieces, at: [p for p in pieces if p[2] == BYTE] and pieces.pop()),
    "the trie": spoil_units,
    "the rules": spoil_rules,
    "a setting": spoil_setting,
    "something appended": spoil_more,
    "a length": grow,
    "the end cut off": cut,
}


# What a .model says, and how its texts are cut


def fields(data):
    """[(number, value)] of a message; a length is bytes, other values are whole numbers."""
    found, at = [], 0

    def number():
        nonlocal at
        size = next(size for size in range(1, 11) if data[at + size - 1] < 128)
        at += size
        return sum((byte & 127) << 7 * place for place, byte in enumerate(data[at - size : at]))

    while at < len(data):
        tag = number()
        if tag & 7 == 0:
            found.append((tag >> 3, number()))
            continue
        size = {1: 8, 5: 4}.get(tag & 7) or number()
        assert at + size <= len(data) and tag & 7 in (1, 2, 5), "read, but no message"
        found.append((tag >> 3, data[at : at + size]))
        at += size
    return found


def rows_of(data):
    """[(piece, score, type)] of a .model."""
    pieces = [dict(fields(value)) for number, value in fields(data) if number == 1]
    return [
        (piece.get(1, b"").decode(), struct.unpack("<f", piece.get(2, bytes(4)))[0], piece.get(3, NORMAL))
        for piece in pieces
    ]


def slow_rule(rules, data, at):
    """The longest rule at this place of a text's bytes: (bytes that it takes, what it writes), or None."""
    size = int.from_bytes(rules[:4], "little")
    units, best = struct.unpack(f"<{size // 4}I", rules[4 : 4 + size]), None

    def after(node):
        return node ^ units[node] >> 10 << ((units[node] & 512) >> 6)

    for end in range(at + 1, len(data) + 1):
        node = after(0)
        for byte in data[at:end]:
            node ^= byte
            if node >= len(units) or units[node] & 0x800000FF != byte:
                return best
            has_end, node = units[node] & 256, after(node)
        if has_end:
            place = units[node] & 0x7FFFFFFF
            best = end - at, rules[4 + size + place :].split(b"\0")[0].decode()
    return best


def check_model(path, data):
    """Read a .model, and compare; raises what reading and cutting raise, and AssertionError."""
    found = Unigram.read(path)
    rows = rows_of(data)
    assert list(zip(found.model.pieces, found.model.scores, found.model.types)) == rows, "other pieces than the file's"
    for text in TEXTS:
        encoded = text.encode()
        for at in range(len(encoded)):
            size, new = found.charsmap.rule(encoded, at)
            ours = None if new is None else (size, new)
            assert ours == (slow_rule(found.model.charsmap, encoded, at) if found.model.charsmap else None)
        normal = found.normalise(text)
        ids = found.ids(text)
        assert ids == found.ids_of(normal, found.cut(normal)), f"{text!r} is cut in two ways"
        assert ids == found.ids(text) == [id for id, *_ in found.found(text)], f"{text!r}: two ways, two results"
        assert found.model.byte_fallback or "".join(found.pieces(text)) == normal, f"{text!r}: pieces of another text"
        best = sum(found.scores[id] for id, *_ in found.cut(normal).pieces)
        rounding = 2.0**-24 * (len(normal) + 1) ** 2 * found.most  # of float32, at the furthest sum that there can be
        assert best >= slow_best(found, normal) - rounding, f"{text!r}: a better way to cut"
    return "read"


def slow_best(found, normal):
    """The greatest sum of scores, in double precision, over all ways to cut."""
    best = [0.0] + [-INFINITE] * len(normal)
    for end in range(1, len(normal) + 1):
        for begin in range(end):
            known = found.in_text.get(normal[begin:end])
            if known is not None:
                best[end] = max(best[end], best[begin] + found.scores[known])
        if normal[end - 1] not in found.in_text:
            best[end] = max(best[end], best[end - 1] + found.unknown_score)
    return best[-1]


def fuzz_model(count, rng, folder):
    """count .model files with one part changed."""
    outcomes, path = Counter(), folder / "some.model"
    for number, dice in rounds(count, rng):
        made, spoilt = parts(dice), dice.choice(list(SPOIL))
        SPOIL[spoilt](dice, made)
        data = to_bytes(made)
        path.write_bytes(data)
        outcome = judge(number, folder, partial(check_model, path, data), path.name)
        outcomes[outcome + f" (spoilt: {spoilt})" * outcome.startswith("fault")] += 1
    return outcomes


# tokenizer.json


def check_whole(path):
    """Read a tokenizer.json, and compare it with its JSON."""
    model, _ = unigram_files.read_whole(path)
    values = json.loads(path.read_bytes().decode("utf-8-sig"))
    pieces = [piece for piece, _ in values["model"]["vocab"]]
    scores = [struct.unpack("<f", struct.pack("<f", score))[0] for _, score in values["model"]["vocab"]]
    assert (model.pieces, model.scores) == (pieces, scores), "other pieces than the file's"
    assert model.types.index(UNKNOWN) == values["model"]["unk_id"]
    found = Unigram(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tokenizer = XLMRobertaTokenizer.from_pretrained(path.parent)
    assert list(tokenizer.in_words)[: len(pieces)] == pieces
    for text in TEXTS:
        normal = found.normalise(text)
        assert found.ids(text) == found.ids_of(normal, found.cut(normal)), f"{text!r} is cut in two ways"
        ids = tokenizer.encode(text)
        assert 0 <= min(ids) <= max(ids) < len(tokenizer), "an id beyond the vocabulary"
        assert ids[1:-1] == [tokenizer.vocab[piece] for piece, _ in tokenizer.pieces(text)], "two ways, two results"
    return "read"


def fuzz_whole(count, rng, folder):
    """count tokenizer.json files of the kind Unigram, with entries left out, swapped or replaced."""
    outcomes, path = Counter(), folder / "tokenizer.json"
    good = written_whole()
    for number, dice in rounds(count, rng):
        path.write_bytes(spoil_json(good, dice))
        outcomes[judge(number, folder, partial(check_whole, path), path.name)] += 1
    return outcomes


def written_whole():
    model = unigram_files.parse(to_bytes({"pieces": PIECES, "rules": charsmap({"A": "a", "①": "1 a"})} | REST))
    return json.dumps(XLMRobertaTokenizer(Unigram(model)).whole(), ensure_ascii=False).encode()


REST = {"settings": {}, "trainer": {3: 1}, "more": b"", "cut": None}
FUZZERS = {"unigram.model": fuzz_model, "unigram.json": fuzz_whole}
