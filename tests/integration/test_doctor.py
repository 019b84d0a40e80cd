"""`autoscaler doctor` on whole installations: each check broken for real and cured as it says, and its output."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import TypeAdapter

import autoscaler.simulation
from autoscaler.adapters.docker.orchestrator import DockerSwarm
from autoscaler.doctor.catalogue import CHECKS
from autoscaler.doctor.checks import Grade
from autoscaler.evaluation.cycle import Cycle
from autoscaler.metrics.queries import MetricSettings
from autoscaler.metrics.windows import MetricWindows
from autoscaler.policy.metric import PROMETHEUS
from autoscaler.policy_files import loader
from autoscaler.simulation.prometheus import SimulatedPrometheus
from autoscaler.simulation.shop import OFFERINGS, Shop
from autoscaler.testing import ManualClock
from autoscaler.views.doctor import WIDTH, ExaminationDocument, finding_lines
from tests.docs.doctor import PAGE, sample, steady
from tests.support.ailments import SECRET, TABLE, Ailment
from tests.support.backends import invoke
from tests.support.builders import STEP
from tests.support.commands import run
from tests.support.engine_server import EngineServer, bad_gateway, broken_json, cut, html, other_json, truncated
from tests.support.engine_server import hang as hanging_engine
from tests.support.installation import FakeInstallation, installation
from tests.support.prometheus_server import hang as hanging_prometheus
from tests.support.prometheus_server import status
from tests.support.world import FaultyEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.engine_server import Fault as EngineFault
    from tests.support.prometheus_server import Fault as PrometheusFault


BY_CODE = {ailment.code: ailment for ailment in TABLE}
DOCUMENT = TypeAdapter(ExaminationDocument)
DEMO = Path(autoscaler.simulation.__file__).with_name("demo.yml")


@pytest.fixture
def whole() -> Iterator[FakeInstallation]:
    """A healthy installation, with paths as short as operators have them."""
    with TemporaryDirectory() as folder, installation(Path(folder)) as made:
        yield made


def test_every_check_is_in_the_table() -> None:
    """Each code is broken once, and no other."""
    assert [ailment.code for ailment in TABLE if ailment.code not in {check.code for check in CHECKS}] == []
    assert {check.code for check in CHECKS} - {ailment.code for ailment in TABLE} == set()


def test_a_healthy_installation_is_good_throughout(whole: FakeInstallation) -> None:
    """Every check is good, and none is skipped."""
    assert {result.check.code: result for result in whole.examine().results if result.grade is not Grade.GOOD} == {}


@pytest.mark.parametrize("ailment", TABLE, ids=lambda ailment: ailment.code)
def test_each_check_is_broken_and_cured(whole: FakeInstallation, ailment: Ailment) -> None:
    """The cause is found, quoted and explained, and little else; the cure, taken as it says, makes the check good."""
    ailment.breaks(whole)

    found = whole.examine()

    broken = next(result for result in found.results if result.check.code == ailment.code)
    assert broken.grade is ailment.grade
    others = {result.check.code for result in found.of(Grade.FAILURE, Grade.WARNING, Grade.HINT)} - {ailment.code}
    assert others <= ailment.effects, "one cause has one finding"
    assert ailment.seen in " ".join(broken.seen)
    assert ailment.cure in broken.cure
    assert broken.seen
    assert all(len(line) <= WIDTH or " " not in line.strip() for line, _ in finding_lines(broken))
    assert len(finding_lines(broken)) <= 7, "three findings do not fit on a screen"
    ailment.cures(whole, broken)
    cured = whole.result(ailment.code)
    assert cured.grade is Grade.GOOD, cured
    assert steady(sample(broken, whole)) in steady(PAGE.read_text()), "run `python -m tests.docs.doctor`"


def test_every_check_has_a_section() -> None:
    """Each check has one section on the page, which says what is true, why, and the cure."""
    page = PAGE.read_text()
    for check in CHECKS:
        _, _, rest = page.partition(f"\n### {check.code}\n")
        assert page.count(f"\n### {check.code}\n") == 1
        assert rest.startswith(f"\n**{check.statement}.**\n\n- Why: {check.why}.\n- Cure: {check.cure}\n")
    assert "\n## A service that does not scale\n" in page


def test_no_false_alarm_on_the_demo() -> None:
    """In the demo's world, while it scales, only what is true is found: a maximum without room, and filling windows."""
    clock = ManualClock()
    shop = Shop(clock, demo_begins=clock.time + 40 * STEP)
    source = SimulatedPrometheus(clock, shop.sample, step=STEP)
    windows = MetricWindows({PROMETHEUS: source}, MetricSettings(STEP, 4 * STEP, 30), STEP)
    cycle = Cycle(windows, DockerSwarm(shop.engine), clock, 10)
    policies = loader.load([DEMO])
    found: dict[Grade, set[str]] = {}
    with TemporaryDirectory() as folder, installation(Path(folder)) as whole:
        whole.policies.write_text(DEMO.read_text())
        whole.start_daemon()
        whole.model.series.clear()
        for offering in OFFERINGS:
            whole.model.task(offering.name, f"{offering.name}.1.x")
        server = EngineServer(FaultyEngine(shop.engine), Path(folder) / "shop.sock")
        with server:
            whole.env["AUTOSCALER_DOCKER_HOST"] = server.url
            for step in range(160):
                clock.time += STEP
                source.record()
                if step >= 30:
                    cycle.evaluate(policies)
                if step >= 30 and step % 10 == 0:
                    assert whole.daemon is not None
                    whole.daemon["daemon"]["last_evaluation"] = clock.time
                    for result in whole.examine(lambda: cycle, clock).results:
                        found.setdefault(result.grade, set()).add(result.check.code)

    assert {"D-NAMES", "D-WRITE", "D-TIMESTAMPS"} <= found[Grade.GOOD]
    assert found.get(Grade.FAILURE, set()) == set()
    assert found.get(Grade.WARNING, set()) <= {"D-ROOM"}
    assert found.get(Grade.HINT, set()) <= {"D-OVERCOMMIT", "D-WARMUP", "D-WINDOW", "D-TASKS"}


