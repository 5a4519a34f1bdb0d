"""What is remembered of one alert: the state it is in, and the marks of the windows that led there.

    base            the state after what is too old to be kept (None: nothing is)
    runs            marks of the windows since (alerts/runs.py): a revised one is put in its place, and all folded again
    values, calm    for a relative limit: [start, value, mark] of the windows, and the calm [start, value] before them

A revision so reaches back over RUNS_MOST changes between bad and clear, and for a relative limit VALUES_MOST windows.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from alerts.conditions import BAD, CLEAR, relative
from alerts.fold import UNSURE, Flapping, Grid, State, refold
from alerts.rules import Rule
from alerts.runs import Runs, put

RUNS_MOST, RUNS_KEPT = 64, 48
VALUES_MOST, VALUES_KEPT = 192, 128
NEVER = -1

Group = tuple[str, str, str]  # model, version, segment
Name = tuple[str, str, str]  # rule, subject, score


@dataclass(slots=True)
class Record:
    """value to revision are those of the newest window shown. rested: why it is not told any more though nothing resolved it."""

    mark: str  # the alert's fingerprint
    state: State = field(default_factory=State)
    base: State | None = None
    base_ms: int = NEVER  # start of the newest window that went into base
    runs: Runs = field(default_factory=list)
    values: list[list[Any]] = field(default_factory=list)
    calm: list[list[Any]] = field(default_factory=list)
    inherits: bool = True  # calm is what another version was used to, as long as none of its own went into it
    value: float | None = None
    threshold: float | None = None
    rows: int = 0
    level: str = ""
    reference: str = ""
    start_ms: int = NEVER
    end_ms: int = NEVER
    revision: int = 1
    heard_ms: int = NEVER  # start of the newest window of the model when it was last shown
    rested: str = ""

    @property
    def status(self) -> str:
        return self.state.status

    @property
    def since_ms(self) -> int:
        return self.state.since_ms

    @property
    def trigger_ms(self) -> int:
        return self.state.trigger_ms

    @property
    def flapping(self) -> bool:
        return self.state.flapping

    @property
    def is_alight(self) -> bool:
        return (self.state.status == "firing" or self.state.flapping) and not self.rested

    def note(self, start_ms: int, mark: str | None, slide_ms: int) -> bool:
        """Put a window's mark in its place (None: it has none any more); whether a past one changed, so that all must be
        folded again."""
        if start_ms <= self.base_ms:
            return False  # too long ago
        newest = not self.runs or start_ms > self.runs[-1][1]
        return put(self.runs, start_ms, mark, slide_ms) != mark and not newest

    def fold(self, rule: Rule, flapping: Flapping, grid: Grid, fires: list[tuple[int, bool]] | None = None) -> State:
        """The state that all remembered windows lead to."""
        return refold(self.base, self.runs, rule, flapping, grid, fires)

    def trim(self, rule: Rule, flapping: Flapping, grid: Grid) -> None:
        """Let the oldest windows go into the base."""
        if len(self.runs) > RUNS_MOST:
            old = self.runs[:-RUNS_KEPT]
            self.base, self.base_ms = refold(self.base, old, rule, flapping, grid), old[-1][1]
            del self.runs[:-RUNS_KEPT]
        if len(self.values) > VALUES_MOST:
            self.calm += [[start, value] for start, value, mark in self.values[:-VALUES_KEPT] if mark == CLEAR]
            del self.calm[: -rule.learn_windows], self.values[:-VALUES_KEPT]
            self.inherits = False

    def rebase(self) -> None:
        """Begin anew from the state it is in: windows lie otherwise from now on."""
        self.base, self.base_ms, self.runs = self.state.copy(), max(self.base_ms, self.start_ms), []
        self.calm += [[start, value] for start, value, mark in self.values if mark == CLEAR]
        self.values, self.inherits = [], False

    def calm_before(self, start_ms: int, most: int) -> Sequence[float]:
        """Values of the newest calm windows before a window, oldest first."""
        return [value for _, value in self.calm_entries(start_ms, most)]

    def calm_entries(self, start_ms: int, most: int) -> list[list[Any]]:
        """[start, value] of the same."""
        out: list[list[Any]] = []
        at = bisect_left(self.values, start_ms, key=lambda entry: entry[0])
        while at and len(out) < most:
            at -= 1
            if self.values[at][2] == CLEAR:
                out.append(self.values[at][:2])
        older = [entry for entry in self.calm if entry[0] < start_ms] if len(out) < most else []
        return (older + out[::-1])[-most:]

    def learn(self, start_ms: int, value: float | None, mark: str) -> bool:
        """Note a window's value for a relative limit; whether it changed one in the past, so that later ones must be judged again."""
        at = bisect_left(self.values, start_ms, key=lambda entry: entry[0])
        entry = [start_ms, value, mark]
        if at < len(self.values) and self.values[at][0] == start_ms:
            changed, self.values[at] = self.values[at] != entry, entry
        else:
            changed = True
            self.values.insert(at, entry)
        return changed and at < len(self.values) - 1

    def unlearn(self, start_ms: int) -> None:
        """A window has no value any more."""
        self.values = [entry for entry in self.values if entry[0] != start_ms]

    def is_too_old(self, start_ms: int) -> bool:
        """Whether a window lies before all that is remembered."""
        return start_ms <= self.base_ms or (not self.inherits and bool(self.values) and start_ms < self.values[0][0])

    def relearn(self, rule: Rule, after_ms: int, slide_ms: int) -> bool:
        """Judge the windows after one whose value changed again, until that one is forgotten; whether a mark changed."""
        first = bisect_right(self.values, after_ms, key=lambda entry: entry[0])
        if first == len(self.values):
            return False
        calm = self.calm_entries(self.values[first][0], rule.learn_windows)
        changed, same = False, 0  # same: calm windows since the last change
        for entry in self.values[first:]:
            start, value, old = entry
            if old != UNSURE:
                entry[2] = relative(rule, value, [v for _, v in calm]).mark or UNSURE
            if entry[2] != old:
                changed, same = self.note(start, entry[2], slide_ms) or changed, 0
            if entry[2] == CLEAR:
                calm, same = [*calm, [start, value]][-rule.learn_windows :], same + 1
            if same > rule.learn_windows:
                break
        return changed

    def row(self) -> list[Any]:
        return [
            self.mark, self.state.row(), None if self.base is None else self.base.row(), self.base_ms, self.runs, self.values,
            self.calm, self.inherits, self.value, self.threshold, self.rows, self.level, self.reference, self.start_ms, self.end_ms,
            self.revision, self.heard_ms, self.rested,
        ]  # fmt: skip

    @staticmethod
    def from_row(row: list[Any]) -> Record:
        mark, state, base, *rest = row
        return Record(mark, State(*state), None if base is None else State(*base), *rest)

    @staticmethod
    def from_row_2(row: list[Any]) -> Record:
        """As version 2 of the book wrote it, with a few marks and no base."""
        mark, status, since, ended, after, trigger, cooling, flapping, history, calm, fired, *newest = row
        state = State(status, since, ended, after, trigger, cooling, flapping, moved=status, moved_ms=trigger, fired=fired)
        for start, found in history:
            if found == BAD:
                state.bad_first_ms = start if state.bad == 0 else state.bad_first_ms
                state.bad, state.clear, state.bad_ms = state.bad + 1, 0, start
            else:
                state.bad, state.clear = 0, state.clear + 1 if found == CLEAR else 0
            state.tail.append([start, found])
        record = Record(mark, state, state.copy(), NEVER, [], [], calm, False, *newest)
        record.heard_ms = record.base_ms = max([record.start_ms, *(start for start, _ in history)])
        return record

    @staticmethod
    def from_row_1(mark: str, row: list[Any]) -> Record:
        """As version 1 of the book wrote it, with levels for marks; windows at warn are forgotten."""
        status, since, ended, after, cooling, history = row
        marks = {"breach": BAD, "ok": CLEAR}
        kept = [[start, marks[level]] for start, level, _ in history if level in marks]
        return Record.from_row_2([mark, status, since, ended, after, since, cooling, False, kept, [], []])
