"""Which past windows count when a score's usual scatter is learned: drift that came and stayed is not usual.

A score that left its limits and stays out, at one level or rising, has drifted: those windows are left out, so that the
alarm stays. One that came back by itself RETURNS times, or that out there swings up and down by SWING null deviations
about its own median as often, scatters more than independent rows do, by night or by wave: then all its windows count,
and its limits widen.
"""

from __future__ import annotations

import numpy as np

from detectors.columns import Bools, Floats, Ints

RETURNS = 3
SWING = 3.0


def usual(positions: Floats, beyond: Bools) -> Floats:
    """Positions of past windows in order of time, shape (n, m), NaN where a window is not to be learned from.

    beyond: where a score was beyond its limit then.
    """
    if not beyond.any():
        return positions
    returns = (beyond[:-1] & ~beyond[1:]).sum(axis=0)
    left_out = beyond & ((returns < RETURNS) & (_swings(positions, beyond) < RETURNS))[None, :]
    return np.where(left_out, np.nan, positions)


def _swings(positions: Floats, beyond: Bools) -> Ints:
    """How often each score fell from SWING above the median of its windows beyond the limit to SWING below it, shape (m,)."""
    out = np.zeros(positions.shape[1], dtype=np.int64)
    some = np.flatnonzero(beyond.any(axis=0))
    centre = np.nanmedian(np.where(beyond[:, some], positions[:, some], np.nan), axis=0)
    high = np.zeros(len(some), dtype=np.bool_)
    count = np.zeros(len(some), dtype=np.int64)
    for row in positions[:, some]:
        fell = high & (row < centre - SWING)
        count += fell
        high = (high & ~fell) | (row > centre + SWING)
    out[some] = count
    return out
