"""Policies, and globs in them, that match no service."""

from __future__ import annotations

import pytest

from autoscaler.diagnosis.unmatched import UnmatchedPolicies
from autoscaler.policy.policy import Policy, PolicySet
from tests.support.builders import policy

SERVICES = {"shop_web": {"tier": "front"}, "shop_burst": {}, "db": {}}


def found(*policies: Policy, used: tuple[str, ...] = ()) -> tuple[str, ...]:
    """What matches nothing."""
    return UnmatchedPolicies().look(PolicySet(policies=policies), SERVICES, frozenset(used))


def of(*services: str, **more: object) -> Policy:
    """The policy `shop` for these services."""
    return policy().model_copy(update={"name": "shop", "services": services, **more})


@pytest.mark.parametrize(
    ("services", "said"),
    [
        (("shop_*", "db"), ()),
        (("shpo_*",), ("policy shop: the glob shpo_* matches no service (did you mean shop_web?)",)),
        (("shop_brust",), ()),  # the record of the missing service reports it
        (
            ("zz[0-9]",),
            ("policy shop: the glob zz[0-9] matches no service (docker service ls shows those that there are)",),
        ),
    ],
)
def test_globs(services: tuple[str, ...], said: tuple[str, ...]) -> None:
    """Each glob that matches no service is reported with the name that may be meant."""
    assert found(of(*services)) == said


def test_one_glob_of_several() -> None:
    """A glob that matches nothing is told although another of the policy matches."""
    assert len(found(of("shop_*", "shpo_*"), used=("shop",))) == 1


def test_labels_that_no_service_has() -> None:
    """A policy that matches by labels, or by being named, is told if it applies to nothing."""
    labelled = of(match_labels={"tier": "back"})
    assert found(labelled) == ("policy shop: it applies to no service with tier=back (add the label to a service)",)
    assert found(labelled, used=("shop",)) == ()
    cure = "add autoscaler.policy=shop to a service's labels, or services to the policy"
    assert found(of()) == (f"policy shop: no service names it ({cure})",)


def test_many_are_told_in_part() -> None:
    """A hundred wrong globs are told as twenty."""
    assert len(found(of(*(f"no-{number}-*" for number in range(100))))) == 20


def test_nothing_is_matched_twice() -> None:
    """While services and policies stay what they are, the answer is the same object."""
    watch, policies = UnmatchedPolicies(), PolicySet(policies=(of("shpo_*"),))
    first = watch.look(policies, SERVICES, frozenset())
    assert watch.look(policies, dict(SERVICES), frozenset()) is first
    assert watch.look(policies, {**SERVICES, "shpo_x": {}}, frozenset()) == ()
