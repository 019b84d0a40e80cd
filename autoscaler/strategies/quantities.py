"""What rules are written with: numbers, steps and percentages."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

_MOST = 10_000

Number = Annotated[float, Field(strict=True)]
"""A finite number."""


def _step(value: object) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST:
        return value
    if isinstance(value, str) and re.fullmatch(r"[1-9][0-9]{0,3}%", value):
        return value
    raise ValueError(f'{value!r:.40} is not a step (write a count like 2, or a percentage like "50%")')


Step = Annotated[
    int | str,
    PlainValidator(_step),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": _MOST},
                {"type": "string", "pattern": r"^[1-9][0-9]{0,3}%$"},
            ]
        }
    ),
]
"""A number of replicas, or a percentage of the requested ones, rounded down, at least 1."""


def size(step: int | str, requested: int) -> int:
    """How many replicas *step* means for a service with *requested* of them."""
    if isinstance(step, int):
        return step
    return max(1, requested * int(step.removesuffix("%")) // 100)


def _share(value: object) -> float:
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?%", value):
        share = float(value.removesuffix("%")) / 100
        if share <= 1:
            return share
    raise ValueError(f'{value!r:.40} is not a percentage (write one from "0%" to "100%", like "10%")')


def _percent(share: float) -> str:
    return f"{share * 100:g}%"


Share = Annotated[
    float,
    PlainValidator(_share),
    PlainSerializer(_percent),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,6})?%$", "examples": ["10%", "80%"]}),
]
"""A part of a whole, from 0 to 1, written as a percentage."""
