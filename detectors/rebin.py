"""Values that were counted in the cells of one reference, put into those of another: each cell's rows lie at their mean.

Needed where a window lies on both sides of a switch of references. Moments, missing and infinite values stay exact. Of the
distribution function only what lies in a cell that an edge of the other grid cuts can be on the wrong side of that edge:
it is off by at most the largest number of rows in such a cell. A value that has a cell of its own stays exact.
"""

from __future__ import annotations

import numpy as np

from detectors.adaptive import AdaptiveSummary
from detectors.buckets import to_keys
from detectors.columns import Floats, Ints
from detectors.numeric import GridSummary

Numeric = GridSummary | AdaptiveSummary


def merge_rebinned(mine: Numeric, other: Numeric) -> int:
    """Merge a summary that counts in other cells into `mine`; returns by how many rows its distribution function may be off."""
    means, counts, low, high = _points(other)
    if isinstance(mine, GridSummary):
        at = np.searchsorted(mine.edges, means, side="right")
        mine.counts += np.bincount(at, weights=counts, minlength=len(mine.counts)).astype(np.int64)
        mine.sums += np.bincount(at, weights=means * counts, minlength=len(mine.counts))
        mine.counts[-1] += other.infinite
        cut = np.searchsorted(mine.edges, low, side="right") != np.searchsorted(mine.edges, high, side="left")
        off = int(counts[cut].max(initial=0))
    else:
        moved = AdaptiveSummary()
        moved._take(to_keys(means), counts)
        moved.moments.merge(other.moments)
        moved.missing, moved.infinite = other.missing, other.infinite
        mine.merge(moved)
        return int(counts.max(initial=0))
    mine.moments.merge(other.moments)
    mine.missing += other.missing
    mine.infinite += other.infinite
    return off


def _points(other: Numeric) -> tuple[Floats, Ints, Floats, Floats]:
    """Mean, rows and both ends of each filled cell, without infinite values."""
    cells = other.cells()
    counts = cells.counts.copy()
    if isinstance(other, GridSummary) and other.infinite:  # they lie in the outer cells, on which side is not known
        above = min(other.infinite, int(counts[-1]))
        counts[-1] -= above
        counts[0] -= other.infinite - above
    filled = np.flatnonzero(counts > 0)
    low, high = cells.edges[filled], np.nextafter(cells.edges[filled + 1], -np.inf)
    means = np.clip(cells.sums[filled] / counts[filled], low, high)
    return means, counts[filled], np.maximum(low, np.finfo(float).min), np.minimum(high, np.finfo(float).max)
