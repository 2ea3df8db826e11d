"""The page of a run in a real browser: its table sorts, filters and opens by keyboard, as Python counts."""

import pytest

from minbert.files.predictions import read_predictions
from minbert.pages.outcomes import in_order
from minbert.pages.run import run_page
from minbert.runs import outcomes
from tests.pages.runs import random_rows, write_evidence, write_run

pytestmark = pytest.mark.browser
SIZE = 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rows = random_rows(350)
    folder = write_run(tmp_path_factory.mktemp("runs") / "first", rows)
    write_evidence(folder, rows, range(1, 351))
    return folder


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    rows = [(text, gold, *new[2:]) for (text, gold, *_), new in zip(random_rows(350), random_rows(350, seed=9))]
    return write_run(tmp_path_factory.mktemp("runs") / "second", rows)


@pytest.fixture(scope="module")
def path(folder):
    return run_page(folder).write(folder / "page.html")


@pytest.fixture(scope="module")
def compared(folder, second):
    return run_page(folder, second).write(folder / "against.html")


def numbers(page):
    """The numbers of the rows in the table, in their order"""
    return [int(text) for text in page.locator("#list tbody tr:not(.detail) > td:first-child").all_inner_texts()]


def status(page):
    return page.locator("#status").inner_text()


def press(page, name):
    page.get_by_role("button", name=name, exact=True).click()


def test_nothing_is_loaded_and_nothing_is_said(browse, path):
    opened = browse(path)
    assert opened.requests == [path.resolve().as_uri()] and opened.messages == [] and opened.dialogs == []


def test_the_surest_mistakes_come_first_and_a_hundred_rows_are_there(browse, path, folder):
    page = browse(path).page
    rows = in_order(read_predictions(folder).rows)
    assert numbers(page) == [row.number for row in rows[:SIZE]] and status(page) == "Rows 1 to 100 of 350"
    press(page, "Next 100")
    press(page, "Next 100")
    assert numbers(page) == [row.number for row in rows[200:300]] and status(page) == "Rows 201 to 300 of 350"
    press(page, "Next 100")
    assert numbers(page) == [row.number for row in rows[300:]]
    assert page.locator("#next").is_disabled() and page.locator("#list tbody tr").first.get_attribute(
        "aria-rowindex"
    ) == str(300 + 2)


@pytest.mark.parametrize("name", ["row", "label", "predicted", "probability", "text"])
def test_each_header_sorts_both_ways_as_python_does(browse, path, folder, name):
    page = browse(path).page
    keys = {
        "row": lambda row: row.number,
        "label": lambda row: row.gold,
        "predicted": lambda row: row.predicted,
        "probability": lambda row: round(row.sureness * 10_000),
        "text": lambda row: row.text,
    }
    rows = in_order(read_predictions(folder).rows)
    header = page.locator("#list th", has_text=name).first
    for down, said in ((False, "ascending"), (True, "descending")):
        press(page, name)
        wanted = sorted(rows, key=keys[name], reverse=down)
        assert numbers(page) == [row.number for row in wanted[:SIZE]]
        assert header.get_attribute("aria-sort") == said and page.locator("[aria-sort]").count() == 1
        assert header.locator("button").evaluate("button => button === document.activeElement")
    press(page, "Clear filters and sorting")
    assert numbers(page) == [row.number for row in rows[:SIZE]] and page.locator("[aria-sort]").count() == 0


def test_the_filters_count_as_python_does(browse, path, folder):
    page = browse(path).page
    found = read_predictions(folder)
    for case, rows in outcomes.cases(found).items():
        press(page, f"{case} {len(rows)}")
        assert status(page).endswith(f" of {len(rows)}")
        assert page.locator("[data-case][aria-pressed=true]").all_inner_texts() == [f"{case} {len(rows)}"]
    press(page, "all 350")
    for name, inside in outcomes.slices(found.labelled).items():
        page.locator("#slice").select_option(label=name)
        assert status(page).endswith(f" of {sum(inside)}"), name
    page.locator("#slice").select_option(label="all")
    page.locator("#gold").select_option(label="positive")
    page.locator("#find").fill("GOOD film")
    rows = [row for row in found.rows if row.gold == "positive" and "good film" in row.text.lower()]
    assert rows and sorted(numbers(page)) == [row.number for row in rows]
    page.locator("#find").fill("no such words")
    assert status(page) == "No row is like that" and numbers(page) == []


