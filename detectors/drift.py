"""Distances between a window and its reference, each a small pure function of counts over the same cells.

p is the reference's share of each cell, q the window's; both have shape (k,).
"""

from __future__ import annotations

import numpy as np

from detectors.cells import Cells
from detectors.columns import Floats, Ints

FLOOR = 1e-4  # the least share that PSI's logarithm sees


def shares(counts: Ints) -> Floats:
    """Counts as shares of one; zeros where there are no rows."""
    total = counts.sum()
    return counts / total if total else np.zeros(len(counts))


def psi(p: Floats, q: Floats) -> float:
    """Population stability index, sum of (q - p) ln(q / p), shares floored at FLOOR (Siddiqi 2006)."""
    p, q = np.maximum(p, FLOOR), np.maximum(q, FLOOR)
    return float(((q - p) * np.log(q / p)).sum())


def jensen_shannon(p: Floats, q: Floats) -> float:
    """Jensen-Shannon distance, base 2, in [0, 1] (Endres, Schindelin 2003)."""
    m = (p + q) / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(p > 0, p * np.log2(p / m), 0.0).sum()
        right = np.where(q > 0, q * np.log2(q / m), 0.0).sum()
    return float(np.sqrt(max(0.0, (left + right) / 2.0)))


def kolmogorov_smirnov(p: Floats, q: Floats) -> float:
    """Greatest distance of the distribution functions at the cells' edges; low by at most a cell's share."""
    return float(np.abs(np.cumsum(p) - np.cumsum(q)).max()) if len(p) else float("nan")


def kolmogorov_smirnov_p(distance: float, n: int, m: int) -> float:
    """Two-sided p-value, as scipy.stats.ks_2samp(method="asymp") has it."""
    from scipy.stats import kstwo

    effective = float(n) * m / (n + m)
    return float(np.clip(kstwo.sf(distance, max(1, round(effective))), 0.0, 1.0))


def wasserstein(reference: Cells, current: Cells) -> float:
    """First Wasserstein distance of two columns on the same cells, in the column's unit.

    The integral of F - G over a cell is [x (F - G)] at its edges less the difference of the cell's sums: exact,
    open outer cells included. Low only where F and G cross inside a cell.
    """
    n, m = reference.rows, current.rows
    if n == 0 or m == 0:
        return float("nan")
    gap = np.concatenate([[0.0], np.cumsum(reference.counts / n) - np.cumsum(current.counts / m)])
    gap[-1] = 0.0
    edges = np.where(np.isfinite(reference.edges), reference.edges, 0.0)  # the gap is 0 at infinite edges
    integral = np.diff(edges * gap) - (reference.sums / n - current.sums / m)
    return float(np.abs(integral).sum())


def chi_square(expected_share: Floats, observed: Ints) -> tuple[float, float]:
    """Pearson's chi-square of observed counts against the reference's shares, and its p-value.

    A category that the reference never had makes the statistic infinite and the p-value 0.
    """
    from scipy.special import chdtrc

    total = int(observed.sum())
    if total == 0 or len(observed) < 2:
        return float("nan"), float("nan")
    if (observed[expected_share <= 0] > 0).any():
        return float("inf"), 0.0
    known = expected_share > 0
    expected = expected_share[known] * total
    statistic = float(((observed[known] - expected) ** 2 / expected).sum())
    freedom = int(known.sum()) - 1
    return statistic, float(chdtrc(freedom, statistic)) if freedom > 0 else float("nan")


def coarse(reference: Ints, current: Ints, groups: int = 10) -> tuple[Ints, Ints]:
    """Join neighbouring cells until each holds about 1/groups of the reference: deciles, by default."""
    total = reference.sum()
    if total == 0 or len(reference) <= groups:
        return reference, current
    upto = np.cumsum(reference)
    cuts = np.unique(np.searchsorted(upto, np.arange(1, groups) * (total / groups), side="left") + 1)
    starts = np.concatenate([[0], cuts[cuts < len(reference)]])
    return np.add.reduceat(reference, starts), np.add.reduceat(current, starts)
