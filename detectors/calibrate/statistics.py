"""The statistics over bins, for many samples at once: what detectors/drift.py computes for one pair, and cells add up to.

Each is a part a cell, of the shares of reference and window and their rows n and m, in any shapes that numpy joins: what depends on one
side alone is computed on that side alone. `of` takes shares of shape (draws, cells) and gives shape (draws,).
tests/test_calibrate.py holds that they equal the registry's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from detectors.columns import Floats
from detectors.drift import FLOOR

Statistic = Callable[[Floats, Floats, int, int], Floats]


def _jensen_shannon(p: Floats, q: Floats, n: int, m: int) -> Floats:
    both = p + q
    found = _self(p) + _self(q) - both * np.log(np.maximum(both, _LEAST) / 2.0)
    return np.asarray(np.maximum(found, 0.0) / np.log(4.0))


def _psi(p: Floats, q: Floats, n: int, m: int) -> Floats:
    p, q = np.maximum(p, FLOOR), np.maximum(q, FLOOR)
    return np.asarray((q - p) * (np.log(q) - np.log(p)))


def _kullback_leibler(p: Floats, q: Floats, n: int, m: int) -> Floats:
    return np.asarray(_self(q) - q * np.log(np.maximum(p, FLOOR)))


def _hellinger(p: Floats, q: Floats, n: int, m: int) -> Floats:
    apart = np.sqrt(p) - np.sqrt(q)
    return np.asarray(apart * apart / 2.0)


def _total_variation(p: Floats, q: Floats, n: int, m: int) -> Floats:
    return np.asarray(np.abs(p - q) / 2.0)


def _chi_square(p: Floats, q: Floats, n: int, m: int) -> Floats:
    apart = p - q
    return np.asarray(apart * apart / np.maximum(p / m + q / n, _LEAST))


def _g_test(p: Floats, q: Floats, n: int, m: int) -> Floats:
    pooled = float(n) * p + float(m) * q
    found = n * _self(p) + m * _self(q) - pooled * np.log(np.maximum(pooled, _LEAST) / (float(n) + m))
    return np.asarray(2.0 * np.maximum(found, 0.0))


def _cramers_v(p: Floats, q: Floats, n: int, m: int) -> Floats:
    return np.asarray(_chi_square(p, q, n, m) / (float(n) + m))


_LEAST = 1e-300  # stands for a share of nothing, whose part is 0


def _self(p: Floats) -> Floats:
    """p ln p, 0 where p is 0."""
    return np.asarray(p * np.log(np.maximum(p, _LEAST)))


@dataclass(frozen=True, slots=True)
class OverBins:
    """A statistic of unordered bins. power: it shrinks with (1/N + 1/M) to the power of half of this.

    part: of each cell, which add up to it. root: which add up to its square. greatest: of which it is twice the greatest.
    """

    part: Statistic
    power: int = 1
    root: bool = False
    greatest: bool = False

    def of(self, p: Floats, q: Floats, n: int, m: int) -> Floats:
        parts = self.part(p, q, n, m)
        if self.greatest:
            return np.asarray(2.0 * parts.max(axis=1))
        found = parts.sum(axis=1)
        return np.asarray(np.sqrt(np.maximum(found, 0.0)) if self.root else found)


OVER_BINS: dict[str, OverBins] = {
    "js": OverBins(_jensen_shannon, root=True),
    "psi": OverBins(_psi, 2),
    "kl": OverBins(_kullback_leibler, 2),
    "hellinger": OverBins(_hellinger, root=True),
    "tv": OverBins(_total_variation),
    "linf": OverBins(_total_variation, greatest=True),
    "chi2": OverBins(_chi_square, 0),
    "g_test": OverBins(_g_test, 0),
    "cramers_v": OverBins(_cramers_v, root=True),
}
