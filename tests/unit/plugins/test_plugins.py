from __future__ import annotations

import sys
from dataclasses import dataclass, field
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from autoscaler.cli.main import main
from autoscaler.errors import ConfigurationError
from autoscaler.plugins import entry_points as plugins
from autoscaler.policy.file import policy_schema
from autoscaler.policy_files import loader
from autoscaler.strategies import Rule, Threshold, registered, registry
from tests.support.builders import refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOUND = """
    from __future__ import annotations

    from typing import ClassVar, Literal

    from pydantic import Field, model_validator

    from autoscaler.util.durations import Duration
    from autoscaler.core.model import Recommendation
    from autoscaler.strategies import Rule, RuleInput
    from autoscaler.strategies.base import Frozen


    class Sound(Rule):
        \"\"\"Always asks for so many.\"\"\"

        strategy: Literal["sound"]
        count: int = Field(ge=0, strict=True)
        \"\"\"How many.\"\"\"
        over: Duration = 0
        \"\"\"How far back it looks.\"\"\"

        @property
        def look_back(self) -> int:
            return self.over

        def recommend(self, rule_input: RuleInput) -> Recommendation:
            return self.asks_for(rule_input, self.count, "always")


    class Source:
        def fetch(self, query, start, end, step, deadline):
            return {}
"""
"""A module with a strategy and a metric source that are as they should be."""


