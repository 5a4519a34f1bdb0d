"""Which past windows count when a score's usual scatter is learned: drift that came and stayed is not usual.

A score that left its limits and did not come back has drifted: those windows are left out, so that the alarm stays. One
that left them and came back by itself, RETURNS times, scatters more than independent rows do, by night or by wave: then
all its windows count, and its limits widen.
"""

from __future__ import annotations

import numpy as np

from detectors.columns import Bools, Floats

RETURNS = 3


def usual(positions: Floats, beyond: Bools) -> Floats:
    """Positions of past windows in order of time, shape (n, m), NaN where a window is not to be learned from.

    beyond: where a score was beyond its limit then.
    """
    returns = (beyond[:-1] & ~beyond[1:]).sum(axis=0) if len(beyond) else np.zeros(positions.shape[1], dtype=np.int64)
    left_out = beyond & (returns < RETURNS)[None, :]
    return np.where(left_out, np.nan, positions)
