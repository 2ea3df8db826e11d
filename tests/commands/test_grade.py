"""minbert grade refuses what cannot work before anything is started."""

import pytest

from minbert.__main__ import main
from tests.conftest import ROOT


@pytest.mark.parametrize(
    "words, message",
    [
        ([], "give a FOLDER of submissions"),
        (["nowhere"], "there is no nowhere"),
        (["setup.cfg"], "setup.cfg is no folder"),
        (["docs", "--course", "nowhere.toml"], "nowhere.toml: No such file"),
        (["docs", "--handout", "docs"], "docs is no handout"),
        (["examples", "--parts", "9"], "--parts"),
    ],
)
def test_a_command_that_cannot_work_is_refused(words, message, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["grade", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "text, message",
    [
        ("part = 3", "part is no setting"),
        ("parts = '9'", "parts: 9 is not a list"),
        ("detail = 'all'", "detail is 'all'"),
        ("[shares]\nx = 2", "x: a share is a number"),
        ("parts = ", "Invalid value"),
    ],
)
def test_a_course_file_is_checked(text, message, tmp_path, capsys):
    pytest.importorskip("tomllib", reason="--course needs Python 3.11")
    (tmp_path / "course.toml").write_text(text)
    assert main(["grade", str(tmp_path), "--course", str(tmp_path / "course.toml")]) == 2
    assert message in capsys.readouterr().err