@dataclass
class Site:
    """A directory of installed packages, each with a module and entry points."""

    folder: Path
    modules: list[str] = field(default_factory=list)

    def install(self, package: str, *, more: str = "", sources: str = "", **strategies: str) -> None:
        """Install *package*, whose module has `SOUND` and *more*; `name="Class"` is one of its *strategies*."""
        module = f"{package.replace('-', '_')}_module"
        self.modules.append(module)
        (self.folder / f"{module}.py").write_text(dedent(SOUND) + "\n\n" + dedent(more))
        info = self.folder / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"[{plugins.STRATEGIES}]"]
        lines += [f"{name} = {value if ':' in value else f'{module}:{value}'}" for name, value in strategies.items()]
        lines += [f"[{plugins.METRIC_SOURCES}]"]
        lines += [f"{name} = {module}:{value}" for name, _, value in (each.partition("=") for each in sources.split())]
        (info / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Nothing installed beside what this process has; no plugin of the test outlives it."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    plugins.load.cache_clear()
    site = Site(folder)
    yield site
    monkeypatch.undo()
    for module in site.modules:
        sys.modules.pop(module, None)
    plugins.load.cache_clear()
    plugins.rebuild()


def problems() -> list[str]:
    """What is wrong with the installed plugins."""
    with pytest.raises(ConfigurationError) as raised:
        plugins.load()
    return str(raised.value).splitlines()


# Sound ones


def test_without_plugins_there_are_none(site: Site) -> None:  # noqa: ARG001 - for its empty directory
    """Nothing is registered beside the autoscaler's own strategies."""
    assert plugins.load() == plugins.Plugins()
    assert sorted(registered()) == ["steps", "table", "target", "threshold"]


def test_a_strategy_is_known_by_the_name_of_its_entry_point(site: Site) -> None:
    """Policy files may name it from then on."""
    site.install("autoscaler-sound", sound="Sound")
    found = plugins.load()
    assert list(found.strategies) == ["sound"]
    assert found.packages == ("autoscaler-sound 1.0",)
    assert registered()["sound"] is found.strategies["sound"]
    assert found.strategies["sound"].strategy_name == "sound"
    assert not registry.is_built_in(found.strategies["sound"])


def test_a_policy_uses_it(site: Site, tmp_path: Path) -> None:
    """Its keys are read, checked and described like those of our own, also after policies were read without it."""
    rule = "{name: a, metric: cpu, strategy: sound, count: 3, over: 5m}"
    assert "unknown strategy" in refused(tmp_path, rule)[0]
    site.install("autoscaler-sound", sound="Sound")
    plugins.load()
    assert refused(tmp_path, rule) == []
    (policy,) = loader.load([tmp_path / "web.yml"]).policies
    assert (policy.rules[0].strategy_name, policy.look_backs) == ("sound", {"cpu": 300})
    assert policy_schema()["$defs"]["Sound"]["properties"]["count"]["description"] == "How many."
    negative, unknown = refused(tmp_path, rule.replace("count: 3", "count: -3, cuont: 4"))
    assert negative.endswith("policies[0].rules[0].count: is the number -3 (write a number of at least 0)")
    assert 'cuont: unknown key (did you mean "count"? known here: ' in unknown


def test_metric_sources_are_given_by_name(site: Site) -> None:
    """What makes each one, for the autoscaler to call."""
    site.install("autoscaler-sound", sources="numbers=Source")
    (name,) = plugins.metric_sources()
    assert name == "numbers"
    assert plugins.metric_sources()[name]().fetch(None, 0, 0, 1, None) == {}  # type: ignore[attr-defined]


def test_plugins_are_looked_for_once(site: Site) -> None:
    """What is installed while the autoscaler runs is known at its next start."""
    before = plugins.load()
    site.install("autoscaler-sound", sound="Sound")
    assert plugins.load() is before


def test_a_plugin_may_also_register_itself(site: Site) -> None:
    """The decorator of our own strategies does no harm, and makes it none of ours."""
    site.install(
        "autoscaler-own",
        more="""
        from autoscaler.strategies import strategy

        @strategy("own")
        class Own(Sound):
            strategy: Literal["own"]
        """,
        own="Own",
    )
    assert not registry.is_built_in(plugins.load().strategies["own"])


def test_a_subclass_of_our_own_strategy_is_a_plugins(site: Site) -> None:
    """What it changes is other people's code."""
    site.install(
        "autoscaler-late",
        more="""
        from autoscaler.strategies import Target

        class Late(Target):
            strategy: Literal["late"]
        """,
        late="Late",
    )
    assert not registry.is_built_in(plugins.load().strategies["late"])


# Broken ones


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("Broken = 3", "is 3, not a subclass of autoscaler.strategies.Rule (name the class: module:Class)"),
        ("class Broken: pass", "not a subclass of autoscaler.strategies.Rule"),
        ("", "cannot be imported: AttributeError: "),
        (
            "import no_such_module",
            "cannot be imported: ModuleNotFoundError: No module named 'no_such_module' (correct it,",
        ),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("def (", "cannot be imported: SyntaxError: "),
        (
            """
            class Broken(Rule):
                strategy: Literal["broken"]
            """,
            "Broken lacks look_back, recommend (define it)",
        ),
        (
            "class Broken(Sound): pass",
            "Broken.strategy says 'sound' (the entry point's name: strategy: Literal[\"broken\"])",
        ),
        (
            """
            class Broken(Sound):
                strategy: str
            """,
            'Broken lacks the key by which a rule chooses it (add the field: strategy: Literal["broken"])',
        ),
        (
            """
            class Broken(Sound):
                strategy: Literal["broken"] = "broken"
            """,
            "Broken lacks the key by which a rule chooses it",
        ),
        (
            """
            class Broken(Sound):
                strategy: Literal["broken"]
                name: int
            """,
            "Broken.name is not the Rule's own (remove it: every rule has that key)",
        ),
        (
            """
            class Broken(Sound, extra="allow"):
                strategy: Literal["broken"]
            """,
            "Broken takes unknown keys, or can be changed (leave extra and frozen as the Rule has them)",
        ),
        (
            """
            class Broken(Sound):
                strategy: Literal["broken"]
                relative: ClassVar[bool] = "yes"
            """,
            "Broken.relative is 'yes' (relative: ClassVar[bool] = True, or False)",
        ),
        (
            """
            class Broken(Sound):
                strategy: Literal["broken"]
                def recommend(self): return None
            """,
            "Broken.recommend cannot be called with a rule input (def recommend(self, rule_input))",
        ),
        (
            """
            class Broken(Sound):
                strategy: Literal["broken"]
                async def recommend(self, rule_input): return None
            """,
            "Broken.recommend cannot be called with a rule input",
        ),
        (
            """
            class Broken(Sound):
                strategy: Literal["broken"]
                until: Moment
            """,
            "the fields of Broken cannot be read: PydanticUndefinedAnnotation: name 'Moment' is not defined",
        ),
        (
            """
            from collections.abc import Callable
            class Broken(Sound):
                strategy: Literal["broken"]
                how: Callable[[], int]
            """,
            "the fields of Broken cannot be described: PydanticInvalidForJsonSchema",
        ),
        (
            """
            class Replicas(Frozen):
                count: int
            class Broken(Sound):
                strategy: Literal["broken"]
                how: Replicas
            """,
            "Replicas is what a part of a policy file is called (give the class another name)",
        ),
    ],
)
def test_a_broken_strategy(site: Site, more: str, words: str) -> None:
    """It is an error that says which package, which entry point, what is wrong and what would be right."""
    site.install("autoscaler-broken", more=more, broken="Broken")
    start = (
        f'autoscaler-broken 1.0: the entry point "broken = autoscaler_broken_module:Broken" in {plugins.STRATEGIES}: '
    )
    found = problems()
    assert [problem for problem in found if not problem.startswith(start)] == []
    assert words in found[0]
    assert found[0].endswith(")")


