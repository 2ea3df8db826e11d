"""Who may import whom: the imports of every file, also those inside functions, are held against one table of floors."""

import ast
import re
import subprocess
import sys
from configparser import ConfigParser
from importlib.util import find_spec
from pathlib import Path

import pytest

from minbert.__main__ import COMMANDS
from minbert.commands.study import WORDS
from tests.conftest import ROOT

# From the ground up. A room imports itself and lower floors; rooms of one floor do not know each other.
FLOORS = (
    ("the ground",),
    ("files", "weights"),
    ("the model",),
    ("fast", "families", "tokenizers"),
    ("tasks",),
    ("runs",),
    ("pretraining", "course", "study", "pages"),
    ("commands",),
    ("the doors",),
)
GROUND = {
    *(
        "__init__",
        "added",
        "atomic",
        "cache",
        "collector",
        "completions",
        "config_json",
        "endpoint",
        "errors",
        "format",
        "jsonfile",
        "modules_json",
        "moved",
        "shell",
    ),
    *("shipped", "tokenizer_files", "tokenizer_json", "wording", "size", "cost", "published"),
}
MODEL = {
    "similarity",
    *("config", "tokenizer", "encoding", "batch", "embeddings", "attention", "encoder", "decoder", "bert", "heads"),
    *("losses", "optimizer", "training", "metrics", "probing", "generation", "left_to_right"),
    *("token_heads", "windows", "entities", "answers"),
    *("encoder_decoder", "search", "search_settings", "translation", "chrf"),
}
DOORS = {"__main__", "legacy"}
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
DISTRIBUTIONS = {"sklearn": "scikit-learn"}  # where the name to import is not the name to install
HEAVY = ("torch", "numpy", "sklearn", "tqdm", "matplotlib", "huggingface_hub")


def name_of(path):
    """minbert/files/table.py -> files.table; minbert/files/__init__.py -> files"""
    parts = path.relative_to(ROOT / "minbert").with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


TREES = {name_of(path): ast.parse(path.read_text("utf-8")) for path in sorted((ROOT / "minbert").rglob("*.py"))}


def room(name):
    if name.endswith(".__main__"):
        return "the doors"
    first = name.partition(".")[0]
    for title, files in (("the ground", GROUND), ("the model", MODEL), ("the doors", DOORS)):
        if first in files:
            return title
    return first


def nodes(tree):
    """All nodes of a file but those under `if TYPE_CHECKING`, which are never run."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from nodes(node)


def imported(tree):
    """The full names of what a file imports: modules, or names in them."""
    for node in nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(name):
    """The file of ours that a full name is in, or None for other people's."""
    if name.partition(".")[0] != "minbert":
        return None
    name = name.removeprefix("minbert").removeprefix(".")
    while name and name not in TREES:
        name = name.rpartition(".")[0]
    return name or "__init__"


ARROWS = {
    name: {file for full in imported(tree) if (file := ours(full)) not in (None, name)} for name, tree in TREES.items()
}
THEIRS = {name: {full for full in imported(tree) if ours(full) is None} for name, tree in TREES.items()}


def calls(tree):
    """The names of the functions that a file calls, without what they are attributes of."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", getattr(node.func, "id", None))


def files(test):
    """The names of the files whose tree passes a test."""
    return {name for name, tree in TREES.items() if test(name, tree)}


def test_every_file_has_its_room():
    assert {room(name) for name in TREES} <= set(FLOOR)


def test_imports_lead_downwards():
    climbing = {
        f"{name} imports {target}"
        for name, targets in ARROWS.items()
        for target in targets
        if room(name) != room(target) and FLOOR[room(target)] >= FLOOR[room(name)]
    }
    assert climbing == set()


def test_there_is_no_circle():
    done = set()

    def visit(name, path):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for target in ARROWS[name] - {"__init__"}:  # `import minbert`, for its version
                visit(target, [*path, name])
            done.add(name)

    for name in TREES:
        visit(name, [])


def test_the_model_imports_of_the_weights_the_mixin_and_the_names_alone():
    found = {(name, target) for name in MODEL & set(TREES) for target in ARROWS[name] if target.startswith("weights")}
    mixin = {(name, "weights") for name in ("bert", "heads", "decoder", "encoder_decoder", "token_heads")}
    assert found <= mixin | {("bert", "weights.names"), ("tokenizer", "weights.hub")}


def test_the_model_does_not_speak_of_what_is_built_around_it():
    """It can be made faster, spread over processes, resumed and graded, and knows nothing of it."""
    words = re.compile(r"fast|parallel|resum|grad(ing|ed|er)\b|quantiz", re.IGNORECASE)
    found = {name for name in MODEL & set(TREES) if words.search((ROOT / "minbert" / f"{name}.py").read_text("utf-8"))}
    assert found == set()


def test_only_the_fast_room_calls_private_operators():
    def private(name, tree):
        return any(
            isinstance(node, ast.Attribute)
            and ast.unparse(node.value).split(".")[0] in ("torch", "F", "nn")
            and re.match(r"_[a-zA-Z]|ops$", node.attr)
            for node in ast.walk(tree)
        )

    assert {room(name) for name in files(private)} == {"fast"}


def test_only_one_file_knows_of_several_processes():
    def distributed(name, tree):
        uses = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        return any(re.match(r"torch\.(distributed|nn\.parallel)", full) for full in THEIRS[name] | uses)

    assert files(distributed) == {"runs.parallel"}


def test_only_programs_choose_the_fast_way():
    callers = files(lambda name, tree: "swap_in" in calls(tree))
    stages = {"pretraining.stages", "study.frozen"}  # those of the commands pretrain and study
    assert {room(name) for name in callers - stages} <= {"runs", "commands"}


def test_a_program_that_computes_keeps_its_memory():
    """Each command that loads a model says so first; without it much of a CPU's time goes into pages."""
    heavy = {f"commands.{name}" for name in ("train", "predict", "probe", "pretrain", "similar")}
    assert files(lambda name, tree: "retain_freed_memory" in calls(tree)) >= heavy


