"""python submit.py: pack a student's work into submission.zip, unpack it elsewhere, and test it there.

The same work gives the same bytes. Wrong work is packed, too: only what cannot be read is refused. The receipt names
the hash of the zip; the grader prints the same hash.
"""

import argparse
import ast
import hashlib
import json
import sys
import tempfile
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from minbert.course import adapter, submission
from minbert.course.check import KIT, check_folder, chosen
from minbert.course.submission import Refused
from minbert.errors import UserError

PACKAGES = ("torch", "numpy", "safetensors", "minbert")  # what a grader has, besides Python's own modules


def home(name: str) -> str:
    """Where a file of a submission stands in the student's folder: beside adapter.py, or in minbert/."""
    return name.removeprefix(adapter.OWN) if name.startswith(adapter.OWN) else f"minbert/{name}"


def collect(folder: Path, parts: list) -> dict[str, bytes]:
    """{file: its bytes}, as in Submission: the parts' files in folder/minbert, and what adapter.py needs.

    Raises Refused for what is missing or cannot be read. With an adapter.py, no file of a part must be there.
    """
    found = adapter.own_files(folder)
    for name in sorted({name for part in parts for name in part.files}):
        path = folder / "minbert" / name
        if path.is_file():
            found[name] = path.read_bytes()
        elif adapter.OWN + adapter.FILE not in found:
            raise Refused(f"minbert/{name} is missing: take it from the handout")
    for name, content in found.items():
        try:
            ast.parse(submission.checked(content))
        except Refused as error:
            raise Refused(f"{home(name)} {error}") from None
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            raise Refused(f"{home(name)}{f':{line}' if line else ''} is not Python: {error}") from None
    return found


def pack(path: Path, files: dict[str, bytes], about: dict, parts: list) -> submission.Submission:
    """Write the zip, with the kit's hash, and read it as the grader will. Raises Refused, and then there is no zip."""
    told = json.dumps({"name": about["name"], "kit": about["kit"]}, sort_keys=True).encode()
    submission.write_zip(path, {home(name): content for name, content in files.items()} | {"handout.json": told})
    found = submission.read(path, {name for part in parts for name in part.files})
    if problem := found.refused or next(iter(found.faults.values()), ""):
        path.unlink()
        raise Refused(problem)
    return found


def notes(files: dict[str, bytes], handout: dict[str, str], folder: Path, parts: list) -> list[str]:
    """What a student should know before handing in, a sentence each."""
    found, own = [], {home(name).removesuffix(".py") for name in files if name.startswith(adapter.OWN)}
    for name, content in files.items():
        for package in imports(content):
            if package in adapter.TAKEN and name.startswith(adapter.OWN) and (folder / f"{package}.py").is_file():
                found.append(f"{package}.py is not handed in: Python, torch or the handout has a module of this name")
            elif package not in sys.stdlib_module_names and package not in PACKAGES and package not in own:
                why = ": files in folders are not handed in" if (folder / package).is_dir() else ""
                found.append(f"{home(name)} imports {package}, which the grader does not have{why}")
    known = {name for name in handout if name.startswith("minbert/")} | {f"minbert/{name}" for name in files}
    for path in sorted((folder / "minbert").rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        if name not in known:
            found.append(f"{name} is not handed in: the parts are judged without it")
        elif path.name not in files and handout.get(name) != digest(path):
            found.append(f"{name} was changed, but belongs to no part: the handout's own file is used")
    changed = [name for name, value in handout.items() if name.startswith("kit/") and digest(folder / name) != value]
    if changed:
        found.append(f"{changed[0]} was changed: what is said here may differ from what the grader says")
    return found


def imports(content: bytes) -> list[str]:
    """The packages that a file imports, sorted."""
    found = set()
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.partition(".")[0])
    return sorted(found)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def summary(results) -> tuple[str, list]:
    """How the public tests went, in words, and as a list that can be compared."""
    states = [(result.part.number, result.status) for result in results]
    right = sum(status == "ok" for _, status in states)
    others = ", ".join(f"part {number} {status}" for number, status in states if status != "ok")
    return f"{right} of {len(states)} parts are right{f' ({others})' if others else ''}", states


def main(arguments=None) -> int:
    """The program. Returns 0 if a zip was written, else 2."""
    parser = argparse.ArgumentParser("submit.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.parse_args(arguments)
    folder = KIT.parent
    path = folder / "submission.zip"
    try:
        parts, about = chosen()
        files = collect(folder, parts)
        packed = pack(path, files, about, parts)
    except (Refused, UserError, OSError, ValueError, KeyError) as error:
        print(f"error: nothing was packed: {error}", file=sys.stderr)
        return 2
    size = f"{len(files)} files, {path.stat().st_size / 1000:.1f} kB"
    print(f"packed     {size}; the same work gives the same zip", flush=True)
    with tempfile.TemporaryDirectory(prefix="submit-") as elsewhere:
        for name, content in packed.files.items():
            place = Path(elsewhere, home(name))
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(content)
        told, there = summary(check_folder(Path(elsewhere), parts))
    print(f"unpacked   in an empty folder, and tested there: {told}")
    for note in notes(files, about["files"], folder, parts):
        print(f"note       {note}")
    receipt = [
        f"handout    {about['name']}, kit {about['kit'][:12]}",
        f"zip        {packed.sha256} (SHA-256)",
        f"time       {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        f"versions   Python {sys.version.split()[0]}, {', '.join(map(installed, PACKAGES[:3]))}",
        *(f"part {number!s:<6}{status}" for number, status in there),
    ]
    (folder / "receipt.txt").write_text("\n".join(receipt) + "\n", "utf-8")
    print("\n".join(receipt[:3]))
    print("wrote      submission.zip, receipt.txt. Hand in the zip; keep the receipt: grading prints the same hash")
    return 0


def installed(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"
