"""Places of use: notebooks, services, threads, strange terminals, odd paths, and command lines that can be copied."""

import argparse
import asyncio
import contextlib
import importlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from minbert import BertSentClassifier, fast, shell
from minbert.__main__ import COMMANDS, main
from minbert.fast import measure
from minbert.runs import state
from tests.conftest import ROOT

TEXTS = ["the film was good", "a bad plot", "not unaffable, é"]


class Minimal:
    """A stream as some programs hand it out: it takes text, and knows nothing else."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass


def ascii_stream():
    return io.TextIOWrapper(io.BytesIO(), encoding="ascii")


def closed_stream():
    stream = io.StringIO()
    stream.close()
    return stream


def written(stream):
    """What was written to a stream, line ends as \\n."""
    if isinstance(stream, io.TextIOWrapper):
        stream.flush()
        return stream.buffer.getvalue().decode().replace("\r\n", "\n")
    return (stream.text if isinstance(stream, Minimal) else stream.getvalue()).replace("\r\n", "\n")


@pytest.fixture
def place(tiny_folder, monkeypatch):
    """A folder with a model `tiny` of the classes schlecht and größer, and texts.txt; the current one."""
    monkeypatch.chdir(tiny_folder.parent)
    config = (tiny_folder / "config.json").read_text(encoding="utf-8")
    config = config.replace('"negative"', '"schlecht"').replace('"positive"', '"größer"')
    (tiny_folder / "config.json").write_text(config, encoding="utf-8")
    Path("texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    rows = [f"{text} {number},{'gut' if number % 2 else 'schlecht'}" for number, text in enumerate(TEXTS[:2] * 4)]
    Path("train.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    return tiny_folder.parent


PREDICT = ["predict", "--model", "tiny", "--text", "texts.txt"]
TRAIN = ["train", "--model", "tiny", "--train", "train.csv", "--epochs", "1", "--out", "out"]


@pytest.fixture
def predictions(place):
    """The result of PREDICT, as text."""
    assert main([*PREDICT, "--out", "right.csv"]) == 0
    return Path("right.csv").read_text(encoding="utf-8")


# Streams

STREAMS = {"StringIO": io.StringIO, "minimal": Minimal, "ascii": ascii_stream}
MISSING = {"none": lambda: None, "closed": closed_stream}


@pytest.mark.parametrize("kind", STREAMS)
def test_any_stream_takes_what_is_printed_and_is_left_as_it_was(kind, predictions, monkeypatch):
    stream = STREAMS[kind]()
    settings = [getattr(stream, name, None) for name in ("encoding", "errors")]
    monkeypatch.setattr(sys, "stdout", stream)
    assert main([*PREDICT, "--out", "-"]) == 0
    assert sys.stdout is stream and written(stream) == predictions
    assert main([*TRAIN]) == 0
    shown = r"gr\xf6\xdfer" if kind == "ascii" else "größer"
    assert "labels: 0 = gut" in written(stream) and shown in written(stream).replace("p_größer", shown)
    assert [getattr(stream, name, None) for name in ("encoding", "errors")] == settings


@pytest.mark.parametrize("kind", MISSING)
def test_a_missing_stream_swallows_what_is_printed_but_no_result(kind, place, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream := MISSING[kind]())
        assert (main(PREDICT), main([*TRAIN]), main(["train", "--help"])) == (0, 0, 0)
        assert main([*PREDICT, "--out", "-"]) == 2 and sys.stdout is stream
    assert "error: there is no standard output here: name a file with --out\n" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", MISSING[kind]())
        assert (main(PREDICT), main(["predict", "--model", "nobody", "--text", "texts.txt"])) == (0, 2)
    assert capsys.readouterr() == ("", "")


class Ascii(Minimal):
    """It cannot be told what to do with other characters."""

    def write(self, text):
        return super().write(text.encode("ascii").decode())


def test_a_character_that_a_stream_refuses_is_one_line(place, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", Ascii())
    assert main([*PREDICT, "--out", "-"]) == 2
    assert (
        capsys.readouterr().err
        == "error: '\\xf6\\xdf' cannot be written in ascii: set PYTHONUTF8=1, or rename that file\n"
    )


@pytest.mark.parametrize("kind", ["none", "closed", "StringIO", "bytes below"])
def test_the_standard_input_may_be_missing_or_text(kind, predictions, monkeypatch, capsys):
    text = "\n".join(TEXTS)
    kinds = MISSING | {
        "StringIO": lambda: io.StringIO(text),
        "bytes below": lambda: io.TextIOWrapper(io.BytesIO(text.encode())),
    }
    monkeypatch.setattr(sys, "stdin", kinds[kind]())
    status = main(["predict", "--model", "tiny", "--text", "-", "--out", "piped.csv"])
    if kind in MISSING:
        assert status == 2 and "there is no standard input here: name a file" in capsys.readouterr().err
    else:
        assert status == 0 and Path("piped.csv").read_text(encoding="utf-8") == predictions


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_the_standard_output_is_one_line():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "minbert"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "No space left" in done.stderr


def test_a_reader_that_goes_away_is_no_mistake():
    words = [sys.executable, "-m", "minbert"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_returns_where_it_was_called(command, capsys):
    """A notebook is not ended by SystemExit."""
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: ")


def test_the_interpreters_options_and_a_bare_environment_change_nothing(predictions, place):
    """No docstrings, warnings as errors, an old terminal, no home, no folder for temporary files; all at once."""
    bare = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    bare |= {"HOME": "/nobody", "TMPDIR": "/nowhere", "COLUMNS": "20", "PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT)}
    python = [sys.executable, "-OO", "-B", "-W", "error", "-m", "minbert"]
    done = subprocess.run([*python, *PREDICT, "--out", "-"], env=bare, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().replace("\r\n", "\n") == predictions
    done = subprocess.run([*python, "predict", "--help"], env=bare, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "python -OO leaves the manuals out" in " ".join(done.stdout.split())


# Threads, signals, event loops, notebooks


def test_a_command_runs_in_a_thread_and_beside_an_event_loop(place):
    async def beside():
        return main([*TRAIN]), await asyncio.to_thread(main, [*TRAIN])

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(main, [*TRAIN]).result() == 0
    assert asyncio.run(beside()) == (0, 0)


@pytest.mark.filterwarnings("ignore:.*were longer")
def test_eight_threads_get_the_numbers_of_one(tokenizer, tiny, monkeypatch):
    """The tokenizer's caches and the choice of a kernel are shared."""
    texts = [[f"the film {'was ' * (at % 5)}good {at}", "a plot"][: 1 + at % 2] for at in range(64)]
    model = BertSentClassifier(tiny.change(num_labels=3))

    def predict(batch):
        return model.predict_proba(**tokenizer(batch, padding=True, return_tensors="pt"))

    plain, decide, decided = list(map(predict, texts)), measure.Choice.decide, []
    monkeypatch.setattr(measure.Choice, "decide", lambda self: (decided.append(self), decide(self)))
    fast.swap_in(model), fast.swap_in(tokenizer)
    threads = torch.get_num_threads()
    for choice in measure.CHOICES.values():
        choice.forget()
    monkeypatch.setattr(fast.wordpiece.Cache, "MOST", 5)  # emptied again and again
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(predict, texts))
    assert len(decided) <= len(measure.CHOICES) and torch.get_num_threads() == threads
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-6)


