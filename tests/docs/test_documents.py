"""Documents and code say the same."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from autoscaler.cli.main import main
from autoscaler.core.reasons import Reason
from autoscaler.policy.file import policy_schema
from autoscaler.policy_files import loader
from autoscaler.policy_files.lint import LintId
from tests.docs.reference import OPERATIONS, POLICY_REFERENCE, REFERENCE, operations, policy_reference, reference
from tests.faults.table import AREAS, FAULTS

ROOT = Path(__file__).parents[2]


def test_the_reference_is_what_the_code_says() -> None:
    """docs/reference.md holds every setting, command, reason and metric as the code has them."""
    assert REFERENCE.read_text() == reference(), "run: python -m tests.docs.reference"


def test_the_policy_reference_is_what_the_code_says() -> None:
    """docs/policy-reference.md holds every key of a policy file, as the models' docstrings have it."""
    assert POLICY_REFERENCE.read_text() == policy_reference(), "run: python -m tests.docs.reference"


def test_the_faults_are_those_that_are_tried() -> None:
    """docs/operations.md holds every fault of tests/faults/table.py, by area, under an anchor of its own."""
    page = OPERATIONS.read_text()
    assert page == operations(), "run: python -m tests.docs.reference"
    assert re.findall(r'<a id="([\w-]+)"></a>', page) == [fault.id for fault in FAULTS]
    assert re.findall(r"^### (.*)$", page, re.MULTILINE) == [area for area, _ in AREAS]


def test_every_key_of_a_policy_file_is_explained() -> None:
    """An editor explains every key: none is without a description."""
    schema = policy_schema()
    parts = {"file": schema} | schema["$defs"]
    unexplained = {
        f"{name}.{key}"
        for name, part in parts.items()
        for key, value in part["properties"].items()
        if key != "strategy" and not value.get("description")
    }
    assert unexplained == set()


@pytest.mark.parametrize(
    "file",
    [*sorted((ROOT / "policies").glob("*.yml")), *sorted((ROOT / "policies" / "companies").glob("*.yml"))],
    ids=lambda file: file.name,
)
def test_the_policies_here_fit_the_schema(file: Path) -> None:
    """What `autoscaler check` accepts here, an editor with the schema accepts too."""
    jsonschema.validate(yaml.safe_load(file.read_text()), policy_schema())


def test_the_schema_refuses_a_misspelt_key() -> None:
    """An editor with the schema marks a misspelt key."""
    document = yaml.safe_load((ROOT / "policies" / "advwell.yml").read_text())
    document["policies"][0]["replicsa"] = {"min": 1}
    with pytest.raises(jsonschema.ValidationError, match="replicsa"):
        jsonschema.validate(document, policy_schema())


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_meaning(reason: Reason) -> None:
    """Each reason of the closed set has one meaning, and no two have the same."""
    assert [other for other in Reason if other.meaning == reason.meaning] == [reason]


@pytest.mark.parametrize("lint_id", LintId)
def test_every_warning_has_a_meaning_and_a_line_in_the_reference(lint_id: LintId) -> None:
    """Each id of the closed set has a meaning of its own, and one line in docs/policy-reference.md."""
    assert [other for other in LintId if other.meaning == lint_id.meaning] == [lint_id]
    assert POLICY_REFERENCE.read_text().count(f"| `{lint_id}` | {lint_id.meaning} | {lint_id.cure} |") == 1


@pytest.mark.parametrize("document", ["README.md", "docs/policies.md"])
def test_the_policies_that_documents_show_are_valid(document: str, tmp_path: Path) -> None:
    """A policy copied from the documents passes `autoscaler check` without a warning, and fits the schema."""
    shown = re.findall(r"^ *```yaml\n(.*?)^ *```", (ROOT / document).read_text(), re.MULTILINE | re.DOTALL)
    policies = [block for block in shown if "version: 1" in block]
    assert policies
    for number, block in enumerate(policies):
        indent = len(block) - len(block.lstrip(" "))
        file = tmp_path / f"{number}.yml"
        file.write_text("\n".join(line[indent:] for line in block.splitlines()))
        assert loader.read_policies([file]).warnings(15) == []
        jsonschema.validate(yaml.safe_load(file.read_text()), policy_schema())


def test_the_policy_test_that_the_readme_shows_passes(tmp_path: Path) -> None:
    """README.md's policy test passes on README.md's policy."""
    blocks = re.findall(r"^ *```yaml\n(.*?)^ *```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    policy, test = map(dedent, blocks)
    (tmp_path / "advwell.yml").write_text(policy)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "readme.yml").write_text(test)
    result = CliRunner().invoke(main, ["test", str(tmp_path / "tests" / "readme.yml")])
    assert (result.exit_code, "1 passed, 0 failed" in result.output) == (0, True), result.output
