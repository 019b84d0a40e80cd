"""Comments in policy files that ignore warnings: ``# autoscaler ignore: flaps``."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from autoscaler.policy_files.diagnostic import Diagnostic, shown
from autoscaler.policy_files.lint.ids import LintId
from autoscaler.policy_files.validation import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from autoscaler.policy_files.diagnostic import Path
    from autoscaler.policy_files.yaml_comments import Comment
    from autoscaler.policy_files.yaml_document import Document

_PART = 2
"""The steps from a document to a policy or a metric."""


@dataclass(frozen=True)
class _Ignore:
    """A comment, and those of its ids that have silenced a warning."""

    document: Document
    comment: Comment
    used: set[str] = field(default_factory=set)

    def diagnostic(self, what: str, cure: str, id_: LintId) -> Diagnostic:
        """Return a warning about the comment itself."""
        return Diagnostic(self.document.file, self.comment.line, self.comment.column, "", what, cure, id_)


class Ignores:
    """The comments of all documents, by the lines that they are about."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._all = [_Ignore(document, comment) for document in documents for comment in document.comments]
        self._by_line: defaultdict[tuple[Document, int], list[_Ignore]] = defaultdict(list)
        for ignore in self._all:
            self._by_line[ignore.document, ignore.comment.about].append(ignore)

    def silence(self, document: Document, path: Path, found: Diagnostic) -> bool:
        """Return whether a comment ignores the warning *found* at *path*, on its line or that of an enclosing part."""
        if not self._all:
            return False
        ignoring = [
            ignore
            for line in {found.line, *_lines(document, path)}
            for ignore in self._by_line.get((document, line), ())
            if found.id in ignore.comment.ids
        ]
        for ignore in ignoring:
            ignore.used.add(found.id)
        return bool(ignoring)

    def unknown(self) -> Iterator[Diagnostic]:
        """Warn of words that are not the id of a warning that can be ignored."""
        known = [str(each) for each in LintId if each.can_be_ignored]
        for ignore in self._all:
            for word in dict.fromkeys(ignore.comment.ids):
                if word not in known:
                    what = f"{shown(word)} is not the id of a warning that can be ignored" if word else "names no id"
                    yield ignore.diagnostic(what, did_you_mean(word, known, "the ids are"), LintId.UNKNOWN_IGNORE)

    def unused(self, unchecked: Collection[LintId]) -> Iterator[Diagnostic]:
        """Warn of ids that have silenced nothing, except those that are *unchecked*."""
        looked_for = {str(each) for each in LintId if each.can_be_ignored and each not in unchecked}
        for ignore in self._all:
            for word in dict.fromkeys(ignore.comment.ids):
                if word in looked_for and word not in ignore.used:
                    what = f"there is no warning {word} to ignore in line {ignore.comment.about}"
                    cure = "remove the id, or put the comment on the line that the warning names"
                    yield ignore.diagnostic(what, cure, LintId.UNUSED_IGNORE)


def _lines(document: Document, path: Path) -> Iterator[int]:
    """Yield the lines on which the parts of *path* begin, from its policy or metric on."""
    for length in range(_PART, len(path) + 1):
        # A list in block style begins on the line of its first item; its key tells the two apart.
        yield document.place(path[:length], of_key=isinstance(path[length - 1], str)).line
