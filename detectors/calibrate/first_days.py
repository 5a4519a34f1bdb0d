"""What a score's own windows say in its first days, while a season cannot be told from drift by hour and weekday yet.

A reference of a few windows, or of rows of all hours, is not what one hour looks like: on a stream with a strong daily
season every window differs from it, and all of that is true and none of it is drift. So

    first day       a window is held against the windows just before it: a season moves, and goes on moving as it did;
                    a break jumps. centre: the median of the last RECENT windows that were not called drift; spread:
                    noise, and how fast the score has been moving
    later days      a window is held against the same hour of the days before, where the score was within its limits then or
                    has come and gone since; one that left and stayed has no season, and is judged as ever. What these days
                    say counts by how far scores have moved beyond chance since the first window (`moved`), so that
                    independent rows keep the closed limits from the second day on

Positions are in units of the score's null (0 its median, 1 its standard deviation), or a series' own values.
"""

from __future__ import annotations

import numpy as np

from detectors.calibrate.history import Past, column_median
from detectors.columns import Bools, Floats, Ints

DAY_MS = 86_400_000
NEAR_MS = 30 * 60_000  # as far apart two windows are of one hour of the day
RECENT, LEAST = 8, 5  # windows before, and how few say nothing
MOVES = 24  # windows whose movement from one to the next counts
NORMAL = 0.4549  # the median of a squared normal deviate
SECOND = 6.0 * NORMAL  # of the second differences of independent windows, over their variance
SCATTERS = 2.5  # an estimated variance below this is that of independent rows
AHEAD = 4.0  # times the squared speed of a score that a season may run ahead of the windows before
LEAD = 1.5  # standard deviations that a slow season may have run ahead unseen
HIGH, LOW = 0.6, 0.5  # of the greatest position: who was above the first and then below the second has come and gone
HOURS = 24
LEAST_MOVED = 12  # windows, of which a movement beyond chance is told
PAIRS = 48  # windows a day after another that count for how days differ
MEDIAN_ERROR = 2.33  # of a variance by the median of squares: its standard error as a share of it, times the root of how many
FARTHEST = 5.0  # positions beyond it count as it
SQUARES = 4.0  # the variance of a squared position by chance: 2 for a normal one, more where the law is skewed
STANDS_OUT = 2.5  # standard deviations from which on the same hour of earlier days counts whole, whatever the score did else