def test_only_commands_and_the_report_print():
    printing = files(lambda name, tree: "print" in calls(tree))
    allowed = {"runs.report", "runs.columns", "runs.parallel"}  # parallel: what another process has printed
    allowed |= {"course.check", "course.submit"}  # programs in a handout
    assert {name for name in printing if room(name) not in ("commands", "the doors")} <= allowed


def test_only_few_files_touch_the_network():
    """The hub fetches models that are named; the endpoint sends texts to the server that is named, and only there; the
    playground serves this machine."""
    network = re.compile(r"(socket|urllib\.request|http|ftplib|ssl|requests|httpx|huggingface_hub)(\.|$)")
    pairs = {"course.asking", "course.talk", "course.nursery"}  # between two processes; the last tries that no more can
    assert (
        files(lambda name, tree: any(map(network.match, THEIRS[name])))
        == {"weights.hub", "endpoint", "pages.server"} | pairs
    )


def test_what_is_imported_is_installed():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    required = {line.split()[0] for line in setup["options"]["install_requires"].split("\n") if line}
    packages = {full.partition(".")[0] for names in THEIRS.values() for full in names} - set(sys.stdlib_module_names)
    extras = {"matplotlib", "pyarrow", "onnx", "onnxscript", "onnxruntime", "ftfy", "spacy", "emoji", "sacrebleu"}
    extras |= {"scipy", "xgboost", "vaderSentiment", "optuna", "ray", "threadpoolctl"}
    assert {DISTRIBUTIONS.get(package, package) for package in packages} == required | extras


def loaded(code):
    """Which of HEAVY are loaded after this code ran in a new process."""
    code = f"import sys\n{code}\nprint(*[name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()[-1].split()


def test_the_ground_and_the_files_import_no_torch():
    modules = [f"minbert.{name}" for name in TREES if room(name) in ("the ground", "files")]
    assert len(modules) > 12
    assert loaded("\n".join(f"import {module}" for module in modules)) == []


@pytest.mark.parametrize(
    "words",
    [[], *([command, "--help"] for command in COMMANDS), *(["study", word, "--help"] for word in WORDS)],
    ids=lambda words: " ".join(words),
)
def test_help_imports_nothing_heavy(words):
    """So that it answers at once: torch alone takes longer than a second."""
    if words and find_spec(COMMANDS[words[0]][0]) is None:
        pytest.skip("not written yet")
    code = f"from minbert.__main__ import main\ntry: main({words!r})\nexcept SystemExit: pass"
    assert loaded(code) == []


@pytest.mark.parametrize("words", [["trian"], ["train", "--epcohs", "3"], ["predict"]], ids=" ".join)
def test_a_mistyped_command_line_is_answered_at_once(words):
    assert loaded(f"from minbert.__main__ import main\nassert main({words!r}) == 2") == []


def test_the_names_of_the_package_are_looked_up_when_they_are_used():
    assert loaded("import minbert\nassert set(minbert.__all__) <= set(dir(minbert))\nminbert.UserError") == []
    assert loaded("import minbert\nminbert.Config(num_labels=3)") == []
    assert "torch" in loaded("from minbert import *\nBertSentClassifier, AdamW, BertTokenizer")
    assert "torch" in loaded("import minbert\nminbert.weights, minbert.heads, minbert.optimizer")


def test_a_name_that_is_not_there_is_an_attribute_error():
    import minbert

    with pytest.raises(AttributeError, match="module 'minbert' has no attribute 'Bert'"):
        minbert.Bert  # noqa: B018


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("*.py")) + [ROOT / room for room in ("minbert", "bench", "tests")], ids=str
)
def test_the_syntax_is_that_of_the_oldest_python(path):
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["options"]["python_requires"] == ">=3.10"
    found = [path] if path.is_file() else list(Path(path).rglob("*.py"))
    assert found
    for file in found:
        ast.parse(file.read_text("utf-8"), str(file), feature_version=(3, 10))
