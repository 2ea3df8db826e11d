"""The format number in minbert's files: with it, an older minbert can say why it cannot read a newer file.

Its key is "minbert_format". It stands in config.json (for the weights beside it, too), run.json, texts.json,
pretraining.json, what a study keeps (study.json, its units, trials.json), state.safetensors (the state of a stopped
run, which counts its own formats), and the model_config of a course kit's file. A file without a number, older or from
other software, is read as format 1. Tables, vocab.txt and
labels.txt are plain text and have no number. model.safetensors has no number either: safetensors writes several entries
of metadata in any order, so the same model would not always give the same bytes.
"""

from pathlib import Path

from minbert.errors import UserError

FORMAT = 1  # raise it whenever an older minbert would misread a new file
KEY = "minbert_format"


def check_format(path: str | Path, values, known: int = FORMAT) -> int:
    """The format of `values`, read from `path`. Raises UserError if it is invalid, or newer than the `known` one."""
    found = values.get(KEY, 1) if isinstance(values, dict) else 1
    number = int(found) if isinstance(found, (int, str)) and str(found).isdecimal() and len(str(found)) < 20 else 0
    if number > known:
        raise UserError(
            f"{path}: written by a newer minbert (format {number}; this one knows {known}): "
            "update minbert, with git pull or pip install -U"
        )
    if number < 1:
        raise UserError(f"{path}: {KEY} is {found!r:.60}, but must be a whole number from 1")
    return number
