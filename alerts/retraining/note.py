"""What people hear of a retrain: a note, which no alert's life hangs on."""

from __future__ import annotations

import json
import uuid

from alerts.notification import Notification
from alerts.retraining.request import RetrainRequest

NAMESPACE = uuid.UUID("9a4cf0a6-2f8f-5d0e-8f6b-0d6d3c2b7a55")
SEVERITY = {"failed": "critical", "not_helped": "warning", "expired": "warning"}
WORDS = {
    "proposed": "a retrain of {model} waits for approval",
    "dry_run": "a retrain of {model} would be asked for now (dry run)",
    "started": "a retrain of {model} has started",
    "succeeded": "the retrain of {model} is done",
    "failed": "the retrain of {model} failed",
    "expired": "a retrain of {model} could not start in time",
    "helped": "the retrain of {model} helped",
    "not_helped": "the retrain of {model} did not help",
    "unknown": "whether the retrain of {model} helped is not known",
}


def retrain_note(what: str, request: RetrainRequest, why: str, channel: str, public_url: str, now_ms: int) -> Notification:
    """One message for one channel; the same step of the same retrain has the same key."""
    key = str(uuid.uuid5(NAMESPACE, json.dumps([request.id, what, channel])))
    base = public_url.rstrip("/")
    links = {"retrain": f"{base}/retrains/{request.id}"} if base else {}
    lines = [f"why: {request.reason}", f"version: {request.version or '-'}", why, f"retrain {request.id}"]
    return Notification(
        key=key, alert=request.alert, status="retrain", reason=f"retrain_{what}", rule=request.rule,
        severity=SEVERITY.get(what, "info"), model=request.model, version=request.version, segment=request.segment,
        subject=WORDS.get(what, "retrain of {model}: " + what).format(model=request.model), score="", value=None, threshold=None,
        rows=0, window_start_ms=request.window_start_ms, window_end_ms=request.window_end_ms, since_ms=request.since_ms,
        format=2, comment="\n".join(line for line in lines if line), links=links, at_ms=now_ms,
    )  # fmt: skip
