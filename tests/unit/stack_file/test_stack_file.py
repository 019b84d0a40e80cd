"""`autoscaler stack-file`: a stack file with the live counts of scaled services, so that a deploy makes no dip."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.errors import ConfigurationError
from autoscaler.stack_file import STACK_LABEL, live_counts, override, with_counts
from autoscaler.swarm.cluster import STATE_LABEL, Cluster
from autoscaler.swarm.scale_state import ScaleState
from tests.support.builders import NOW, FakeService
from tests.support.stack_files import TAKEN, in_order, own_first

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


def services(text: str) -> dict[str, Any]:
    """The services of a file, by libyaml, which takes tabs as Docker does."""
    found: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)["services"]
    return found


def test_the_count_and_nothing_else() -> None:
    """Comments, quotes, variables and what YAML 1.1 would misread stay as they are."""
    assert filled(WEB, web=5) == WEB.replace("${REPLICAS:-2}", "5")


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


MANY = ", ".join(f"k{i}: 1" for i in range(100))
CHAIN = "a0: &a0 {k: 1}\n" + "".join(f"a{i}: &a{i} {{<<: *a{i - 1}}}\n" for i in range(1, 1000))


def test_a_service_that_was_deployed_since_it_was_scaled_counts() -> None:
    """A deploy drops the autoscaler's label; the version before it still has the label."""
    service = FakeService(3, label=ScaleState(3).encode())
    service.deployed(NOW, 3)
    deployed = replace(service.view(), name="shop_web", labels={STACK_LABEL: "shop"})
    assert live_counts(Cluster({"shop_web": deployed}), "shop") == {"web": 3}


BOMB = "x0: &a0 [x]\n" + "".join(f"x{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12))


def test_aliases_that_double_cost_no_more_than_they_are_written() -> None:
    """A part that means itself a billion times is not compared with itself."""
    text = f"{BOMB}services:\n  web: {{deploy: {{replicas: 1, labels: *a11}}}}\n  api: {{deploy: {{labels: *a11}}}}\n"
    filled, differing = with_counts(text, {"web": 3}, "stack.yml")
    assert differing == {"web": (1, 3)}
    assert "replicas: 3, labels: *a11" in filled
    assert len(filled) < 2 * len(text)


DOUBLING = (
    "services:\n  web: {deploy: &a0 {labels: {a: b}}}\n"
    f"  x: {{x: [{', '.join(f'&a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}' for i in range(1, 40))}]}}\n"
    "  worker: {deploy: {<<: *a39}}\n"
)


def test_merge_keys_that_double_are_not_written_out_for_ever() -> None:
    """A count would have to be taken out of a billion places: that is an error."""
    with pytest.raises(ConfigurationError, match=r"^stack.yml: the count of the service \w+ cannot be filled in"):
        with_counts(DOUBLING, {"web": 3}, "stack.yml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: " + "[" * 500_000, "line 1: is nested more than 100 deep"),
        ("services: {web: {deploy: {replicas: " + "9" * 5000 + "}}}", "the service web: replicas is not a number"),
        ("services: {web: {deploy: {replicas: 2026-99-99}}}", "the service web: replicas is not a number"),
        ("services: {web: {deploy: 3}}", "the service web: deploy is not a mapping"),
        ("services: {web: [a]}", "the service web is not a mapping"),
        ("services: {web: {deploy: [a]}}", "the service web: deploy is not a mapping"),
        ("services: {web: {<<: [a]}}", "line 1: the merge key << has a value that is not a mapping"),
        ("services: {web: {? [a] : b}}", "line 1: the key is not a text"),
        ("services: {web: &w {x: *w}}", r"line 1, column 24: what the alias \*w refers to contains the alias"),
        ("services: {web: *w}", r"line 1, column 17: what the alias \*w refers to does not exist"),
        ("services:\n\tweb: x", "line 2, column 1: is not valid YAML: found character that cannot start any token"),
        (f"a: &a {{{MANY}}}\nservices: {{web: {{<<: [{'*a,' * 5000}]}}}}", "merge keys bring more than 300000 entries"),
        (CHAIN + "services: {web: *a999}", "line 101: is nested more than 100 deep"),
        ("#" + "x" * 2**20, "is larger than 1048576 bytes"),
    ],
)
def test_an_odd_stack_file_is_refused_in_words(text: str, said: str) -> None:
    """Nothing in the file ends the command with a traceback, or keeps it busy."""
    with pytest.raises(ConfigurationError, match=f"^stack.yml: {said}"):
        with_counts(text, {"web": 3}, "stack.yml")


# Services that inherit from services

WORKER = """\
version: "3.8"
services:
  web: &web
    image: local/bb:1
    command: sleep 100000
    deploy: {replicas: 1}
  worker:
    <<: *web
    command: sleep 99999
"""


