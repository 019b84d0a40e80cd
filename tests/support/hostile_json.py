"""JSON that no API documents."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

TEXTS = st.sampled_from(
    ["", "web", "\x1b[31m\n", "\ud800", "9" * 5000, "2026-01-01T00:00:00Z", "2026-01-01", "x" * 10_000]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, -1, 10**30, 2**63, 1e308, 1e-300, float("inf"), float("nan")])
    | TEXTS
    | st.text(max_size=5)
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6
)


def places(value: Any, way: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to every part of *value*, the whole left out."""
    children: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        children = list(value.items())
    elif isinstance(value, list):
        children = list(enumerate(value))
    return [place for key, child in children for place in ((*way, key), *places(child, (*way, key)))]


@st.composite
def twists(draw: st.DrawFn, document: Any) -> Any:
    """*document* with one to three of its parts replaced by any JSON, or missing."""
    twisted = deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        ways = places(twisted)
        if not ways:
            break
        *above, last = draw(st.sampled_from(ways))
        parent = twisted
        for step in above:
            parent = parent[step]
        if draw(st.booleans()):
            parent[last] = draw(JSON)
        else:
            del parent[last]
    return twisted
