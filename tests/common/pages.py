"""Reading a page of HTML as a file, and opening it in Debian's Chromium."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from common.processes import PATIENCE

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium: install Debian's package"
)
SWITCHES = (
    "--no-sandbox",  # it refuses to run as root with it
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

expect.set_options(timeout=PATIENCE * 1000)

VOID = {"meta", "link", "img", "input", "path", "line", "circle", "br"}


class Reader(HTMLParser):
    """The elements of a page with their attributes, the rows of its tables, and its figures.

    Tables are kept by their captions, or by the headings of the columns where there is none.
    """

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.tables, self.figures = [], [], {}, []
        self.feed(page)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.caption, self.rows, self.scopes = "", [], []
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            if tag == "th":
                self.scopes.append(dict(attributes).get("scope"))
        elif tag == "figure":
            self.figures.append("")

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "table":
            assert self.scopes and set(self.scopes) <= {"col", "row"}
            self.tables[self.caption or self.rows[0][0]] = self.rows

    def handle_data(self, text):
        text = text.replace("\xa0", " ")
        if "table" in self.open:
            if "caption" in self.open:
                self.caption += text
            elif self.open[-1] in ("td", "th") or "code" in self.open:
                self.rows[-1][-1] += text
        if "figcaption" in self.open:
            self.figures[-1] += text


@contextmanager
def opened(browser: Browser, path: Path, width: int = 1400, **options: Any) -> Iterator[Page]:
    """A page from the disk in a window of that width, with options of Playwright's contexts.

    In the end nothing must have been requested but the page itself, and no error reported.
    """
    with browser.new_context(viewport={"width": width, "height": 900}, **options) as context:
        context.set_default_timeout(PATIENCE * 1000)
        page = context.new_page()
        requests, errors = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: message.type == "error" and errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(path.as_uri())
        yield page
        assert [url for url in requests if not url.startswith("data:")] == [path.as_uri()]
        assert errors == []


def serious_faults(page: Page) -> list[str]:
    """What axe-core finds of the impact "serious" or "critical", each with the first place."""
    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']}: {fault['nodes'][0]['html'][:200]}"
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]
