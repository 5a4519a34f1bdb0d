"""A model's first days: what the windows before say of a score while hours and weekdays are not known yet.

    first day     no window of the same hour is known. A score that is beyond its limit is called changed only if it jumped
                  out of the windows just before it; else it is held: `unsure`, with a rule that says so. Not held: what no
                  hour of a built reference can hold (values out of its range, new categories, a constant), what was
                  called before and has not come back, and windows within SOON_MS of a learned reference
    later days    a score is held against the same hour of the days before, as far as scores have moved at all; not where it left
                  its limits then and stayed out
    weekend       the first Saturday and Sunday, in any time zone, and the first days after where they came first: no day of such
                  a kind is known. A score must have jumped out of the windows before as well, else it is held; not what was
                  called just before, nor where scores have not moved with the hours either. A series must lie beyond all hours
                  seen, by a margin
    later weeks   what the same hour of the weeks before explains better than what was learned of all days is held against that
    first week    the hour and the weekday of a datetime feature may be those of the clock: held, and remembered as usual

The statistics are in detectors/calibrate/first_days.py and weeks.py. Every window is a function of the windows before it alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from detectors.calibrate.first_days import LEAST, RECENT, apart, day_noise, earlier_days, just_before, last_noise, moved, same_hour
from detectors.calibrate.history import Past
from detectors.calibrate.weeks import WEEK_DAYS, margins, same_kind, scatter
from detectors.columns import Bools, Floats, Ints
from detectors.kinds import TIME_CATEGORIES
from monitor.judged_score import Judged

SOON_MS = 15 * 60_000  # a season does not move far in so short a time
HOUR = "held, it may be the hour of the day"  # ends of the rules of scores that are held
DAY = "held, it may be the day of the week"
CLOCK = "held, it may move with the clock"
NARROW = "held, an hour may be narrower than the day"  # and remembered as usual
LATELY = 3  # windows: what was called in one of them goes on
APART = 2.0  # null deviations by which the same hour of earlier weeks explains a score better
STILL = 0.1  # variance of positions beyond chance, up to which no hour has moved a score: then no weekend is waited for
NO_HOUR = 0.1  # share of rows beyond what any hour of the reference can hold, from which on it is no season


@dataclass(frozen=True, slots=True)
class Seen:
    """Windows before one, in order of time, k of them: places of scores (m), starts (k,); values, called and held (k, m)."""

    places: dict[str, int]
    starts: Ints
    values: Floats
    called: Bools
    held: Bools


def clocks(kinds: dict[str, str]) -> frozenset[str]:
    """The columns that are the hour or the weekday of a datetime feature: they change with the clock, and jump as it does."""
    return frozenset(f"{name}.{part}" for name, kind in kinds.items() if kind == "datetime" for part in TIME_CATEGORIES)


def first_days(items: list[Judged], seen: Seen | None, start_ms: int, size_ms: int, series: bool, ticking: frozenset[str]) -> None:
    """Give the scores of a window in a memory's first days what the windows before say.

    series: they are scores without a null. ticking: `clocks` of the schema.
    """
    same = np.zeros(0, dtype=np.bool_) if seen is None else same_hour(seen.starts, start_ms)
    first = seen is None or not same.any()
    others = [item for item in items if item.score.subject not in ticking]
    for item in items:
        if item.score.subject in ticking:
            item.later, item.past, item.basis, item.waits = item.past, None, "first week", CLOCK
    if seen is None or first:
        _first_day(others, seen, start_ms, size_ms, series)
    else:
        _later_days(others, seen, same, start_ms, size_ms, series)


def later_weeks(items: list[Judged], seen: Seen | None, start_ms: int, size_ms: int, series: bool, ticking: frozenset[str]) -> None:
    """Give the scores of a window after a memory's first week what the same hour of the weeks before says: to drift where that
    explains it better; to a series always, unless it was called in all of them: then the day is as new as it was."""
    same = np.zeros(0, dtype=np.bool_) if seen is None else same_hour(seen.starts, start_ms, WEEK_DAYS)
    if seen is None or not same.any():
        return
    weeks = earlier_days(seen.values, seen.called, seen.held, same, 0.0 if series else 1.0)
    strays = scatter(seen.values, seen.starts, weeks.spread) if series else None
    new = _NewKind(seen, start_ms, size_ms, 0.0) if series else None
    for item in items:
        place = seen.places.get(item.key, -1)
        if place < 0 or item.score.subject in ticking or (item.past is None and (series or item.needs_past)):
            continue
        sure = False
        if strays is not None:
            at = seen.values[same, place]
            if np.isnan(at).all() or not math.isfinite(item.out):
                continue
            sure = not seen.called[same, place][~np.isnan(at)].all()
            found = _as_once(at, item, float(strays[place]), len(seen.starts))
        elif weeks.rows[place] and float(weeks.centre[place]) >= APART + _centre(item):
            found = weeks.of(place)
        else:
            continue
        if sure or item.by(found) > item.by(item.past):
            item.past, item.basis = found, "same hour of earlier weeks"
        if new is not None and not sure and item.past is not None:
            new.series(item, place, found)


def _centre(item: Judged) -> float:
    return 0.0 if item.past is None else max(0.0, float(item.past.centre[0]))


def _as_once(values: Floats, item: Judged, strays: float, rows: int) -> Past:
    """The nearest of a series' values at an hour of earlier weeks: one week that was odd makes no usual one odd."""
    assert item.series is not None
    least = item.series.least(item.score.rows) if item.score.name == "rows" else 0.0
    spread = math.sqrt(2.0) * max(strays, least)  # both stray
    nearest = float(values[np.nanargmin(np.abs(values - item.out))])
    return Past(np.array([nearest]), np.array([spread]), np.zeros(1), np.array([rows]), np.ones(1))


