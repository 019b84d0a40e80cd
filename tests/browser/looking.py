"""Pages in a browser that note errors, and what is asked of them in each test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import expect

from tests.support.waiting import PATIENCE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
SIZES = {1280: 900, 375: 800}
"""Widths of a desk and of a phone, with their heights."""
LIMIT = PATIENCE / 2 * 1000
"""Milliseconds for what must come."""
_EXPECTED = "Failed to load resource"
"""What Chromium writes of an answer that is not 200: the page shows those itself."""


class Look:
    """Opens pages and remembers what went wrong in them; a context manager that ends with no error at all."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.errors: list[str] = []
        self.hosts: set[str] = set()

    def __enter__(self) -> Self:
        expect.set_options(timeout=LIMIT)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for context in self._contexts:
            context.close()
        if kind is None:
            assert self.errors == []
            assert len(self.hosts) <= 1

    def at(self, url: str, width: int = 1280) -> Page:
        """Open *url* and return the page once it shows the state."""
        context = self._browser.new_context(viewport={"width": width, "height": SIZES[width]}, reduced_motion="reduce")
        context.set_default_timeout(LIMIT)
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self._note(message.type, message.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.goto(url)
        expect(page.locator(".strip")).to_be_visible()
        return page

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and _EXPECTED not in text:
            self.errors.append(f"{kind}: {text}")


def violations(page: Page) -> list[str]:
    """Return what axe finds wrong, a line for each."""
    found: list[dict[str, Any]] = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['target']} {node['failureSummary']}" for each in found for node in each["nodes"]]


def overflow(page: Page) -> int:
    """Return by how many pixels the page is wider than the screen."""
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width


def focused(page: Page) -> str:
    """Return the text or the label of what has the focus."""
    text: str = page.evaluate(
        """(e => e.textContent.trim() || e.closest("label")?.textContent.trim() || "")(document.activeElement)"""
    )
    return text
