"""The attention page in a browser: what it draws, says and does, by mouse and by keyboard."""

import math
import re

import numpy as np
import pytest

from minbert.pages.attention import attention_page, table
from minbert.pages.looking import look
from minbert.pages.pack import quantise, restore
from minbert.pages.shares import by_units
from tests.pages.test_attention import TEXT, about, blocks, long_text, read_by, tiny  # noqa: F401

pytestmark = pytest.mark.browser
# The colours of the page's variables --ground and --accent, as base.css has them.
COLOURS = {"light": ((255, 255, 255), (11, 87, 176)), "dark": ((21, 23, 26), (125, 180, 255))}
PIXELS = """([place, points]) => {
  const canvas = document.querySelector(place), {width, height} = canvas;
  const {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
  return points.map(([x, y]) => [...data.slice(4 * (y * width + x), 4 * (y * width + x) + 3)]);
}"""


@pytest.fixture
def opened(browse, tmp_path):
    """opened(page, ...) -> its file in the browser; at the end, that nothing was loaded and nothing went wrong"""
    seen = []

    def opened(page, **options):
        path = page.write(tmp_path / f"page-{len(seen)}.html")
        seen.append((browse(path, **options), path))
        return seen[-1][0].page

    yield opened
    for found, path in seen:
        assert found.requests == [path.resolve().as_uri()]
        assert found.messages == [] and found.dialogs == []


def mixed(share, theme="light"):
    ground, accent = COLOURS[theme]
    return [math.floor(low + (high - low) * math.sqrt(min(share, 1)) + 0.5) for low, high in zip(ground, accent)]


def choose(page, layer, head):
    page.locator(f"#head-{layer}-{head}").click()


def matrix_pixels(page, points):
    """The colours in the middle of cells (row, column) of the matrix."""
    box = page.locator("#matrix-view canvas")
    margin, side = (int(box.get_attribute(f"data-{name}")) for name in ("margin", "side"))
    middle = [[margin + int((at + 0.5) * side) for at in (column, row)] for row, column in points]
    return page.evaluate(PIXELS, ["#matrix-view canvas", middle])


def rows_of(page):
    rows = page.evaluate(
        "[...document.getElementById('rows').rows].map(row => [...row.cells].map(cell => cell.textContent))"
    )
    return [[cell.strip() for cell in row] for row in rows]


def wanted_rows(page, units, layer, head, hidden):
    stored = by_units(blocks(page)[layer][head], units)
    found = []
    for name, best, rest, total in table(stored, units, hidden, about(page)["digits"]):
        named = [f"{word} {share}" for word, share in best]
        found.append([name, *named, *[""] * (5 - len(named)), rest, total])
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_matrix_has_the_colours_of_the_stored_shares(opened, tiny, theme):  # noqa: F811
    made = attention_page(*tiny, TEXT)
    page, count = opened(made, theme=theme), len(about(made)["words"])
    page.locator("#matrix").click()
    points = [(row, column) for row in range(count) for column in range(count)]
    for layer, head in ((0, 2), (3, 11), (5, 0)):
        choose(page, layer, head)
        shares = by_units(blocks(made)[layer][head], look(*tiny, TEXT).words)
        assert matrix_pixels(page, points) == [mixed(shares[point], theme) for point in points]


def test_the_small_pictures_are_the_heads_in_their_places(opened, tiny):  # noqa: F811
    made = attention_page(*tiny, TEXT, layers=[1, 4])
    page, words = opened(made), look(*tiny, TEXT).words
    side = 96 // len(words)
    for layer, head in ((1, 0), (4, 3), (4, 11)):
        shares = by_units(blocks(made)[layer][head], words)
        points = [(row, column) for row in range(len(words)) for column in range(len(words))]
        middle = [[int((at + 0.5) * side) for at in (column, row)] for row, column in points]
        found = page.evaluate(PIXELS, [f"#head-{layer}-{head} canvas", middle])
        assert found == [mixed(shares[point]) for point in points]
    assert page.locator("#heads button").count() == 24


