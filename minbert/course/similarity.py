"""Which submissions are alike, and which use what they should not: likeness for human eyes, never a proof.

Winnowing (Schleimer, Wilkerson & Aiken 2003, section 3): a file becomes tokens, in which names are one symbol and
comments and docstrings are gone; of the hashes of all runs of LENGTH tokens, the least of each WINDOW is kept. Two
files that share a run of LENGTH + WINDOW - 1 tokens share a hash.

`grams` and `uses` read a student's file, and so run in a pupil's process; the rest compares numbers.
"""

import ast
import builtins
import io
import keyword
import math
import token
import tokenize
import zlib
from collections import Counter
from dataclasses import dataclass

LENGTH, WINDOW = 20, 15  # tokens
SHARE = 0.8  # of the smaller one's weight that two must have in common to be named
LEAST = 10.0  # weight that they must have in common: a hash that 1 in n has weighs log n, what all have weighs nothing
DROPPED = {token.COMMENT, token.NL, token.NEWLINE, token.INDENT, token.DEDENT, token.ENCODING, token.ENDMARKER}
# Modules and names that a part hardly needs. What the handout's own file has, is not reported.
MODULES = {
    *("ctypes", "subprocess", "socket", "signal", "gc", "inspect", "importlib", "multiprocessing", "threading"),
    *("pickle", "builtins", "atexit", "transformers", "torch.optim", "resource", "mmap", "faulthandler"),
}
NAMES = {
    *("_exit", "exec", "eval", "compile", "__import__", "open", "exit", "modules", "_getframe", "setattr", "getattr"),
    *("MultiheadAttention", "scaled_dot_product_attention", "TransformerEncoderLayer", "TransformerEncoder", "AdamW"),
}


def symbols(source: bytes, known: frozenset = frozenset()) -> list[tuple[str, int]]:
    """A file's tokens as symbols, each with its line. known: attributes that keep their names."""
    found, last = [], token.NEWLINE
    for kind, text, (row, _), _, _ in tokenize.tokenize(io.BytesIO(source).readline):
        if kind == token.STRING and last in DROPPED:
            continue  # a docstring: a string that begins a line
        last = kind
        if kind in DROPPED:
            continue
        if kind == token.NAME and not keyword.iskeyword(text):
            attribute = bool(found) and found[-1][0] == "."
            text = text if attribute and text in known else "n"
        elif kind in (token.NUMBER, token.STRING):
            text = "1" if kind == token.NUMBER else "s"
        found.append((text, row))
    return found


def grams(source: bytes) -> list[tuple[int, int]]:
    """The hashes of all runs of LENGTH tokens, each with its line; nothing of what is not Python."""
    import torch

    known = frozenset(name for owner in (torch, torch.Tensor, torch.nn, torch.nn.functional) for name in dir(owner))
    try:
        words = symbols(source, known)
    except (tokenize.TokenError, SyntaxError, UnicodeDecodeError):
        return []
    texts = [text for text, _ in words]
    return [
        (zlib.crc32("\0".join(texts[at : at + LENGTH]).encode()), words[at][1]) for at in range(len(words) - LENGTH + 1)
    ]


def winnow(hashes: list[tuple[int, int]]) -> dict[int, int]:
    """{hash: line} of those that are kept: the least of each window, the last of equal ones."""
    kept = {}
    for at in range(max(len(hashes) - WINDOW + 1, min(len(hashes), 1))):
        value, line = min(reversed(hashes[at : at + WINDOW]), key=lambda pair: pair[0])
        kept.setdefault(value, line)
    return kept


def uses(source: bytes) -> list[str]:
    """ "socket 3", "open 17": names of MODULES and NAMES, with the line"""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
            names += [alias.name for alias in node.names if alias.name in NAMES]
        elif isinstance(node, ast.Attribute):
            names = [node.attr] if not hasattr(builtins, node.attr) else []
        elif isinstance(node, ast.Name):
            names = [node.id]
        found += [f"{name} {node.lineno}" for name in names if name in NAMES or inside(name)]
    return sorted(set(found), key=lambda text: (int(text.split()[1]), text))


def inside(name):
    return any(name == module or name.startswith(f"{module}.") for module in MODULES)


@dataclass(frozen=True)
class Pair:
    """Two submissions that are alike.

    share   of the smaller one's weight that both have; common: of how many hashes
    lines   {file of the first: [(its line, file of the other, its line), ...]}
    """

    one: str
    other: str
    share: float
    common: int
    lines: dict


def pairs(class_: dict[str, dict]) -> list[Pair]:
    """The pairs that are alike, the most alike first.

    class_  {student: {hash: (file, line)}}, without the hashes of the handout; the reference may be among them
    """
    counts = Counter(value for marks in class_.values() for value in marks)
    weights = {value: math.log(len(class_) / count) for value, count in counts.items()}
    wholes = {student: sum(weights[value] for value in marks) for student, marks in class_.items()}
    found, students = [], sorted(class_)
    for at, one in enumerate(students):
        for other in students[at + 1 :]:
            common = class_[one].keys() & class_[other].keys()
            weight, least = sum(weights[value] for value in common), min(wholes[one], wholes[other])
            if weight >= LEAST and weight >= SHARE * least:
                lines = {}
                for value in common:
                    file, line = class_[one][value]
                    lines.setdefault(file, []).append((line, *class_[other][value]))
                lines = {file: sorted(places) for file, places in sorted(lines.items())}
                found.append(Pair(one, other, round(weight / least, 2), len(common), lines))
    return sorted(found, key=lambda pair: (-pair.share, -pair.common, pair.one, pair.other))
