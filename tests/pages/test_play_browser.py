import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from minbert import families, probing, tokenizers
from minbert.commands import play
from minbert.pages.answering import Classifier
from minbert.pages.expecting import Causal, Masked
from minbert.pages.playground import EXAMPLES, Playground
from minbert.study import evidence
from minbert.tasks import TASKS
from tests.pages.playing import serving

pytestmark = pytest.mark.browser
TEXT = EXAMPLES[0][1]


@pytest.fixture(scope="module")
def bert():
    return families.load("tiny", "masked"), tokenizers.from_pretrained("tiny")


@pytest.fixture(scope="module")
def server(bert):
    with serving(Playground(language=Masked("tiny", *bert), notes={"at a [MASK] appended": "a note"})) as server:
        yield server


@pytest.fixture
def both(bert, tiny_folder):
    with serving(Playground(play.load_classifier(str(tiny_folder)), Masked("tiny", *bert))) as server:
        yield server


def ask(page, text):
    """Type a text, press Ask, and wait for the answers."""
    page.fill("#text", text)
    page.click("#ask")
    answered(page)


def answered(page):
    page.locator("#status", has_text=re.compile("answered", re.IGNORECASE)).wait_for()
    page.locator("[aria-busy]").first.wait_for(state="detached")


def percent(p):
    return f"{100 * p:.2f} %" if p >= 0.0001 else f"{100 * p:.4f} %"


def cells(page, selector):
    """The rows of a table: texts without the space at their ends."""
    rows = page.locator(f"{selector} tbody tr").all()
    return [[cell.inner_text().strip() for cell in row.locator("th, td").all()] for row in rows]


def test_a_text_is_typed_and_asked_about(browse, server, bert):
    opened = browse(server.address)
    assert opened.page.locator("#text").input_value() == TEXT
    assert opened.page.locator("#spectrum button").count() == 14  # an example is answered at once
    ask(opened.page, "The story was a great mess")
    total, expected = probing.pseudo_log_likelihood(*bert, "The story was a great mess")
    table = cells(opened.page, "#spectrum details")
    opened.page.click("summary")
    table = cells(opened.page, "#spectrum details")
    assert [row[0] for row in table] == [token for token, _ in expected]
    assert [float(row[2].replace("−", "-")) for row in table] == [round(log_p, 2) for _, log_p in expected]
    assert f"Sum of log p: −{-total:.2f} over 6 tokens" in opened.page.locator("#spectrum").inner_text()
    readout = "at a [MASK] appended"
    words = [row[0] for row in cells(opened.page, "#next")]
    (row,) = probing.next_word(*bert, "The story was a great mess", words, "{}", [readout], top=5)
    assert [cell[2:4] for cell in cells(opened.page, "#next")] == [
        [percent(row["p"][word]), percent(row["prior"][word])] for word in words
    ]
    assert opened.page.locator("#readout-note").inner_text() == "a note"
    assert {request.partition("language")[0] for request in opened.requests} == {server.address}
    assert (opened.messages, opened.dialogs) == ([], [])


def test_another_readout_is_read_there(browse, server, bert):
    page = browse(server.address).page
    page.select_option("#readout", "at [SEP]")
    page.locator("[aria-busy]").first.wait_for(state="detached")
    words = [row[0] for row in cells(page, "#next")]
    (row,) = probing.next_word(*bert, TEXT, words, "{}", ["at [SEP]"], top=5)
    assert [cell[2] for cell in cells(page, "#next")] == [percent(row["p"][word]) for word in words]


def test_a_selected_word_becomes_a_gap_and_a_token_fills_it(browse, both, bert):
    page = browse(both.address).page
    page.evaluate("document.getElementById('text').setSelectionRange(5, 7)")  # within "film"
    page.evaluate("document.getElementById('text').setSelectionRange(36, 36)")  # the cursor in "middle"
    page.click("#hide")
    answered(page)
    gap = TEXT.replace("middle", "[MASK]")
    assert page.locator("#text").input_value() == gap
    assert "The text has a gap" in page.locator("#classes").inner_text()
    assert "The text has a gap" in page.locator("#spectrum").inner_text()
    expected = probing.fill_mask(*bert, gap)
    shown = cells(page, "#fill")
    assert [[row[0], row[2]] for row in shown] == [[row["token"], percent(row["score"])] for row in expected]
    page.locator("#fill .pick").first.click()
    answered(page)
    assert page.locator("#text").input_value() == gap.replace("[MASK]", expected[0]["token"])
    assert page.locator("#spectrum button").count() == 14


