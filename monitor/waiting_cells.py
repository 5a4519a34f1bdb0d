"""The coarse cells of a prediction's features, which wait with it for its label: 12 bytes before the rest of its payload.

    "WSC1" | 4 bytes: which cells (detectors/coarse_cells.py, mark_of) | 4 bytes: a nibble a feature, 15 where it has none

So the worst segment by errors (detectors/worst_errors.py) is found though labels come without features. Payloads with and
without these bytes are told apart row by row, so predictions that wait when the config changes keep what else they left.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from detectors.coarse_cells import FEATURES, counted_features, cuttings_of, mark_of
from detectors.columns import Columns, Matrix, Schema
from detectors.kinds import derive
from detectors.profile import Profile
from detectors.ragged import Ragged
from detectors.worst_errors import PART

Bytes = npt.NDArray[np.uint8]
MAGIC: Bytes = np.frombuffer(b"WSC1", dtype=np.uint8)
WIDTH = 12
NONE = 15


def has_cells(schema: Schema) -> bool:
    """Whether the predictions of a model leave cells."""
    return PART in schema.parts


def heads_of(schema: Schema, profile: Profile | None, columns: Columns) -> Bytes:
    """What each row leaves, shape (n, WIDTH); zeros without a reference, which is nothing. columns: as they were decoded."""
    out = np.zeros((columns.rows, WIDTH), dtype=np.uint8)
    if profile is None:
        return out
    if schema.kinds:
        columns = derive(columns, schema, profile.vocabulary)
    features = counted_features(schema, PART)
    cuttings = cuttings_of(features, profile)
    codes = np.full((columns.rows, FEATURES), NONE, dtype=np.uint8)
    for i, feature in enumerate(features):
        if feature in cuttings:
            codes[:, i] = cuttings[feature].codes(columns, feature)
    out[:, :4] = MAGIC
    out[:, 4:8] = np.frombuffer(mark_of(features, cuttings).to_bytes(4, "little"), dtype=np.uint8)
    out[:, 8:] = codes[:, 0::2] | codes[:, 1::2] << 4
    return out


def with_heads(payload: Ragged | None, heads: Bytes) -> Ragged | None:
    """Payloads, or none, with what each row leaves before them: WIDTH bytes, or zeros for nothing."""
    rows = len(heads)
    there = heads[:, 0] != 0
    if not there.any():
        return payload
    payload = Ragged.missing(rows, np.uint8) if payload is None else payload
    lengths = np.where(there, np.maximum(payload.lengths, 0) + WIDTH, payload.lengths)
    out = Ragged(lengths, np.empty(int(np.maximum(lengths, 0).sum()), dtype=np.uint8))
    in_head = there[out.owners()] & (out.places() < WIDTH)
    out.values[in_head] = heads[there].reshape(-1)
    out.values[~in_head] = payload.values
    return out


def split_heads(payload: Ragged, magic: Bytes = MAGIC) -> tuple[Ragged, Bytes]:
    """(the payloads without heads, missing where there was nothing else; the heads, shape (n, WIDTH), zeros for none)."""
    heads = np.zeros((payload.rows, WIDTH), dtype=np.uint8)
    long = np.flatnonzero(payload.lengths >= WIDTH)
    heads[long] = payload.values[payload.starts[long][:, None] + np.arange(WIDTH)]
    there = (heads[:, :4] == magic).all(axis=1)
    heads[~there] = 0
    body = ~(there[payload.owners()] & (payload.places() < WIDTH))
    lengths = np.where(there, payload.lengths - WIDTH, payload.lengths)
    return Ragged(np.where(there & (lengths == 0), -1, lengths), payload.values[body]), heads


def cells_of(schema: Schema, heads: Bytes) -> Matrix:
    """Cells as outcomes have them, shape (n, 1 + features): see detectors/worst_errors.py."""
    features = counted_features(schema, PART)
    out = np.full((len(heads), 1 + len(features)), np.nan, dtype=np.float32)
    found = np.ascontiguousarray(heads[:, 4:8]).view("<u4").reshape(-1)
    codes = np.stack([heads[:, 8:] & 15, heads[:, 8:] >> 4], axis=2).reshape(len(heads), -1)[:, : len(features)]
    for number, mark in enumerate(schema.parts[PART]["marks"]):
        mine = (found == mark) & (heads[:, 0] != 0)
        out[mine, 0] = number
        out[mine, 1:] = np.where(codes[mine] == NONE, np.nan, codes[mine])
    return out


def marks_of(schema: Schema, profiles: list[Profile]) -> list[int]:
    """The marks of a model's references, ascending: the cells that waiting predictions may have."""
    features = counted_features(schema, PART)
    return sorted({mark_of(features, cuttings_of(features, profile)) for profile in profiles})
