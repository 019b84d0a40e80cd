from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoscaler.metrics import queries
from autoscaler.policy.metric import BUILT_IN
from tests.support.stack import ALLOWLIST, SERVICES, STACK, branches

PROMETHEUS = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "prometheus.yml").read_text())
ID = "k2jx8f6o4q1w5e7r9t3y0u2i4"
GOOD = [
    ("GET", "/version"),
    ("GET", "/v1.41/services"),
    ("GET", "/v1.51/services?status=true"),
    ("GET", f"/v1.41/services/{ID}"),
    ("GET", '/v1.41/tasks?filters={"desired-state":["running"]}'),
    ("GET", "/v1.41/nodes"),
    ("GET", "/v1.41/configs/autoscaler-lease"),
    ("GET", "/v1.41/configs/autoscaler-pauses"),
    ("POST", f"/v1.41/services/{ID}/update?version=7"),
    ("POST", "/v1.41/configs/create"),
    ("POST", "/v1.41/configs/autoscaler-lease/update?version=7"),
    ("POST", "/v1.41/configs/autoscaler-pauses/update?version=7"),
]
ELSEWHERE = [
    ("GET", "/"),
    ("GET", "/info"),
    ("GET", "/v1.41/info"),
    ("GET", "/v1.41/containers/json"),
    ("GET", "/v1.41/containers/abc/archive?path=/etc"),
    ("GET", "/v1.41/images/json"),
    ("GET", "/v1.41/volumes"),
    ("GET", "/v1.41/plugins"),
    ("GET", "/v1.41/networks"),
    ("GET", "/v1.41/events"),
    ("GET", "/v1.41/system/df"),
    ("GET", "/v1.41/secrets"),
    ("GET", "/v1.41/secrets/abc"),
    ("GET", "/v1.41/swarm"),
    ("GET", "/v1.41/swarm/unlockkey"),
    ("GET", "/v1.41/configs"),
    ("GET", "/v1.41/configs/"),
    ("GET", "/v1.41/configs/autoscaler_policies_1"),
    ("GET", f"/v1.41/configs/{ID}"),
    ("GET", "/v1.41/nodes/abc"),
    ("GET", "/v1.41/tasks/abc"),
    ("GET", "/v1.41/tasks/abc/logs"),
    ("GET", f"/v1.41/services/{ID}/logs?stdout=true"),
    ("POST", "/v1.41/services/create"),
    ("POST", f"/v1.41/services/{ID}"),
    ("POST", "/v1.41/services/create/update/update"),
    ("POST", "/v1.41/containers/create"),
    ("POST", "/v1.41/containers/abc/exec"),
    ("POST", "/v1.41/containers/abc/start"),
    ("POST", "/v1.41/exec/abc/start"),
    ("POST", "/v1.41/build"),
    ("POST", "/v1.41/images/create?fromImage=evil"),
    ("POST", "/v1.41/volumes/create"),
    ("POST", "/v1.41/networks/create"),
    ("POST", "/v1.41/plugins/pull"),
    ("POST", "/v1.41/secrets/create"),
    ("POST", "/v1.41/secrets/abc/update"),
    ("POST", f"/v1.41/configs/{ID}/update"),
    ("POST", "/v1.41/configs/autoscaler_policies_1/update"),
    ("POST", "/v1.41/swarm/update?rotateWorkerToken=true"),
    ("POST", "/v1.41/swarm/leave"),
    ("POST", "/v1.41/swarm/init"),
    ("POST", "/v1.41/nodes/abc/update"),
    ("POST", "/v1.41/tasks"),
    ("POST", "/version"),
    ("POST", "/v1.41/session"),
    ("POST", "/grpc"),
]
TRICKS = [
    ("GET", "//version"),
    ("GET", "/version/"),
    ("GET", "/VERSION"),
    ("GET", "/version%0a"),
    ("GET", "/version%00"),
    ("GET", "/v1.41//services"),
    ("GET", "/v1.41/./services"),
    ("GET", "/v1.41/../containers/json"),
    ("GET", "/v1.41/services/../secrets"),
    ("GET", "/v1.41/services/%2e%2e/secrets"),
    ("GET", "/v1.41/services/..%2fsecrets"),
    ("GET", "/v1.41/services%2f..%2fsecrets"),
    ("GET", "/v1.41/services%3f/../secrets"),
    ("GET", "/v1.41/Services"),
    ("GET", "/v1.41/services/ABC"),
    ("GET", "/v1.41/services/abc%0a"),
    ("GET", "/v1.41/services;/secrets"),
    ("GET", "/v1.41/secrets?/v1.41/services"),
    ("GET", "/v1.41/secrets#/v1.41/services"),
    ("GET", "/v1.41/secrets%23/v1.41/services"),
    ("GET", "/v1x41/services"),
    ("GET", "/v1./services"),
    ("GET", "/v2.0/services"),
    ("GET", "/v1.41/v1.41/services"),
    ("GET", "/x/version"),
    ("GET", "/version/v1.41/services"),
    ("GET", "/v1.%d9%a4/services"),
    ("GET", "/v1.41/configs/autoscaler-lease/update"),
    ("GET", "/v1.41/configs/autoscaler-leases"),
    ("GET", "/v1.41/configs/autoscaler-lease%2f..%2fabc"),
    ("GET", "/v1.41/services/%zz"),
    ("GET", "http://engine/v1.41/containers/json"),
    ("POST", "/v1.41/services/abc/update/"),
    ("POST", "/v1.41/services/abc/update%0a"),
    ("POST", "/v1.41/services/../containers/create"),
    ("POST", "/v1.41/services/abc/../../containers/create"),
    ("POST", "/v1.41/services/update"),
    ("POST", "/v1.41/services//update"),
    ("POST", "/v1.41/configs/create/"),
    ("POST", "/v1.41/configs/create/update"),
    ("POST", "/services/abc/update"),
    ("get", "/version"),
    ("GET ", "/version"),
]
OTHER_METHODS = [
    (method, target)
    for method in ("DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE")
    for target in ("/version", f"/v1.41/services/{ID}", "/v1.41/configs/autoscaler-lease", "/v1.41/secrets/abc")
]


