"""Docker's lists, made lean object by object; what is in a list as it was in the one before is not parsed again.

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pydantic_core import from_json

from autoscaler.adapters.docker.documents import lean
from autoscaler.adapters.docker.json_list import objects, parsed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from autoscaler.adapters.docker.engine_api import Document, Templates

_NEXT = '},{"ID":"'
"""Where an object of a list ends and the next one begins, as the engine writes them."""
_HEAD = 33
"""Characters that an object begins with: its id, which is 25 long, with its name."""


@dataclass(frozen=True, slots=True)
class Known:
    """An object of a list: how its text is known again, and what it was made into."""

    length: int
    mark: int
    """The hash of its text."""
    document: Document
    template: Document | None
    """Of what its service's tasks are made, where that was asked for: what is kept of a task depends on it."""


KnownObjects: TypeAlias = dict[str, Known]
"""The objects of a list, by what their texts begin with."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A list that was read."""

    documents: list[Document]
    known: KnownObjects
    """What is known of it when it is read the next time."""


@dataclass(frozen=True, slots=True)
class LeanList:
    """A list to be read, with what is *known* of it from the last time; each of that is used once."""

    known: KnownObjects
    templates: Templates

    def read(self, pieces: Iterable[bytes]) -> Listed:
        """Its objects. Raises ValueError where the text that comes in *pieces* is no list of objects."""
        known: KnownObjects = {}
        parser = _Parser()

        def read(text: str, start: int) -> tuple[Document, int]:
            head = text[start : start + _HEAD]
            found = self.known.get(head)
            if found is not None and start + found.length > len(text):
                found = None  # the rest of it may still come
            else:
                self.known.pop(head, None)
            if found is None or not self._is(found, text, start):
                whole, end = parser.read(text, start)
                document = lean(whole, self.templates)
                found = Known(end - start, hash(text[start:end]), document, self._template(document))
            known[head] = found
            return found.document, start + found.length

        return Listed(list(objects(pieces, read)), known)

    def _is(self, known: Known, text: str, start: int) -> bool:
        """Whether the text that begins at *start* is the known object's, and would be made into the same.

        Python's hash of a text has 64 bits and a secret key: another text of the same head and length is taken for this
        one once in 10^19 changes.
        """
        same = hash(text[start : start + known.length]) == known.mark
        return same and self._template(known.document) == known.template

    def _template(self, document: Document) -> Document | None:
        service = document.get("ServiceID")
        return self.templates.get(service) if isinstance(service, str) else None


class _Parser:
    """Reads objects with a parser that keeps their names from one to the next, which halves what they take.

    It must be told where an object ends. Where that is not as the engine writes it, the other parser reads this object
    and all that follow: a hostile list takes no longer for it.
    """

    def __init__(self) -> None:
        self._knows_ends = True
        self._text = ""
        self._end = -1

    def read(self, text: str, start: int) -> tuple[Document, int]:
        """The object that begins at *start*, and where it ends. Raises ValueError and RecursionError."""
        if self._knows_ends:
            if text is not self._text or 0 <= self._end < start:
                self._text, self._end = text, text.find(_NEXT, start)
            if self._end >= 0:
                try:
                    return from_json(text[start : self._end + 1]), self._end + 1
                except ValueError:  # also what only the other one takes, as halves of surrogate pairs
                    self._knows_ends = False
        return parsed(text, start)
