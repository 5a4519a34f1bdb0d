"""Distances between a window and its reference, each a small pure function of the shares or counts of bins.

p is the reference's share of each bin, q the window's; both have shape (k,). Which bins: see detectors/pairs.py.
Bins are joined from whole cells, so given the bins these have no error of their own.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import chdtrc, rel_entr

from detectors.columns import Floats, Ints

FLOOR = 1e-4  # the least share that a logarithm sees
Table = tuple[Floats, Floats]  # rows and expected rows


def shares(counts: Ints) -> Floats:
    """Counts as shares of one; zeros where there are no rows."""
    total = np.add.reduce(counts)
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
    return float(np.add.reduce((q - p) * np.log(q / p)))


def kullback_leibler(p: Floats, q: Floats) -> float:
    """Kullback-Leibler divergence of the window from the reference, sum of q ln(q / p), p floored at FLOOR (nats)."""
    return float(np.add.reduce(rel_entr(q, np.maximum(p, FLOOR))))


def jensen_shannon(p: Floats, q: Floats) -> float:
    """Jensen-Shannon distance, base 2, in [0, 1] (Endres, Schindelin 2003)."""
    m = (p + q) / 2.0
    return math.sqrt(max(0.0, float(np.add.reduce(rel_entr(p, m) + rel_entr(q, m))) / math.log(4.0)))


def hellinger(p: Floats, q: Floats) -> float:
    """Hellinger distance, in [0, 1] (Hellinger 1909)."""
    apart = np.sqrt(p) - np.sqrt(q)
    return math.sqrt(float(np.add.reduce(apart * apart)) / 2.0)


def total_variation(p: Floats, q: Floats) -> float:
    """Half the sum of the shares' absolute changes: the share of rows that moved to another bin."""
    return float(np.add.reduce(np.abs(p - q))) / 2.0


def l_infinity(p: Floats, q: Floats) -> float:
    """The greatest change of a bin's share."""
    return float(np.abs(p - q).max()) if len(p) else math.nan


def chi_square(reference: Ints, current: Ints) -> tuple[float, float]:
    """Pearson's chi-square test of homogeneity of two rows of counts, and its p-value: both samples' sizes count.

    As scipy.stats.chi2_contingency(correction=False). NaN where there are not two bins with rows.
    """
    return chi_square_of(table_of(reference, current))


def chi_square_of(table: Table | None) -> tuple[float, float]:
    """The same of a table."""
    if table is None:
        return math.nan, math.nan
    observed, expected = table
    apart = observed - expected
    return _with_p(float((apart * apart / expected).sum()), observed.shape[1])


def g_test(reference: Ints, current: Ints) -> tuple[float, float]:
    """The likelihood ratio test of homogeneity, and its p-value (Woolf 1957).

    As scipy.stats.chi2_contingency(lambda_="log-likelihood", correction=False).
    """
    return g_test_of(table_of(reference, current))


def g_test_of(table: Table | None) -> tuple[float, float]:
    """The same of a table."""
    if table is None:
        return math.nan, math.nan
    observed, expected = table
    return _with_p(2.0 * float(rel_entr(observed, expected).sum()), observed.shape[1])


def cramers_v(reference: Ints, current: Ints) -> float:
    """Cramér's V of two rows of counts, in [0, 1]: chi-square's size of effect, whatever the number of rows."""
    statistic, _ = chi_square(reference, current)
    return math.sqrt(statistic / float(reference.sum() + current.sum())) if math.isfinite(statistic) else math.nan


def table_of(reference: Ints, current: Ints) -> Table | None:
    """Rows of both by bin, of bins that have any, and those to be expected, both (2, bins). None where two bins or two sides are not there."""
    observed = np.array([reference, current], dtype=np.float64)
    both = np.add.reduce(observed, axis=0)
    if not both.all():
        held = both > 0
        observed, both = observed[:, held], both[held]
    rows = np.add.reduce(observed, axis=1, keepdims=True)
    if len(both) < 2 or not rows.all():
        return None
    return observed, rows * both / np.add.reduce(both)


def _with_p(statistic: float, bins: int) -> tuple[float, float]:
    return statistic, float(chdtrc(bins - 1, statistic))
