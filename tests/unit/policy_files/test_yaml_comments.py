from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.policy_files.yaml_comments import comments

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if hasattr(yaml, "CSafeLoader") else [])]
TEXT = """\
# autoscaler ignore: top
a: 1  # autoscaler ignore: flaps, x
b: "x # autoscaler ignore: no"
c: |  # autoscaler ignore: head
  text # autoscaler ignore: no
# autoscaler ignore: after-block
d: >
  folded # autoscaler ignore: no

  # autoscaler ignore: no
# - name: x # autoscaler ignore: no
f:
  - # autoscaler ignore: dash
    g: 'multi
   # autoscaler ignore: no
      x'  #autoscaler ignore: quoted
  # autoscaler ignore: before

  # a note
  - {h: 1, i: "é😀 #"}  # autoscaler ignore: flow
# autoscaler ignore: last
"""


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_comment_is_about_its_line_or_the_next_one(loader: Any, end: str) -> None:
    """A comment with a line to itself is about the next line with content; blocks and quotes hold no comments."""
    found = comments(TEXT.replace("\n", end), loader)
    assert [(each.line, each.ids[0], each.about) for each in found] == [
        (1, "top", 2),
        (2, "flaps", 2),
        (4, "head", 4),
        (6, "after-block", 7),
        (13, "dash", 14),
        (16, "quoted", 16),
        (17, "before", 20),
        (20, "flow", 20),
        (21, "last", 21),
    ]
    assert found[1].column == 7
    assert found[1].ids == ("flaps", "x")


NAMES = st.text("ab #", min_size=1, max_size=3)
VALUES: Any = st.recursive(
    st.text(st.sampled_from("ab#:' \"\n\té😀\x85\u2028"), max_size=12) | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
WAYS = st.fixed_dictionaries(
    {
        "default_style": st.sampled_from([None, '"', "'", "|", ">"]),
        "default_flow_style": st.booleans(),
        "width": st.sampled_from([8, 1000]),
    }
)


def scalars(text: str, loader: Any) -> list[str]:
    """Return all keys and values that the parser finds in *text*."""
    events: Any = yaml.parse(text, Loader=loader)
    return [event.value for event in events if isinstance(event, yaml.ScalarEvent)]


@given(VALUES, WAYS, st.sampled_from(LOADERS), st.data())
def test_a_comment_is_what_the_parser_passes_over(
    value: object, way: dict[str, Any], loader: Any, data: st.DataObject
) -> None:
    """The words at the end of any line are a comment exactly if the parser has them in no key and no value."""
    text = yaml.safe_dump([value, 1], allow_unicode=True, **way)
    lines = text.splitlines(keepends=True)
    index = data.draw(st.integers(0, len(lines) - 1))
    body = lines[index].rstrip("\r\n\x85\u2028\u2029")
    lines[index] = f"{body} # autoscaler ignore: flaps{lines[index][len(body) :]}"
    changed = "".join(lines)
    try:
        read = scalars(changed, loader)
    except yaml.YAMLError:
        return  # the words broke the text
    within = any("autoscaler ignore" in each for each in read)
    assert [each.line for each in comments(changed, loader)] == ([] if within else [index + 1])
