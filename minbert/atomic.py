"""Files that are written whole or not at all."""

import os
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from minbert.errors import UserError


@contextmanager
def atomic_write(path):
    """Write a file atomically: yields a temporary path, which is renamed to `path` once all of it is on the disk.

    If anything goes wrong, `path` stays as it was. A link is followed; its target is replaced. The folder is made if
    need be. A pipe or a device is written to directly. Raises UserError, naming `path`, if it cannot be written.
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
        if os.name == "posix":  # the name is in the folder, which is flushed by itself
            flush_folder(final.parent)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})") from None
    finally:
        with suppress(OSError):
            new.unlink()


def flush_folder(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
