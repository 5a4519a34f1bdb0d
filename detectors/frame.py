"""Several byte strings in one, with their lengths: how composite summaries are stored."""

from __future__ import annotations

import struct


def join(parts: list[bytes]) -> bytes:
    """Number of parts, their lengths, then the parts."""
    return struct.pack(f"<I{len(parts)}I", len(parts), *(len(p) for p in parts)) + b"".join(parts)


def split(data: bytes) -> list[bytes]:
    """The parts that join() put together. Raises ValueError where the lengths do not add up."""
    try:
        (n,) = struct.unpack_from("<I", data)
        lengths = struct.unpack_from(f"<{n}I", data, 4)
    except struct.error as error:
        raise ValueError(f"{len(data)} bytes are no joined parts: {error}") from error
    at = 4 + 4 * n
    if at + sum(lengths) != len(data):
        raise ValueError(f"parts of {sum(lengths)} bytes do not fill {len(data) - at}")
    out = []
    for length in lengths:
        out.append(data[at : at + length])
        at += length
    return out
