"""When a rule is awake: days and hours of the week in a timezone. Pure: instants in ms since 1970 UTC go in.

Hours are local wall-clock time, so they follow daylight saving. `from` after `to` goes over midnight and belongs to
the day on which it began: {days: [fri], from: 22:00, to: 06:00} ends on Saturday at six.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
LOOK_DAYS = 9  # a week, and a day over each midnight


@dataclass(frozen=True, slots=True)
class Schedule:
    """days: 0 is Monday. Minutes of the local day; to_minute is excluded, 1440 is midnight at the day's end."""

    days: frozenset[int]
    from_minute: int
    to_minute: int
    timezone: str

    def __post_init__(self) -> None:
        ZoneInfo(self.timezone)  # raises ZoneInfoNotFoundError, a KeyError
        if not self.days:
            raise ValueError("a schedule without days is never awake")
        if self.from_minute == self.to_minute:
            raise ValueError("a schedule must end at another time than it begins")

    def is_open(self, at_ms: int) -> bool:
        local = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(self.timezone))
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self.from_minute < self.to_minute:
            return day in self.days and self.from_minute <= minute < self.to_minute
        return (day in self.days and minute >= self.from_minute) or ((day - 1) % 7 in self.days and minute < self.to_minute)

    def next_open_ms(self, at_ms: int) -> int:
        """The instant itself if the schedule is open then, else when it opens next."""
        if self.is_open(at_ms):
            return at_ms
        first = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(self.timezone)).date()
        opens = (self._opens_ms(first + timedelta(days=n)) for n in range(-1, LOOK_DAYS))
        return min(ms for ms in opens if ms is not None and ms >= at_ms)

    def _opens_ms(self, day: date) -> int | None:
        if day.weekday() not in self.days:
            return None
        at = datetime.combine(day, time(*divmod(self.from_minute, 60)), ZoneInfo(self.timezone))
        return int(at.timestamp() * 1000)


def parse_days(names: list[str]) -> frozenset[int]:
    """Days of the week: "mon", or "mon-fri". Raises ValueError."""
    out: set[int] = set()
    for name in names:
        first, _, last = name.lower().partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"{name!r} is no day; write one of {', '.join(DAYS)}, or a range as mon-fri")
        low, high = DAYS.index(first), DAYS.index(last or first)
        out |= {day % 7 for day in range(low, high + (7 if high < low else 0) + 1)}
    return frozenset(out)


def parse_minute(text: str) -> int:
    """Minutes of the day of "09:00" to "24:00". Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})", text)
    minute = int(found[1]) * 60 + int(found[2]) if found and int(found[2]) < 60 else -1
    if not 0 <= minute <= DAY_MINUTES:
        raise ValueError(f"{text!r} is no time of day; write it in quotes as '09:00'")
    return minute
