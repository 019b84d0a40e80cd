"""Documents as few bytes: decisions on one service are much alike, so each is kept as what differs from a sample.

A decision's document has about 800 bytes. Deflated on its own it has about 280, and 50 with an earlier document of the
same service as the dictionary (measured).
"""

from __future__ import annotations

import json
import zlib
from typing import Any

_LEVEL = 6
_RAW = -15
"""No header and no checksum: SQLite's file has neither for the rest either, and a row is checked when it is parsed."""
_LONGEST_SAMPLE = 24 * 1024
"""Bytes: a dictionary has no use for more than 32 kB."""
_MUCH = 8
"""A document that needs more than this part of its length is not like the sample."""


def text_of(content: dict[str, Any]) -> bytes:
    """Return the JSON of *content*, in the same order every time."""
    return json.dumps(content, separators=(",", ":"), sort_keys=True, default=str).encode()


def deflate(text: bytes, sample: bytes = b"") -> bytes:
    """Return *text* as what differs from *sample*."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW, zdict=sample) if sample else _packer()
    return packer.compress(text) + packer.flush()


def inflate(packed: bytes, sample: bytes = b"") -> bytes:
    """Return the text that `deflate` packed with the same *sample*. Raises zlib.error if it is damaged."""
    unpacker = zlib.decompressobj(_RAW, zdict=sample) if sample else zlib.decompressobj(_RAW)
    return unpacker.decompress(packed) + unpacker.flush()


def is_unlike(text: bytes, packed: bytes) -> bool:
    """Return whether the sample that *text* was *packed* with should have *text* too."""
    return len(packed) * _MUCH > len(text)


def sample_with(sample: bytes, text: bytes) -> bytes:
    """Return *sample* with *text* behind it; the oldest part is left out if it would be too long."""
    return (sample + text)[-_LONGEST_SAMPLE:]


def _packer() -> zlib._Compress:
    return zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
