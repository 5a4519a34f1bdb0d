"""SageMaker Model Monitor, as deequ 2.1's analyzers/Distance.scala computes it: the greatest distance, less what chance gives.

robust = max(0, L-infinity - 1.8 sqrt((n + m) / (n m))); 1.8 stands for a level of 0.003 (Knuth 1998, 3.3.1, eq. 15).
The chi-square of categories is a test of fit to the reference's shares, after the rarest categories have been put together
(Cochran's rule for two, Yates' for more). deequ reads numbers off a KLL sketch; here, as in a sketch that nothing was dropped
from, they are exact. Its populationStabilityIndex takes buckets that the caller chose, and has none of its own.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Floats
from detectors.formulas.common import Asked, Counts, Found, by_category, distances

C_ALPHA = 1.8
COCHRAN = 10.0  # expected rows that each of two categories must have
YATES, YATES_SHARE = 5.0, 0.2  # of more than two, a fifth may have less
NAMES = {
    "linf_robust": "greatest distance of the distribution functions, or of a category's share, less what chance gives",
    "linf": "the same, uncorrected",
    "chi2_p": "p-value of chi-square of the categories that the reference has, rare ones put together",
    "chi2": "its statistic",
}
ASKED: dict[str, Asked] = {}


def numeric(reference: Floats, current: Floats) -> Found:
    return _corrected(distances(reference, current)[0], len(reference), len(current))


def category(reference: Counts, current: Counts) -> Found:
    first, second = by_category(reference, current)
    n, m = first.sum(), second.sum()
    statistic, p = _chi_square(reference, current)
    return _corrected(float(np.abs(first / n - second / m).max()), n, m) | {"chi2_p": p, "chi2": statistic}


def _corrected(distance: float, n: float, m: float) -> Found:
    return {"linf_robust": max(0.0, distance - C_ALPHA * math.sqrt((n + m) / (float(n) * m))), "linf": distance}


def _chi_square(reference: Counts, current: Counts) -> tuple[float, float]:
    """Statistic and p-value; NaN where fewer than two categories are left."""
    from scipy.special import chdtrc

    known = sum(rows for name, rows in current.items() if name in reference)
    if known == 0:
        return math.nan, math.nan
    n = sum(reference.values())
    expected = {name: rows / n * known for name, rows in reference.items()}
    seen, expected = _regrouped({name: float(current.get(name, 0)) for name in reference}, expected)
    if len(expected) < 2:
        return math.nan, math.nan
    statistic = sum((seen[name] - rows) ** 2 / rows for name, rows in expected.items())
    return statistic, float(chdtrc(len(expected) - 1, statistic))


def _regrouped(seen: dict[str, float], expected: dict[str, float]) -> tuple[dict[str, float], dict[str, float]]:
    """The rarest category is put to the next rarest until the rule holds; of equally rare ones deequ takes any, this the first."""
    while len(expected) >= 2:
        least, allowed = (YATES, int(YATES_SHARE * len(expected))) if len(expected) > 2 else (COCHRAN, 0)
        if sum(rows < least for rows in expected.values()) <= allowed:
            break
        rarest = min(sorted(expected), key=expected.__getitem__)
        rows, hits = expected.pop(rarest), seen.pop(rarest)
        nextone = min(sorted(expected), key=expected.__getitem__)
        expected[nextone] += rows
        seen[nextone] += hits
    return seen, expected
