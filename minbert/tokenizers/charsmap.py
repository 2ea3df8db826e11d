"""The rules for normal text in a unigram tokenizer's file: a trie, walked where it lies.

    4 bytes  the length of the trie
    trie     units of 32 bits, a double array: from a node, a byte leads to the unit at `node ^ byte`
    strings  what the rules write, each ends with a zero byte

Spelled out as a dictionary, XLM-RoBERTa's rules are more than 200,000; here nothing is unpacked. Source of the format:
s-yata/darts-clone and google/sentencepiece, src/normalizer.cc.
"""

import sys
from array import array
from pathlib import Path

from minbert.errors import UserError

BROKEN = "the rules for normal text (precompiled_charsmap) are damaged"
LABEL, ENDS, VALUE = 0x800000FF, 0x100, 0x7FFFFFFF  # the byte that leads to a unit; a rule ends here; place of its text


class Charsmap:
    """The rules of a file: which characters become which.

    data  the bytes of a precompiled_charsmap; b"": there is no rule
    path  of the file, for messages
    Raises UserError for a length that is not that of a trie; damage within is found where a text comes upon it.
    """

    def __init__(self, data: bytes, path: str | Path | None = None):
        self.units, self.strings = array("I"), b""
        self.broken = f"{path}: {BROKEN}" if path else BROKEN
        if not data:
            return
        size = int.from_bytes(data[:4], "little")
        if not 0 < size <= len(data) - 4 or size % 4:
            raise UserError(f"{self.broken}: {len(data):,} bytes, and {size:,} of a trie")
        self.units.frombytes(data[4 : 4 + size])
        if sys.byteorder == "big":
            self.units.byteswap()
        self.strings = data[4 + size :]
        self.found = {}  # place in strings -> text

    def rule(self, data: bytes, at: int) -> tuple[int, str | None]:
        """How many bytes of data the longest rule at this place takes, and what they become; 0 and None: no rule."""
        units, size, value = self.units, 0, 0
        if not units:
            return 0, None
        node = children(units[0])
        for place in range(at, len(data)):
            node ^= data[place]
            if node >= len(units) or units[node] & LABEL != data[place]:
                break
            unit = units[node]
            node ^= children(unit)
            if unit & ENDS:
                if node >= len(units):
                    raise UserError(self.broken)
                size, value = place + 1 - at, units[node] & VALUE
        return (size, self.text(value)) if size else (0, None)

    def text(self, value: int) -> str:
        """The text that is written at a place of the strings."""
        if value not in self.found:
            end = self.strings.find(0, value)
            try:
                self.found[value] = self.strings[value : None if end < 0 else end].decode()
            except UnicodeDecodeError:
                end = -1
            if end < 0:
                raise UserError(self.broken)
        return self.found[value]

    def crosses_spaces(self) -> bool:
        """Whether a rule may begin with a space. No other rule of a text between spaces can depend on it."""
        if not self.units:
            return False
        node = children(self.units[0]) ^ 32
        return node < len(self.units) and self.units[node] & LABEL == 32

    def goes_on(self, data: bytes, at: int) -> bool:
        """Whether the rules at this place look beyond the end of data, if a space follows."""
        units, place = self.units, at
        node = children(units[0]) if units else 0
        while place <= len(data):
            byte = data[place] if place < len(data) else 32
            node ^= byte
            if node >= len(units) or units[node] & LABEL != byte:
                return False
            node ^= children(units[node])
            place += 1
        return True


def children(unit: int) -> int:
    """A unit of the trie -> what leads from it to the units after it."""
    return (unit >> 10) << ((unit & 0x200) >> 6)
