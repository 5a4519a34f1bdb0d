"""Scouter 0.25 (scouter_drift): PSI over the reference's deciles, 1e-10 added to each share.

A decile lies between two values (Hyndman and Fan's type 7, numpy's "linear", but in Scouter's order of operations: where a
decile is a value, rounding may leave it below, and the rows of that value in the next bin), and belongs to the bin below it. Bins of equal
width, as many as Doane's rule gives, are asked for by name. Categories are those of the reference: what it lacks has no bin.
Its process control (SPC) is of samples of 25 rows in the order of arrival, which a window does not keep; its custom metrics
are the user's own numbers, which events carry here too (`numbers`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.columns import Floats
from detectors.formulas.common import Asked, Counts, Found, by_category

EPSILON = 1e-10
DECILES = np.arange(1, 10) / 10.0
NAMES = {
    "psi": "PSI over the reference's deciles",
    "psi_threshold": "its default limit: chi-square's 95 % quantile, bins - 1 degrees, / rows of the window",
}


def numeric(reference: Floats, current: Floats) -> Found:
    edges = _deciles(reference)
    return _psi(_shares(reference, edges), _shares(current, edges), len(current))


def category(reference: Counts, current: Counts) -> Found:
    first, second = by_category(reference, current)
    known = first > 0
    return _psi(first[known] / first.sum(), second[known] / second.sum(), int(second.sum()))


def _deciles(values: Floats) -> Floats:
    ordered, n = np.sort(values), len(values)
    at = n * DECILES + (1.0 - DECILES)  # counted from one
    low = np.floor(at)
    part = at - low
    first = np.maximum(low.astype(np.int64) - 1, 0)
    out: Floats = (1.0 - part) * ordered[first] + part * ordered[np.minimum(first + 1, n - 1)]
    return out


def equal_width(reference: Floats, current: Floats) -> float:
    low, high, n = float(reference.min()), float(reference.max()), len(reference)
    std = float(reference.std())
    if low == high or n < 3:
        raise ValueError("Scouter makes no bins of equal width of a constant, or of less than three rows")
    skew = float(((reference - reference.mean()) ** 3).mean()) / std**3
    spread = math.sqrt(6.0 * (n - 2) / ((n + 1) * (n + 3)))
    bins = math.floor(1.0 + math.log2(n) + math.log2(1.0 + abs(skew) / spread) + 0.5)
    edges = low + (high - low) / bins * np.arange(1, bins, dtype=np.float64)
    return _psi(_shares(reference, edges), _shares(current, edges), len(current))["psi"]


def _shares(values: Floats, edges: npt.NDArray[np.floating[Any]]) -> Floats:
    out: Floats = np.diff(np.searchsorted(np.sort(values), edges, side="right"), prepend=0, append=len(values)) / len(values)
    return out


def _psi(p: Floats, q: Floats, rows: int) -> Found:
    from scipy.special import chdtri

    p, q = p + EPSILON, q + EPSILON
    threshold = float(chdtri(len(p) - 1, 0.05)) / rows if len(p) > 1 else math.nan
    return {"psi": float(((p - q) * np.log(p / q)).sum()), "psi_threshold": threshold}


ASKED = {"psi_equal_width": Asked("PSI over bins of equal width of the reference, as many as Doane's rule gives", equal_width)}