def test_a_second_signal_does_what_it_did_before(monkeypatch):
    """The default would end a notebook's kernel."""
    got = []
    monkeypatch.setattr(state.parallel, "size", lambda: 1)
    before = {number: signal.signal(number, lambda number, _: got.append(number)) for number in state.Stop.SIGNALS}
    try:
        with state.Stop() as stop:
            signal.raise_signal(signal.SIGINT)
            assert (stop.asked, got) == (signal.SIGINT, [])
            signal.raise_signal(signal.SIGINT)
            assert got == [signal.SIGINT]
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background
        with state.Stop() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.asked == 0
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_in_a_thread_no_signal_is_handled():
    handler, seen = signal.getsignal(signal.SIGINT), []

    def enter():
        with state.Stop() as stop:
            seen.append((stop.asked, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [(0, handler)] and signal.getsignal(signal.SIGINT) is handler


NOTEBOOK = [
    f"import sys, os; sys.path.insert(0, {str(ROOT)!r})",
    f"%run {shlex.quote(str(ROOT / 'predict.py'))} --model tiny --text texts.txt --out -",
    "from minbert.__main__ import main; print('status', main(['predict', '--model', 'x', '--text', 'texts.txt']))",
    "import signal; before = signal.getsignal(signal.SIGINT)\n"
    "status = main(['train', '--model', 'tiny', '--train', 'train.csv', '--epochs', '1', '--out', 'out'])\n"
    "print('status', status, signal.getsignal(signal.SIGINT) is before)",
]


@pytest.mark.filterwarnings("ignore")
def test_a_notebook(predictions, place):
    """A real kernel: one cell after the other, and the state between them is kept."""
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient to run a notebook")
    pytest.importorskip("ipykernel", reason="needs ipykernel to run a notebook")
    nbformat = pytest.importorskip("nbformat")
    cells = [nbformat.v4.new_code_cell(source) for source in NOTEBOOK]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(place)}}).execute()

    def shown(cell, stream="stdout"):
        return "".join(out.text for out in cell.outputs if out.output_type == "stream" and out.name == stream)

    _, ran, mistake, trained = notebook.cells
    assert shown(ran).replace("\r\n", "\n") == predictions
    assert shown(mistake) == "status 2\n" and shown(mistake, "stderr").startswith("error: there is no model x")
    assert shown(trained).endswith("status 0 True\n") and "labels: 0 = gut" in shown(trained)


