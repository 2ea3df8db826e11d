"""The table of faults in tests/README.md is what the tests' markers say."""

import pytest

from tests import faults


def test_the_table_is_the_one_that_is_printed():
    text = faults.README.read_text()
    wanted = faults.printed(text, faults.table(faults.find()))
    assert text == wanted, "run python -m tests.faults --write"


def test_no_fault_got_lost():
    assert len(faults.find()) >= 40


def test_no_line_is_wide():
    assert max(map(len, faults.README.read_text().splitlines())) <= faults.WIDTH


def test_markers_are_found_and_grouped_by_file(tmp_path):
    marker = "@pytest.mark.fault('{}')\n"
    full, cut = marker.format("saving: a full disk"), marker.format("downloads: cut off")
    (tmp_path / "test_a.py").write_text(
        f"{full}def test_one(): ...\n{cut}{full}def test_two(): ...\ndef test_no(): ..."
    )
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "test_b.py").write_text(f"@pytest.mark.skip\n{full}class TestThree: ...\n")
    assert faults.find(tmp_path) == {
        "downloads: cut off": {"test_a.py": ["test_two"]},
        "saving: a full disk": {"runs/test_b.py": ["TestThree"], "test_a.py": ["test_one", "test_two"]},
    }
    assert faults.table(faults.find(tmp_path))[2:] == [
        "| **Downloads** | |",
        "| cut off | `test_a.py` |",
        "| **Saving** | |",
        "| a full disk | `runs/test_b.py`, `test_a.py` |",
    ]


def test_a_wide_row_becomes_several():
    rows = list(faults.row("a fault", ["x" * 50, "y" * 50, "z" * 50]))
    assert rows == [f"| a fault | {'x' * 50}, {'y' * 50} |", f"|  | {'z' * 50} |"]


def test_a_fault_needs_a_known_area(tmp_path):
    (tmp_path / "test_a.py").write_text("@pytest.mark.fault('disk: full')\ndef test_one(): ...")
    with pytest.raises(ValueError, match="'disk: full' needs an area"):
        faults.find(tmp_path)


def test_a_word_lists_the_tests_of_its_faults(capsys):
    faults.main(["full", "disk"])
    shown = capsys.readouterr().out
    assert shown.startswith("downloads: a full disk\n  tests/weights/test_hub.py::test_a_full_disk")
