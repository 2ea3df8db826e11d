"""What survives a crash or a full disk: a file is there as a whole, or as it was before."""

import os
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from minbert.errors import UserError


@contextmanager
def whole(path):
    """Another name to write a file under, in a folder that is made; it becomes path once all of it is on the disk.

    If anything goes wrong, path is as it was; of a link, what it leads to. What is no file, such as a pipe, is written
    to as it is. Raises UserError, naming path, if it cannot be written.
    """
    final = Path(path).resolve()
    if final.exists() and not final.is_file() and not final.is_dir():
        yield final
        return
    new = final.with_name(final.name + ".new")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield new
        with open(new, "r+b") as file:
            os.fsync(file.fileno())
        new.replace(final)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})") from None
    finally:
        with suppress(OSError):
            new.unlink()
