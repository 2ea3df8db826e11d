"""How large the pages are, and how fast in a browser: Chromium, driven by playwright (pip install minbert[browser]).

    python -m bench.pages            all pages
    python -m bench.pages run        the page of a run with 10,000 predictions
    python -m bench.pages run --rows 10000 --words 110

Each page is opened three times; the best time counts. First paint is what the browser reports, since navigation; ready
is when the script has filled the page. A filter is timed from the click to the next frame that has its rows.
"""

import argparse
import csv
import itertools
import os
import random
import shutil
import tempfile
import time
from pathlib import Path

from minbert.files.examples import read_examples
from minbert.shipped import folder

TRIES = 3
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
SETTLED = "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))"


def browser_program() -> str | None:
    """The path of a Chromium of this system; None if there is none. MINBERT_BROWSER names another one."""
    return os.environ.get("MINBERT_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)


def chromium(playwright):
    """A headless Chromium of the system."""
    return playwright.chromium.launch(executable_path=browser_program(), args=["--no-sandbox"])


def reviews(rows: int, words: int) -> list[str]:
    """Texts of a bigram chain of the shipped reviews: made up, but with their words and their repetitions."""
    draw, follow = random.Random(0), {}
    for text in read_examples(folder("data") / "reviews" / "train.csv").texts:
        chain = ["", *text.split(), ""]
        for one, two in itertools.pairwise(chain):
            follow.setdefault(one, []).append(two)
    found = []
    for _ in range(rows):
        text, word = [], draw.choice(follow[""])
        while len(text) < words:
            text.append(word)
            word = draw.choice(follow.get(word) or [""]) or draw.choice(follow[""])
        found.append(" ".join(text))
    return found


def run_of(place: Path, rows: int, words: int) -> Path:
    """A file of predictions of two classes, a tenth of them wrong."""
    draw = random.Random(1)
    path = place / "test_predictions.csv"
    with open(path, "w", newline="", encoding="utf-8") as stream:
        write = csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC).writerow
        write(["text", "gold", "predicted", "p_negative", "p_positive"])
        for text in reviews(rows, words):
            p = round(draw.betavariate(0.5, 0.5), 9)
            predicted = "positive" if p >= 0.5 else "negative"
            other = "negative" if p >= 0.5 else "positive"
            write([text, other if draw.random() < 0.1 else predicted, predicted, round(1 - p, 9), p])
    return path


def opened(browser, path: Path):
    """A page, ready, with the milliseconds of its first paint and of readiness."""
    page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
    page.goto(path.resolve().as_uri())
    page.locator("html[data-ready=yes]").wait_for(state="attached")
    ready = page.evaluate(SETTLED)
    return page, page.evaluate(PAINT), ready


def bench_run(browser, place: Path, args) -> None:
    from minbert.pages.run import run_page

    predictions = run_of(place, args.rows, args.words)
    begin = time.perf_counter()
    path = run_page(predictions).write(place / "page.html")
    print(f"run: {args.rows:,} rows of {args.words} words; made in {time.perf_counter() - begin:.2f} s")
    print(f"  file {path.stat().st_size / 1e6:.2f} MB")
    best = {}
    for _ in range(TRIES):
        page, paint, ready = opened(browser, path)
        times = {"first paint": paint, "ready": ready}
        actions = {
            "filter wrong": "document.querySelector('[data-case=wrong]').click()",
            "filter a cell": "document.querySelector('#matrix button').click()",
            "sort by text": "[...document.querySelectorAll('[data-sort=text] button')][0].click()",
            "find a word": "find.value = 'film'; find.dispatchEvent(new Event('input'))",
        }
        for name, action in actions.items():
            code = f"const find = document.getElementById('find'), begin = performance.now(); {action};"
            times[name] = page.evaluate(f"() => {{ {code} return {SETTLED}.then(end => end - begin); }}")
        best = {name: min(value, best.get(name, value)) for name, value in times.items()}
        page.context.close()
    for name, value in best.items():
        print(f"  {name} {value:.0f} ms")


PAGES = {"run": bench_run}


def main():
    parser = argparse.ArgumentParser("bench.pages", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pages", nargs="*", choices=[*PAGES, []], help="default: all")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--words", type=int, default=20)
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as place:
        browser = chromium(playwright)
        for name in args.pages or PAGES:
            PAGES[name](browser, Path(place), args)
        browser.close()


if __name__ == "__main__":
    main()
