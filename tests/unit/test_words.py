"""One word, one thing: what the package's names promise to its readers."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pkgutil
from collections import defaultdict
from pathlib import Path

import autoscaler

PACKAGE = Path(__file__).parents[2] / "autoscaler"


def test_no_two_classes_have_one_name() -> None:
    """A class name that modules share means one thing in the whole package; private ones stay in their module."""
    places: dict[str, list[str]] = defaultdict(list)
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(file.relative_to(PACKAGE)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_nobody_hands_in_private_state() -> None:
    """The private state of a dataclass is not an argument of its constructor."""
    handed_in = {
        f"{kind.__module__}.{kind.__name__}.{item.name}"
        for found in pkgutil.walk_packages(autoscaler.__path__, "autoscaler.")
        if not found.name.endswith("__main__")
        for _, kind in inspect.getmembers(importlib.import_module(found.name), inspect.isclass)
        if dataclasses.is_dataclass(kind)
        for item in dataclasses.fields(kind)
        if item.name.startswith("_") and item.init
    }
    assert handed_in == set()