def test_a_cell_of_the_matrix_shows_its_rows(browse, path, folder):
    page = browse(path).page
    found = read_predictions(folder)
    for gold in found.names:
        for predicted in found.names:
            rows = [row for row in found.rows if (row.gold, row.predicted) == (gold, predicted)]
            press(page, f"{len(rows)} rows: label {gold}, predicted {predicted}")
            assert status(page).endswith(f" of {len(rows)}")
            assert set(numbers(page)) <= {row.number for row in rows}


def test_a_row_opens_by_keyboard_and_shows_its_words(browse, path, folder):
    page = browse(path).page
    row = in_order(read_predictions(folder).rows)[0]
    button = page.get_by_role("button", name=f"more about row {row.number}", exact=True)
    button.focus()
    page.keyboard.press("Enter")
    detail = page.locator("#list tr.detail")
    assert button.get_attribute("aria-expanded") == "true" and detail.count() == 1
    text = detail.inner_text()
    assert f"{row.sureness:.4f}" in text and "Words that spoke for" in text
    words = [f"{word} {'+−'[at % 2]}{(at + 1) / 10:.2f}" for at, word in enumerate(row.text.split())]
    assert detail.locator(".words span").all_inner_texts() == words[::-1][:12]  # the weightiest ones
    assert f"from {row.sureness:.2f} to 0.40; with as many hidden at random, to 0.60." in text
    page.keyboard.press("Enter")
    assert page.locator("#list tr.detail").count() == 0
    assert button.evaluate("button => button === document.activeElement")


def test_the_bold_words_are_those_of_the_static_part(browse, path):
    bold = [
        browse(path, scripts=scripts).page.locator("#list tbody tr").nth(at).locator("b").all_inner_texts()
        for scripts in (True, False)
        for at in range(10)
    ]
    assert bold[:10] == bold[10:] and any(bold)


def test_two_runs_show_what_was_fixed_and_broken(browse, compared, folder, second):
    page = browse(compared).page
    pairs = outcomes.against(read_predictions(folder), read_predictions(second))
    for case in ("fixed", "broken", "both wrong"):
        wanted = sorted(one.number for one, _ in pairs[case])
        press(page, f"{case} {len(wanted)}")
        assert status(page).endswith(f" of {len(wanted)}") and set(numbers(page)) <= set(wanted)
        if len(wanted) <= SIZE:
            assert sorted(numbers(page)) == wanted
    press(page, "all 350")
    press(page, "second")
    others = {row.number: row.predicted for row in read_predictions(second).rows}
    assert {others[number] for number in numbers(page)} == {"negative"}


def test_the_table_says_the_same_in_light_and_dark_and_the_theme_can_be_chosen(browse, path):
    light, dark = (browse(path, theme=theme).page for theme in ("light", "dark"))
    assert light.locator("#list").inner_text() == dark.locator("#list").inner_text()
    ground = "getComputedStyle(document.body).backgroundColor"
    assert light.evaluate(ground) != dark.evaluate(ground)
    light.locator("#theme").select_option(label="dark")
    assert light.evaluate(ground) == dark.evaluate(ground)


@pytest.mark.parametrize("width", [320, 390, 1400])
def test_nothing_is_wider_than_the_window(browse, compared, width):
    page = browse(compared, width=width).page
    for summary in page.locator("summary").all():
        summary.click()
    page.get_by_role("button", name="more about row").first.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_the_summary_and_the_first_mistakes_are_there(browse, path, folder):
    page = browse(path, scripts=False).page
    rows = in_order(read_predictions(folder).rows)
    assert numbers(page) == [row.number for row in rows[:50]]
    assert page.locator("#matrix").is_visible() and page.locator("noscript").count() == 1
    assert not page.locator("#find").is_visible() and "Rows 1 to 50 of 350" in status(page)


def test_a_print_has_the_summary_and_no_buttons(browse, path):
    page = browse(path).page
    page.emulate_media(media="print")
    assert page.locator("#matrix").is_visible() and page.locator("#status").is_visible()
    assert not page.locator("#reset").is_visible() and not page.locator("#next").is_visible()
    assert len(page.pdf()) > 10_000


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_axe_finds_nothing(browse, compared, axe, width, theme):
    page = browse(compared, width=width, theme=theme).page
    page.get_by_role("button", name="more about row").first.click()
    assert axe(page) == []
