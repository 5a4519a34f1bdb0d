"""The webhook that asks for a retraining, with a cooldown and a daily limit for each model."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from alerts.channels.base import Outcome, Sent, Skipped
from alerts.channels.post import Poster
from alerts.channels.webhook import signed_headers
from alerts.notification import Notification

DAY_MS = 86_400_000
STATE_VERSION = 1
Calls = dict[str, list[tuple[int, str]]]  # model -> (at_ms, idempotency key), oldest first


@dataclass(frozen=True, slots=True)
class Policy:
    """cooldown_ms between two calls for one model; at most max_per_day calls in any 24 h."""

    cooldown_ms: int = 6 * 3_600_000
    max_per_day: int = 2


def refusal(policy: Policy, calls: Calls, model: str, key: str, now_ms: int) -> str | None:
    """Why the call may not be made now; None where it may. A call with a known key is a repeat, not a new one."""  # noqa: E501
    made = calls.get(model, [])
    if any(k == key for _, k in made):
        return None
    if made and now_ms - made[-1][0] < policy.cooldown_ms:
        return "cooldown"
    if sum(now_ms - at < DAY_MS for at, _ in made) >= policy.max_per_day:
        return "max_per_day"
    return None


def with_call(policy: Policy, calls: Calls, model: str, key: str, now_ms: int) -> Calls:
    """The calls with this one noted once, and without those that no limit looks at any more."""
    keep_ms = max(DAY_MS, policy.cooldown_ms)
    out = {m: kept for m, made in calls.items() if (kept := [c for c in made if now_ms - c[0] < keep_ms])}
    if all(k != key for _, k in out.get(model, [])):
        out[model] = [*out.get(model, []), (now_ms, key)]
    return out


def request_body(n: Notification) -> bytes:
    """What the receiver reads: which model, why, in which window, and one key for all attempts."""
    return json.dumps(
        {
            "type": "driftd.retrain", "model": n.model, "version": n.version, "segment": n.segment,
            "reason": f"{n.subject} {n.score} {n.reason}", "rule": n.rule, "severity": n.severity, "alert": n.alert,  # noqa: E501
            "evidence": {"subject": n.subject, "score": n.score, "value": n.value, "threshold": n.threshold,
                         "rows": n.rows, "reference": n.reference, **n.evidence},
            "window_start": n.window_start_ms, "window_end": n.window_end_ms, "since": n.since_ms,
            "idempotency_key": n.key,
        },
        sort_keys=True, separators=(",", ":"),
    ).encode()  # fmt: skip


@dataclass(slots=True, repr=False)
class RetrainChannel:
    """Only firing notifications call; times in the body are milliseconds since 1970 (UTC)."""

    poster: Poster
    secrets: tuple[str, ...] = ()
    policy: Policy = Policy()
    calls: Calls = field(default_factory=dict)

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        n = notification
        if n.status != "firing":
            return Skipped("not_firing")
        if why := refusal(self.policy, self.calls, n.model, n.key, now_ms):
            return Skipped(why)
        body = request_body(n)
        outcome = self.poster.post(body, signed_headers(self.secrets, n.key, now_ms, body), now_ms)
        if isinstance(outcome, Sent):
            self.calls = with_call(self.policy, self.calls, n.model, n.key, now_ms)
        return outcome

    def restore(self, blob: bytes | None) -> None:
        """Raises ValueError where the blob was written by another version."""
        data: dict[str, Any] = json.loads(blob) if blob else {"version": STATE_VERSION, "calls": {}}
        if data.get("version") != STATE_VERSION:
            raise ValueError(f"retrain state: version is {data.get('version')!r}, this program reads {STATE_VERSION}")
        self.calls = {model: [(at, key) for at, key in made] for model, made in data["calls"].items()}

    def state(self) -> bytes:
        return json.dumps({"version": STATE_VERSION, "calls": self.calls}, sort_keys=True).encode()
