"""The example notebooks: they run, with figures and without, and each .ipynb is its script."""

import json
import os
import re
import subprocess
import sys

import pytest

from examples.make import FOLDER, cells, notebook, scripts
from tests.conftest import ROOT

NAMES = [path.stem for path in scripts()]


# Runs the cells of a notebook; then those with figures again, as if matplotlib were not installed.
RUNNER = """
import json, sys
cells = ["".join(cell["source"]) for cell in json.load(open(sys.argv[1], encoding="utf-8"))["cells"]
         if cell["cell_type"] == "code"]
names = {}
for number, cell in enumerate(cells, start=1):
    exec(compile(cell, f"cell {number}", "exec"), names)
print("=== without matplotlib ===")
sys.modules["matplotlib.pyplot"] = None
for number, cell in enumerate(cells, start=1):
    if "plt" in cell:
        exec(compile(cell, f"cell {number} without matplotlib", "exec"), names)
"""


def test_there_are_five():
    assert [name[:2] for name in NAMES] == ["01", "02", "03", "04", "05"]


@pytest.mark.parametrize("name", NAMES)
def test_notebook_runs(name, tmp_path):
    """Its assertions hold, without matplotlib a line says that tables follow, and the reader's folder stays empty."""
    reader, temporary = tmp_path / "reader", tmp_path / "temporary"
    reader.mkdir()
    temporary.mkdir()
    settings = {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "MPLBACKEND": "agg", "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", RUNNER, str(FOLDER / f"{name}.ipynb")]
    options = {"cwd": reader, "env": os.environ | settings, "capture_output": True, "text": True, "encoding": "utf-8"}
    done = subprocess.run(command, **options)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    _, without = done.stdout.split("=== without matplotlib ===\n")
    message, *tables = without.splitlines()
    assert message.startswith("matplotlib is not installed")
    assert len(tables) >= 5
    assert list(reader.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_notebook_is_its_script(name):
    script = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    stored = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert stored == notebook(script), "make the notebooks again: python examples/make.py"


@pytest.mark.parametrize("name", NAMES)
def test_form(name):
    """Prose first, equations in it, three exercises last, and a claim checked in the code."""
    found = cells((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    prose = "\n".join(text for kind, text in found if kind == "markdown")
    code = "\n".join(text for kind, text in found if kind == "code")
    assert found[0][0] == found[-1][0] == "markdown"
    assert found[0][1].startswith(f"# {int(name[:2])}. ")
    assert prose.count("$$") >= 2
    assert prose.count("$$") % 2 == 0
    assert "plt.show()" in code
    assert len(re.findall(r"^ *assert ", code, re.MULTILINE)) >= 5
    _, exercises = found[-1][1].split("## Exercises")
    assert re.findall(r"^(\d)\. ", exercises, re.MULTILINE) == ["1", "2", "3"]


def test_cells():
    script = "# %% [markdown]\n# # Title\n#\n# Two\n# lines\n\n# %%\nx = 1\n\n# no mark: # %% here\nx += 1\n"
    found = [("markdown", "# Title\n\nTwo\nlines"), ("code", "x = 1\n\n# no mark: # %% here\nx += 1")]
    assert cells(script) == found
    made = json.loads(notebook(script))
    assert [cell["cell_type"] for cell in made["cells"]] == ["markdown", "code"]
    assert made["cells"][0]["source"] == ["# Title\n", "\n", "Two\n", "lines"]
    assert "outputs" not in made["cells"][0]
    assert made["cells"][1]["outputs"] == []


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("x = 1\n# %%\ny = 2\n", "should begin with"),
        ("# %% [markdown]\n# good\nbad\n", "'bad'"),
        ("# %%\nx = 1\n# %%\n\n# %%\ny = 2\n", "cell 2 is empty"),
    ],
)
def test_a_script_that_is_none(script, message):
    with pytest.raises(ValueError, match=message):
        cells(script)