@pytest.mark.parametrize("name, given", [("tiny", {"padding": 3}), ("tiny-gpt2", {}), ("tiny", {"causal": True})])
def test_words_and_tokens_are_as_python_computes_them(opened, name, given):
    model, tokenizer = read_by(name)
    made = attention_page(model, tokenizer, TEXT, **given)
    page, looks = opened(made), look(model, tokenizer, TEXT, **given)
    assert rows_of(page) == wanted_rows(made, looks.words, *about(made)["first"], looks.hidden(looks.words))
    page.locator("#table").click()
    for layer, head in ((0, 0), (3, 2)):
        choose(page, layer, head)
        for kind, units in (("tokens", looks.tokens), ("words", looks.words)):
            page.locator(f"#{kind}").click()
            assert rows_of(page) == wanted_rows(made, units, layer, head, looks.hidden(units))
            shown = page.locator("#figures dd").all_text_contents()
            exact = about(made)["figures"][kind][layer][head]
            assert [float(figure) for figure in shown] == pytest.approx(exact, abs=5.1e-3)


def test_rows_of_a_long_text_sum_to_1_but_for_the_stated_error(opened, tiny, long_text):  # noqa: F811
    made = attention_page(*tiny, long_text, layers=[1, 2])
    page, looks = opened(made), look(*tiny, long_text)
    page.locator("#table").click()
    page.locator("#tokens").click()
    rows = rows_of(page)
    assert len(rows) == 512
    layer, head = about(made)["first"]
    stored = restore(quantise(looks.exact(layer)[head], 31), 31)
    assert [float(row[-1]) for row in rows] == pytest.approx(stored.sum(-1), abs=5.1e-3)
    low, high = map(float, re.search("sums to between (.*?) and (.*?),", made.text).groups())
    assert all(low <= float(row[-1]) <= high for row in rows) and low < 1 < high
    assert rows == wanted_rows(made, looks.tokens, layer, head, looks.hidden(looks.tokens))


def test_what_a_mask_hides_is_hatched_and_not_0(opened):
    model, tokenizer = read_by("tiny-gpt2")
    page = opened(attention_page(model, tokenizer, TEXT, padding=2))
    page.locator("#matrix").click()
    page.locator("#tokens").click()
    looks = look(model, tokenizer, TEXT, padding=2)
    box = page.locator("#matrix-view canvas")
    margin, side = (int(box.get_attribute(f"data-{name}")) for name in ("margin", "side"))
    colours = page.evaluate(
        """([margin, side, count]) => {
          const canvas = document.querySelector("#matrix-view canvas"), all = count * side, found = [];
          const {data} = canvas.getContext("2d").getImageData(margin, margin, all, all);
          const pixels = new Uint32Array(data.buffer), inner = Array.from({length: side - 4}, (_, at) => at + 2);
          for (let row = 0; row < count; row++) for (let column = 0; column < count; column++) {
            const cell = inner.flatMap(y => inner.map(x => pixels[(row * side + y) * all + column * side + x]));
            found.push(new Set(cell).size);
          }
          return found;
        }""",
        [margin, side, len(looks.tokens)],
    )
    hatched = np.array(colours).reshape(len(looks.tokens), -1) > 1
    assert (hatched == looks.hidden(looks.tokens)).all()


def test_the_keyboard_moves_in_the_matrix_and_the_status_reads_the_pair(opened):
    made = attention_page(*read_by("tiny-gpt2"), TEXT)
    page = opened(made)
    page.locator("#matrix").click()
    page.keyboard.press("Tab")  # from the last button that was clicked
    page.locator("[role=application]").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    layer, head = about(made)["first"]
    looks = look(*read_by("tiny-gpt2"), TEXT)
    share = by_units(blocks(made)[layer][head], looks.words)[2, 1]
    assert (
        page.locator("#status")
        .text_content()
        .startswith(f"“didn” looks at “animal”: {share:.3f}. “didn” looks most at")
    )
    for _ in range(7):
        page.keyboard.press("ArrowRight")
    assert "“didn” cannot look at “unaffable”: a mask hides it." in page.locator("#status").text_content()
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.id") == f"head-{layer}-{head}"


