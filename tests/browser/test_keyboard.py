"""The page by keyboard alone, while it is drawn again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.looking import focused
from tests.browser.station import record

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.looking import Look
    from tests.browser.station import Station

pytestmark = pytest.mark.slow


def refreshed(page: Page, station: Station, times: int = 3) -> None:
    """Let the page show this many new answers."""
    for number in range(times):
        name = f"new-{number}-{id(page)}"
        station.evaluated(record("web"), record("api"), record(name))
        expect(page.locator(f"[data-service={name}]")).to_be_attached()


def tab_to(page: Page, text: str) -> None:
    """Press Tab until what has *text* has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if text in focused(page):
            return
    raise AssertionError(text)


def test_search_and_chips(look: Look, station: Station) -> None:
    """Tab leads to the search and the chips; typing filters; the focus survives new answers, and is to be seen."""
    station.evaluated(record("web"), record("api"))
    page = look.at(station.url)
    expect(page.locator("[data-service]")).to_have_count(2)

    tab_to(page, "Search")
    page.keyboard.type("ap")
    expect(page.locator("[data-service]")).to_have_count(1)
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    refreshed(page, station)
    page.keyboard.type("web")
    expect(page.locator("[data-service]")).to_have_count(1)
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")

    tab_to(page, "held")
    page.keyboard.press("Space")
    chip = page.get_by_role("button", name="held")
    expect(chip).to_have_attribute("aria-pressed", "true")
    refreshed(page, station)
    assert "held" in focused(page)
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(chip).to_have_attribute("aria-pressed", "false")


def test_a_row_and_back(look: Look, station: Station) -> None:
    """A row keeps the focus while rows come and go; Enter opens its service, and the link back leads back."""
    station.evaluated(record("web"), record("api"))
    page = look.at(station.url)
    expect(page.locator("[data-service]")).to_have_count(2)
    tab_to(page, "web")
    refreshed(page, station)
    assert focused(page) == "web"

    page.keyboard.press("Enter")
    expect(page.locator("h2.service")).to_contain_text("web")
    tab_to(page, "All services")
    page.keyboard.press("Enter")
    expect(page.locator("[data-service=web]")).to_be_visible()


def test_the_pause_form(look: Look, station: Station) -> None:
    """The form opens by keyboard and keeps what is typed; a server without a token says that it takes no pauses."""
    page = look.at(f"{station.url}/#/services/web")
    tab_to(page, "Pause")
    page.keyboard.press("Enter")
    tab_to(page, "Reason")
    page.keyboard.type("a sale")
    tab_to(page, "Token")
    page.keyboard.type("secret")
    station.evaluated(record("web", requested=5, desired=5))
    expect(page.locator(".big b")).to_have_text("5")
    expect(page.get_by_label("Reason")).to_have_value("a sale")
    page.keyboard.press("Enter")

    expect(page.locator(".pause [role=status]")).to_contain_text("Not done: ")
    assert page.get_by_label("Token").input_value() == "secret"
    assert page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0


def test_changes_are_announced_and_refreshes_are_not(look: Look, station: Station) -> None:
    """One polite region says what changed; answers that change nothing are silent."""
    page = look.at(station.url)
    refreshed(page, station)
    expect(page.locator("#announcer")).to_have_text("")

    station.evaluated(record("web", maximum=3, recommended=9))

    expect(page.locator("#announcer")).to_have_text("0 problems, 1 services need attention")
