"""A metric's own series: what its past windows, hour of the day and weekday lead one to expect of the next.

For metrics that have no reference (rows of traffic, latency, cost, memory; any that the config names): the seasonal level and scatter of detectors/calibrate/
history.py, and a Student t law of few degrees, because what servers and customers do has heavier tails than a normal. What one row
decides (a column's extremes, its deviation) has a tail as heavy as the column's own, and a quantile may leave one mode for another:
fewer degrees by name (HEAVY), and they are judged by rank besides. Of n + 1 exchangeable windows the last is the record in 1 of n + 1
cases, and t times as far out as the record before in 1 of (n + 1) t**a where the tail falls with the power a: exactly so for
Pareto's law, less often for lighter ones. Where no window ever strayed, how far a stray goes is not known: 1 of n + 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from detectors.calibrate.history import TAIL, Past
from detectors.columns import Floats

FREEDOM = 12.0
HEAVY = {
    **dict.fromkeys(("min", "max", "std", "mean", "p01", "p99"), 2.0),
    **dict.fromkeys(("p05", "p25", "p50", "p75", "p95"), 4.0),
}  # the power with which the tail falls: at 2 the column has a variance at least


@dataclass(frozen=True, slots=True)
class Series:
    """How one metric is looked at. either: a fall alarms as a rise does. least: the scatter is at least this, transformed.
    freedom: degrees of Student's law of what is left. ranked: a record says no more than that it is one.

    What is kept rises as the metric gets worse.
    """

    forward: Callable[[float, int], float]  # value, rows -> what is kept and compared
    back: Callable[[float, int], float]
    either: bool
    least: Callable[[int], float]  # of the rows
    freedom: float = FREEDOM
    ranked: bool = False
    strays: float = 0.0  # how far below all hours seen it may fall on a day of a new kind; 0: as its season says (weeks.py)


def _log(value: float, rows: int) -> float:
    return float(np.log(max(value, 1e-9)))


def _exp(value: float, rows: int) -> float:
    return float(np.exp(value))


def _arcsine(share: float, rows: int) -> float:
    return float(2.0 * np.arcsin(np.sqrt(min(max(share, 0.0), 1.0))))


def _share(angle: float, rows: int) -> float:
    return float(np.sin(min(max(angle, 0.0), np.pi) / 2.0) ** 2)


def _same(value: float, rows: int) -> float:
    return value


def _by_rows(rows: int) -> float:
    return float(1.0 / np.sqrt(max(rows, 1)))


def series_of(name: str, worse: str, unit: str) -> Series:
    """The series of a score. worse: "above", "below" or "" for either way; unit: "" for a plain number.

    Shares by their arcsine, what is counted in a unit by its logarithm, where it may be below 0 (no way is worse) as it is,
    other plain numbers (metrics, most of them within -1 and 1) as they are with at least the scatter of a mean of the rows.
    """
    if name in SERIES:
        return SERIES[name]
    forward: Callable[[float, int], float]
    back: Callable[[float, int], float]
    least: Callable[[int], float]
    if name.endswith("_share"):
        forward, back, least = _arcsine, _share, _by_rows
    elif unit and worse:
        forward, back, least = _log, _exp, lambda rows: 0.02
    elif unit:
        forward, back, least = _same, _same, lambda rows: 1e-9
    else:
        forward, back, least = _same, _same, _by_rows
    if worse == "below":
        return Series(lambda v, rows: -forward(v, rows), lambda kept, rows: back(-kept, rows), False, least)
    return Series(forward, back, not worse, least, HEAVY.get(name, FREEDOM), name in HEAVY)


LATENCY = Series(_log, _exp, False, lambda rows: max(0.02, 3.0 / np.sqrt(max(rows, 1))))
SERIES: dict[str, Series] = {
    "rows": Series(_log, _exp, True, lambda rows: max(0.01, 1.0 / np.sqrt(max(rows, 1))), strays=float(np.log(4.0))),
    "error_share": Series(_arcsine, _share, False, lambda rows: 1.0 / np.sqrt(max(rows, 1))),
    "error_gap": Series(_same, _same, False, lambda rows: 0.1 / np.sqrt(max(rows, 1))),
    "latency_gap_ms": LATENCY,
    "latency_p50_ms": LATENCY,
    "latency_p95_ms": LATENCY,
    "latency_p99_ms": LATENCY,
}


def deviates(kept: Floats, least: Floats, past: Past) -> Floats:
    """How far out, in predicted scatters; NaN with too few past windows. All of shape (m,)."""
    known = past.rows > 0
    return np.where(known, (kept - past.centre) / width(least, past), np.nan)


def width(least: Floats, past: Past) -> Floats:
    """One predicted scatter: that of the past, wider by what is not known of it."""
    return np.asarray(np.maximum(past.spread, least) * np.sqrt(1.0 + TAIL / np.maximum(past.rows, 1) + past.error))


def probability(deviate: float, series: Series) -> float:
    """Of a deviate as far out: above, or either way."""
    return float(2.0 * stdtr(series.freedom, -abs(deviate)) if series.either else stdtr(series.freedom, -deviate))


def deviate_at(probability: float, series: Series) -> float:
    """The deviate, above, that is passed with this probability."""
    return float(-stdtrit(series.freedom, max(probability, 1e-300) / (2.0 if series.either else 1.0)))


@dataclass(frozen=True, slots=True)
class Record:
    """How far below and above what was expected of them (centre, of the next window) so many windows have lain."""

    centre: float
    below: float
    above: float
    windows: int

    def probability(self, out: float, series: Series) -> float:
        """Of a window there; 0 where the series is not ranked: its law says it all."""
        away = out - self.centre
        farthest = self.below if away < 0 else self.above
        if not series.ranked:
            return 0.0
        times = farthest / abs(away) if 0.0 < farthest < abs(away) else 1.0
        return float(self._once(series) * times**series.freedom)

    def at(self, probability: float, falls: bool, series: Series) -> float:
        """Where a window of a ranked series has this probability, if that is less than a record's; infinite where none has."""
        farthest = self.below if falls else self.above
        times = max(self._once(series) / max(probability, 1e-300), 1.0)
        far = farthest * times ** (1.0 / series.freedom) if farthest > 0.0 or times == 1.0 else math.inf
        return self.centre - far if falls else self.centre + far

    def _once(self, series: Series) -> float:
        return min(1.0, (2.0 if series.either else 1.0) / (self.windows + 1.0))
