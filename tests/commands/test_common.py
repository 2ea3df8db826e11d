"""The command `minbert`: which command is called, by which name, and how its manual and its advice name it."""

import re
import subprocess
import sys

import pytest

import minbert
from minbert import __main__ as program
from minbert import shell
from minbert.commands import common
from tests.conftest import ROOT

SCRIPT = [f"{command}:{script}" for command, script in shell.SCRIPTS.items()]


@pytest.fixture
def answer(capsys, monkeypatch):
    """answer("train", "--help") -> status, what is printed, what is said on stderr."""
    monkeypatch.setattr("sys.argv", ["/usr/bin/minbert"])

    def answer(*words):
        return program.main(list(words)), *capsys.readouterr()

    return answer


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",)])
def test_without_a_command_all_are_listed_a_line_each(answer, words):
    status, out, err = answer(*words)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    for name, (_, text) in program.COMMANDS.items():
        assert [line for line in lines if line.split()[:1] == [name]] == [f"  {name:9} {text}"]
    assert max(map(len, lines)) <= 100


def test_the_version(answer):
    assert answer("--version") == (0, f"minbert {minbert.__version__}\n", "")


@pytest.mark.parametrize(
    "words, message",
    [
        (["trian"], "there is no command trian; did you mean train? (minbert --help lists them)"),
        (["train_classifier.py"], "there is no command train_classifier.py"),
        (["x"], "there is no command x (minbert --help lists them)"),
        (["--epochs", "3"], "--epochs comes after a command: minbert COMMAND --epochs ..."),
        (["train", "--epoch", "3"], "unrecognized arguments: --epoch 3; did you mean --epochs?"),
    ],
)
def test_a_mistake_is_one_line_with_the_nearest_name(answer, words, message):
    status, out, err = answer(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {message}")


@pytest.mark.parametrize(
    "argv, expected",
    [
        ("/usr/bin/minbert", "minbert train"),
        (r"C:\Scripts\minbert.exe", "minbert train"),
        ("/site-packages/minbert/__main__.py", "python -m minbert train"),
        ("train_classifier.py", "python train_classifier.py"),
        ("../my clone/predict.py", "python '../my clone/train_classifier.py'"),
        ("/site-packages/minbert/legacy.py", "python -m minbert train"),
    ],
)
def test_a_command_is_named_as_it_is_called(monkeypatch, argv, expected):
    monkeypatch.setattr("sys.argv", [argv])
    assert shell.called("train") == expected
    assert shell.advice("train", "--model", "runs/my model") == f"{expected} --model 'runs/my model'"


def test_convert_has_no_script(monkeypatch):
    for argv, expected in (
        ("minbert", "minbert convert"),
        ("train_classifier.py", "python -m minbert convert"),
        ("/site-packages/minbert/legacy.py", "python -m minbert.legacy"),
    ):
        monkeypatch.setattr("sys.argv", [argv])
        assert shell.called("convert") == expected


def test_a_manual_names_the_commands_as_they_are_called_and_keeps_its_columns(monkeypatch):
    text = "\n".join(
        [
            "    minbert train             a comment",
            "    python predict.py --x     another",
            "    minbert convert a b       a third",
            "    torchrun -m minbert train   a module",
            "Use `minbert probe`; minbert training is no command.",
        ]
    )
    monkeypatch.setattr("sys.argv", ["minbert"])
    assert common.manual(text) == text.replace("python predict.py --x     ", "minbert predict --x       ")
    monkeypatch.setattr("sys.argv", ["predict.py"])
    assert common.manual(text).splitlines() == [
        "    python train_classifier.py  a comment",
        "    python predict.py --x     another",
        "    python -m minbert convert a b  a third",
        "    torchrun -m minbert train   a module",
        "Use `python probe_lm.py`; minbert training is no command.",
    ]


@pytest.mark.parametrize("command", program.COMMANDS)
def test_each_command_has_its_manual(answer, command):
    pytest.importorskip(program.COMMANDS[command][0])
    status, out, err = answer(command, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: minbert {command} ")
    handed_out = r"python (-c|check\.py|submit\.py)"  # the latter are in a handout, not here
    assert "python " not in re.sub(handed_out, "", out), "the manual names a script"
    assert "xit status: 0" in out


@pytest.mark.parametrize("pair", SCRIPT)
def test_a_script_is_another_name_of_its_command(pair):
    command, script = pair.split(":")
    done = subprocess.run([sys.executable, str(ROOT / script), "--help"], capture_output=True, text=True, check=True)
    usage = done.stdout.replace("\n", " ")
    assert usage.startswith(f"usage: python {ROOT / script} ")
    assert f"minbert {command}" not in done.stdout.replace("-m minbert", "")


def test_only_train_works_in_several_processes(monkeypatch, capsys):
    """Each of the others would write the same file several times. Without torchrun, WORLD_SIZE is a batch system's."""
    joined = []
    monkeypatch.setattr("minbert.runs.parallel.together", lambda program: joined.append(program) or program())
    monkeypatch.setattr("minbert.commands.train.main", lambda arguments: print("trained"))
    monkeypatch.setattr("minbert.commands.predict.main", lambda arguments: print("predicted"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert [program.main([command]) for command in ("train", "predict")] == [0, 0]
    assert len(joined) == 1 and capsys.readouterr().out == "trained\npredicted\n"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    assert [program.main([command]) for command in ("train", "predict")] == [0, 2]
    assert len(joined) == 3  # so that the mistake is reported once
    assert capsys.readouterr().err.startswith("error: minbert predict runs in one process: start it without torchrun")
    for alone in ("1", ""):
        monkeypatch.setenv("WORLD_SIZE", alone)
        assert [program.main([command]) for command in ("train", "predict")] == [0, 0]
    assert len(joined) == 3


def test_a_package_that_is_missing_is_named_with_what_to_do(capsys):
    def needing(name):
        def command(words):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        return common.run(command, [])

    assert needing("safetensors.torch") == 2
    said = capsys.readouterr().err
    assert said.startswith("error: the package safetensors is not installed here: make train") and said.count("\n") == 1
    with pytest.raises(ModuleNotFoundError):  # a fault of ours
        needing("minbert.nowhere")
