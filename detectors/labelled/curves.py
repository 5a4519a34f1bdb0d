"""Metrics of a score that ranks rows, from the counts of negatives and positives in its cells, in ascending order.

Rows of one cell count as ties: with the cells of detectors/score_cells.py that moves an area by less than 0.001.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Ints
from detectors.labelled.intervals import NONE, Interval, around, logit


def roc_auc(negative: Ints, positive: Ints) -> tuple[float, float]:
    """Area under the ROC curve, ties counted half, and its standard error (DeLong, DeLong and Clarke-Pearson 1988).

    Shapes (cells,). NaN where a class is missing.
    """
    neg, pos = negative.astype(np.float64), positive.astype(np.float64)
    m, n = float(neg.sum()), float(pos.sum())
    if m <= 0 or n <= 0:
        return math.nan, math.nan
    of_positive = (np.cumsum(neg) - neg / 2.0) / m  # share of negatives below a positive of that cell
    of_negative = (n - np.cumsum(pos) + pos / 2.0) / n
    area = float((pos * of_positive).sum() / n)
    variance = 0.0
    for counts, placement, rows in ((pos, of_positive, n), (neg, of_negative, m)):
        spread = float((counts * (placement - area) ** 2).sum())
        variance += spread / (max(1.0, rows - 1) * rows)
    return area, math.sqrt(variance)


def roc_auc_interval(area: float, error: float, negatives: float, positives: float) -> Interval:
    return logit(area, error, min(negatives, positives))


def average_precision(negative: Ints, positive: Ints) -> tuple[float, float, float]:
    """Area under the precision-recall curve as scikit-learn sums it, and its logit interval (Boyd, Eng and Page 2013)."""
    pos = positive[::-1].astype(np.float64)
    hits, seen = np.cumsum(pos), np.cumsum((negative + positive)[::-1].astype(np.float64))
    total = float(hits[-1])
    if total <= 0:
        return math.nan, *NONE
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    area = float((pos * precision).sum() / total)
    return area, *logit(area, math.sqrt(max(0.0, area * (1 - area)) / total), total)


def score_ks(negative: Ints, positive: Ints) -> tuple[float, float, float]:
    """The greatest distance between the two classes' score distributions: the best true less false positive rate.

    The interval takes the cell where it lies as given.
    """
    m, n = float(negative.sum()), float(positive.sum())
    if m <= 0 or n <= 0:
        return math.nan, *NONE
    below_negative, below_positive = np.cumsum(negative) / m, np.cumsum(positive) / n
    at = int(np.argmax(np.abs(below_negative - below_positive)))
    f, t = float(below_negative[at]), float(below_positive[at])
    distance = abs(f - t)
    return distance, *around(distance, math.sqrt(f * (1 - f) / m + t * (1 - t) / n), 0.0, 1.0)
