"""What a student handed in, a zip or a folder -> the files of the parts, as bytes. Nothing of it is run or unpacked.

submit.py packs by `write_zip` and reads what it packed by `read`, as the grader does.
"""

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from minbert.course import adapter
from minbert.errors import UserError

LARGEST = 200_000  # bytes of a file
WHOLE = 2_000_000  # bytes of all files, and of a zip
ENTRIES = 2_000  # of a zip or a folder
RATIO = 100  # of a file's size to its compressed size
IGNORED = {"__MACOSX", ".git", "__pycache__", ".ipynb_checkpoints", ".DS_Store"}
# What would change how others' code runs, if it were taken; and an adapter.py in a place of its own.
SUSPICIOUS = {adapter.FILE, "sitecustomize.py", "usercustomize.py", "conftest.py", "torch.py", "numpy.py", "kit.py"}
EPOCH = (2000, 1, 1, 0, 0, 0)  # of each file in a zip: the same files give the same bytes
SUFFIXES = {".pth", ".so", ".pyd", ".pyc"}


class Refused(Exception):
    """The submission cannot be read as it is. The message says why, in one line."""


@dataclass
class Submission:
    """A student's files.

    name     of the zip without its suffix, or of the folder
    files    {"attention.py": its bytes, "own/adapter.py": of a file of the student's own, ...}
    faults   {"attention.py": why this file was not taken}
    refused  why nothing was taken, or ""
    notes    what a teacher should know
    sha256   of the zip; of a folder, of its files
    about    the name and the kit's hash that submit.py wrote into the zip
    """

    name: str
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    refused: str = ""
    notes: list[str] = field(default_factory=list)
    sha256: str = ""
    about: dict = field(default_factory=dict)


def find(folder: Path) -> list[Path]:
    """The submissions in a folder, by name: zips and folders."""
    entries = sorted(path for path in folder.iterdir() if path.name not in IGNORED and not path.name.startswith("."))
    return [path for path in entries if path.suffix.lower() == ".zip" or (path.is_dir() and not path.is_symlink())]


def read(path: Path, wanted: set[str]) -> Submission:
    """Read the wanted files, such as attention.py, from minbert/ or from the top; one folder around them is allowed.

    With an adapter.py, which stands beside minbert/, they are read from minbert/ only: others are the student's own.
    """
    found = Submission(path.stem if path.suffix.lower() == ".zip" else path.name)
    try:
        if path.is_dir():
            take(found, walk(path), wanted)
            hashes = [f"{name} {hashlib.sha256(found.files[name]).hexdigest()}\n" for name in sorted(found.files)]
            found.sha256 = hashlib.sha256("".join(hashes).encode()).hexdigest()
        else:
            read_zip(found, path, wanted)
    except Refused as error:
        found.files, found.refused = {}, str(error)
    except OSError as error:
        found.files, found.refused = {}, f"it cannot be read ({error.strerror or error})"
    return found


def read_zip(found, path, wanted):
    with open(path, "rb") as file:
        content = file.read(WHOLE + 1)
    found.sha256 = hashlib.sha256(content).hexdigest()
    if len(content) > WHOLE:
        raise Refused(f"the zip has more than {WHOLE:,} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            take(found, unzip(file), wanted)
    except Refused:
        raise
    except Exception as error:  # a damaged zip makes zipfile raise almost anything
        raise Refused(f"the zip is damaged ({str(error)[:100] or type(error).__name__})") from None


def unzip(file) -> Iterator[tuple]:
    """(path, how it is called in messages, a function that returns its bytes) of each file in a zip."""
    entries = file.infolist()
    if len(entries) > ENTRIES:
        raise Refused(f"the zip has {len(entries):,} entries; {ENTRIES:,} are allowed")
    for entry in entries:
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        if entry.is_dir() or IGNORED & set(path.parts):
            continue
        if path.is_absolute() or ".." in path.parts or ":" in entry.filename:
            raise Refused(f"{entry.filename[:100]!r} leads out of the zip")
        link = not stat.S_ISREG(entry.external_attr >> 16) and stat.S_IFMT(entry.external_attr >> 16) != 0

        def content(entry=entry, link=link):
            if link:
                raise Refused("is a link or a device, not a file")
            if entry.flag_bits & 1:
                raise Refused("is encrypted")
            if entry.file_size > LARGEST or entry.file_size > RATIO * max(entry.compress_size, 100):
                raise Refused(f"has {entry.file_size:,} bytes, compressed {entry.compress_size:,}")
            with file.open(entry) as opened:
                return opened.read(LARGEST + 1)

        yield path, content


def walk(folder: Path) -> Iterator[tuple]:
    """The same of a folder. Links are not followed."""
    waiting, seen = [folder], 0
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            seen += 1
            if seen > ENTRIES:
                raise Refused(f"the folder has more than {ENTRIES:,} entries")
            if path.name in IGNORED:
                continue
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)
                continue

            def content(path=path):
                if path.is_symlink() or not path.is_file():
                    raise Refused("is a link or a device, not a file")
                with open(path, "rb") as file:
                    return file.read(LARGEST + 1)

            yield PurePosixPath(path.relative_to(folder).as_posix()), content


