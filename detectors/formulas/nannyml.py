"""NannyML 0.13, drift/univariate/methods.py: bins of the reference alone, by Doane; what lies outside them is a bin of its own.

Default: Jensen-Shannon distance, base 2, for both kinds. From 10,000 rows of the reference on, NannyML estimates
Kolmogorov-Smirnov and Wasserstein on 10,000 bins of equal width; so does this.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Floats
from detectors.formulas.common import Asked, Counts, Found, by_category, distances, jensen_shannon

ESTIMATED_FROM = BINS = 10_000
NAMES = {
    "jensen_shannon": "Jensen-Shannon distance, base 2 (its default)",
    "hellinger": "Hellinger distance in its bins",
    "kolmogorov_smirnov": "Kolmogorov-Smirnov statistic",
    "wasserstein": "Wasserstein distance in the feature's unit",
    "l_infinity": "greatest change of a category's share",
    "chi2": "chi-square statistic of the contingency table, Yates-corrected for two categories",
}
ASKED: dict[str, Asked] = {}


def numeric(reference: Floats, current: Floats) -> Found:
    edges = np.histogram_bin_edges(reference, bins="doane")
    p, q = np.histogram(reference, edges)[0] / len(reference), np.histogram(current, edges)[0] / len(current)
    p, q = _with_leftover(p, q)
    if len(reference) < ESTIMATED_FROM:
        ks, wasserstein, _ = distances(reference, current)
    else:
        ks, wasserstein = _kolmogorov_smirnov(reference, current), _wasserstein(reference, current)
    return {
        "jensen_shannon": jensen_shannon(p, q, 2.0),
        "hellinger": _hellinger(p, q),
        "kolmogorov_smirnov": ks,
        "wasserstein": wasserstein,
    }


def category(reference: Counts, current: Counts) -> Found:
    from scipy.stats import chi2_contingency

    n, m = sum(reference.values()), sum(current.values())
    names = sorted(reference)
    p = np.array([reference[name] / n for name in names])
    p, q = _with_leftover(p, np.array([current.get(name, 0) / m for name in names]))
    first, second = by_category(reference, current)
    return {
        "jensen_shannon": jensen_shannon(p, q, 2.0),
        "hellinger": _hellinger(p, q),
        "l_infinity": float(np.abs(first / n - second / m).max()),
        "chi2": float(chi2_contingency(np.stack([first, second])).statistic),
    }


def _with_leftover(p: Floats, q: Floats) -> tuple[Floats, Floats]:
    leftover = 1.0 - q.sum()
    return (np.append(p, 0.0), np.append(q, leftover)) if leftover > 0 else (p, q)


def _hellinger(p: Floats, q: Floats) -> float:
    return float(np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum()) / math.sqrt(2.0))


def _kolmogorov_smirnov(reference: Floats, current: Floats) -> float:
    counts, edges = np.histogram(reference, np.linspace(reference.min(), reference.max(), BINS + 1))
    below = float((current < edges[0]).mean())
    upto = below + np.cumsum(np.histogram(current, edges)[0] / len(current))
    return float(np.abs(np.cumsum(counts / len(reference)) - upto).max())


def _wasserstein(reference: Floats, current: Floats) -> float:
    counts, edges = np.histogram(reference, bins=BINS)
    low, high, width = edges[0], edges[-1], edges[1] - edges[0]
    smaller, bigger = current[current < low], current[current > high]
    before = (len(smaller) + 1) / len(current) if len(smaller) else 0.0
    after = (len(bigger) + 1) / len(current) if len(bigger) else 0.0
    x, upto = _steps(np.append(smaller, low))
    outside = float((upto[:-1] * np.diff(x)).sum()) * before
    x, upto = _steps(np.append(bigger, high))
    outside += float(((1.0 - upto)[:-1] * np.diff(x)).sum()) * after
    there = np.cumsum(np.histogram(current, edges)[0] / len(current)) + before
    return float((np.abs(np.cumsum(counts / len(reference)) - there) * width).sum()) + outside


def _steps(values: Floats) -> tuple[Floats, Floats]:
    x, counts = np.unique(values, return_counts=True)
    return x, np.cumsum(counts) / len(values)
