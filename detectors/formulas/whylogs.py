"""whylogs 1.6, viz/drift/column_drift_algorithms.py: Kolmogorov-Smirnov for numbers, chi-square for strings.

whylogs reads quantiles and distribution functions off a KLL sketch, which is exact for some hundred rows and random
beyond; here they are exact. KLL's rank counts the values below, and a quantile is the value of rank q n.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Floats
from detectors.formulas.common import Asked, Counts, Found

QUANTILES = np.linspace(0.0, 1.0, 100)
MOST_BUCKETS, ROWS_A_BUCKET = 30, 4
NAMES = {
    "ks_p": "p-value of Kolmogorov-Smirnov on 100 quantiles (its default for numbers)",
    "ks": "Kolmogorov-Smirnov distance on 100 quantiles",
    "hellinger": "Hellinger distance in at most 30 bins of equal width",
    "chi2_p": "p-value of its chi-square (its default for strings)",
    "chi2": "its chi-square: expected rows are cut to whole numbers, infinite where one of them is 0",
}
ASKED: dict[str, Asked] = {}


def numeric(reference: Floats, current: Floats) -> Found:
    from scipy.stats import kstwo

    r, c = np.sort(reference), np.sort(current)
    n, m = len(r), len(c)
    places = np.concatenate([_quantiles(r), _quantiles(c)])
    gap = np.searchsorted(c, places, side="left") / m - np.searchsorted(r, places, side="left") / n
    distance = float(np.abs(gap).max())
    p = float(kstwo.sf(distance, np.round(n * m / (n + m))))
    return {"ks_p": p, "ks": distance, "hellinger": _hellinger(r, c)}


def category(reference: Counts, current: Counts, missing: tuple[int, int] = (0, 0)) -> Found:
    """missing: rows of both sides without a value. whylogs' totals hold them, its frequent items do not."""
    from scipy.special import chdtrc

    n, m = sum(reference.values()) + missing[0], sum(current.values()) + missing[1]
    statistic = 0.0
    for name in sorted(set(reference) | set(current)):
        expected = int(reference.get(name, 0) / n * m)
        if expected == 0:
            statistic = math.inf
            break
        statistic += (current.get(name, 0) - expected) ** 2 / expected
    freedom = max(1, len(current) - 1)
    return {"chi2_p": 0.0 if math.isinf(statistic) else float(chdtrc(freedom, statistic)), "chi2": statistic}


def _quantiles(ordered: Floats) -> Floats:
    n = len(ordered)
    at = np.minimum((QUANTILES * n).astype(np.int64), n - 1)
    return ordered[at]


def _hellinger(r: Floats, c: Floats) -> float:
    start, end = min(r[0], c[0]), max(r[-1], c[-1])
    end += abs(end) * 1e-7 if end != 0 else 1e-7
    buckets = max(min(math.ceil((len(r) + len(c)) / ROWS_A_BUCKET), MOST_BUCKETS), 2)
    width = (end - start) / buckets
    edges = np.array([-np.inf, *(start + i * width for i in range(buckets + 1)), np.inf])
    p, q = np.histogram(r, edges)[0] / len(r), np.histogram(c, edges)[0] / len(c)
    return float(np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum()) / math.sqrt(2.0))
