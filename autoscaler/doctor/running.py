"""The checks of the running daemon, by its API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from autoscaler import __version__
from autoscaler.doctor.checks import Check, Grade, Unseen, failure, hint, judged, listed, told, warning
from autoscaler.util.durations import words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from autoscaler.doctor.checks import Verdict
    from autoscaler.doctor.facts import DaemonFacts, Installation

DAEMON = "running daemon"
_LATE = 3
"""The number of intervals after which an evaluation is late."""
_LATE_AT_LEAST = 60.0
_BESIDE = frozenset({"clock", "scrape_interval", "starved", "history"})
"""Kinds of problems that do not keep an evaluation from its work."""

_daemon = judged(lambda installation: installation.daemon, "needs valid settings")


def _says(facts: DaemonFacts) -> Mapping[str, Any]:
    said: Mapping[str, Any] = facts.document.get("daemon") or {}
    return said


@_daemon
def _answers(facts: DaemonFacts, _: Installation) -> Verdict:
    if not facts.trouble:
        return None
    if facts.wanted:
        return told(facts.trouble)
    return Unseen(f"no daemon at {facts.url}; see --url")


@_daemon
def _mode(facts: DaemonFacts, _: Installation) -> Verdict:
    mode = _says(facts).get("mode")
    if mode is None:
        return Unseen("the daemon does not tell its mode")
    seen = "the daemon is in dry-run: it decides, and writes nothing"
    return hint(seen, "once its proposals are right, set AUTOSCALER_DRY_RUN=false") if mode == "dry_run" else None


@_daemon
def _leads(facts: DaemonFacts, _: Installation) -> Verdict:
    said = _says(facts)
    if "leader" not in said or said.get("mode") != "live":
        return Unseen("the daemon is not live")
    if said["leader"] or said.get("role") == "leader":
        return None  # one that needs no lease, such as the demo, leads without a name
    cure = "look at the daemon's log for `lease`, and let the socket proxy pass updating configs"
    return failure(f"the daemon at {facts.url} knows no leader", cure)


@_daemon
def _version(facts: DaemonFacts, _: Installation) -> Verdict:
    version = _says(facts).get("version")
    if version is None:
        return Unseen("the daemon does not tell its version")
    seen = f"the daemon is version {version}, and this command {__version__}"
    return None if version == __version__ else hint(seen, "run the same image for both")


@_daemon
def _revision(facts: DaemonFacts, installation: Installation) -> Verdict:
    running, given = _says(facts).get("revision"), installation.policies
    if not running or given is None or given.policies is None:
        return Unseen("the daemon does not tell its revision")
    here = given.policies.revision
    seen = f"the daemon has revision {running} in force, and the files here are {here}"
    return None if running == here else warning(seen, "deploy these files, or give the daemon's with --policies")


@_daemon
def _files(facts: DaemonFacts, _: Installation) -> Verdict:
    return listed(facts.document.get("policy_problems") or (), Grade.FAILURE, "correct the file, and reload")


@_daemon
def _in_time(facts: DaemonFacts, installation: Installation) -> Verdict:
    said = _says(facts)
    last, interval = said.get("last_evaluation"), said.get("interval")
    if last is None or not interval:
        return Unseen("the daemon has not evaluated yet")
    age = installation.at - last
    if age <= max(_LATE * interval, _LATE_AT_LEAST):
        return None
    seen = f"the last evaluation was {words(age)} ago, and one is due every {words(interval)}"
    return failure(seen, "look at the daemon's log, and restart it: docker service update --force SERVICE")


@_daemon
def _problems(facts: DaemonFacts, _: Installation) -> Verdict:
    lasting = facts.document.get("problems") or []
    lines = [str(each.get("sentence") or each.get("detail") or each.get("kind")) for each in lasting]
    hinders = any(each.get("kind") not in _BESIDE for each in lasting)
    return listed(lines, Grade.FAILURE if hinders else Grade.WARNING, "see the finding with the same cause")


_NEEDS = ("D-DAEMON",)

CHECKS = (
    Check(
        "D-DAEMON",
        DAEMON,
        "The daemon answers",
        "the daemon's mode, its leader and its problems are then not known",
        "Give its address with `--url`, or run this command with `docker exec` beside it.",
        _answers,
        ("D-SETTINGS",),
    ),
    Check(
        "D-MODE",
        DAEMON,
        "The daemon is live",
        "in dry-run no service is scaled",
        "Set AUTOSCALER_DRY_RUN=false.",
        _mode,
        _NEEDS,
    ),
    Check(
        "D-LEADS",
        DAEMON,
        "An autoscaler leads",
        "without the lease nobody writes",
        "Let the socket proxy pass creating and updating configs.",
        _leads,
        _NEEDS,
    ),
    Check(
        "D-VERSION",
        DAEMON,
        "The daemon has this command's version",
        "another version may decide otherwise than this command expects",
        "Run the same image for both.",
        _version,
        _NEEDS,
    ),
    Check(
        "D-REVISION",
        DAEMON,
        "The daemon has these policy files in force",
        "what you edit here is not what scales",
        "Deploy these files, or give the daemon's with `--policies`.",
        _revision,
        ("D-DAEMON", "D-POLICIES"),
    ),
    Check(
        "D-RELOAD",
        DAEMON,
        "The daemon accepts its policy files",
        "the last valid set stays in force",
        "Correct the file, and reload.",
        _files,
        _NEEDS,
    ),
    Check(
        "D-EVALUATION",
        DAEMON,
        "The daemon evaluates in time",
        "counts stay as they are, whatever the load",
        "Look at the daemon's log, and restart it.",
        _in_time,
        _NEEDS,
    ),
    Check(
        "D-PROBLEMS",
        DAEMON,
        "The daemon has no problem",
        "it cannot do all of its work",
        "Do what the problem says.",
        _problems,
        _NEEDS,
    ),
)
