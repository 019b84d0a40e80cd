"""Docker's lists, read from their bytes piece by piece. Only the needed part of each object is kept. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict, TypeVar, cast

from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder, decode

from autoscaler.adapters.docker.documents import made_from
from autoscaler.swarm.cluster import ROLLBACK_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from autoscaler.adapters.docker.engine_api import Document, Templates

T = TypeVar("T")

_BETWEEN = b'},{"ID":"'
"""The bytes between two objects of a list, as the engine writes it. `Version` follows the ID."""
_VERSION = re.compile(rb'[^"]*","Version":')
_PIECE = 2**17
"""Bytes that are decoded at once, if an object ends within them."""
_LARGEST_OBJECT = 16 * 2**20
"""Bytes. Swarm stores at most 4 MB of a service, and lists a service with its previous spec."""
_MOST_OBJECTS = 1_000_000
_TOO_MANY = f"more than {_MOST_OBJECTS} objects"
_NO_LIST = "no JSON list of objects"
_PATH = re.compile(r"- at `\$\[(\d+)\](.+)`")
"""The place of an object's part in a message of msgspec."""

_Parts: TypeAlias = dict[str, Raw]


class _Version(TypedDict, total=False):
    Index: int


class _UpdateStatus(TypedDict, total=False):
    State: str
    Message: str


class _Service(TypedDict, total=False):
    ID: str
    Version: _Version
    CreatedAt: str
    UpdatedAt: str
    Spec: _Parts
    PreviousSpec: _Parts | None
    UpdateStatus: _UpdateStatus | None


class _ContainerStatus(TypedDict, total=False):
    ContainerID: str


class _TaskStatus(TypedDict, total=False):
    Timestamp: str
    State: str
    Message: str
    Err: str
    ContainerStatus: _ContainerStatus | None


class _Task(TypedDict, total=False):
    ID: str
    ServiceID: str
    NodeID: str
    CreatedAt: str
    DesiredState: str
    Status: _TaskStatus
    Spec: Raw


class _NodeSpec(TypedDict, total=False):
    Role: str
    Availability: str
    Labels: dict[str, str] | None


class _Platform(TypedDict, total=False):
    OS: str
    Architecture: str


class _Resources(TypedDict, total=False):
    NanoCPUs: int
    MemoryBytes: int


class _Engine(TypedDict, total=False):
    Labels: dict[str, str] | None


class _Description(TypedDict, total=False):
    Hostname: str
    Platform: _Platform | None
    Resources: _Resources | None
    Engine: _Engine | None


class _NodeStatus(TypedDict, total=False):
    State: str
    Addr: str


class _Node(TypedDict, total=False):
    ID: str
    Spec: _NodeSpec | None
    Description: _Description | None
    Status: _NodeStatus | None


_SERVICES = Decoder(list[_Service])
_TASKS = Decoder(list[_Task])
_NODES = Decoder(list[_Node])
_PARTS = Decoder(dict[str, Raw] | None)


def read_services(pieces: Iterable[bytes]) -> tuple[Document, ...]:
    """Return the services of the list whose text comes in *pieces*; see `_items` for what it raises.

    Parts of a spec that nobody reads are kept as texts. A part that the last update did not change is kept once.
    """
    return tuple(map(_service, _items(pieces, _SERVICES)))


def read_tasks(pieces: Iterable[bytes], templates: Templates) -> tuple[Document, ...]:
    """Return the tasks of the list whose text comes in *pieces*; see `_items` for what it raises.

    A task has its spec only if it is to run, *templates* has its service, and it was made from another template.
    """
    same: dict[str, Raw] = {}

    def lean(item: _Task) -> Document:
        document = cast("Document", item)
        text, service = item.pop("Spec", None), item.get("ServiceID", "")
        template = templates.get(service)
        if text is None or template is None or same.get(service) == text or item.get("DesiredState") != "running":
            return document
        if made_from(spec := _template(text)) == template:
            same[service] = text.copy()
        else:
            document["Spec"] = spec
        return document

    return tuple(map(lean, _items(pieces, _TASKS)))


def read_nodes(pieces: Iterable[bytes]) -> tuple[Document, ...]:
    """Return the nodes of the list whose text comes in *pieces*; see `_items` for what it raises."""
    return cast("tuple[Document, ...]", tuple(_items(pieces, _NODES)))