def test_a_word_is_hidden_without_its_marks(browse, server):
    page = browse(server.address).page
    for text, begin, end, expected in [
        ("It was „caf\u00e9“, no?", 8, 12, "It was „[MASK]“, no?"),
        ("good.", 5, 5, "[MASK]."),
        ("a b", 0, 3, "[MASK]"),
        ("", 0, 0, ""),
    ]:
        page.fill("#text", text)
        page.evaluate("([from, to]) => document.getElementById('text').setSelectionRange(from, to)", [begin, end])
        page.click("#hide")
        assert page.locator("#text").input_value() == expected


def test_too_long_a_text_is_refused_in_words(browse, server):
    page = browse(server.address).page
    ask(page, "a " * 598)
    said = "the text has 600 tokens, and “tiny” reads 512 at most: shorten it"
    assert page.locator("#status").inner_text() == f"Not answered: {said}"
    assert page.locator("#tokens").inner_text() == said
    assert page.locator("#spectrum").inner_text() == "No answer: see the top of the page."
    ask(page, TEXT)
    assert page.locator("#spectrum button").count() == 14


def test_a_text_of_too_many_characters_is_taken_whole_and_refused(browse, both):
    page = browse(both.address).page
    for length, said in [(4001, "4,001"), (2_000_001, "2,000,001")]:  # the server would not listen to the second
        page.fill("#text", "")
        page.focus("#text")
        page.keyboard.insert_text("\U0001f600" + "a" * (length - 1))  # as pasted, which maxlength would cut
        said = f"the text has {said} characters, and 4,000 are the most here: shorten it"
        for button in ("#ask", "#hide"):
            page.click(button)
            page.locator("#status", has_text=f"Not answered: {said}").wait_for()
            assert page.locator("#tokens").inner_text() == said
            assert page.evaluate("document.getElementById('text').value.length") == length + 1
    ask(page, TEXT)
    assert page.locator("#tokens p").first.inner_text().startswith("16 tokens, as “")


def test_words_and_their_weights(browse, both, tiny_folder):
    page = browse(both.address).page
    text = "\U0001f600 the film was wonderful"  # the first letter is two for a script
    ask(page, text)
    page.click("#why")
    page.locator("#evidence .chip").first.wait_for()
    model, tokenizer = families.load(tiny_folder, "classifier"), tokenizers.from_pretrained(tiny_folder)
    expected = evidence.explain(model, tokenizer, text)
    found = [chip.inner_text().split() for chip in page.locator("#evidence .chip").all()]
    assert [word for word, _ in found] == [text[word.start : word.end] for word in expected.words]
    weights = [float(weight.replace("−", "-")) for _, weight in found]
    assert weights == pytest.approx([word.weight for word in expected.words], abs=0.0051)
    table = cells(page, "#classes")
    assert max(table, key=lambda row: float(row[2]))[0] == model.config.labels[expected.number]
    assert float(table[0][2]) == pytest.approx(expected.p, abs=5.1e-5)


def test_the_spectrum_is_walked_with_the_keyboard(browse, server):
    page = browse(server.address).page
    page.locator("#spectrum button").first.focus()
    for key, token in [
        ("ArrowRight", "film"),
        ("ArrowRight", "was"),
        ("ArrowLeft", "film"),
        ("End", "."),
        ("Home", "the"),
    ]:
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.firstChild.textContent") == token
        detail = page.locator("#spectrum .detail").inner_text()
        assert detail.startswith(f"{token} has ") and "cover" in detail
        assert page.locator("#spectrum [aria-pressed=true]").count() == 1
        assert page.locator("#spectrum button[tabindex='0']").count() == 1


def test_hostile_texts_and_labels_stay_text(browse, bert, tiny, tokenizer):
    evil = '</script><img src=x onerror="alert(1)">\u202e<svg onload=alert(2)>'
    model = families.bert.MODELS["classifier"](tiny.change(labels=(evil, "b")))
    classifier = Classifier(evil, model, tokenizer, TASKS["class"], False, evidence.explain)
    with serving(Playground(classifier, Masked(evil, *bert))) as server:
        opened = browse(server.address)
        ask(opened.page, f"{evil} a film")
        opened.page.click("#why")
        opened.page.locator("#evidence .chip").first.wait_for()
        assert opened.page.locator("img, svg").count() == 0
        shown = opened.page.locator("body").inner_text()
        assert "</script><img src=x onerror" in shown and "U+202E" in shown and "\u202e" not in shown
        assert (opened.messages, opened.dialogs) == ([], [])


