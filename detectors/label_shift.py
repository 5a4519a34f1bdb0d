"""The labels of a window before they come, from its predictions: black-box shift estimation.

Lipton, Wang, Smola 2018, "Detecting and Correcting for Label Shift with Black Box Predictors": where only the
shares of the classes change and P(inputs | label) stays, the reference's joint distribution C of (predicted, true)
gives the weights w of the classes by C w = shares of the window's predictions, and q(y) = w(y) p(y).

Where C is near to one without an inverse the shares are noise: there are none where C's least singular value lies within three of
its standard errors of 0, or where a share's standard error exceeds a quarter. Whether there is a shift at all needs no inverse:
d = q - p is 0 just where the window's predictions have the shares of the reference's, so that Wald's test of d is that of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from detectors.calibrate.closed import share_root, two_sided
from detectors.category import CategorySummary
from detectors.labelled.folding import by_label
from detectors.performance import PerformanceSummary
from detectors.score import Score

SUBJECT = "target_estimated"
SINGULAR_ERRORS = 3.0  # standard errors of C's least singular value that it must lie from 0
GREATEST_ERROR = 0.25  # of a share
LEAST_EXPECTED = 5.0  # rows of a predicted label, of the smaller side
CLASSES = 50  # of more classes nothing is estimated: a matrix of that size rests on too few rows a cell


@dataclass(frozen=True, slots=True)
class LabelShift:
    """shares and errors (standard errors) by label, or the reason why there are none."""

    labels: tuple[str, ...]
    shares: np.ndarray
    errors: np.ndarray
    reference: np.ndarray
    reason: str = ""
    distance_error: float = math.nan  # standard error of the total variation from the reference


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
    if _singular(joint, n):
        reason = "the reference's confusion matrix has no inverse: predictions do not tell the classes apart"
        return LabelShift(labels, nothing, nothing, prior, reason)
    mu = np.array([predicted.get(label, 0) for label in labels], dtype=np.float64) / m
    inverse = np.linalg.inv(joint)
    weights = inverse @ mu
    explained = joint @ weights  # equals mu
    of_window = (np.diag(mu) - np.outer(mu, mu)) / m
    of_reference = (np.diag(joint @ weights**2) - np.outer(explained, explained)) / n
    to_shares = prior[:, None] * inverse
    covariance = to_shares @ (of_window + of_reference) @ to_shares.T
    errors = np.sqrt(np.maximum(0.0, np.diag(covariance)))
    if not float(errors.max()) <= GREATEST_ERROR:
        off = f"a share's standard error is {errors.max():.2g}, and may be {GREATEST_ERROR:g}"
        reason = f"predictions hardly tell the classes apart: {off}"
        return LabelShift(labels, nothing, nothing, prior, reason)
    shares = np.clip(weights * prior, 0.0, None)
    signs = np.sign(weights * prior - prior) / 2.0
    return LabelShift(labels, shares / shares.sum(), errors, prior, "", math.sqrt(max(0.0, float(signs @ covariance @ signs))))


def _singular(joint: np.ndarray, rows: int) -> bool:
    """Whether the least singular value of a matrix of shares of so many rows may be 0."""
    left, values, right = np.linalg.svd(joint)
    u, v, least = left[:, -1], right[-1], float(values[-1])
    variance = float(u**2 @ joint @ v**2) - least**2
    return least <= max(SINGULAR_ERRORS * math.sqrt(max(0.0, variance) / rows), 1e-9)


def shift_p(confusion: dict[tuple[str, str], int], predicted: dict[str, int]) -> float:
    """p-value of the shift: chi-square of the window's predicted labels against the reference's. NaN where there are no two.

    Labels of which fewer than LEAST_EXPECTED rows are to be expected count as one, for chi-square's tail is far too thin there; of two
    it is Fisher's exact test, half of the observed point left out.
    """
    from scipy.special import chdtrc

    known = by_label(confusion, 0)
    table = np.array([[known.get(name, 0), predicted.get(name, 0)] for name in sorted({*known, *predicted})], dtype=np.float64)
    table = table[table.sum(axis=1) > 0] if len(table) else np.zeros((0, 2))
    if len(table) < 2 or not table.sum(axis=0).all():
        return math.nan
    table = _joined(table)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if len(table) == 2 and expected.min() < LEAST_EXPECTED:
        (y, x), (n, m) = table[0], table.sum(axis=0)
        return float(two_sided(share_root(*(np.array([v]) for v in (x, m, y, n))))[0])
    return float(chdtrc(len(table) - 1, float(((table - expected) ** 2 / expected).sum())))


def _joined(table: np.ndarray) -> np.ndarray:
    """Rows by label and side, shape (labels, 2), the rare labels as one; at least two are left."""
    table = table[np.argsort(table.sum(axis=1), kind="stable")]
    expected = table.sum(axis=1) * table.sum(axis=0).min() / table.sum()
    few = int((expected < LEAST_EXPECTED).sum())
    if few and expected[:few].sum() < LEAST_EXPECTED:
        few += 1  # all of them together are rare too
    few = min(few, len(table) - 1)
    return table if few < 2 else np.concatenate([table[:few].sum(axis=0)[None], table[few:]])


def score_label_shift(
    reference: PerformanceSummary, predicted: CategorySummary, name: str, unfit: Callable[[LabelShift], str] = lambda found: ""
) -> list[Score]:
    """Estimated shares of the classes with their standard errors, and their distance from the reference's.

    unfit: why the window is no case of label shift, "" where it may be one.
    """
    found = estimate_shares(reference.confusion, predicted.counts)
    rows = predicted.rows
    if rows == 0:
        return []
    reason = found.reason or unfit(found)
    if reason:
        return [Score(SUBJECT, "label_shift", math.nan, rows, name, {"reason": reason})]
    out = []
    for label, share, error in zip(found.labels, found.shares.tolist(), found.errors.tolist(), strict=True):
        out.append(Score(SUBJECT, f"share:{label}", share, rows, name))
        out.append(Score(SUBJECT, f"share_error:{label}", error, rows, name))
    before, after = found.reference.round(4).tolist(), found.shares.round(4).tolist()
    evidence: dict[str, object] = {"reference_shares": dict(zip(found.labels, before, strict=True))}
    evidence["estimated_shares"] = dict(zip(found.labels, after, strict=True))
    distance = float(np.abs(found.shares - found.reference).sum()) / 2.0
    evidence |= {"standard_error": round(found.distance_error, 6), "p_value": shift_p(reference.confusion, predicted.counts)}
    return [*out, Score(SUBJECT, "label_shift", distance, rows, name, evidence)]
