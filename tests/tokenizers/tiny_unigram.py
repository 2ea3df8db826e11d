"""Small unigram models, written byte by byte: what is tested needs no file of others."""

import struct

from minbert.tokenizers.unigram_files import CONTROL, NORMAL, UNKNOWN

CHARS = "abcdeilmnoprst.,0123"
PIECES = [
    *(("<unk>", 0.0, UNKNOWN), ("<s>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("▁", -3.0, NORMAL)),
    *((char, -5.0, NORMAL) for char in CHARS),
    *((piece, -6.5, NORMAL) for piece in ("▁the", "▁a", "▁el", "lm", "00", "000", "ab", "ba", "in", "▁no", "ood")),
    *((piece, -8.1, NORMAL) for piece in ("▁film", "▁good", "▁bad", "ing", "aa", "aaa", "▁i")),
]
RULES = {"\t": " ", "\u3000": " ", "ﬁ": "fi", "A": "a", "e\u0301": "é", "e": "e", "①": "1 a", "\u0001": ""}


def varint(number):
    found = []
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def written(number, value):
    """A field of a protobuf message."""
    if isinstance(value, float):
        return varint(number * 8 + 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number * 8) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number * 8 + 2) + varint(len(data)) + data


def piece(text, score, type):
    return written(1, written(1, text) + written(2, score) + written(3, type))


def charsmap(rules):
    """The rules {text: new text} as a trie with its strings. Each node has 256 places of its own."""
    strings, places = b"", {}
    for new in dict.fromkeys(rules.values()):
        places[new] = len(strings)
        strings += new.encode() + b"\0"
    tree = {}
    for old, new in rules.items():
        node = tree
        for byte in old.encode():
            node = node.setdefault(byte, {})
        node[None] = places[new]
    units, waiting = [0] * 256, [(0, tree)]
    while waiting:
        at, node = waiting.pop()
        base = len(units)
        units += [0] * 256
        units[at] |= (at ^ base) << 10
        for byte, child in node.items():
            if byte is None:
                units[at] |= 256
                units[base] = 1 << 31 | child
            else:
                units[base ^ byte] = byte
                waiting.append((base ^ byte, child))
    trie = struct.pack(f"<{len(units)}I", *units)
    return struct.pack("<I", len(trie)) + trie + strings


def model(pieces=PIECES, rules=RULES, trainer=b"", more=b"", **settings):
    """The bytes of a .model. settings: numbers of the normaliser's fields, such as f3=0"""
    normaliser = written(1, "small") + (written(2, charsmap(rules)) if rules else b"")
    normaliser += b"".join(written(int(name[1:]), value) for name, value in settings.items())
    data = b"".join(piece(*row) for row in pieces)
    return data + written(2, written(3, 1) + trainer) + written(3, normaliser) + more
