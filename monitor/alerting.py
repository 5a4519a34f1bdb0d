"""The alerts of one model inside its publishing transaction: what is stored goes in, what changed is written.

Windows are shown first, in order; then a tick for what no window brings: silence, repeats, escalation, silences that
end, what people did. A tick that has nothing to do costs two small reads: `alert_clock` says when it has.
"""

from __future__ import annotations

import json
import math
from typing import Any, Protocol

from alerts.desk import Ack, Effects
from alerts.lifecycle import Clock, ClosedWindow, Lifecycle
from alerts.record import Group, Name
from alerts.silences import Silence
from alerts.standing import Fact
from detectors.score import Finding, Score
from monitor.checkpoint import OutboxRow, ScoreRow
from monitor.model import Model

BOOK, DESK, CLOCK = "alerts", "alert_desk", "alert_clock"  # names of states


class AlertMemory(Protocol):
    """What the lifecycle needs of the open transaction; see monitor/store/publish.py and alert_writes.py."""

    def load_state(self, name: str) -> bytes | None: ...
    def save_state(self, name: str, blob: bytes) -> None: ...
    def write_alerts(self, rows: list[dict[str, Any]]) -> None: ...
    def correct_alerts(self, rows: list[dict[str, Any]]) -> None: ...
    def scores_of(self, version: str, segment: str, start_ms: int) -> list[ScoreRow]: ...
    def enqueue(self, rows: list[OutboxRow]) -> None: ...
    def alert_news(self) -> str: ...
    def silences(self, now_ms: int) -> list[Silence]: ...
    def acks(self) -> list[Ack]: ...
    def facts(self) -> dict[str, Fact]: ...
    def drop_acks(self, alerts: list[str]) -> None: ...
    def move_alerts(self, alerts: list[str], before: str, after: str, now_ms: int) -> None: ...
    def write_trail(self, rows: list[dict[str, Any]]) -> None: ...


class Alerting:
    """Loads the model's lifecycle when something happens, and saves it then."""

    def __init__(self, tx: AlertMemory, model: Model, now_ms: int) -> None:
        self._tx, self._model, self._now_ms = tx, model, now_ms
        self._lifecycle: Lifecycle | None = None
        self._news = ""
        self._seen: dict[tuple[Group, int], dict[tuple[str, str], Finding]] = {}

    def _open(self) -> Lifecycle:
        if self._lifecycle is None:
            m, tx = self._model, self._tx
            self._news = tx.alert_news()
            life = Lifecycle.restore(m.name, m.size_ms, m.slide_ms, m.policy, tx.load_state(BOOK), tx.load_state(DESK))
            life.book.look = self._look
            life.silences = tx.silences(self._now_ms)
            life.acks = {ack.alert: ack for ack in tx.acks()}
            life.facts = tx.facts()
            self._lifecycle = life
        return self._lifecycle

    def window(self, closed: ClosedWindow) -> int:
        """Show a published window; returns the number of messages."""
        self._seen.clear()
        return self._write(self._open().window(closed, self._now_ms))

    def tick(self, event_ms: int | None) -> int:
        """Do what is due without a window; returns the number of messages."""
        clock = Clock.from_bytes(self._tx.load_state(CLOCK))
        if self._lifecycle is None and not clock.is_due(self._now_ms, event_ms, self._tx.alert_news()):
            return 0
        return self._write(self._open().tick(event_ms, self._now_ms))

    def save(self, ticked: bool) -> None:
        """Store what was loaded. ticked: whether this round looked at the time."""
        if self._lifecycle is None:
            return
        book, desk = self._lifecycle.state()
        self._tx.save_state(BOOK, book)
        self._tx.save_state(DESK, desk)
        if ticked:
            self._tx.save_state(CLOCK, self._lifecycle.clock(self._now_ms, self._news).to_bytes())

    def _look(self, group: Group, name: Name, start_ms: int) -> Finding | None:
        """What a window that was published before says of a score."""
        if (group, start_ms) not in self._seen:
            rows = self._tx.scores_of(group[1], group[2], start_ms)
            self._seen[group, start_ms] = {(row.subject, row.score): _finding(row) for row in rows}
        return self._seen[group, start_ms].get(name[1:])

    def _write(self, effects: Effects) -> int:
        tx, model = self._tx, self._model.name
        if effects.alert_rows:
            tx.write_alerts(effects.alert_rows)
        if effects.corrected:
            tx.correct_alerts(effects.corrected)
        if effects.acknowledged:
            tx.move_alerts(effects.acknowledged, "firing", "acknowledged", self._now_ms)
        if effects.unacknowledged:
            tx.move_alerts(effects.unacknowledged, "acknowledged", "firing", self._now_ms)
        if effects.acks_done:
            tx.drop_acks(effects.acks_done)
        if effects.outbox:
            tx.enqueue([OutboxRow(n.key, c, model, n.alert, n.to_json(), self._now_ms) for c, n in effects.outbox])
        if effects.trail:
            tx.write_trail([{**row, "model": model, "detail": json.dumps(row["detail"])} for row in effects.trail])
        return len(effects.outbox)


def _finding(row: ScoreRow) -> Finding:
    value = math.nan if row.value is None else row.value
    evidence = json.loads(row.evidence) if row.evidence else {}
    return Finding(Score(row.subject, row.score, value, row.rows, row.reference, evidence), row.level, row.threshold, row.rule)
