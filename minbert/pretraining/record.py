"""The files of a pretraining run beside its model: the record of what was asked and what came out, and packed text."""

import json

from minbert.errors import UserError
from minbert.format import check_format
from minbert.runs import state

RECORD = "pretraining.json"
PACKED = ("train.ids", "heldout.ids")


def read_record(folder):
    """The record of the run in a folder: whether it is finished, its arguments, its text; None if there is none."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        check_format(path, record)
        return {"finished": record["finished"], "arguments": dict(record["arguments"]), "text": record["text"]}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UserError:
        raise
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{path}: is not the record of a run of pretrain_lm.py") from None


def tidy(folder):
    """Remove the files that only the run needed."""
    state.forget(folder)
    for name in PACKED:
        (folder / name).unlink(missing_ok=True)
