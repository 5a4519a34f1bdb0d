"""What an alert's transition says to people and machines, as it lies in the outbox."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Notification:
    """One transition of one alert. key is the idempotency key and is the same on every attempt."""

    key: str
    alert: str  # the alert's fingerprint: model, version, segment, subject, score, rule
    status: str  # "firing" or "resolved"
    reason: str  # why now: "threshold_crossed", "resolved_clear", ...
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

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Notification:
        return Notification(**json.loads(text))
