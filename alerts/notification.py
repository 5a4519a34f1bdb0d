"""What an alert's move says to people and machines, as it lies in the outbox.

A notification speaks for a group of alerts: the plain fields are those of its worst member, `members` holds
the worst first (at most MEMBERS_MOST), `count` says how many fire in all. One without members, as older releases
wrote it, speaks for a single alert; `everyone()` gives a list in both cases.

    status        when
    firing        the group begins to fire, or alerts joined it
    repeat        it still fires after the repeat interval
    escalated     nobody acknowledged it in time
    acknowledged  someone took it (author, comment)
    flapping      an alert moves to and fro: the last message until it rests
    resolved      all of the group is clear
    test          `driftd alerts test`; nothing happened
    digest        a summary of a day or week: `subject` is its title, `comment` its lines
    retrain       what became of a retrain, in the same way
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

FORMAT = 2  # 1: single alerts, without this field
NOTES = ("digest", "retrain")  # no alert's life hangs on them
MEMBERS_MOST = 20  # in one message; `count` is of all
STATUSES = ("firing", "repeat", "escalated", "acknowledged", "flapping", "resolved", "test", *NOTES)


@dataclass(frozen=True, slots=True)
class Member:
    """One alert of a group. status: "firing" or "resolved". value, threshold: None where undefined."""

    alert: str
    status: str
    reason: str
    rule: str
    severity: str
    version: str
    segment: str
    subject: str
    score: str
    level: str
    value: float | None
    threshold: float | None
    rows: int
    since_ms: int
    reference: str = ""
    evidence: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notification:
    """One message to one channel. key is the idempotency key and is the same on every attempt."""

    key: str
    alert: str  # fingerprint of the worst member: model, version, segment, subject, score, rule
    status: str  # one of STATUSES
    reason: str  # why now: "threshold_crossed", "resolved_clear", "repeat_due", ...
    rule: str
    severity: str
    model: str
    version: str
    segment: str
    subject: str
    score: str
    value: float | None
    threshold: float | None
    rows: int
    window_start_ms: int
    window_end_ms: int
    since_ms: int  # start of the first window of this episode
    reference: str = ""
    evidence: dict[str, object] = field(default_factory=dict)
    format: int = 1
    level: str = ""
    group: str = ""  # the group's name for life, 16 hex digits; "" for a single alert of format 1
    group_labels: dict[str, str] = field(default_factory=dict)  # what the members have in common
    labels: dict[str, str] = field(default_factory=dict)  # what routes and silences match: team, severity, ...
    members: tuple[Member, ...] = ()
    count: int = 1  # alerts that fire in the group; of a resolved one: that did
    escalation: int = 0  # 0: the first receivers; n: the n-th step
    author: str = ""  # who acknowledged
    comment: str = ""
    links: dict[str, str] = field(default_factory=dict)  # "alert", "model", ...: only where a public address is set
    at_ms: int = 0  # when it was made
    episode_ms: int = -1  # tells the episodes of a group apart

    @property
    def thread(self) -> str:
        """The same for all messages of one episode, so that they can share a thread or an incident."""
        return f"{self.group or self.alert}:{self.since_ms if self.episode_ms < 0 else self.episode_ms}"

    @property
    def is_note(self) -> bool:
        return self.status in NOTES

    @property
    def is_over(self) -> bool:
        return self.status == "resolved"

    def everyone(self) -> tuple[Member, ...]:
        """The members, worst first; at least one."""
        if self.members:
            return self.members
        status = "resolved" if self.is_over else "firing"
        return (
            Member(self.alert, status, self.reason, self.rule, self.severity, self.version, self.segment, self.subject,
                   self.score, self.level, self.value, self.threshold, self.rows, self.since_ms, self.reference,
                   self.evidence),
        )  # fmt: skip

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Notification:
        """Raises ValueError for a format that only a newer release knows, TypeError for missing fields."""
        data: dict[str, Any] = json.loads(text)
        if data.get("format", 1) > FORMAT:
            raise ValueError(f"notification of format {data['format']}: this release reads up to {FORMAT}. Upgrade driftd.")
        known = {f.name for f in fields(Notification)}
        kept = {name: value for name, value in data.items() if name in known}
        kept["members"] = tuple(Member(**member) for member in data.get("members", ()))
        return Notification(**kept)
