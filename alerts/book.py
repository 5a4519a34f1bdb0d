"""The life of every alert of one model, as a pure function of the windows it is shown: no clock, no I/O.

A window's finding replaces the entry that an earlier revision of the same window left, and streaks are
counted in window order. Windows that are unsure leave no entry: they neither advance nor break a streak. After that:

1. pending: a streak of breaching windows has begun, but is shorter than `for_windows` (or cools down);
2. firing: `for_windows` breaching windows in a row, `cooldown_ms` of event time after the last episode;
3. resolved: `resolve_windows` clear windows in a row.
"""  # noqa: E501

from __future__ import annotations

import json
import math
import uuid
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any

from alerts.notification import Notification
from alerts.rules import Rule
from detectors.score import Finding

VERSION = 1
NAMESPACE = uuid.UUID("6f1c2d0e-63a5-5c1e-9d3f-0b6f0f5b7a11")
SPARE_WINDOWS = 4  # history kept beyond the longest streak of the rule, for late revisions
FORGET_WINDOWS = 64  # a quiet alert without news for this many windows is forgotten

Group = tuple[str, str, str]  # model, version, segment
Name = tuple[str, str, str]  # rule, subject, score


class Reason(StrEnum):
    """Why an alert moved."""

    STREAK_STARTED = "streak_started"
    COOLING_DOWN = "cooling_down"
    THRESHOLD_CROSSED = "threshold_crossed"
    REVISED_CROSSED = "revised_crossed"
    STREAK_BROKEN = "streak_broken"
    RESOLVED_CLEAR = "resolved_clear"
    REVISED_CLEAR = "revised_clear"
    RULE_REMOVED = "rule_removed"


@dataclass(slots=True)
class _Alert:
    status: str = ""  # "", "pending", "firing", "resolved"
    since_ms: int = -1  # first window of the streak or episode
    ended_ms: int = -1  # event time at which the last episode was resolved
    after_ms: int = -1  # only windows that start later can begin the next episode
    cooling: bool = False
    history: list[tuple[int, str, float | None]] = field(default_factory=list)  # window_start_ms, level, value


@dataclass(frozen=True, slots=True)
class Transition:
    """One move of one alert. notifications: one for each channel of the rule, none for pending moves."""

    alert: str
    rule: str
    severity: str
    model: str
    version: str
    segment: str
    subject: str
    score: str
    status: str
    reason: Reason
    value: float | None
    threshold: float | None
    rows: int
    window_start_ms: int
    window_end_ms: int
    since_ms: int
    revision: int
    at_ms: int
    notifications: list[tuple[str, Notification]] = field(default_factory=list)

    def alert_row(self) -> dict[str, Any]:
        """The transition as one flat row of the store's alert table."""
        names = [name for name in self.__dataclass_fields__ if name not in ("notifications", "reason")]
        return {**{name: getattr(self, name) for name in names}, "reason": str(self.reason)}


def fingerprint(rule: str, model: str, version: str, segment: str, subject: str, score: str) -> str:
    """The alert's name for life: 16 hex digits."""
    return sha256(json.dumps([rule, model, version, segment, subject, score]).encode()).hexdigest()[:16]


def idempotency_key(
    rule: str,
    model: str,
    version: str,
    segment: str,
    subject: str,
    score: str,
    since_ms: int,
    status: str,
    channel: str,
) -> str:
    """The same for every replay: neither revisions nor the wall clock go in."""
    parts = [rule, model, version, segment, subject, score, since_ms, status, channel]
    return str(uuid.uuid5(NAMESPACE, json.dumps(parts)))


