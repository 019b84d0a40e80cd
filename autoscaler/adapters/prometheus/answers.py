"""The answers of Prometheus' query API as documents, their samples as arrays. Pure."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from msgspec import Raw, ValidationError
from msgspec.json import Decoder, decode

if TYPE_CHECKING:
    from collections.abc import Callable


def parse(text: str) -> dict[str, Any]:
    """Return the document of an answer, the samples of each series as two arrays; raise ValueError if it is not one.

    The data of an answer with another status than success are None.
    """
    try:
        parts = _PARTS.decode(text)
        document = {name: decode(part) for name, part in parts.items() if name != "data"}
        document["data"] = _data(parts["data"]) if document["status"] == "success" else None
        doubt_of(document)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"{error}") from error
    return document


def doubt_of(document: dict[str, Any]) -> str:
    """Return the warning that an answer gives about itself; empty if the answer is complete."""
    if document.get("isPartial"):  # VictoriaMetrics
        return "isPartial"
    warnings = [f"{warning}" for warning in document.get("warnings") or ()]
    # Prometheus 2.48 to 2.53 puts notes on the query's style beside warnings (prometheus/prometheus#14135).
    return "; ".join(warning for warning in warnings if not warning.startswith("PromQL info:"))


def _data(text: Raw) -> dict[str, Any]:
    """Return the data of an answer. Each series is parsed alone, because lists of lists of all would be too large."""
    parts = _PARTS.decode(text)
    data = {name: decode(part) for name, part in parts.items() if name != "result"}
    data["result"] = [_series(series) for series in _RESULT.decode(parts["result"])]
    return data


def _series(parts: dict[str, Raw]) -> dict[str, Any]:
    """Return one series of a result; raise KeyError if it has no labels, which every series has."""
    return {"metric": _LABELS.decode(parts["metric"])} | {
        name: _READERS.get(name, decode)(part) for name, part in parts.items() if name != "metric"
    }


def _samples(text: Raw) -> tuple[array[float], array[float]]:
    """Return a series' samples ``[[time, "value"], …]`` as two arrays."""
    try:
        samples = _NUMBERS.decode(text)
    except ValidationError:  # a value that is not a number in JSON, like NaN
        samples = [(moment, float(value)) for moment, value in _TEXTS.decode(text)]
    times, values = zip(*samples, strict=True) if samples else ((), ())
    return array("d", times), array("d", values)


_PARTS = Decoder(dict[str, Raw])
_RESULT = Decoder(list[dict[str, Raw]])
_NUMBERS = Decoder(list[tuple[float, float]], strict=False)
_TEXTS = Decoder(list[tuple[float, str]])
_LABELS = Decoder(dict[str, str])
_READERS: dict[str, Callable[[Raw], Any]] = {"values": _samples}
