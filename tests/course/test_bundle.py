"""The bundle for Gradescope, run as Gradescope would."""

import json
import os
import subprocess
import sys
import zipfile

from minbert.__main__ import main
from tests.course.conftest import ALL
from tests.course.test_grader import UNSCALED, hand_in


def test_the_bundle_for_gradescope_is_whole(tmp_path, capsys):
    """Unpacked on its own, it knows the command; in make course-test it grades a submission as Gradescope would."""
    assert main(["grade", "--gradescope", str(tmp_path / "auto.zip"), "--detail", "part"]) == 0
    first = (tmp_path / "auto.zip").read_bytes()
    assert main(["grade", "--gradescope", str(tmp_path / "auto.zip"), "--detail", "part"]) == 0
    assert (tmp_path / "auto.zip").read_bytes() == first
    place = tmp_path / "autograder"
    with zipfile.ZipFile(tmp_path / "auto.zip") as file:
        file.extractall(place / "source")
    (place / "python" / "bin").mkdir(parents=True)
    (place / "python" / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (place / "python" / "bin" / "python").chmod(0o755)
    hand_in(place, submission={"attention.py": UNSCALED})
    script = (place / "source" / "run_autograder").read_text().replace("/autograder", str(place))
    script = script if ALL else script.replace("grade --one", "grade --help --one")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    if not ALL:
        assert "usage: " in (place / "graded.txt").read_text()
        return
    results = json.loads((place / "results" / "results.json").read_text())
    assert [test["score"] for test in results["tests"]][1:3] == [10, 5]
    assert "missing" in results["tests"][3]["output"]
