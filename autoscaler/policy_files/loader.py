"""Policy files as one set: all valid, or every problem of every file at once, each at its line and column.

Reads files; decides nothing.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from autoscaler.errors import PolicyError
from autoscaler.policy.file import OWN_KEYS, Defaults, PolicyFile
from autoscaler.policy.metric import Metric, with_built_in
from autoscaler.policy.policy import PolicySet
from autoscaler.policy_files import cross_checks as checks
from autoscaler.policy_files import lint as advice
from autoscaler.policy_files.diagnostic import MAX_PROBLEMS, about_file
from autoscaler.policy_files.lint import Origin
from autoscaler.policy_files.places import places_of, places_of_defaults
from autoscaler.policy_files.validation import validate
from autoscaler.policy_files.yaml_document import MAX_BYTES, Document, read
from autoscaler.policy_files.yaml_reader import MAX_NODES

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from autoscaler.policy.policy import Policy
    from autoscaler.policy_files.diagnostic import Diagnostic

SUFFIXES = (".yml", ".yaml")
"""What the names of policy files in a directory end with."""
MOST_FILES = 1000
LARGEST_SET = 8 * 2**20
"""How many bytes all files may have together: they are read at every evaluation, to see whether they changed."""
MOST_POLICIES = 5000


# Loading


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid policy set, and the files it came from."""

    policies: PolicySet
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """Where each policy stands, by its name."""
    metric_origins: Mapping[str, Origin] = field(default_factory=dict)
    """Where each metric stands that is defined, by its name."""
    documents: Sequence[Document] = ()
    """All documents of the set; their comments may ignore warnings."""

    def warnings(self, step: int) -> list[Diagnostic]:
        """What is valid but hardly meant, each at its place; *step* is the window step in seconds."""
        return advice.warnings(self.policies, step, self.origins, self.metric_origins, self.documents)


def load(paths: Sequence[pathlib.Path]) -> PolicySet:
    """The policies of *paths* as one set; see `read_policies`."""
    return read_policies(paths).policies


def read_policies(paths: Sequence[pathlib.Path]) -> Loaded:
    """The policies of *paths* as one set: a directory means its policy files, not recursively; a file is itself.

    All valid, or PolicyError with all problems of all files. Hidden files of a directory are left out.
    """
    return look(paths).as_set()


@dataclass(frozen=True, slots=True)
class Files:
    """What one look read of the policy files, each file once."""

    contents: Sequence[tuple[pathlib.Path, bytes]]
    problems: Sequence[Diagnostic]
    """What could not be read."""

    @property
    def fingerprint(self) -> str:
        """A short hash of what was read, the same as the revision of the set that it gives.

        What could not be read has a fingerprint of its own, by what is wrong with it.
        """
        unreadable = (str(problem).encode() for problem in self.problems)
        return _digest([*(content for _, content in self.contents), *unreadable])

    def as_set(self) -> Loaded:
        """Return the policies as one set; raise PolicyError with all problems of all files."""
        documents = [read(content, str(path)) for path, content in self.contents]
        loaded, found = _as_set(documents, _digest(content for _, content in self.contents))
        problems = [*self.problems, *found]
        if problems or loaded is None:
            raise PolicyError([str(problem) for problem in problems])
        return loaded


def look(paths: Sequence[pathlib.Path]) -> Files:
    """Read the files that *paths* mean, each file once; never raise.

    A file that is written in place may be read half, because its writer truncates it first. A file that is renamed into
    its place is read whole.
    """
    return Files(*_contents(paths))


def from_document(document: Document) -> tuple[Loaded | None, list[Diagnostic]]:
    """The policies that *document* holds, or None, and its problems: for policies that stand inside another file."""
    return _as_set([document], _digest([repr(document.data).encode()]))


def fingerprint(paths: Sequence[pathlib.Path]) -> str:
    """Return the fingerprint of what *paths* say now, as `Files` has it; never raise."""
    return look(paths).fingerprint


def _as_set(documents: list[Document], revision: str) -> tuple[Loaded | None, list[Diagnostic]]:
    problems: list[Diagnostic] = []
    policies: list[Policy] = []
    metrics: dict[str, Metric] = {}
    origins: dict[str, Origin] = {}
    metric_origins: dict[str, Origin] = {}
    defaults = _defaults(documents)
    if too_large := [*_too_many(documents), *_too_large(documents, defaults)]:
        return None, [*(problem for document in documents for problem in document.problems), *too_large]
    # What is wrong with the defaults is told where they stand, and not once more for each policy that gets them.
    faulty = bool(defaults.data) and bool(validate(defaults, Defaults)[1])
    documents = [_with_defaults(document, defaults.data) for document in documents]
    places, inherited = {}, places_of_defaults(defaults)
    for document in documents:
        content, found = validate(document, PolicyFile, only_written=faulty)
        problems.extend(found)
        if content is None:
            continue
        metrics |= content.metrics
        metric_origins |= {name: Origin(document, ("metrics", name)) for name in content.metrics}
        for index, policy in enumerate(content.policies):
            policies.append(policy)
            origins[policy.name] = Origin(document, ("policies", index))
            places[policy.name] = places_of(document, ("policies", index), _policies(document)[index], inherited)
    between = list(islice(checks.problems(documents), MAX_PROBLEMS))
    problems.extend(between)
    if len(between) == MAX_PROBLEMS:
        problems.append(about_file(documents[0].file, "there may be more problems", "correct these first"))
    if problems:
        order = {document.file: position for position, document in enumerate(documents)}
        return None, sorted(set(problems), key=lambda problem: (order[problem.file], problem))
    known = PolicySet(policies=tuple(policies), metrics=with_built_in(metrics), revision=revision, places=places)
    return Loaded(known, origins, metric_origins, documents), []


