"""Counts over ordered cells: what every drift score of a numeric feature is computed from.

A summary counts in the reference's grid or in cells of its own; `aligned` brings two summaries on common cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.columns import Floats, Ints

OFF = 1e-6  # of a cell's width: how far the mean of its values may be from its least one, where all are that one
ROUNDING = 1e-9  # of the sum of many equal values


@dataclass(frozen=True, slots=True)
class Cells:
    """k cells in ascending order, cell i is [edges[i], edges[i+1]); the outer edges may be infinite.

    counts: rows a cell, shape (k,). sums: sum of the values a cell. edges: shape (k + 1,).
    """

    edges: Floats
    counts: Ints
    sums: Floats

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    def quantile(self, q: float, low: float, high: float) -> float:
        """The value below which a share q of the rows lie, between order statistics as numpy's method "linear".

        An order statistic in an atom, or the only row of a cell, is that value; in another cell it is off by at most the cell.
        low and high are the least and greatest value: they close the outer cells. NaN without rows.
        """
        return self.quantiles((q,), low, high)[0]

    def quantiles(self, levels: Sequence[float], low: float, high: float) -> list[float]:
        """The same for several levels."""
        upto = np.cumsum(self.counts)
        return [self._quantile(upto, q, low, high) for q in levels]

    def is_atom(self, i: int) -> bool:
        """Whether all rows of a cell are its least value, as far as the rounding of their sum lets that be seen."""
        left, right, rows = float(self.edges[i]), float(self.edges[i + 1]), int(self.counts[i])
        if rows == 0 or not math.isfinite(left):
            return False
        allowed = ROUNDING * rows * abs(left)
        if math.isfinite(right):
            allowed = min(allowed, OFF * rows * (right - left))
        return abs(float(self.sums[i]) - rows * left) <= allowed

    def _quantile(self, upto: Ints, q: float, low: float, high: float) -> float:
        total = int(upto[-1]) if len(upto) else 0
        if total == 0:
            return float("nan")
        rank = q * (total - 1)
        below = self._order(upto, math.floor(rank), low, high)
        part = rank - math.floor(rank)
        if part == 0.0:
            return below
        return below + part * (self._order(upto, math.ceil(rank), low, high) - below)

    def _order(self, upto: Ints, rank: int, low: float, high: float) -> float:
        """The value of this rank, the least is 0."""
        i = min(int(np.searchsorted(upto, rank, side="right")), len(self.counts) - 1)
        rows = int(self.counts[i])
        left = min(max(float(self.edges[i]), low), high)
        right = max(min(float(self.edges[i + 1]), high), left)
        if self.is_atom(i):
            return left
        if rows == 1 and 0 < i < len(self.counts) - 1:
            return min(max(float(self.sums[i]), left), right)
        inside = (rank - (int(upto[i]) - rows) + 0.5) / max(1, rows)
        return left + min(1.0, inside) * (right - left)
