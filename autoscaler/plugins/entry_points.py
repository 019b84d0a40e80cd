"""Strategies and metric sources of other packages: found by their entry points, checked and registered.

docs/plugins.md says how to write one.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from autoscaler.errors import ConfigurationError
from autoscaler.plugins.isolation import read_in_time
from autoscaler.policy import file, policy
from autoscaler.policy.metric import PROMETHEUS
from autoscaler.strategies import Rule, registered
from autoscaler.strategies.base import LONGEST_LOOK_BACK, Frozen
from autoscaler.strategies.registry import is_built_in, plug_in
from autoscaler.util.text import describe_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from importlib.metadata import EntryPoint

STRATEGIES = "autoscaler.strategies"
"""The entry points whose names are strategies and whose values are subclasses of Rule."""
METRIC_SOURCES = "autoscaler.metric_sources"
"""The entry points whose names are metric sources and whose values make one, called without arguments."""
_NAME = re.compile(r"[a-z0-9]([a-z0-9_.-]*[a-z0-9])?")
_LONGEST_NAME = 63
_NO_KEYS = frozenset(
    {
        *("look_back", "adds_above", "relative", "reading", "paces_itself", "unwritten_stabilization"),
        *("recommend", "recommend_on_partial", "strategy_name"),
    }
)
"""The attributes of a strategy that are not keys of the policy file."""


@dataclass(frozen=True, slots=True)
class Plugins:
    """The plugins that were found."""

    strategies: Mapping[str, type[Rule]] = field(default_factory=dict)
    """The strategies, by their names in policy files."""
    sources: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    """The makers of metric sources, by their names in policy files."""
    packages: tuple[str, ...] = ()
    """The packages of the plugins, with versions: ``autoscaler-peak 1.0``."""


@cache
def load() -> Plugins:
    """Return all installed plugins, and register their strategies. They are looked for once.

    Raise ConfigurationError with all problems. Then no strategy is registered, because a broken package must not
    change the meaning of a policy.
    """
    problems: list[str] = []
    built_in = {name for name, rule in registered().items() if is_built_in(rule)}
    strategies = dict(_found(STRATEGIES, built_in, problems_of_strategy, problems))
    sources = dict(_found(METRIC_SOURCES, {PROMETHEUS}, _problems_of_source, problems))
    if problems:
        raise ConfigurationError("\n".join(problems))
    for name, (_, strategy) in strategies.items():
        strategy.reading = classmethod(read_in_time)
        plug_in(name, strategy)
    if strategies:
        rebuild()
    points = [point for point, _ in (*strategies.values(), *sources.values())]
    return Plugins(
        {name: strategy for name, (_, strategy) in strategies.items()},
        {name: factory for name, (_, factory) in sources.items()},
        tuple(sorted({_package(point) for point in points})),
    )


def metric_sources() -> Mapping[str, Callable[[], object]]:
    """Return the makers of the plugins' metric sources, by name; see `plugins.metric_source`."""
    return load().sources


def rebuild() -> None:
    """Let policy files use the strategies that were registered after the first policy was read."""
    for model in (policy.Policy, file.Defaults, file.PolicyFile, policy.PolicySet):
        if model.__pydantic_complete__:
            model.model_rebuild(force=True)


def _found(
    group: str,
    taken: set[str],
    problems_of: Callable[[str, Any], Iterator[str]],
    problems: list[str],
) -> Iterator[tuple[str, tuple[EntryPoint, Any]]]:
    """Yield the names of a *group*, each with its entry point and its value. Add the errors to *problems*."""
    owners: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group), key=lambda each: (_package(each), each.name)):
        place = f'{_package(point)}: the entry point "{point.name} = {point.value}" in {group}'
        owner = owners.setdefault(point.name, point)
        if owner is not point:
            problems.append(f"{place}: the name is taken by {_package(owner)} (uninstall one of the two)")
            continue
        if point.name in taken:
            problems.append(f"{place}: the name is the autoscaler's own (choose another name)")
            continue
        if not _NAME.fullmatch(point.name) or len(point.name) > _LONGEST_NAME:
            cure = f"lower-case letters, digits, dots, dashes and underscores, {_LONGEST_NAME} at most"
            problems.append(f"{place}: a policy file cannot use this name ({cure})")
            continue
        try:
            value = point.load()
            found = list(problems_of(point.name, value))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it runs the code of plugins
            cure = f"correct it, install what it needs, or uninstall {_package(point)}"
            problems.append(f"{place}: cannot be imported: {describe_error(error)} ({cure})")
            continue
        problems.extend(f"{place}: {problem}" for problem in found)
        yield point.name, (point, value)


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "an unknown package"


