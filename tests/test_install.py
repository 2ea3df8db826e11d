"""The installed package: what is in the wheel, and that it works from an empty folder, with no clone in sight.

The wheel is installed into a fresh environment, which takes the other packages from the one that runs the tests.
"""

import subprocess
import sys
import venv
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

import minbert
from tests.conftest import ROOT

pytest.importorskip("setuptools", minversion="77", reason="needs setuptools to build a wheel")
REVIEWS = ["A joy from the first minute to the last.", "Dull, and far too long.", "Well acted and well told."]


def call(*command, **options):
    """The finished process; the test fails with what the command said if it failed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, stdin=subprocess.DEVNULL, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def pip(*words):
    return call(sys.executable, "-m", "pip", "--disable-pip-version-check", *words)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the files that git knows, or would add, and some that a user may have lying about."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("needs a git clone")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "bench/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    for name in ("checkpoints/mine/config.json", "checkpoints/tiny/state.safetensors", "data/private.csv", "mine.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    return folder


@pytest.fixture(scope="module")
def wheel(clone, tmp_path_factory):
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", out, clone)
    (path,) = out.glob("*.whl")
    return path


def environment(folder):
    """An environment that sees the packages installed beside pytest, but none that is installed by a link."""
    venv.create(folder)
    python = next(folder.glob("[bS]*/python*"))
    site = Path(call(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip())
    (site / "shared.pth").write_text("\n".join(path for path in sys.path if "-packages" in path))
    return python


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of the programs in a fresh environment with the wheel."""
    python = environment(tmp_path_factory.mktemp("environment"))
    pip("--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    return python.parent


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with nothing but some texts."""
    place = tmp_path_factory.mktemp("empty")
    (place / "texts.txt").write_text("\n".join(REVIEWS * 40) + "\n")
    return place


def test_every_room_is_in_the_wheel_and_what_is_shipped_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    package = {str(path.relative_to(ROOT)) for path in (ROOT / "minbert").rglob("*.py")}
    checkpoints = [
        path
        for model in ("tiny", "tiny-gpt2", "tiny-translate")
        for path in (ROOT / "checkpoints" / model).glob("[!.]*")
    ]
    models = {f"minbert/shipped/{path.relative_to(ROOT)}" for path in checkpoints}
    data = {f"minbert/shipped/data/reviews/{part}.csv" for part in ("train", "dev", "test")}
    pages = {str(path.relative_to(ROOT)) for path in (ROOT / "minbert" / "course" / "text").glob("*.md")}
    html = {
        str(path.relative_to(ROOT))
        for folder in ("templates", "scripts")
        for path in (ROOT / "minbert" / "pages" / folder).iterdir()
    }
    assert len(pages) == 9 and {"minbert/pages/templates/base.css", "minbert/pages/scripts/base.js"} < html
    assert names == package | models | data | pages | html


def test_the_wheel_says_what_it_needs_and_for_which_python(wheel):
    metadata = next(name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".dist-info/METADATA"))
    lines = zipfile.ZipFile(wheel).read(metadata).decode().splitlines()
    assert f"Version: {minbert.__version__}" in lines and "Requires-Python: >=3.10" in lines
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    needs = setup["options"]["install_requires"].split("\n")
    assert {f"Requires-Dist: {need.replace(' ', '')}" for need in needs if need} <= set(lines)


def test_the_package_is_the_installed_one(installed, place):
    code = "import minbert, sys; from minbert import shipped; print(minbert.__file__, shipped.folder('data'))"
    package, data = call(installed / "python", "-c", code, cwd=place).stdout.split()
    assert Path(package).is_relative_to(installed.parent) and Path(data).is_relative_to(Path(package).parent)
    for name in ("predict", "train_classifier", "probe_lm", "pretrain_lm", "mine"):
        done = subprocess.run([installed / "python", "-c", f"import {name}"], cwd=place, capture_output=True)
        assert done.returncode == 1 and b"ModuleNotFoundError" in done.stderr


def test_the_commands_work_one_after_the_other(installed, place):
    program = installed / "minbert"
    assert call(program, cwd=place).stdout == call(installed / "python", "-m", "minbert", cwd=place).stdout
    trained = call(program, "train", "--limit", "40", "--epochs", "1", "--out", "out", cwd=place)
    assert "train.csv: 40 rows" in trained.stdout
    assert "use it: minbert train --eval_only --model out --test FILE" in trained.stdout
    call(program, "predict", "--model", "out", "--text", "texts.txt", cwd=place)
    lines = (place / "texts.txt.predictions.csv").read_text().splitlines()
    assert lines[0] == '"row","predicted","p_negative","p_positive"' and len(lines) == 1 + 3 * 40
    assert "[MASK]" not in call(program, "probe", "--fill", "The film was [MASK].", cwd=place).stdout
    assert call(program, "generate", "--prompt", "The film was", "--max_tokens", "3", cwd=place).stdout.strip()
    small = ("--steps", "2", "--vocab_size", "60", "--layers", "1", "--hidden", "16", "--batch_tokens", "256")
    made = call(program, "pretrain", "--text", "texts.txt", *small, "--max_length", "16", "--out", "lm", cwd=place)
    assert "use it: minbert train --model lm" in made.stdout
    assert sorted(path.name for path in place.iterdir()) == ["lm", "out", "texts.txt", "texts.txt.predictions.csv"]


def test_a_page_is_made(installed, place):
    (place / "test_predictions.csv").write_text("text,gold,predicted,p_a,p_b\nx,a,a,.7,.3\ny,a,b,.2,.8\n")
    call(installed / "minbert", "page", "test_predictions.csv", cwd=place)
    for name in ("test_predictions.csv", "test_page.html"):
        assert (place / name).stat().st_size
        (place / name).unlink()


def test_the_library_works(installed, place):
    code = "import minbert; print(minbert.BertSentClassifier.from_pretrained('tiny').config.hidden_size)"
    assert call(installed / "python", "-W", "ignore", "-c", code, cwd=place).stdout.strip().isdecimal()


def test_an_editable_install_uses_the_files_of_the_clone(clone, tmp_path):
    python = environment(tmp_path / "environment")
    pip(
        "--python", python, "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--editable", clone
    )
    code = "import minbert; from minbert import shipped; print(minbert.__file__, shipped.folder('checkpoints'))"
    package, models = call(python, "-c", code, cwd=tmp_path).stdout.split()
    assert Path(package) == clone / "minbert" / "__init__.py" and Path(models) == clone / "checkpoints"
    assert call(python.parent / "minbert", "--version", cwd=tmp_path).stdout == f"minbert {minbert.__version__}\n"
