"""Counts over ordered cells: what every drift score of a numeric feature is computed from.

A summary counts in the reference's grid or in cells of its own; `aligned` brings two summaries on common cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
        total = int(upto[-1]) if len(upto) else 0
        if total == 0:
            return [math.nan] * len(levels)
        places = [level * (total - 1) for level in levels]
        ranks = sorted({around for place in places for around in (math.floor(place), math.ceil(place))})
        value = dict(zip(ranks, self._orders(upto, ranks, low, high), strict=True))
        out = []
        for place in places:
            whole = math.floor(place)
            below = value[whole]
            out.append(below if place == whole else below + (place - whole) * (value[whole + 1] - below))
        return out

    def is_atom(self, i: int) -> bool:
        """Whether all rows of a cell are its least value, as far as the rounding of their sum lets that be seen."""
        return _all_least(self.edges.item(i), self.edges.item(i + 1), self.counts.item(i), self.sums.item(i))

    def _orders(self, upto: Ints, ranks: Sequence[int], low: float, high: float) -> Iterator[float]:
        """The values of these ranks, the least is 0. upto: the cumulated counts."""
        last = len(self.counts) - 1
        at = np.minimum(upto.searchsorted(ranks, side="right"), last)
        cells = (side.tolist() for side in (at, upto[at], self.counts[at], self.edges[at], self.edges[at + 1], self.sums[at]))
        for rank, i, end, rows, least, beyond, total in zip(ranks, *cells, strict=True):
            left = min(max(least, low), high)
            if _all_least(least, beyond, rows, total):
                yield left
                continue
            right = max(min(beyond, high), left)
            if rows == 1 and 0 < i < last:
                yield min(max(total, left), right)
            else:
                inside = (rank - (end - rows) + 0.5) / max(rows, 1)
                yield left + min(inside, 1.0) * (right - left)


def _all_least(left: float, right: float, rows: int, total: float) -> bool:
    """Whether all rows of a cell are its least value: their sum says so, as far as its rounding lets that be seen."""
    if not rows or not math.isfinite(left):
        return False
    there, width = rows * left, right - left
    allowed = min(ROUNDING * abs(there), OFF * rows * width) if math.isfinite(width) else ROUNDING * abs(there)
    return abs(total - there) <= allowed
