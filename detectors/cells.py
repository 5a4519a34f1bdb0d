"""Counts over ordered cells: what every drift score of a numeric feature is computed from.

A summary counts in the reference's grid or in cells of its own; `aligned` brings two summaries on common cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detectors.columns import Floats, Ints


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
        """The value below which a share q of the rows lie; off by at most the cell that holds it.

        low and high are the least and greatest value: they close the outer cells. NaN without rows.
        """
        return self.quantiles((q,), low, high)[0]

    def quantiles(self, levels: Sequence[float], low: float, high: float) -> list[float]:
        """The same for several levels."""
        upto = np.cumsum(self.counts)
        return [self._quantile(upto, q, low, high) for q in levels]

    def _quantile(self, upto: Ints, q: float, low: float, high: float) -> float:
        total = int(upto[-1]) if len(upto) else 0
        if total == 0:
            return float("nan")
        rank = q * (total - 1)
        i = int(np.searchsorted(upto, rank, side="right"))
        i = min(i, len(self.counts) - 1)
        inside = (rank - (upto[i] - self.counts[i]) + 0.5) / max(1, int(self.counts[i]))
        left = min(max(float(self.edges[i]), low), high)
        right = max(min(float(self.edges[i + 1]), high), left)
        return float(left + min(1.0, inside) * (right - left))
