from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import requests

import autoscaler
from autoscaler.cli.main import main
from autoscaler.policy_files import loader
from tests.support.backends import POLICIES, Backends, events, invoke
from tests.support.engine_server import WORKER, Exchange, Fault, applied_then_cut, cut, hang
from tests.support.prometheus_server import refusing_url
from tests.support.stack import SERVICES
from tests.support.waiting import PATIENCE, wait

if TYPE_CHECKING:
    from collections.abc import Iterator


AUTOSCALER = Path(sys.executable).with_name("autoscaler")
SECRET = "hunter2"  # noqa: S105 - nobody's password
TESTS = """
policies: policies.yml
interval: 15s
tests:
  - name: a minute above 70 adds one
    service: web
    replicas: 3
    series: {cpu: "80x40"}
    expect:
      - {at: 1m, replicas: EXPECTED, reason: above_threshold, rule: cpu-high}
"""


# help


@pytest.mark.parametrize("command", main.list_commands(click.Context(main)))
def test_every_command_explains_itself(command: str) -> None:
    """Each command has help, for itself and in the list of all of them."""
    result = invoke(command, "--help")

    assert result.exit_code == 0
    assert f"Usage: main {command}" in result.output
    assert command in invoke("-h").output


def test_a_misspelt_command() -> None:
    """A command that there is not is refused with the one that is near."""
    result = invoke("pln")

    assert result.exit_code != 0
    assert "No such command 'pln'" in result.output
    assert "plan" in result.output


def test_the_version() -> None:
    """`--version` names the program and its version."""
    assert invoke("--version").output == f"autoscaler, version {autoscaler.__version__}\n"


def test_an_unknown_option_is_a_usage_error() -> None:
    """What click refuses is told in its words, with its exit code."""
    result = invoke("plan", "--nonsense")

    assert result.exit_code == 2
    assert "No such option" in result.stderr


# run --once


def test_run_once_evaluates_and_acts(backends: Backends) -> None:
    """`run --once` carries out one evaluation and exits with 0."""
    backends.load(85)

    result = invoke("run", "--once")

    assert (result.exit_code, backends.replicas) == (0, 4)
    (line,) = [event for event in events(result.stderr) if event["event"] == "service_evaluated"]
    assert (line["outcome"], line["reason"], line["desired"]) == ("applied", "above_threshold", 4)
    assert result.stdout == ""