# Paths

NAMES = [
    *("with space", "it's", 'say "hi"', "$HOME", "a;b & c|d", "größer-电影", "#1", "*?[x]", "back\\slash", "new\nline"),
    *("-begins", "--model", "~", "~nobody", "%20", "x" * 200, ".hidden", "trailing "),
]


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids such names")
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_every_path_may_have_an_odd_name(name, predictions, place, capsys):
    """The model's folder, a link to it, the texts, the result, the current folder."""
    folder = place / name
    folder.mkdir()
    (place / "tiny").rename(folder / name)
    (place / "texts.txt").rename(folder / f"{name}.txt")
    os.chdir(folder)
    assert main(["predict", f"--model={name}", f"--text={name}.txt", f"--out={name}.csv"]) == 0
    assert Path(folder / f"{name}.csv").read_text(encoding="utf-8") == predictions
    os.chdir(place)
    Path("linked").symlink_to(Path(name, name))
    assert main(["predict", "--model", "linked", "--text", os.path.join(".", name, f"{name}.txt")]) == 0
    assert Path(folder / f"{name}.txt.predictions.csv").read_text(encoding="utf-8") == predictions
    capsys.readouterr()


def test_a_model_of_links_in_folders_that_cannot_be_written(predictions, place):
    """As huggingface_hub's cache: the files are links to others, by relative paths."""
    for name in ("blobs", "snapshot", "results"):
        (place / name).mkdir()
    for number, path in enumerate(sorted((place / "tiny").iterdir())):
        path.rename(place / "blobs" / str(number))
        (place / "snapshot" / path.name).symlink_to(Path("..", "blobs", str(number)))
    (place / "out.csv").symlink_to(Path("results", "there.csv"))
    for name in ("blobs", "snapshot"):
        (place / name).chmod(0o555)
    assert main(["predict", "--model", "snapshot", "--text", "texts.txt", "--out", "out.csv"]) == 0
    assert (place / "results" / "there.csv").read_text(encoding="utf-8") == predictions
    assert (place / "out.csv").is_symlink()


