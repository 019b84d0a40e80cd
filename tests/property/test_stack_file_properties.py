"""`stack-file` on every form in which services share parts, judged by other parsers than the one that writes."""

from __future__ import annotations

import re

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.stack_file import override, with_counts
from tests.support.stack_files import NOTES, READINGS, made, with_live


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_printed_means_what_was_given_but_for_the_counts(seed: int) -> None:
    """Every service has its live count if it has one, else its own; nothing else has another meaning.

    So it is to Docker 28 and to Docker 20.10, which read a key before a merge key differently.
    """
    text, counts = made(seed)

    filled, differing = with_counts(text, counts, "stack.yml")

    assert differing.keys() <= counts.keys()
    live = {name: count for name, (_, count) in differing.items()}
    for reading in READINGS.values():
        assert reading(filled) == with_live(reading(text), live)
        for name, count in counts.items():
            service = reading(filled)["services"].get(name)
            assert service is None or service.get("deploy", {}).get("replicas", 1) == count


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32))
def test_comments_and_untouched_lines_stay(seed: int) -> None:
    """Every comment is still there, and so is every line without a count, a shared part or a flow style."""
    text, counts = made(seed)

    filled, _ = with_counts(text, counts, "stack.yml")

    assert {note: filled.count(note) for note in NOTES} == {note: text.count(note) for note in NOTES}
    gone = set(text.splitlines()) - set(filled.splitlines())
    assert [line for line in gone if not re.search(r"[*{}]|replicas|deploy|COUNT|^ *(&\w+ )?[0-9]", line)] == []


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_the_counts_of_several_files_are_the_last_one(one: int, other: int) -> None:
    """The file of counts holds each live count that the files together do not say already, and nothing else."""
    (first, counts), (second, _) = made(one), made(other)
    read = [READINGS["Docker 28"](text)["services"] for text in (first, second)]

    printed, differing = override([("one.yml", first), ("other.yml", second)], counts)

    printed_counts = {name: said["deploy"]["replicas"] for name, said in yaml.safe_load(printed)["services"].items()}
    assert printed_counts == {name: count for name, (_, count) in differing.items()}
    for name, count in counts.items():
        said = [services[name].get("deploy", {}).get("replicas") for services in read if name in services]
        effective = next((each for each in reversed(said) if each is not None), 1)
        assert (name in printed_counts) or not said or effective == count
        assert name not in printed_counts or said
