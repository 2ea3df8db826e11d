"""What holds for every kind of page: no text becomes markup, nothing is loaded, colours can be read."""

import base64
import hashlib
import json
import re
import subprocess
import sys

import pytest

from minbert.pages import html, pack
from minbert.pages.html import HERE, visible
from minbert.pages.matrix import confusion_matrix
from minbert.pages.run import run_page
from tests.conftest import ROOT
from tests.pages.runs import random_rows, write_run

SCRIPTS = sorted((HERE / "scripts").glob("*.js"))
TEMPLATES = sorted((HERE / "templates").glob("*.html"))
STYLES = sorted((HERE / "templates").glob("*.css"))
LIGHT = (
    "run",
    "record",
    "rows",
    "outcomes",
    "svg",
    "html",
    "pack",
    "unpack",
)  # these modules need neither torch nor a model


@pytest.fixture
def page(tmp_path):
    return run_page(write_run(tmp_path / "r", random_rows(60)))


def test_bytes_come_back():
    for data in (b"", b"a", bytes(range(256)) * 300, "</script>\0\u2028".encode()):
        assert pack.unpack(pack.pack(data)) == data and "<" not in pack.pack(data)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_short_and_makes_no_markup(script):
    text = script.read_text(encoding="utf-8")
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|srcdoc|"
    forbidden += (
        r"setAttribute\(\s*[\"'](on|style)|\.style\s*=|cssText|createContextualFragment|import\s*\(|fetch\(|\.src\b"
    )
    if script.name == "play.js":
        forbidden = forbidden.replace(r"|fetch\(", "")  # the playground asks its own server
    assert re.findall(forbidden, text) == []
    assert len(text.splitlines()) < 300 and "</" not in text and "<!--" not in text


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_escapes_everything(template):
    text = template.read_text(encoding="utf-8")
    assert re.findall(r"\|\s*safe|autoescape|\son\w+=|\sstyle=|javascript:|https?:|<link|<img|<iframe", text) == []
    assert re.findall(r"=\{\{", text) == []  # an attribute stands in quotes


@pytest.mark.parametrize("style", STYLES, ids=lambda path: path.name)
def test_a_style_loads_nothing(style):
    assert re.findall(r"@import|url\((?!#)|expression|</|@font-face", style.read_text(encoding="utf-8")) == []


def test_a_page_names_no_other_place(page):
    names = {"http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML"}
    assert set(re.findall(r"https?://[^\s\"'<>)]+", page.text)) <= names


def test_the_policy_has_the_hashes_of_what_is_in_the_page(page):
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page.text)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
    for name, tag in (("script-src", "<script>"), ("style-src", "<style>")):
        source = re.search(rf"{name} ([^;]*)", policy)[1].split()
        texts = re.findall(rf"{tag}(.*?)</", page.text, re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        assert texts and source == [f"'sha256-{each}'" for each in hashes]


def test_what_scripts_read_cannot_end_the_script(tmp_path):
    evil = "</script><!--<script>\u2028&"
    page = run_page(write_run(tmp_path / "r", random_rows(20, (evil, "b")), (evil, "b")))
    block = re.search(r'id="about">(.*?)</script>', page.text, re.DOTALL)[1]
    assert json.loads(block)["names"] == [evil, "b"] and "<" not in block and "&" not in block
    assert page.text.count("</script>") == page.text.count("<script") == 4  # about, rows, and two scripts


def test_characters_that_nobody_sees_are_shown_by_their_numbers():
    shown = str(visible("a\u202eb\0<"))
    assert shown == ('a<span class="hidden-character">U+202E</span>b<span class="hidden-character">U+0000</span>&lt;')


def test_python_and_javascript_hide_the_same_characters():
    script = (HERE / "scripts" / "base.js").read_text(encoding="utf-8")
    pattern = re.compile(re.search(r"const hidden = /(.*)/g", script)[1])
    for before in ("", "a", "م"):
        for code in range(0x10000):
            text = before + chr(code)
            assert bool(pattern.search(text)) == bool(html.HIDDEN.search(text)), hex(code)


def test_joiners_stay_where_writing_needs_them():
    assert html.visible("می\u200cخواهم 👩\u200d🏫") == "می\u200cخواهم 👩\u200d🏫"
    assert "U+200D" in html.visible("pass\u200dword") and "U+200C" in html.visible("\u200ca")


# WCAG 2.2, success criteria 1.4.3 and 1.4.11, and its definition of relative luminance.


def colours(theme):
    """{name: (red, green, blue)} of base.css"""
    text = (HERE / "templates" / "base.css").read_text(encoding="utf-8")
    found = re.findall(r"--([\w-]+): light-dark\(#(\w{6}), #(\w{6})\)", text)
    assert len(found) >= 10
    return {name: tuple(bytes.fromhex(pair[theme == "dark"])) for name, *pair in found}


def contrast(one, two):
    def luminance(colour):
        parts = [each / 255 for each in colour]
        parts = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_and_marks_can_be_told_from_their_ground(theme):
    found = colours(theme)
    for ground in ("ground", "raised"):
        for name in ("text", "quiet", "accent", "for", "against", "wrong", "right"):
            assert contrast(found[name], found[ground]) >= 4.5, (name, ground)
        assert contrast(found["line"], found[ground]) >= 3, ground


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_shades_of_the_matrix_can_be_read(theme):
    found = colours(theme)
    style = (HERE / "templates" / "run.css").read_text(encoding="utf-8")
    shades = [int(share) / 100 for share in re.findall(r"var\(--shade\) (\d+)%", style)]
    assert len(shades) == 6 and shades == sorted(shades)
    for name in ("for", "against"):
        for share in shades:
            mixed = [share * one + (1 - share) * two for one, two in zip(found[name], found["ground"])]
            assert contrast(found["text"], mixed) >= 4.5, (name, share)


def test_a_page_of_a_run_needs_no_torch(tmp_path):
    folder = write_run(tmp_path / "r", random_rows(60))
    code = "\n".join(f"import minbert.pages.{name}" for name in LIGHT)
    code += f"\nfrom minbert.commands.page import main\nmain([{str(folder)!r}])\nimport sys\n"
    code += "print(sorted({'torch', 'scipy', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]" and (folder / "page.html").exists()


def test_a_notebook_shows_a_page_in_a_frame_without_rights(page):
    shown = page._repr_html_()
    assert shown.startswith("<iframe") and 'sandbox="allow-scripts"' in shown and "allow-same-origin" not in shown
    assert shown.count("<") == 2  # the frame alone: the page itself is escaped


def test_a_confusion_matrix_shows_itself_in_a_notebook():
    evil = '"><script>alert(1)</script>\u202e'
    found = confusion_matrix(["a", "a", evil, "a"], ["a", evil, evil, "a"])
    assert found.names == (evil, "a") and found.counts == [[1, 0], [1, 2]]
    shown = found._repr_html_()
    counts = [int(cell) for cell in re.findall(r"<td [^>]*>(\d+)</td>", shown)]
    assert counts == [1, 0, 1, 2] and "<script" not in shown and "U+202E" in shown
    assert re.findall(r"(\d+)%", shown) == ["40", "0", "13", "27"]
    with pytest.raises(ValueError, match="not in tuple"):
        confusion_matrix(["a"], ["b"], names=["a"])
