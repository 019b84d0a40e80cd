"""Writes docs/doctor.md: a section for each check, with what an installation says that is broken for it.

`python -m tests.docs.doctor`; the tests of the checks keep them in step.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from autoscaler.doctor.catalogue import CHECKS
from autoscaler.views.doctor import finding_lines
from tests.support.ailments import TABLE
from tests.support.installation import installation

if TYPE_CHECKING:
    from autoscaler.doctor.checks import Check, CheckResult
    from tests.support.installation import FakeInstallation

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
_MARK = "<!-- The checks: made by `python -m tests.docs.doctor` -->"


def sample(broken: CheckResult, whole: FakeInstallation) -> str:
    """Return the lines of a finding, with addresses as operators have them."""

    def shown(text: str) -> str:
        for real, usual in (
            (whole.swarm.url, "unix:///var/run/docker.sock"),
            (whole.prometheus.url, "http://prometheus:9090"),
            (str(whole.folder), ""),
        ):
            text = text.replace(real, usual)
        return text

    usual = replace(broken, seen=tuple(map(shown, broken.seen)), cure=shown(broken.cure))
    return "\n".join(line for line, _ in finding_lines(usual))


def steady(text: str) -> str:
    """Return *text* without what differs from run to run: numbers, revisions and line breaks."""
    return " ".join(re.sub(r"\b[0-9a-f]{12}\b|\b(?:[0-9]+[dhms])+\b|[0-9]+", "0", text).split())


def section(check: Check, example: str) -> str:
    """Return the section of one check."""
    return (
        f"### {check.code}\n\n**{check.statement}.**\n\n- Why: {check.why}.\n- Cure: {check.cure}\n\n"
        f"```\n{example}\n```\n"
    )


def checks_text() -> str:
    """Return the sections of all checks, by category."""
    examples: dict[str, str] = {}
    for ailment in TABLE:
        with TemporaryDirectory() as folder, installation(Path(folder)) as whole:
            ailment.breaks(whole)
            examples[ailment.code] = sample(whole.result(ailment.code), whole)
    parts = []
    for category, checks in groupby(CHECKS, key=lambda check: check.category):
        parts.append(f"## {category[:1].upper()}{category[1:]}\n")
        parts += [section(check, examples[check.code]) for check in checks]
    return "\n".join(parts)


if __name__ == "__main__":
    for name in [name for name in os.environ if name.startswith("AUTOSCALER_")]:
        del os.environ[name]
    before, _, _ = PAGE.read_text().partition(_MARK)
    PAGE.write_text(f"{before}{_MARK}\n\n{checks_text()}")