def test_windows_line_ends_and_marks_in_a_models_files(predictions, place):
    for path in (place / "tiny").glob("*.json"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    vocab = place / "tiny" / "vocab.txt"
    vocab.write_bytes(b"\xef\xbb\xbf" + vocab.read_bytes().replace(b"\n", b"\r\n"))
    Path("texts.txt").write_bytes(b"\xef\xbb\xbf" + Path("texts.txt").read_bytes().replace(b"\n", b"\r\n"))
    assert main([*PREDICT, "--out", "again.csv"]) == 0
    assert Path("again.csv").read_text(encoding="utf-8") == predictions


def test_home_is_meant_by_a_tilde_that_no_shell_has_seen(predictions, place, monkeypatch):
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("USERPROFILE", str(place))
    assert main(["predict", "--model=~/tiny", "--text=~/texts.txt", "--out=~/mine.csv"]) == 0
    assert (place / "mine.csv").read_text(encoding="utf-8") == predictions


def test_a_value_that_begins_with_a_dash_gets_a_hint(capsys):
    for words in (["--model", "-x"], ["--model", "-my-runs/x"], ["--text"]):
        assert main(["predict", *words]) == 2
        assert "a value that begins with - is written --flag=-value" in capsys.readouterr().err
    assert main(["predict", "--modle", "-x"]) == 2
    assert "did you mean --model?" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no folder that is in use")
def test_a_current_folder_that_is_gone(tmp_path, monkeypatch, capsys):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["predict", "--model", "tiny", "--text", str(tmp_path / "x")]) == 2
    assert "error: the current folder no longer exists: change to another one with cd" in capsys.readouterr().err


# Command lines to copy


@pytest.mark.parametrize("argv", ["minbert", "train_classifier.py", "/some where/predict.py", ""])
def test_a_shell_takes_a_printed_command_apart_into_its_words(argv, monkeypatch):
    monkeypatch.setattr("sys.argv", [argv] if argv else [])
    called = shlex.split(shell.called("train"))
    assert called[-1] in ("train", "train_classifier.py", "/some where/train_classifier.py")
    for name in NAMES:
        assert shlex.split(shell.advice("train", "--model", name)) == [*called, "--model", name]


def test_windows_has_other_quotes(monkeypatch):
    monkeypatch.setattr(shell, "os", argparse.Namespace(name="nt"))
    assert shell.quote("--model", r"C:\my runs\a") == r'--model "C:\my runs\a"'


def test_a_folder_that_begins_with_a_dash_is_no_flag_in_what_is_printed(place, capsys):
    assert main([*TRAIN[:-2], "--out=-runs"]) == 0
    assert f"--model {os.path.join('.', '-runs')} --test FILE" in capsys.readouterr().out
    assert main(["train", "--resume", os.path.join(".", "-runs")]) == 2


def test_no_path_is_printed_after_a_flag_without_quotes():
    """--model {folder} in a message breaks on a space; it is written by shell.quote."""
    unquoted = re.compile(r"--(?:model|resume|out|text|test|train|vocab|file)[ =]\{(?!LEARNING_RATES).*?\}")
    files = {path.name: unquoted.findall(path.read_text("utf-8")) for path in (ROOT / "minbert").rglob("*.py")}
    assert {name: found for name, found in files.items() if found} == {}


@pytest.mark.parametrize(
    "script, command", [("train_classifier", "train"), ("predict", "predict"), ("probe_lm", "probe")]
)
def test_a_script_of_the_clone_is_called_from_python(script, command, monkeypatch):
    module = importlib.import_module(script)
    out = io.StringIO()
    monkeypatch.setattr(sys, "argv", [f"{script}.py", "--help"])
    with contextlib.redirect_stdout(out):
        assert module.run() == module.main(["--help"]) == 0
    assert out.getvalue().count("usage: ") == 2 and "--help" in out.getvalue()


def test_the_published_notebook_case(shared):
    script = shared("cases/notebook/run.py")
    done = subprocess.run(
        [sys.executable, script], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
