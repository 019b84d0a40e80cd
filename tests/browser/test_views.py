"""Every view of the page on the demo: the real daemon, simulated backends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.browser.looking import SCHEMES, SIZES, overflow, violations

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.looking import Look

pytestmark = pytest.mark.slow

VIEWS = {
    "": "section[aria-label=Services] .row .spark",
    "services/shop_checkout": ".window canvas",
    "policies": "article.card",
    "events": ".events li.change",
}
"""By its place, what a view has once it is complete."""


@pytest.mark.parametrize("width", SIZES)
@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.partition("/")[0] or "overview")
def test_a_view_is_for_everybody(look: Look, demo: str, view: str, width: int) -> None:
    """Each view is without errors, within the screen, and without a fault that axe knows, in both schemes and sizes."""
    page = look.at(f"{demo}/#/{view}", width)
    expect(page.locator(VIEWS[view]).first).to_be_visible()

    assert overflow(page) <= 0
    assert small_targets(page) == []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == [], scheme


def test_a_services_page_tells_all(look: Look, demo: str) -> None:
    """The page of a service has its decision explained, its charts, its place in short, and what happened before."""
    page = look.at(f"{demo}/#/services/shop_checkout")

    expect(page.locator("h2.service small")).to_contain_text("policy checkout demo.yml:")
    expect(page.locator("pre.story")).to_contain_text("shop_checkout: ")
    expect(page.locator("pre.story")).to_contain_text("the count")
    expect(page.locator(".window canvas")).to_have_count(2)
    expect(page.locator(".keys .key")).to_have_count(4)
    expect(
        page.locator(".events li.change").filter(has_text="by rule, above threshold [cpu-high]").first
    ).to_be_visible()
    expect(page).to_have_title(re.compile("shop_checkout · swarm-autoscaler$"))


def test_no_word_of_the_machine_is_shown(look: Look, demo: str) -> None:
    """A fact that is missing leaves no "undefined", "null" or "NaN" behind, in no view."""
    page = look.at(f"{demo}/#/")
    for view, complete in VIEWS.items():
        page.goto(f"{demo}/#/{view}")
        expect(page.locator(complete).first).to_be_visible()
        text = page.locator("body").inner_text()
        assert [word for word in ("undefined", "null", "NaN", "[object") if word in text] == []


def test_links_lead_from_view_to_view(look: Look, demo: str) -> None:
    """A row leads to its service and back; an address that names nothing says so and leads back too."""
    page = look.at(f"{demo}/#/")
    page.get_by_role("link", name="shop_search").click()
    expect(page.locator("h2.service")).to_contain_text("shop_search")
    page.get_by_role("link", name="← All services").click()
    expect(page.locator("[data-service]")).to_have_count(5)

    page.goto(f"{demo}/#/services/shop_serch")
    expect(page.locator("main")).to_contain_text("did you mean shop_search")
    page.goto(f"{demo}/#/services/%")
    expect(page.locator("main")).to_contain_text("no policy applies to a service of this name")


def small_targets(page: Page) -> list[str]:
    """Return the buttons and fields that a finger misses."""
    found: list[str] = page.evaluate(
        """[...document.querySelectorAll("button, input, select, nav a, summary")]
        .filter(each => each.checkVisibility() && each.getBoundingClientRect().height < 32)
        .map(each => each.outerHTML)"""
    )
    return found
