"""The walk in a real browser: steps by keys, results hidden and asked for, any cell of the scores written out."""

import re

import pytest

from minbert.pages import toy
from minbert.pages.walk import walk_page
from tests.pages.test_walk import SENTENCE
from tests.pages.walking import Walk, what

pytestmark = pytest.mark.browser


def make(path, **options):
    return walk_page(toy.model(), toy.tokenizer(), SENTENCE, **options).write(path)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return make(tmp_path_factory.mktemp("walk") / "walk.html")


@pytest.fixture(scope="module")
def walk(file):
    return Walk(file.read_text("utf-8"))


def seen(page):
    """The ids of the steps that a person sees."""
    return page.evaluate("[...document.querySelectorAll('.step')].filter(x => x.offsetParent).map(x => x.id)")


def go(page, step):
    page.locator(f"nav a[href='#{step}']").click()


def test_it_loads_nothing_and_says_nothing(file, browse):
    opened = browse(file)
    assert opened.requests == [file.resolve().as_uri()]
    assert opened.messages == [] and opened.dialogs == []


def test_right_arrow_goes_through_all_steps_and_left_arrow_back(file, walk, browse):
    page = browse(file).page
    for at, step in enumerate(walk.steps, 1):
        assert seen(page) == [step]
        assert page.locator("#place").inner_text() == f"{at} of {len(walk.steps)}"
        assert page.locator("nav a[aria-current=step]").get_attribute("href") == f"#{step}"
        page.keyboard.press("ArrowRight")
    assert seen(page) == walk.steps[-1:] and page.locator("#next").is_disabled()
    page.keyboard.press("ArrowLeft")
    assert seen(page) == walk.steps[-2:-1]
    page.locator("#all").click()
    assert seen(page) == walk.steps
    go(page, "mix")
    page.locator("#all").click()


def test_an_address_with_a_step_opens_it(file, browse):
    opened = browse(f"{file.resolve().as_uri()}#softmax")
    assert seen(opened.page) == ["softmax"]


@pytest.mark.parametrize("step", ["embeddings", "softmax", "probabilities"])
def test_the_quiz_accepts_the_right_number_and_no_other(file, walk, browse, step):
    page = browse(file).page
    go(page, step)
    page.locator("button[data-mode=quiz]").click()
    for _ in range(4):
        box = page.locator(".step:not(.away) td input")
        assert box.count() == 1 and box.evaluate("box => box === document.activeElement")
        caption = box.evaluate("box => box.closest('table').caption.textContent")
        row, column = re.fullmatch(r"your number for row (.*), column (.*)", box.get_attribute("aria-label")).groups()
        table = walk.tables[step, caption]
        right = table.rows[row][table.columns.index(column)]
        for wrong in (f"{float(right) + 0.001:.3f}", f"{float(right) - 0.001:.3f}", "", "0x0", f"{right} 1", "-inf"):
            box.fill(wrong)
            box.press("Enter")
            assert page.locator("#message").inner_text().startswith("Not ")
            assert box.get_attribute("aria-label") == f"your number for row {row}, column {column}"
        assert not page.locator(".worked").filter(visible=True).count()  # they would tell
        box.fill(right.replace(".", ",").replace("-", "−"))
        box.press("Enter")
        assert page.locator("#message").inner_text().startswith(f"Right: row {row}, column {column} is {right}.")
    page.locator(".step:not(.away) td input").press("Escape")
    assert Walk(page.content()).tables[step, caption].rows == table.rows


def test_minus_infinity_is_an_answer(file, walk, browse):
    page = browse(file).page
    page.evaluate("Math.random = () => 0.999")  # the last cell of the row
    go(page, "mask")
    page.locator("button[data-mode=quiz]").click()
    page.keyboard.type("0")
    page.keyboard.press("Enter")
    assert page.locator("#message").inner_text().startswith("Not 0")
    page.locator("td input").fill("-inf")
    page.keyboard.press("Enter")
    assert page.locator("#message").inner_text().startswith("Right: row cat₂, column [PAD] is -inf.")


@pytest.mark.parametrize("step, rows", [("softmax", {"cat₂"}), ("logits", {"logits"})])
def test_the_quiz_asks_for_the_row_of_the_token_that_is_followed(file, browse, step, rows):
    page = browse(file).page
    go(page, step)
    asked = set()
    for tenth in range(10):
        page.evaluate(f"Math.random = () => {tenth / 10}")
        page.locator("button[data-mode=quiz]").click()
        asked.add(page.locator(f"#{step} td input").get_attribute("aria-label"))
    assert {re.match("your number for row (.*), column", label)[1] for label in asked} == rows and len(asked) > 1


