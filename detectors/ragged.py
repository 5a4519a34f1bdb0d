"""A column of lists: rows of different lengths in one flat array."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Ragged:
    """lengths: shape (n,), -1 where the row is missing; values: all rows one after the other, any dtype."""

    lengths: npt.NDArray[np.int64]
    values: npt.NDArray[Any]

    @property
    def rows(self) -> int:
        return len(self.lengths)

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """Where each row begins in values."""
        held = np.maximum(self.lengths, 0)
        out: npt.NDArray[np.int64] = np.cumsum(held) - held
        return out

    def row(self, i: int) -> npt.NDArray[Any] | None:
        """The i-th row, None where it is missing."""
        length, start = int(self.lengths[i]), int(self.starts[i])
        return None if length < 0 else self.values[start : start + length]

    def owners(self) -> npt.NDArray[np.int64]:
        """The row number of each value."""
        return np.repeat(np.arange(self.rows), np.maximum(self.lengths, 0))

    def places(self) -> npt.NDArray[np.int64]:
        """The place of each value in its row, from 0."""
        held = np.maximum(self.lengths, 0)
        out: npt.NDArray[np.int64] = np.arange(len(self.values)) - np.repeat(self.starts, held)
        return out

    @property
    def width(self) -> int:
        """How long all rows are, where they are alike; -1 where not, or where there are none: then go by lengths."""
        if not len(self.lengths) or self.lengths[0] <= 0 or not (self.lengths == self.lengths[0]).all():
            return -1
        return int(self.lengths[0])

    def matrix(self) -> npt.NDArray[Any]:
        """Rows that are alike, shape (rows, width); of no width where all are missing or empty."""
        return self.values.reshape(self.rows, len(self.values) // max(1, self.rows))

    def take(self, index: Any) -> Ragged:
        if self.width > 0:
            chosen = self.matrix()[index]
            return Ragged(self.lengths[index], chosen.reshape(-1))
        lengths = self.lengths[index]
        held = np.maximum(lengths, 0)
        first = np.repeat(self.starts[index] - (np.cumsum(held) - held), held)
        return Ragged(lengths, self.values[first + np.arange(len(first))])

    def head(self, longest: int) -> Ragged:
        """At most the first `longest` values of each row."""
        if not (self.lengths > longest).any():
            return self
        return Ragged(np.minimum(self.lengths, longest), self.values[self.places() < longest])

    @staticmethod
    def missing(rows: int, dtype: Any) -> Ragged:
        return Ragged(np.full(rows, -1, dtype=np.int64), np.empty(0, dtype=dtype))

    @staticmethod
    def concat(parts: list[Ragged]) -> Ragged:
        return Ragged(np.concatenate([p.lengths for p in parts]), np.concatenate([p.values for p in parts]))

    @staticmethod
    def joined(parts: list[Ragged | None], rows: list[int], dtype: Any) -> Ragged | None:
        """Parts one after the other, of which some have no list at all; None where none has."""
        if all(p is None for p in parts):
            return None
        return Ragged.concat([Ragged.missing(n, dtype) if p is None else p for p, n in zip(parts, rows, strict=True)])

    @staticmethod
    def of_rows(matrix: npt.NDArray[Any], there: npt.NDArray[np.bool_]) -> Ragged:
        """Rows of a matrix, shape (n, width), as lists; missing where `there` is False."""
        lengths = np.where(there, matrix.shape[1], -1).astype(np.int64)
        return Ragged(lengths, (matrix if there.all() else matrix[there]).reshape(-1))

    @staticmethod
    def of_bytes(rows: list[bytes | None]) -> Ragged | None:
        """Rows of bytes; None where all are missing."""
        if all(row is None for row in rows):
            return None
        lengths = np.array([-1 if row is None else len(row) for row in rows], dtype=np.int64)
        return Ragged(lengths, np.frombuffer(b"".join(row for row in rows if row is not None), dtype=np.uint8))

    def to_bytes(self) -> list[bytes | None]:
        """The rows as bytes, of a column of bytes."""
        data, starts = self.values.tobytes(), self.starts.tolist()
        return [None if n < 0 else data[at : at + n] for at, n in zip(starts, self.lengths.tolist(), strict=True)]
