"""Read JSON and other small files from unknown sources: as plain data, and only up to a size limit."""

import json
from collections.abc import Callable
from pathlib import Path

from minbert.errors import UserError

MAX_JSON = 2**23  # bytes of a config.json; 100,000 named classes take about 6 million


def read_bytes(path: Path, limit: int) -> bytes:
    """The bytes of a file. Raises UserError if it cannot be read, is not a regular file, or is longer than `limit`."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: is not a file")
        if (size := path.stat().st_size) > limit:
            raise UserError(f"{path}: has {size:,} bytes, but {path.name} may have up to {limit:,}")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def read_json(path: Path, kind: type = dict, limit: int = MAX_JSON, hook: Callable | None = None) -> dict | list:
    """The JSON object in a file. If a key is repeated, the last one counts, as in Hugging Face's libraries.

    kind  list: a JSON array instead
    hook  makes an object of its [(key, value), ...], in the place of dict

    Raises UserError if the file cannot be read or holds anything else.
    """
    try:
        values = json.loads(read_bytes(path, limit).decode("utf-8-sig"), object_pairs_hook=hook)
    except UserError:
        raise
    except (ValueError, RecursionError) as error:  # bad UTF-8, bad JSON, JSON nested a thousand deep
        raise UserError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(values, kind):
        raise UserError(f"{path}: holds a {type(values).__name__}, not the settings of a model")
    return values


def quoted(value, limit: int = 60) -> str:
    """repr(value), cut after `limit` characters: for a message that quotes a file."""
    try:
        text = repr(value)
    except RecursionError:  # a list in a list in a list ...
        text = f"a {type(value).__name__}"
    return text if len(text) <= limit else text[:limit] + "..."


def plain_word(value) -> str:
    """A name from a file, for a message: as it is if it is one plain word, or else quoted."""
    return value if isinstance(value, str) and value.isidentifier() and len(value) < 60 else quoted(value)


def plain_token(token: str) -> str:
    """A token from a file, for a message: as it is if it is short and can be printed, or else quoted."""
    return token if token.isprintable() and 0 < len(token) < 60 else quoted(token)
