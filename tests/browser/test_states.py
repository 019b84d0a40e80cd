"""The page says what state the autoscaler is in, and what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from autoscaler.core.instance import Mode, Role
from autoscaler.core.model import Outcome, Why
from autoscaler.core.reasons import Reason
from autoscaler.core.records import Evaluation, Problem
from tests.browser.looking import overflow, violations
from tests.browser.station import CLOCK, record

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.looking import Look
    from tests.browser.station import Station

pytestmark = pytest.mark.slow

HOSTILE = {
    "markup": "<img src=x onerror=alert(1)>",
    "quotes": "\"'`${alert(1)}`'\" &amp; </style><script>alert(1)</script>",
    "long": "n" * 200,
    "rtl": "\u202etxet esrever\u202c \u05de\u05d1\u05d7\u05df",
    "terminal": "\x1b[31mred\x1b[0m",
    "path": "../..//a?b=c&d#e%2f",
}


def strip(page: Page, text: str) -> None:
    """Wait until the strip has *text*."""
    expect(page.locator(".strip")).to_contain_text(text)


def banner(page: Page, text: str) -> None:
    """Wait until a banner has *text*."""
    expect(page.locator(".banner").filter(has_text=text)).to_be_visible()


def test_a_live_leader(look: Look, station: Station) -> None:
    """A leader is LIVE, with its name, both backends, and no banner."""
    page = look.at(station.url)

    strip(page, "LIVE")
    strip(page, "It scales for real, as one-1.")
    strip(page, "Swarm answers")
    strip(page, "Prometheus answers")
    expect(page.locator(".banner")).to_have_count(0)


def test_a_dry_run(look: Look, station: Station) -> None:
    """A dry-run says that it changes nothing."""
    station.instance = replace(station.instance, mode=Mode.DRY_RUN, role=None, leader="")
    page = look.at(station.url)

    strip(page, "DRY-RUN")
    strip(page, "It proposes, and changes nothing.")
    assert violations(page) == []


def test_a_standby(look: Look, station: Station) -> None:
    """A standby says who leads; if nobody does, a banner says so; as a leader it is live, without a reload."""
    station.instance = replace(station.instance, role=Role.STANDBY, leader="two-2")
    page = look.at(station.url)
    strip(page, "STANDBY")
    strip(page, "two-2 leads.")

    station.instance = replace(station.instance, leader="")
    banner(page, "No autoscaler leads.")
    assert violations(page) == []
    station.instance = replace(station.instance, role=Role.LEADER, leader="one-1")
    strip(page, "LIVE")
    expect(page.locator(".banner")).to_have_count(0)


@pytest.mark.parametrize(("kind", "name"), [("prometheus", "Prometheus"), ("swarm", "Swarm")])
def test_a_lost_backend(look: Look, station: Station, kind: str, name: str) -> None:
    """A lost backend is in the strip and in a banner, with its error, what follows, and since when."""
    station.evaluated(record("web"), problems=(Problem(kind, "connection refused <b>"),))
    page = look.at(station.url)

    strip(page, f"{name} is lost")
    banner(page, "connection refused <b>")
    banner(page, "Since ")
    assert violations(page) == []
    station.evaluated(record("web"))
    strip(page, f"{name} answers")
    expect(page.locator(".banner")).to_have_count(0)


def test_refused_policies(look: Look, station: Station) -> None:
    """Refused policy files are in a banner with file and line, and on the view of policies."""
    station.problems = ["shop.yml:7: replicas.max: 0 is below min 2 (2 or more)", "shop.yml:9: something else"]
    page = look.at(station.url)

    banner(page, "shop.yml:7: replicas.max: 0 is below min 2")
    banner(page, "And 1 more.")
    page.get_by_role("link", name="Policies").click()
    expect(page.locator(".faults li")).to_have_count(2)


def test_a_pause(look: Look, station: Station) -> None:
    """A pause at run time is in a banner with its reason."""
    station.evaluated(record("web"), paused=("all services: up paused by ana: a sale",))

    banner(look.at(station.url), "All services: up paused by ana: a sale.")


def test_an_evaluation_that_does_not_come(look: Look, station: Station) -> None:
    """An autoscaler that answers but does not evaluate is not taken for a good one."""
    station.journal.close(Evaluation(CLOCK.now() - 600, ()))

    banner(look.at(station.url), "No evaluation has ended for 10m")


def test_the_daemon_stops_and_starts(look: Look, station: Station) -> None:
    """A stopped daemon shows as a banner over grey figures; once it is back, the page is live without a reload."""
    page = look.at(station.url)
    expect(page.locator(".row .spark")).to_be_visible()
    station.stop()
    expect(page.locator(".banner")).to_contain_text("has not answered for")
    expect(page.locator("main")).to_have_class("stale")
    expect(page).to_have_title("✖ Services · swarm-autoscaler")
    assert violations(page) == []

    station.evaluated(record("web"), record("late"))
    station.start()

    expect(page.locator(".banner")).to_have_count(0)
    expect(page.locator("main")).not_to_have_class("stale")
    expect(page.locator("[data-service=late]")).to_be_visible()


@pytest.mark.parametrize("width", [1280, 375])
def test_hostile_names_are_text(look: Look, station: Station, width: int) -> None:
    """Names of services, reasons and errors show as they are, whatever they hold, and break neither page nor link."""
    why = Why(Reason.COOLING_DOWN, "<img src=x onerror=alert(2)> wants 4", "<b>rule</b>")
    station.evaluated(
        *(record(name, why=why) for name in HOSTILE.values()),
        problems=(Problem("service", "<script>alert(3)</script>", HOSTILE["markup"]),),
        paused=(f"{HOSTILE['markup']}: up paused by <i>ana</i>",),
    )
    station.problems = ["<u>file</u>.yml:1: wrong"]
    page = look.at(station.url, width)
    expect(page.locator(".row .spark").first).to_be_visible()

    for name in HOSTILE.values():
        assert name in page.locator("[data-service] a").all_text_contents()
    assert page.locator("img, #app script, #app b b, .row i, .row u").count() == 0
    assert overflow(page) <= 0
    assert violations(page) == []
    page.locator("[data-service] a").filter(has_text="onerror").click()
    expect(page.locator("h2.service")).to_contain_text(HOSTILE["markup"])
    assert overflow(page) <= 0


def test_services_of_each_kind(look: Look, station: Station) -> None:
    """What needs attention is first, chips count states, and the title too."""
    station.evaluated(
        record("a-good", Outcome.UNCHANGED, why=Why(Reason.NO_BREACH, ""), recommended=3),
        record("b-full", maximum=3, recommended=9, why=Why(Reason.AT_MAX, "wants 9, above max 3")),
        record("c-failing", Outcome.FAILED, detail="update out of sequence"),
    )
    page = look.at(station.url)

    expect(page.locator("[data-service]")).to_have_count(3)
    names = [each.get_attribute("data-service") for each in page.locator("[data-service]").all()]
    assert names == ["c-failing", "b-full", "a-good"]
    expect(page.get_by_role("button", name="at maximum 1")).to_be_visible()
    expect(page.locator(".sum")).to_contain_text("2 of 3 services need attention.")
    expect(page).to_have_title("(2) Services · swarm-autoscaler")
    expect(page.locator("[data-service=c-failing]")).to_contain_text("update out of sequence")
