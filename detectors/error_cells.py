"""How wrong a model is by what it said: rows and errors in cells of the score, of a window's outcomes or a reference's.

A classifier's score falls in one of 64 equal cells, a missing one in a cell of its own. A predicted value's cell is the
prefix of its bits (12 % wide), so that cells need no reference and merge exactly. Size: about 24 bytes a filled cell.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np

from detectors import frame
from detectors.columns import Floats, Ints, Outcomes, Schema
from detectors.trace import row_errors

PART = "error_cells"
FORMAT = 1
CELLS = 64
MISSING = -(2**31)
PREFIX_BITS = 20  # of a 32-bit float are cut off: sign, exponent and 3 bits of the mantissa stay


def cells_of(scores: Floats, task: str) -> Ints:
    """The cell of each score, in the order of scores; shape (n,)."""
    there = np.isfinite(scores)
    safe = np.where(there, scores, 0.0)
    if task == "regression":
        bits = np.clip(safe, -3e38, 3e38).astype(np.float32).view(np.int32).astype(np.int64)
        found = np.where(bits < 0, -(bits & 0x7FFFFFFF) - 1, bits) >> PREFIX_BITS
    else:
        found = np.clip(np.floor(safe * CELLS), 0, CELLS - 1).astype(np.int64)
    return np.asarray(np.where(there, found, MISSING), dtype=np.int64)


@dataclass(slots=True)
class ErrorCells:
    """keys: cells, ascending; rows, and sums of errors and of their squares, in each. All of shape (k,)."""

    task: str
    keys: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    rows: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    errors: Floats = field(default_factory=lambda: np.empty(0))
    squares: Floats = field(default_factory=lambda: np.empty(0))

    @staticmethod
    def empty(schema: Schema) -> ErrorCells:
        return ErrorCells(schema.task)

    def add(self, outcomes: Outcomes) -> None:
        """Outcomes of shape (n,)."""
        there, errors = row_errors(outcomes, self.task)
        if there.any():
            weight = outcomes.weight[there]
            errors = errors[there]
            self._take(cells_of(outcomes.predicted_score[there], self.task), weight, errors * weight, errors * errors * weight)

    def merge(self, other: ErrorCells) -> None:
        self._take(other.keys, other.rows, other.errors, other.squares)

    def _take(self, keys: Ints, rows: Ints, errors: Floats, squares: Floats) -> None:
        found, at = np.unique(np.concatenate([self.keys, keys]), return_inverse=True)
        k = len(found)
        total = np.zeros(k, dtype=np.int64)
        np.add.at(total, at, np.concatenate([self.rows, rows]))
        self.keys, self.rows = found, total
        self.errors = np.bincount(at, weights=np.concatenate([self.errors, errors]), minlength=k).astype(np.float64)
        self.squares = np.bincount(at, weights=np.concatenate([self.squares, squares]), minlength=k).astype(np.float64)

    def to_bytes(self) -> bytes:
        parts = [a.astype("<i8").tobytes() for a in (self.keys, self.rows)]
        parts += [a.astype("<f8").tobytes() for a in (self.errors, self.squares)]
        return bytes([FORMAT]) + zlib.compress(frame.join(parts), 1)

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> ErrorCells:
        """Raises ValueError for a format that this release does not know, or for damaged bytes."""
        if not data or data[0] != FORMAT:
            raise ValueError(f"error cells of format {data[:1]!r}: this release reads {FORMAT}. Upgrade driftd.")
        try:
            keys, rows, errors, squares = frame.split(zlib.decompress(data[1:]))
        except zlib.error as error:
            raise ValueError(f"damaged error cells: {error}") from error
        out = ErrorCells(schema.task)
        out.keys, out.rows = (np.frombuffer(a, dtype="<i8").astype(np.int64) for a in (keys, rows))
        out.errors, out.squares = (np.frombuffer(a, dtype="<f8").astype(np.float64) for a in (errors, squares))
        return out
