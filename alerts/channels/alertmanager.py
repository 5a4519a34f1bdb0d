"""Prometheus Alertmanager, API v2: POST /api/v2/alerts.

Alertmanager forgets an alert that is not sent again before its endsAt, and knows alerts, not groups. So every RESEND_MS (tick) all
that fires and that a message to this channel spoke of is sent anew, with an endsAt a few resends ahead, however many a
message can list; what fires no longer is sent once with its endsAt in the past, though its group goes on. Which these are
says the roll, which is the store's; the channel's own state is what it sent. If driftd dies, its alerts end by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from alerts.channels.base import Outcome, Sent, Skipped
from alerts.channels.post import Poster
from alerts.channels.roll import Roll, Told
from alerts.channels.times import iso
from alerts.notification import Notification
from alerts.words import clean, number

RESEND_MS = 60_000
ENDS_AFTER_RESENDS = 4
POSTED_MOST = 500  # in one request
STATE_VERSION = 2
Alert = dict[str, Any]


def alert_of(told: Told) -> Alert:
    """An alert as Alertmanager wants it, without endsAt. Labels are its identity: nothing in them changes."""
    m = told.member
    labels = {
        **{clean(k, 100): clean(v) for k, v in told.labels.items()},
        "alertname": clean(m.rule or "test"), "severity": m.severity, "version": clean(m.version),
        "segment": clean(m.segment), "subject": clean(m.subject), "score": clean(m.score), "driftd_alert": m.alert,
    }  # fmt: skip
    value = f"{m.score} = {number(m.value)}, limit {number(m.threshold)}, {m.rows} rows"
    return {
        "labels": {_name(k): v for k, v in labels.items() if v},
        "annotations": {
            "summary": clean(f"{told.labels.get('model', '')}: {m.subject} {value}"),
            "reason": m.reason,
            "reference": clean(m.reference),
        },
        "startsAt": iso(m.since_ms),
        "generatorURL": told.link,
    }


def _name(label: str) -> str:
    """A label name as Prometheus allows it."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in label)
    return safe if safe[:1].isalpha() or safe[:1] == "_" else f"_{safe}"


def _listed(n: Notification) -> list[Told]:
    """The alerts that a message lists."""
    link = next((url for url in n.links.values() if url.startswith(("https://", "http://"))), "")
    labels = {k: v for k, v in n.labels.items() if k not in ("alert", "kind", "rule")}  # those are the worst member's
    return [Told({**labels, "model": n.model}, m, link) for m in n.everyone()]


@dataclass(slots=True, repr=False)
class AlertmanagerChannel:
    """poster.url: …/api/v2/alerts. roll is set by who opens the store, as name is. sent: what it was told fires, and in which episode."""

    poster: Poster
    token: str = ""
    name: str = ""
    roll: Roll | None = None
    sent: dict[str, str] = field(default_factory=dict)
    resent_ms: int = 0

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        n = notification
        if n.is_note or n.status == "acknowledged":
            return Skipped(f"Alertmanager knows no {n.status}")
        if n.is_over or n.status == "test":
            return self._end(n, now_ms)
        fire = [] if self.roll is None else self.roll.told(self.name, n.model, n.group)
        if not fire:  # over by now: its end is behind this one
            fire = self._known({t.member.alert: t for t in _listed(n) if t.member.status != "resolved"}, ())
        outcome = self._post(fire, now_ms, now_ms + ENDS_AFTER_RESENDS * RESEND_MS)
        if isinstance(outcome, Sent):
            self.sent.update((told.member.alert, n.thread) for told in fire)
        return outcome

    def _end(self, n: Notification, now_ms: int) -> Outcome:
        """All of a group is over: members beyond those that the message lists, too."""
        listed = {told.member.alert: told for told in _listed(n)}
        over = [mark for mark, thread in self.sent.items() if thread == n.thread or mark in listed]
        outcome = self._post(self._known(listed, over), now_ms, now_ms)
        if isinstance(outcome, Sent):
            for mark in over:
                del self.sent[mark]
        return outcome

    def _known(self, listed: dict[str, Told], others: Iterable[str]) -> list[Told]:
        """As the store knows them, so that their labels are always the same; as a message lists them where it does not."""
        known = [] if self.roll is None else self.roll.known({*listed, *others})
        return list({**listed, **{told.member.alert: told for told in known}}.values())

    @property
    def tick_ms(self) -> int:
        return RESEND_MS

    def tick(self, now_ms: int) -> bool:
        """Send again what fires and once what does not any more, if it is time; whether the state changed."""
        if self.roll is None or now_ms - self.resent_ms < RESEND_MS:
            return False
        fire = self.roll.told(self.name)
        over = self.sent.keys() - {told.member.alert for told in fire}
        if not fire and not over:
            return False
        self.resent_ms = now_ms  # an answer that is no success waits for the next tick
        if isinstance(self._post(fire, now_ms, now_ms + ENDS_AFTER_RESENDS * RESEND_MS), Sent):
            self.sent = {**dict.fromkeys((told.member.alert for told in fire), ""), **self.sent}
        if over and isinstance(self._post(self.roll.known(over), now_ms, now_ms), Sent):
            for mark in over:
                del self.sent[mark]
        return True

    def _post(self, alerts: Iterable[Told], now_ms: int, ends_ms: int) -> Outcome:
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        body = [{**alert_of(told), "endsAt": iso(ends_ms)} for told in alerts]
        for at in range(0, len(body), POSTED_MOST):
            outcome = self.poster.post(json.dumps(body[at : at + POSTED_MOST]).encode(), headers, now_ms)
            if not isinstance(outcome, Sent):
                return outcome
        return Sent()

    def restore(self, blob: bytes | None) -> None:
        """Raises ValueError where the blob was written by a later version."""
        data: dict[str, Any] = json.loads(blob) if blob else {"version": STATE_VERSION, "sent": {}, "resent_ms": 0}
        if data.get("version") == 1:  # which kept each alert as it was sent
            data = {**data, "version": STATE_VERSION, "sent": {k: a.get("group", "") for k, a in data["firing"].items()}}
        if data.get("version") != STATE_VERSION:
            raise ValueError(f"alertmanager state: version is {data.get('version')!r}, this program reads up to {STATE_VERSION}")
        self.sent, self.resent_ms = data["sent"], data["resent_ms"]

    def merge(self, blob: bytes | None) -> None:
        """Also what another courier sent meanwhile; one that is over is ended once more by the next tick."""
        sent, resent_ms = self.sent, self.resent_ms
        self.restore(blob)
        self.sent, self.resent_ms = {**self.sent, **sent}, max(self.resent_ms, resent_ms)

    def state(self) -> bytes:
        return json.dumps({"version": STATE_VERSION, "sent": self.sent, "resent_ms": self.resent_ms}).encode()