# What a plugin must be


def problems_of_strategy(name: str, strategy: object) -> Iterator[str]:
    """Yield why *strategy* cannot be the strategy *name*, each as ``what is wrong (what would be right)``."""
    if not isinstance(strategy, type) or not issubclass(strategy, Rule):
        yield f"is {strategy!r:.60}, not a subclass of autoscaler.strategies.Rule (name the class: module:Class)"
        return
    try:
        strategy.model_rebuild()  # it changes nothing if the annotations were known at the definition
    except Exception as error:  # noqa: BLE001 - pydantic may raise anything for the annotations of plugins
        cure = "import what fields are annotated with at run time, not under TYPE_CHECKING"
        yield f"the fields of {strategy.__name__} cannot be read: {describe_error(error)} ({cure})"
        return
    if inspect.isabstract(strategy):
        missing = ", ".join(sorted(getattr(strategy, "__abstractmethods__", ())))
        yield f"{strategy.__name__} lacks {missing} (define it)"
    yield from _problems_of_fields(name, strategy)
    if type(strategy.relative) is not bool:
        yield f"{strategy.__name__}.relative is {strategy.relative!r:.40} (relative: ClassVar[bool] = True, or False)"
    if type(strategy.paces_itself) is not bool:
        given = f"{strategy.__name__}.paces_itself is {strategy.paces_itself!r:.40}"
        yield f"{given} (paces_itself: ClassVar[bool] = True, or False)"
    calm = strategy.unwritten_stabilization
    if type(calm) is not int or not 0 <= calm <= LONGEST_LOOK_BACK:
        yield f"{strategy.__name__}.unwritten_stabilization is {calm!r:.40} (seconds, as in ClassVar[int] = 300)"
    if inspect.iscoroutinefunction(strategy.recommend) or not _takes(strategy.recommend, None, None):
        yield f"{strategy.__name__}.recommend cannot be called with a rule input (def recommend(self, rule_input))"


def _problems_of_fields(name: str, strategy: type[Rule]) -> Iterator[str]:
    own, fields, config = strategy.__name__, strategy.model_fields, strategy.model_config
    chosen = fields.get("strategy")
    if chosen is None or not chosen.is_required() or get_origin(chosen.annotation) is not Literal:
        yield f'{own} lacks the key by which a rule chooses it (add the field: strategy: Literal["{name}"])'
    elif get_args(chosen.annotation) != (name,):
        said = ", ".join(map(repr, get_args(chosen.annotation)))
        yield f'{own}.strategy says {said} (the entry point\'s name: strategy: Literal["{name}"])'
    for key in sorted(_NO_KEYS & fields.keys()):
        yield f"{key} is a field of {own} (name the field otherwise: the autoscaler asks for {key} itself)"
    for key, info in Rule.model_fields.items():
        if repr(fields[key]) != repr(info):
            yield f"{own}.{key} is not the Rule's own (remove it: every rule has that key)"
    if config.get("extra") != "forbid" or config.get("frozen") is not True:
        yield f"{own} takes unknown keys, or can be changed (leave extra and frozen as the Rule has them)"
    try:
        parts = {own, *strategy.model_json_schema().get("$defs", ())}
    except Exception as error:  # noqa: BLE001 - pydantic may raise anything for the annotations of plugins
        yield f"the fields of {own} cannot be described: {describe_error(error)} (annotate them with WithJsonSchema)"
        return
    for part in sorted(parts & _parts_of_a_policy()):
        yield f"{part} is what a part of a policy file is called (give the class another name)"


def _parts_of_a_policy() -> set[str]:
    models = (*vars(policy).values(), *vars(file).values())
    return {part.__name__ for part in models if isinstance(part, type) and issubclass(part, Frozen)}


def _problems_of_source(_: str, factory: object) -> Iterator[str]:
    if not callable(factory) or not _takes(factory):
        yield f"{factory!r:.60} makes no metric source (name a class or function to be called without arguments)"
    elif isinstance(factory, type) and not callable(getattr(factory, "fetch", None)):
        yield f"{factory.__name__} has no method fetch (def fetch(self, query, start, end, step, deadline))"


def _takes(function: Callable[..., object], *arguments: object) -> bool:
    """Return whether *function* can be called with *arguments*, as far as is known."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # a function in C without a signature
        return True
    return True
