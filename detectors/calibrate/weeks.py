"""What a score's own windows say of the days of the week, before enough weeks have passed to learn each hour of it.

    first weekend   no window of such a day is known. Saturdays and Sundays are kinds of their own, in every time zone: a
                    window is of the kind of another only if both are on like days from WEST to EAST of Greenwich
    later weeks     a score is held against the same hour of the weeks before where that explains it better than what
                    all days have taught

A series has no null that says how far it may stray on a day of a kind that was never seen: it stays within the range of the
hours that were, and a margin: a factor of 4 down and 2 up for numbers of rows, or as its own season is wide.
"""

from __future__ import annotations

import numpy as np

from detectors.calibrate import first_days
from detectors.calibrate.first_days import NORMAL
from detectors.calibrate.history import column_median
from detectors.columns import Bools, Floats, Ints

WEEK_DAYS = 7
WEST, EAST = -8.0 / 24.0, 10.0 / 24.0  # days from UTC, of the Pacific's coasts
BELOW, ABOVE = 1.5, 0.5  # of a series' season: how far it may go beyond the hours that were seen
LEAST_PAIRS, ENOUGH_PAIRS = 5, 24


def same_kind(starts: Ints, start_ms: int) -> Bools:
    """Which windows lie on a day like that of another, wherever people live: shape (n,)."""
    return np.asarray((_kinds(starts) == _kinds(np.array([start_ms]))).all(axis=1))


def margins(values: Floats, out: Bools, noise: float, strays: float) -> tuple[float, float]:
    """How low and how high a series may go on a day of a new kind. values: its windows, shape (n,), NaN where there is none;
    out: which of them are no measure of what is usual; noise: its scatter from one window to the next.

    strays: how far below what was seen, and half as far above; 0: as its season says.
    """
    there = values[~out & ~np.isnan(values)]
    there = there if len(there) else values[~np.isnan(values)]
    low, high = float(there.min()), float(there.max())
    season = max(0.0, high - low - 4.0 * noise)
    return low - (strays or BELOW * season), high + (strays / 2.0 or ABOVE * season)


def scatter(values: Floats, starts: Ints, noise: Floats) -> Floats:
    """How far series stray from the same hour of the week before; while little of that is known, at least as far as from the
    day before, and from one window to the next (noise); all of shape (m,)."""
    weeks, pairs = _scatter(values, starts, WEEK_DAYS * first_days.DAY_MS)
    days, _ = _scatter(values, starts, first_days.DAY_MS)
    return np.where(pairs >= ENOUGH_PAIRS, weeks, np.maximum(np.maximum(weeks, days), noise))


def _scatter(values: Floats, starts: Ints, period_ms: int) -> tuple[Floats, Ints]:
    """The robust standard deviation of windows about those a period before, and of how many pairs; shapes (m,)."""
    before = np.minimum(np.searchsorted(starts, starts - period_ms), len(starts) - 1)
    there = np.abs(starts[before] - (starts - period_ms)) <= first_days.NEAR_MS
    squares = (values[there] - values[before[there]]) ** 2
    pairs = (~np.isnan(squares)).sum(axis=0)
    return np.where(pairs >= LEAST_PAIRS, np.sqrt(column_median(squares) / NORMAL / 2.0), 0.0), pairs


def _kinds(starts: Ints) -> Ints:
    """Of each window the kind of its day in the west and in the east, shape (n, 2): 1 Saturday, 2 Sunday, 0 another."""
    day = first_days.DAY_MS
    local = starts[:, None] + (np.array([WEST, EAST]) * day).astype(np.int64)[None, :]
    of_week = (local // day + 4) % WEEK_DAYS  # 1970-01-01 was a Thursday: 0 is a Sunday
    return np.where(of_week == 6, 1, np.where(of_week == 0, 2, 0))
