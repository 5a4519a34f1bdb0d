"""128-bit hashes of event ids, for whole columns at once. They are stored: the function never changes.

Two lanes of multiply, shift and rotate over the id's 8-byte words, little-endian, zero-padded, the length mixed in.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from detectors.columns import Ids

_U = np.uint64
_LANES = (
    (_U(0x9E3779B97F4A7C15), _U(0xBF58476D1CE4E5B9), _U(0x94D049BB133111EB)),
    (_U(0xC2B2AE3D27D4EB4F), _U(0xFF51AFD7ED558CCD), _U(0xC4CEB9FE1A85EC53)),
)
CHUNK_ROWS = 16_384  # keeps the lanes in the cache


def hash_texts(texts: list[str]) -> Ids:
    """Hashes of strings, shape (n, 2)."""
    return hash_column(pa.array(texts, type=pa.string()))


def hash_column(column: pa.StringArray) -> Ids:
    """Hashes of a string column without nulls, shape (n, 2)."""
    rows = len(column)
    out = np.empty((rows, 2), dtype=np.uint64)
    if rows == 0:
        return out
    buffers = column.buffers()
    width = np.int64 if pa.types.is_large_string(column.type) else np.int32
    offsets = np.frombuffer(buffers[1], dtype=width)[column.offset : column.offset + rows + 1].astype(np.int64)
    data = np.frombuffer(buffers[2], dtype=np.uint8) if buffers[2] is not None else np.empty(0, dtype=np.uint8)
    lengths = np.diff(offsets)
    first = int(lengths[0])
    if bool((lengths == first).all()):
        block = data[offsets[0] : offsets[-1]].reshape(rows, first)
        for at in range(0, rows, CHUNK_ROWS):
            out[at : at + CHUNK_ROWS] = _hash_block(block[at : at + CHUNK_ROWS])
        return out
    order = np.argsort(lengths, kind="stable")
    cuts = np.flatnonzero(np.diff(lengths[order])) + 1
    for group in np.split(order, cuts):
        span = np.arange(int(lengths[group[0]]))
        for at in range(0, len(group), CHUNK_ROWS):
            part = group[at : at + CHUNK_ROWS]
            out[part] = _hash_block(data[offsets[part][:, None] + span])
    return out


def _hash_block(block: npt.NDArray[np.uint8]) -> Ids:
    """Hashes of ids of one length: block has shape (n, length)."""
    rows, length = block.shape
    words = (length + 7) // 8
    padded = np.zeros((rows, words * 8), dtype=np.uint8)
    padded[:, :length] = block
    columns = padded.view("<u8").T
    out = np.empty((rows, 2), dtype=np.uint64)
    for lane, (seed, first, second) in enumerate(_LANES):
        start = int(seed) ^ (length * int(first) % 2**64)
        state = np.full(rows, start, dtype=np.uint64)
        for word in columns:
            mixed = word * first
            mixed ^= mixed >> _U(32)
            state ^= mixed
            state *= second
            state = (state << _U(29)) | (state >> _U(35))
        state ^= state >> _U(30)
        state *= first
        state ^= state >> _U(27)
        state *= second
        state ^= state >> _U(31)
        out[:, lane] = state
    return out