def test_the_keyboard_chooses_a_head(opened, tiny):  # noqa: F811
    page = opened(attention_page(*tiny, TEXT, layer=1, head=2))
    assert page.locator("#heads button[tabindex='0']").count() == 1
    page.locator("#head-1-2").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowUp", "ArrowLeft", "Enter"):
        page.keyboard.press(key)
    assert page.locator("#one-title").text_content() == "Layer 0, head 3"
    assert page.locator("#heads button[aria-pressed=true]").get_attribute("id") == "head-0-3"
    assert page.locator("#heads button[tabindex='0']").get_attribute("id") == "head-0-3"
    for key in ("ArrowUp", "Enter"):  # there is no head above
        page.keyboard.press(key)
    assert page.locator("#one-title").text_content() == "Layer 0, head 3"


def test_heads_are_sorted_as_python_sorts_them(opened, tiny):  # noqa: F811
    made = attention_page(*tiny, TEXT)
    page, figures = opened(made), about(made)["figures"]["words"]
    places = [(layer, head) for layer in range(6) for head in range(12)]
    keys = {"entropy": lambda at: figures[at[0]][at[1]][0], "distance": lambda at: -figures[at[0]][at[1]][1]}
    keys[""] = lambda at: 0
    for order, key in keys.items():
        page.locator("#order").select_option(order)
        shown = page.evaluate("[...document.querySelectorAll('#heads button')].map(each => each.id)")
        assert shown == [f"head-{layer}-{head}" for layer, head in sorted(places, key=key)]


def test_a_word_on_the_left_shows_its_own_lines(opened, tiny):  # noqa: F811
    made = attention_page(*tiny, TEXT, layer=2, head=3)
    page, words = opened(made), look(*tiny, TEXT).words
    shares = by_units(blocks(made)[2][3], words)
    assert page.locator("#lines-view line").count() == (shares >= 0.05).sum()
    page.locator("#least").select_option("0.2")
    assert page.locator("#lines-view line").count() == (shares >= 0.2).sum()
    assert page.locator("#status").text_content().startswith(f"{(shares >= 0.2).sum()} shares are 0.2 or more.")
    page.locator("#lines-view button").first.focus()
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    seen = page.locator("#lines-view .number").all_text_contents()
    assert seen == [f"{share:.3f}" if share >= 0.005 else "" for share in shares[2]]
    best = np.argsort(-shares[2])[:5]
    named = ", ".join(f"{words[at][0]} {shares[2][at]:.3f}" for at in best)
    assert page.locator("#status").text_content() == f"“animal” looks most at: {named}."
    assert page.locator("#lines-view button[aria-pressed=true]").text_content() == "animal"


def test_of_many_lines_the_strongest_are_drawn_and_their_number_is_said(opened, tiny, long_text):  # noqa: F811
    made = attention_page(*tiny, long_text, layers=[1], head=6)
    page, looks = opened(made), look(*tiny, long_text)
    page.locator("#least").select_option("0.01")
    count = (by_units(blocks(made)[1][6], looks.words) >= 0.01).sum()
    assert count > 500 and page.locator("#lines-view line").count() == 500
    assert f"{count} shares are 0.01 or more; the 500 strongest are drawn." in page.locator("#status").text_content()


def test_dimming_changes_colours_and_no_number(opened, tiny):  # noqa: F811
    made = attention_page(*tiny, TEXT, layer=1, head=11)
    page, words = opened(made), look(*tiny, TEXT).words
    page.locator("#matrix").click()
    points = [(row, column) for row in range(len(words)) for column in (0, 1, 5, len(words) - 1)]
    before, rows = matrix_pixels(page, points), rows_of(page)
    page.locator("#dim").check()
    after, shares = matrix_pixels(page, points), by_units(blocks(made)[1][11], words)
    ends = (0, len(words) - 1)
    for point, old, new in zip(points, before, after, strict=True):
        assert new == (mixed(0.05 * shares[point]) if set(point) & set(ends) else old)
    page.locator("#table").click()
    choose(page, 0, 0)
    choose(page, 1, 11)
    assert rows_of(page) == wanted_rows(made, words, 1, 11, look(*tiny, TEXT).hidden(words)) and len(rows) == len(words)


