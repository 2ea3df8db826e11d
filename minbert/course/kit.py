"""The package as students' code sees it while it is graded: the core with the blanks, the probes, and no answers."""

from pathlib import Path

from minbert.course.blank import blank
from minbert.course.parts import PARTS

HERE = Path(__file__).parents[1]
# Only what is named is copied.
COPIED = (
    *("__init__.py", "moved.py", "errors.py", "format.py", "atomic.py", "jsonfile.py", "config_json.py", "config.py"),
    *("modules_json.py", "added.py", "tokenizer_files.py", "tokenizer_json.py", "shell.py"),
    *("tokenizer.py", "encoding.py", "batch.py", "embeddings.py", "attention.py", "encoder.py", "bert.py", "heads.py"),
    *("optimizer.py", "training.py", "metrics.py", "probing.py", "shipped/__init__.py"),
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
