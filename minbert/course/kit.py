"""What students' code sees while it is graded: the core with the blanks, the probes, and no answers; of the machine,
Python's own library and the packages that it may import.
"""

import os
import re
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

from minbert.course.blank import blank
from minbert.course.parts import PARTS

HERE = Path(__file__).parents[1]
# Devices, and what mathematical libraries and the C library look up while they run.
SYSTEM = ("/dev/null", "/dev/zero", "/dev/urandom", "/proc/cpuinfo", "/sys/devices/system/cpu", "/etc/ld.so.cache")
# Only what is named is copied.
COPIED = (
    *("__init__.py", "moved.py", "errors.py", "format.py", "atomic.py", "jsonfile.py", "config_json.py", "config.py"),
    *("modules_json.py", "added.py", "tokenizer_files.py", "tokenizer_json.py", "shell.py"),
    *("tokenizer.py", "encoding.py", "batch.py", "embeddings.py", "attention.py", "encoder.py", "bert.py", "heads.py"),
    *("losses.py", "optimizer.py", "training.py", "metrics.py", "probing.py", "shipped/__init__.py"),
    *("weights/__init__.py", "weights/hub.py", "weights/read.py", "weights/names.py", "weights/fill.py"),
    "weights/folders.py",
    *("course/__init__.py", "course/frames.py", "course/seal.py", "course/nursery.py", "course/similarity.py"),
    "course/adapter.py",
    *("course/probes/*.py",),
)


def originals() -> dict[str, str]:
    """{path below minbert/: source}, as it is here."""
    paths = [path for pattern in COPIED for path in sorted(HERE.glob(pattern))]
    return {path.relative_to(HERE).as_posix(): path.read_text("utf-8") for path in paths}


def sources(parts=PARTS) -> dict[str, str]:
    """The same, with the functions of these parts blanked."""
    found = originals()
    for part in parts:
        for file, names in part.blank.items():
            found[file] = blank(found[file], names, part.number)
    return found


def build(folder: Path) -> Path:
    """Write the package into a new folder that every user may read; returns the folder."""
    for name, source in sources().items():
        path = folder / "minbert" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, "utf-8")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


def standard_library() -> list[str]:
    """What of Python itself must be readable: its library without the folders of installed packages, and SYSTEM."""
    shared = [f"{folder}/{sysconfig.get_config_var('MULTIARCH')}" for folder in ("/lib", "/usr/lib")]
    folders = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    folders = {str(Path(sys.base_prefix) / "lib" / Path(folder).name) for folder in folders} | {
        os.path.realpath(folder) for folder in folders
    }
    out = ("site-packages", "dist-packages")
    inside = [entry for folder in folders if (Path(folder) / "os.py").exists() for entry in Path(folder).iterdir()]
    inside = sorted(str(entry) for entry in inside if entry.name not in out)
    return inside + [path for path in (*SYSTEM, *shared) if os.path.exists(path)]


def packages(*names: str) -> list[str]:
    """The files and folders of installed distributions and of all that they require, each by itself."""
    found, waiting, paths = set(), list(names), set()
    while waiting:
        name = re.match(r"[\w.-]+", waiting.pop())[0].lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # an optional requirement
        waiting += [word for word in distribution.requires or () if "extra ==" not in word]
        tops = {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}
        paths |= {str(distribution.locate_file(top)) for top in tops}
    return sorted(path for path in paths if os.path.exists(path))
