"""The number that stands in what minbert writes, so that an older minbert can say why it cannot read a newer file.

It is "minbert_format" in config.json, which speaks for the weights beside it, run.json, pretraining.json, the state of
a stopped run (state.safetensors, with a number of its own), and the model_config of the course kits' file. Files from
before there was a number, and other people's, have none and are read as format 1. Tables, vocab.txt and labels.txt are
plain text, for everybody. model.safetensors says no more than "pt": of two entries in its metadata, safetensors writes
either first, and the same model would not be the same bytes.
"""

from minbert.errors import UserError

FORMAT = 1  # one more whenever an older minbert would misread what is written
KEY = "minbert_format"


def check_format(path, values, known=FORMAT):
    """The format of what was read from path, a dict. Raises UserError if it is newer than the `known` one."""
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