@pytest.mark.parametrize("by", ["option", "setting"])
def test_run_once_dry(backends: Backends, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """With `--dry-run`, or AUTOSCALER_DRY_RUN, the same is decided and nothing is written."""
    backends.load(85)
    if by == "setting":
        monkeypatch.setenv("AUTOSCALER_DRY_RUN", "true")

    result = invoke("run", "--once", *(["--dry-run"] if by == "option" else []))

    assert (result.exit_code, backends.replicas, backends.writes) == (0, 3, 0)
    assert [event["outcome"] for event in events(result.stderr)] == ["dry_run"]


@pytest.mark.parametrize("lost", ["swarm", "prometheus"])
def test_run_once_fails_where_a_backend_is_away(backends: Backends, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    """An evaluation that could not do all of its work exits with 1, and the log says what is missing."""
    unreachable = {
        "swarm": ("AUTOSCALER_DOCKER_HOST", f"unix://{backends.directory}/nothing.sock"),
        "prometheus": ("AUTOSCALER_PROMETHEUS_URL", "http://127.0.0.1:1"),
    }
    monkeypatch.setenv(*unreachable[lost])

    result = invoke("run", "--once")

    assert result.exit_code == 1
    assert f"{lost}_lost" in [event["event"] for event in events(result.stderr)]


def test_run_once_fails_where_a_write_is_refused(backends: Backends) -> None:
    """A step that Swarm refused is a failure of the command."""
    backends.load(85)
    backends.engine.change_service("web", lambda spec: spec["Labels"].update(a="b"))
    backends.swarm.misbehave(lambda exchange: exchange.send(400, {"message": "no"}), on="POST /services")

    result = invoke("run", "--once")

    assert result.exit_code == 1
    assert [event["event"] for event in events(result.stderr)] == ["service_evaluated", "write_refused"]
    assert events(result.stderr)[0]["outcome"] == "failed"


@pytest.mark.parametrize(("fault", "code"), [(cut, 1), (applied_then_cut, 0)])
def test_run_once_fails_where_a_write_is_not_known_to_be_made(backends: Backends, fault: Fault, code: int) -> None:
    """A write without an answer is a failure of the command, unless it is read back as applied."""
    backends.load(85)
    backends.swarm.misbehave(fault, on="POST /services")

    result = invoke("run", "--once")

    assert result.exit_code == code
    outcome = "unknown" if code else "applied"
    assert [event["outcome"] for event in events(result.stderr)] == [outcome]


# plan


@pytest.mark.parametrize(
    ("percent", "code", "row"),
    [
        (50, 0, "web 3 2 6 no_breach cpu 50 % cpu 50 %"),
        (85, 2, "web 3 → 4 2 6 above_threshold cpu 85 % [cpu-high] cpu 85 %"),
        (10, 2, "web 3 → 2 2 6 below_threshold cpu 10 % [cpu-low] cpu 10 %"),
    ],
)
def test_plan_prints_what_would_change(backends: Backends, percent: int, code: int, row: str) -> None:
    """`plan` prints each service with counts, bounds, reason and values, and exits with 0 or 2; it writes nothing."""
    backends.load(percent)

    result = invoke("plan")

    assert result.exit_code == code
    assert row in " ".join(result.stdout.split())
    assert "CAPACITY" not in result.stdout
    revision = loader.load([backends.directory / "policies.yml"]).revision
    assert result.stdout.splitlines()[-1] == (
        f"Looked at Prometheus {backends.prometheus.url} and Docker {backends.swarm.url}, with the policies of "
        f"revision {revision}. With these settings `autoscaler run` is live."
    )
    assert "shop: cooldown 3m up, 5m down" in result.stdout
    assert (backends.writes, "\x1b" in result.output) == (0, False)


def test_plan_as_json_holds_the_same_facts(backends: Backends) -> None:
    """`plan --output json` parses, and says what the table says, with every reason and the base of percent."""
    backends.load(85)

    result = invoke("plan", "--output", "json")
    document = json.loads(result.stdout)

    (service,) = document["services"]
    assert result.exit_code == 2
    assert document["problems"] == []
    assert [service[key] for key in ("service", "requested", "desired", "running", "outcome")] == [
        *("web", 3, 4, 3),
        "dry_run",
    ]
    assert service["primary"]["reason"] == "above_threshold"
    assert service["bases"] == {"cpu": "1 core (no limit)"}
    assert service["rules"][0]["value"] == 85.0
    assert document["in_force"] == {"shop": "cooldown 3m up, 5m down"}


def test_plan_shows_the_services_that_are_named(backends: Backends) -> None:
    """`plan SERVICE` shows that service alone, by name or glob; an unknown one is an error with near names."""
    backends.load(85)

    named, globbed, unknown = invoke("plan", "web"), invoke("plan", "w*"), invoke("plan", "wbe", "zzz")

    assert (named.exit_code, named.stdout) == (globbed.exit_code, globbed.stdout)
    assert named.stdout.splitlines()[1].startswith("web ")
    assert unknown.exit_code == 1
    assert unknown.stderr.splitlines() == [
        "no policy applies to wbe (did you mean web?)",
        "no policy applies to zzz (`autoscaler plan` without a name lists all services)",
    ]


def test_plan_adds_up_if_it_is_asked_to(backends: Backends) -> None:
    """`plan --capacity` shows the sums of CPU and memory although all maxima find room."""
    assert "CAPACITY" in invoke("plan", "--capacity").stdout
    assert backends.writes == 0


def crowd(backends: Backends) -> None:
    """Let each replica of the service reserve five of the eight cores of a node, of which there are three."""

    def reserve(spec: dict[str, Any]) -> None:
        spec["TaskTemplate"]["Resources"]["Reservations"] = {"NanoCPUs": 5 * 10**9}

    backends.engine.change_service("web", reserve)


def test_plan_warns_of_a_maximum_without_room(backends: Backends) -> None:
    """A maximum that finds no room is told with numbers and cure; the exit code does not change for it."""
    crowd(backends)

    told, document = invoke("plan"), json.loads(invoke("plan", "--output", "json").stdout)

    assert told.exit_code == 0
    words = " ".join(told.stdout.split())
    assert "warning: web: max 6 does not fit: 3 replicas fit with everything else as it is" in words
    assert "(lower max to 3, reserve less or add nodes)" in words
    assert document["capacity"]["fits"] is False
    assert document["capacity"]["total"]["cores"] == 24
    assert [place["fitting_now"] for place in document["capacity"]["services"]] == [3]
    assert backends.writes == 0


def test_check_live_adds_up_too(backends: Backends) -> None:
    """`check --live` shows what finds room for each service; a maximum without room is no error."""
    crowd(backends)

    result = invoke("check", "--live")
    document = json.loads(invoke("check", "--live", "--output", "json").stdout)

    assert "FIT WITH OTHERS AT MAX" in result.stdout
    assert document["live"]["capacity"]["services"][0]["obstacle"] == "each reserves 5 cores, on 3 nodes"
    assert result.exit_code == (0 if document["live"]["good"] else 1)


def test_plan_without_an_answer_is_an_error(backends: Backends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot be told what would change, `plan` says why and exits with 1."""
    monkeypatch.setenv("AUTOSCALER_DOCKER_HOST", f"unix://{backends.directory}/nothing.sock")

    result = invoke("plan")

    assert result.exit_code == 1
    assert "The plan is not known, because Swarm did not answer." in result.stdout


def test_options_win_over_the_environment(backends: Backends, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command line says counts, whatever the environment says."""
    monkeypatch.setenv("AUTOSCALER_DOCKER_HOST", "unix:///nothing.sock")
    monkeypatch.setenv("AUTOSCALER_POLICIES", "/nothing")

    result = invoke("plan", "--docker-host", backends.swarm.url, "--policies", str(backends.directory / "policies.yml"))

    assert result.exit_code == 0


# obstacles

ASKS_SWARM = {
    "plan": ("plan",),
    "check --live": ("check", "--live"),
    "pause": ("pause", "web"),
    "resume": ("resume", "web"),
    "rollback": ("rollback", "web"),
    "stack-file": ("stack-file", "shop.yml", "--stack", "shop"),
    "run --once": ("run", "--once"),
}


@pytest.mark.fault("swarm-away")
@pytest.mark.parametrize("command", ASKS_SWARM.values(), ids=ASKS_SWARM)
@pytest.mark.parametrize(
    ("engine", "cure"),
    [("a worker", "run the autoscaler on a manager"), ("none", "or set AUTOSCALER_DOCKER_HOST to where it is")],
)
def test_every_command_says_what_keeps_it_from_swarm(
    backends: Backends, monkeypatch: pytest.MonkeyPatch, engine: str, cure: str, command: tuple[str, ...]
) -> None:
    """On a worker, and where the socket is not there, each command ends with 1 and with a cure, the only one there."""
    monkeypatch.chdir(backends.directory)
    (backends.directory / "shop.yml").write_text("services: {web: {image: app}}")
    if engine == "none":
        monkeypatch.setenv("AUTOSCALER_DOCKER_HOST", f"unix://{backends.directory}/nothing.sock")
    else:
        backends.swarm.misbehave(WORKER)

    result = invoke(*command)

    assert result.exit_code == 1
    assert cure in " ".join(result.output.split())
    assert "the other autoscaler" not in result.output


@pytest.mark.fault("prometheus-away")
@pytest.mark.parametrize("command", ["plan", "check --live", "run --once"])
def test_every_command_says_what_keeps_it_from_prometheus(
    backends: Backends, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Where the address is wrong, what needs data ends with 1 and names the setting."""
    with refusing_url() as url:
        monkeypatch.setenv("AUTOSCALER_PROMETHEUS_URL", url)
        result = invoke(*ASKS_SWARM[command])

    assert result.exit_code == 1
    assert f"Prometheus at {url} cannot be reached: connection refused (does it run, is AUTOSCALER_PROMETHEUS_URL" in (
        " ".join(result.output.split())
    )
    assert backends.writes == 0


# stack-file


def test_a_stack_that_is_not_there(backends: Backends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Swarm has no service of the stack, be it new or misspelt, the file stays as it is, and that is told."""
    monkeypatch.chdir(backends.directory)
    (backends.directory / "shop.yml").write_text("services: {web: {image: app}}")

    result = invoke("stack-file", "shop.yml", "--stack", "shpo")

    assert (result.exit_code, result.stdout) == (0, "services: {web: {image: app}}")
    assert (
        result.stderr
        == "Swarm has no service of a stack 'shpo': nothing is filled in (docker stack ls shows the stacks)\n"
    )


def test_a_stack_file_that_is_no_text(backends: Backends, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in another encoding is told by its name, with what would be right."""
    monkeypatch.chdir(backends.directory)
    (backends.directory / "shop.yml").write_bytes(b"services: {web: {image: caf\xe9}}")

    result = invoke("stack-file", "shop.yml", "--stack", "shop")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "shop.yml: is not UTF-8 text (save the file with the encoding UTF-8)\n"


# policies


@pytest.mark.parametrize("arguments", [("run",), ("run", "--once"), ("plan",)])
def test_invalid_policies_end_a_command_before_anything_is_asked(backends: Backends, arguments: tuple[str]) -> None:
    """With invalid policies a command prints every problem with its place, exits with 1, and asks Swarm nothing."""
    file = backends.directory / "policies.yml"
    file.write_text(POLICIES.replace("min: 2", "min: 9").replace("above: 70", "abvoe: 70"))

    result = invoke(*arguments)

    assert result.exit_code == 1
    assert f"{file}:6:" in result.stderr
    assert f"{file}:8:" in result.stderr
    assert (backends.swarm.asked, backends.prometheus.asked) == ([], [])


def test_check_accepts_valid_policies(tmp_path: Path) -> None:
    """`check` of valid policies says how many there are and exits with 0."""
    file = tmp_path / "p.yml"
    file.write_text(POLICIES)

    text, document = invoke("check", str(file)), invoke("check", str(file), "--output", "json")

    assert (text.exit_code, document.exit_code) == (0, 0)
    told = json.loads(document.stdout)
    assert (told["valid"], told["problems"], told["warnings"]) == (True, [], [])
    assert text.stdout.splitlines() == [
        f"Valid: 1 policy with 2 rules (revision {told['revision']}).",
        "shop: cooldown 3m up, 5m down",
    ]
    assert told["in_force"] == {"shop": "cooldown 3m up, 5m down"}


def test_check_tells_all_problems_of_all_files_at_once(tmp_path: Path) -> None:
    """`check` prints every problem as file:line:column with its cure, and exits with 1; as JSON it says the same."""
    (tmp_path / "a.yml").write_text(POLICIES.replace("max: 6", "max: 1"))
    (tmp_path / "b.yml").write_text(POLICIES.replace("remove: 1", "remove: zero").replace("services:", "service:"))

    text, document = invoke("check", str(tmp_path)), invoke("check", str(tmp_path), "--output", "json")

    assert (text.exit_code, document.exit_code) == (1, 1)
    problems = text.stderr.splitlines()
    assert {line.split(":")[0] for line in problems} == {f"{tmp_path}/a.yml", f"{tmp_path}/b.yml"}
    assert len(problems) >= 3
    assert json.loads(document.stdout)["problems"] == problems
    assert text.stdout == ""


def test_check_warns_of_what_is_valid_and_unwise(tmp_path: Path) -> None:
    """A pair of rules that must flap is a warning: it is printed, and the policies are valid."""
    file = tmp_path / "p.yml"
    file.write_text(POLICIES.replace("below: 30", "below: 60"))

    text, document = invoke("check", str(file)), invoke("check", str(file), "--output", "json")

    assert (text.exit_code, document.exit_code) == (0, 0)
    assert text.stderr.startswith("warning: ")
    assert text.stderr.endswith(" [flaps]\n")
    (warning,) = json.loads(document.stdout)["warnings"]
    assert f"warning: {warning['text']}\n" == text.stderr
    assert (warning["id"], warning["file"]) == ("flaps", str(file))


def test_check_of_what_is_not_there(tmp_path: Path) -> None:
    """A path without a policy file is an error that says so."""
    result = invoke("check", str(tmp_path / "none.yml"))

    assert result.exit_code == 1
    assert "none.yml: does not exist" in result.stderr


def test_the_settings_name_what_check_looks_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path `check` validates the policies that the daemon would read."""
    (tmp_path / "p.yml").write_text(POLICIES)
    monkeypatch.setenv("AUTOSCALER_POLICIES", str(tmp_path))

    assert invoke("check").exit_code == 0


# test


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """A test that passes and one that fails, with a path too long for a line."""
    folder = tmp_path / ("a-long-folder-name-" * 4)
    folder.mkdir()
    (folder / "policies.yml").write_text(POLICIES)
    file = folder / "tests.yml"
    passing = TESTS.replace("EXPECTED", "4")
    failing = TESTS.replace("EXPECTED", "5").split("tests:\n")[1].replace("adds one", "adds two")
    file.write_text(passing + failing)
    return file


def test_test_prints_passes_and_failures(cases: Path) -> None:
    """Each test is a line with PASS or FAIL; a failure says where and what was got instead, on one line."""
    result = invoke("test", str(cases))

    lines = result.stdout.splitlines()
    assert result.exit_code == 1
    assert lines[0] == f"PASS a minute above 70 adds one  {cases}:5"
    assert lines[1] == f"FAIL a minute above 70 adds two  {cases}:11"
    assert lines[2].startswith(f"     {cases}:16: web at 1m: expected 5 replicas, ")
    assert lines[2].endswith("cpu 80 %, above 70 % for 1m)")
    assert [line.removeprefix("     ") for line in lines[3:7]] == [
        "  AT     REPLICAS  RUNNING  cpu %  REASON             WHY",
        "  0s     3               3     80  window_incomplete  cpu-high: cpu has 1 of the 5 samples of the last 1m",
        "  … 3 more like it until 45s",
        "> 1m     3 → 4           3     80  above_threshold    cpu-high: cpu 80 %, above 70 % for 1m",
    ]
    assert max(map(len, lines[3:])) <= 120
    assert lines[-2] == "       … 2 more like it until 1m45s"
    assert lines[-1] == "1 passed, 1 failed"


def test_test_as_json_holds_the_same_facts(cases: Path) -> None:
    """`test --output json` parses and tells the same; its exit code too."""
    result = invoke("test", str(cases), "--output", "json")

    passed, failed = json.loads(result.stdout)["tests"]
    assert result.exit_code == 1
    assert (passed["passed"], passed["line"], passed["failures"]) == (True, 5, [])
    assert (failed["passed"], failed["failures"][0]["expected"]) == (
        False,
        "5 replicas, above_threshold by cpu-high",
    )
    timeline = failed["failures"][0]["timeline"]
    assert [(entry["at"], entry["until"], entry["replicas"]) for entry in timeline["entries"]] == [
        ("0s", "45s", 3),
        ("1m", "1m", 4),
        ("1m15s", "1m45s", 4),
    ]
    assert timeline["entries"][1] == {
        "at": "1m",
        "until": "1m",
        "evaluations": 1,
        "failed": True,
        "events": [],
        "requested": 3,
        "replicas": 4,
        "running": 3,
        "reason": "above_threshold",
        "rule": "cpu-high",
        "detail": "cpu 80 %, above 70 % for 1m",
        "values": {"cpu": 80},
        "varied": {},
    }


def test_tests_that_pass(cases: Path) -> None:
    """Where all tests pass the exit code is 0."""
    cases.write_text(TESTS.replace("EXPECTED", "4"))

    result = invoke("test", str(cases))

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "1 passed, 0 failed"


def test_tests_of_several_services(cases: Path) -> None:
    """A test may be of several services; its failures name them."""
    services = "services: {web: {replicas: 3, expect: [{at: 1m, replicas: 9}]}}"
    cases.write_text(f'policies: policies.yml\ntests:\n  - name: both\n    series: {{cpu: "80x40"}}\n    {services}\n')

    text, document = invoke("test", str(cases)), invoke("test", str(cases), "--output", "json")

    assert (text.exit_code, document.exit_code) == (1, 1)
    assert f"{cases}:5: web at 1m: expected 9 replicas, got 4 replicas (above_threshold by cpu-high: " in text.stdout
    assert json.loads(document.stdout)["tests"][0]["failures"][0]["service"] == "web"


def test_a_broken_test_file(cases: Path) -> None:
    """A file of tests with an error is refused with its place, exit code 1."""
    cases.write_text(TESTS.replace("series:", "serious:"))

    result = invoke("test", str(cases))

    assert result.exit_code == 1
    assert f"{cases}:8:5" in result.stderr


# settings


@pytest.mark.parametrize("command", ["run", "plan", "check"])
def test_a_misspelt_variable_is_an_error(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """A variable that begins with AUTOSCALER_ and is not a setting ends the command, by name and with the right one."""
    monkeypatch.setenv("AUTOSCALER_INTERVALL", "30s")

    result = invoke(command)

    assert result.exit_code == 1
    assert "AUTOSCALER_INTERVALL" in result.stderr
    assert "AUTOSCALER_INTERVAL?" in result.stderr


def test_all_problems_of_the_settings_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is wrong with the settings is told, each with its name."""
    monkeypatch.setenv("AUTOSCALER_INTERVAL", "soon")
    monkeypatch.setenv("AUTOSCALER_LISTEN", "9595")

    result = invoke("run", "--log-level", "loud")

    assert result.exit_code == 1
    for told in ("AUTOSCALER_INTERVAL", "AUTOSCALER_LISTEN", "'loud'"):
        assert told in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "settings",
    [
        {"PROMETHEUS_USERNAME": "me", "PROMETHEUS_PASSWORD": SECRET},
        {"PROMETHEUS_BEARER_TOKEN": SECRET},
        {"PROMETHEUS_HEADERS": f"X-Key={SECRET}"},
        {"PROMETHEUS_HEADERS": f"X Key={SECRET}"},
        {"PROMETHEUS_URL": f"http://me:{SECRET}@127.0.0.1:1"},
        {"PROMETHEUS_URL": f"ftp://me:{SECRET}@127.0.0.1:1"},
        {"PROMETHEUS_BEARER_TOKEN": f"{SECRET}\n{SECRET}"},
    ],
)
@pytest.mark.parametrize("arguments", [("run", "--once", "--log-level", "debug"), ("plan", "--output", "json")])
def test_no_secret_is_ever_printed(
    backends: Backends, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], arguments: tuple[str, ...]
) -> None:
    """Whether the settings are right or wrong and whatever Prometheus says, no secret is in what is printed."""
    backends.prometheus.require("Bearer something else")
    for name, value in settings.items():
        monkeypatch.setenv(f"AUTOSCALER_{name}", value)

    result = invoke(*arguments)

    assert result.exit_code == 1
    assert result.output
    assert SECRET not in result.output


# the daemon


@dataclass
class Process:
    """`autoscaler run` as a process, with its log."""

    popen: subprocess.Popen[str]
    log: Path

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's events of this name."""
        return [event for event in events(self.log.read_text()) if event["event"] == name]

    def wait(self, name: str) -> dict[str, Any]:
        """The first event of this name, waited for."""

        def told() -> bool:
            assert self.popen.poll() is None, self.log.read_text()
            return bool(self.events(name))

        wait(name, told)
        return self.events(name)[0]


@pytest.fixture
def process(backends: Backends) -> Iterator[Process]:
    """The daemon as a process on the backends, with their environment."""
    log = backends.directory / "log"
    with log.open("w") as stream:
        popen = subprocess.Popen(  # noqa: S603 - our own command line
            [AUTOSCALER, "run", "--listen", "127.0.0.1:0", "--interval", "1s"],
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )
    yield Process(popen, log)
    popen.kill()
    popen.communicate()


def test_the_daemon_runs_reloads_and_ends(backends: Backends, process: Process) -> None:
    """`run` evaluates, answers HTTP, reads its policies anew on SIGHUP, and ends with 0 on SIGTERM."""
    host, port = process.wait("daemon_started")["listen"]
    url = f"http://{host}:{port}"
    wait("it to be ready", lambda: requests.get(f"{url}/-/ready", timeout=PATIENCE).status_code == 200)
    services = requests.get(f"{url}/api/v1/services", timeout=PATIENCE).json()["services"]

    (backends.directory / "policies.yml").write_text(POLICIES.replace("max: 6", "max: 2"))
    process.popen.send_signal(signal.SIGHUP)
    process.wait("policies_reloaded")
    process.popen.send_signal(signal.SIGTERM)

    assert process.popen.wait(PATIENCE) == 0
    assert [service["service"] for service in services] == ["web"]
    assert process.events("daemon_stopped")
    assert process.popen.stdout is not None
    assert process.popen.stdout.read() == ""


def hangs_from_now_on(exchange: Exchange) -> None:
    """Answer neither this request nor any later one."""
    exchange.state.fault_on = ""
    hang(exchange)


@pytest.mark.slow
@pytest.mark.fault("asked-to-stop")
def test_it_ends_in_time_while_the_engine_hangs(backends: Backends, process: Process) -> None:
    """Where the engine hangs from the middle of a write on, SIGTERM ends it with 0 before Swarm would kill it."""
    backends.swarm.misbehave(hangs_from_now_on, on="POST /services")
    backends.load(85)

    def written_to() -> bool:
        return any(asked.path.endswith("/update") and "services" in asked.path for asked in backends.swarm.asked)

    wait("a write", written_to)

    process.popen.send_signal(signal.SIGTERM)

    assert process.popen.wait(float(SERVICES["autoscaler"]["stop_grace_period"].removesuffix("s"))) == 0
    (written,) = process.events("service_evaluated")
    assert (written["outcome"], backends.replicas) == ("unknown", 3)
    assert len(process.events("daemon_stopped")) == 1
    # Whether it still had the lease at the end is a matter of a second; what became of it is told either way.
    assert sum(len(process.events(name)) for name in ("lease_left_behind", "lease_lost")) == 1


def test_a_taken_port_is_a_clear_error(backends: Backends) -> None:
    """Where the port is taken `run` says so with a cure, exits with 1 and asks nobody anything."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        result = invoke("run", "--listen", f"127.0.0.1:{port}")

    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr
    assert "choose another port" in result.stderr
    assert backends.swarm.asked == []
