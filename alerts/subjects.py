"""What the subject of a finding says of it, by the part before its colon: the alert's label `kind`, and the kind of a retrain.

A subject that is not named here is a feature, or several: its kind is `feature`, and what it tells is drift.
"""

from __future__ import annotations

# subject -> the kind of trouble that retraining knows it as
WHOLE = {
    "performance": "performance", "estimated_performance": "performance", "estimated_performance_weighted": "performance",
    "value": "performance", "worst_segment": "performance", "concept": "concept",
    "prediction": "drift", "target": "drift", "target_estimated": "drift", "multivariate": "drift", "combination": "drift",
    "traffic": "operations", "latency": "operations", "labels": "operations", "schema": "operations", "cost": "operations",
    "retraining": "operations", "analysis": "operations",
}  # fmt: skip
# the same of subjects that have a colon, by what stands before it
BEGINNINGS = {
    "fairness": "fairness", "check": "operations", "event": "operations", "resource": "operations", "compare": "operations",
    "source": "operations",
}  # fmt: skip
TROUBLES = ("concept", "performance", "drift", "fairness", "operations")  # from the one that retraining heeds most


def kind_of(subject: str) -> str:
    """What an alert is about: the subject, or its beginning, that is named above, else "feature"."""
    if subject in WHOLE:
        return subject
    beginning, colon, _ = subject.partition(":")
    return beginning if colon and beginning in BEGINNINGS else "feature"


def trouble_of(subject: str) -> str:
    """One of TROUBLES."""
    kind = kind_of(subject)
    return WHOLE.get(kind) or BEGINNINGS.get(kind, "drift")