def test_a_service_that_inherits_deploy_gets_one_of_its_own() -> None:
    """The service that `worker` inherits from keeps its count."""
    assert filled(WORKER, worker=3) == WORKER + "    deploy: {replicas: 3}\n"


def test_a_service_keeps_its_count_when_the_one_it_inherits_from_changes() -> None:
    """`worker` stays at 1."""
    assert filled(WORKER, web=5) == WORKER.replace("replicas: 1", "replicas: 5") + "    deploy: {replicas: 1}\n"


INHERITING = {
    "merge before": "worker: {<<: *web, image: w}",
    "merge behind": "worker: {image: w, <<: *web}",
    "list of merges": "worker: {<<: [*web, *base], image: w}",
    "another first in the list": "worker: {<<: [*base, *web], image: w}",
    "a base behind in the list": "worker: {<<: [*web, *base], image: w, labels: {a: b}}",
    "a base with more behind": "worker: {<<: [*web, *more], image: w}",
    "alias": "worker: *web",
    "deploy behind the merge": "worker: {<<: *web, deploy: {replicas: 7, labels: {a: b}}}",
    "deploy that merges": "worker: {<<: *web, deploy: {<<: *deploy, labels: {a: b}}}",
    "deploy that is shared": "worker: {image: w, deploy: *deploy}",
    "a number that is shared": "worker: {image: w, environment: {N: *number}, deploy: {replicas: *number}}",
    "chain": "between: &between {<<: *web}\n  worker: {<<: *between}",
    "chain of aliases": "between: &between\n    <<: *web\n  other: *between\n  worker: *between",
}
OWNERS = {
    "a count": "deploy: {replicas: &number 1}",
    "no count": "deploy: {labels: {n: &number 1}}",
    "a variable": "deploy: {replicas: '${N:-2}', labels: {n: &number 1}}",
    "no deploy": "labels: {n: &number 1}",
    "a deploy with an anchor": "deploy: &own {replicas: &number 1, labels: {a: b}}",
    "a block": "deploy:\n      # why\n      replicas: &number 2 # by hand\n      labels:\n        a: b",
    "an inherited deploy": "deploy: {<<: *deploy, labels: {n: &number 1}}",
}


@pytest.mark.parametrize("owner", OWNERS.values(), ids=OWNERS)
@pytest.mark.parametrize("heir", INHERITING.values(), ids=INHERITING)
@pytest.mark.parametrize("counts", [{"worker": 3}, {"web": 5}, {"web": 5, "worker": 3}, {"web": 0, "between": 2}])
def test_every_way_to_inherit(owner: str, heir: str, counts: dict[str, int]) -> None:
    """Each service has its own live count, or the count it had; nothing else has another meaning."""
    text = (
        "x-deploy: &deploy {replicas: 4, update_config: {order: start-first}}\n"
        "x-base: &base {image: b, deploy: {replicas: 6}}\n"
        "x-more: &more {image: m, deploy: {endpoint_mode: vip, replicas: 1}}\n"
        f"services:\n  web: &web\n    image: app\n    {owner}\n  {heir}\n"
    )
    expected = meaning(text)
    for name, count in counts.items():
        if name in expected:
            expected[name]["deploy"] = (expected[name].get("deploy") or {}) | {"replicas": count}

    got = meaning(filled(text, **counts))

    for service in got.values():
        if service.get("deploy") == {}:
            del service["deploy"]  # means the same as none
    assert got == expected


LATER_WINS = "services:\n  web: &web {image: a, deploy: {replicas: 1}}\n  w:\n    deploy: {replicas: 5}\n    <<: *web\n"


@pytest.mark.parametrize(("counts", "now"), [({"w": 8}, (8, 8)), ({"web": 8}, (5, 1))])
def test_a_merge_key_behind_an_own_key(counts: dict[str, int], now: tuple[int, int]) -> None:
    """To Docker 28 the own `deploy` counts, to Docker 20.10 the later one: the count is right for both."""
    text = filled(LATER_WINS, **counts)

    assert (own_first(text)["services"]["w"]["deploy"], in_order(text)["services"]["w"]["deploy"]) == tuple(
        {"replicas": count} for count in now
    )


def test_a_number_that_others_use_too() -> None:
    """The anchor goes on to its next use."""
    text = "services:\n  a: {deploy: {replicas: &n 2}}\n  b: {environment: {N: *n}}\n  c: {deploy: {replicas: *n}}\n"
    assert filled(text, a=7) == text.replace("&n 2", "7").replace("N: *n", "N: &n 2")


# Files that Docker takes


@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN)
def test_files_that_docker_takes(text: str) -> None:
    """Each has the new count; not another character differs."""
    number = "!!int 1" if "!!int" in text else "1"
    before, _, behind = text.partition("replicas")
    assert filled(text, web=7) == f"{before}replicas{behind.replace(number, '7', 1)}"
    assert filled(text, web=1) == text


