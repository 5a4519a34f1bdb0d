"""Calibration of the probabilities of many classes or labels, each against the rest, in the bins of calibration.py.

    ece:NAME            expected calibration error of one class                    (detectors/labelled/calibration.py)
    classwise_ece       their mean over the classes                               (Kull, Perello-Nieto et al. 2019)
    brier_reliability   sum over bins of share x (rate - mean score)^2            (Murphy 1973; 1972 for many classes)
    brier_resolution    sum over bins of share x (rate - overall rate)^2
    brier_uncertainty   overall rate x (1 - overall rate)

The last three are added up over classes that exclude each other, as Brier's score of 1950 is, and averaged over labels that do not.
Reliability - resolution + uncertainty is exactly Brier's score of the bins' mean scores. It differs from Brier's score of the
rows by what scores vary inside a bin, at most 1/16 wide.

ECE and the root of the reliability are norms: chance moves them by at most the norm of what it adds to the bins' rates.
Intervals are as far to either side as that norm's 97.5 % quantile, from its first two moments (Wilson and Hilferty's cube root
for sums of squares); the resolution's is that of calibration.py. Of many classes together: as if they erred together, so that they
hold at least as often as they say; but for the uncertainty of classes that exclude each other, which is one of their counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from detectors.columns import Floats, Ints
from detectors.labelled.calibration import (
    CURVE,
    binned,
    rate_variance,
    reliability_curve,
    resolution_ends,
    uncertainty_ends,
    uncertainty_of_classes,
)
from detectors.labelled.intervals import Z
from detectors.labelled.tally import Metric

PARTS = ("brier_reliability", "brier_resolution", "brier_uncertainty")
NAMES = ("classwise_ece", *PARTS)


def classwise(cells: Ints, edges: Floats, classes: Sequence[str], each: int, mean: bool) -> list[Metric]:
    """The metrics above; those of one class for the `each` that occur most. Empty without rows.

    cells: counts of rows that are not and that are of the class, shape (classes, 2, len(edges) + 1). mean: average, not sum.
    """
    found = [binned(own, edges) for own in cells]
    counts, sums = np.stack([c for c, _ in found]), np.stack([s for _, s in found])  # (classes, 2, BINS), (classes, BINS)
    held = counts.sum(axis=1)
    rows = int(held[0].sum())
    if rows <= 0:
        return []
    values, lows, highs = _each(counts, held, sums)
    out = []
    for i, name in enumerate(NAMES):
        shared = len(classes) if mean or name == "classwise_ece" else 1
        value, low, high = (float(side[i].sum()) / shared for side in (values, lows, highs))
        if name == "brier_uncertainty" and not mean:
            low, high = uncertainty_of_classes(counts[:, 1].sum(axis=1).astype(np.float64))
        out.append(Metric(name, value, min(low, value), max(high, value), rows))
    for k in np.argsort(-counts[:, 1].sum(axis=1), kind="stable")[:each].tolist():
        for i, name in enumerate(("ece", *PARTS)):
            value, low, high = (float(side[i, k]) for side in (values, lows, highs))
            evidence = {CURVE: reliability_curve(counts[k], sums[k])} if name == "ece" else {}
            out.append(Metric(f"{name}:{classes[k]}", value, min(low, value), max(high, value), rows, evidence))
    return out


def _each(counts: Ints, held: Ints, sums: Floats) -> tuple[Floats, Floats, Floats]:
    """Values and the ends of their intervals, shape (4, classes) each: ECE, reliability, resolution, uncertainty."""
    rows = held.sum(axis=1)
    share = held / rows[:, None]
    some = np.maximum(held, 1)
    rate, mean_score = counts[:, 1] / some, sums / some
    overall = counts[:, 1].sum(axis=1) / rows
    gap = np.where(held > 0, np.abs(rate - mean_score), 0.0)
    of_rate = np.where(held > 0, rate - overall[:, None], 0.0)
    values = np.stack([
        (share * gap).sum(axis=1), (share * gap**2).sum(axis=1), (share * of_rate**2).sum(axis=1), overall * (1.0 - overall),
    ])  # fmt: skip
    variance = rate_variance(counts)
    linear = (share * np.sqrt(2.0 / math.pi * variance)).sum(axis=1)
    linear += Z * np.sqrt((1.0 - 2.0 / math.pi) * (share**2 * variance).sum(axis=1))
    square = np.sqrt(_greatest((share * variance).sum(axis=1), 2.0 * (share**2 * variance**2).sum(axis=1)))
    root = np.sqrt(values[1])
    resolution = resolution_ends(counts)
    ends = np.array([uncertainty_ends(float(hits), float(n)) for hits, n in zip(counts[:, 1].sum(axis=1), rows, strict=True)])
    lows = np.stack([np.maximum(0.0, values[0] - linear), np.maximum(0.0, root - square) ** 2, resolution[0], ends[:, 0]])
    highs = np.stack([np.minimum(1.0, values[0] + linear), np.minimum(1.0, root + square) ** 2, resolution[1], ends[:, 1]])
    if int(rows[0]) < 2:
        lows[:3], highs[:3] = math.nan, math.nan
    return values, lows, highs


def _greatest(mean: Floats, variance: Floats) -> Floats:
    """The 97.5 % quantile of a weighted sum of squared normals, as of a chi-square of the same mean and variance."""
    part = variance / (9.0 * mean**2)  # 2 / (9 degrees of freedom)
    out: Floats = mean * (1.0 - part + Z * np.sqrt(part)) ** 3
    return out
