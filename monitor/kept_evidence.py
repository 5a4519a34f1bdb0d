"""The evidence that is stored with a finding: the same whether a window is published or its row is written anew."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

from detectors.evidence import UNEXPLAINED
from detectors.labelled.calibration import CURVE
from detectors.limits import silent
from detectors.score import Finding
from monitor.logs import log_event

logger = logging.getLogger("driftd.analysis")

WHOLE = frozenset({"reason", "where", "cases"})  # with one of these all of it is kept, whatever the level
KEPT = ("interval", "statistic", "because", "left_out", "cut_texts", "answer", CURVE)
KEPT_OF_ONE = (*KEPT, "interval_95")  # of a class or a quantile: other metrics have rows NAME_low and NAME_high


def kept_evidence(finding: Finding, min_rows: int) -> str:
    """All of it as JSON for what is bad; for the rest only which statistic was chosen, what was left out, the answer of a comparison,
    the reliability curve, the interval of a metric of one class or quantile, or why nothing can be said."""
    evidence = finding.score.evidence
    if finding.level in ("warn", "breach") or not WHOLE.isdisjoint(evidence):
        evidence = finding.score.explained
        if UNEXPLAINED in evidence:
            place = {"subject": finding.score.subject, "score": finding.score.name, "error": evidence[UNEXPLAINED]}
            log_event(logger, logging.ERROR, "explanation_failed", **place)
    else:
        if evidence:
            kept = KEPT_OF_ONE if ":" in finding.score.name else KEPT
            evidence = {key: evidence[key] for key in kept if key in evidence}
        if finding.level == "unsure" and not finding.rule and (why := silent(finding.score, min_rows)):
            evidence = {**evidence, "reason": why}
    try:
        return json.dumps(evidence, default=str, allow_nan=False) if evidence else ""
    except ValueError:  # NaN is no JSON: PostgreSQL and browsers refuse the whole of it
        return json.dumps(_finite(evidence), default=str)


def _finite(value: Any) -> Any:
    """The same with None for what is no finite number."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value
