"""Confidence intervals at 95 % from counts and sums; each function says whose formula it is.

Normal approximations throughout but where a share is near 0 or 1. Variances of counts are those of a multinomial.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Z = 1.959963984540054  # the normal distribution's 97.5 % quantile
REPLICATES = 200
SEED = 20260101
Interval = tuple[float, float]
NONE: Interval = (math.nan, math.nan)


def wilson(hits: float, rows: float) -> Interval:
    """The score interval of a share (Wilson 1927): sound also near 0 and 1. NaN without rows."""
    if rows <= 0:
        return NONE
    share = hits / rows
    middle = (share + Z**2 / (2 * rows)) / (1 + Z**2 / rows)
    half = Z / (1 + Z**2 / rows) * math.sqrt(max(0.0, share * (1 - share) / rows + Z**2 / (4 * rows**2)))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))  # rounding may pass the share itself


def around(value: float, error: float, low: float = -math.inf, high: float = math.inf) -> Interval:
    """value and Z standard errors on both sides, cut at bounds."""
    return max(low, value - Z * error), min(high, value + Z * error)


def mean_interval(total: float, total_sq: float, rows: float) -> tuple[float, float, float]:
    """A mean with its interval from the sum and the sum of squares; NaN without rows, no interval for one row."""
    if rows <= 0:
        return math.nan, *NONE
    mean = total / rows
    if rows < 2:
        return mean, *NONE
    variance = max(0.0, total_sq / rows - mean**2) * rows / (rows - 1)
    return mean, *around(mean, math.sqrt(variance / rows))


def logit(value: float, error: float, certain_rows: float) -> Interval:
    """An interval inside (0, 1) by the delta method on the logit; at the ends that of a share of certain_rows."""
    if not 0.0 < value < 1.0 or error <= 0.0:
        return wilson(value * certain_rows, certain_rows) if math.isfinite(value) else NONE
    middle, half = math.log(value / (1 - value)), Z * error / (value * (1 - value))
    return 1 / (1 + math.exp(-(middle - half))), 1 / (1 + math.exp(-min(700.0, middle + half)))


def share_error(hits: float, rows: float) -> float:
    """The standard error of a share with two successes and two failures added (Agresti and Coull 1998)."""
    share = (hits + 2.0) / (rows + 4.0)
    return math.sqrt(share * (1 - share) / (rows + 4.0))


def delta_error(gradient: npt.ArrayLike, shares: npt.ArrayLike, rows: float) -> float:
    """The standard error of a smooth function of a multinomial's shares, from its gradient (the delta method)."""
    g, p = np.asarray(gradient, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    variance = float((g * g * p).sum() - (g * p).sum() ** 2)
    return math.sqrt(max(0.0, variance) / rows) if rows > 0 else math.nan


def quantile_levels(q: float, rows: float) -> Interval:
    """The levels between whose empirical quantiles the true one lies: ranks of a binomial."""
    half = Z * math.sqrt(q * (1 - q) / rows) if rows > 0 else math.nan
    return max(0.0, q - half), min(1.0, q + half)