def _first_day(items: list[Judged], seen: Seen | None, start_ms: int, size_ms: int, series: bool) -> None:
    since = 0 if seen is None else start_ms - int(seen.starts[0])
    if seen is not None:
        at = apart(seen.starts, start_ms, size_ms)
        before = just_before(seen.values[at], seen.called[at], 0.0 if series else 1.0)
        called = np.atleast_1d(seen.called.any(axis=0))
    for item in items:
        if series and item.past is None:
            continue
        place = -1 if seen is None else seen.places.get(item.key, -1)
        known = place >= 0 and before.rows[place] > 0
        if not known and (item.needs_past or (place >= 0 and called[place])):
            continue  # nothing to compare with, or called already: it goes on
        if not known and item.beyond_hours is None and since + size_ms <= SOON_MS:
            continue
        if _no_hour(item):
            continue
        item.later, item.waits = item.past, NARROW if item.narrower else HOUR
        item.past = before.of(place) if known else None
        item.basis = f"first day, {min(int(before.rows[place]), RECENT)} windows before" if known else f"first {LEAST} windows"


def _no_hour(item: Judged) -> bool:
    """Whether no hour of a built reference can hold the score's rows."""
    return item.beyond_hours is not None and not item.settled and item.beyond_hours >= NO_HOUR


def _later_days(items: list[Judged], seen: Seen, same: Bools, start_ms: int, size_ms: int, series: bool) -> None:
    alike = same & same_kind(seen.starts, start_ms)
    known = bool(alike.any())
    least = 0.0 if series else 1.0
    at = apart(seen.starts, start_ms, size_ms)
    moves = None if series else moved(seen.values[at], np.atleast_2d(seen.called[at]))
    noise = None if series else day_noise(seen.values, seen.called, seen.starts)
    days = earlier_days(seen.values, seen.called, seen.held, alike if known else same, least, moves, noise)
    new = None if known else _NewKind(seen, start_ms, size_ms, least)
    for item in items:
        place = seen.places.get(item.key, -1)
        if place < 0 or days.rows[place] == 0 or (item.past is None and (series or item.needs_past)):
            continue
        found = days.of(place)
        if series and item.past is not None:
            found = replace(found, spread=np.maximum(found.spread, item.past.spread))
        item.past, item.basis = found, "same hour of earlier days"
        if new is not None and (moves is None or moves[place] > STILL):
            new.drift(item, place, found) if not series else new.series(item, place, days.of(place))


class _NewKind:
    """What is said of the scores of a window on a day of a kind that was not seen before. least: noise, 1 for positions."""

    def __init__(self, seen: Seen, start_ms: int, size_ms: int, least: float) -> None:
        at = apart(seen.starts, start_ms, size_ms)
        self._seen, self._called = seen, np.atleast_1d(seen.called[-LATELY:].any(axis=0))
        self._before = just_before(seen.values[at], seen.called[at], least)

    def drift(self, item: Judged, place: int, days: Past) -> None:
        """Held, unless it jumped out of the windows before, was called in them, or no hour can hold it."""
        if self._called[place] or self._before.rows[place] == 0 or _no_hour(item):
            return
        before = self._before.of(place)
        item.later, item.waits, item.basis = days, DAY, "first days of their kind"
        item.past = before if item.by(before) > item.by(days) else days

    def series(self, item: Judged, place: int, days: Past) -> None:
        """Held within the margins; beyond, as far out as it lies beyond them."""
        seen, one = self._seen, slice(place, place + 1)
        assert item.series is not None
        noise = math.sqrt(float(last_noise(seen.values[:, one], seen.called[:, one], 0.0)[0]))
        low, high = margins(seen.values[:, place], (seen.called | seen.held)[:, place], noise, item.series.strays)
        item.basis = "first days of their kind"
        if item.out > high or (item.series.either and item.out < low):
            item.past = replace(days, centre=np.array([high if item.out > high else low]))
        else:
            item.later, item.past, item.waits = days, None, DAY
