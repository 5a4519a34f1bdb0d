"""Limit distributions of the tests that compare two distribution functions. scipy.special only: quick to import.

n and m are the rows of the reference and of the window; each function is cited beside its formula.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import gammaln, kv, stdtr

from detectors.columns import Floats
from detectors.kolmogorov import survival

_SIGNIFICANCE = np.array([0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.001])  # Scholz, Stephens 1987, table 1, as scipy extends it
_B0 = np.array([0.675, 1.281, 1.645, 1.96, 2.326, 2.573, 3.085])
_B1 = np.array([-0.245, 0.25, 0.678, 1.149, 1.822, 2.364, 3.615])
_B2 = np.array([-0.105, -0.305, -0.362, -0.391, -0.396, -0.345, -0.154])
_TERMS = np.arange(1.0, 51.0)  # of Kuiper's law
EXACT_SUMS = 20_000  # pooled rows up to which Anderson-Darling's variance is summed term by term


def kolmogorov_smirnov_p(distance: float, n: int, m: int) -> float:
    """Two-sided p-value, as scipy.stats.ks_2samp(method="asymp") has it, within 2e-6 (detectors/kolmogorov.py)."""
    return survival(distance, max(1, round(float(n) * m / (n + m))))


def kuiper_p(distance: float, n: int, m: int) -> float:
    """Kuiper 1960, with the term of order 1 / sqrt(N), N = nm / (n + m); as astropy and Frouros have it."""
    x = math.sqrt(float(n) * m / (n + m)) * distance
    if x < 0.4:
        return 1.0
    squares = (_TERMS * x) ** 2
    fall = np.exp(-2.0 * squares)
    first = 2.0 * float(((4.0 * squares - 1.0) * fall).sum())
    second = float((squares / (x * x) * (4.0 * squares - 3.0) * fall).sum())
    return min(1.0, max(0.0, first - 8.0 * distance / 3.0 * second))


def cramer_von_mises_p(statistic: float, n: int, m: int) -> float:
    """Anderson 1962: the statistic brought to the limit's mean and variance; as scipy's method="asymptotic"."""
    total, product = n + m, float(n) * m
    mean = (1.0 + 1.0 / total) / 6.0
    variance = (total + 1.0) * (4.0 * product * total - 3.0 * (float(m) ** 2 + float(n) ** 2) - 2.0 * product)
    variance /= 45.0 * float(total) ** 2 * 4.0 * product
    if variance <= 0:  # a row a side
        return math.nan
    x = 1.0 / 6.0 + (statistic - mean) / math.sqrt(45.0 * variance)
    return 1.0 if x < 0.003 else max(0.0, 1.0 - _cramer_von_mises_limit(x))


def _cramer_von_mises_limit(x: float) -> float:
    """Csörgő, Faraway 1996, equation 1.2: the limit's distribution function."""
    squares, logs, roots = _cramer_von_mises_terms()
    y = squares / (16.0 * x)
    with np.errstate(under="ignore"):
        terms = np.exp(logs - y) * roots * kv(0.25, y)
    return min(max(float(terms.sum()) / math.sqrt(x), 0.0), 1.0)


@lru_cache(maxsize=1)
def _cramer_von_mises_terms() -> tuple[Floats, Floats, Floats]:
    """Of the limit law, the parts that depend on nothing."""
    k: Floats = np.arange(20.0, dtype=np.float64)
    return (4.0 * k + 1.0) ** 2, gammaln(k + 0.5) - gammaln(k + 1.0) - math.log(math.pi) * 1.5, np.sqrt(4.0 * k + 1.0)


@lru_cache(maxsize=4096)
def anderson_darling_std(n: int, m: int) -> float:
    """The standard deviation of the two-sample statistic under no change (Scholz, Stephens 1987, equation 4)."""
    total = n + m
    if total < 4:
        return math.nan
    inverse = 1.0 / n + 1.0 / m
    if total <= EXACT_SUMS:
        sums = np.cumsum(1.0 / np.arange(total - 1, 1, -1))
        h = float(sums[-1]) + 1.0
        g = float((sums / np.arange(2, total)).sum())
    else:
        h = math.log(total - 1) + 0.5772156649015329 + 0.5 / (total - 1)
        g = math.pi**2 / 6.0 - (2.0 * h + 1.0) / total
    a = (4 * g - 6) + (10 - 6 * g) * inverse
    b = (2 * g - 4) * 4 + 16 * h + (2 * g - 14 * h - 4) * inverse - 8 * h + 4 * g - 6
    c = (6 * h + 2 * g - 2) * 4 + (4 * h - 4 * g + 6) * 2 + (2 * h - 6) * inverse + 4 * h
    d = (2 * h + 6) * 4 - 8 * h
    size = float(total)
    return math.sqrt((a * size**3 + b * size**2 + c * size + d) / ((size - 1.0) * (size - 2.0) * (size - 3.0)))


def anderson_darling_p(normed: float) -> float:
    """p-value of the normed statistic, between 0.001 and 0.25: where the table ends, as scipy.stats.anderson_ksamp."""
    critical = _B0 + _B1 + _B2
    if normed < critical.min():
        return 0.25
    if normed > critical.max():
        return 0.001
    return float(np.exp(np.polyval(_curve(), normed)))


@lru_cache(maxsize=1)
def _curve() -> tuple[float, ...]:
    return tuple(np.polyfit(_B0 + _B1 + _B2, np.log(_SIGNIFICANCE), 2).tolist())


def student_p(t: float, freedom: float) -> float:
    """Two-sided p-value of Student's t."""
    return float(2.0 * stdtr(freedom, -abs(t)))


def normal_p(z: float) -> float:
    """Two-sided p-value of a standard normal."""
    return math.erfc(abs(z) / math.sqrt(2.0))
