"""Scouter, crates/scouter_drift/src/psi/monitor.rs: PSI over the reference's deciles, 1e-10 added to each share.

A decile is the value of rank floor(i (n - 1) / 10), without interpolation, and belongs to the bin below it.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Floats
from detectors.formulas.common import Counts, Found, by_category

EPSILON = 1e-10
LEAST_ROWS = 10  # of the reference
NAMES = {
    "psi": "PSI over the reference's deciles",
    "psi_threshold": "its default limit: chi-square's 95 % quantile, bins - 1 degrees, / rows of the window",
}


def numeric(reference: Floats, current: Floats) -> Found:
    if np.isin(reference, (0.0, 1.0)).all():
        return category(_binary(reference), _binary(current))
    if len(reference) < LEAST_ROWS:
        return {"psi": math.nan, "psi_threshold": math.nan}
    ranks = np.floor(np.arange(1, 10, dtype=np.float32) * np.float32(len(reference) - 1) / np.float32(10.0)).astype(np.int64)
    deciles = np.sort(reference)[ranks]
    p, q = (
        np.diff(np.searchsorted(np.sort(side), deciles, side="right"), prepend=0, append=len(side)) / len(side)
        for side in (reference, current)
    )
    return _psi(p, q, len(current))


def category(reference: Counts, current: Counts) -> Found:
    first, second = by_category(reference, current)
    return _psi(first / first.sum(), second / second.sum(), int(second.sum()))


def _binary(values: Floats) -> Counts:
    ones = int((values == 1.0).sum())
    return {"0": len(values) - ones, "1": ones}


def _psi(p: Floats, q: Floats, rows: int) -> Found:
    from scipy.special import chdtri

    p, q = p + EPSILON, q + EPSILON
    threshold = float(chdtri(len(p) - 1, 0.05)) / rows if len(p) > 1 else math.nan
    return {"psi": float(((p - q) * np.log(p / q)).sum()), "psi_threshold": threshold}
