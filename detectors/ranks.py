"""Whether the window's values lie higher or lower than the reference's, by rank: robust, bounded, without a unit.

Mann and Whitney 1947 as an effect size: the rank-biserial correlation (Cureton 1956), 2 P(window > reference) - 1 with
ties counted half. 0 where neither lies higher, 1 where all of the window lies above all of the reference, -1 below.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from detectors.pairs import NumericPair, once


@once
def rank_biserial(pair: NumericPair) -> float:
    """In [-1, 1]; rows of one cell count as ties."""
    below = pair.upto - pair.ref.counts / 2.0
    return float(2.0 * (below @ pair.cur.counts) / (float(pair.n) * pair.m) - 1.0)


def rank_shift(pair: NumericPair) -> float:
    """Its absolute value, in [0, 1]: how far the window has shifted, whichever way."""
    return abs(rank_biserial(pair))


def rank_shift_bound(pair: NumericPair) -> float:
    """Pairs of rows that a cell holds, and whose order it does not know, over all pairs."""
    return float((pair.p * pair.q)[~pair.atoms].sum())


def mann_whitney_p(pair: NumericPair) -> float:
    """Two-sided, asymptotic, ties corrected, with the correction for continuity; as scipy.stats.mannwhitneyu has it."""
    n, m = float(pair.n), float(pair.m)
    total = n + m
    ties = pair.both.astype(np.float64)
    variance = n * m / 12.0 * (total + 1.0 - float((ties * ties * ties - ties).sum()) / (total * (total - 1.0)))
    if total < 2 or variance <= 0:
        return float("nan")
    far = abs(rank_biserial(pair)) * n * m / 2.0
    return float(min(1.0, 2.0 * ndtr(-(far - 0.5) / np.sqrt(variance))))
