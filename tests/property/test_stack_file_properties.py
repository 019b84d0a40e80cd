"""`stack-file` on every form in which services share parts, judged by other parsers than the one that writes."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.stack_file import with_counts
from tests.support.stack_files import READINGS, made, with_live


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_printed_means_what_was_given_but_for_the_counts(seed: int) -> None:
    """Every service has its live count if it has one, else its own; nothing else has another meaning.

    So it is to Docker 28 and to Docker 20.10, which read a key before a merge key differently.
    """
    text, counts = made(Random(seed))

    filled, differing = with_counts(text, counts, "stack.yml")

    assert differing.keys() <= counts.keys()
    for reading in READINGS.values():
        assert reading(filled) == with_live(
            reading(text), counts_that_differ := {n: c for n, (_, c) in differing.items()}
        )
        for name, count in counts.items():
            service = reading(filled)["services"].get(name)
            assert service is None or service.get("deploy", {}).get("replicas", 1) == count
        del counts_that_differ