WITHOUT = {
    "nothing": ("services: {web: {}}", "services: {web: {deploy: {replicas: 7}}}"),
    "a null": ("services:\n  web:\n    deploy:  # c\n", "services:\n  web:\n    deploy: {replicas: 7}  # c\n"),
    "no count": ("services: {web: {deploy: {}}}", "services: {web: {deploy: {replicas: 7}}}"),
    "an empty count": ("services: {web: {deploy: {replicas: }}}", "services: {web: {deploy: {replicas:  7}}}"),
    "no end of line": ("services:\n  web:\n    image: a", "services:\n  web:\n    image: a\n    deploy: {replicas: 7}"),
    "a comment at the end": (
        "services:\n  web:\n    image: a  # c\n    # more\n",
        "services:\n  web:\n    image: a  # c\n    deploy: {replicas: 7}\n    # more\n",
    ),
    "Windows": (
        "services:\r\n  web:\r\n    image: a # c\r\n",
        "services:\r\n  web:\r\n    image: a # c\r\n    deploy: {replicas: 7}\r\n",
    ),
    "JSON": (
        '{"services": {"web": {"image": "a"}}}',
        '{"services": {"web": {"image": "a", "deploy": {replicas: 7}}}}',
    ),
    "a block at the end": (
        "services:\n  web:\n    command: |\n      a\n\n  db: {image: b}\n",
        "services:\n  web:\n    command: |\n      a\n\n    deploy: {replicas: 7}\n  db: {image: b}\n",
    ),
    "a flow over lines": (
        "services: {\n  web: {\n    image: a,  # c\n  }\n}\n",
        "services: {\n  web: {\n    image: a, deploy: {replicas: 7},  # c\n  }\n}\n",
    ),
}


@pytest.mark.parametrize(("text", "result"), WITHOUT.values(), ids=WITHOUT)
def test_files_without_the_count(text: str, result: str) -> None:
    """The count comes in behind what is there."""
    assert filled(text, web=7) == result
    assert services(result)["web"]["deploy"] == {"replicas": 7}


@pytest.mark.parametrize(
    ("written", "count"),
    [
        ("010", 8),
        ("0x10", 16),
        ("0b11", 3),
        ("1_0", 10),
        ("+3", 3),
        ("0o10", 8),
        ("0", 0),
        ("${N}", None),
        ("3.0", None),
    ],
)
def test_numbers_as_docker_reads_them(written: str, count: int | None) -> None:
    """A count in another spelling is no difference; what is only known when Docker reads it is replaced."""
    text = f"services:\n  web:\n    deploy:\n      replicas: {written}\n"
    assert filled(text, web=3 if count is None else count) == (text.replace(written, "3") if count is None else text)


def test_a_global_service_gets_no_count() -> None:
    """Docker refuses a count for it."""
    text = "services: {web: {deploy: {mode: global}}}"
    assert with_counts(text, {"web": 3}, "stack.yml") == (text, {})


UNSHARABLE = "services:\n  web: &web\n    deploy: &d\n      labels: {a: b}\n    labels: *d\n  other: {labels: *d}\n"


def test_what_cannot_be_filled_in_is_an_error() -> None:
    """Here the labels of a service would get the count: the error names the service and the way out."""
    with pytest.raises(ConfigurationError, match=r"^stack.yml: the count of the service web cannot .*--override\)$"):
        filled(UNSHARABLE, web=3)


# Several files


def test_several_files_get_a_last_one() -> None:
    """It has the version of the first and the counts that the files together do not say already."""
    one = 'version: "3.8"\nservices: {web: {deploy: {replicas: 2}}, db: {image: d}, on: {deploy: {replicas: 4}}}\n'
    two = (
        'version: "3.8"\nservices: {web: {image: w}, more: {deploy: {replicas: 3}}, agent: {deploy: {mode: global}}}\n'
    )

    text, differing = override([("a.yml", one), ("b.yml", two)], {"web": 5, "more": 3, "gone": 2, "on": 0, "agent": 2})

    assert yaml.safe_load(text) == {
        "version": "3.8",
        "services": {"web": {"deploy": {"replicas": 5}}, "on": {"deploy": {"replicas": 0}}},
    }
    assert differing == {"web": (2, 5), "on": (4, 0)}


def test_several_files_that_say_all_counts() -> None:
    """The last one is still a file that Docker takes."""
    text, differing = override([("a.yml", "services: {web: {}}"), ("b.yml", "services: {web: {}}")], {"web": 1})
    assert (text, differing) == ("services: {}\n", {})


def test_the_wrong_one_of_several_files_is_named() -> None:
    """The error says which file it is about."""
    with pytest.raises(ConfigurationError, match=r"^b.yml: has no services"):
        override([("a.yml", "services: {web: {}}"), ("b.yml", "a: b")], {"web": 3})
