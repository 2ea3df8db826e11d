"""The handout: what is in it, what its test finds, and what a student sees. Part 2 alone, which is quick."""

import json
import shutil
import subprocess
import sys
import zipfile

import pytest

from minbert import UserError
from minbert.course import handout, kit, submission
from minbert.course.check import check_folder
from minbert.course.naming import unique
from minbert.course.parts import PARTS, WHOLE, part
from minbert.course.public import load
from tests.conftest import ROOT

TWO = (part(2),)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    out = tmp_path_factory.mktemp("course") / "bert 2027"
    handout.build(out, TWO, "bert-2027")
    return out


@pytest.fixture
def folder(built, tmp_path):
    return shutil.copytree(built, tmp_path / "my work é")


def run(folder, *words):
    done = subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


def solve(folder, file="embeddings.py", change=lambda source: source):
    (folder / "minbert" / file).write_text(change(kit.originals()[file]), "utf-8")


def test_a_handout_passes_its_own_test(built):
    told = []
    assert handout.self_check(built, TWO, told.append) == []
    assert [line.split()[0] for line in told] == ["reference", "as", "blanks", "mistakes", "leaks"]


def test_what_a_handout_must_not_have_is_found(folder):
    body = kit.originals()["attention.py"].partition("scores = attention_scores")
    (folder / "notes.md").write_text("so: " + body[1] + body[2], "utf-8")
    assert list(handout.leaks(folder, TWO)) == []  # part 3 is not asked for in this handout
    assert list(handout.leaks(folder, PARTS)) != []


def test_a_part_that_is_not_blanked_is_found(folder, monkeypatch):
    solve(folder)
    problems = handout.self_check(folder, TWO, lambda line: None)
    assert "part 2 is ok although nothing is written" in problems
    assert any(
        line.startswith("minbert/embeddings.py holds 20 tokens in a row of embeddings.py: ") for line in problems
    )


def test_an_existing_folder_is_left_alone(built):
    with pytest.raises(UserError, match="exists: a handout needs a new folder"):
        handout.build(built, TWO)


def test_each_part_has_a_page_that_names_its_functions_and_gives_three_hints():
    for each in PARTS:
        page = (handout.PAGES / f"part{each.number}.md").read_text("utf-8")
        for full in (full for names in each.blank.values() for full in names):
            assert f"`{full}(" in page, f"part {each.number}: {full}"
        for heading in ("## What to do", "## Shapes", "## Hints"):
            assert f"\n{heading}\n" in page
        assert page.partition("## Hints")[2].count("\n1. ") == page.count("\n3. ") == 1
        assert "equation" in page.lower() or each.number == 1


def test_public_questions_are_read_as_they_were_written(built, tmp_path):
    known = load(built / "kit" / "public.bin")
    assert known[2].expected and set(known[2].hints) == set(unique(known[2].wrong))
    handout.save(tmp_path / "again", known)
    assert (tmp_path / "again").read_bytes() == (built / "kit" / "public.bin").read_bytes()


# What a student sees


def test_nothing_written(folder):
    status, out, err = run(folder, "check.py")
    assert (status, err) == (1, "")
    assert out.startswith(f"part 2     {'embeddings':36}  not written yet\npublic tests: 0 of 1 part. ")


def test_right_work(folder):
    solve(folder)
    status, out, _ = run(folder, "check.py", "2")
    assert status == 0
    assert out.startswith(f"part 2     {'embeddings':36}  ok        ")


def test_a_known_mistake_is_named_and_a_hint_given(folder):
    solve(folder, change=lambda source: source.replace(" + self.segment(token_type_ids)", ""))
    status, out, _ = run(folder, "check.py", "2")
    assert status == 1
    assert "\n" + " " * 49 + "KNOWN     " in out
    assert "the largest difference is " in out
    assert "next: python check.py 2 --hint\n" in out
    assert [run(folder, "check.py", "2", "--hint")[1][:6] for _ in range(4)] == ["1 of 3", "2 of 3", "3 of 3", "1 of 3"]


def test_an_unknown_mistake_is_not_named(folder):
    solve(folder, change=lambda source: source.replace("self.norm(x)", "self.norm(x) * 1.01"))
    _, out, _ = run(folder, "check.py")
    assert "WRONG     in `" in out and "NOT KNOWN " in out and "KNOWN     " not in out.replace("NOT KNOWN", "")


def test_an_endless_loop_is_a_line(folder, monkeypatch):
    loop = "        while True:\n            pass\n        return self.dropout"
    solve(folder, change=lambda source: source.replace("        return self.dropout", loop))
    (quick,) = (type(each)(each.number, each.title, each.blank, each.points, seconds=3) for each in TWO)
    (result,) = check_folder(folder, [quick], folder / "kit")
    assert result.status == "too slow"
    assert "no answer in 3 s; `forward` was still running at embeddings.py:" in result.lines()[0]


def test_code_that_ends_python_or_cannot_be_read_is_a_line(folder):
    solve(
        folder,
        change=lambda source: source.replace("        return self.dropout", "        os._exit(3)\n        return 1"),
    )
    assert "no `" not in run(folder, "check.py")[1]
    solve(
        folder,
        change=lambda source: "import os\n" + source.replace("        return self.dropout", "        os._exit(3)"),
    )
    assert "CRASHED   Python ended with exit code 3 before the part was done" in run(folder, "check.py")[1]
    (folder / "minbert" / "embeddings.py").write_text("def (:\n")
    assert "SyntaxError" in run(folder, "check.py")[1]
    (folder / "minbert" / "embeddings.py").unlink()
    assert "there is no file minbert/embeddings.py" in run(folder, "check.py")[1]


