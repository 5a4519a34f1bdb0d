"""SageMaker Model Monitor, as deequ's analyzers/Distance.scala computes it: the greatest distance, less what chance gives.

robust = max(0, L-infinity - 1.8 sqrt((n + m) / (n m))); 1.8 stands for a level of 0.003 (Knuth 1998, 3.3.1, eq. 15).
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Floats
from detectors.formulas.common import Counts, Found, by_category

C_ALPHA = 1.8
NAMES = {
    "linf_robust": "greatest distance of the distribution functions, or of a category's share, less what chance gives",
    "linf": "the same, uncorrected",
}


def numeric(reference: Floats, current: Floats) -> Found:
    r, c = np.sort(reference), np.sort(current)
    places = np.concatenate([r, c])
    gap = np.searchsorted(r, places, side="right") / len(r) - np.searchsorted(c, places, side="right") / len(c)
    return _corrected(float(np.abs(gap).max()), len(r), len(c))


def category(reference: Counts, current: Counts) -> Found:
    first, second = by_category(reference, current)
    n, m = first.sum(), second.sum()
    return _corrected(float(np.abs(first / n - second / m).max()), n, m)


def _corrected(distance: float, n: float, m: float) -> Found:
    return {"linf_robust": max(0.0, distance - C_ALPHA * math.sqrt((n + m) / (float(n) * m))), "linf": distance}