class AlertBook:
    """All alerts of the models that were stepped through it. Changed in place by `step`."""

    def __init__(self, groups: dict[Group, dict[Name, _Alert]]) -> None:
        self._groups = groups
        self._newest_ms = -1  # saves work only: old alerts are looked for once a window

    @staticmethod
    def empty() -> AlertBook:
        return AlertBook({})

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
        group = (model, version, segment)
        alerts = self._groups.setdefault(group, {})
        window = _Window(group, window_start_ms, window_end_ms, revision, now_ms)
        out = _drop_removed(alerts, rules, window)
        for rule in rules:
            for finding in findings:
                score = finding.score
                if not rule.matches(model, segment, score.subject, score.name):
                    continue
                alert = alerts.setdefault((rule.name, score.subject, score.name), _Alert())
                _note(alert, rule, window_start_ms, finding)
                out.extend(_move(alert, rule, finding, window))
        if window_start_ms > self._newest_ms:
            self._newest_ms = window_start_ms
            self._forget(window_start_ms, window_end_ms)
        return out

    def firing(self) -> list[tuple[str, str, str, str, str, str]]:
        """(rule, model, version, segment, subject, score) of every alert that fires, sorted."""
        return sorted(
            (rule, *group, subject, score)
            for group, alerts in self._groups.items()
            for (rule, subject, score), alert in alerts.items()
            if alert.status == "firing"
        )

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def _forget(self, start_ms: int, end_ms: int) -> None:
        before = start_ms - FORGET_WINDOWS * (end_ms - start_ms)
        for group, alerts in list(self._groups.items()):
            for name, alert in list(alerts.items()):
                last = alert.history[-1][0] if alert.history else None
                if alert.status != "firing" and (last is None or last < before):
                    if last is None and alert.status == "resolved" and alert.after_ms >= before:
                        continue
                    del alerts[name]
            if not alerts:
                del self._groups[group]

    def to_bytes(self) -> bytes:
        rows = [
            [*group, *name, a.status, a.since_ms, a.ended_ms, a.after_ms, a.cooling, a.history]
            for group, alerts in sorted(self._groups.items())
            for name, a in sorted(alerts.items())
        ]
        return json.dumps({"version": VERSION, "alerts": rows}, separators=(",", ":")).encode()

    @staticmethod
    def from_bytes(blob: bytes) -> AlertBook:
        """Raises ValueError where the blob was written by another version."""
        data = json.loads(blob)
        if data.get("version") != VERSION:
            raise ValueError(f"alert book: version is {data.get('version')!r}, this program reads {VERSION}")
        groups: dict[Group, dict[Name, _Alert]] = {}
        for (
            model,
            version,
            segment,
            rule,
            subject,
            score,
            status,
            since,
            ended,
            after,
            cooling,
            history,
        ) in data["alerts"]:
            entries = [(int(s), str(level), value) for s, level, value in history]
            alert = _Alert(status, since, ended, after, cooling, entries)
            groups.setdefault((model, version, segment), {})[(rule, subject, score)] = alert
        return AlertBook(groups)


@dataclass(frozen=True, slots=True)
class _Window:
    group: Group
    start_ms: int
    end_ms: int
    revision: int
    now_ms: int


def _note(alert: _Alert, rule: Rule, start_ms: int, finding: Finding) -> None:
    """Put the window's verdict in its place; an unsure one takes an earlier revision's away."""
    history = alert.history
    at = bisect_left(history, start_ms, key=lambda entry: entry[0])
    if at < len(history) and history[at][0] == start_ms:
        del history[at]
    if finding.level == "unsure":
        return
    history.insert(at, (start_ms, finding.level, _finite(finding.score.value)))
    keep = max(rule.for_windows, rule.resolve_windows) + SPARE_WINDOWS
    del history[: max(0, len(history) - keep)]


def _streak(alert: _Alert, rule: Rule, bad: bool, from_ms: int) -> list[int]:
    """Starts of the newest windows in a row that are bad (or clear), none before from_ms."""
    out: list[int] = []
    for start, level, _ in reversed(alert.history):
        if start < from_ms or rule.is_bad(level) != bad:
            break
        out.append(start)
    return out[::-1]


