"""Metrics of a score that ranks rows, from the counts of negatives and positives in its cells, in ascending order.

Rows of one cell count as ties: with the cells of detectors/score_cells.py that moves an area by less than 0.001, also of scores that all
lie near 0 or 1, but not of scores that crowd elsewhere: `tied_pairs` says how many pairs of rows one cell holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from detectors.columns import Floats, Ints
from detectors.labelled.intervals import NONE, REPLICATES, SEED, Interval, Z, logit, student

FEW = 30  # rows of the rarer class
SHARED = 5.0
PLACES = 128  # of a distribution function, where draws look


class Area(NamedTuple):
    """An area under the ROC curve, its standard error, and the degrees of freedom that this is known with."""

    value: float
    error: float
    freedom: float


class Placements(NamedTuple):
    """An area and the variances of both classes' placements: of positives among the negatives, and of negatives among the positives."""

    area: float
    of_positive: float
    of_negative: float
    positives: float
    negatives: float


def placements(negative: Ints, positive: Ints) -> Placements:
    """Ties counted half. Shapes (cells,). NaN where a class is missing."""
    neg, pos = negative.astype(np.float64), positive.astype(np.float64)
    m, n = float(neg.sum()), float(pos.sum())
    if m <= 0 or n <= 0:
        return Placements(math.nan, math.nan, math.nan, n, m)
    of_positive = (np.cumsum(neg) - neg / 2.0) / m  # share of negatives below a positive of that cell
    of_negative = (n - np.cumsum(pos) + pos / 2.0) / n
    area = float((pos * of_positive).sum() / n)
    spreads = [
        float(c @ (placed - area) ** 2) / max(1.0, rows - 1) for c, placed, rows in ((pos, of_positive, n), (neg, of_negative, m))
    ]
    return Placements(area, spreads[0], spreads[1], n, m)


def roc_auc(negative: Ints, positive: Ints) -> Area:
    """With DeLong's standard error (DeLong, DeLong and Clarke-Pearson 1988) and Satterthwaite's degrees of freedom, as Brunner and
    Munzel (2000) have them."""
    found = placements(negative, positive)
    n, m = found.positives, found.negatives
    if math.isnan(found.area):
        return Area(math.nan, math.nan, math.nan)
    parts = found.of_positive / n, found.of_negative / m
    variance, uncertain = sum(parts), parts[0] ** 2 / max(1.0, n - 1) + parts[1] ** 2 / max(1.0, m - 1)
    return Area(found.area, math.sqrt(variance), variance**2 / uncertain if uncertain > 0 else m + n - 2)


def moderated_errors(found: Sequence[Placements]) -> Floats:
    """Standard errors of areas that are averaged, shape (k,): of a class with few rows the placements vary as those of all do.

    A variance of n rows counts as n - 1 rows, that of all together, as far out as this area is, as SHARED more (Smyth 2004).
    """
    areas, of_positive, of_negative, positives, negatives = (np.array(column) for column in zip(*found, strict=True))
    careful = (areas * positives + areas.mean()) / (positives + 1.0)
    out = np.zeros(len(found))
    for spread, rows in ((of_positive, positives), (of_negative, negatives)):
        freedom, most = rows - 1.0, careful * (1.0 - careful)
        usual = most * float(spread @ freedom) / max(1e-12, float(most @ freedom))
        out += (spread * freedom + SHARED * usual) / (freedom + SHARED) / rows
    return np.sqrt(out)


def tied_pairs(negative: Ints, positive: Ints) -> float:
    """The share of pairs of a negative and a positive row that lie in one cell; shapes (cells,), both with rows."""
    return float(negative.astype(np.float64) @ positive / (float(negative.sum()) * float(positive.sum())))


def roc_auc_interval(area: Area, negatives: float, positives: float) -> Interval:
    """On the logit. Of a class with up to FEW rows also what Newcombe's score interval holds, whose error is that of the area that may be:
    the ranks of few rows seldom show the one that lies far behind."""
    fewer = min(negatives, positives)
    low, high = logit(area.value, area.error if fewer > 1 else 0.0, fewer, student(area.freedom))
    if fewer > FEW or not math.isfinite(low):
        return low, high
    ends = newcombe(area.value, negatives, positives)
    return min(low, ends[0]), max(high, ends[1])


def newcombe(area: float, negatives: float, positives: float) -> Interval:
    """The areas from which this one lies no more than Z of their own standard errors (Newcombe 2006, method 5, after Hanley and McNeil)."""

    def out(true: float) -> float:
        more = (negatives + positives) / 2.0 - 1.0
        spread = true * (1.0 - true) * (1.0 + more * ((1.0 - true) / (2.0 - true) + true / (1.0 + true)))
        return (area - true) ** 2 * negatives * positives - Z**2 * spread

    ends = []
    for far in (0.0, 1.0):
        near, away = area, far  # out is at most 0 at the area itself, above 0 away from it
        for _ in range(40):
            middle = (near + away) / 2.0
            near, away = (middle, away) if out(middle) <= 0.0 else (near, middle)
        ends.append(away)
    return ends[0], ends[1]


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

    A greatest distance is found where chance has added to it: the true one may be less by the greatest that chance adds anywhere (triangle
    inequality; 97.5 % of draws), and more by what it takes off at the place where it was found, for it is no less than there.
    """
    m, n = float(negative.sum()), float(positive.sum())
    if m <= 0 or n <= 0:
        return math.nan, *NONE
    below_negative, below_positive = np.cumsum(negative) / m, np.cumsum(positive) / n
    at = int(np.argmax(np.abs(below_negative - below_positive)))
    f, t = float(below_negative[at]), float(below_positive[at])
    distance, error = abs(f - t), math.sqrt(f * (1 - f) / m + t * (1 - t) / n)
    low = max(0.0, distance - _greatest_noise(below_negative, below_positive, m, n))
    return distance, low, min(1.0, distance + Z * error)


def _greatest_noise(below_negative: Floats, below_positive: Floats, m: float, n: float) -> float:
    """The 97.5 % quantile of the greatest distance between what chance adds to two distribution functions of m and n rows.

    From Brownian bridges over both, at the ends of PLACES stretches of equal rows or at each row. Each has a row more that lies as the other
    class's do: the steps of few rows would hide what lies between them.
    """
    below_negative, below_positive = (
        (m * below_negative + below_positive) / (m + 1.0),
        (n * below_positive + below_negative) / (n + 1.0),
    )
    pooled = (below_negative + below_positive) / 2.0
    ends = np.flatnonzero(np.diff(np.floor(pooled * PLACES), prepend=0.0))
    steps = _steps()[:, :, : len(ends)]
    out = np.zeros((REPLICATES, len(ends)))
    for side, below, rows in ((0, below_negative[ends], m), (1, below_positive[ends], n)):
        walk = np.cumsum(steps[:, side] * np.sqrt(np.diff(below, prepend=0.0)), axis=1)
        out += (walk - below * walk[:, -1:]) / math.sqrt(rows) * (1 if side else -1)
    return float(np.quantile(np.abs(out).max(axis=1), 0.975))


@cache
def _steps() -> Floats:
    return np.random.default_rng(SEED).standard_normal((REPLICATES, 2, PLACES))
