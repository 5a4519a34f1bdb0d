"""Performance before labels where calibration itself depends on the inputs: multi-calibrated CBPE by importance weighting.

CBPE calibrates on all rows of the reference alike. Where a score means another chance in one part of the input space
than in another, and the window holds more of that part, that misleads. Here each labelled row of the reference stands
for as many rows as the window has of its kind (weights by the domain classifier's odds, detectors/domain.py), the
calibration is fitted to the weighted rows, and its probabilities are summed over the window's sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from detectors.cbpe import binary_metrics
from detectors.columns import Columns, Floats
from detectors.score import Score

SUBJECT = "estimated_performance_weighted"
LEAST_EFFECTIVE = 100.0  # rows that the weighted reference is worth, below which nothing is said
METRICS = ("accuracy", "precision", "recall", "f1", "specificity", "roc_auc")


def score_weighted(
    reference: Columns, truth: Sequence[str | None], window: Columns, weights: Floats, positive: str, rows: int, name: str
) -> list[Score]:
    """Binary metrics of a window. truth: the labels of the reference's sample. weights: of its rows, mean 1."""
    known = np.array([t is not None for t in truth]) & np.isfinite(reference.score)
    hit = np.array([t == positive for t in truth])[known]
    w, score = weights[known], reference.score[known]
    effective = float(w.sum()) ** 2 / float((w * w).sum()) if (w * w).sum() > 0 else 0.0
    if effective < LEAST_EFFECTIVE or len(set(hit.tolist())) < 2:
        reason = (
            f"the window resembles too little of the reference's labelled sample: its {int(known.sum())} rows are worth "
            f"{effective:.0f} of the window's kind, {LEAST_EFFECTIVE:.0f} are needed, of both classes"
        )
        return [Score(SUBJECT, metric, math.nan, rows, name, {"reason": reason}) for metric in METRICS]
    there = np.isfinite(window.score)
    p = weighted_isotonic(score, hit.astype(np.float64), w, window.score[there])
    guess = np.array([v == positive for v in window.label.to_list()])[there]
    expected = np.array([[(1 - p)[~guess].sum(), p[~guess].sum()], [(1 - p)[guess].sum(), p[guess].sum()]])
    order = np.argsort(window.score[there], kind="stable")
    found = binary_metrics(expected, ((1 - p)[order], p[order]))
    return [Score(SUBJECT, metric, found[metric], rows, name) for metric in METRICS if metric in found]


def weighted_isotonic(score: Floats, truth: Floats, weight: Floats, at: Floats) -> Floats:
    """The rising function of the score nearest to the weighted truth, at other scores: linear between, flat outside."""
    from scipy.optimize import isotonic_regression

    scores, inverse = np.unique(score, return_inverse=True)
    total = np.bincount(inverse, weights=weight)
    kept = total > 0
    hits = np.bincount(inverse, weights=weight * truth)[kept] / total[kept]
    out: Floats = np.interp(at, scores[kept], isotonic_regression(hits, weights=total[kept]).x)
    return out
