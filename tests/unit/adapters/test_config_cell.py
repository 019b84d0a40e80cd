from __future__ import annotations

from typing import Any

import pytest

from autoscaler.adapters.docker.config_cell import ConfigCell
from autoscaler.errors import UnreachableError
from autoscaler.util.deadline import Deadline


class Api:
    """An engine that has one config, with these labels."""

    def __init__(self, labels: Any) -> None:
        self._labels = labels

    def config(self, _name: str, _deadline: Deadline, /) -> dict[str, Any]:
        """The config."""
        return {"Version": {"Index": 7}, "Spec": {"Name": "cell", "Labels": self._labels}}


def seen(labels: Any) -> tuple[int, dict[str, str]] | None:
    """What the cell says where its config has *labels*."""
    return ConfigCell(Api(labels), "cell", "", "").look(Deadline(5))  # type: ignore[arg-type] # only this call is made


@pytest.mark.parametrize("labels", [None, {}])
def test_a_config_without_labels(labels: Any) -> None:
    """A config that somebody made without labels says nothing."""
    assert seen(labels) == (7, {})


@pytest.mark.parametrize("labels", [["a"], "a", {"\ud800": "x"}, {"x": "\ud800"}])
@pytest.mark.fault("hostile-answers")
def test_labels_that_are_none(labels: Any) -> None:
    """What is no labels, and text that cannot be written, is no answer of Docker's."""
    with pytest.raises(UnreachableError, match="not what its API documents"):
        seen(labels)
