"""Documents name only what is there, and stay short."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split("\n")  # noqa: S607
FILES = [ROOT / name for name in TRACKED if name] or [file for file in ROOT.rglob("*.*") if ".venv" not in file.parts]
"""Every file of the repository; in a copy without git all that lies there."""
DOCUMENTS = sorted(file for file in FILES if file.suffix == ".md" and file.is_file())
FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED = re.compile(
    r"`((?:docs|policies|deploy|tests|autoscaler|benchmarks|examples)/[\w./-]+|(?:README|CHANGELOG)\.md)(?:::\w+)?`"
)
NUMBERED = re.compile("|".join((r"\bSPEC" + r" \d", r"\bfacts" + r" \d")))
CITED = re.compile(r"docs/([\w-]+\.md)#([\w-]+)")


def named(file: Path) -> str:
    """Return the file's path in the repository."""
    return file.relative_to(ROOT).as_posix()


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, and those that it sets itself."""
    text = FENCE.sub("", document.read_text())
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    slugs = {re.sub(r"[^\w\- ]", "", re.sub(r"<[^>]+>", "", each).lower()).replace(" ", "-") for each in headings}
    return slugs | set(re.findall(r'<a id="([\w-]+)">', text))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_resolves(document: Path) -> None:
    """A relative link names a file of the repository, and its anchor a heading of that file."""
    broken = []
    for link in LINK.findall(FENCE.sub("", document.read_text())):
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if re.match(r"\w+:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_path_that_a_document_names_exists(document: Path) -> None:
    """A path in a document is there: in the repository, or in the example that the document is about."""
    places = [ROOT, *(ROOT / "examples").iterdir()] if document.name == "plugins.md" else [ROOT, document.parent]
    paths = NAMED.findall(document.read_text())
    assert [path for path in paths if not any((place / path).exists() for place in places)] == []


def test_every_fact_can_be_repeated() -> None:
    """Each fact of docs/facts.md says how to repeat it, by a command or by tests that are there."""
    page = (ROOT / "docs" / "facts.md").read_text()
    facts = re.split(r"^### ", page, flags=re.MULTILINE)[1:]
    assert [fact.partition("\n")[0] for fact in facts if "*Repeat*: " not in fact] == []
    tests = "".join(file.read_text() for file in FILES if "tests" in file.parts and file.suffix == ".py")
    assert [name for name in re.findall(r"`(test_\w+)`", page) if f"def {name}(" not in tests] == []


def test_what_code_cites_of_the_documents_is_there() -> None:
    """An anchor of a document that the code cites exists."""
    cited = {
        (named(file), page, anchor)
        for file in FILES
        if file.suffix in {".py", ".yml"}
        for page, anchor in CITED.findall(file.read_text())
    }
    assert {each for each in cited if each[2] not in anchors(ROOT / "docs" / each[1])} == set()


def test_no_text_cites_a_number_of_a_document_that_is_not_here() -> None:
    """Texts state a fact, or cite docs/facts.md by anchor, and never the number of a section."""
    texts = {file: file.read_text(errors="replace") for file in FILES if file.is_file()}
    assert [named(file) for file, text in texts.items() if NUMBERED.search(text)] == []


def test_the_readme_is_short() -> None:
    """README.md has at most 1,000 words."""
    assert len((ROOT / "README.md").read_text().split()) <= 1000


def test_the_changelog_has_short_bullets() -> None:
    """A bullet of CHANGELOG.md has at most 25 words."""
    bullets = re.findall(r"^- (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert [bullet for bullet in bullets if len(bullet.split()) > 25] == []
