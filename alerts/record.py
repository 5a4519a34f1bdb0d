"""What is remembered of one alert: its state, the marks of its last windows, the calm values it is compared with."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from alerts.conditions import BAD, CLEAR, Verdict
from alerts.rules import Rule

SPARE_WINDOWS = 4  # history kept beyond the longest streak of the rule, for late revisions


@dataclass(slots=True)
class Record:
    """history: (window_start_ms, mark) in order of time. The last_* fields are those of the newest window shown."""

    mark: str  # the alert's fingerprint
    status: str = ""  # "", "pending", "firing", "resolved"
    since_ms: int = -1  # first window of the streak or episode
    ended_ms: int = -1  # event time at which the last episode was resolved
    after_ms: int = -1  # only windows that start later can begin the next episode
    trigger_ms: int = -1  # start of the window that made it fire
    cooling: bool = False
    flapping: bool = False
    history: list[tuple[int, str]] = field(default_factory=list)
    calm: list[tuple[int, float]] = field(default_factory=list)
    fired: list[int] = field(default_factory=list)  # starts of the windows that made it fire lately
    value: float | None = None
    threshold: float | None = None
    rows: int = 0
    level: str = ""
    reference: str = ""
    start_ms: int = -1
    end_ms: int = -1
    revision: int = 1

    def note(self, rule: Rule, start_ms: int, verdict: Verdict, value: float | None) -> None:
        """Put a window's mark in its place; one that is unknown takes an earlier revision's away."""
        history = self.history
        at = bisect_left(history, start_ms, key=lambda entry: entry[0])
        if at < len(history) and history[at][0] == start_ms:
            del history[at]
        if rule.relative:
            self.calm = [entry for entry in self.calm if entry[0] != start_ms]
        if verdict.mark is None:
            return
        history.insert(at, (start_ms, verdict.mark))
        keep = max(rule.for_windows, rule.of_windows, rule.resolve_windows) + SPARE_WINDOWS
        del history[: max(0, len(history) - keep)]
        if rule.relative and verdict.mark == CLEAR and value is not None:
            insort(self.calm, (start_ms, value))
            del self.calm[: max(0, len(self.calm) - rule.learn_windows)]

    def calm_before(self, start_ms: int) -> Sequence[float]:
        return [value for at, value in self.calm if at < start_ms]

    def streak(self, rule: Rule) -> list[int]:
        """Starts of the newest windows that count towards the next episode; [] where none does."""
        fresh = [(start, mark) for start, mark in self.history if start > self.after_ms]
        if rule.of_windows > rule.for_windows:
            recent = [start for start, mark in fresh[-rule.of_windows :] if mark == BAD]
            return recent if fresh and (fresh[-1][1] == BAD or self.status == "pending") else []
        out: list[int] = []
        for start, mark in reversed(fresh):
            if mark != BAD:
                break
            out.append(start)
        return out[::-1]

    def clear_streak(self) -> list[int]:
        """Starts of the newest clear windows in a row since the episode began."""
        out: list[int] = []
        for start, mark in reversed(self.history):
            if start < self.since_ms or mark != CLEAR:
                break
            out.append(start)
        return out[::-1]

    def newest_bad_ms(self) -> int:
        return max((start for start, mark in self.history if mark == BAD), default=self.since_ms)

    def row(self) -> list[Any]:
        return [
            self.mark, self.status, self.since_ms, self.ended_ms, self.after_ms, self.trigger_ms, self.cooling, self.flapping, self.history,
            self.calm, self.fired, self.value, self.threshold, self.rows, self.level, self.reference, self.start_ms, self.end_ms,
            self.revision,
        ]  # fmt: skip

    @staticmethod
    def from_row(row: list[Any]) -> Record:
        record = Record(*row)
        record.history = [(int(start), str(mark)) for start, mark in record.history]
        record.calm = [(int(start), float(value)) for start, value in record.calm]
        return record

    @staticmethod
    def from_row_1(mark: str, row: list[Any]) -> Record:
        """As version 1 of the book wrote it, with levels for marks; windows at warn are forgotten."""
        status, since, ended, after, cooling, history = row
        marks = {"breach": BAD, "ok": CLEAR}
        kept = [(int(start), marks[level]) for start, level, _ in history if level in marks]
        return Record(mark, status, since, ended, after, since, cooling, history=kept)