def test_what_fails_can_be_run_alone(folder):
    solve(folder, change=lambda source: source.replace("self.norm(x)", "x"))
    assert "wrote repro_part2.py: python repro_part2.py" in run(folder, "check.py", "2", "--repro")[1]
    status, out, _ = run(folder, "repro_part2.py")
    assert status == 0
    assert "WRONG" in out and "\nyours\n" in out and "\nshould be\n" in out


def test_for_programs(folder):
    solve(folder)
    status, out, _ = run(folder, "check.py", "--json")
    told = json.loads(out)
    assert (status, told["status"]) == (0, "pass")
    assert [test["task_id"] for test in told["tests"]] == [2]


@pytest.mark.parametrize(
    "words, message",
    [(["9"], "there is no part 9; there are 2"), (["--hint"], "name one part: python check.py 3 --hint")],
)
def test_a_mistake_in_a_command_is_a_line(folder, words, message):
    assert run(folder, "check.py", *words) == (2, "", f"error: {message}\n")


def test_functions_of_a_notebook(folder):
    program = """
from check import check
import torch

def sinusoids(length, size):
    return torch.zeros(length, size)

assert check(2, sinusoids=sinusoids) is False
try:
    check(2, sinus=sinusoids)
except ValueError as error:
    print(error)
"""
    status, out, err = run(folder, "-c", program)
    assert (status, err) == (0, "")
    assert "WRONG" in out and "part 2 has no function sinus; it has Embeddings_forward, sinusoids" in out


# Handing in


def test_the_same_work_gives_the_same_zip_and_it_is_tested_elsewhere(folder):
    solve(folder)
    status, out, err = run(folder, "submit.py")
    assert (status, err) == (0, "")
    assert "tested there: 1 of 1 parts are right\n" in out
    first = (folder / "submission.zip").read_bytes()
    assert zipfile.ZipFile(folder / "submission.zip").namelist() == ["handout.json", "minbert/embeddings.py"]
    receipt = (folder / "receipt.txt").read_text()
    assert handout.hashlib.sha256(first).hexdigest() in receipt and "bert-2027, kit " in receipt
    run(folder, "submit.py")
    assert (folder / "submission.zip").read_bytes() == first


def test_what_a_student_should_know_before_handing_in(folder):
    solve(folder, change=lambda source: "import einops\n" + source)
    (folder / "minbert" / "encoder.py").write_text("# mine\n")
    (folder / "minbert" / "more.py").write_text("")
    compare = folder / "kit" / "minbert" / "course" / "compare.py"
    compare.write_text(compare.read_text("utf-8") + "# mine\n", "utf-8")
    _, out, _ = run(folder, "submit.py")
    assert "note       minbert/embeddings.py imports einops, which the grader does not have\n" in out
    assert "note       minbert/encoder.py was changed, but belongs to no part" in out
    assert "note       minbert/more.py is not handed in" in out
    assert "note       kit/minbert/course/compare.py was changed" in out


def test_work_that_cannot_be_read_is_not_packed(folder):
    (folder / "minbert" / "embeddings.py").write_text("def (:\n")
    status, out, err = run(folder, "submit.py")
    assert (status, out) == (2, "")
    assert err.startswith("error: nothing was packed: minbert/embeddings.py:1 is not Python: ")
    assert not (folder / "submission.zip").exists()


# Files of one's own


LOOK_UP = """import torch
def look_up(self, input_ids, token_type_ids=None, positions=None):
    token_type_ids = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
    positions = self.positions(input_ids) if positions is None else positions
    return self.dropout(self.norm(self.token(input_ids) + self.position(positions) + self.segment(token_type_ids)))
"""


def test_work_in_files_of_other_names(folder):
    """It is checked, packed, tested elsewhere, run alone and graded where adapter.py says that it is."""
    (folder / "adapter.py").write_text("import token\nfrom mine import look_up as Embeddings_forward\n")
    (folder / "mine.py").write_text(LOOK_UP + "from waves import table\n")
    (folder / "waves.py").write_text("def table(length, size): return 1 / 0\n")
    (folder / "token.py").write_text("")
    said = run(folder, "check.py")[1]
    assert "not written yet: sinusoids is neither in adapter.py nor written in minbert/embeddings.py" in said
    with open(folder / "adapter.py", "a") as file:
        file.write("from waves import table as sinusoids\n")
    assert "waves.py:1: ZeroDivisionError" in run(folder, "check.py", "2", "--repro")[1]
    assert "ZeroDivisionError" in run(folder, "repro_part2.py")[1]
    (folder / "waves.py").write_text(SINUSOIDS)
    assert run(folder, "check.py")[0] == 0
    (folder / "minbert" / "embeddings.py").unlink()
    status, out, err = run(folder, "submit.py")
    assert (status, err) == (0, "")
    assert "tested there: 1 of 1 parts are right\n" in out
    assert "note       token.py is not handed in: Python, torch or the handout has a module of this name\n" in out
    names = ["adapter.py", "handout.json", "mine.py", "waves.py"]
    assert zipfile.ZipFile(folder / "submission.zip").namelist() == names
    found = submission.read(folder / "submission.zip", {"embeddings.py"})
    assert sorted(found.files) == ["own/adapter.py", "own/mine.py", "own/waves.py"]


SINUSOIDS = "import torch\n" + kit.originals()["embeddings.py"].partition("def sinusoids")[2].join(
    ["def table", ""]
).replace("Tensor", "torch.Tensor")


# The command


def test_the_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "minbert", "handout", str(tmp_path / "out"), "--parts", "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "out is ready after " in done.stdout
    assert (tmp_path / "out" / "part2.md").exists() and not (tmp_path / "out" / "part1.md").exists()
    assert WHOLE.number not in json.loads((tmp_path / "out" / "kit" / "handout.json").read_text())["parts"]
