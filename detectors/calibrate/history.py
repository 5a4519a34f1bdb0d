"""What a model's own past windows say about its scores: their level by season, and how far they scatter around it.

Rows of real traffic are no independent draws: nights differ from days, customers come in waves. A null made for
independent rows then cries wolf. Here the past windows' positions (in units of that null, 0 its median, 1 its standard
deviation) give, for each score,

    centre   median, plus the hour's and the weekday-hour's own deviation, each shrunk by how much of it is noise
    spread   of what is left, from the median to the 84 % quantile, shrunk towards what all scores of the model show
    rows     how many windows that rests on

by empirical Bayes (Morris 1983), so that where rows are independent, centre is 0 and spread 1 but for a few percent,
and the closed limits stand; where they are not, each score gets what it needs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from detectors.columns import Floats, Ints

LEAST_WINDOWS = 30
LEAST_IN_SLOT = 4  # an hour that was seen less often has no effect of its own; the spread then holds the season
COVERED = 0.9  # of windows must lie in hours that were seen so often: half a season would make the rest look odd
HOUR_MS = 3_600_000
EPOCH_HOUR = 4 * 24  # 1970-01-01 was a Thursday: hour of the week, counted from Sunday
TAIL = 20.0  # squared deviates at which limits lie: what the error of the spread is weighed with
LOWEST = 2.0  # times the reference's part of the variance: so far below the null's median its error may hold a score
NOISE_MEDIAN, NOISE_LOG_SPREAD = 1.57, 1.9  # variances of a median and of the logarithm of a quantile's distance, times n


@dataclass(frozen=True, slots=True)
class Past:
    """Of m scores: where their next window is expected and how far it may stray. Shape (m,); rows 0: too few windows.

    error: variance of centre, in units of spread squared. own: how much of the spread's distance from that of all scores is its
    own: as much of it is known from so few windows. least: of the null's spread what is left where the centre is known: the
    reference's own error is in the centre then.
    """

    centre: Floats
    spread: Floats
    error: Floats
    rows: Ints
    own: Floats
    least: float = 1.0

    def of(self, place: int) -> Past:
        """Of one score alone: shapes (1,)."""
        at = slice(place, place + 1)
        return Past(self.centre[at], self.spread[at], self.error[at], self.rows[at], self.own[at])

    def position(self, position: float) -> float:
        """Of one score: a position on the closed null's scale once what the past says of it is taken out."""
        centre, width = self._moved()
        return (position - centre) / width if width > 0.0 else position

    def value(self, position: float) -> float:
        """The way back: which position comes to lie at the given one."""
        centre, width = self._moved()
        return position * width + centre if width > 0.0 else position

    def _moved(self) -> tuple[float, float]:
        """Of one score: the centre, and the spread, wider by what is not known of both; not where they are those of independent rows.
        0 wide where nothing is known. Less than the null's own, 0 and 1, is what the reference's error explains alone."""
        rows = self.rows.item()
        if rows <= 0:
            return 0.0, 0.0
        centre, spread = self.centre.item(), self.spread.item()
        unknown = TAIL * self.own.item() / rows + self.error.item()
        left = max(spread, self.least)
        if left < 1.0:
            width = min(left * math.sqrt(1.0 + unknown), 1.0)
        else:
            excess = min(max((max(spread, 1.0 + centre / 4.0) - 1.0) / 0.25, 0.0), 1.0)
            width = left * math.sqrt(1.0 + excess * unknown)
        return max(centre, -LOWEST * (1.0 - self.least**2)), width


