from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from pydantic import TypeAdapter

from autoscaler.core.lacks import Lack, Link
from autoscaler.core.model import Outcome
from autoscaler.core.reasons import Reason
from autoscaler.explanation.explain import explain
from autoscaler.explanation.situation import Situation
from autoscaler.views.documents import lack_document
from autoscaler.views.explanations import ExplanationDocument, explanation_document
from autoscaler.views.story import MOST_LINES, WIDTH, render_story
from tests.support.builders import STEP
from tests.support.deciding import decide
from tests.support.random_cases import histories, observations, policies
from tests.support.situations import GOLDEN, PLACES, SITUATIONS, document_of, json_of, text_of

if TYPE_CHECKING:
    from autoscaler.core.model import History, Observation
    from autoscaler.policy.policy import Policy

DOCUMENT: TypeAdapter[Any] = TypeAdapter(ExplanationDocument)
UNTOUCHED = {Reason.POLICY_CONFLICT, Reason.SERVICE_NOT_FOUND}
"""Reasons of services that no policy could be applied to."""


@pytest.mark.parametrize("name", SITUATIONS)
def test_golden_texts(name: str) -> None:
    """Each situation has its text and its document (`python -m tests.support.situations` writes them)."""
    document = document_of(name)
    assert text_of(document) == (GOLDEN / f"{name}.txt").read_text()
    assert json_of(document) == (GOLDEN / f"{name}.json").read_text()


def test_every_reason_has_a_golden_text() -> None:
    """Every reason shapes a decision of a golden text."""
    shaping = {why.reason for each in SITUATIONS.values() for why in each.decision.reasons}
    assert set(Reason) - UNTOUCHED == shaping
    assert {path.stem for path in GOLDEN.iterdir()} == set(SITUATIONS)


def check_form(text: str) -> None:
    """What holds of every text."""
    lines = text.splitlines()
    assert len(lines) <= MOST_LINES
    assert max(map(len, lines)) <= WIDTH
    assert text.isprintable() or all(line.isprintable() for line in lines)
    assert not any(line.endswith(" ") for line in lines)


@given(policies, observations(), histories())
def test_every_text_has_verdict_numbers_and_next(policy: Policy, seen: Observation, history: History) -> None:
    """Any decision has a text of at most 16 lines of 100 columns, with the verdict, the count and what comes next."""
    decision = decide(policy, seen, history)
    outcome = Outcome.APPLIED if decision.changes else Outcome.HELD if decision.held else Outcome.UNCHANGED
    document = explanation_document(explain(Situation(policy, seen, history, decision, outcome, STEP, PLACES)))
    text = render_story(document, now=seen.at + 6, role="live, leader")
    check_form(text)
    assert text.startswith("web: ")
    assert f"{decision.requested} requested, {decision.running} running" in text
    assert "the count  " in text
    assert "\nnext       up    " in text
    assert "\n           down  " in text
    assert "(shop.yml:14)" in text


@given(policies, observations(), histories())
def test_the_text_needs_only_the_document(policy: Policy, seen: Observation, history: History) -> None:
    """A document that went through JSON gives the same text, and is what its description says."""
    decision = decide(policy, seen, history)
    outcome = Outcome.FAILED if decision.changes else Outcome.HELD if decision.held else Outcome.UNCHANGED
    document = explanation_document(explain(Situation(policy, seen, history, decision, outcome, STEP)))
    again = json.loads(json.dumps(document, allow_nan=False))
    DOCUMENT.validate_python(again)
    assert render_story(again, now=seen.at) == render_story(document, now=seen.at)


def test_many_rules_fit() -> None:
    """Rules that do not decide are left out of the text if there are many; the document has all."""
    document = document_of("above_threshold")
    document["rules"] = [document["rules"][0] | {"rule": f"a-rule-with-a-long-name-{n}"} for n in range(30)]
    text = render_story(document)
    check_form(text)
    assert "and 26 more rules, which do not decide" in text


def test_the_cause_of_missing_data_is_told() -> None:
    """A lack of data comes with its first broken link and the cure, instead of another command."""
    document = document_of("no_data")
    lack = Lack("shop_checkout", "cpu", Link.SELECTOR, 'no series has job="cadvisor"', "correct the selector")
    document["lacks"] = [lack_document(lack), lack_document(replace(lack, metric="memory"))]
    text = render_story(document)
    check_form(text)
    expected = 'data       cpu: no series has job="cadvisor" (correct the selector); 1 more metric lacks data'
    assert expected in text
    assert "\nsooner" not in text