@pytest.mark.parametrize("field", ["look_back", "adds_above", "recommend"])
def test_a_key_that_hides_what_the_autoscaler_asks_for(site: Site, field: str) -> None:
    """A field of that name would answer in the property's place."""
    more = f"""
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydantic's own warning that a field hides something

            class Broken(Sound):
                strategy: Literal["broken"]
                {field}: int = 3
        """
    site.install("autoscaler-broken", more=more, broken="Broken")
    assert f"{field} is a field of Broken" in "\n".join(problems())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("broken = 3", "3 makes no metric source (name a class or function to be called without arguments)"),
        ("def broken(url): return Source()", "makes no metric source"),
        ("class broken: pass", "broken has no method fetch (def fetch(self, query, start, end, step, deadline))"),
        ("raise OSError('no')", "cannot be imported: OSError: no"),
    ],
)
def test_a_broken_metric_source(site: Site, more: str, words: str) -> None:
    """It is told of at the start, as far as can be known then."""
    site.install("autoscaler-broken", more=more, sources="broken=broken")
    (problem,) = problems()
    assert problem.startswith("autoscaler-broken 1.0: the entry point")
    assert f"in {plugins.METRIC_SOURCES}: " in problem
    assert words in problem


def test_what_makes_a_source_may_be_anything_that_can_be_called(site: Site) -> None:
    """A function, or what C made."""
    site.install("autoscaler-some", more="def made(*, url=''): return Source()\nodd = dict", sources="made=made")
    assert list(plugins.metric_sources()) == ["made"]


@pytest.mark.parametrize("name", ["threshold", "target", "steps", "table"])
def test_the_names_of_our_own_strategies_are_taken(site: Site, name: str) -> None:
    """A policy must not mean something else because a package was installed."""
    site.install("autoscaler-sound", **{name: "Sound"})
    assert "the name is the autoscaler's own (choose another name)" in problems()[0]
    assert registered()["threshold"] is Threshold


def test_prometheus_is_no_plugins_name(site: Site) -> None:
    """It is the source of a metric that names none."""
    site.install("autoscaler-sound", sources="prometheus=Source")
    assert "the name is the autoscaler's own (choose another name)" in problems()[0]


def test_two_packages_with_one_name(site: Site) -> None:
    """Neither wins: the order of a directory must not decide what a policy means."""
    site.install("autoscaler-a", sound="Sound")
    site.install("autoscaler-b", sound="Sound")
    (problem,) = problems()
    assert problem.startswith("autoscaler-b 1.0: ")
    assert problem.endswith("the name is taken by autoscaler-a 1.0 (uninstall one of the two)")


@pytest.mark.parametrize("name", ["Sound", "so und", "-sound", "sound-", "s" * 64, "ß"])
def test_a_name_is_a_plain_word(site: Site, name: str) -> None:
    """It stands in policy files and messages."""
    site.install("autoscaler-sound", **{name: "Sound"})
    assert "a policy file cannot use this name" in problems()[0]


def test_all_problems_come_at_once_and_nothing_is_registered(site: Site) -> None:
    """A set of plugins is sound as a whole, or refused."""
    site.install("autoscaler-a", more="raise OSError('no')", wrong="Wrong")
    site.install("autoscaler-b", sound="Sound", broken="Sound", sources="odd=odd")
    assert len(problems()) == 3
    assert "sound" not in registered()
    plugins.load.cache_clear()
    assert len(problems()) == 3


def test_our_own_strategies_are_as_plugins_must_be() -> None:
    """What is asked of others holds for ours, but that `threshold` need not be named."""
    found = {name: list(plugins.problems_of_strategy(name, rule)) for name, rule in registered().items()}
    (unnamed,) = found.pop("threshold")
    assert "lacks the key by which a rule chooses it" in unnamed
    assert found == {"steps": [], "table": [], "target": []}


def test_a_rule_is_not_a_strategy() -> None:
    """The base class itself chooses nothing."""
    assert list(plugins.problems_of_strategy("rule", Rule))


# Commands


@pytest.mark.parametrize("command", [["check"], ["schema"], ["test", "file.yml"], ["run"], ["plan"]])
def test_a_broken_plugin_stops_every_command(site: Site, command: list[str]) -> None:
    """It is told in words, with exit code 1; nothing is decided without it."""
    site.install("autoscaler-broken", broken="Broken")
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert result.stderr.startswith("autoscaler-broken 1.0: the entry point")
    assert result.stdout == ""
