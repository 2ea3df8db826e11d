"""The pictures of the pages in README.md: python -m docs.pictures

It trains a classifier as `make train` does, makes each page by its command, and photographs it in Chromium, at 1200 by
760 pixels, light. Needs Chromium and minbert[browser,plot]. --run FOLDER takes a run that is there already.
"""

import argparse
import io
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from bench.pages import chromium
from minbert.__main__ import main as minbert

PICTURES = Path(__file__).parent / "pictures"
SENTENCE = "The animal didn't cross the street because it was too tired"
LARGEST, COLOURS = 150_000, 128  # bytes of a picture, and its colours


def call(*words):
    """minbert WORDS, in this process."""
    if minbert([*map(str, words)]):
        raise SystemExit(f"minbert {words[0]} failed")


@contextmanager
def playground(run):
    """The address of a playground, as the command prints it."""
    words = [sys.executable, "-m", "minbert", "play", "--model", str(run), "--lm", "tiny", "--no_open"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield next(line.strip() for line in process.stdout if line.startswith("http"))
        finally:
            process.terminate()


def pages(run, place):
    """Name of each picture, address of its page, and what to do there."""
    call("page", run, "--evidence", 20, "--out", place / "run.html")
    call("page", "--attention", "--model", "tiny", "--text", SENTENCE, "--out", place / "attention.html")
    call("page", "--walk", "--toy", "--sentence", "Your cat is a lovely cat", "--out", place / "walk.html")
    yield "run", (place / "run.html").as_uri(), lambda page: None
    yield "attention", (place / "attention.html").as_uri(), lambda page: None
    yield "walk", (place / "walk.html").as_uri(), lambda page: [page.keyboard.press("ArrowRight") for _ in range(7)]
    with playground(run) as address:
        yield "play", address, lambda page: page.get_by_role("button", name="a missing word").click()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        run = args.run or Path(place, "flexible-1-0.0002")
        if not args.run:
            call("train", "--out", run)
        browser = chromium(playwright)
        for name, address, act in pages(run, Path(place)):
            page = browser.new_page(viewport={"width": 1200, "height": 760}, color_scheme="light")
            page.goto(address)
            page.locator("html[data-ready=yes]").wait_for(state="attached")
            act(page)
            page.wait_for_load_state("networkidle")
            with Image.open(io.BytesIO(page.screenshot())) as picture:
                picture.convert("RGB").quantize(COLOURS).save(PICTURES / f"{name}.png", optimize=True)
            size = (PICTURES / f"{name}.png").stat().st_size
            print(f"{name}.png: {size:,} bytes")
            if size > LARGEST:
                raise SystemExit(f"{name}.png has more than {LARGEST:,} bytes")


if __name__ == "__main__":
    main()
