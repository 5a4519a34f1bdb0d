"""Whether a finding may lead to a retraining now: pure, over what was done before and the time that is handed in.

kind           concept drift and performance count by default, mere data drift only if the config says so
one at a time  while a retrain of the model is under way, no second one begins
cooldown, max  between two begun retrains, and after one that a human rejected; within any 24 h. What a dry run would have
               begun counts like one that was
futile         after `max_futile` that did not help in a row a human is told instead, until one resets it
then           approval, enough new labels, quiet hours: it waits, and may expire, from when it was asked or approved
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from alerts.schedule import Schedule

DAY_MS = 86_400_000
OPEN = ("proposed", "waiting", "due", "started")  # not yet over
BEGUN = ("due", "started", "succeeded", "failed")
Status = Literal["proposed", "waiting", "due", "started", "succeeded", "failed", "rejected", "expired", "dry_run", "blocked"]
STATUSES: tuple[str, ...] = get_args(Status)


@dataclass(frozen=True, slots=True)
class RetrainPolicy:
    """Times in ms. quiet: when nothing is started. observe_windows: labelled windows of the new version until it is judged."""

    on: tuple[str, ...] = ("concept", "performance")
    mode: str = "auto"
    cooldown_ms: int = 6 * 3_600_000
    max_per_day: int = 2
    quiet: Schedule | None = None
    min_new_labels: int = 0
    max_futile: int = 2
    expires_ms: int = 7 * DAY_MS
    observe_windows: int = 5
    observe_ms: int = 7 * DAY_MS
    reference: str = "keep"  # keep | auto | approve: the reference that a finished job names
    tell: tuple[str, ...] = ()  # channels that hear of proposals, outcomes and blocks


@dataclass(frozen=True, slots=True)
class Past:
    """One earlier retrain of the same model, newest first in a sequence."""

    id: str
    status: str
    verdict: str  # "", "helped", "not_helped", "unknown"
    requested_ms: int
    begun_ms: int  # -1 where it never was
    finished_ms: int = -1


@dataclass(frozen=True, slots=True)
class Decision:
    """status: of the record to make, "" for none. reason: why, for people and logs."""

    status: str
    reason: str


def decide(policy: RetrainPolicy, kind: str, request_id: str, past: Sequence[Past], reset_ms: int, now_ms: int) -> Decision:
    """What to do about a finding. past: newest first. reset_ms: when a human last said «go on» (-1: never)."""
    if any(p.id == request_id for p in past):
        return Decision("", "known")
    if kind not in policy.on:
        return Decision("", f"{kind} does not count: policy.on is {', '.join(policy.on)}")
    if any(p.status in OPEN or (p.status == "succeeded" and p.verdict == "") for p in past):
        return Decision("", "under_way")
    begun = [at for p in past if (at := p.requested_ms if p.status == "dry_run" else p.begun_ms) >= 0]
    refused = [max(p.finished_ms, p.requested_ms) for p in past if p.status == "rejected"]
    if any(now_ms - at < policy.cooldown_ms for at in (*begun, *refused)):
        return Decision("", "cooldown")
    if sum(now_ms - at < DAY_MS for at in begun) >= policy.max_per_day:
        return Decision("", "max_per_day")
    if futile_in_a_row(past, reset_ms) >= policy.max_futile:
        blocked = next((p for p in past if p.status == "blocked" and p.requested_ms > reset_ms), None)
        if blocked is not None:
            return Decision("", "blocked")
        return Decision("blocked", f"the last {policy.max_futile} retrains did not help: a human is asked")
    if policy.mode == "dry_run":
        return Decision("dry_run", "mode is dry_run: nothing is called")
    if policy.mode == "approve":
        return Decision("proposed", "waits for approval")
    return Decision("waiting", "policy allows it")


def futile_in_a_row(past: Sequence[Past], reset_ms: int) -> int:
    """How many of the newest finished retrains did not help, since the last reset."""
    count = 0
    for p in past:
        if p.requested_ms <= reset_ms or p.verdict == "helped":
            break
        if p.verdict == "not_helped" or p.status == "failed":
            count += 1
    return count


def may_start(policy: RetrainPolicy, new_labels: int, allowed_ms: int, now_ms: int) -> tuple[str, str]:
    """("due", "") or ("waiting" | "expired", why) for a retrain that the policy, or a human, allowed at allowed_ms."""
    if now_ms - allowed_ms >= policy.expires_ms:
        return "expired", f"it could not start within {policy.expires_ms // 3_600_000} h"
    if new_labels < policy.min_new_labels:
        return "waiting", f"{new_labels} of {policy.min_new_labels} new labels"
    if policy.quiet is not None and policy.quiet.is_open(now_ms):
        return "waiting", "quiet hours"
    return "due", ""
