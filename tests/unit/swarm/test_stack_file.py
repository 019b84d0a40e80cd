"""`autoscaler stack-file`: a stack file with the live counts of scaled services, so that a deploy makes no dip."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.errors import ConfigurationError
from autoscaler.swarm.cluster import STATE_LABEL, Cluster
from autoscaler.swarm.history import ScaleState
from autoscaler.swarm.stack_file import STACK_LABEL, live_counts, with_counts
from tests.support.builders import FakeService

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.swarm.cluster import ServiceView

WEB = """\
version: "3.8"   # as the CLI wants it
services:
  web:
    image: 'app:${TAG:-latest}'
    ports: ["22:22", 8080:80]
    deploy:
      replicas: ${REPLICAS:-2}   # by hand
      labels: {on: "yes"}
  db: {image: postgres}
"""


def filled(text: str, **counts: int) -> str:
    """The text of the file with these counts."""
    return with_counts(text, counts, "stack.yml")[0]


def test_the_count_and_nothing_else() -> None:
    """Comments, quotes, variables and what YAML 1.1 would misread stay as they are."""
    assert re.sub(" +#", " #", filled(WEB, web=5)) == re.sub(" +#", " #", WEB.replace("${REPLICAS:-2}", "5"))


def test_what_differs_is_told() -> None:
    """Each service whose count is another one: what the file says, and the live count."""
    _, differing = with_counts(WEB, {"web": 5, "db": 3, "gone": 9}, "stack.yml")
    assert differing == {"web": ("${REPLICAS:-2}", 5), "db": (None, 3)}


@pytest.mark.parametrize("counts", [{}, {"gone": 3}, {"db": 1}])
def test_nothing_to_fill_in(counts: dict[str, int]) -> None:
    """A file whose counts are the live ones is printed as it is; without `replicas` Swarm takes 1."""
    assert with_counts(WEB, counts, "stack.yml") == (WEB, {})


def test_where_there_is_no_deploy() -> None:
    """A service without `deploy` gets one, in block and in flow style."""
    assert yaml.safe_load(filled("services:\n  a:\n    image: x\n", a=2))["services"]["a"] == {
        "image": "x",
        "deploy": {"replicas": 2},
    }
    assert yaml.safe_load(filled("services: {a: {image: x}}\n", a=2))["services"]["a"]["deploy"] == {"replicas": 2}


SHARED = """\
x-deploy: &deploy
  replicas: 2
  update_config: {order: start-first}
x-base: &base
  image: app
  deploy: *deploy
services:
  web: &web
    <<: *base
  api:
    <<: *base
    deploy: {<<: *deploy, labels: {x: y}}
  jobs: {<<: *web, image: jobs}
  more: {image: more, deploy: *deploy}
  same: *web
"""


@pytest.mark.parametrize(
    "counts", [{"web": 5}, {"api": 7}, {"jobs": 3}, {"more": 4}, {"web": 5, "jobs": 3, "more": 9, "api": 2}]
)
def test_services_that_share_a_part_keep_their_own_counts(counts: dict[str, int]) -> None:
    """Anchors, aliases and merges stay; the count of one service is nobody else's."""
    expected = meaning(SHARED)
    for name, count in counts.items():
        expected[name]["deploy"]["replicas"] = count
    assert meaning(filled(SHARED, **counts)) == expected


def meaning(text: str) -> dict[str, Any]:
    """The services as they are meant, no part shared."""
    services = yaml.safe_load(text)["services"]
    return {name: yaml.safe_load(yaml.safe_dump(service)) for name, service in services.items()}


@given(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9), min_size=1),
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 9)),
)
def test_the_counts_are_the_live_ones(written: dict[str, int], live: dict[str, int]) -> None:
    """Whatever is written and whatever is live: the live count where there is one, else the written one."""
    text = yaml.safe_dump(
        {"services": {name: {"image": "x", "deploy": {"replicas": count}} for name, count in written.items()}}
    )
    services = yaml.safe_load(filled(text, **live))["services"]
    assert {name: service["deploy"]["replicas"] for name, service in services.items()} == {
        name: live.get(name, count) for name, count in written.items()
    }


@pytest.mark.parametrize("text", ["", "[]", "services: []", "a: [", "services: {a: {<<: *b}}", "version: '3'"])
def test_what_is_no_stack_file(text: str) -> None:
    """Anything else is an error that names the file."""
    with pytest.raises(ConfigurationError, match=r"^stack.yml: .* \(.*\)$"):
        filled(text, web=3)


def view(name: str, count: int, labels: Mapping[str, str]) -> ServiceView:
    """A service with *count* replicas and these labels."""
    return replace(FakeService(count).view(), name=name, labels=labels)


def test_which_services_count() -> None:
    """The services of the stack that an autoscaler has scaled, by their names in the file."""
    state = {STATE_LABEL: ScaleState(5).encode()}
    views = [
        view("shop_web", 5, {STACK_LABEL: "shop", **state}),
        view("shop_db", 2, {STACK_LABEL: "shop"}),
        view("shop_two_web", 3, {STACK_LABEL: "shop_two", **state}),
        view("shop_by_hand", 4, state),
    ]
    assert live_counts(Cluster({each.name: each for each in views}), "shop") == {"web": 5}


BOMB = "x0: &a0 [x]\n" + "".join(f"x{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))


def test_aliases_that_double_cost_no_more_than_they_are_written() -> None:
    """A part that means itself a billion times is not compared with itself."""
    text = f"{BOMB}services:\n  web: {{deploy: {{replicas: 1, labels: *a11}}}}\n  api: {{deploy: {{labels: *a11}}}}\n"
    filled, differing = with_counts(text, {"web": 3}, "stack.yml")
    assert differing == {"web": (1, 3)}
    assert "replicas: 3, labels: *a11" in filled
    assert len(filled) < 2 * len(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: " + "[" * 5000, "is (nested too deeply|no YAML)"),
        ("services: {web: {deploy: {replicas: " + "9" * 5000 + "}}}", "is no YAML"),
        ("services: {web: {deploy: {replicas: 2026-99-99}}}", "is no YAML: month must be"),
        ("services: {web: [a]}", "the service web is no mapping"),
        ("#" + "x" * 2**20, "is larger than 1048576 bytes"),
    ],
)
def test_an_odd_stack_file_is_refused_in_words(text: str, said: str) -> None:
    """Nothing in the file ends the command with a traceback, or keeps it busy."""
    with pytest.raises(ConfigurationError, match=f"^stack.yml: {said}"):
        with_counts(text, {"web": 3}, "stack.yml")
