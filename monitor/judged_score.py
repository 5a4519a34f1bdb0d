"""One score under judgement: how far out it lies on the scale of its null, and what its past windows make of that."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from detectors.calibrate.history import Past as Expected
from detectors.calibrate.null import NullTable
from detectors.calibrate.series import Record, Series, deviate_at, deviates, probability, width
from detectors.score import NUMERIC_ERRORS, Score
from monitor.panes import Group
from monitor.view import GroupView


@dataclass(slots=True)
class Judged:
    """One score under judgement."""

    group: Group
    at: int  # place among the group's scores
    score: Score
    out: float  # how far out, on the table's scale; for a series its value, transformed
    table: NullTable | None  # None for a series
    back: Callable[[float], float]  # a place on that scale as a value of the score
    effect: float = math.inf  # what is held against floor
    floor: float = 0.0
    reference_rows: int = 0
    settled: str = ""  # why nothing can be said, "" where something can
    alias: str = ""  # the score that says the same already: this one is not counted again
    needs_past: bool = False  # compared with a reference that is not its own: only its past says what is usual
    past: Expected | None = None  # of this score alone, shapes (1,)
    basis: str = ""  # what `past` rests on, in words
    forgotten: str = ""  # why no past of it is kept, "" where it is
    waits: str = ""  # where a season is not known yet: why being beyond the limit that it would have later is not yet a change
    later: Expected | None = None  # `past` as it would be then
    beyond_hours: float | None = None  # the share of rows that no hour of the built reference can hold
    narrower: bool = False  # than a built reference, as any one hour is whose mean moves with the hour: its spread
    series: Series | None = None  # of a score that is held against its own past
    record: Record | None = None  # of a series

    @property
    def key(self) -> str:
        """In the memory of past windows; an alias shares that of the score that it repeats."""
        name = self.alias or self.score.name
        return f"{self.group[0]}|{self.group[1]}|{self.score.subject}|{name}"

    @property
    def held(self) -> bool:
        return bool(self.waits)

    def position(self) -> float:
        """How far out in units of the null: 0 its median, 1 its standard deviation; a series' own value."""
        return self.out if self.table is None else (self.out - self.table.centre) / self.table.spread

    def probability(self) -> float:
        """Of a score as far out where nothing has changed; NaN where nothing can be said."""
        waits = self.held and self.past is None
        return math.nan if waits else self.by(self.past)

    def later_probability(self) -> float:
        """The same by what a score that is not held is judged by."""
        return self.by(self.later)

    def by(self, past: Expected | None) -> float:
        """Its probability by what is said of past windows; NaN where nothing can be said."""
        if self.settled or not math.isfinite(self.out):
            return math.nan
        if self.table is not None:
            position = self.position() if past is None else past.position(self.position())
            return self.table.survival(self.table.centre + self.table.spread * position)
        series = self.series
        if series is None or past is None:
            return math.nan
        chance = probability(float(deviates(np.array([self.out]), self._least(series, past), past)[0]), series)
        return chance if self.record is None else max(chance, self.record.probability(self.out, series))

    def limit(self, chance: float) -> float | None:
        """The value of the score that has this probability: where it would have alarmed. None where nothing can be said."""
        past = self.later if self.past is None and self.series is not None else self.past
        if self.table is not None:
            centre, spread = self.table.centre, self.table.spread
            position = (self.table.value_at(chance) - centre) / spread
            if past is not None:
                position = past.value(position)
            try:
                return _there(self.back(centre + spread * position))
            except NUMERIC_ERRORS:
                return None
        series = self.series
        if series is None or past is None:
            return None
        centre = float(past.centre[0])
        far = deviate_at(chance, series) * float(width(self._least(series, past), past)[0])
        falls = series.either and self.out < centre
        at = centre - far if falls else centre + far
        if self.record is not None and series.ranked:
            least = self.record.at(chance, falls, series)
            at = min(at, least) if falls else max(at, least)
        return _there(self.back(at)) if math.isfinite(at) else None

    def _least(self, series: Series, past: Expected) -> np.ndarray:
        rows = self.score.rows
        if self.score.name == "rows":  # how far a number strays depends on how many were to be expected
            rows = max(rows, int(min(series.back(float(past.centre[0]), rows), 1e15)))
        return np.array([series.least(rows)])


def _there(limit: float) -> float | None:
    return limit if math.isfinite(limit) else None


def few(rows: int, least: int) -> str:
    return f"{rows} rows of the {least} needed" if rows < least else ""


def foreign(part: GroupView) -> bool:
    """Whether a group is compared with a reference of all rows, as a segment is that a built one has too few rows of."""
    return part.profile is not None and part.profile.segment != part.segment
