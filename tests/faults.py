"""What can go wrong, and where it is tested: the table in tests/README.md, printed from the tests' own markers.

    python -m tests.faults            the table
    python -m tests.faults --write    put it into tests/README.md
    python -m tests.faults disk       the tests of every fault whose name contains "disk"

A test of a fault carries @pytest.mark.fault("area: the fault"), with an area of AREAS.
"""

import ast
import itertools
import sys
from pathlib import Path

TESTS = Path(__file__).parent
README = TESTS / "README.md"
BEGIN, END = "<!-- printed by python -m tests.faults -->\n", "<!-- end of what is printed -->\n"
AREAS = (
    "weights",
    "downloads",
    "servers",
    "saving",
    "numbers",
    "texts",
    "tables",
    "command line",
    "grading",
    "studies",
    "device",
)
WIDTH = 120


def find(folder=TESTS):
    """Read the markers of all test files: {fault: {file: [test, ...]}}, in the order of AREAS, then of the alphabet.

    Raises ValueError for a fault without an area.
    """
    faults = {}
    for path in sorted([*folder.rglob("test_*.py"), *folder.rglob("part*.py")]):
        for node in ast.parse(path.read_text()).body:
            for fault in map(marked, getattr(node, "decorator_list", ())):
                if fault is not None:
                    name = path.relative_to(folder).as_posix()
                    faults.setdefault(fault, {}).setdefault(name, []).append(node.name)
    for fault in faults:
        if area(fault) not in AREAS:
            raise ValueError(f"the fault {fault!r} needs an area before a colon: {', '.join(AREAS)}")
    return {fault: faults[fault] for fault in sorted(faults, key=lambda fault: (AREAS.index(area(fault)), fault))}


def marked(decorator):
    """A decorator, as parsed -> the fault that it names, or None"""
    is_fault = isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault"
    return ast.literal_eval(decorator.args[0]) if is_fault else None


def area(fault):
    return fault.partition(": ")[0]


def table(faults):
    """{fault: {file: tests}} -> Markdown lines: a row for each fault, with the files that test it"""
    lines = ["| What goes wrong | Tested in |", "|---|---|"]
    for name, group in itertools.groupby(faults, area):
        lines.append(f"| **{name.capitalize()}** | |")
        for fault in group:
            lines += row(fault.partition(": ")[2], [f"`{file}`" for file in faults[fault]])
    return lines


def row(fault, cells):
    """A row of the table, or several where one would be too wide: the later ones leave the fault out."""
    while cells:
        number = next(n for n in range(len(cells), 0, -1) if n == 1 or len(line(fault, cells[:n])) <= WIDTH)
        yield line(fault, cells[:number])
        fault, cells = "", cells[number:]


def line(fault, cells):
    return f"| {fault} | {', '.join(cells)} |"


def printed(readme, lines):
    """The text of README.md with these lines in the place of the old ones."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n\n{END}{after}"


def main(arguments):
    faults = find()
    if arguments == ["--write"]:
        README.write_text(printed(README.read_text(), table(faults)))
    elif arguments:
        for fault in faults:
            if " ".join(arguments).lower() in fault.lower():
                print(fault)
                for file, tests in faults[fault].items():
                    print(*(f"  tests/{file}::{test}" for test in tests), sep="\n")
    else:
        print(*table(faults), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
