"""From a group to the message that goes out: worst member first, links, and a key that a replay makes again."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from heapq import nsmallest
from typing import Any
from urllib.parse import quote

from alerts.group import AlertGroup
from alerts.notification import FORMAT, MEMBERS_MOST, Member, Notification
from alerts.record import Group, Name, Record
from alerts.rules import SEVERITIES
from detectors.score import LEVELS

NAMESPACE = uuid.UUID("6f1c2d0e-63a5-5c1e-9d3f-0b6f0f5b7a11")
EVIDENCE_MOST = 5  # members of a message that carry their evidence


def message_key(group: AlertGroup, status: str, number: int, channel: str) -> str:
    """The idempotency key. number tells messages of one status apart; neither revisions nor clocks go in."""
    parts = [group.id, group.episode_ms, group.since_ms, status, number, channel]
    return str(uuid.uuid5(NAMESPACE, json.dumps(parts)))


def member_of(found: tuple[Group, Name, Record], severity: str, reason: str, evidence: dict[str, object]) -> Member:
    (_, version, segment), (rule, subject, score), r = found
    status = "firing" if r.status == "firing" or r.flapping else "resolved"
    return Member(
        r.mark, status, reason, rule, severity, version, segment, subject, score, r.level, r.value, r.threshold, r.rows, r.since_ms,
        r.reference, evidence,
    )  # fmt: skip


def badness(member: Member) -> tuple[int, int, float, str]:
    """Sorts the worst first: severity, level, how far beyond the limit, then by name."""
    far = 0.0
    if member.value is not None:
        far = abs(member.value - member.threshold) / max(abs(member.threshold), 1e-9) if member.threshold is not None else 0.0
    level = LEVELS.index(member.level) if member.level in LEVELS else 0
    return -SEVERITIES.index(member.severity), -level, -far, f"{member.subject}\0{member.score}\0{member.alert}"


def worst_first(members: Iterable[Member]) -> list[Member]:
    """The worst MEMBERS_MOST; the worst few with their evidence."""
    chosen = nsmallest(MEMBERS_MOST, members, key=badness)
    return [m if i < EVIDENCE_MOST else replace(m, evidence={}) for i, m in enumerate(chosen)]


def links_of(public_url: str, alert: str, model: str) -> dict[str, str]:
    if not public_url:
        return {}
    base = public_url.rstrip("/")
    return {"alert": f"{base}/alerts/{quote(alert, safe='')}", "model": f"{base}/models/{quote(model, safe='')}"}


def notification(
    group: AlertGroup,
    members: list[Member],
    count: int,
    status: str,
    reason: str,
    window: tuple[int, int],
    labels: Mapping[str, str],
    now_ms: int,
    public_url: str,
    severity: str = "",
) -> Notification:
    """members: worst first, at least one. window: start and end in ms. Its key is set for each channel by `for_channel`."""
    worst = members[0]
    model = labels.get("model", "")
    return Notification(
        key="", alert=worst.alert, status=status, reason=reason, rule=worst.rule, severity=severity or worst.severity, model=model,
        version=worst.version, segment=worst.segment, subject=worst.subject, score=worst.score, value=worst.value,
        threshold=worst.threshold, rows=worst.rows, window_start_ms=window[0], window_end_ms=window[1], since_ms=group.since_ms,
        reference=worst.reference, evidence=worst.evidence, format=FORMAT, level=worst.level, group=group.id,
        group_labels=dict(group.labels), labels=dict(labels), members=tuple(members), count=count, escalation=group.step,
        author=group.ack_author, comment=group.ack_comment, links=links_of(public_url, worst.alert, model), at_ms=now_ms,
        episode_ms=group.episode_ms,
    )  # fmt: skip


def for_channel(message: Notification, group: AlertGroup, number: int, channel: str) -> Notification:
    return replace(message, key=message_key(group, message.status, number, channel))


def remembered(member: Member) -> dict[str, Any]:
    return {**asdict(member), "evidence": {}}
