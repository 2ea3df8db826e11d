"""Texts, labels and names of strangers in a real browser: they stay text, and what is planted cannot act."""

import random
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from minbert.pages.outcomes import SHORT
from minbert.pages.run import run_page
from tests.pages.runs import write_evidence, write_run

pytestmark = pytest.mark.browser
ROWS = 10_000
ATTACKS = (
    "</script><script>window.owned = 1; alert(1)</script>",
    "<!--<script>window.owned = 1</script>-->",
    "<script>window.owned = 1</script>",
    "<img src=x onerror='window.owned = 1; alert(2)'>",
    '" onmouseover="window.owned = 1" autofocus onfocus="window.owned = 1" x="',
    "' onclick='window.owned = 1' style='position: fixed; inset: 0'",
    "<svg onload=window.owned=1><animate onbegin=window.owned=1 attributeName=x dur=1s>",
    "<iframe srcdoc='<script>parent.owned = 1</script>'></iframe>",
    "<style>* { display: none !important }</style></style>",
    "<base href='https://evil.example/'><meta http-equiv=refresh content='0; url=https://evil.example/'>",
    "<form action='https://evil.example/'><button autofocus>x</button></form></table></main></body></html>",
    "javascript:window.owned=1//",
    "{{ 7 * 7 }} {% raw %} ${window.owned = 1} `${alert(3)}`",
    "\u2028window.owned = 1\u2029//",
    "a\0b\x01\x1b[31m\x7f\x9b",
    "\u202eesrever\u202c \u2066inside\u2069 \u200f\u061c",
    "\ufeff\u200b\u200d zero width",
    "]]><![CDATA[ <x>&lt;&amp;&#0;&#x202e;",
    "e\u0301" * 40 + "\u0300" * 300,
    "W" * 5000,
    "\U0001f602" * 500 + "\ud7ff\ue000\uffff\U0010ffff",
    "",
    " \n\r\n\t ",
    "=cmd|' /C calc'!A0",
    '__proto__","constructor":{"prototype',
)


def hostile_rows(names, seed=0):
    """Rows of attacks, alone and glued together, one of them 10 MB long."""
    draw, rows = random.Random(seed), []
    for number in range(ROWS):
        text = "".join(draw.choices(ATTACKS, k=draw.randint(1, 3))) if number >= len(ATTACKS) else ATTACKS[number]
        p = draw.uniform(0.5, 1)
        gold, predicted = draw.randrange(2), draw.randrange(2)
        shares = (p, 1 - p) if predicted == 0 else (1 - p, p)
        rows.append((text, names[gold], names[predicted], *shares))
    rows[100] = ("<script>window.owned = 1</script>" * 320_000, names[0], names[1], 0.001, 0.999)
    return rows


NAMES = (ATTACKS[0] + ATTACKS[3] + ATTACKS[4], ATTACKS[15] + ATTACKS[8] + "W" * 300)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    rows = hostile_rows(NAMES)
    folder = write_run(tmp_path_factory.mktemp("runs") / "<img src=x onerror=alert(1)>' \"&\u202e;", rows, NAMES)
    numbers = [number for number, row in enumerate(rows[:200], 1) if len(row[0].split()) > 1 and len(row[0]) < 1000]
    write_evidence(folder, rows, numbers)
    return run_page(folder).write(folder / "page.html")


def harmless(opened, path):
    """Whether nothing of a stranger has acted."""
    page = opened.page
    assert opened.requests == [path.resolve().as_uri()]
    assert opened.dialogs == [] and opened.messages == []
    assert page.evaluate("window.owned") is None
    assert (
        page.evaluate(
            "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())"
            ".filter(name => name.startsWith('on'))"
        )
        == []
    )
    for name in ("img", "iframe", "form", "base", "animate", "x", "object", "embed", "link"):
        assert page.locator(name).count() == 0, name
    assert page.locator("script").count() == 4 and page.locator("style").count() == 1


@pytest.mark.parametrize("width", [390, 1400])
def test_ten_thousand_hostile_rows_stay_text(browse, path, width):
    opened = browse(path, width=width)
    page = opened.page
    status = page.locator("#status")
    total = int(status.inner_text().rsplit(" ", 1)[1].replace(",", ""))
    seen = 0
    while True:
        harmless(opened, path)
        seen += page.locator("#list tbody tr").count()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if page.locator("#next").is_disabled():
            break
        page.locator("#next").evaluate("button => button.click()")
    assert seen == total
    for button in page.locator("#list tbody button").all()[:20]:
        button.evaluate("button => button.click()")
    page.locator("#find").fill("<script>")
    harmless(opened, path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_text_is_shown_as_it_was_typed(browse, path):
    page = browse(path).page
    page.get_by_role("button", name="row", exact=True).click()
    first = page.locator("#list tbody tr .text").all_inner_texts()[:20]
    shown = page.locator("#list tbody tr > td:first-child").all_inner_texts()[:20]
    for number, text in zip(shown, first):
        wanted = ATTACKS[int(number.replace(",", "")) - 1]
        if wanted.isprintable() and wanted.isascii() and len(wanted) < SHORT:
            assert text == wanted
    assert "U+202E" in page.locator("h1").inner_text()


@pytest.fixture
def listener():
    """(address of a server on this machine, what it was asked for)"""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


PLANTED = """
<script>window.owned = 1</script><div onclick="window.owned = 2" id="trap">x</div>
<img src="EVIL/a.png" onerror="window.owned = 3"><style>body { display: none }</style>
<iframe src="EVIL/frame"></iframe><p style="position: fixed" id="styled">x</p>
<form action="EVIL/form" id="form"><input name="a"></form><object data="EVIL/object"></object>
<link rel="stylesheet" href="EVIL/a.css"><link rel="preload" as="image" href="EVIL/b.png">
<script src="EVIL/a.js"></script><base href="EVIL/"><video src="EVIL/v"></video>
"""


def test_what_is_planted_in_the_file_cannot_act(browse, path, tmp_path, listener):
    """Even markup that got into the file finds the policy in its way. Without it, the same markup acts."""
    address, asked = listener
    whole = path.read_text(encoding="utf-8").replace("<main>", "<main>" + PLANTED.replace("EVIL", address), 1)
    place = tmp_path / "planted.html"
    place.write_text(whole, encoding="utf-8", newline="\n")
    opened = browse(place)
    page = opened.page
    page.locator("#trap").evaluate("trap => trap.click()")
    page.locator("#form").evaluate("form => form.submit()")
    sent = f"fetch('{address}/fetch').then(() => 'sent', error => error.name)"
    assert page.evaluate(sent) == "TypeError"
    page.wait_for_timeout(200)
    assert page.evaluate("window.owned") is None and asked == []
    assert page.url == place.resolve().as_uri() and page.evaluate("document.baseURI").startswith("file:")
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    assert page.evaluate("getComputedStyle(document.getElementById('styled')).position") == "static"
    refused = [message for message in opened.messages if "Content Security Policy" in message]
    for directive in ("script-src", "style-src", "form-action", "default-src", "base-uri"):
        assert any(directive in message for message in refused), directive

    unguarded = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", whole)
    place.write_text(unguarded, encoding="utf-8", newline="\n")
    page = browse(place, wait=False).page
    assert page.evaluate("window.owned") in (1, 3) and page.evaluate(sent) == "sent"
    assert {"/a.png", "/a.css", "/a.js", "/frame", "/fetch"} <= {*asked}