# output


@pytest.fixture
def doctor(whole: FakeInstallation, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """The command on a healthy installation."""
    return Doctor(whole, monkeypatch)


class Doctor:
    """`autoscaler doctor` as an operator types it."""

    def __init__(self, whole: FakeInstallation, monkeypatch: pytest.MonkeyPatch) -> None:
        self.whole = whole
        self._monkeypatch = monkeypatch

    def breaks(self, *codes: str) -> None:
        """Break the installation for these checks."""
        for code in codes:
            BY_CODE[code].breaks(self.whole)

    def text(self, *arguments: str) -> tuple[list[str], int]:
        """The lines for people, and the exit code."""
        for name, value in self.whole.env.items():
            self._monkeypatch.setenv(name, value)
        done = invoke("doctor", *arguments)
        return done.output.splitlines(), done.exit_code

    def document(self, *arguments: str) -> dict[str, Any]:
        """The document for programs, which has the schema and the exit code of the command."""
        lines, code = self.text("--output", "json", *arguments)
        document: dict[str, Any] = json.loads("\n".join(lines))
        DOCUMENT.validate_python(document, strict=False)
        assert document["exit_code"] == code
        return document


def test_all_is_good_in_two_lines(doctor: Doctor) -> None:
    """Without a finding there are two lines: what was not looked at, and the verdict with the exit code."""
    lines, code = doctor.text()

    assert lines == [
        "Not looked at: 8 checks (no daemon at http://127.0.0.1:9; see --url)",
        "49 of 57 good (exit code 0: nothing fails).",
    ]
    assert code == 0


def test_three_findings_fit_on_one_screen(doctor: Doctor) -> None:
    """A finding has mark, code, statement, page, what was seen, why it matters, and the cure; the worst is first."""
    doctor.breaks("D-LINT", "D-TWICE", "D-DOCKER")

    lines, code = doctor.text()

    assert len(lines) <= 24
    assert all(len(line) <= 80 for line in lines if not re.search(r"\S{70}", line))
    assert [line for line in lines if re.match("[✗!·]", line)] == [
        "✗ D-DOCKER: Docker answers (docs/doctor.md#d-docker)",
        "! D-LINT: The policies say what is meant (docs/doctor.md#d-lint)",
        "· D-TWICE: One job scrapes each task (docs/doctor.md#d-twice)",
    ]
    assert lines[2:5] == [
        "  why   without the engine nothing is seen and nothing is scaled",
        "  cure  start the engine, mount its socket into the container",
        "        (/var/run/docker.sock), or set AUTOSCALER_DOCKER_HOST to where it is",
    ]
    assert re.fullmatch(r"1 failure, 1 warning, 1 hint, \d+ of 57 good \(exit code 1: something fails\).", lines[-1])
    assert code == 1


@pytest.mark.parametrize(
    ("code", "arguments", "expected", "meaning"),
    [
        ("D-TWICE", [], 0, "nothing fails"),
        ("D-TWICE", ["--strict"], 0, "nothing fails"),
        ("D-LINT", [], 0, "only --strict counts warnings"),
        ("D-LINT", ["--strict"], 1, "warnings count with --strict"),
        ("D-WRITE", [], 1, "something fails"),
    ],
)
def test_the_exit_code(doctor: Doctor, code: str, arguments: list[str], expected: int, meaning: str) -> None:
    """0 for good and hints, 1 for failures, and for warnings with --strict; the last line says what it means."""
    doctor.breaks(code)

    lines, exit_code = doctor.text(*arguments)

    assert exit_code == expected
    assert lines[-1].endswith(f"(exit code {expected}: {meaning}).")
    assert doctor.document(*arguments)["verdict"] == ("bad" if expected else "good")


def test_verbose_lists_the_good_ones_too(doctor: Doctor) -> None:
    """--verbose has a line for each check that is good, and one for each that was skipped."""
    lines, _ = doctor.text("--verbose")

    assert "✓ D-MANAGER: The engine is a manager of a Swarm" in lines
    assert "- D-MODE: not looked at: no daemon at http://127.0.0.1:9; see --url" in lines


@pytest.mark.parametrize("broken", [(), ("D-SETTINGS",), ("D-POLICIES",), ("D-DOCKER", "D-PROMETHEUS"), ("D-WRITE",)])
def test_one_document_always(doctor: Doctor, broken: tuple[str, ...]) -> None:
    """JSON is one valid document with every check, whatever is away."""
    doctor.breaks(*broken)

    document = doctor.document()

    assert [check["code"] for check in document["checks"]] == [check.code for check in CHECKS]
    assert sum(document["counts"].values()) == len(CHECKS)
    failed = {check["code"] for check in document["checks"] if check["result"] == "failure"}
    assert failed == set(broken)
    assert doctor.document("web")["walk"]["service"] == "web"


# what must never happen


def test_nothing_is_written(doctor: Doctor) -> None:
    """Swarm is the same to the byte after the doctor looked at it, and the lease and the pauses too."""
    doctor.whole.pause('{"both": {"since": 1700000000, "by": "ana"}}')

    def stored() -> str:
        engine = doctor.whole.engine
        return json.dumps([engine.services(), engine.configs()], sort_keys=True)

    before = stored()
    doctor.text()
    doctor.text("web")

    assert stored() == before


@pytest.mark.parametrize("arguments", [(), ("--verbose",), ("--output", "json"), ("web",)])
def test_no_secret_is_printed(doctor: Doctor, arguments: tuple[str, ...]) -> None:
    """A password, a token or a header's value is in no output, even if the server sends it back."""
    whole = doctor.whole
    whole.env |= {
        "AUTOSCALER_PROMETHEUS_USERNAME": "scaler",
        "AUTOSCALER_PROMETHEUS_PASSWORD": SECRET,
        "AUTOSCALER_HTTP_TOKEN": SECRET,
        "AUTOSCALER_PROMETHEUS_HEADERS": f"X-Key={SECRET}",
    }
    whole.prometheus.fail(lambda exchange: exchange.send(400, f"you sent {SECRET}"))

    lines, _ = doctor.text(*arguments)

    assert SECRET not in "\n".join(lines)


@pytest.mark.parametrize("fault", [html, other_json, broken_json, truncated, bad_gateway, cut])
@pytest.mark.parametrize("on", ["", "GET /services", "GET /nodes", "GET /configs", "POST"])
def test_an_engine_that_answers_nonsense(doctor: Doctor, fault: EngineFault, on: str) -> None:
    """Whatever answers in the engine's place, there is one document, and nothing is good that got no answer."""
    doctor.whole.swarm.misbehave(fault, on=on)

    results = {check["code"]: check["result"] for check in doctor.document()["checks"]}

    asked = {"": "D-DOCKER", "GET /services": "D-READ", "GET /nodes": "D-READ", "GET /configs": "D-LEASE"}
    assert results[asked.get(on, "D-WRITE")] != "good" or fault is other_json


@pytest.mark.parametrize(
    "answer",
    [status(200, "<html>"), status(200, {"status": "success", "data": 5}), status(500, "no"), status(302, "")],
)
def test_a_prometheus_that_answers_nonsense(doctor: Doctor, answer: PrometheusFault) -> None:
    """Whatever answers in Prometheus' place, there is one document, and it fails."""
    doctor.whole.prometheus.fail(answer)

    document = doctor.document()

    assert document["verdict"] == "bad"


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("--output", "json"), ("web", "--output", "json")])
def test_it_ends_whatever_hangs(doctor: Doctor, arguments: tuple[str, ...], tmp_path: Path) -> None:
    """If engine and Prometheus accept connections and never answer, the command still ends, with a document."""
    doctor.whole.swarm.misbehave(hanging_engine)
    doctor.whole.prometheus.fail(hanging_prometheus)
    env = {name: value for name, value in os.environ.items() if not name.startswith("AUTOSCALER_")}

    done = run("doctor", *arguments, env=env | doctor.whole.env, cwd=tmp_path, timeout=60)

    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    failed = {check["code"] for check in document["checks"] if check["result"] == "failure"}
    assert failed == {"D-DOCKER", "D-PROMETHEUS"}


