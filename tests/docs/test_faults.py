from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.faults.table import FAULTS, Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
REAL = ("tests/e2e/", "tests/integration/test_prometheus_real.py")
BOTH = (
    "tests/contract/swarm_cases.py",
    "tests/contract/lease_cases.py",
    "tests/contract/pause_cases.py",
    "tests/contract/metric_source_cases.py",
)
"""Contract suites: their cases run against the fakes and against the real things."""


class Mark(NamedTuple):
    """A `@pytest.mark.fault` somewhere in the tests."""

    id: str
    file: str
    line: int


def _marks() -> Iterator[Mark]:
    for file in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
                for id_ in node.args:
                    assert isinstance(id_, ast.Constant), f"{file}:{node.lineno}: name the row by a literal"
                    yield Mark(str(id_.value), file.relative_to(ROOT).as_posix(), node.lineno)


MARKS = list(_marks())


def test_every_mark_names_a_fault() -> None:
    """A test that says which fault it tries names a fault of the table."""
    known = {fault.id for fault in FAULTS}
    assert [mark for mark in MARKS if mark.id not in known] == []


def test_every_row_is_another() -> None:
    """No two rows have the same id or are about the same fault."""
    assert len({fault.id for fault in FAULTS}) == len({fault.fault for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_every_row_is_tried_where_it_says(fault: Fault) -> None:
    """A row that says **fake** has a test against fakes, one that says **real** a test against the real things."""
    files = [mark.file for mark in MARKS if mark.id == fault.id]
    tried = {
        "real": any(file.startswith((*REAL, *BOTH)) for file in files),
        "fake": any(not file.startswith(REAL) for file in files),
    }
    assert fault.tried, "a row that is tried nowhere says nothing that is known"
    assert {place for place in tried if getattr(fault, place) is not None} == {
        place for place, is_tried in tried.items() if is_tried
    }