@pytest.mark.parametrize(("method", "target"), GOOD)
def test_the_socket_proxy_lets_the_autoscalers_calls_through(method: str, target: str) -> None:
    """What the autoscaler asks of Docker passes, whatever the query."""
    assert ALLOWLIST.refusal(method, target) == 0


@pytest.mark.parametrize(("method", "target"), [*ELSEWHERE, *TRICKS, *OTHER_METHODS])
@pytest.mark.fault("socket-proxy")
def test_the_socket_proxy_refuses_everything_else(method: str, target: str) -> None:
    """No container, image, volume, plugin, secret, token or other config can be had, and no path talks its way in."""
    assert ALLOWLIST.refusal(method, target) in {400, 403, 405}


def test_every_expression_is_one_group() -> None:
    """The proxy puts its anchors before the first and behind the last choice only: a bare | would lose them."""
    for expression in ALLOWLIST.expressions.values():
        assert "|" not in "".join(_outside_groups(expression))


def _outside_groups(expression: str) -> list[str]:
    depth, outside = 0, []
    for character in expression:
        depth += (character == "(") - (character == ")")
        outside.append(character if depth == 0 else "")
    return outside


def test_the_ways_through_an_expression() -> None:
    """The branches that other tests look at are all that an expression allows."""
    assert list(branches("/(a|v(/b|/c)?)")) == ["/a", "/v/b", "/a", "/v/c", "/a", "/v"]


def test_only_the_autoscaler_reaches_the_proxy() -> None:
    """The proxy's network is internal, is joined by the autoscaler and the proxy alone, and no port is published."""
    members = {name for name, service in SERVICES.items() if "docker-api" in service["networks"]}
    assert members == {"autoscaler", "socket-proxy"}
    assert SERVICES["socket-proxy"]["networks"] == ["docker-api"]
    assert STACK["networks"]["docker-api"] == {"driver": "overlay", "internal": True}
    assert "ports" not in SERVICES["socket-proxy"]