def test_the_theme_can_be_chosen(opened, tiny):  # noqa: F811
    made = attention_page(*tiny, TEXT)
    page, shares = opened(made), by_units(blocks(made)[0][2], look(*tiny, TEXT).words)
    page.locator("#matrix").click()
    choose(page, 0, 2)
    page.locator("#theme").select_option("dark")
    assert matrix_pixels(page, [(1, 0), (9, 2)]) == [mixed(shares[point], "dark") for point in ((1, 0), (9, 2))]


def test_a_hostile_text_is_shown_as_typed(opened):
    evil = "</script><img/src=x/onerror=alert(1)><script>window.evil=1</script>"
    model, tokenizer = read_by("tiny-translate")  # here it is one word
    page = opened(attention_page(model, tokenizer, f"Yes {evil}", name=f"\u202e{evil}"))
    for view in ("matrix", "table", "tokens", "words", "lines"):
        page.locator(f"#{view}").click()
        assert page.locator("img").count() == 0 and page.evaluate("window.evil") is None
    assert page.locator("script").count() == 3 + model.config.num_hidden_layers  # the page's own
    page.locator("#lines-view button").nth(1).focus()
    assert page.locator("#lines-view button").nth(1).text_content() == evil
    assert evil in page.locator("#rows").text_content() and evil in page.locator("#status").text_content()
    assert page.locator("h1").text_content() == f"Attention in U+202E{evil}"


@pytest.mark.parametrize("width", [1400, 320])
def test_nothing_is_wider_than_the_window(opened, width):
    model, tokenizer = read_by("tiny-gpt2")
    page = opened(attention_page(model, tokenizer, f"{TEXT} {'b' * 60}", pair="Who?"), width=width)
    for view in ("lines", "matrix", "table"):
        page.locator(f"#{view}").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#order").select_option("entropy")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_the_table_and_the_figures_are_there(opened, tiny):  # noqa: F811
    made = attention_page(*tiny, TEXT)
    page = opened(made, scripts=False)
    assert page.locator("#rows tr").count() == len(about(made)["words"])
    assert page.locator("#rows").is_visible() and page.locator("#numbers tr").count() == 72
    assert not page.locator("#heads").is_visible() and page.locator("noscript").count() == 1
    assert "never why the model decided" in page.locator("main").text_content()


def test_in_print_the_table_stands_below_the_picture(opened, tiny):  # noqa: F811
    page = opened(attention_page(*tiny, TEXT))
    choose(page, 0, 2)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#head-3-3").is_visible() and page.locator("#lines-view").is_visible()
    assert page.locator("#rows").is_visible() and not page.locator("#theme").is_visible()
    looks = look(*tiny, TEXT)
    assert rows_of(page) == wanted_rows(attention_page(*tiny, TEXT), looks.words, 0, 2, looks.hidden(looks.words))


def test_a_notebook_shows_it_in_a_frame(browse, tiny, tmp_path):  # noqa: F811
    notebook = tmp_path / "notebook.html"
    notebook.write_text(f"<!doctype html><html data-ready=yes>{attention_page(*tiny, TEXT)._repr_html_()}", "utf-8")
    page = browse(notebook).page
    frame = page.frame_locator("iframe")
    frame.locator("html[data-ready=yes]").wait_for(state="attached")
    frame.locator("#head-0-2").click()
    assert frame.locator("#one-title").text_content() == "Layer 0, head 2"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_axe_finds_nothing(opened, axe, tiny, width, theme):  # noqa: F811
    page = opened(attention_page(*tiny, TEXT, causal=True, padding=2), width=width, theme=theme)
    for view in ("lines", "matrix", "table"):
        page.locator(f"#{view}").click()
        assert axe(page) == []
    page.locator("#order").select_option("entropy")
    page.locator("#tokens").click()
    assert axe(page) == []