# Defaults


def _defaults(documents: Iterable[Document]) -> Document:
    """What the documents say of all policies, as they write it; of two that say something, the first."""
    parts = (document.part("defaults") for document in documents)
    return next((part for part in parts if isinstance(part.data, dict)), Document("", None))


def _too_large(documents: Iterable[Document], defaults: Document) -> Iterator[Diagnostic]:
    """That a file's policies, with the defaults written out in each, are more than a file may hold."""
    size = defaults.root.size if defaults.root else 0
    for document in documents:
        if size * len(_policies(document)) > MAX_NODES:
            what = f"written out in each policy of {document.file}, they are more than {MAX_NODES} nodes"
            yield defaults.problem((), what, "give what only some policies need to these, or split the file")


def _too_many(documents: Sequence[Document]) -> Iterator[Diagnostic]:
    """That the documents hold more policies than a set may."""
    count = 0
    for document in documents:
        before, count = count, count + len(_policies(document))
        if count > MOST_POLICIES >= before:
            path = ("policies", MOST_POLICIES - before)
            what = f"this is more than the {MOST_POLICIES} policies that a set may have"
            yield document.problem(path, what, "let globs or labels name the services that have the same rules")


def _policies(document: Document) -> list[Any]:
    policies = document.data.get("policies") if isinstance(document.data, dict) else None
    return policies if isinstance(policies, list) else []


def _with_defaults(document: Document, defaults: dict[str, Any] | None) -> Document:
    """*document* whose policies have what they leave to the *defaults*."""
    policies = _policies(document)
    if not defaults or not policies:
        return document
    given = {key: value for key, value in defaults.items() if key not in OWN_KEYS}
    completed = [_merged(given, policy) if isinstance(policy, dict) else policy for policy in policies]
    return document.with_data({**document.data, "policies": completed})


def _merged(under: Any, over: Any) -> Any:
    """*over*, with what only *under* says: mappings key by key, everything else as a whole."""
    if not isinstance(under, dict) or not isinstance(over, dict):
        return over
    return {**under, **{key: _merged(under[key], value) if key in under else value for key, value in over.items()}}


# Files


def _contents(paths: Sequence[pathlib.Path]) -> tuple[list[tuple[pathlib.Path, bytes]], list[Diagnostic]]:
    """The content of each file that *paths* mean, each file once, and what cannot be read."""
    contents: dict[pathlib.Path, tuple[pathlib.Path, bytes]] = {}
    problems: list[Diagnostic] = []
    left = LARGEST_SET
    if not paths:
        problems.append(about_file("policies", "no path is given", "name a directory or a file"))
    for path in paths:
        try:
            for file in _files(path):
                resolved = file.resolve()
                if resolved not in contents:
                    contents[resolved] = (file, _content(file, left))
                    left -= len(contents[resolved][1])
        except _UnreadableError as error:
            problems.append(error.problem)
        except (OSError, ValueError, RuntimeError) as error:  # a null character in a path, a loop of links
            problems.append(_unreadable(path, error).problem)
    return list(contents.values()), problems


class _UnreadableError(Exception):
    def __init__(self, file: pathlib.Path, what: str, cure: str) -> None:
        super().__init__(what)
        self.problem = about_file(str(file), what, cure)


def _unreadable(file: pathlib.Path, error: Exception) -> _UnreadableError:
    said = getattr(error, "strerror", None) or str(error)
    if isinstance(error, FileNotFoundError):
        return _UnreadableError(file, "does not exist", "give the path of a policy file or of a directory of them")
    return _UnreadableError(file, f"cannot be read: {said}", "make it a file that the autoscaler's user may read")


def _files(path: pathlib.Path) -> list[pathlib.Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES and not file.name.startswith("."))
    if not files and path.suffix in SUFFIXES:
        raise _UnreadableError(path, "is a directory without a policy file", _irregular(path))
    if not files:
        raise _UnreadableError(path, "holds no policy file", "put a *.yml or *.yaml file there")
    if len(files) > MOST_FILES:
        raise _UnreadableError(path, f"holds {len(files)} policy files", f"put {MOST_FILES} into a directory at most")
    return files


def _content(file: pathlib.Path, left: int) -> bytes:
    """The bytes of a file of a set that may have *left* more."""
    try:
        content = content_of(file)
    except IrregularFileError as error:
        raise _UnreadableError(file, "is not a regular file", _irregular(file)) from error
    except OSError as error:
        raise _unreadable(file, error) from error
    if len(content) > left:
        what = f"this and the files before it are larger than {LARGEST_SET} bytes together"
        raise _UnreadableError(file, what, "let globs, labels and defaults say what policies share")
    return content


def _irregular(file: pathlib.Path) -> str:
    """Return the cure for a *file* that is a directory, a pipe or a device."""
    if file.is_dir():
        return "Docker makes a directory if the file of a bind mount does not exist; correct the mount's source"
    return "name a file, or a directory of files"


class IrregularFileError(OSError):
    """A pipe, a device or a directory in the place of a file."""


def content_of(file: pathlib.Path) -> bytes:
    """The file's bytes, no more than are needed to see that there are too many. Raises OSError and ValueError."""
    # Without waiting: a pipe that nobody writes to would hold the opening, also one that has just come there.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise IrregularFileError(errno.EINVAL, "it is not a regular file")
    with os.fdopen(descriptor, "rb") as opened:
        return opened.read(MAX_BYTES + 1)


def _digest(contents: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(b"%d:" % len(content))
        digest.update(content)
    return digest.hexdigest()[:12]