def _move(alert: _Alert, rule: Rule, finding: Finding, window: _Window) -> list[Transition]:
    if alert.status == "firing":
        return _move_firing(alert, rule, finding, window)
    streak = _streak(alert, rule, True, alert.after_ms + 1)
    if not streak:
        if alert.status != "pending":
            return []
        alert.status, alert.cooling = ("resolved" if alert.ended_ms >= 0 else ""), False
        return [_transition(alert, rule, finding, window, "resolved", Reason.STREAK_BROKEN, notify=False)]
    trimmed = alert.status == "pending" and streak[0] == alert.history[0][0] and alert.since_ms >= 0
    since = min(alert.since_ms, streak[0]) if trimmed else streak[0]
    newest_end_ms = streak[-1] + window.end_ms - window.start_ms
    alert.since_ms = since
    if len(streak) >= rule.for_windows:
        if alert.ended_ms < 0 or newest_end_ms - alert.ended_ms >= rule.cooldown_ms:
            alert.status, alert.cooling = "firing", False
            late = window.start_ms < streak[-1] or window.revision > 1
            reason = Reason.REVISED_CROSSED if late else Reason.THRESHOLD_CROSSED
            return [_transition(alert, rule, finding, window, "firing", reason)]
        if not alert.cooling:
            alert.status, alert.cooling = "pending", True
            return [_transition(alert, rule, finding, window, "pending", Reason.COOLING_DOWN, notify=False)]
    if alert.status != "pending":
        alert.status = "pending"
        return [_transition(alert, rule, finding, window, "pending", Reason.STREAK_STARTED, notify=False)]
    return []


def _move_firing(alert: _Alert, rule: Rule, finding: Finding, window: _Window) -> list[Transition]:
    clear = _streak(alert, rule, False, alert.since_ms)
    if len(clear) < rule.resolve_windows:
        return []
    late = window.start_ms < clear[-1] or window.revision > 1
    reason = Reason.REVISED_CLEAR if late else Reason.RESOLVED_CLEAR
    bad = [start for start, level, _ in alert.history if rule.is_bad(level)]
    alert.status = "resolved"
    alert.ended_ms = clear[-1] + window.end_ms - window.start_ms
    alert.after_ms = max([alert.since_ms, *bad])
    return [_transition(alert, rule, finding, window, "resolved", reason)]


def _drop_removed(alerts: dict[Name, _Alert], rules: list[Rule], window: _Window) -> list[Transition]:
    """Alerts of rules that the config no longer has end without a message: no rule names a channel."""
    names = {rule.name for rule in rules}
    out = []
    for (rule, subject, score), alert in list(alerts.items()):
        if rule in names:
            continue
        del alerts[rule, subject, score]
        if alert.status == "firing":
            model, version, segment = window.group
            out.append(
                Transition(
                    fingerprint(rule, model, version, segment, subject, score), rule, "info", model, version, segment,  # noqa: E501
                    subject, score, "resolved", Reason.RULE_REMOVED, None, None, 0, window.start_ms, window.end_ms,  # noqa: E501
                    alert.since_ms, window.revision, window.now_ms,
                )
            )  # fmt: skip
    return out


def _transition(
    alert: _Alert,
    rule: Rule,
    finding: Finding,
    window: _Window,
    status: str,
    reason: Reason,
    notify: bool = True,
) -> Transition:
    model, version, segment = window.group
    score = finding.score
    name = (rule.name, model, version, segment, score.subject, score.name)
    mark = fingerprint(*name)
    value, threshold = _finite(score.value), _finite(finding.threshold)
    notifications = [
        (
            channel,
            Notification(
                key=idempotency_key(*name, alert.since_ms, status, channel), alert=mark, status=status,
                reason=str(reason), rule=rule.name, severity=rule.severity, model=model, version=version,
                segment=segment, subject=score.subject, score=score.name, value=value, threshold=threshold,
                rows=score.rows, window_start_ms=window.start_ms, window_end_ms=window.end_ms,
                since_ms=alert.since_ms, reference=score.reference, evidence=_plain(score.evidence),
            ),
        )
        for channel in (dict.fromkeys(rule.channels) if notify else ())
    ]  # fmt: skip
    return Transition(
        mark, rule.name, rule.severity, model, version, segment, score.subject, score.name, status, reason, value,  # noqa: E501
        threshold, score.rows, window.start_ms, window.end_ms, alert.since_ms, window.revision, window.now_ms,
        notifications,
    )  # fmt: skip


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """The value as JSON can hold it: numpy scalars become numbers, NaN becomes null."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return _finite(value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
