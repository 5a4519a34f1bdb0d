"""The life of one alert as a fold over the marks of its windows, in their order: no clock, no memory of arrival.

    ""        -> pending    a bad window, fewer than `for_windows` (or one that cools down)
    pending   -> firing     `for_windows` bad ones in a row (or of `of_windows`), `cooldown_ms` after the last episode
    pending   -> ""         the streak is broken
    firing    -> resolved   `resolve_windows` clear windows in a row

`advance` takes the next window, `refold` all of them again, after one in the past was revised: both end in the same state.
What fires Flapping.times within Flapping.windows windows flaps: it moves on, but its moves are damped until it rests.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

from alerts.conditions import BAD, CLEAR
from alerts.rules import Rule
from alerts.runs import Runs
from alerts.transition import Reason

UNSURE = "u"  # the window was shown, and says nothing: it neither advances nor breaks a streak


@dataclass(frozen=True, slots=True)
class Flapping:
    """An alert that fires `times` times within `windows` windows flaps. times 0: none ever does."""

    times: int = 4
    windows: int = 30


@dataclass(frozen=True, slots=True)
class Grid:
    """How the windows of a model lie."""

    size_ms: int
    slide_ms: int


@dataclass(slots=True)
class State:
    """moved, moved_ms, reason: the last move, the start of the window that made it, and why."""

    status: str = ""  # "", "pending", "firing", "resolved"
    since_ms: int = -1  # first window of the streak or episode
    ended_ms: int = -1  # event time at which the last episode was resolved
    after_ms: int = -1  # only windows that start later count towards the next episode
    trigger_ms: int = -1  # start of the window that made it fire
    cooling: bool = False
    flapping: bool = False
    bad: int = 0  # bad windows in a row until now, the start of the first of them and of the newest one ever
    bad_first_ms: int = -1
    bad_ms: int = -1
    clear: int = 0  # clear windows in a row until now
    moved: str = ""
    moved_ms: int = -1
    reason: str = ""
    fired: list[int] = field(default_factory=list)  # starts of the windows that made it fire lately
    tail: list[list[Any]] = field(default_factory=list)  # k of n: [start, mark] of the last `of_windows`

    def row(self) -> list[Any]:
        return [getattr(self, name) for name in _NAMES]

    def copy(self) -> State:
        return replace(self, fired=list(self.fired), tail=list(self.tail))

    @property
    def episode(self) -> tuple[str, str, int, int, bool]:
        """What is told of it: two states with the same one differ in nothing that people see."""
        return self.status, self.moved, self.moved_ms, self.since_ms, self.flapping


_NAMES = tuple(f.name for f in fields(State))


def advance(s: State, rule: Rule, flapping: Flapping, start_ms: int, size_ms: int, mark: str) -> list[tuple[str, Reason]]:
    """Take the next window into the state; returns the moves as (status, reason)."""
    moves = []
    if mark != UNSURE:
        _count(s, rule, start_ms, mark)
        reason = _resolve(s, rule, start_ms + size_ms) if s.status == "firing" else _fire(s, rule, size_ms)
        if reason is not None:
            moves.append((s.status or "resolved", reason))
    if s.fired and flapping.times and (reason := _flap(s, flapping, start_ms - flapping.windows * size_ms)) is not None:
        moves.append(("firing" if s.status == "firing" else "resolved", reason))
    if moves:
        s.moved, s.moved_ms, s.reason = moves[-1][0], start_ms, str(moves[-1][1])
    return moves


def refold(
    base: State | None, runs: Runs, rule: Rule, flapping: Flapping, grid: Grid, fires: list[tuple[int, bool]] | None = None
) -> State:
    """The state after all windows of the runs. fires: filled with (start, whether it fires from that window on).

    Long runs are not walked through: after a few windows of one mark nothing but counts changes.
    """
    s = base.copy() if base is not None else State()
    few = max(rule.for_windows, rule.of_windows, rule.resolve_windows) + 1
    for first, last, mark in runs:
        at, walked = first, 0
        while at <= last:
            lit = s.status == "firing"
            advance(s, rule, flapping, at, grid.size_ms, mark)
            if fires is not None and lit != (s.status == "firing"):
                fires.append((at, not lit))
            at, walked = at + grid.slide_ms, walked + 1
            rest = (last - at) // grid.slide_ms + 1 - few
            if (walked >= few and s.status != "pending" or mark == UNSURE) and rest > 0 and not s.flapping:
                s.bad, s.clear = s.bad + rest * (mark == BAD), s.clear + rest * (mark == CLEAR)
                at += rest * grid.slide_ms
    return s


def _count(s: State, rule: Rule, start_ms: int, mark: str) -> None:
    if mark == BAD:
        if s.bad == 0:
            s.bad_first_ms = start_ms
        s.bad, s.clear, s.bad_ms = s.bad + 1, 0, start_ms
    else:
        s.bad, s.clear = 0, s.clear + 1 if mark == CLEAR else 0
    if rule.of_windows > rule.for_windows:
        s.tail.append([start_ms, mark])
        del s.tail[: -rule.of_windows]


def _streak(s: State, rule: Rule) -> tuple[int, int]:
    """How many windows count towards the next episode, and the start of the first of them; 0 where none does."""
    if rule.of_windows > rule.for_windows:
        fresh = [(start, mark) for start, mark in s.tail if start > s.after_ms]
        recent = [start for start, mark in fresh if mark == BAD]
        return (len(recent), recent[0]) if recent and (fresh[-1][1] == BAD or s.status == "pending") else (0, -1)
    return s.bad, s.bad_first_ms


def _fire(s: State, rule: Rule, size_ms: int) -> Reason | None:
    many, first_ms = _streak(s, rule)
    if not many:
        if s.status != "pending":
            return None
        s.status, s.cooling = ("resolved" if s.ended_ms >= 0 else ""), False
        return Reason.STREAK_BROKEN
    if many >= rule.for_windows:
        if s.ended_ms < 0 or s.bad_ms + size_ms - s.ended_ms >= rule.cooldown_ms:
            s.status, s.cooling, s.trigger_ms, s.since_ms = "firing", False, s.bad_ms, first_ms
            s.fired.append(s.bad_ms)
            return Reason.THRESHOLD_CROSSED
        if not s.cooling:
            s.status, s.cooling, s.since_ms = "pending", True, first_ms
            return Reason.COOLING_DOWN
    if s.status != "pending":
        s.status, s.since_ms = "pending", first_ms
        return Reason.STREAK_STARTED
    return None


def _resolve(s: State, rule: Rule, end_ms: int) -> Reason | None:
    if s.clear < rule.resolve_windows:
        return None
    s.status, s.ended_ms, s.after_ms = "resolved", end_ms, max(s.since_ms, s.bad_ms)
    return Reason.RESOLVED_CLEAR


def _flap(s: State, flapping: Flapping, before_ms: int) -> Reason | None:
    s.fired = [at for at in s.fired if at > before_ms]
    flaps = len(s.fired) >= flapping.times
    if flaps == s.flapping:
        return None
    s.flapping = flaps
    return Reason.FLAPPING if flaps else Reason.FLAPPING_ENDED
