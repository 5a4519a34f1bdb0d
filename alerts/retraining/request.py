"""What a training pipeline is asked for: which model, why, and from which data on.

id             the same on every attempt: an adapter hands it on in whatever form its system knows
lineage        what the config says of the version in production: run id (MLflow), dataset version (DVC, LakeFS, Delta), …
rows           where the rows since the drift began are: topics and times, or a query
evidence       why, as the alert has it
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from alerts.notification import Member, Notification
from alerts.subjects import trouble_of

FORMAT = 1


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """Times in ms since 1970 UTC. metric: the score by which it will be judged, "" where none was hurt."""

    id: str
    model: str
    version: str
    segment: str
    reason: str
    kind: str  # one of TROUBLES
    rule: str
    severity: str
    alert: str
    window_start_ms: int
    window_end_ms: int
    since_ms: int
    reference: str = ""
    metric: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> RetrainRequest:
        """Raises ValueError for a format that only a newer release knows."""
        data: dict[str, Any] = json.loads(text)
        if data.get("format", 1) > FORMAT:
            raise ValueError(f"retrain request of format {data['format']}: this release reads up to {FORMAT}. Upgrade driftd.")
        known = {f.name for f in fields(RetrainRequest)}
        return RetrainRequest(**{k: v for k, v in data.items() if k in known})

    def payload(self) -> dict[str, Any]:
        """What the pipeline reads, flat where pipelines like it flat."""
        out = {k: v for k, v in asdict(self).items() if k not in ("format", "id")}
        return {"type": "driftd.retrain", **out, "idempotency_key": self.id, "retrain_id": self.id}

    def parameters(self) -> dict[str, str]:
        """The same as strings, for systems whose parameters are strings."""
        plain = {k: v for k, v in self.payload().items() if isinstance(v, str | int)}
        nested = {k: json.dumps(getattr(self, k), sort_keys=True) for k in ("evidence", "lineage", "rows")}
        return {**{k: str(v) for k, v in plain.items()}, **nested}


def request_of(n: Notification, m: Member) -> RetrainRequest:
    """The request that one finding of a notification makes; lineage and rows are added by who knows the config."""
    kind = trouble_of(m.subject)
    return RetrainRequest(
        id=n.key, model=n.model, version=m.version, segment=m.segment, reason=f"{m.subject} {m.score} {m.reason}", kind=kind,
        rule=m.rule, severity=m.severity, alert=m.alert, window_start_ms=n.window_start_ms, window_end_ms=n.window_end_ms,
        since_ms=m.since_ms, reference=m.reference, metric=m.score if m.subject in ("performance", "value") else "",
        evidence={"subject": m.subject, "score": m.score, "value": m.value, "threshold": m.threshold, "rows": m.rows, **m.evidence},
    )  # fmt: skip