def test_no_port_is_published() -> None:
    """Neither the API nor Prometheus nor cAdvisor is reachable from outside unless an operator publishes it."""
    assert [name for name, service in SERVICES.items() if service.get("ports")] == []


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined(name: str) -> None:
    """Each service has a read-only root, no capability and limits; of the four cAdvisor alone is root and has binds."""
    service: dict[str, Any] = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert not service.keys() & {"privileged", "cap_add", "devices", "pid", "network_mode", "userns_mode"}
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}


def test_the_engines_socket_is_mounted_where_it_has_to_be() -> None:
    """The proxy and cAdvisor reach the engine; the autoscaler and Prometheus mount nothing of the host."""
    binds = {
        name: [volume["source"] for volume in service.get("volumes", []) if isinstance(volume, dict)]
        for name, service in SERVICES.items()
    }
    assert binds.pop("cadvisor") == ["/", "/var/run", "/sys", "/var/lib/docker"]
    assert binds == {"autoscaler": [], "socket-proxy": ["/var/run/docker.sock"], "prometheus": []}


def test_the_proxy_is_not_root() -> None:
    """The proxy has the socket's group and nothing else; without the group's number the stack is not deployed."""
    user, _, group = SERVICES["socket-proxy"]["user"].partition(":")
    assert user == "65534"
    assert group.startswith("${DOCKER_GID:?")


NODE = {"id": "/", queries.SERVICE_LABEL: ""}
TASK = {"id": "/docker/4f6a", queries.SERVICE_LABEL: "web"}
OTHER = {"id": "/docker/77aa", queries.SERVICE_LABEL: ""}


@pytest.mark.parametrize(
    ("name", "labels", "kept"),
    [
        ("container_cpu_usage_seconds_total", NODE, True),
        ("container_cpu_usage_seconds_total", TASK, True),
        ("container_cpu_usage_seconds_total", OTHER, False),
        ("machine_cpu_cores", {}, True),
        ("machine_memory_bytes", {}, False),
        ("container_memory_working_set_bytes", TASK, True),
        ("container_memory_working_set_bytes", NODE, False),
        ("container_start_time_seconds", TASK, True),
        ("container_pressure_cpu_stalled_seconds_total", TASK, True),
        ("container_pressure_cpu_waiting_seconds_total", TASK, True),
        ("container_pressure_cpu_waiting_seconds_total", NODE, False),
        ("container_cpu_cfs_throttled_periods_total", TASK, True),
        ("container_network_receive_bytes_total", TASK, False),
    ],
)
def test_what_prometheus_keeps(name: str, labels: dict[str, str], *, kept: bool) -> None:
    """The stack's Prometheus keeps what the built-in queries read, of tasks and of nodes, and nothing else."""
    (job,) = (job for job in PROMETHEUS["scrape_configs"] if job["job_name"] == "cadvisor")
    labels = {"__name__": name, **labels}
    rules = job["metric_relabel_configs"]
    assert {rule["action"] for rule in rules} == {"keep"}
    values = [";".join(labels.get(label, "") for label in rule["source_labels"]) for rule in rules]
    assert all(re.fullmatch(rule["regex"], value) for rule, value in zip(rules, values, strict=True)) is kept


def test_what_the_queries_read_is_kept() -> None:
    """Every series that a built-in query names is one that the stack's Prometheus keeps."""
    settings = queries.MetricSettings(15, 60, 75)
    asked = [
        queries.starvation_query(settings),
        *(queries.query_of(name, BUILT_IN[name], settings) for name in BUILT_IN),
    ]
    named = {name for query in asked for name in re.findall(r"((?:container|machine)_\w+)[{]", query.expression)}
    (rule,) = PROMETHEUS["scrape_configs"][0]["metric_relabel_configs"]
    assert len(named) == 7
    assert {name for name in named if not re.search(rf"\b{name}\b", _unfolded(rule["regex"]))} == set()


def _unfolded(regex: str) -> str:
    """The expression with each name written out."""
    return regex.replace(
        "container_pressure_cpu_(stalled|waiting)_seconds_total",
        "container_pressure_cpu_stalled_seconds_total|container_pressure_cpu_waiting_seconds_total",
    )
