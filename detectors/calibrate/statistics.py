"""The statistics over bins, for many samples at once: what detectors/drift.py computes for one pair, and cells add up to.

Each takes the shares of reference and window, shape (draws, cells), and their rows n and m, and gives shape (draws,).
tests/test_calibrate.py holds that they equal the registry's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from detectors.columns import Floats
from detectors.drift import FLOOR

Statistic = Callable[[Floats, Floats, int, int], Floats]


def jensen_shannon(p: Floats, q: Floats, n: int, m: int) -> Floats:
    middle = (p + q) / 2.0
    return np.asarray(np.sqrt(np.maximum(0.0, (_against(p, middle) + _against(q, middle)) / np.log(4.0))))


def psi(p: Floats, q: Floats, n: int, m: int) -> Floats:
    p, q = np.maximum(p, FLOOR), np.maximum(q, FLOOR)
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=1))


def kullback_leibler(p: Floats, q: Floats, n: int, m: int) -> Floats:
    return _against(q, np.maximum(p, FLOOR))


def hellinger(p: Floats, q: Floats, n: int, m: int) -> Floats:
    return np.asarray(np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum(axis=1) / 2.0))


def total_variation(p: Floats, q: Floats, n: int, m: int) -> Floats:
    return np.asarray(np.abs(p - q).sum(axis=1) / 2.0)


def l_infinity(p: Floats, q: Floats, n: int, m: int) -> Floats:
    return np.asarray(np.abs(p - q).max(axis=1))


def chi_square(p: Floats, q: Floats, n: int, m: int) -> Floats:
    pooled = (n * p + m * q) / (n + m)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(pooled > 0, (p - q) ** 2 / pooled, 0.0)
    return np.asarray(parts.sum(axis=1) * (float(n) * m / (n + m)))


def g_test(p: Floats, q: Floats, n: int, m: int) -> Floats:
    pooled = (n * p + m * q) / (n + m)
    return np.asarray(2.0 * (n * _against(p, pooled) + m * _against(q, pooled)))


def cramers_v(p: Floats, q: Floats, n: int, m: int) -> Floats:
    return np.asarray(np.sqrt(chi_square(p, q, n, m) / (n + m)))


def kolmogorov_smirnov(p: Floats, q: Floats, n: int, m: int) -> Floats:
    return np.asarray(np.abs(np.cumsum(p - q, axis=1)).max(axis=1))


def _against(p: Floats, q: Floats) -> Floats:
    """Sum of p ln(p / q), 0 where p is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(p > 0, p * np.log(p / q), 0.0).sum(axis=1))


@dataclass(frozen=True, slots=True)
class OverBins:
    """A statistic of unordered bins. power: it shrinks with (1/N + 1/M) to the power of half of this.

    root: its square is a sum of one part a cell, as the others are themselves.
    """

    of: Statistic
    power: int = 1
    root: bool = False


OVER_BINS: dict[str, OverBins] = {
    "js": OverBins(jensen_shannon, root=True),
    "psi": OverBins(psi, 2),
    "kl": OverBins(kullback_leibler, 2),
    "hellinger": OverBins(hellinger, root=True),
    "tv": OverBins(total_variation),
    "linf": OverBins(l_infinity),
    "chi2": OverBins(chi_square, 0),
    "g_test": OverBins(g_test, 0),
    "cramers_v": OverBins(cramers_v, root=True),
}
