"""The strategies that there are, by name: this package's own, and those that plugins register."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from autoscaler.strategies.base import Rule

R = TypeVar("R", bound="type[Rule]")
_REGISTRY: dict[str, type[Rule]] = {}
_BUILT_IN: set[type[Rule]] = set()


def strategy(name: str) -> Callable[[R], R]:
    """Register a Rule class of this package as the strategy *name*; raises ValueError where the name is taken."""

    def register(rule: R) -> R:
        plug_in(name, rule)
        if rule.__module__.startswith(f"{__package__}."):
            _BUILT_IN.add(rule)
        return rule

    return register


def plug_in(name: str, rule: type[Rule]) -> None:
    """Register a Rule class as the strategy *name*; raises ValueError where the name is taken by another one."""
    if _REGISTRY.get(name, rule) is not rule:
        raise ValueError(f"the strategy {name!r} is registered twice, by {_REGISTRY[name]} and {rule}")
    rule.strategy_name = name
    _REGISTRY[name] = rule


def name_of(rule: type[Rule]) -> str:
    """What people call the strategy: the class's name where it has not been registered."""
    return getattr(rule, "strategy_name", rule.__name__)


def is_built_in(rule: type[Rule]) -> bool:
    """Whether the strategy is one of this package's, and not a plugin's."""
    return rule in _BUILT_IN


def registered() -> Mapping[str, type[Rule]]:
    """The strategies there are, by name."""
    return dict(_REGISTRY)
