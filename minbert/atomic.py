"""Write a file completely, or leave the old one as it was."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from minbert.errors import UserError


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Write a file atomically: yields a temporary path, which is renamed to `path` once its bytes are on the disk.

    If anything goes wrong, `path` stays as it was. Missing folders are created. A link stays a link; its target is
    replaced. A pipe or a device is written to directly. Raises UserError, naming `path`, if it cannot be written.
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
        if os.name == "posix":  # the new name belongs to the folder, which needs a flush of its own
            flush_folder(final.parent)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})") from None
    finally:
        with suppress(OSError):
            new.unlink()


def flush_folder(path: Path) -> None:
    """Wait until the names of the files in a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
