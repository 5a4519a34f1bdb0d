"""The coarse cells of a prediction's features, which wait with it for its label: bytes before the rest of its payload.

    "WSC1" | 4 bytes: which cells (detectors/coarse_cells.py, mark_of) | 4 bytes: a nibble a feature, 15 where it has none
    "WSC2" | 4 bytes: which features                                   | 16 bytes: a code a feature (detectors/free_cells.py)

The first where the row's pane has a built reference, whose cells these are; the second where it has none. So errors are known
by feature (detectors/worst_errors.py) though labels come without features. Payloads with and without these bytes are told
apart row by row, so predictions that wait when the config changes keep what else they left.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detectors.coarse_cells import FEATURES, Cutting, counted_features, cuttings_of, mark_of
from detectors.columns import Bools, Columns, Matrix, Schema
from detectors.free_cells import NONE as NO_CODE
from detectors.free_cells import codes_of
from detectors.kinds import derive
from detectors.profile import Profile
from detectors.ragged import Ragged
from detectors.worst_errors import FREE, PART

Bytes = npt.NDArray[np.uint8]
MAGIC: Bytes = np.frombuffer(b"WSC1", dtype=np.uint8)
WIDTH = 12
NONE = 15
FREE_MAGIC: Bytes = np.frombuffer(b"WSC2", dtype=np.uint8)
FREE_WIDTH = 8 + 2 * FEATURES


def has_cells(schema: Schema) -> bool:
    """Whether the predictions of a model leave cells."""
    return PART in schema.parts


def heads_of(schema: Schema, profile: Profile | None, columns: Columns) -> Bytes:
    """What each row leaves, shape (n, WIDTH), without a reference (n, FREE_WIDTH). columns: as they were decoded."""
    if schema.kinds:
        columns = derive(columns, schema, None if profile is None else profile.vocabulary)
    features = counted_features(schema, PART)
    if profile is None:
        return _free_heads(features, columns)
    out = np.zeros((columns.rows, WIDTH), dtype=np.uint8)
    cuttings = cuttings_of(features, profile)
    codes = np.full((columns.rows, FEATURES), NONE, dtype=np.uint8)
    for i, feature in enumerate(features):
        if feature in cuttings:
            codes[:, i] = cuttings[feature].codes(columns, feature)
    out[:, :4] = MAGIC
    out[:, 4:8] = _mark_bytes(features, cuttings)
    out[:, 8:] = codes[:, 0::2] | codes[:, 1::2] << 4
    return out


def _free_heads(features: tuple[str, ...], columns: Columns) -> Bytes:
    out = np.zeros((columns.rows, FREE_WIDTH), dtype=np.uint8)
    codes = np.full((columns.rows, FEATURES), NO_CODE, dtype="<u2")
    for i, feature in enumerate(features):
        codes[:, i] = codes_of(columns, feature)
    out[:, :4] = FREE_MAGIC
    out[:, 4:8] = _mark_bytes(features, {})
    out[:, 8:] = codes.view(np.uint8)
    return out


def _mark_bytes(features: tuple[str, ...], cuttings: dict[str, Cutting]) -> Bytes:
    return np.frombuffer(mark_of(features, cuttings).to_bytes(4, "little"), dtype=np.uint8)


def with_heads(payload: Ragged | None, heads: Bytes) -> Ragged | None:
    """Payloads, or none, with what each row leaves before them: shape (n, width), zeros for nothing."""
    rows, width = heads.shape
    there = heads[:, 0] != 0
    if not there.any():
        return payload
    alike = payload is None or payload.width > 0
    if alike and there.all():
        joined = heads if payload is None else np.concatenate([heads, payload.matrix()], axis=1)
        return Ragged.of_rows(joined, there)
    payload = Ragged.missing(rows, np.uint8) if payload is None else payload
    lengths = np.where(there, np.maximum(payload.lengths, 0) + width, payload.lengths)
    out = Ragged(lengths, np.empty(int(np.maximum(lengths, 0).sum()), dtype=np.uint8))
    in_head = there[out.owners()] & (out.places() < width)
    out.values[in_head] = heads[there].reshape(-1)
    out.values[~in_head] = payload.values
    return out


def split_heads(payload: Ragged, magic: Bytes = MAGIC, width: int = WIDTH) -> tuple[Ragged, Bytes]:
    """(the payloads without heads, missing where there was nothing else; the heads, shape (n, width), zeros for none)."""
    heads = np.zeros((payload.rows, width), dtype=np.uint8)
    if not (payload.lengths >= width).any():
        return payload, heads
    if payload.width > 0:
        found = payload.matrix()
        there = _words(found[:, :4]) == _words(magic)
        if not there.any():
            return payload, heads
        if there.all():
            return Ragged.of_rows(found[:, width:], there & (payload.width > width)), found[:, :width].copy()
    long = np.flatnonzero(payload.lengths >= width)
    heads[long] = payload.values[payload.starts[long][:, None] + np.arange(width)]
    there = (heads[:, :4] == magic).all(axis=1)
    heads[~there] = 0
    body = ~(there[payload.owners()] & (payload.places() < width))
    lengths = np.where(there, payload.lengths - width, payload.lengths)
    return Ragged(np.where(there & (lengths == 0), -1, lengths), payload.values[body]), heads


def split_cells(payload: Ragged) -> tuple[Ragged, Bytes, Bytes]:
    """The payloads without either kind of head; the heads of both kinds, shapes (n, WIDTH) and (n, FREE_WIDTH)."""
    payload, free = split_heads(payload, FREE_MAGIC, FREE_WIDTH)
    payload, heads = split_heads(payload)
    return payload, heads, free


def cells_of(schema: Schema, heads: Bytes, free: Bytes | None = None) -> Matrix:
    """Cells as outcomes have them, shape (n, 1 + features): see detectors/worst_errors.py."""
    features = counted_features(schema, PART)
    out = np.full((len(heads), 1 + len(features)), np.nan, dtype=np.float32)
    found = _marks(heads)
    dense = heads[:, 0] != 0
    if dense.any():
        codes = np.stack([heads[:, 8:] & 15, heads[:, 8:] >> 4], axis=2).reshape(len(heads), -1)[:, : len(features)]
        for number, mark in enumerate(schema.parts[PART]["marks"]):
            mine = (found == mark) & dense
            out[mine, 0] = number
            out[mine, 1:] = np.where(codes[mine] == NONE, np.nan, codes[mine])
    if free is not None:
        mine = (_marks(free) == mark_of(features, {})) & (free[:, 0] != 0)
        if mine.any():
            rows: slice | Bools = slice(None) if mine.all() else mine
            out[rows, 0] = FREE
            out[rows, 1:] = np.ascontiguousarray(free[rows, 8:]).view("<u2")[:, : len(features)]
    return out


def _marks(heads: Bytes) -> npt.NDArray[np.uint32]:
    return _words(heads[:, 4:8])


def _words(four: Bytes) -> npt.NDArray[np.uint32]:
    """Four bytes a row as one number a row."""
    return np.ascontiguousarray(four).view("<u4").reshape(-1)


def marks_of(schema: Schema, profiles: list[Profile]) -> list[int]:
    """The marks of a model's references, ascending: the cells that waiting predictions may have."""
    features = counted_features(schema, PART)
    return sorted({mark_of(features, cuttings_of(features, profile)) for profile in profiles})
