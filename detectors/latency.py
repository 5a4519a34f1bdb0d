"""Positive numbers in log-spaced cells: quantiles within 1 % of the value, whatever its size.

Cell i holds values in [BASE**i, BASE**(i+1)) with BASE = 1.02; a cell's geometric middle is off by less than
1 %. Values at or below LEAST share the first cell, those at or above GREATEST the last.
Size: 10 kB in memory; stored 12 bytes a filled cell, at most 15 kB.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field

import numpy as np

from detectors.columns import Floats, Ints

BASE = 1.02
LEAST, GREATEST = 1e-3, 1e8  # ms: a microsecond to a day
_LOG = math.log(BASE)
FIRST = math.floor(math.log(LEAST) / _LOG)
CELLS = math.ceil(math.log(GREATEST) / _LOG) - FIRST + 1
_HEAD = struct.Struct("<IqdI")


@dataclass(slots=True)
class LatencySummary:
    """Counts of a positive column. total is the sum of the values."""

    counts: Ints = field(default_factory=lambda: np.zeros(CELLS, dtype=np.int64))
    total: float = 0.0
    missing: int = 0

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    def add(self, values: Floats) -> None:
        """Add values, shape (n,); NaN is missing, infinities lie in the last cell."""
        there = values[~np.isnan(values)]
        self.missing += len(values) - len(there)
        if len(there) == 0:
            return
        bounded = np.clip(there, LEAST, GREATEST)
        index = np.floor(np.log(bounded) / _LOG).astype(np.int64) - FIRST
        self.counts += np.bincount(np.clip(index, 0, CELLS - 1), minlength=CELLS)
        self.total += float(there[np.isfinite(there)].sum())

    def merge(self, other: LatencySummary) -> None:
        self.counts += other.counts
        self.total += other.total
        self.missing += other.missing

    def quantile(self, q: float) -> float:
        """The value at share q, within 1 %; NaN without rows."""
        rows = self.rows
        if rows == 0:
            return math.nan
        rank = q * (rows - 1)
        i = int(np.searchsorted(np.cumsum(self.counts), rank, side="right"))
        return float(BASE ** (FIRST + min(i, CELLS - 1) + 0.5))

    def to_bytes(self) -> bytes:
        filled = np.flatnonzero(self.counts)
        head = _HEAD.pack(CELLS, self.missing, self.total, len(filled))
        return head + filled.astype("<i4").tobytes() + self.counts[filled].astype("<i8").tobytes()

    @staticmethod
    def from_bytes(data: bytes) -> LatencySummary:
        """Raises ValueError where the length or the cells do not fit."""
        cells, missing, total, k = _HEAD.unpack_from(data)
        if cells != CELLS or len(data) != _HEAD.size + 12 * k:
            raise ValueError(f"a latency summary of {cells} cells, {k} filled, cannot have {len(data)} bytes")
        filled = np.frombuffer(data, dtype="<i4", count=k, offset=_HEAD.size)
        out = LatencySummary(total=total, missing=missing)
        out.counts[filled] = np.frombuffer(data, dtype="<i8", count=k, offset=_HEAD.size + 4 * k)
        return out
