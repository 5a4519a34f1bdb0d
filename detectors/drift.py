"""Distances between a window and its reference, each a small pure function of the shares or counts of bins.

p is the reference's share of each bin, q the window's; both have shape (k,). Which bins: see detectors/pairs.py.
Bins are joined from whole cells, so given the bins these have no error of their own.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Floats, Ints

FLOOR = 1e-4  # the least share that a logarithm sees


def shares(counts: Ints) -> Floats:
    """Counts as shares of one; zeros where there are no rows."""
    total = counts.sum()
    return counts / total if total else np.zeros(len(counts))


def decile_starts(reference: Ints, groups: int = 10) -> Ints:
    """The first cell of each group of neighbours, so that each holds about 1/groups of the reference: deciles."""
    total = reference.sum()
    if total == 0 or len(reference) <= groups:
        return np.arange(len(reference))
    upto = np.cumsum(reference)
    cuts = upto.searchsorted(np.arange(1, groups) * (total / groups), side="left") + 1
    return np.array([0, *sorted({cut for cut in cuts.tolist() if cut < len(reference)})])


def psi(p: Floats, q: Floats) -> float:
    """Population stability index, sum of (q - p) ln(q / p), shares floored at FLOOR (Siddiqi 2006)."""
    p, q = np.maximum(p, FLOOR), np.maximum(q, FLOOR)
    return float(((q - p) * np.log(q / p)).sum())


def kullback_leibler(p: Floats, q: Floats) -> float:
    """Kullback-Leibler divergence of the window from the reference, sum of q ln(q / p), p floored at FLOOR (nats)."""
    held = q > 0
    return float((q[held] * np.log(q[held] / np.maximum(p[held], FLOOR))).sum())


def jensen_shannon(p: Floats, q: Floats) -> float:
    """Jensen-Shannon distance, base 2, in [0, 1] (Endres, Schindelin 2003)."""
    m = (p + q) / 2.0
    left = (p[p > 0] * np.log2(p[p > 0] / m[p > 0])).sum()
    right = (q[q > 0] * np.log2(q[q > 0] / m[q > 0])).sum()
    return float(np.sqrt(max(0.0, (left + right) / 2.0)))


def hellinger(p: Floats, q: Floats) -> float:
    """Hellinger distance, in [0, 1] (Hellinger 1909)."""
    return float(np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum() / 2.0))


def total_variation(p: Floats, q: Floats) -> float:
    """Half the sum of the shares' absolute changes: the share of rows that moved to another bin."""
    return float(np.abs(p - q).sum() / 2.0)


def l_infinity(p: Floats, q: Floats) -> float:
    """The greatest change of a bin's share."""
    return float(np.abs(p - q).max()) if len(p) else math.nan


def chi_square(reference: Ints, current: Ints) -> tuple[float, float]:
    """Pearson's chi-square test of homogeneity of two rows of counts, and its p-value: both samples' sizes count.

    As scipy.stats.chi2_contingency(correction=False). NaN where there are not two bins with rows.
    """
    table = _table(reference, current)
    if table is None:
        return math.nan, math.nan
    observed, expected = table
    return _with_p(float(((observed - expected) ** 2 / expected).sum()), observed.shape[1])


def g_test(reference: Ints, current: Ints) -> tuple[float, float]:
    """The likelihood ratio test of homogeneity, and its p-value (Woolf 1957).

    As scipy.stats.chi2_contingency(lambda_="log-likelihood", correction=False).
    """
    table = _table(reference, current)
    if table is None:
        return math.nan, math.nan
    observed, expected = table
    held = observed > 0
    return _with_p(float(2.0 * (observed[held] * np.log(observed[held] / expected[held])).sum()), observed.shape[1])


def cramers_v(reference: Ints, current: Ints) -> float:
    """Cramér's V of two rows of counts, in [0, 1]: chi-square's size of effect, whatever the number of rows."""
    statistic, _ = chi_square(reference, current)
    return math.sqrt(statistic / float(reference.sum() + current.sum())) if math.isfinite(statistic) else math.nan


def _table(reference: Ints, current: Ints) -> tuple[Floats, Floats] | None:
    held = (reference + current) > 0
    observed = np.array([reference[held], current[held]], dtype=np.float64)
    rows = observed.sum(axis=1, keepdims=True)
    if observed.shape[1] < 2 or not rows.all():
        return None
    expected: Floats = rows * observed.sum(axis=0) / rows.sum()
    return observed, expected


def _with_p(statistic: float, bins: int) -> tuple[float, float]:
    from scipy.special import chdtrc

    return statistic, float(chdtrc(bins - 1, statistic))
