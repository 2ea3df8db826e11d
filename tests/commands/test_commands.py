"""What every command has in common: its form, its flags, and what it loads."""

import argparse
import ast
import dataclasses
import subprocess
import sys

import pytest

from minbert import optimizer
from minbert.commands import pretrain, train
from minbert.pretraining.settings import Settings as PretrainingSettings
from minbert.training import Settings
from tests.conftest import ROOT

COMMANDS = {path.stem: path for path in (ROOT / "minbert" / "commands").glob("[!_]*.py")}
for helper in ("common", "probe_tables", "predict_files", "study", "study_data"):
    del COMMANDS[helper]
STORIES = ("train", "pretrain")  # those that are flags, check and run


@pytest.mark.parametrize("name", COMMANDS)
def test_the_story_of_a_command_fits_on_a_screen(name):
    functions = {
        node.name: node for node in ast.parse(COMMANDS[name].read_text(encoding="utf-8")).body if hasattr(node, "args")
    }
    if name in STORIES:
        assert {"flags", "check", "run", "main"} <= functions.keys()
        assert [argument.arg for argument in functions["run"].args.args] == ["job"]
    lines = functions["run"].end_lineno - functions["run"].lineno + 1
    assert lines < 40


@pytest.mark.parametrize("name", STORIES)
def test_args_go_no_further_than_check(name):
    """run is given a Job, which cannot be changed any more."""
    module = {"train": train, "pretrain": pretrain}[name]
    assert module.Job.__dataclass_params__.frozen
    run = next(n for n in ast.parse(COMMANDS[name].read_text(encoding="utf-8")).body if getattr(n, "name", "") == "run")
    assert "args" not in {node.id for node in ast.walk(run) if isinstance(node, ast.Name)}


def flags(module):
    parser = argparse.ArgumentParser()
    module.flags(parser)
    return vars(parser.parse_args([])), {action.dest: action for action in parser._actions}


def test_the_flags_of_train_have_the_defaults_of_the_library():
    defaults, actions = flags(train)
    library = {field.name: field.default for field in dataclasses.fields(Settings)}
    for name in ("weight_decay", "warmup", "schedule", "precision", "seed"):
        assert defaults[name] == library[name], name
    assert actions["schedule"].choices == tuple(optimizer.SCHEDULES)


def test_the_flags_of_pretrain_have_the_defaults_of_the_library():
    defaults, actions = flags(pretrain)
    for field in dataclasses.fields(PretrainingSettings):
        if field.name in defaults and field.name not in ("lr", "mask"):  # which depend on the model
            assert defaults[field.name] == field.default, field.name
    assert f"default: {PretrainingSettings().mask}" in actions["mask"].help


@pytest.mark.parametrize(
    ("option", "size", "rate"),
    [("flexible", 768, 5e-5), ("flexible", 385, 5e-5), ("flexible", 384, 1e-4), ("pretrain", 384, 1e-3)],
)
def test_the_default_learning_rate(option, size, rate):
    assert train.default_rate(option, size) == rate


@pytest.mark.parametrize("name", STORIES)
def test_the_manual_is_shown_before_anything_heavy_is_loaded(name):
    code = (
        "import sys, contextlib\n"
        f"with contextlib.suppress(SystemExit):\n    from minbert.commands import {name}; {name}.main(['--help'])\n"
        "print([m for m in ('torch', 'numpy', 'sklearn', 'tqdm', 'filelock') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--plain" in done.stdout and done.stdout.splitlines()[-1] == "[]"
