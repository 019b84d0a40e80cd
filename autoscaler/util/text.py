"""Text from outside as it may be printed: nothing in it moves a cursor, ends a line, or turns the letters around."""

from __future__ import annotations

_LONGEST_ERROR = 200
"""Characters of an error's description."""


def printable(text: str, keep: str = "") -> str:
    r"""*text* with every character that is not printable, but those of *keep*, as its escape: ``\x1b``, ``\u202e``.

    Names and messages of Swarm, Prometheus and others may hold control characters, escape sequences of terminals, marks
    that change the direction of writing, and halves of surrogate pairs, which no stream can write.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _escaped(character) for character in text
    )


def tidy(text: str, longest: int) -> str:
    """*text* on one line, with blanks for what is not printable, cut where it is longer than *longest*."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def describe_error(error: BaseException) -> str:
    """Return the type and message of *error* on one printable line, cut where it is too long."""
    try:
        said = " ".join(str(error).split())
    except BaseException:  # noqa: BLE001 - other people's exceptions may fail even here
        said = ""
    said = "".join(letter if letter.isprintable() else "�" for letter in said[: _LONGEST_ERROR + 1])
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return text if len(text) <= _LONGEST_ERROR else f"{text[:_LONGEST_ERROR]}…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