def take(found: Submission, entries: Iterator[tuple], wanted: set[str]) -> None:
    """Choose the wanted files, adapter.py and what it names. Raises Refused if it is not clear which they are."""
    entries, candidates, others = list(entries), {}, []
    adapted = any(is_adapter(path) for path, _ in entries)
    for path, content in entries:
        inside = path.parent.name == "minbert"
        depth = len(path.parts) - inside
        if path.name in wanted and depth <= 2 and "kit" not in path.parts[:-1] and (inside or not adapted):
            candidates.setdefault(path.name, []).append((path, content))
        elif is_adapter(path):
            candidates.setdefault(adapter.FILE, []).append((path, content))
        elif path.name == "handout.json" and len(path.parts) <= 2:
            found.about = read_about(content)
        else:
            others.append((path, content))
    around = [path.parent for paths in candidates.values() for path, _ in paths]
    around = [folder.parent if folder.name == "minbert" else folder for folder in around]
    outer = {folder.parts[0] for folder in around if folder.parts}
    if len(outer) > 1:
        raise Refused(f"the files are in several folders: {', '.join(sorted(outer))[:100]}")
    if outer:
        found.notes.append(f"the files are in a folder {outer.pop()[:100]!r}")
    for name, paths in candidates.items():
        if len(paths) > 1:
            raise Refused(f"there are two files for {name}: {paths[0][0]} and {paths[1][0]}")
        if name != adapter.FILE:
            take_one(found, name, paths[0][1])
    odd = {
        path for path, _ in others if path.name in SUSPICIOUS or path.suffix in SUFFIXES or path.name == adapter.FILE
    }
    if adapted:
        odd |= take_own(found, others, *candidates[adapter.FILE][0])
    if sum(map(len, found.files.values())) > WHOLE:
        raise Refused(f"the files have more than {WHOLE:,} bytes")
    if odd:
        found.notes.append(f"not taken: {', '.join(sorted(str(path)[:100] for path in odd)[:5])}")
    if not found.files and not found.faults:
        raise Refused("none of the parts' files is in it")


def is_adapter(path: PurePosixPath) -> bool:
    return path.name == adapter.FILE and len(path.parts) <= 2 and path.parent.name not in ("minbert", "kit")


def take_own(found: Submission, others: list[tuple], path: PurePosixPath, content) -> set[PurePosixPath]:
    """Take adapter.py, which is at this path, and the files beside it that it names. Returns what was named in vain:
    files with the name of a module of others."""
    beside = {path.name: [content]}
    for other, more in others:
        if other.parent == path.parent:
            beside.setdefault(other.name, []).append(more)

    def read(name):
        if len(beside[name]) > 1:
            raise Refused(f"there are two files for {name}")
        return take_one(found, name, beside[name][0], adapter.OWN)

    try:
        own = adapter.travelling(beside, read)
    except UserError as error:
        raise Refused(str(error)) from None
    named = set().union(*map(adapter.imported, own.values())) & adapter.TAKEN
    return {path.with_name(f"{module}.py") for module in named if f"{module}.py" in beside}


def take_one(found: Submission, name: str, content, folder: str = "") -> bytes | None:
    """Read a file into found.files; what is wrong with it into found.faults, and return None."""
    try:
        found.files[folder + name] = checked(content())
    except Refused as error:
        found.faults[folder + name] = f"{name} {error}"
    return found.files.get(folder + name)


def checked(content: bytes) -> bytes:
    """Raises Refused if it is not Python text in UTF-8 of a size that is allowed."""
    if len(content) > LARGEST:
        raise Refused(f"has more than {LARGEST:,} bytes")
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise Refused(f"is not UTF-8 in line {line}: save it as UTF-8") from None
    if b"\0" in content:
        raise Refused(f"has a zero byte in line {content[: content.index(0)].count(bytes([10])) + 1}")
    return content


def read_about(content) -> dict:
    """The name and the kit's hash that submit.py wrote; empty if they cannot be read."""
    try:
        about = json.loads(content())
        return {name: str(about[name])[:100] for name in ("name", "kit")}
    except (Refused, ValueError, KeyError, TypeError, RecursionError):
        return {}


def write_zip(path: Path, files: dict[str, bytes], executable: tuple[str, ...] = ()) -> str:
    """Write a zip, sorted and without times. Returns its SHA-256."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type, entry.create_system = zipfile.ZIP_DEFLATED, 3
            entry.external_attr = (0o755 if name in executable else 0o644) << 16
            file.writestr(entry, files[name])
    return hashlib.sha256(path.read_bytes()).hexdigest()
