"""Prometheus Alertmanager, API v2: POST /api/v2/alerts.

Alertmanager forgets an alert that is not sent again before its endsAt. So what fires is kept in the channel's state and
sent anew every RESEND_MS (tick), with an endsAt a few resends ahead: if driftd dies, its alerts end by themselves. A resolved
alert is sent once with its endsAt in the past.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from alerts.channels.base import Outcome, Sent, Skipped
from alerts.channels.post import Poster
from alerts.channels.times import iso
from alerts.notification import Member, Notification
from alerts.words import clean, number

RESEND_MS = 60_000
ENDS_AFTER_RESENDS = 4
FIRING_MOST = 20_000
STATE_VERSION = 1
Alert = dict[str, Any]


def alert_of(n: Notification, m: Member) -> Alert:
    """One member as Alertmanager wants it, without endsAt. Labels are the alert's identity: nothing in them changes."""
    labels = {
        **{clean(k, 100): clean(v) for k, v in n.labels.items()},
        "alertname": clean(m.rule or "test"), "severity": m.severity, "model": clean(n.model), "version": clean(m.version),
        "segment": clean(m.segment), "subject": clean(m.subject), "score": clean(m.score), "driftd_alert": m.alert,
    }  # fmt: skip
    value = f"{m.score} = {number(m.value)}, limit {number(m.threshold)}, {m.rows} rows"
    link = next((url for url in n.links.values() if url.startswith(("https://", "http://"))), "")
    return {
        "labels": {_name(k): v for k, v in labels.items() if v},
        "annotations": {
            "summary": clean(f"{n.model}: {m.subject} {value}"),
            "reason": m.reason,
            "reference": clean(m.reference),
            "group_count": str(n.count),
        },
        "startsAt": iso(m.since_ms),
        "generatorURL": link,
    }


def _name(label: str) -> str:
    """A label name as Prometheus allows it."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in label)
    return safe if safe[:1].isalpha() or safe[:1] == "_" else f"_{safe}"


@dataclass(slots=True, repr=False)
class AlertmanagerChannel:
    """poster.url: …/api/v2/alerts. firing: what is sent again and again, by fingerprint."""

    poster: Poster
    token: str = ""
    firing: dict[str, Alert] = field(default_factory=dict)
    resent_ms: int = 0

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        n = notification
        if n.is_note or n.status == "acknowledged":
            return Skipped(f"Alertmanager knows no {n.status}")
        begun: list[tuple[str, Alert]] = []
        over: list[tuple[str, Alert]] = []
        for m in n.everyone():
            (over if n.is_over or m.status == "resolved" or n.status == "test" else begun).append((m.alert, alert_of(n, m)))
        if n.is_over:  # members beyond those that the message lists end with the group
            listed = {name for name, _ in over}
            over += [(k, a) for k, a in self.firing.items() if k not in listed and a.get("group") == n.thread]
        body = [self._until(a, now_ms) for _, a in begun] + [{**_plain(a), "endsAt": iso(now_ms)} for _, a in over]
        outcome = self._post(body, now_ms)
        if isinstance(outcome, Sent):
            for name, _ in over:
                self.firing.pop(name, None)
            for name, a in begun:
                self.firing[name] = {**a, "group": n.thread}
            for name in list(self.firing)[: max(0, len(self.firing) - FIRING_MOST)]:
                del self.firing[name]
        return outcome

    @property
    def tick_ms(self) -> int:
        return RESEND_MS

    def tick(self, now_ms: int) -> bool:
        """Send again what fires, if it is time; whether the state changed. An answer that is no success waits for the next."""
        if not self.firing or now_ms - self.resent_ms < RESEND_MS:
            return False
        alerts = list(self.firing.values())
        for at in range(0, len(alerts), 500):
            self._post([self._until(a, now_ms) for a in alerts[at : at + 500]], now_ms)
        self.resent_ms = now_ms
        return True

    def _until(self, a: Alert, now_ms: int) -> Alert:
        return {**_plain(a), "endsAt": iso(now_ms + ENDS_AFTER_RESENDS * RESEND_MS)}

    def _post(self, body: list[Alert], now_ms: int) -> Outcome:
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return self.poster.post(json.dumps(body).encode(), headers, now_ms)

    def restore(self, blob: bytes | None) -> None:
        """Raises ValueError where the blob was written by another version."""
        data: dict[str, Any] = json.loads(blob) if blob else {"version": STATE_VERSION, "firing": {}, "resent_ms": 0}
        if data.get("version") != STATE_VERSION:
            raise ValueError(f"alertmanager state: version is {data.get('version')!r}, this program reads {STATE_VERSION}")
        self.firing, self.resent_ms = data["firing"], data["resent_ms"]

    def state(self) -> bytes:
        return json.dumps({"version": STATE_VERSION, "firing": self.firing, "resent_ms": self.resent_ms}).encode()


def _plain(a: Alert) -> Alert:
    return {k: v for k, v in a.items() if k != "group"}
