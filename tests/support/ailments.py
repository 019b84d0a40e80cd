"""Each check of the doctor with a way to break an installation for it, and its cure, taken as the finding says it.

`TABLE` has every code. A cure is given the finding, and takes from its words what there is to take: the setting, the
name, the number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from autoscaler.doctor.checks import Grade
from autoscaler.metrics.queries import SERVICE_LABEL, TASK_LABEL
from tests.support.engine_server import NO_LEADER, WORKER, Exchange
from tests.support.installation import MIB, QUEUE, FakeInstallation, limited
from tests.support.modelled_prometheus import CORES, START
from tests.support.prometheus_server import status

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoscaler.doctor.checks import CheckResult

    Break = Callable[[FakeInstallation], Any]
    Cure = Callable[[FakeInstallation, CheckResult], Any]

SECRET = "0123456789-a-canary-of-tests"  # noqa: S105 - nobody's


@dataclass(frozen=True)
class Ailment:
    """How an installation is broken for a check, what is then seen, and how the cure is taken."""

    code: str
    breaks: Break
    cures: Cure
    grade: Grade = Grade.FAILURE
    seen: str = ""
    """A part of what is quoted."""
    cure: str = ""
    """A part of the cure."""
    effects: frozenset[str] = frozenset()
    """The other checks that are not good because of it."""


# How cures are taken


def sets(it: FakeInstallation, result: CheckResult) -> None:
    """Set the settings that the cure writes out: ``set AUTOSCALER_X=VALUE``."""
    found = re.findall(r"(AUTOSCALER_\w+)=('[^']*'|\S+)", result.cure)
    assert found, result.cure
    it.env |= {name: value.strip("',") for name, value in found}


def renames(it: FakeInstallation, result: CheckResult) -> None:
    """Write the setting as the cure spells it."""
    wrong = result.seen[0].partition(":")[0]
    it.env[result.cure.removeprefix("write ")] = it.env.pop(wrong)


def writes(before: str, it: FakeInstallation, result: CheckResult) -> None:
    """Write what the cure says into the policy file, instead of *before*."""
    found = re.search(r"write ([^ ,)]+)", result.cure)
    assert found, result.cure
    it.edit(before, found[1])


def behaves(it: FakeInstallation, _: CheckResult) -> None:
    """Let both servers do again what they should: the cure is about the machines."""
    it.swarm.behave()
    it.prometheus.recover()


def edited(before: str, after: str) -> Break:
    """Break the policy file."""
    return lambda it: it.edit(before, after)


def edits(before: str, after: str) -> Cure:
    """Edit the policy file as the cure says."""
    return lambda it, _: it.edit(before, after)


def forbids(call: str) -> Break:
    """Refuse a call as a socket proxy does."""

    def refuse(exchange: Exchange) -> None:
        exchange.send(403, "Forbidden")

    return lambda it: it.swarm.misbehave(refuse, on=call)


def allows(it: FakeInstallation, result: CheckResult) -> None:
    """Let the proxy pass the call that the cure names."""
    assert re.search(r"let the socket proxy pass (GET|POST) /\S+: \w+=1.* -allow(GET|POST)", result.cure), result.cure
    it.swarm.behave()


def sets_env(**values: str) -> Break:
    """Set wrong settings."""
    return lambda it: it.env.update(values)


def _number(result: CheckResult, before: str) -> str:
    """Return the number or duration that the cure has after these words."""
    found = re.search(rf"{re.escape(before)}(\w+)", result.cure)
    assert found, result.cure
    return found[1]


def scales(it: FakeInstallation, result: CheckResult) -> None:
    """Deploy with the count of the cure."""
    it.change("web", replicas=int(_number(result, "replicas: ")))


# How installations break


def _says(**daemon: Any) -> Break:
    def breaks(it: FakeInstallation) -> None:
        assert it.daemon is not None
        it.daemon["daemon"] |= daemon

    return breaks


def _then_says(**daemon: Any) -> Cure:
    return lambda it, _: _says(**daemon)(it)


def _adds(name: str, **more: Any) -> Break:
    def breaks(it: FakeInstallation) -> None:
        spec = limited(name)
        spec.update(more)
        it.engine.create_service(spec)

    return breaks


def _autoscaler(it: FakeInstallation, name: str, mode: str) -> None:
    spec = limited(name, 1)
    spec["TaskTemplate"]["ContainerSpec"] |= {"Env": [f"AUTOSCALER_DRY_RUN={mode}"]}
    it.engine.create_service(spec)


def _two(it: FakeInstallation) -> None:
    _autoscaler(it, "first", "true")
    _autoscaler(it, "second", "false")


def _removes(it: FakeInstallation, result: CheckResult) -> None:
    found = re.search(r"docker (?:service|node) rm (\S+)", result.cure)
    assert found, result.cure
    it.engine.remove(found[1])


def _reserves(cores: int) -> dict[str, Any]:
    limits = {"NanoCPUs": 500_000_000, "MemoryBytes": 64 * MIB}
    return {"Limits": limits, "Reservations": {"NanoCPUs": cores * 10**9}} if cores else {"Limits": limits}


def _limits(cores: float, mib: int) -> dict[str, Any]:
    return {"Limits": {"NanoCPUs": round(cores * 1e9), "MemoryBytes": mib * MIB}}


def _secret(it: FakeInstallation, result: CheckResult) -> None:
    found = re.search(r"as the secret (\w+) in /run/secrets, and remove the variable (\w+)", result.cure)
    assert found, result.cure
    (it.secrets / found[1]).write_text(it.env.pop(found[2]))


def _logs_in(it: FakeInstallation, result: CheckResult) -> None:
    assert "set AUTOSCALER_PROMETHEUS_USERNAME" in result.cure
    it.env |= {"AUTOSCALER_PROMETHEUS_USERNAME": "scaler", "AUTOSCALER_PROMETHEUS_PASSWORD": SECRET}


def _relabels(label: str, to: str) -> Break:
    def breaks(it: FakeInstallation) -> None:
        for series in it.model.series:
            if label in series.labels:
                series.labels[to] = series.labels.pop(label)

    return breaks


def _remains(it: FakeInstallation, result: CheckResult) -> None:
    """Name the label that the series have, as the cure says."""
    assert re.search(r"set AUTOSCALER_(SERVICE|TASK)_LABEL", result.cure), result.cure
    sets(it, result)


def _just_created(it: FakeInstallation) -> None:
    it.wait(5)
    it.engine.remove("web")
    it.engine.create_service(limited("web"))
    it.wait(5)
    _again(it, 20)


def _warm_at_once(it: FakeInstallation, result: CheckResult) -> None:
    """Lower the warm-up, and wait until the windows are full."""
    assert "lower AUTOSCALER_WARMUP" in result.cure
    it.env["AUTOSCALER_WARMUP"] = "0s"
    _again(it)


def _seldom(it: FakeInstallation) -> None:
    it.model.every = 60


def _again(it: FakeInstallation, seconds: float = 3600) -> None:
    it.model.since = seconds


def _scraped_again(it: FakeInstallation, *_: object) -> None:
    it.model.forget(**{SERVICE_LABEL: "web"})
    for number in (1, 2, 3):
        it.model.task("web", f"web.{number}.x", instance=f"node{number}:8080")


def _nameless(it: FakeInstallation) -> None:
    it.model.task("other", "other.1.x")
    it.model.forget(**{SERVICE_LABEL: "web"})


def _adds_a_dead_target(it: FakeInstallation) -> None:
    it.model.target("cadvisor", "node9:8080")
    it.model.errors["node9:8080"] = "no route to host"


def _matches_a_global_service(it: FakeInstallation) -> None:
    _adds("web_agent", Mode={"Global": {}})(it)
    it.edit("[web]", '[web, "web_*"]')


_EDITED = frozenset({"D-REVISION"})
"""The daemon has not loaded the edited file."""

TABLE = (
    Ailment("D-SETTINGS", sets_env(AUTOSCALER_INTERVALL="15s"), renames, seen="AUTOSCALER_INTERVALL"),
    Ailment("D-SECRETS", sets_env(AUTOSCALER_HTTP_TOKEN=SECRET), _secret, Grade.HINT),
    Ailment("D-POLICIES", edited("above: 70, for: 1m", "above: 70, for: 60"), partial(writes, "60"), seen="no unit"),
    Ailment(
        "D-LINT",
        edited("policies:\n", '  spare: {query: "sum by (service) (spare)"}\npolicies:\n'),
        edits('  spare: {query: "sum by (service) (spare)"}\n', ""),
        Grade.WARNING,
        seen="spare",
        effects=_EDITED,
    ),
    Ailment(
        "D-NAMES",
        edited("[web]", "[wbe]"),
        partial(writes, "wbe"),
        seen="Swarm has no service of this name",
        effects=_EDITED,
    ),
    Ailment(
        "D-GLOBS",
        edited("[web]", '[web, "webb*"]'),
        edits('"webb*"', '"web*"'),
        Grade.WARNING,
        seen="webb*",
        effects=_EDITED,
    ),
    Ailment(
        "D-CONFLICTS",
        lambda it: it.change("web", labels={"autoscaler.policy": "shpo"}),
        lambda it, result: it.change("web", labels={"autoscaler.policy": result.cure.removeprefix("write ")}),
        seen="shpo",
    ),
    Ailment(
        "D-OWNERS",
        lambda it: it.change("web", labels={"sablier.enable": "true"}),
        lambda it, _: it.change("web", labels={}),
        Grade.WARNING,
        seen="Sablier",
        cure="remove that label",
    ),
    Ailment(
        "D-MODES",
        _matches_a_global_service,
        lambda it, result: it.edit(
            "    replicas:", f"    {result.cure[6:].partition(' in the policy')[0]}\n    replicas:"
        ),
        Grade.WARNING,
        seen="web_agent is global",
        effects=_EDITED,
    ),
    Ailment(
        "D-MINIMUM", lambda it: it.change("web", replicas=1), scales, Grade.WARNING, seen="asks for 1, and min is 2"
    ),
    Ailment(
        "D-LIMITS",
        lambda it: it.change("web", resources={}),
        lambda it, _: it.change("web", resources=_limits(0.5, 64)),
        Grade.WARNING,
        seen="no cpu limit",
        cure="docker service update --limit-",
    ),
    Ailment(
        "D-DOCKER",
        lambda it: it.env.update(AUTOSCALER_DOCKER_HOST=f"unix://{it.folder}/no.sock"),
        lambda it, _: it.env.update(AUTOSCALER_DOCKER_HOST=it.swarm.url),
        seen="no such socket",
        cure="set AUTOSCALER_DOCKER_HOST to where it is",
    ),
    Ailment(
        "D-API",
        lambda it: it.swarm.change(api_version="1.39"),
        lambda it, _: it.swarm.change(api_version="1.41"),
        seen="API 1.39",
        cure="upgrade the engine",
    ),
    Ailment(
        "D-MANAGER",
        lambda it: it.swarm.misbehave(WORKER, on="GET /services"),
        behaves,
        seen="this node is a worker",
        cure="run the autoscaler on a manager",
    ),
    Ailment(
        "D-LEADER",
        lambda it: it.swarm.misbehave(NO_LEADER, on="GET /services"),
        behaves,
        seen="no leader",
        cure="bring managers back",
    ),
    Ailment("D-READ", forbids("GET /nodes"), allows, seen="GET /nodes is refused: HTTP 403 Forbidden", cure="NODES=1"),
    Ailment("D-WRITE", forbids("POST /services"), allows, seen="POST /services/ID/update", cure="SERVICES=1 POST=1"),
    Ailment("D-LEASE", forbids("GET /configs/autoscaler-lease"), allows, cure="CONFIGS=1"),
    Ailment("D-PAUSES", forbids("GET /configs/autoscaler-pauses"), allows, cure="CONFIGS=1"),
    Ailment(
        "D-CLOCK",
        lambda it: it.swarm.change(ahead=90),
        lambda it, _: it.swarm.change(ahead=0),
        Grade.WARNING,
        seen="ahead of ours",
        cure="NTP",
    ),
    Ailment(
        "D-QUORUM",
        lambda it: it.managers(2),
        lambda it, _: it.managers(1),
        Grade.WARNING,
        seen="2 managers",
        cure="demote one",
    ),
    Ailment(
        "D-NODES",
        lambda it: it.engine.stop_node("node-3"),
        lambda it, _: it.engine.start_node("node-3"),
        Grade.WARNING,
        seen="node node-3 is down",
        cure="start it again",
    ),
    Ailment(
        "D-ROOM",
        lambda it: it.change("web", resources=_reserves(8)),
        lambda it, result: it.edit("max: 6", f"max: {_number(result, 'lower max to ')}"),
        Grade.WARNING,
        seen="3 of 6 replicas find room",
    ),
    Ailment(
        "D-OVERCOMMIT",
        lambda it: it.change("web", resources=_limits(0.5, 10 * 1024)),
        edits("max: 6", "max: 4"),
        Grade.HINT,
        seen="of the memory of all nodes",
        cure="lower max",
    ),
    Ailment(
        "D-FORGOTTEN",
        lambda it: it.pause('{"both": {"since": 1700000000, "by": "ana@manager-1", "reason": "db moves"}}'),
        lambda it, result: it.resume(result.cure.removeprefix("autoscaler resume ")),
        Grade.WARNING,
        seen="ana@manager-1",
    ),
    Ailment("D-ALONE", _two, _removes, seen="dry-run"),
    Ailment(
        "D-PROMETHEUS",
        lambda it: it.env.update(AUTOSCALER_PROMETHEUS_URL="http://127.0.0.1:9"),
        lambda it, _: it.env.update(AUTOSCALER_PROMETHEUS_URL=it.prometheus.url),
        seen="cannot be reached: connection refused",
        cure="AUTOSCALER_PROMETHEUS_URL",
    ),
    Ailment(
        "D-LOGIN",
        lambda it: it.prometheus.require("Basic c2NhbGVyOjAxMjM0NTY3ODktYS1jYW5hcnktb2YtdGVzdHM="),
        _logs_in,
        seen="HTTP 401",
    ),
    Ailment(
        "D-QUERIES",
        lambda it: it.prometheus.fail(status(200, "<html>It works!</html>")),
        behaves,
        seen="a web page",
        cure="AUTOSCALER_PROMETHEUS_URL",
    ),
    Ailment(
        "D-PROMVERSION",
        lambda it: setattr(it.model, "version", "2.19.0"),
        lambda it, _: setattr(it.model, "version", "2.42.0"),
        Grade.WARNING,
        seen="Prometheus 2.19.0",
        cure="upgrade",
    ),
    Ailment(
        "D-PROMCLOCK",
        lambda it: it.prometheus_ahead(60),
        lambda it, _: it.prometheus_ahead(None),
        Grade.WARNING,
        seen="ahead of ours",
        cure="NTP",
        effects=frozenset({"D-WINDOW"}),
    ),
    Ailment("D-SCRAPE", lambda it: setattr(it.model, "every", 25), sets, Grade.WARNING, seen="every 25s"),
    Ailment(
        "D-RETENTION",
        lambda it: setattr(it.model, "retention", "30s"),
        lambda it, result: setattr(it.model, "retention", _number(result, "retention.time=")),
        seen="keeps samples for 30s",
    ),
    Ailment(
        "D-TARGETS",
        _adds_a_dead_target,
        lambda it, _: it.model.forget(instance="node9:8080"),
        Grade.WARNING,
        seen="node9:8080 is down: no route to host",
        cure="take the target out",
    ),
    Ailment(
        "D-TWICE",
        lambda it: it.model.task("web", "web.1.x", job="nodes", instance="node1:8080"),
        sets,
        Grade.HINT,
        seen="1 task is scraped by the jobs cadvisor and nodes",
    ),
    Ailment(
        "D-STARTS",
        lambda it: it.drop_series(START),
        lambda it, _: it.keep_series(START),
        Grade.WARNING,
        seen="no container_start_time_seconds",
        cure="keep container_start_time_seconds",
    ),
    Ailment(
        "D-STARVATION",
        lambda it: it.drop_series(CORES),
        lambda it, _: it.keep_series(CORES),
        Grade.HINT,
        seen="CPU to spare",
        cure="machine_cpu_cores",
    ),
    Ailment(
        "D-SOURCE",
        lambda it: it.refuse_queries("rabbitmq_queue_messages"),
        lambda it, _: it.refuse_queries(None),
        seen="its query has no answer",
    ),
    Ailment(
        "D-QUERY",
        lambda it: it.model.custom.clear(),
        lambda it, _: it.model.custom.update({QUEUE: {"web": 10.0}}),
        seen="gives no series",
        cure="run the query in Prometheus",
    ),
    Ailment(
        "D-METRIC",
        lambda it: it.model.series.clear(),
        _scraped_again,
        seen="Prometheus has no series of container_",
        cure="run cAdvisor on every node",
    ),
    Ailment(
        "D-SELECTOR",
        sets_env(AUTOSCALER_METRIC_SELECTOR='job="cadvisr"'),
        lambda it, result: it.env.update(AUTOSCALER_METRIC_SELECTOR=result.cure.partition("the series have ")[2]),
        seen='has job="cadvisr"',
    ),
    Ailment("D-SERVICE-LABEL", _relabels(SERVICE_LABEL, f"{SERVICE_LABEL}s"), _remains, seen=SERVICE_LABEL),
    Ailment("D-TASK-LABEL", _relabels(TASK_LABEL, f"{TASK_LABEL}s"), _remains, seen=TASK_LABEL),
    Ailment(
        "D-WARMUP",
        _just_created,
        _warm_at_once,
        Grade.HINT,
        seen="started",
        cure="wait",
        effects=frozenset({"D-WINDOW"}),
    ),
    Ailment(
        "D-SERIES",
        _nameless,
        _scraped_again,
        seen="no series names it",
        cure="cAdvisor runs on",
    ),
    Ailment(
        "D-TIMESTAMPS",
        lambda it: setattr(it.model, "late", 20),
        lambda it, _: setattr(it.model, "late", 0),
        seen="cAdvisor dates the samples, up to 20s apart from their scrape",
        cure="honor_timestamps: false",
    ),
    Ailment("D-SAMPLES", _seldom, sets, seen="every 1m", effects=frozenset({"D-SCRAPE"})),
    Ailment(
        "D-TASKS",
        lambda it: it.model.forget(instance="node3:8080"),
        _scraped_again,
        seen="only 2 of 3 tasks have samples",
        cure="cAdvisor runs on",
    ),
    Ailment(
        "D-WINDOW",
        lambda it: _again(it, 30),
        lambda it, _: _again(it),
        Grade.HINT,
        seen="its window fills",
        cure="wait",
    ),
    Ailment(
        "D-DAEMON",
        lambda it: it.give_url(),
        lambda it, _: it.start_daemon(),
        seen="nothing answers",
        cure="Give its address with `--url`",
    ),
    Ailment(
        "D-MODE",
        _says(mode="dry_run", role=None),
        _then_says(mode="live", role="leader"),
        Grade.HINT,
        seen="writes nothing",
        cure="AUTOSCALER_DRY_RUN=false",
    ),
    Ailment(
        "D-LEADS",
        _says(leader=None, role="standby"),
        _then_says(leader="manager-1", role="standby"),
        seen="knows no leader",
        cure="updating configs",
    ),
    Ailment("D-VERSION", _says(version="0.0.1"), lambda it, _: it.start_daemon(), Grade.HINT, seen="0.0.1"),
    Ailment(
        "D-REVISION",
        edited("max: 6", "max: 7"),
        lambda it, _: it.start_daemon(),
        Grade.WARNING,
        seen="in force, and the files here are",
        cure="deploy these files",
    ),
    Ailment(
        "D-RELOAD",
        lambda it: it.daemon.update(policy_problems=["policies.yml:3: no policies (write policies: [])"]),  # type: ignore[union-attr]
        lambda it, _: it.start_daemon(),
        seen="policies.yml:3",
        cure="write policies",
    ),
    Ailment(
        "D-EVALUATION",
        _says(last_evaluation=1_700_000_000.0),
        lambda it, _: it.start_daemon(),
        seen="one is due every 15s",
        cure="docker service update --force",
    ),
    Ailment(
        "D-PROBLEMS",
        lambda it: it.daemon.update(problems=[{"kind": "no_data", "sentence": "no data of web (see web)"}]),  # type: ignore[union-attr]
        lambda it, _: it.start_daemon(),
        seen="no data of web",
    ),
)
