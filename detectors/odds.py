"""Whether a group fell behind all others since the reference: tests of what lies inside and outside it, before and now.

    shares   are the odds of a hit, inside against outside, the same as before? Exact, given all margins (Zelen 1971): with a of the
             window's hits inside and T hits inside in both, P(a) ~ C(n, a) C(N-n, K-a) C(m, T-a) C(M-m, J-T+a)
    means    has the ratio of the mean inside to the mean outside risen? By the logarithms' Student t (delta method, Welch's degrees)

Neither is moved by what changed everywhere alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, stdtr

from detectors.columns import Floats

WIDE = 20_000  # terms that are added up at most: far more than 100 standard deviations of a million rows
HALF = 0.5  # added to counts, so that none is 0 (Haldane 1956)


@dataclass(frozen=True, slots=True)
class Sides:
    """Sums of shape (segments, sums): rows and hits, or rows, a number and its squares; inside and outside the segment."""

    inside: Floats
    outside: Floats

    @staticmethod
    def of(sums: Floats, total: Floats) -> Sides:
        return Sides(sums, total - sums)


def odds_z(now: Sides, before: Sides) -> Floats:
    """Change of the log odds ratio over its standard error (Woolf 1955), shape (segments,): what segments are ranked by."""
    log, variance = np.zeros(len(now.inside)), np.zeros(len(now.inside))
    for sign, sums in ((1, now.inside), (-1, now.outside), (-1, before.inside), (1, before.outside)):
        hits, rest = sums[:, 1] + HALF, np.maximum(sums[:, 0] - sums[:, 1], 0.0) + HALF
        log += sign * np.log(hits / rest)
        variance += 1.0 / hits + 1.0 / rest
    out: Floats = log / np.sqrt(variance)
    return out


def odds_p(now: tuple[int, int, int, int], before: tuple[int, int, int, int]) -> float:
    """Of odds that rose as much or more, half of the observed point left out. Each: rows and hits inside, rows and hits outside."""
    (n, a, rest_n, b), (m, c, rest_m, d) = now, before
    hits, hits_before, inside = a + b, c + d, a + c
    low = max(0, hits - rest_n, inside - m, inside - hits_before)
    high = min(n, hits, inside, inside - hits_before + rest_m)
    if high <= low:
        return 1.0
    middle = _mode(low, high, n, rest_n, m, rest_m, hits, hits_before, inside)
    first, last = max(low, middle - WIDE), min(high, middle + WIDE)
    if a > last:
        return 0.0
    x = np.arange(first, last + 1, dtype=np.float64)
    weight = _log_weight(x, n, rest_n, m, rest_m, hits, hits_before, inside)
    chance = np.exp(weight - weight.max())
    at = max(a - first, 0)
    return float((chance[at + 1 :].sum() + chance[at] / 2.0) / chance.sum())


def _choose(n: float, k: Floats) -> Floats:
    found: Floats = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    return found


def _log_weight(x: Floats, n: int, rest_n: int, m: int, rest_m: int, hits: int, before: int, inside: int) -> Floats:
    return _choose(n, x) + _choose(rest_n, hits - x) + _choose(m, inside - x) + _choose(rest_m, before - inside + x)


def _mode(low: int, high: int, *table: int) -> int:
    """Where the weight, whose logarithm is concave, is greatest."""
    while high - low > 2:
        middle = (low + high) // 2
        left, right = _log_weight(np.array([middle, middle + 1], dtype=np.float64), *table)
        low, high = (middle, high) if left < right else (low, middle + 1)
    return low


def ratio_p(now: Sides, before: Sides) -> Floats:
    """One-sided p-values of a ratio of means that rose, shape (segments,); NaN where a mean is not positive or nothing varies."""
    log, variance, spent = (np.zeros(len(now.inside)) for _ in range(3))
    with np.errstate(divide="ignore", invalid="ignore"):
        for sign, sums in ((1, now.inside), (-1, now.outside), (-1, before.inside), (1, before.outside)):
            rows, mean = sums[:, 0], sums[:, 1] / sums[:, 0]
            spread = np.maximum(sums[:, 2] / rows - mean**2, 0.0) / (rows - 1.0) / mean**2
            log += sign * np.log(mean)
            variance += spread
            spent += spread**2 / (rows - 1.0)
        found: Floats = stdtr(variance**2 / spent, -log / np.sqrt(variance))
    return found
