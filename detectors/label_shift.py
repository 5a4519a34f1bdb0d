"""The labels of a window before they come, from its predictions: black-box shift estimation.

Lipton, Wang, Smola 2018, "Detecting and Correcting for Label Shift with Black Box Predictors": where only the
shares of the classes change and P(inputs | label) stays, the reference's joint distribution C of (predicted, true)
gives the weights w of the classes by C w = shares of the window's predictions, and q(y) = w(y) p(y).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from detectors.category import CategorySummary
from detectors.performance import PerformanceSummary
from detectors.score import Score

SUBJECT = "target_estimated"
LEAST_SINGULAR = 1e-3  # below this C says next to nothing about some mix of classes
CLASSES = 50  # of more classes nothing is estimated: a matrix of that size rests on too few rows a cell


@dataclass(frozen=True, slots=True)
class LabelShift:
    """shares and errors (standard errors) by label, or the reason why there are none."""

    labels: tuple[str, ...]
    shares: np.ndarray
    errors: np.ndarray
    reference: np.ndarray
    reason: str = ""


def estimate_shares(confusion: dict[tuple[str, str], int], predicted: dict[str, int]) -> LabelShift:
    """confusion: counts of (predicted, true) of the reference. predicted: counts of the window's predicted labels."""
    labels = tuple(sorted({name for pair in confusion for name in pair}))
    nothing = np.full(len(labels), math.nan)
    n, m = sum(confusion.values()), sum(predicted.get(label, 0) for label in labels)
    if len(labels) < 2 or len(labels) > CLASSES:
        reason = f"the reference has {len(labels)} classes; 2 to {CLASSES} can be told apart"
        return LabelShift(labels, nothing, nothing, nothing, reason)
    at = {label: i for i, label in enumerate(labels)}
    joint = np.zeros((len(labels), len(labels)))
    for (guess, true), rows in confusion.items():
        joint[at[guess], at[true]] += rows
    joint /= n
    prior = joint.sum(axis=0)
    if m <= 0:
        return LabelShift(labels, nothing, nothing, prior, "no prediction of the window is of a class that the reference knows")
    if float(np.linalg.svd(joint, compute_uv=False)[-1]) < LEAST_SINGULAR:
        reason = "the reference's confusion matrix has no inverse: predictions do not tell the classes apart"
        return LabelShift(labels, nothing, nothing, prior, reason)
    mu = np.array([predicted.get(label, 0) for label in labels], dtype=np.float64) / m
    inverse = np.linalg.inv(joint)
    weights = inverse @ mu
    explained = joint @ weights  # equals mu
    of_window = (np.diag(mu) - np.outer(mu, mu)) / m
    of_reference = (np.diag(joint @ weights**2) - np.outer(explained, explained)) / n
    to_shares = prior[:, None] * inverse
    errors = np.sqrt(np.maximum(0.0, np.diag(to_shares @ (of_window + of_reference) @ to_shares.T)))
    shares = np.clip(weights * prior, 0.0, None)
    return LabelShift(labels, shares / shares.sum(), errors, prior)


def score_label_shift(reference: PerformanceSummary, predicted: CategorySummary, name: str) -> list[Score]:
    """Estimated shares of the classes with their standard errors, and their distance from the reference's."""
    found = estimate_shares(reference.confusion, predicted.counts)
    rows = predicted.rows
    if rows == 0:
        return []
    if found.reason:
        return [Score(SUBJECT, "label_shift", math.nan, rows, name, {"reason": found.reason})]
    out = []
    for label, share, error in zip(found.labels, found.shares.tolist(), found.errors.tolist(), strict=True):
        out.append(Score(SUBJECT, f"share:{label}", share, rows, name))
        out.append(Score(SUBJECT, f"share_error:{label}", error, rows, name))
    before, after = found.reference.round(4).tolist(), found.shares.round(4).tolist()
    evidence: dict[str, object] = {"reference_shares": dict(zip(found.labels, before, strict=True))}
    evidence["estimated_shares"] = dict(zip(found.labels, after, strict=True))
    distance = float(np.abs(found.shares - found.reference).sum()) / 2.0
    return [*out, Score(SUBJECT, "label_shift", distance, rows, name, evidence)]
