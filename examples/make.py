"""Make the notebooks, 01_tokens.ipynb and so on, from the scripts of the same names.

    python examples/make.py

A script is a list of cells. `# %%` begins a cell of code, `# %% [markdown]` one of prose, each line of which begins
with `#`. Editors such as VS Code and Spyder run such scripts cell by cell. The notebooks hold no outputs.
"""

import json
import re
from pathlib import Path

FOLDER = Path(__file__).parent
MARK = re.compile(r"^# %%( \[markdown\])?$", re.MULTILINE)


def cells(script):
    """A script -> [(kind, text), ...], kind being "markdown" or "code".

    Raises ValueError for text before the first mark, for prose that is not commented out and for an empty cell.
    """
    before, *parts = MARK.split(script)
    if before.strip():
        raise ValueError(f"the script should begin with # %%, not with {before[:40]!r}")
    found = []
    for mark, text in zip(parts[::2], parts[1::2]):
        text = text.strip("\n")
        if mark:
            if wrong := [line for line in text.split("\n") if not re.match(r"#( |$)", line)]:
                raise ValueError(f"a line of prose should begin with '# ': {wrong[0]!r}")
            text = re.sub(r"^# ?", "", text, flags=re.MULTILINE)
        if not text:
            raise ValueError(f"cell {len(found) + 1} is empty")
        found.append(("markdown" if mark else "code", text))
    return found


def notebook(script):
    """A script -> the text of its .ipynb (nbformat 4.5, JSON)."""
    made = []
    for number, (kind, text) in enumerate(cells(script), start=1):
        cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": text.splitlines(keepends=True)}
        made.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {
        "cells": made,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def scripts():
    """The scripts, in their order."""
    return sorted(FOLDER.glob("[0-9]*.py"))


if __name__ == "__main__":
    for path in scripts():
        path.with_suffix(".ipynb").write_text(notebook(path.read_text(encoding="utf-8")), encoding="utf-8")
        print(path.with_suffix(".ipynb").name)