def test_arrows_leave_a_quiz_cell_unless_an_answer_is_begun(file, walk, browse):
    page = browse(file).page
    page.evaluate("Math.random = () => 0")
    go(page, "embeddings")
    page.locator("button[data-mode=quiz]").click()
    page.keyboard.press("ArrowRight")  # an empty cell
    assert seen(page) == ["norm"] and page.evaluate("document.activeElement.closest('#norm td input') !== null")
    page.keyboard.press("ArrowLeft")
    assert seen(page) == ["embeddings"]
    page.keyboard.type("15")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    page.keyboard.type(".")  # an answer that is begun
    assert seen(page) == ["embeddings"] and page.locator("#embeddings td input").input_value() == "1.5"
    page.locator("#embeddings td input").fill(walk.table_of("embeddings", "Their sum").rows["cat₂"][0])
    page.keyboard.press("Enter")
    assert page.locator("#message").inner_text().startswith("Right: ")
    page.keyboard.press("ArrowRight")  # an answered cell: the next one is empty
    assert seen(page) == ["norm"]


def test_hidden_results_appear_where_they_are_asked_for(file, walk, browse):
    page = browse(file).page
    go(page, "scores")
    page.locator("button[data-mode=hide]").click()
    table = page.locator("#scores table[data-asked]")
    assert {*table.locator("td").all_inner_texts()} == {"?"}
    table.get_by_role("button", name="show row cat₂, column is").focus()
    page.keyboard.press("Enter")
    expected = walk.table_of("scores", "Scores").rows["cat₂"]
    assert table.locator("tbody tr").nth(2).locator("td").all_inner_texts() == [*"???", expected[3], *"??????"]
    page.keyboard.press("Enter")  # the next one has the focus
    assert table.locator("tbody tr").nth(2).locator("td").nth(4).inner_text() == expected[4]
    go(page, "mask")  # the mode stays, the numbers come back
    assert {*page.locator("#mask table[data-asked] td").all_inner_texts()} == {"?"}
    page.locator("button[data-mode=show]").click()
    go(page, "scores")
    assert table.locator("tbody tr").nth(2).locator("td").all_inner_texts() == expected


def test_the_chosen_score_is_written_out(file, walk, browse):
    page = browse(file).page
    go(page, "scores")
    line = page.locator("[data-sum=score]")
    how, result = (line.locator(f".{part}").inner_text() for part in ("how", "what"))
    scores, names = walk.table_of("scores", "Scores"), list(walk.table_of("scores", "Scores").rows)
    for row, column in ((0, 9), (5, 5), (9, 0)):
        if row == 5:
            page.locator("#scores table[data-asked] tbody tr").nth(row).locator("td").nth(column).click()
        else:
            page.select_option("#from", str(row))
            page.select_option("#to", str(column))
        assert line.locator(".quiet").inner_text() == f"“{names[row]}” looks at “{names[column]}”:"
        assert line.locator(".what").inner_text() == scores.rows[names[row]][column]
        assert what(line.locator(".how").inner_text()) == pytest.approx(
            float(scores.rows[names[row]][column]), abs=5.1e-4
        )
    page.select_option("#from", "2")
    page.select_option("#to", "3")
    assert line.locator(".how").inner_text() == how and line.locator(".what").inner_text() == result


def test_all_steps_are_there_without_scripts_and_on_paper(file, walk, browse):
    without = browse(file, scripts=False).page
    assert [step.get_attribute("id") for step in without.locator(".step").filter(visible=True).all()] == walk.steps
    assert not without.locator(".bar").is_visible()
    page = browse(file).page
    page.emulate_media(media="print")
    assert seen(page) == walk.steps


def test_a_worksheet_has_no_number_in_its_cells(tmp_path, browse):
    page = browse(make(tmp_path / "sheet.html", worksheet=True)).page
    empty = page.locator("td.empty")
    assert empty.count() > 100 and {*empty.all_inner_texts()} == {""}
    assert not page.locator(".bar, nav, .worked").count()


@pytest.mark.parametrize("width", [1400, 390, 320])
def test_nothing_but_tables_is_wider_than_the_window(file, browse, width):
    page = browse(file, width=width).page
    page.locator("#all").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width, theme", [(1400, "light"), (390, "dark")])
def test_axe_finds_nothing(file, browse, axe, width, theme):
    page = browse(file, width=width, theme=theme).page
    for mode in ("#all", "button[data-mode=hide]", "button[data-mode=quiz]"):
        if mode != "#all":
            go(page, "softmax")
        page.locator(mode).click()
        assert axe(page) == []
        page.locator("button[data-mode=show]").click()
