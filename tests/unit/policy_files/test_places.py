from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.policy_sets import load

if TYPE_CHECKING:
    from pathlib import Path

SHOP = """\
version: 1
policies:
  - name: shop
    services: [shop]
    replicas:
      min: 2
      max: 6
    scale_up:
      cooldown: 3m
    rules:
      - name: cpu-high
        metric: cpu
        above: 70
        add: 1
      - {name: cpu-low, metric: cpu, below: 25, remove: 1}
    schedules:
      - {name: night, start: 0 22 * * *, end: 0 6 * * *, max: 3}
  - {name: web, services: [web], replicas: {min: 1, max: 3}, rules: [{name: r, metric: cpu, above: 70, add: 1}]}
"""
DEFAULTS = """\
version: 1
defaults:
  paused: up
  scale_down:
    cooldown: 10m
"""


def test_where_a_policy_is_written(tmp_path: Path) -> None:
    """A policy and its parts are found by file and line; what the policy leaves out is at the nearest part above."""
    places = load(tmp_path, shop=SHOP).places
    shop = places["shop"]

    assert str(shop.of()) == "shop.yml:3"
    assert shop.of().file == f"{tmp_path}/shop.yml"
    assert shop.of("replicas", "max").line == 7
    assert shop.of("scale_up", "cooldown").line == 9
    assert shop.of("scale_up", "limits").line == 8
    assert shop.of("scale_down", "cooldown").line == 3
    assert shop.of("rules", "cpu-high").line == 11
    assert shop.of("rules", "cpu-low").line == 15
    assert shop.of("schedules", "night").line == 17
    assert places["web"].of("rules", "r").line == 18


def test_what_defaults_give_is_where_the_defaults_are(tmp_path: Path) -> None:
    """A key that a policy leaves to the defaults is found there, also in another file."""
    shop = load(tmp_path, shop=SHOP, defaults=DEFAULTS).places["shop"]

    assert str(shop.of("paused")) == "defaults.yml:3"
    assert str(shop.of("scale_down", "cooldown")) == "defaults.yml:5"
    assert str(shop.of("scale_up", "cooldown")) == "shop.yml:9"
    assert not shop.written("flap_guard")


def test_sets_that_say_the_same_are_equal(tmp_path: Path) -> None:
    """Two sets are equal if their policies are, wherever these are written."""
    (tmp_path / "other").mkdir()
    assert load(tmp_path, shop=SHOP) == load(tmp_path / "other", shop=SHOP)
