"""adapter.py: a file of the student's own that says where the functions of the parts are, in files of any name.

    from my_attention import dot_product as attend                    a function
    from my_attention import cut as MultiHeadAttention_split          a method; its first argument is the object
    from my_attention import SelfAttention as MultiHeadAttention      a class in place of the handout's

What a part asks for is looked up in adapter.py first, then in the part's own file in minbert/.

The student's own files stand beside adapter.py. Those travel that it names in its import lines, those that these name,
and so on: at most MOST, none with the name of a module in TAKEN. Import lines are found as text, since a grader must
not parse what strangers wrote; `import a` and `from a import b` are found at the beginning of a line.
"""

import contextlib
import importlib
import re
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from minbert.errors import UserError

FILE = "adapter.py"
OWN = "own/"  # before the names of adapter.py and the files beside it, where the parts' files are listed, too
MOST = 50  # files, with adapter.py
TAKEN = {
    *sys.stdlib_module_names,
    *("minbert", "torch", "numpy", "safetensors"),
    *("check", "submit", "kit", "tests", "conftest", "sitecustomize", "usercustomize"),
}
IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+(\w+)|import[ \t]+(.+))", re.MULTILINE)


def imported(source: bytes) -> set[str]:
    """The modules, without what is behind a dot, in the lines of a file that look like imports."""
    found = set()
    for one, several in IMPORT.findall(source.decode("utf-8-sig", "replace")):
        words = [one] if one else [re.split(r"\W", name.strip(), maxsplit=1)[0] for name in several.split(",")]
        found.update(word for word in words if word)
    return found


def travelling(beside: Collection[str], read: Callable[[str], bytes | None]) -> dict[str, bytes]:
    """adapter.py and the files that go with it: {"adapter.py": its bytes, ...}

    beside  the names of the files in its folder
    read    a file's bytes; None if it cannot be taken. Raises UserError for more than MOST files
    """
    found, waiting, seen = {}, [FILE], {FILE}
    while waiting:
        name = waiting.pop()
        content = read(name)
        if content is not None:
            found[name] = content
            new = {f"{module}.py" for module in imported(content) - TAKEN}.intersection(beside) - seen
            seen |= new
            waiting += sorted(new)
        if len(found) > MOST:
            raise UserError(f"{FILE} needs more than {MOST} files")
    return found


def own_files(folder: Path) -> dict[str, bytes]:
    """The same of a folder, with OWN before the names; nothing if it has no adapter.py."""
    beside = {path.name: path for path in sorted(folder.glob("*.py")) if path.is_file()}
    found = travelling(beside, lambda name: beside[name].read_bytes()) if FILE in beside else {}
    return {OWN + name: content for name, content in found.items()}


def spot(name: str) -> str:
    """Where a file stands in a room: "attention.py" -> "minbert/attention.py", "own/adapter.py" ->
    "own/minbert/adapter.py". Where code failed is looked for in folders of the name minbert."""
    folder, slash, file = name.rpartition("/")
    return f"{folder}{slash}minbert/{file}"


def lay_out(room: Path, files: dict[str, bytes]) -> None:
    """Write files into a new room, each at its spot."""
    (room / "minbert").mkdir(parents=True)
    for name, content in files.items():
        path = room / spot(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


# Where students' code runs


@contextlib.contextmanager
def adapted(folder: str | Path, names: list) -> Iterator:
    """The code under test, for probes.call: with what an adapter.py in this folder supplies, if there is one.

    names  Part.names
    """
    from minbert.course.probes import Code

    folder = str(folder)
    if not (Path(folder) / FILE).is_file():
        yield Code()
        return
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        try:
            supply(vars(importlib.import_module("adapter")), names)
            code = Code()
        except Exception as error:  # of any kind: it is a student's
            code = Broken(error)
        yield code
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)
        for name, module in list(sys.modules.items()):
            if Path(getattr(module, "__file__", None) or "nowhere").parent == Path(folder):
                sys.modules.pop(name)


class Broken:
    """The code under test where adapter.py cannot be used: whatever is asked of it raises."""

    def __init__(self, error: Exception):
        self.error = error

    def __getattr__(self, name):
        raise self.error


def supply(given: dict, names: list) -> None:
    """Put functions and classes into the package, in the places of the handout's.

    given  {name: what adapter.py has under it}
    names  Part.names. A function that is neither given nor written in its file says so when it is called

    Raises LookupError for a name that could be of two files.
    """
    for file, full, name in names:
        module = importlib.import_module(f"minbert.{file.removesuffix('.py')}")
        owner, _, last = full.rpartition(".")
        holder = getattr(module, owner) if owner else module
        old = getattr(holder, last)
        if owner and isinstance(given.get(owner), type) and given[owner] is not holder:
            put_everywhere(holder, given[owner])
            holder = given[owner]
        plain = full.replace(".", "_")
        if name in given:
            new = given[name]
        elif plain in given:
            raise LookupError(f"{FILE} has {plain}, which is in two files: call this one {name}")
        else:
            new = getattr(holder, last, old)
        new = unwritten(file, full) if is_blank(new, full) else new
        if not owner:
            put_everywhere(old, new)
        elif new is not getattr(holder, last, None):
            setattr(holder, last, new)


def put_everywhere(old, new) -> None:
    """Wherever a file of the package refers to one function or class, also in a table, let it refer to another."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "minbert" and not name.startswith("minbert.course"):
            put_into(module, old, new)


def put_into(module, old, new) -> None:
    """The same in one file: under any name, and in tables such as ACTIVATIONS."""
    tables = [value for key, value in vars(module).items() if isinstance(value, dict) and key[:2] != "__"]
    for table in (vars(module), *tables):
        table.update({key: new for key, value in table.items() if value is old})


def is_blank(function, full: str) -> bool:
    """True for the function as the handout has it: see blank.py."""
    constants = getattr(getattr(function, "__code__", None), "co_consts", ())
    return any(isinstance(value, str) and re.fullmatch(rf"part \w+: {re.escape(full)}", value) for value in constants)


def unwritten(file: str, full: str) -> Callable:
    def function(*arguments, **options):
        raise NotImplementedError(f"{full} is neither in {FILE} nor written in minbert/{file}")

    return function
