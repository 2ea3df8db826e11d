"""What comes with minbert: the model `tiny` and labelled reviews. Installed, they lie in this folder; in a clone, in
checkpoints/ and data/ beside the package (setup.py says what goes where)."""

from importlib import resources
from pathlib import Path


def folder(name: str) -> Path:
    """The shipped folder "checkpoints" or "data"."""
    inside = Path(str(resources.files(__name__))) / name
    return inside if inside.is_dir() else Path(__file__).parents[2] / name