def hour_of_week(start_ms: Ints) -> Ints:
    """0 to 167 in UTC, shape (n,)."""
    return np.asarray((start_ms // HOUR_MS + EPOCH_HOUR) % 168)


def learn(positions: Floats, start_ms: Ints) -> Learned:
    """From past windows, shape (n, m), NaN where a score was not there or alarmed; start_ms: shape (n,)."""
    rows = (~np.isnan(positions)).sum(axis=0)
    hours = hour_of_week(start_ms)
    with np.errstate(invalid="ignore", divide="ignore"):
        level = column_median(positions)
        left = positions - level
        by_hour = _effects(left, hours % 24, 24)
        left = left - by_hour[hours % 24]
        by_week = _effects(left, hours, 168)
        left = left - by_week[hours]
        farthest = np.array([_farthest(-left), _farthest(left)])
        used = (by_hour != 0.0).sum(axis=0) + (by_week != 0.0).sum(axis=0)
        spread = _upper_spread(left) * np.sqrt(rows / np.maximum(rows - np.minimum(used, rows / 2.0), 1.0))
    return Learned(level, by_hour, by_week, spread, NOISE_MEDIAN * used / np.maximum(rows, 1), rows, farthest)


@dataclass(frozen=True, slots=True)
class Learned:
    """level, spread, error, rows: shape (m,). by_hour: (24, m), by_week: (168, m), deviations from level. farthest: (2, m), how far
    below and above what these say a window has lain."""

    level: Floats
    by_hour: Floats
    by_week: Floats
    spread: Floats
    error: Floats
    rows: Ints
    farthest: Floats

    def at(self, start_ms: int) -> Past:
        """What is expected of a window that starts then, shrunk over all scores: for scores whose null is known."""
        hour = int(hour_of_week(np.array([start_ms]))[0])
        enough = self.rows >= LEAST_WINDOWS
        n = np.maximum(self.rows, 1).astype(np.float64)
        level = np.where(enough, self.level, 0.0)
        level = level * _kept(level, NOISE_MEDIAN / n, enough, around=0.0)
        centre = level + np.where(enough, self.by_hour[hour % 24] + self.by_week[hour], 0.0)
        log = np.log(np.maximum(np.where(enough, self.spread, 1.0), 1e-3))
        around = float(np.median(log[enough])) if enough.any() else 0.0
        own = _kept(log, NOISE_LOG_SPREAD / n, enough, around=around)
        log = around + (log - around) * own
        return Past(centre, np.exp(log), self.error, np.where(enough, self.rows, 0), own)

    def plain(self, start_ms: int) -> Past:
        """The same without shrinking: for series that have no null but their own past."""
        hour = int(hour_of_week(np.array([start_ms]))[0])
        rows = np.where(self.rows >= LEAST_WINDOWS, self.rows, 0)
        return Past(self.level + self.by_hour[hour % 24] + self.by_week[hour], self.spread, self.error, rows, np.ones(len(rows)))


def _kept(values: Floats, noise: Floats, enough: Floats | np.ndarray, around: float) -> Floats:
    """How much of each value's distance from `around` is more than noise: of all scores, and of its own."""
    if not enough.any():
        return np.zeros(len(values))
    square = (values - around) ** 2
    common = max(0.0, float(np.mean(np.minimum(square[enough], 25.0 * noise[enough]) - noise[enough])))
    own = np.maximum(0.0, square - 9.0 * noise)  # an effect of its own, three standard errors out, is not shrunk away
    signal = np.maximum(common, own)
    return np.asarray(signal / (signal + noise))


def column_median(values: Floats) -> Floats:
    """Of each column, shape (m,); 0 where it has no value."""
    there = ~np.isnan(values)
    out = np.zeros(values.shape[1])
    some = there.any(axis=0)
    if some.any():
        out[some] = np.nanmedian(values[:, some], axis=0)
    return out


def _upper_spread(left: Floats) -> Floats:
    there = ~np.isnan(left)
    out = np.ones(left.shape[1])
    some = there.sum(axis=0) >= 2
    if some.any():
        out[some] = np.nanquantile(left[:, some], 0.8413, axis=0) - np.nanmedian(left[:, some], axis=0)
    return out


def _effects(left: Floats, slots: Ints, size: int) -> Floats:
    """Each slot's median deviation, shrunk to nothing where the slots differ no more than chance has them: (size, m)."""
    m = left.shape[1]
    raw, rows = np.zeros((size, m)), np.zeros((size, m))
    for slot in np.unique(slots).tolist():
        part = left[slots == slot]
        raw[slot], rows[slot] = column_median(part), (~np.isnan(part)).sum(axis=0)
    seen = (rows >= LEAST_IN_SLOT).sum(axis=0)
    covered = np.where(rows >= LEAST_IN_SLOT, rows, 0.0).sum(axis=0) >= COVERED * rows.sum(axis=0)
    if not (covered & (seen >= 2)).any():
        return np.zeros((size, m))
    spread = _robust_spread(left - raw[slots]) * np.sqrt(np.maximum(rows.sum(axis=0), 1) / np.maximum(rows.sum(axis=0) - seen, 1))
    noise = np.where(rows >= LEAST_IN_SLOT, NOISE_MEDIAN * spread**2 / np.maximum(rows, 1), 0.0)
    signal = np.where(rows >= LEAST_IN_SLOT, raw**2 - noise, 0.0).sum(axis=0) / np.maximum(seen, 1)
    chance = np.sqrt(2.0 / np.maximum(seen, 1)) * np.where(rows >= LEAST_IN_SLOT, noise, 0.0).sum(axis=0) / np.maximum(seen, 1)
    signal = np.where(covered & (signal > 3.0 * chance), signal, 0.0)
    return np.asarray(raw * np.where(rows >= LEAST_IN_SLOT, signal / np.maximum(signal + noise, 1e-12), 0.0))


def _farthest(left: Floats) -> Floats:
    return np.asarray(np.max(np.where(np.isnan(left), 0.0, left), axis=0, initial=0.0))


def _robust_spread(left: Floats) -> Floats:
    there = (~np.isnan(left)).sum(axis=0)
    out = np.ones(left.shape[1])
    some = there >= 2
    if some.any():
        low, high = np.nanquantile(left[:, some], [0.1587, 0.8413], axis=0)
        out[some] = (high - low) / 2.0
    return out
