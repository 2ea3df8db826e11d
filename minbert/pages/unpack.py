"""A page -> the data that it holds, as files that other programs read: a page is no dead end."""

import csv
import json
import re
import zlib
from pathlib import Path

import numpy as np

from minbert.atomic import atomic_write
from minbert.errors import UserError
from minbert.jsonfile import read_bytes
from minbert.pages.html import FORMAT
from minbert.pages.outcomes import UNIT, probability
from minbert.pages.pack import LINEAR, restore, unpack

LARGEST = 2**28  # bytes of a page
BLOCK = re.compile(r'<script type="text/plain" id="([a-z0-9-]{1,40})">([A-Za-z0-9+/=]*)</script>')
ABOUT = re.compile(r'<script type="application/json" id="about">(\{[^<]*\})</script>')


def unpack_page(path: str | Path, folder: str | Path) -> list[Path]:
    """Write what a page holds to a folder; returns the paths. Files of the same names are replaced.

    about.json     what stands in the page as it is: kind, names, settings
    rows.csv       of a run: its rows in their order; evidence.jsonl: the words that spoke for a prediction
    layer-N.npy    of attention: probabilities [H, T, T], as exact as the page holds them
    meetings.json  of a walk: queries and keys [T][K] of its head, from which the page writes out any score
    Other blocks are written as their bytes. Raises UserError for a file that is no page of this minbert.
    """
    path, folder = Path(path), Path(folder)
    text = read_bytes(path, LARGEST).decode("utf-8", errors="replace")
    try:
        about = json.loads(ABOUT.findall(text)[-1])
        blocks = {name: unpack(data) for name, data in BLOCK.findall(text)}
    except (IndexError, ValueError, RecursionError, zlib.error):
        raise UserError(f"{path} is no page of minbert's, or it is damaged") from None
    if about.get("format") != FORMAT:
        raise UserError(f"{path} is a page of format {about.get('format')!r:.20}; this minbert reads format {FORMAT}")
    written = [save(folder / "about.json", json.dumps(about, indent=2, ensure_ascii=False) + "\n")]
    try:
        for name, data in blocks.items():
            written += WRITERS.get(about.get("kind"), as_bytes)(folder, name, data, about)
    except (KeyError, ValueError, TypeError, IndexError, AttributeError):
        raise UserError(f"{path}: its data is not as minbert writes it") from None
    return written


def save(path: Path, text: str) -> Path:
    with atomic_write(path) as new:
        new.write_text(text, encoding="utf-8", newline="")
    return path


def as_bytes(folder: Path, name: str, data: bytes, about: dict) -> list[Path]:
    with atomic_write(folder / f"{name}.bin") as new:
        new.write_bytes(data)
    return [folder / f"{name}.bin"]


def as_rows(folder: Path, name: str, data: bytes, about: dict) -> list[Path]:
    """The columns of a run -> a table, and the evidence where there is some"""
    table, names = json.loads(data), [*about["names"], ""]  # gold is -1 where nobody knows it
    columns = {"row": table["row"]}
    columns |= {key: [names[id] for id in table[key]] for key in ("gold", "predicted")}
    if table["p"] and isinstance(table["p"][0][0], list):
        columns["p"] = [probability(p, id) for p, id in zip(table["p"], table["predicted"])]
    else:
        columns |= {f"p_{label}": [p[id] / UNIT for p in table["p"]] for id, label in enumerate(about["names"])}
    if "other" in table:
        columns["other"] = [names[id] for id in table["other"]]
        columns["other_p"] = [probability(p, id) for p, id in zip(table["other_p"], table["other"])]
    columns |= {key: table[key] for key in ("text", "pair") if key in table}
    path = folder / f"{name}.csv"
    with atomic_write(path) as new, open(new, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    if "words" not in table:
        return [path]
    lines = [
        {"row": row, "words": in_characters(text, words), "deletion": curve}
        for row, text, words, curve in zip(table["row"], table["text"], table["words"], table["deletion"])
        if words
    ]
    return [path, save(folder / "evidence.jsonl", "".join(json.dumps(line) + "\n" for line in lines))]


def in_characters(text: str, words: list) -> list:
    """Places in UTF-16 units -> in characters"""
    units = text.encode("utf-16-le")
    return [
        [len(units[: 2 * begin].decode("utf-16-le")), len(units[: 2 * end].decode("utf-16-le")), weight]
        for begin, end, weight in words
    ]


def as_attention(folder: Path, name: str, data: bytes, about: dict) -> list[Path]:
    """A layer's heads -> probabilities"""
    tokens, steps = len(about["tokens"]), about["steps"]
    codes = np.frombuffer(data, "<u2" if steps == LINEAR else "u1").reshape(-1, tokens, tokens)
    with atomic_write(folder / f"{name}.npy") as new, open(new, "wb") as stream:
        np.save(stream, restore(codes, steps).astype(np.float32))
    return [folder / f"{name}.npy"]


def as_json(folder: Path, name: str, data: bytes, about: dict) -> list[Path]:
    return [save(folder / f"{name}.json", json.dumps(json.loads(data), ensure_ascii=False) + "\n")]


WRITERS = {"run": as_rows, "attention": as_attention, "walk": as_json}
