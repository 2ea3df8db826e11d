"""The README's commands and its Python example run as they are printed."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT, SHARED

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


COMMANDS = [
    line.split("  #")[0].strip() for block in blocks("bash") for line in block.replace("\\\n", " ").splitlines() if line
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An empty folder with the shipped data and a reader's own files."""
    place = tmp_path_factory.mktemp("reader")
    shutil.copytree(ROOT / "data", place / "data")
    stances = [("fine", "favor"), ("poor", "against"), ("plain", "none")] * 4
    for part in ("train", "dev", "test"):
        rows = [f'{number},"a {word} {part} text, {number}",{stance}' for number, (word, stance) in enumerate(stances)]
        (place / f"my-{part}.csv").write_text("\n".join(["id,tweet,stance", *rows, ""]))
    shutil.copy(ROOT / "data" / "reviews-train.txt", place / "my-texts.txt")
    return place


def test_there_are_commands_to_test():
    assert sum(command.startswith("make") for command in COMMANDS) == 2
    assert sum(command.startswith("python") for command in COMMANDS) >= 6


@pytest.mark.parametrize("target", ["train", "test"])
def test_make_does_what_the_readme_says(target):
    """make is not run from inside its own test; what it would run is looked at."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    assert f"make {target}" in COMMANDS
    command = ["make", "-n", "--no-print-directory", target]
    planned = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = {"train": "python train_classifier.py", "test": "python -m pytest"}[target]
    assert planned.splitlines()[-1].strip().startswith(f".venv/bin/{wanted}")


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("python")])
def test_command(command, place, request):
    """Each python command of the README, in its order, on the first rows only, so that it takes seconds."""
    words = shlex.split(command)
    if "$SST" in command or "$CFIMDB" in command:
        if not SHARED.exists():
            pytest.skip("needs SST and CFIMDB, which are not part of the repository")
        folders = {"$SST": SHARED / "data" / "sst", "$CFIMDB": SHARED / "data" / "cfimdb"}
        words = [re.sub(r"^\$[A-Z]+", lambda match: str(folders[match[0]]), word) for word in words]
    if "all-MiniLM-L6-v2" in command:
        request.getfixturevalue("minilm")
    words[0] = sys.executable
    if words[1].endswith(".py"):
        words[1] = str(ROOT / words[1])
    if "train_classifier.py" in command:
        words += ["--limit", "12", "--max_length", "32"]
    elif "pretrain_lm.py" in command:
        at = words.index("--minutes")
        words[at : at + 2] = ["--steps", "2", "--batch_tokens", "256", "--max_length", "32"]
        words += [] if "--model" in words else ["--vocab_size", "1000", "--hidden", "64"]
    elif "pytest" in command:
        words += ["--collect-only", "--rootdir", str(ROOT), str(ROOT / "tests")]
    elif "bench" in command:
        words += ["--help"]
    where = ROOT if "bench" in command else place
    done = subprocess.run(words, cwd=where, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-2000:]
    if "--plot" in words:
        assert (place / "runs" / "flexible-4-5e-05" / "learning_curve.svg").exists()


@pytest.mark.parametrize("number", range(len(blocks("python"))))
@pytest.mark.filterwarnings("default")
def test_python_example(number, place, monkeypatch):
    monkeypatch.chdir(place)
    names = {}
    exec(compile(blocks("python")[number], "README.md", "exec"), names)
    assert names["output"]["last_hidden_state"].shape[0] == 2
    assert (place / "my-model" / "model.safetensors").exists()
