"""Text from outside as it may be printed: nothing in it moves a cursor, ends a line, or turns the letters around."""

from __future__ import annotations


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


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
