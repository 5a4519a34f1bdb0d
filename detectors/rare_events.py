"""How likely a count of events is where few are expected: the errors of a window, its positives.

A window's count is a sum of independent rows that each have the chance of their kind. Where that is small the sum is no normal
deviate: of 60 rows that are wrong once in a hundred, more than half of all windows hold no error, and one error is nothing odd. So the
law of the count is the one of its family that has its mean and variance: binomial where the variance is less than the mean (the sum of
unlike chances, Hodges, Le Cam 1960), Poisson, or negative binomial where it is greater, as the chances themselves are known from few rows.
"""

from __future__ import annotations

from scipy.special import betainc, gammainc, gammaincc

NEAR = 1e-6  # of the mean: nearer than that to it, the variance is Poisson's


def count_p(found: float, mean: float, variance: float) -> float:
    """Two-sided p-value of a count >= 0, half of its own probability left out (Lancaster 1961).

    mean and variance > 0, of the count where nothing has changed.
    """
    upto, below = _upto(found, mean, variance), _upto(found - 1.0, mean, variance)
    beyond, over = _beyond(found, mean, variance), _beyond(found - 1.0, mean, variance)
    own = max(0.0, upto - below, over - beyond)
    return min(1.0, 2.0 * min(below, beyond) + own)


def _upto(k: float, mean: float, variance: float) -> float:
    """P(count <= k)."""
    return 1.0 if _over_all(k, mean, variance) else 0.0 if k < 0 else _tails(k, mean, variance)[0]


def _beyond(k: float, mean: float, variance: float) -> float:
    """P(count > k), exact where it is small."""
    return 0.0 if _over_all(k, mean, variance) else 1.0 if k < 0 else _tails(k, mean, variance)[1]


def _over_all(k: float, mean: float, variance: float) -> bool:
    return variance < mean * (1.0 - NEAR) and k >= mean * mean / (mean - variance)


def _tails(k: float, mean: float, variance: float) -> tuple[float, float]:
    if abs(variance - mean) <= NEAR * mean:
        return float(gammaincc(k + 1.0, mean)), float(gammainc(k + 1.0, mean))
    if variance < mean:
        rows, chance = mean * mean / (mean - variance), (mean - variance) / mean
        return float(betainc(rows - k, k + 1.0, 1.0 - chance)), float(betainc(k + 1.0, rows - k, chance))
    size, chance = mean * mean / (variance - mean), mean / variance
    return float(betainc(size, k + 1.0, chance)), float(betainc(k + 1.0, size, 1.0 - chance))