def _service(item: _Service) -> Document:
    document = cast("Document", item)
    texts, before = item.get("Spec"), item.get("PreviousSpec")
    if texts is not None:
        document["Spec"] = spec = _spec(texts, {}, {})
        if before is not None:
            document["PreviousSpec"] = _spec(before, texts, spec)
    return document


def _spec(texts: _Parts, known_texts: _Parts, known: Document) -> Document:
    """Return the spec whose parts have these *texts*; a part with the same text as a *known* one is that one.

    The label of the rollback point is dropped, because it is long and nobody reads it from a list.
    """
    spec = {
        part: known[part] if known_texts.get(part) == text else _READERS.get(part, Raw.copy)(text)
        for part, text in texts.items()
    }
    labels = spec.get("Labels")
    if isinstance(labels, dict):
        labels.pop(ROLLBACK_LABEL, None)
    return spec


def _template(text: Raw) -> Document:
    """Return the template of tasks. Parts that nobody reads stay texts, which are only compared."""
    try:
        parts = _PARTS.decode(text) or {}
    except ValidationError as error:
        raise ValueError(f"{error} - at `TaskTemplate`") from error
    return {part: _value(text) if part in _READ_OF_TEMPLATES else text.copy() for part, text in parts.items()}


def _value(text: Raw) -> Any:
    """Return the value of *text*. It is JSON, but may have a number or a letter that Python does not know."""
    try:
        return decode(text)
    except (DecodeError, RecursionError) as error:
        raise ValueError(_NO_LIST) from error


_READERS: dict[str, Callable[[Raw], Any]] = {
    "Name": _value,
    "Labels": _value,
    "Mode": _value,
    "EndpointSpec": _value,
    "TaskTemplate": _template,
}
"""The parts of a service's spec that are read. All others stay texts, which are only compared."""
_READ_OF_TEMPLATES = {"Resources", "Placement"}


def _items(pieces: Iterable[bytes], decoder: Decoder[list[T]]) -> Iterator[T]:
    """Yield the objects of the JSON list whose text comes in *pieces*.

    Raise ValueError if the text is not a list of objects, if a value has another type than Docker's API documents, if
    an object is too long, and if there are too many of them.
    """
    count = 0
    for text in _lists(pieces):
        if len(text) > 2 * _MOST_OBJECTS and text.count(b"{") > _MOST_OBJECTS:
            raise ValueError(_TOO_MANY)
        try:
            items = decoder.decode(text)
        except ValidationError as error:
            raise ValueError(_wrong_type(str(error), count)) from error
        except (DecodeError, RecursionError) as error:
            raise ValueError(_NO_LIST) from error
        count += len(items)
        if count > _MOST_OBJECTS:
            raise ValueError(_TOO_MANY)
        yield from items


def _lists(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a list as shorter ones of whole objects, so that it is never in memory as a whole.

    A list that the engine did not write may have no place to cut it. It is refused if it is long.
    """
    rest = bytearray()
    wanted = _PIECE
    for piece in pieces:
        rest += piece
        if len(rest) < wanted:
            continue
        end = _last_end(rest)
        if end:
            yield bytes(rest[:end]) + b"]"
            rest[: end + 1] = b"["
        elif len(rest) > _LARGEST_OBJECT:
            raise ValueError(f"an object of more than {_LARGEST_OBJECT} bytes")
        wanted = max(_PIECE, min(2 * len(rest), _LARGEST_OBJECT + 1))
    yield bytes(rest)


def _last_end(text: bytearray) -> int:
    """Return where the last object ends that another one follows; 0 if there is none.

    A string in JSON cannot have these characters. Objects of the engine's lists have no inner objects with an ID and a
    version.
    """
    found = text.rfind(_BETWEEN)
    while found >= 0 and not _VERSION.match(text, found + len(_BETWEEN)):
        found = text.rfind(_BETWEEN, 0, found)
    return found + 1


def _wrong_type(message: str, count: int) -> str:
    """Return msgspec's *message* with the place in the whole list; *count* objects came before this piece."""
    if not _PATH.search(message):
        return _NO_LIST
    return _PATH.sub(lambda path: f"- at `$[{count + int(path[1])}]{path[2]}`", message)
