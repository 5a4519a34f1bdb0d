"""Quantiles of numbers counted in cells (detectors/float_cells.py), with intervals that suppose nothing of how they are distributed.

The ends of an interval are order statistics, at fractions of a rank (Hutson 1999, intervals.quantile_ranks). Few rows do not reach as far
as a quantile near 0 or 1 may lie: beyond the last of them an end goes on as an exponential tail would (Hutson 2002, "A semi-parametric
quantile function estimator"), whose scale is that of the last TAIL rows beyond the next one instead of the last one alone, which scatters more.
"""

from __future__ import annotations

import math

from detectors.columns import Ints
from detectors.float_cells import at_ranks, quantile
from detectors.labelled.intervals import NONE, Interval, quantile_ranks

TAIL = 7  # rows; with 2 an end of 20 rows holds in 90 %, with 7 in 96 to 99 %, for exponential, normal and uniform errors


def quantile_and_interval(counts: Ints, q: float, rows: int, least: float = -math.inf) -> tuple[float, Interval]:
    """least: below which no value lies. NaN where a value lies in an outermost cell, or of one row."""
    value = quantile(counts, q)
    if rows < 2 or math.isnan(value):
        return value, NONE
    low, high = (_at(counts, rank, rows) for rank in quantile_ranks(q, rows))
    return value, (max(least, min(low, value)), max(high, value))


def _at(counts: Ints, rank: float, rows: int) -> float:
    """The value of a rank, 1 the least; not a whole number, and less than 1 or more than rows where it lies beyond them."""
    if 1.0 <= rank <= rows:
        whole = min(int(rank), rows - 1)
        below, above = at_ranks(counts, (whole, whole + 1))
        return below + (rank - whole) * (above - below)
    tail = min(rows - 1, TAIL)
    if rank < 1.0:
        first, *others = at_ranks(counts, range(1, tail + 2))
        return first + math.log(rank) * (others[-1] - (first + sum(others[:-1])) / tail)
    *others, last = at_ranks(counts, range(rows - tail, rows + 1))
    return last - math.log(rows + 1.0 - rank) * ((last + sum(others[1:])) / tail - others[0])
