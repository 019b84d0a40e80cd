"""Documents as few bytes: decisions by one policy are much alike, so each is kept as what differs from a sample.

A decision's document has 1,300 bytes. Deflated on its own it has about 450, and 110 with a sample (measured).
The sample holds earlier documents by the same policy, one of each shape.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

_LEVEL = 6
_RAW = -14
"""No header and no checksum, as SQLite has none; and a window of 16 kB, which holds the sample and a document."""
_MEMORY = 6
"""Less memory than by default, and a smaller window: to prepare them takes longer than to pack a document."""
_LONGEST_SAMPLE = 12 * 1024
"""Bytes: a longer one takes longer to look through for each document."""
_MUCH, _VERY_MUCH = 10, 4
"""A document that needs more than this part of its length is not like the sample; the latter if the sample is full."""


def text_of(content: dict[str, Any]) -> bytes:
    """Return the JSON of *content*, in the same order every time."""
    return json.dumps(content, separators=(",", ":"), sort_keys=True, default=str).encode()


def deflate(text: bytes, sample: bytes = b"") -> bytes:
    """Return *text* as what differs from *sample*."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, sample)
    return packer.compress(text) + packer.flush()


def inflate(packed: bytes, sample: bytes = b"") -> bytes:
    """Return the text that `deflate` packed with the same *sample*. Raises zlib.error if it is damaged."""
    unpacker = zlib.decompressobj(_RAW, zdict=sample)
    return unpacker.decompress(packed) + unpacker.flush()


def is_unlike(text: bytes, packed: bytes, sample: bytes) -> bool:
    """Return whether the *sample* that *text* was *packed* with should have *text* too."""
    full = len(sample) + len(text) > _LONGEST_SAMPLE
    return len(packed) * (_VERY_MUCH if full else _MUCH) > len(text)


def sample_with(sample: bytes, text: bytes) -> bytes:
    """Return *sample* with *text* behind it; the oldest part is left out if it would be too long."""
    return (sample + text)[-_LONGEST_SAMPLE:]
