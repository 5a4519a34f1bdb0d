"""Counts over ordered cells: what every drift score of a numeric feature is computed from.

A summary counts in the reference's grid or in cells of its own; `aligned` brings two summaries on common cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.columns import Bools, Floats, Ints

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
        total = int(upto[-1]) if len(upto) else 0
        if total == 0:
            return [float("nan")] * len(levels)
        rank = np.asarray(levels) * (total - 1)
        whole = np.floor(rank)
        below, above = self._order(upto, np.stack([whole, np.ceil(rank)]), low, high)
        found: list[float] = np.where(rank == whole, below, below + (rank - whole) * (above - below)).tolist()
        return found

    def is_atom(self, i: int) -> bool:
        """Whether all rows of a cell are its least value, as far as the rounding of their sum lets that be seen."""
        return bool(self._atoms(np.array([i]))[0])

    def _atoms(self, at: Ints) -> Bools:
        left, rows = self.edges[at], self.counts[at]
        with np.errstate(invalid="ignore", over="ignore"):
            there, width = rows * left, self.edges[at + 1] - left
            allowed = np.minimum(ROUNDING * np.abs(there), np.where(np.isfinite(width), OFF * rows * width, np.inf))
            found: Bools = (rows > 0) & np.isfinite(left) & (np.abs(self.sums[at] - there) <= allowed)
        return found

    def _order(self, upto: Ints, ranks: Floats, low: float, high: float) -> Floats:
        """The values of these ranks, the least is 0; any shape."""
        last = len(self.counts) - 1
        at = np.minimum(np.searchsorted(upto, ranks, side="right"), last)
        rows, left = self.counts[at], np.clip(self.edges[at], low, high)
        right = np.maximum(np.minimum(self.edges[at + 1], high), left)
        inside = (ranks - (upto[at] - rows) + 0.5) / np.maximum(rows, 1)
        with np.errstate(over="ignore", invalid="ignore"):
            within = left + np.minimum(inside, 1.0) * (right - left)
        alone = np.clip(self.sums[at], left, right)
        found = np.where((rows == 1) & (at > 0) & (at < last), alone, within)
        return np.where(self._atoms(at), left, found)
