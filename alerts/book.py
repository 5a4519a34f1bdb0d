"""The life of every alert of one model, as a pure function of the windows it is shown: no clock, no I/O.

A window's finding replaces the mark that an earlier revision of the same window left, and streaks are
counted in window order. Windows that are unsure leave no mark: they neither advance nor break a streak. After that:

1. pending: a streak of bad windows has begun, but is shorter than `for_windows` (or cools down);
2. firing: `for_windows` bad windows (in a row, or of `of_windows`), `cooldown_ms` of event time after the last episode;
3. resolved: `resolve_windows` clear windows in a row.

One that fires Flapping.times within Flapping.windows windows flaps: it moves on, but its moves are damped until it rests.
Who is told, when and how often is alerts/desk.py's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from alerts.combine import combination
from alerts.conditions import Verdict, judge
from alerts.matchers import matches_any
from alerts.record import Record
from alerts.rules import Rule
from alerts.transition import Reason, Transition, fingerprint, finite, plain
from detectors.score import Finding

VERSION = 2
FORGET_WINDOWS = 64  # a quiet alert without news for this many windows is forgotten

Group = tuple[str, str, str]  # model, version, segment
Name = tuple[str, str, str]  # rule, subject, score


@dataclass(frozen=True, slots=True)
class Flapping:
    """An alert that fires `times` times within `windows` windows flaps. times 0: none ever does."""

    times: int = 4
    windows: int = 30


@dataclass(frozen=True, slots=True)
class Shown:
    """The window that is being shown to one (version, segment)."""

    group: Group
    start_ms: int
    end_ms: int
    revision: int
    now_ms: int


class AlertBook:
    """All alerts of the models that were stepped through it. Changed in place by `step`."""

    def __init__(self, groups: dict[Group, dict[Name, Record]] | None = None, flapping: Flapping | None = None) -> None:
        self._groups = groups if groups is not None else {}
        self.flapping = flapping or Flapping()
        self._newest_ms = -1  # saves work only: old alerts are looked for once a window

    @staticmethod
    def empty() -> AlertBook:
        return AlertBook()

    def step(
        self,
        rules: Iterable[Rule],
        model: str,
        version: str,
        segment: str,
        window_start_ms: int,
        window_end_ms: int,
        revision: int,
        findings: list[Finding],
        now_ms: int,
    ) -> list[Transition]:
        """Show the book one window of one (version, segment). now_ms is only written down, never decides."""
        rules = list(rules)
        window = Shown((model, version, segment), window_start_ms, window_end_ms, revision, now_ms)
        alerts = self._groups.setdefault(window.group, {})
        out = self._drop_removed(alerts, rules, window)
        coverage = next((f.score.value for f in findings if f.score.name == "coverage" and f.score.subject == "labels"), None)
        for rule in rules:
            if rule.judges_findings and rule.covers(model, segment) and _awake(rule, window_end_ms):
                out.extend(self._step_rule(alerts, rule, findings, coverage, window))
        combining = [r for r in rules if r.combines and r.covers(model, segment) and _awake(r, window_end_ms)]
        if combining:
            firing = self._firing_by_rule((model, "", ""), window.group)
            for rule in combining:
                found = combination(rule, firing)
                name = (rule.name, found.score.subject, found.score.name)
                record = alerts.get(name) or alerts.setdefault(name, _record(window.group, name))
                out.extend(self._show(record, rule, found, judge(rule, found, None, ()), window))
        if window_start_ms > self._newest_ms:
            self._newest_ms = window_start_ms
            out.extend(self._forget({r.name for r in rules if r.absent}, window))
        return out

    def show(self, rule: Rule, finding: Finding, window: Shown) -> list[Transition]:
        """Show one finding of one rule, whatever it says of subjects: how alerts/absence.py speaks to the book."""
        name = (rule.name, finding.score.subject, finding.score.name)
        alerts = self._groups.setdefault(window.group, {})
        record = alerts.get(name) or alerts.setdefault(name, _record(window.group, name))
        return self._show(record, rule, finding, judge(rule, finding, None, ()), window)

    def _step_rule(
        self, alerts: dict[Name, Record], rule: Rule, findings: list[Finding], coverage: float | None, window: Shown
    ) -> Iterator[Transition]:
        by_level = rule.above is None and rule.below is None and not rule.relative
        wanted: dict[str, bool] = {}  # by the score's name: there are few of these, and many findings
        every_subject = "*" in rule.subjects
        for finding in findings:
            score = finding.score
            if score.name not in wanted:
                wanted[score.name] = matches_any(rule.scores, score.name)
            if not wanted[score.name] or not (every_subject or matches_any(rule.subjects, score.subject)):
                continue
            name = (rule.name, score.subject, score.name)
            record = alerts.get(name)
            if record is None:
                if by_level and finding.threshold is None and finding.level == "ok":
                    continue  # nothing judges this score
                record = alerts[name] = _record(window.group, name)
                if rule.relative:
                    self._inherit_calm(record, name, window.group)
            calm = record.calm_before(window.start_ms) if rule.relative else ()
            yield from self._show(record, rule, finding, judge(rule, finding, coverage, calm), window)

    def _inherit_calm(self, record: Record, name: Name, group: Group) -> None:
        """A new version is compared with what the version before it was used to."""
        others = [
            (records[name].calm[-1][0], version, records[name].calm)
            for (model, version, segment), records in self._groups.items()
            if (model, segment) == (group[0], group[2]) and name in records and records[name].calm
        ]
        if others:
            record.calm = list(max(others)[2])

    def _show(self, record: Record, rule: Rule, finding: Finding, verdict: Verdict, window: Shown) -> list[Transition]:
        value = finite(finding.score.value)
        record.note(rule, window.start_ms, verdict, value)
        if window.start_ms >= record.start_ms:
            record.value, record.threshold, record.rows = value, finite(verdict.threshold), finding.score.rows
            record.level, record.reference = verdict.level, finding.score.reference
            record.start_ms, record.end_ms, record.revision = window.start_ms, window.end_ms, window.revision
        moved = _move(record, rule, finding, verdict, window)
        return [*moved, *self._flap(record, rule, finding, verdict, window)]

    def _flap(self, record: Record, rule: Rule, finding: Finding, verdict: Verdict, window: Shown) -> list[Transition]:
        if not record.fired or not self.flapping.times:
            return []
        before = max(window.start_ms, record.start_ms) - self.flapping.windows * (window.end_ms - window.start_ms)
        record.fired = [at for at in record.fired if at > before]
        flaps = len(record.fired) >= self.flapping.times
        if flaps == record.flapping:
            return []
        record.flapping = flaps
        status = record.status if record.status == "firing" else "resolved"
        reason = Reason.FLAPPING if flaps else Reason.FLAPPING_ENDED
        return [_transition(record, rule, finding, verdict, window, status, reason)]

    def _firing_by_rule(self, *groups: Group) -> dict[str, list[tuple[Name, Record]]]:
        out: dict[str, list[tuple[Name, Record]]] = {}
        for group in dict.fromkeys(groups):
            for name, record in self._groups.get(group, {}).items():
                if record.status == "firing":
                    out.setdefault(name[0], []).append((name, record))
        return out

    def _drop_removed(self, alerts: dict[Name, Record], rules: list[Rule], window: Shown) -> list[Transition]:
        """Alerts of rules that the config no longer has end."""
        known = {rule.name for rule in rules}
        out = []
        for name, record in list(alerts.items()):
            if name[0] not in known:
                del alerts[name]
                if record.status == "firing" or record.flapping:
                    out.append(_ended(window.group, name, record, Reason.RULE_REMOVED, window))
        return out

    def firing(self) -> list[tuple[str, str, str, str, str, str]]:
        """(rule, model, version, segment, subject, score) of every alert that fires, sorted."""
        return sorted((name[0], *group, *name[1:]) for group, name, _ in self.alight())

    def alight(self) -> Iterator[tuple[Group, Name, Record]]:
        """Every alert that fires, or flaps."""
        for group, alerts in self._groups.items():
            for name, record in alerts.items():
                if record.status == "firing" or record.flapping:
                    yield group, name, record

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def _forget(self, absent: set[str], window: Shown) -> list[Transition]:
        """Drop what is quiet; what fires without news, say of a version that is gone, ends."""
        before = window.start_ms - FORGET_WINDOWS * (window.end_ms - window.start_ms)
        out = []
        for group, alerts in list(self._groups.items()):
            for name, record in list(alerts.items()):
                last = max(record.history[-1][0] if record.history else -1, record.after_ms, record.start_ms)
                if last >= before or (name[0] in absent and record.status == "firing"):
                    continue
                del alerts[name]
                if record.status == "firing" or record.flapping:
                    out.append(_ended(group, name, record, Reason.WENT_QUIET, window))
            if not alerts and group != window.group:
                del self._groups[group]
        return out

    def end_versions(self, gone: set[str], window: Shown) -> list[Transition]:
        """End what fires for versions that take no traffic any more; their quiet records are forgotten in time."""
        out = []
        for group, alerts in self._groups.items():
            for name, record in list(alerts.items()):
                if group[1] in gone and (record.status == "firing" or record.flapping):
                    del alerts[name]
                    out.append(_ended(group, name, record, Reason.VERSION_GONE, window))
        return out

    def to_bytes(self) -> bytes:
        rows = [
            [*group, *name, *record.row()]
            for group, alerts in sorted(self._groups.items())
            for name, record in sorted_alerts(alerts)
        ]
        return orjson.dumps({"version": VERSION, "alerts": rows})

    @staticmethod
    def from_bytes(blob: bytes, flapping: Flapping | None = None) -> AlertBook:
        """Raises ValueError where the blob was written by a version that this program does not know."""
        data: dict[str, Any] = orjson.loads(blob)
        if data.get("version") not in (1, VERSION):
            raise ValueError(f"alert book: version is {data.get('version')!r}, this program reads up to {VERSION}")
        groups: dict[Group, dict[Name, Record]] = {}
        for model, version, segment, rule, subject, score, *rest in data["alerts"]:
            if data["version"] == 1:
                record = Record.from_row_1(fingerprint(rule, model, version, segment, subject, score), rest)
            else:
                record = Record.from_row(rest)
            groups.setdefault((model, version, segment), {})[rule, subject, score] = record
        return AlertBook(groups, flapping)


def _record(group: Group, name: Name) -> Record:
    return Record(fingerprint(name[0], *group, *name[1:]))


def _ended(group: Group, name: Name, record: Record, reason: Reason, window: Shown) -> Transition:
    """The end of an alert that nothing can resolve any more."""
    rule, subject, score = name
    return Transition(
        record.mark, rule, "info", *group, subject, score, "resolved", reason, record.value, record.threshold, record.rows,
        window.start_ms, window.end_ms, record.since_ms, window.revision, window.now_ms, record.level, record.reference,
        trigger_ms=record.trigger_ms,
    )  # fmt: skip


def sorted_alerts(alerts: dict[Name, Record]) -> list[tuple[Name, Record]]:
    return sorted(alerts.items(), key=lambda item: item[0])


def _awake(rule: Rule, at_ms: int) -> bool:
    return rule.schedule is None or rule.schedule.is_open(at_ms - 1)


def _move(record: Record, rule: Rule, finding: Finding, verdict: Verdict, window: Shown) -> list[Transition]:
    def moved(status: str, reason: Reason) -> list[Transition]:
        return [_transition(record, rule, finding, verdict, window, status, reason)]

    if record.status == "firing":
        return _move_firing(record, rule, finding, verdict, window)
    streak = record.streak(rule)
    if not streak:
        if record.status != "pending":
            return []
        record.status, record.cooling = ("resolved" if record.ended_ms >= 0 else ""), False
        return moved("resolved", Reason.STREAK_BROKEN)
    trimmed = record.status == "pending" and streak[0] == record.history[0][0] and record.since_ms >= 0
    record.since_ms = min(record.since_ms, streak[0]) if trimmed else streak[0]
    newest_end_ms = streak[-1] + window.end_ms - window.start_ms
    if len(streak) >= rule.for_windows:
        if record.ended_ms < 0 or newest_end_ms - record.ended_ms >= rule.cooldown_ms:
            record.status, record.cooling, record.trigger_ms = "firing", False, streak[-1]
            record.fired.append(streak[-1])
            late = window.start_ms < streak[-1] or window.revision > 1
            return moved("firing", Reason.REVISED_CROSSED if late else Reason.THRESHOLD_CROSSED)
        if not record.cooling:
            record.status, record.cooling = "pending", True
            return moved("pending", Reason.COOLING_DOWN)
    if record.status != "pending":
        record.status = "pending"
        return moved("pending", Reason.STREAK_STARTED)
    return []


def _move_firing(record: Record, rule: Rule, finding: Finding, verdict: Verdict, window: Shown) -> list[Transition]:
    clear = record.clear_streak()
    if len(clear) < rule.resolve_windows:
        return []
    late = window.start_ms < clear[-1] or window.revision > 1
    record.status = "resolved"
    record.ended_ms = clear[-1] + window.end_ms - window.start_ms
    record.after_ms = max(record.since_ms, record.newest_bad_ms())
    reason = Reason.REVISED_CLEAR if late else Reason.RESOLVED_CLEAR
    return [_transition(record, rule, finding, verdict, window, "resolved", reason)]


def _transition(
    record: Record, rule: Rule, finding: Finding, verdict: Verdict, window: Shown, status: str, reason: Reason
) -> Transition:
    score = finding.score
    damped = record.flapping and reason not in (Reason.FLAPPING, Reason.FLAPPING_ENDED)
    return Transition(
        record.mark, rule.name, rule.severity, *window.group, score.subject, score.name, status, reason, finite(score.value),
        finite(verdict.threshold), score.rows, window.start_ms, window.end_ms, record.since_ms, window.revision, window.now_ms,
        verdict.level, score.reference, plain(score.evidence) if status == "firing" else {}, record.trigger_ms, damped,
    )  # fmt: skip