# one service


def walked(doctor: Doctor, service: str = "web") -> dict[str, Any]:
    """The last link of the walk of a service."""
    walk = doctor.document(service)["walk"]
    assert all(link["result"] == "good" for link in walk["links"][:-1])
    return dict(walk["links"][-1])


@pytest.mark.parametrize(
    ("code", "statement", "seen"),
    [
        ("D-SETTINGS", "The settings are valid", "AUTOSCALER_INTERVALL"),
        ("D-DOCKER", "Docker answers", "no such socket"),
        ("D-READ", "Services, tasks and nodes may be read", "GET /nodes"),
        ("D-NAMES", "One policy applies to it", "no policy names it"),
        ("D-CONFLICTS", "One policy applies to it", "shpo"),
        ("D-WRITE", "Services may be updated, and configs created and updated", "POST /services/ID/update"),
        ("D-FORGOTTEN", "Its changes are not paused", "ana@manager-1"),
        ("D-LOGIN", "Prometheus accepts the credentials", "HTTP 401"),
        ("D-SOURCE", "The queries of its metrics are answered: cpu, memory, queue", "queue"),
        ("D-SELECTOR", "Prometheus has series of it", 'job="cadvisr"'),
        ("D-SERIES", "Prometheus has series of it", "no series names it"),
        ("D-TASKS", "Every task reports", "only 2 of 3 tasks have samples"),
        ("D-WINDOW", "Its windows are complete", "its window fills"),
    ],
)
def test_the_walk_stops_at_the_first_broken_link(doctor: Doctor, code: str, statement: str, seen: str) -> None:
    """Every link before it holds, and the broken one is quoted with its cure."""
    doctor.breaks(code)

    link = walked(doctor)

    assert link["statement"] == statement
    assert seen in " ".join(link["seen"])
    assert link["cure"]


