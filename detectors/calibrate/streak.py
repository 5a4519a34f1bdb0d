"""What a streak of windows is worth: a rule that waits for k bad windows in a row can have wider limits.

Two windows that are scored against one reference share its error, two that overlap share rows: they are correlated.
With one common factor of correlation rho, the chance that k windows in a row are all beyond z is

    integral of phi(u) Phi((sqrt(rho) u - z) / sqrt(1 - rho))^k du        (Dunnett and Sobel 1955)
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import log_ndtr, ndtri

from detectors.columns import Floats

_FACTOR = np.linspace(-9.0, 9.0, 721)
_DENSITY = np.exp(-(_FACTOR**2) / 2.0) / np.sqrt(2.0 * np.pi) * (_FACTOR[1] - _FACTOR[0])
_Z = np.linspace(-4.0, 9.0, 261)


def correlation(reference_rows: float, rows: float, overlap: float) -> float:
    """Of two windows in a row. overlap: the share of rows that they have in common."""
    common = rows / (rows + reference_rows) if rows + reference_rows > 0 else 0.0
    return common + (1.0 - common) * overlap


def streak_probability(single: Floats, windows: int, rho: float) -> Floats:
    """Chance that `windows` windows in a row are all as far out as probability `single` says, shape (m,)."""
    if windows <= 1:
        return single
    z, log = _curve(windows, round(min(max(rho, 0.0), 0.98), 2))
    found = np.interp(-ndtri(np.clip(single, 1e-18, 1.0 - 1e-9)), z, log)
    return np.asarray(np.minimum(np.exp(found), single))


@lru_cache(maxsize=1024)  # the same for all scores of as many rows
def single_probability(streak: float, windows: int, rho: float) -> float:
    """The other way: how rare one window must be so that a streak is as rare as `streak`."""
    if windows <= 1:
        return streak
    z, log = _curve(windows, round(min(max(rho, 0.0), 0.98), 2))
    at = float(np.interp(-np.log(max(streak, 1e-300)), -log, z))
    return float(np.exp(log_ndtr(-at)))


@lru_cache(maxsize=512)
def _curve(windows: int, rho: float) -> tuple[Floats, Floats]:
    """Points z, ascending, and the logarithm of a streak's probability there."""
    inner = (np.sqrt(rho) * _FACTOR[None, :] - _Z[:, None]) / np.sqrt(1.0 - rho)
    log = windows * log_ndtr(inner)
    return _Z, np.log(np.maximum(np.exp(log) @ _DENSITY, 1e-300))
