"""The place where students' code runs: a folder with the kit and the rooms, a nursery, and what its seal reached."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from minbert.course import kit, seal
from minbert.course.asking import Nursery
from minbert.errors import UserError

PREFIX = "minbert-grade-"  # of the folder in which pupils find their rooms; the number of the process follows


@contextmanager
def opened(settings) -> Iterator[tuple]:
    """A nursery, the folder for rooms, which pupils may enter but not list, and {step of the seal: what was reached}.

    settings  grader.Settings. Raises UserError where no process can be forked
    """
    if not hasattr(os, "fork"):
        raise UserError("minbert grade runs on Linux and macOS; on Windows, use it inside WSL")
    seal.hide_memory()
    sweep()
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as folder:
        folder = Path(folder)
        folder.chmod(0o711)
        (folder / "rooms" / "trial").mkdir(parents=True)
        (folder / "rooms").chmod(0o711)
        (folder / "rooms" / "trial").chmod(0o755)
        with Nursery(kit.build(folder / "kit"), megabytes=settings.megabytes, wall=settings.wall) as nursery:
            (folder / "secret").write_text("not for pupils")
            steps = nursery.try_seal(folder / "rooms" / "trial", folder / "secret")
            yield nursery, folder / "rooms", steps


def sweep() -> None:
    """Remove the folders of earlier runs of this user that were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        number = path.name.removeprefix(PREFIX).partition("-")[0]
        with suppress(OSError):
            if (
                number.isdigit()
                and not path.is_symlink()
                and path.stat().st_uid == os.getuid()
                and not alive(int(number))
            ):
                shutil.rmtree(path, ignore_errors=True)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError as error:
        return not isinstance(error, ProcessLookupError)  # another user's may not be sent anything
    return True


def describe_seal(level: str, steps: dict[str, str], settings) -> str:
    """In one line: the level, and what was reached or not."""
    missing = [f"{name}: {what}" for name, what in steps.items() if what.startswith("not possible")]
    possible = [name for name, what in steps.items() if what == "possible"]
    found = {"done": "as the user nobody", "not needed": "as a plain user"}.get(steps["user"], f"as {steps['user']}")
    limits = f"{max(part.seconds for part in settings.parts)} s and {settings.megabytes} MB for a part"
    lines = [f"seal       {level}: {'; '.join([*missing, found, limits])}"]
    if possible:
        lines.append(f"           not refused here: {', '.join(possible)}")
    return "\n".join(lines)