def test_a_service_that_no_rule_wants_to_scale(doctor: Doctor) -> None:
    """If all data are there, the walk ends at the rules, with the bound of each: that would make it scale."""
    link = walked(doctor)

    assert (link["statement"], link["result"]) == ("A rule asks for another count", "hint")
    assert link["seen"][0] == "cpu-high: cpu 50 % of the limit of 0.5 cores, not above 70 % for 1m"


def test_a_service_that_would_scale(doctor: Doctor) -> None:
    """If every link holds, the next change and its reason are told, and the exit code is 0."""
    doctor.whole.model.values["container_cpu_usage_seconds_total"]["web"] = 0.45

    lines, code = doctor.text("web")

    assert "Every link holds. The next evaluation changes web 3 → 4: cpu 90 %" in " ".join(lines)
    assert code == 0


def test_a_service_at_its_maximum(doctor: Doctor) -> None:
    """A hold behind the rules is quoted with its reason and its cure."""
    doctor.whole.model.values["container_cpu_usage_seconds_total"]["web"] = 0.45
    doctor.whole.edit("max: 6", "max: 3")

    link = walked(doctor)

    assert link["statement"] == "Nothing holds the change"
    assert link["seen"][0].startswith("at_max: ")
    assert link["cure"].startswith("raise max in the policy shop (policies.yml:")


def test_a_misspelt_service(doctor: Doctor) -> None:
    """A service that Swarm does not have is a failure, with the near name."""
    link = walked(doctor, "wbe")

    assert (link["statement"], link["result"], link["cure"]) == ("Swarm has the service wbe", "failure", "write web")