def test_a_second_tab_waits_for_the_first(browse, server):
    with server.model:
        page = browse(server.address, wait=False).page
        page.locator("#tokens[aria-busy]").wait_for(state="attached")
        assert page.locator("#status").inner_text() == "asking …"
    answered(page)
    assert page.locator("#spectrum button").count() == 14


def test_only_the_last_question_is_answered(browse, server):
    page = browse(server.address).page
    with server.model:
        page.fill("#text", "first")
        page.click("#ask")
        page.fill("#text", "second word")
        page.click("#ask")
    answered(page)
    assert [button.inner_text().split()[0] for button in page.locator("#spectrum button").all()] == ["second", "word"]


def test_a_gpt_is_asked_what_it_can(browse):
    gpt = families.load("tiny-gpt2", "causal"), tokenizers.from_pretrained("tiny-gpt2")
    with serving(Playground(language=Causal("tiny-gpt2", *gpt))) as server:
        page = browse(server.address).page
        assert page.locator("#fill, #hide").count() == 0
        assert not page.locator("#readout").is_visible()
        ask(page, "The film was")
        page.locator("#next .pick").first.click()
        answered(page)
        best = Causal("gpt", *gpt).next_tokens("The film was")["rows"][0]["token"]
        assert page.locator("#text").input_value() == f"The film was{best}"


def test_the_attention_view_opens(browse, server):
    pytest.importorskip("minbert.pages.attention", reason="needs the page of attention")
    opened = browse(server.address)
    opened.page.click(".attention[data-part]")
    with opened.page.context.expect_page() as new:
        opened.page.click("#attention a")
    new.value.locator("html[data-ready=yes]").wait_for(state="attached")
    assert "tiny" in new.value.title()
    assert new.value.evaluate("window.opener") is None
    assert opened.messages == []


def test_a_server_that_has_ended_is_told(browse, bert):
    with serving(Playground(language=Masked("tiny", *bert))) as server:
        page = browse(server.address).page
    page.click("#ask")
    page.locator("#status", has_text="Not answered: minbert does not answer").wait_for()


def test_another_page_cannot_ask(browse, server, monkeypatch):
    """A page of another origin that knows even the address."""
    asked = []
    monkeypatch.setattr(server, "ask", lambda route, given: asked.append(route))

    class Evil(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(f"<iframe src='{server.address}'></iframe>".encode())

        def log_message(self, *words):
            pass

    with HTTPServer(("127.0.0.1", 0), Evil) as other:
        threading.Thread(target=other.serve_forever, args=(0.01,), daemon=True).start()
        page = browse(f"http://localhost:{other.server_address[1]}/", wait=False).page
        for options in (
            {"method": "POST", "mode": "no-cors", "body": '{"text": "a"}', "headers": {"Content-Type": "text/plain"}},
            {"method": "POST", "body": '{"text": "a"}', "headers": {"Content-Type": "application/json"}},
            {"method": "GET"},
        ):
            found = page.evaluate(
                "([url, options]) => fetch(url, options).then(answer => answer.text()).catch(() => '')",
                [server.address + "language/tokens" * (options["method"] == "POST"), options],
            )
            assert found == ""
        assert page.frames[1].evaluate("document.body?.textContent ?? ''").find("playground") < 0
        other.shutdown()
    assert asked == []


def test_without_scripts_it_says_so(browse, server):
    page = browse(server.address, scripts=False).page
    assert "this page cannot ask the models" in page.locator("main").inner_text()
    assert not page.locator("#ask").is_visible()


@pytest.mark.parametrize(
    "width, theme", [(1400, "light"), (1400, "dark"), (390, "light"), (390, "dark"), (320, "light")]
)
def test_axe_finds_nothing_and_nothing_is_too_wide(browse, both, axe, width, theme):
    page = browse(both.address, width, theme).page
    page.click("#why")
    page.locator("#evidence .chip").first.wait_for()
    page.locator("#spectrum button").nth(3).click()
    page.click("summary")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert axe(page) == []
    page.click(".example >> nth=1")
    answered(page)
    assert axe(page) == []
