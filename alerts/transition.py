"""One move of one alert, and why it moved."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import Any

import orjson

EVIDENCE_CHARS_MOST = 4_000


class Reason(StrEnum):
    """Why an alert moved, or why a message is sent."""

    STREAK_STARTED = "streak_started"
    COOLING_DOWN = "cooling_down"
    THRESHOLD_CROSSED = "threshold_crossed"
    REVISED_CROSSED = "revised_crossed"
    STREAK_BROKEN = "streak_broken"
    RESOLVED_CLEAR = "resolved_clear"
    REVISED_CLEAR = "revised_clear"
    WITHDRAWN = "withdrawn"  # after revisions no window justifies that it ever moved
    RULE_REMOVED = "rule_removed"
    WENT_QUIET = "went_quiet"
    VERSION_GONE = "version_gone"
    FLAPPING = "flapping"
    FLAPPING_ENDED = "flapping_ended"
    ACKNOWLEDGED = "acknowledged"
    UNACKNOWLEDGED = "unacknowledged"
    JOINED = "joined_group"
    SILENCE_ENDED = "silence_ended"
    INHIBITION_ENDED = "inhibition_ended"
    REPEAT_DUE = "repeat_due"
    NOT_ACKNOWLEDGED = "not_acknowledged"


@dataclass(frozen=True, slots=True)
class Shown:
    """The window that is being shown to one (version, segment)."""

    group: tuple[str, str, str]  # model, version, segment
    start_ms: int
    end_ms: int
    revision: int
    now_ms: int


@dataclass(frozen=True, slots=True)
class Transition:
    """status: "pending", "firing" or "resolved"."""

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
    level: str = ""
    reference: str = ""
    evidence: dict[str, object] = field(default_factory=dict)
    trigger_ms: int = 0  # start of the window that completed the streak: the same however late it was seen
    corrects: bool = False  # the alert did not move, but what is known of its last move changed

    def alert_row(self, labels: Mapping[str, str] | None = None, group: str | None = None) -> dict[str, Any]:
        """The transition as one flat row of the store's alert table."""
        evidence = json.dumps(self.evidence, sort_keys=True) if self.evidence else "{}"
        return {
            **{name: getattr(self, name) for name in _COLUMNS},
            "reason": str(self.reason),
            "grp": group,
            "evidence": evidence if len(evidence) <= EVIDENCE_CHARS_MOST else "{}",
            "labels": orjson.dumps(labels).decode() if labels is not None else None,
        }


_COLUMNS = tuple(n for n in Transition.__dataclass_fields__ if n not in ("reason", "evidence", "trigger_ms", "corrects"))


def fingerprint(rule: str, model: str, version: str, segment: str, subject: str, score: str) -> str:
    """The alert's name for life: 16 hex digits."""
    return sha256(json.dumps([rule, model, version, segment, subject, score]).encode()).hexdigest()[:16]


def finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def plain(value: Any) -> Any:
    """The value as JSON can hold it: numpy scalars become numbers, NaN becomes null."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return finite(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)
