"""JSON and other small files that come from strangers: read as plain data, and only up to a size."""

import json

from minbert.errors import UserError

MAX_JSON = 2**23  # bytes of a config.json; 100,000 named classes take some 6 million


def read_bytes(path, limit):
    """The bytes of a file. Raises UserError if it cannot be read, is a pipe, say, or is longer than `limit` bytes."""
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: is not a file")
        if (size := path.stat().st_size) > limit:
            raise UserError(f"{path}: has {size:,} bytes, but {path.name} may have up to {limit:,}")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def read_json(path):
    """The JSON object that a file holds; of a key that stands there twice, the last counts, as for Hugging Face."""
    try:
        values = json.loads(read_bytes(path, MAX_JSON).decode("utf-8-sig"))
    except UserError:
        raise
    except (ValueError, RecursionError) as error:  # bad UTF-8, bad JSON, JSON a thousand brackets deep
        raise UserError(f"{path}: not valid JSON ({error})") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: holds a {type(values).__name__}, not the settings of a model")
    return values


def quoted(value, limit=60):
    """What a stranger's file says, for a message: Python's way to write it, cut short."""
    try:
        text = repr(value)
    except RecursionError:  # a list in a list in a list ...
        text = f"a {type(value).__name__}"
    return text if len(text) <= limit else text[:limit] + "..."
