"""A model's first days: what the windows before say of a score while hours and weekdays are not known yet.

    first day     no window of the same hour is known. A score that is beyond its limit is called changed only if it jumped
                  out of the windows just before it; else it is held: `unsure`, with a rule that says so. Not held: what no
                  hour of a built reference can hold (values out of its range, new categories, a constant), what was
                  called before and has not come back, and windows within SOON_MS of a learned reference
    later days    a score is held against the same hour of the days before; not where it left its limits then and stayed out
    first week    the hour and the weekday of a datetime feature may be those of the clock: held, and remembered as usual

The statistics are in detectors/calibrate/first_days.py. Every window is a function of the windows before it alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from detectors.calibrate.first_days import LEAST, RECENT, apart, earlier_days, just_before, same_hour
from detectors.columns import Bools, Floats, Ints
from detectors.kinds import TIME_CATEGORIES
from monitor.judged import Judged

SOON_MS = 15 * 60_000  # a season does not move far in so short a time
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
            item.later, item.past, item.held, item.basis, item.ticks = item.past, None, True, "first week", True
    if seen is None or first:
        _first_day(others, seen, start_ms, size_ms, series)
    else:
        _later_days(others, seen, same, series)


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
        if item.beyond_hours is not None and not item.settled and item.beyond_hours() >= NO_HOUR:
            continue
        item.later, item.held = item.past, True
        item.past = before.of(place) if known else None
        item.basis = f"first day, {min(int(before.rows[place]), RECENT)} windows before" if known else f"first {LEAST} windows"


def _later_days(items: list[Judged], seen: Seen, same: Bools, series: bool) -> None:
    days = earlier_days(seen.values, seen.called, seen.held, same, 0.0 if series else 1.0)
    for item in items:
        place = seen.places.get(item.key, -1)
        if place < 0 or days.rows[place] == 0 or (item.past is None and (series or item.needs_past)):
            continue
        found = days.of(place)
        if series and item.past is not None:
            found = replace(found, spread=np.maximum(found.spread, item.past.spread))
        item.past, item.basis = found, "same hour of earlier days"
