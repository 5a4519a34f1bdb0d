"""Cells for numbers of any size, the same for every column: what needs no reference and can be taken back.

A cell is the number's sign, its power of two and the first BITS bits behind it, so that a cell's middle is off by
less than 1 % of the value. Numbers below 2**-LEAST in size share the middle cell, greater ones than 2**LEAST the last.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from detectors.columns import Floats, Ints

BITS = 6
LEAST = 40
MOST = 2.0**250  # the fourth power of greater numbers has no place in a float
_SIDE = 2 * LEAST << BITS
CELLS = 2 * _SIDE + 1  # 10,241
_FIRST = (1023 - LEAST) << BITS


def cell_of(values: Floats) -> Ints:
    """The cells of finite values, ascending with them: shape (n,), from 0 to CELLS - 1."""
    size = np.abs(np.ascontiguousarray(values, dtype=np.float64))
    key = (size.view(np.int64) >> (52 - BITS)) - _FIRST + 1
    key = np.clip(key, 0, _SIDE)
    out: Ints = np.where(values < 0, _SIDE - key, _SIDE + key)
    return out


def bounds() -> tuple[Floats, Floats]:
    """The least and the greatest value of each cell: two arrays of shape (CELLS,)."""
    keys = (np.arange(_SIDE + 1, dtype=np.int64) + _FIRST) << (52 - BITS)
    edges = keys.view(np.float64)
    low, high = edges[:-1], edges[1:]
    zero = [edges[0]]
    return np.concatenate([-high[::-1], [-zero[0]], low]), np.concatenate([-low[::-1], zero, high])


LOW, HIGH = bounds()


def quantile(counts: Ints, level: float) -> float:
    """The value below which a share `level` of the counted values lie, within its cell.

    NaN without any, and in an outermost cell, which has no end; 0 in the middle one.
    """
    total = int(counts.sum())
    if total <= 0:
        return float("nan")
    return _at(counts, np.cumsum(counts), level * (total - 1))


def at_ranks(counts: Ints, ranks: Iterable[int]) -> list[float]:
    """The counted values of these ranks, 1 the least, within their cells; as `quantile` gives them."""
    upto = np.cumsum(counts)
    return [_at(counts, upto, rank - 1) for rank in ranks]


def _at(counts: Ints, upto: Ints, rank: float) -> float:
    i = min(int(np.searchsorted(upto, rank, side="right")), CELLS - 1)
    if i in (0, CELLS - 1):
        return float("nan")
    if i == _SIDE:
        return 0.0
    inside = (rank - (upto[i] - counts[i]) + 0.5) / max(1, int(counts[i]))
    return float(LOW[i] + min(1.0, inside) * (HIGH[i] - LOW[i]))


def folded(counts: Ints) -> Ints:
    """The counts of the sizes: a negative number's in the cell of its positive."""
    out = counts.copy()
    out[_SIDE + 1 :] += out[:_SIDE][::-1]
    out[:_SIDE] = 0
    return out
