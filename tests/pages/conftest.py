"""A real browser for the pages: Chromium of the system, driven by playwright. Without it, these tests skip."""

import os
from pathlib import Path

import pytest

from bench import pages


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium."""
    if not pages.browser_program():
        pytest.skip("no browser: install chromium, and minbert[browser]")
    api = pytest.importorskip("playwright.sync_api", reason="no browser: install chromium, and minbert[browser]")
    with api.sync_playwright() as playwright:
        browser = pages.chromium(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def axe():
    """axe(page) -> what axe-core finds wrong, a line for each rule. The file axe.min.js of npm's axe-core is needed."""
    path = os.environ.get("MINBERT_AXE")
    if not path or not Path(path).is_file():
        pytest.skip("no axe-core: npm pack axe-core, and name its axe.min.js in MINBERT_AXE")
    text = Path(path).read_text(encoding="utf-8")

    def violations(page):
        page.evaluate(text)
        found = page.evaluate("axe.run()")["violations"]
        return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]

    return violations


class Opened:
    """A page in the browser, with what it did: requests, messages on the console, dialogs."""

    def __init__(self, page, requests, messages, dialogs):
        self.page, self.requests, self.messages, self.dialogs = page, requests, messages, dialogs


@pytest.fixture
def browse(chromium):
    """browse(address, width=1400, theme="light", scripts=True) -> Opened; it waits until the page's script is done.

    A path is opened as a file.
    """
    contexts = []

    def browse(address, width=1400, theme="light", scripts=True, wait=True):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, java_script_enabled=scripts
        )
        contexts.append(context)
        page, requests, messages, dialogs = context.new_page(), [], [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.goto(str(address) if "://" in str(address) else address.resolve().as_uri())
        if scripts and wait:
            page.locator("html[data-ready=yes]").wait_for(state="attached", timeout=60_000)
        return Opened(page, requests, messages, dialogs)

    yield browse
    for context in contexts:
        context.close()
