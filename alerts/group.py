"""Alerts that are told together: what was said of them, to whom, and what waits. Part of the desk's state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from hashlib import sha256
from typing import Any

from alerts.matchers import Labels
from alerts.routing import Target


@dataclass(slots=True)
class AlertGroup:
    """members: fingerprint -> why it is kept quiet ("" if it is not). told: those that a message spoke of."""

    id: str
    target: str
    labels: dict[str, str]
    members: dict[str, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    flapping: set[str] = field(default_factory=set)  # of which a message said that they flap
    episode_ms: int = -1  # trigger of the first message's worst member; -1: nothing was said yet
    since_ms: int = -1
    told_event_ms: int = -1  # event time of the last message about alerts that fire
    told_ms: int = -1  # wall time of the last message that people were to hear
    first_ms: int = -1  # wall time from which an acknowledgement is waited for
    repeats: int = 0
    step: int = 0  # escalations made
    channels: list[str] = field(default_factory=list)  # those that were told
    peak: int = 0  # most alerts that fired at once in this episode
    evidence: dict[str, dict[str, object]] = field(default_factory=dict)  # of the worst, from when they fired
    ack_alert: str = ""  # the member that was acknowledged: it stands for all
    ack_author: str = ""
    ack_comment: str = ""
    ack_ms: int = -1
    last: dict[str, Any] = field(default_factory=dict)  # its worst member as last told, for when the book forgot it

    @property
    def announced(self) -> bool:
        return self.episode_ms >= 0

    @property
    def acknowledged(self) -> bool:
        return self.ack_ms >= 0

    def forget_episode(self) -> None:
        """After its last message: what comes next is told anew."""
        self.told, self.flapping, self.evidence, self.last, self.channels = set(), set(), {}, {}, []
        self.episode_ms = self.since_ms = self.told_event_ms = self.told_ms = self.first_ms = self.ack_ms = -1
        self.repeats = self.step = self.peak = 0
        self.ack_alert = self.ack_author = self.ack_comment = ""

    def row(self) -> dict[str, Any]:
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**plain, "told": sorted(self.told), "flapping": sorted(self.flapping)}

    @staticmethod
    def from_row(row: Mapping[str, Any]) -> AlertGroup:
        known = {f.name for f in fields(AlertGroup)}
        group = AlertGroup(**{name: value for name, value in row.items() if name in known})
        group.told, group.flapping = set(group.told), set(group.flapping)
        return group


def group_of(target: Target, labels: Labels) -> AlertGroup:
    """The (new) group that an alert of these labels belongs to at a target. Its id is the same for ever."""
    shared = {name: labels.get(name, "") for name in target.group_by}
    model = labels.get("model", "")
    name = json.dumps([target.name, list(target.channels), model, shared], sort_keys=True)
    return AlertGroup(sha256(name.encode()).hexdigest()[:16], target.name, shared)