def same_hour(starts: Ints, start_ms: int, days: int = 1) -> Bools:
    """Which windows lie at a window's hour on an earlier day, or so many days earlier or a multiple; shape (n,)."""
    period = days * DAY_MS
    off = (starts - start_ms + period // 2) % period - period // 2
    return np.asarray((np.abs(off) <= NEAR_MS) & (starts <= start_ms - period // 2))


def apart(starts: Ints, start_ms: int, size_ms: int) -> Ints:
    """Places of the windows before one, of which no two share rows, ascending."""
    out, until = [], start_ms
    for at in range(len(starts) - 1, -1, -1):
        if starts[at] <= until - size_ms:
            out.append(at)
            until = int(starts[at])
    return np.array(out[::-1], dtype=np.int64)


def just_before(values: Floats, called: Bools, least_noise: float) -> Past:
    """From windows in order of time, shape (n, m), NaN where there is no score: what the next may be if it goes on as it did.

    called: where a score was called drift. least_noise: its scatter's least standard deviation, 1 for positions. rows is 0
    where fewer than LEAST windows were not called.
    """
    kept, count = _last(values, called)
    with np.errstate(invalid="ignore"):
        noise = _noise(kept, least_noise)
        centre = column_median(kept[-RECENT:]) + LEAD * least_noise
        speed = np.maximum(0.0, column_median(np.diff(kept, axis=0) ** 2) / NORMAL - 4.0 * noise)
    spread = np.sqrt(noise * _farther(centre - LEAD * least_noise, least_noise) + AHEAD * speed)
    rows = np.where(count >= LEAST, np.maximum(count, MOVES // 2), 0)
    return Past(np.where(rows > 0, centre, 0.0), spread, np.full(len(centre), 1.57 / RECENT), rows, np.ones(len(centre)))


def moved(positions: Floats, called: Bools) -> Floats:
    """The variance of positions of windows that share no rows, shape (n, m), beyond what chance gives them; of each score, shape (m,).

    What all scores show together, or what the score itself does where that is more than two standard errors (empirical Bayes, as
    history.py has it). Infinite where there are too few windows to tell.
    """
    there = ~np.isnan(positions) & ~called
    count = there.sum(axis=0)
    squares = np.where(there, np.clip(positions, -FARTHEST, FARTHEST) ** 2, 0.0).sum(axis=0) / np.maximum(count, 1)
    enough = count >= LEAST_MOVED
    common = max(0.0, float((squares[enough] - 1.0).mean())) if enough.any() else 0.0
    own = np.where(squares - 1.0 > 2.0 * np.sqrt(SQUARES / np.maximum(count, 1)), squares - 1.0, 0.0)
    return np.where(enough, np.maximum(common, own), np.inf)


def day_noise(values: Floats, called: Bools, starts: Ints) -> Floats:
    """The variance of positions of windows between days, season taken out, at least 1; shape (m,), NaN where too few are known.

    Of the last PAIRS windows and those a day before: what all scores show, or the score itself where that is more.
    """
    before = np.searchsorted(starts, starts - DAY_MS - NEAR_MS)
    now = np.flatnonzero(np.abs(starts[before] - starts + DAY_MS) <= NEAR_MS)[-PAIRS:]
    before = before[now]
    if not len(now):
        return np.full(values.shape[1], np.nan)
    squares = np.where(called[now] | called[before], np.nan, values[now] - values[before]) ** 2
    count = (~np.isnan(squares)).sum(axis=0)
    enough = count >= LEAST_MOVED
    found = column_median(squares) / (2.0 * NORMAL)
    common = max(1.0, float(np.median(found[enough]))) if enough.any() else 1.0
    own = found > common * (1.0 + MEDIAN_ERROR / np.sqrt(np.maximum(count, 1)))
    return np.where(enough, np.where(own, found, common), np.nan)


def earlier_days(
    values: Floats, called: Bools, held: Bools, same: Bools, least_noise: float, moved_by: Floats | None = None,
    noise: Floats | None = None,
) -> Past:  # fmt: skip
    """From windows as above: what the same hour of earlier days leads to expect. same: shape (n,). rows: 0 where nothing.

    Windows in which a score was within its limits count; those in which it was called drift, or held, only where it comes and goes.
    moved_by: as `moved` has it, shape (m,); without it what these days say counts whole. noise: as `day_noise` has it, shape (m,):
    where that is less than what a score does from one window to the next, it is what is left of it.
    """
    moves = comes_and_goes(values)[None, :]
    at = np.where((called | (held & ~moves))[same], np.nan, values[same])
    none = np.atleast_1d(np.isnan(at).all(axis=0))[None, :]
    at = np.where(none & moves, values[same], at)
    there = (~np.isnan(at)).sum(axis=0)
    centre = np.where(there > 0, np.nansum(at, axis=0) / np.maximum(there, 1), 0.0)
    counts = _counts(centre, there, moved_by)
    centre = centre * counts
    strays = last_noise(values, called, least_noise) * _farther(centre, least_noise)
    if noise is not None:
        strays = np.fmin(strays, noise)
    spread = np.sqrt(strays * (1.0 + counts / np.maximum(there, 1)))  # of the centre too
    rows = (~np.isnan(values)).sum(axis=0)
    return Past(centre, spread, np.zeros(len(centre)), np.where(there > 0, rows, 0), np.ones(len(centre)))


def _counts(centre: Floats, there: Ints, moved_by: Floats | None) -> Floats:
    """How much the mean of so many positions tells of the hour: what hours differ by, as a share of that and of the mean's noise."""
    if moved_by is None:
        return np.ones(len(centre))
    noise = 1.0 / np.maximum(there, 1)
    with np.errstate(invalid="ignore"):
        counts = np.where(np.isinf(moved_by), 1.0, moved_by / (moved_by + noise))
    return np.where(np.abs(centre) > STANDS_OUT * np.sqrt(noise), 1.0, counts)


def comes_and_goes(values: Floats) -> Bools:
    """Which scores were far out and then less than half as far, shape (m,): by medians of three windows, in order of time."""
    if len(values) < 4:
        return np.zeros(values.shape[1], dtype=np.bool_)
    one, two, three = values[:-2], values[1:-1], values[2:]
    middle = np.maximum(np.minimum(one, two), np.minimum(np.maximum(one, two), three))
    highest = np.maximum.accumulate(np.where(np.isnan(middle), -np.inf, middle), axis=0)
    top = highest[-1]
    with np.errstate(invalid="ignore"):
        back = (middle <= LOW * highest) & (highest >= HIGH * top)
    return np.asarray((top > 0) & back.any(axis=0))


def beyond_hours(reference: Floats, current: Floats) -> float:
    """The share of a window's rows that no hour of a reference of whole days can hold, by cells' shares, shapes (k,).

    An hour is a part in HOURS of a day: none of its cells can hold more than HOURS times the day's share.
    """
    return float(np.maximum(current - HOURS * reference, 0.0).sum())


def last_noise(values: Floats, called: Bools, least: float) -> Floats:
    """The variance of each score from one window to the next, of the last that were not called; shape (m,)."""
    with np.errstate(invalid="ignore"):
        return _noise(_last(values, called)[0], least)


def _last(values: Floats, called: Bools) -> tuple[Floats, Ints]:
    """The last MOVES values of each score that were not called, shape (MOVES, m) with NaN before them; and how many."""
    values, called = values[-6 * MOVES :], called[-6 * MOVES :]
    mask = ~np.isnan(values) & ~called
    order = np.argsort(mask, axis=0, kind="stable")[-MOVES:]
    kept = np.where(np.take_along_axis(mask, order, axis=0), np.take_along_axis(values, order, axis=0), np.nan)
    if len(kept) < MOVES:
        kept = np.concatenate([np.full((MOVES - len(kept), values.shape[1]), np.nan), kept])
    return kept, mask.sum(axis=0)


def _noise(kept: Floats, least: float) -> Floats:
    """The variance from one window to the next, but for what moves evenly."""
    found = column_median(np.diff(kept, n=2, axis=0) ** 2) / SECOND
    return np.asarray(np.where(found > SCATTERS * least**2, found, least**2))


def _farther(centre: Floats, least: float) -> Floats:
    """A score that lies far out scatters more than its null does: up to twice as much. Not so a series (least 0)."""
    return 1.0 + 3.0 * np.clip((centre - 2.0) / 4.0, 0.0, 1.0) if least else np.ones(len(centre))
