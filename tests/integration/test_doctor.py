"""`autoscaler doctor` on whole installations: each check broken for real and cured as it says, and its output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from autoscaler.doctor.catalogue import CHECKS
from autoscaler.doctor.checks import Grade
from tests.support.ailments import TABLE, Ailment
from tests.support.installation import FakeInstallation, installation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def whole(tmp_path: Path) -> Iterator[FakeInstallation]:
    """A healthy installation."""
    with installation(tmp_path) as made:
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
    """What is broken is found, quoted and explained; the cure, taken as it says, makes the check good."""
    ailment.breaks(whole)

    broken = whole.result(ailment.code)

    assert broken.grade is ailment.grade
    assert ailment.seen in " ".join(broken.seen)
    assert ailment.cure in broken.cure
    assert broken.seen
    ailment.cures(whole, broken)
    cured = whole.result(ailment.code)
    assert cured.grade is Grade.GOOD, cured
