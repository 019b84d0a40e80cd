"""The rollback point: what tasks were made from before a deploy, kept in a label. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from typing import TYPE_CHECKING

from autoscaler.adapters.docker.documents import TEMPLATE
from autoscaler.swarm.cluster import ROLLBACK_LABEL

if TYPE_CHECKING:
    from autoscaler.adapters.docker.engine_api import Document

_LARGEST_POINT = 2**20
"""The most bytes that a rollback point may unpack to."""
_LONGEST_POINT = 48 * 1024
"""The most characters of a rollback point in a label, because every list of services carries it
(docs/facts.md#label-sizes)."""


def rollback_point(document: Document) -> str:
    """Return what tasks were made from before the service's last update, as the text of a label.

    The text names the version that came after, because somebody may deploy again and keep the label. It is empty if it
    would be too large to be read again.
    """
    point = {"before": _template(document["PreviousSpec"]), "after": _fingerprint(document["Spec"])}
    content = json.dumps(point, separators=(",", ":"), ensure_ascii=False).encode()
    text = base64.b64encode(zlib.compress(content, 9)).decode()
    return text if len(content) <= _LARGEST_POINT and len(text) <= _LONGEST_POINT else ""


def keeps_too_much(spec: Document) -> bool:
    """Return whether the label of the rollback point is longer than any that the autoscaler writes.

    Swarm stores at most 1.5 MiB of a service and its previous spec. With a label of a megabyte nobody could change the
    service's count.
    """
    return len((spec.get("Labels") or {}).get(ROLLBACK_LABEL, "")) > _LONGEST_POINT


def rolled_back(document: Document) -> Document | None:
    """Return a copy of the service's spec with the version before its last deploy, and the present count and labels.

    Return None if that version is not known, because there was only one version or somebody dropped the label. Raise
    ValueError if the label cannot be used.
    """
    spec, previous = document["Spec"], document.get("PreviousSpec")
    labels = dict(spec.get("Labels") or {})
    kept = labels.pop(ROLLBACK_LABEL, None)
    if previous is not None and _template(previous) != _template(spec):
        template = _template(previous)  # Swarm still has it, because nothing was scaled since
    elif kept is not None:
        template = _point(kept, _fingerprint(spec))
    else:
        return None
    changed = {part: value for part, value in template.items() if value is not None}
    return {part: value for part, value in spec.items() if part not in TEMPLATE} | changed | {"Labels": labels}


def _template(spec: Document) -> Document:
    return {part: spec.get(part) for part in TEMPLATE}


def _fingerprint(spec: Document) -> str:
    """Return a text that is equal for two specs only if their tasks are made from the same."""
    return hashlib.sha256(json.dumps(_template(spec), sort_keys=True).encode()).hexdigest()[:16]


def _point(text: str, version: str) -> Document:
    """Return what `rollback_point` packed into *text*, if the deployed *version* came after it.

    Raise ValueError for any other text, because anybody may have written it.
    """
    if not text:
        raise ValueError("the version before the last deploy is too large to be kept in a label")
    try:
        point = json.loads(_unpacked(text))
    except (zlib.error, ValueError, RecursionError) as error:
        raise ValueError(f"the label {ROLLBACK_LABEL} is damaged ({error})") from error
    template = point.get("before") if isinstance(point, dict) else None
    if (
        not isinstance(template, dict)
        or set(template) != set(TEMPLATE)
        or not isinstance(template["TaskTemplate"], dict)
    ):
        raise ValueError(f"the label {ROLLBACK_LABEL} holds no version of a service")
    if point.get("after") != version:
        raise ValueError(
            "the version in the label is not the one before the last deploy; somebody else's update after that deploy "
            "made Swarm forget it"
        )
    return template


def _unpacked(text: str) -> bytes:
    """Return the content of the label; raise ValueError or zlib.error if it is too large or malformed."""
    unpacking = zlib.decompressobj()
    if len(text) <= _LONGEST_POINT:
        content = unpacking.decompress(base64.b64decode(text, validate=True), _LARGEST_POINT)
        if not unpacking.unconsumed_tail:
            return content
    raise ValueError("it is larger than any that the autoscaler writes")
