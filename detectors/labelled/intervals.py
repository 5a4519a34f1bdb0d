"""Confidence intervals at 95 % from counts and sums; each function says whose formula it is.

What few rows show is skewed, and its scatter uncertain: means and areas have Student's quantile, on a scale where their range ends
nowhere (logarithm, logit), ratios of counts the ends of Wilson's. Variances of counts are those of a multinomial.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrik, betainc, stdtrit

from detectors.columns import Floats

Z = 1.959963984540054  # the normal distribution's 97.5 % quantile
REPLICATES = 200
SEED = 20260101
Interval = tuple[float, float]
NONE: Interval = (math.nan, math.nan)
Range = Literal["number", "positive", "share"]  # of what a mean is taken: any number, 0 and above, 0 to 1


def wilson(hits: float, rows: float) -> Interval:
    """The score interval of a share (Wilson 1927): sound also near 0 and 1. NaN without rows."""
    if rows <= 0:
        return NONE
    share = hits / rows
    middle = (share + Z**2 / (2 * rows)) / (1 + Z**2 / rows)
    half = Z / (1 + Z**2 / rows) * math.sqrt(max(0.0, share * (1 - share) / rows + Z**2 / (4 * rows**2)))
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))  # rounding may pass the share itself


def wilsons(hits: Floats, rows: Floats, quantile: float = Z) -> tuple[Floats, Floats]:
    """The same of many shares, shapes (k,); all of 0 to 1 where there are no rows."""
    n, z = np.maximum(rows, 1.0), quantile
    share = hits / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(np.maximum(0.0, share * (1 - share) / n + z**2 / (4 * n**2)))
    some = rows > 0
    return np.where(some, np.clip(middle - half, 0.0, share), 0.0), np.where(some, np.clip(middle + half, share, 1.0), 1.0)


@lru_cache(1024)
def student(freedom: float) -> float:
    """The 97.5 % quantile of Student's t."""
    return float(stdtrit(max(1.0, freedom), 0.975))


def around(value: float, error: float, low: float = -math.inf, high: float = math.inf, quantile: float = Z) -> Interval:
    """value and so many standard errors on both sides, cut at bounds."""
    return max(low, value - quantile * error), min(high, value + quantile * error)


def mean_interval(total: float, total_sq: float, rows: float, of: Range = "number") -> tuple[float, float, float]:
    """A mean with its interval from the sum and the sum of squares; NaN without rows, no interval for one row.

    Student's t, of what cannot be less than 0 for the logarithm, of shares for the logit: a loss has a long tail to the right, and its
    mean and standard deviation go together. With a skewness of 1.5 coefficients of variation the logarithm takes off just what the skewness
    adds to t (Hall 1992, "On the removal of skewness by transformation").
    """
    if rows <= 0:
        return math.nan, *NONE
    mean = total / rows
    if rows < 2:
        return mean, *NONE
    error = math.sqrt(max(0.0, total_sq / rows - mean**2) / (rows - 1))
    if of == "share":
        return mean, *logit(mean, error, rows, student(rows - 1))
    if of == "positive" and mean > 0.0:
        return mean, *logarithmic(mean, error, student(rows - 1))
    return mean, *around(mean, error, quantile=student(rows - 1))


def logarithmic(value: float, error: float, quantile: float = Z) -> Interval:
    """An interval of a value above 0 by the delta method on its logarithm."""
    factor = math.exp(min(700.0, quantile * error / value))
    return value / factor, value * factor


def skewed(mean: float, error: float, skewness: float, rows: float) -> Interval:
    """An interval of a mean of skewed values: Student's t through the cubic that takes the skewness off it (Hall 1992).

    Of few rows of a long tail the sample shows less skewness than there is; so whoever calls gives at least what the values' kind has.
    """
    a = skewness / (3.0 * math.sqrt(rows))
    if a <= 0.0:
        return around(mean, error, quantile=student(rows - 1))
    ends = (1.0 + 3.0 * a * (sign * student(rows - 1) - a / 2.0) for sign in (1.0, -1.0))
    low, high = (mean - error * (math.cbrt(end) - 1.0) / a for end in ends)
    return low, high


def logit(value: float, error: float, certain_rows: float, quantile: float = Z) -> Interval:
    """An interval inside (0, 1) by the delta method on the logit; at the ends that of a share of certain_rows."""
    if not 0.0 < value < 1.0 or error <= 0.0:
        return wilson(value * certain_rows, certain_rows) if math.isfinite(value) else NONE
    middle, half = math.log(value / (1 - value)), quantile * error / (value * (1 - value))
    return 1 / (1 + math.exp(min(700.0, half - middle))), 1 / (1 + math.exp(-min(700.0, middle + half)))


def recovered(
    values: Floats, lows: Floats, highs: Floats, together: float = 1.0, correlation: Floats | None = None
) -> tuple[float, float]:
    """How far the interval of a sum lies below and above it, from those of its terms, shapes (k,).

    Roots of the sums of squared distances (Zou and Donner 2008, "Construction of confidence limits about effect measures"); with the
    terms' correlation, shape (k, k), of that of their products too (Zou 2007). together: the standard error of the sum over that of
    independent terms, where that is known instead.
    """
    down, up = values - lows, highs - values
    if correlation is not None:
        below, above = (math.sqrt(max(0.0, float(off @ correlation @ off))) for off in (down, up))
        return below, above
    return tuple(together * float(np.sqrt(np.square(off).sum())) for off in (down, up))  # type: ignore[return-value]


def delta_error(gradient: npt.ArrayLike, shares: npt.ArrayLike, rows: float) -> float:
    """The standard error of a smooth function of a multinomial's shares, from its gradient (the delta method)."""
    g, p = np.asarray(gradient, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    variance = float((g * g * p).sum() - (g * p).sum() ** 2)
    return math.sqrt(max(0.0, variance) / rows) if rows > 0 else math.nan


def quantile_ranks(q: float, rows: int) -> Interval:
    """The ranks, 1 the least, between whose order statistics a quantile lies: fractions, and less than 1 or more than rows at the ends.

    The value of rank r has a share of the distribution below it that is Beta(r, rows + 1 - r), also where r is no whole number
    (Hutson 1999, "Calculating nonparametric confidence intervals for quantiles using fractional order statistics").
    """
    return _lower_rank(q, rows), rows + 1.0 - _lower_rank(1.0 - q, rows)


def _lower_rank(q: float, rows: int) -> float:
    """r with P(Beta(r, rows + 1 - r) < q) = 97.5 %."""
    if betainc(1.0, rows, q) >= 0.975:
        return 1.0 + float(bdtrik(0.025, rows, q))
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2.0
        low, high = (middle, high) if betainc(middle, rows + 1.0 - middle, q) > 0.975 else (low, middle)
    return high
