"""The bundle for Gradescope: this package, and two scripts that set up its machine and grade one submission there."""

import shlex
from pathlib import Path

from minbert.course.parts import PARTS
from minbert.course.submission import write_zip

HERE = Path(__file__).parents[1]
SETUP = """#!/usr/bin/env bash
# Runs once, when Gradescope builds the machine. A build of torch without GPU support is enough, and smaller.
set -euo pipefail
apt-get update && apt-get install -y python3 python3-pip python3-venv
python3 -m venv /autograder/python
/autograder/python/bin/python -m pip install {packages}
"""
RUN = """#!/usr/bin/env bash
# Runs for each submission. The student's code runs in a process that can do nothing but answer.
cd /autograder/source
mkdir -p /autograder/results
if ! /autograder/python/bin/python -m minbert grade --one /autograder/submission --out /autograder/graded {flags} \\
    > /autograder/graded.txt 2>&1; then
  echo '{{"score": 0, "output": "The grader failed. Tell your teacher.", "stdout_visibility": "hidden"}}' \\
    > /autograder/results/results.json
  cat /autograder/graded.txt
  exit 0
fi
cp /autograder/graded/gradescope/results.json /autograder/results/results.json
cat /autograder/graded.txt
"""
PACKAGES = ("torch>=2.10", "numpy", "safetensors>=0.8", "tqdm", "scikit-learn", "huggingface_hub", "filelock")


def write(path: Path, settings) -> str:
    """Write the zip; returns a line about it."""
    numbers = ",".join(str(part.number) for part in settings.parts if part in PARTS)
    flags = ["--seal", settings.level, "--detail", settings.detail]
    flags += ["--parts", numbers] if len(settings.parts) <= len(PARTS) else []
    files = {
        f"minbert/{file.relative_to(HERE).as_posix()}": file.read_bytes()
        for pattern in ("*.py", "weights/*.py", "shipped/*.py", "files/*.py", "commands/*.py", "course/**/*.py")
        for file in HERE.glob(pattern)
    }
    files["setup.sh"] = SETUP.format(packages=shlex.join(PACKAGES)).encode()
    files["run_autograder"] = RUN.format(flags=shlex.join(flags)).encode()
    write_zip(path, files, executable=("setup.sh", "run_autograder"))
    return f"{path}: {len(files)} files, {path.stat().st_size / 1000:.0f} kB. Upload it as the autograder"
