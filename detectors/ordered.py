"""Statistics of two distribution functions F (reference) and G (window), known at the edges of cells.

Inside a cell F - G is taken as straight, unless the cell is exact (one value, or one row); each has a function that
bounds how far this can lie from the statistic of the rows themselves. At an atom F - G jumps, so its width counts
after the jump.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Floats
from detectors.pairs import NumericPair, once
from detectors.pvalues import anderson_darling_std


@once
def kolmogorov_smirnov(pair: NumericPair) -> float:
    """Greatest distance of F and G at the cells' edges (Kolmogorov 1933, Smirnov 1939)."""
    return max(*_ends(pair))


def kolmogorov_smirnov_bound(pair: NumericPair) -> float:
    low, high = pair.reach
    return max(0.0, float(np.maximum(-low, high).max()) - kolmogorov_smirnov(pair))


@once
def _ends(pair: NumericPair) -> tuple[float, float]:
    """Greatest F - G and greatest G - F."""
    return float(np.maximum.reduce(pair.gap)), -float(np.minimum.reduce(pair.gap))


@once
def kuiper(pair: NumericPair) -> float:
    """Greatest F - G and greatest G - F, added (Kuiper 1960): equally sensitive in the tails."""
    return sum(_ends(pair))


def kuiper_bound(pair: NumericPair) -> float:
    low, high = pair.reach
    return max(0.0, float(max(0.0, high.max()) - min(0.0, low.min())) - kuiper(pair))


def wasserstein(pair: NumericPair) -> float:
    """First Wasserstein distance, the integral of |F - G|, in standard deviations of the reference (Vallender 1974).

    The integral of F - G over a cell is [x (F - G)] at its edges less the difference of the cell's sums: exact, open
    outer cells included. Low only where F and G cross inside a cell. NaN with infinite values, or without a spread.
    """
    if pair.infinite or pair.spreadless:
        return math.nan
    return float(np.add.reduce(np.abs(gap_areas(pair)))) / pair.spread


def wasserstein_bound(pair: NumericPair) -> float:
    low, high = pair.reach
    crosses = (low < 0) & (high > 0)
    most = pair.widths * np.maximum(-low, high)
    off = float(np.maximum(0.0, most - np.abs(gap_areas(pair)))[crosses].sum())
    if not pair.exact_sums:  # a cell's sum is its middle times its rows
        off += float((pair.widths * (pair.p + pair.q)).sum()) / 2.0
    return off / pair.spread


@once
def gap_areas(pair: NumericPair) -> Floats:
    """The integral of F - G over each cell, shape (k,), in the values' unit."""
    edges = np.where(np.isfinite(pair.ref.edges), pair.ref.edges, 0.0)  # the gap is 0 at infinite edges
    at = edges * pair.gap
    return np.asarray(at[1:] - at[:-1] - (pair.ref.sums / pair.n - pair.cur.sums / pair.m))


def energy(pair: NumericPair) -> float:
    """Energy distance, the root of 2 integral (F - G)^2, of values in standard deviations of the reference (Székely 2002)."""
    if pair.infinite or pair.spreadless:
        return math.nan
    return math.sqrt(2.0 * float(np.add.reduce(pair.widths * gap_square(pair))) / pair.spread)


def energy_bound(pair: NumericPair) -> float:
    least, most = _square_reach(pair)
    straight = gap_square(pair)
    off = (pair.widths * np.maximum(most - straight, straight - least))[~pair.atoms].sum()
    value = energy(pair) ** 2 * pair.spread / 2.0
    return math.sqrt(2.0 * (value + float(off)) / pair.spread) - math.sqrt(2.0 * max(0.0, value - float(off)) / pair.spread)


@once
def cramer_von_mises(pair: NumericPair) -> float:
    """nm / (n + m)^2 times the sum of (F - G)^2 over all rows of both (Anderson 1962)."""
    n, m = float(pair.n), float(pair.m)
    return n * m / (n + m) ** 2 * float(pair.both.astype(np.float64) @ _square_at_rows(pair))


def cramer_von_mises_bound(pair: NumericPair) -> float:
    n, m = float(pair.n), float(pair.m)
    least, most = _square_reach(pair)
    straight = _square_at_rows(pair)
    held = pair.both
    open_cells = ~(pair.atoms | (held <= 1))
    return n * m / (n + m) ** 2 * float((held * np.maximum(most - straight, straight - least))[open_cells].sum())


@once
def anderson_darling(pair: NumericPair) -> float:
    """Two-sample Anderson-Darling in its midrank form, normed to mean 0 and deviation 1 (Scholz, Stephens 1987).

    As scipy.stats.anderson_ksamp. In a cell that is not exact, nm/N times the integral of (F - G)^2 / (H (1 - H)) dH
    with H of both samples together, in closed form for a straight F - G.
    """
    n, m = pair.n, pair.m
    if n + m < 4:
        return math.nan
    exact, straight = _anderson_darling_terms(pair)
    total = float(n + m)
    raw = (total - 1.0) / total * float(n) * m * (float(np.add.reduce(exact)) + float(np.add.reduce(straight)) / total)
    std = anderson_darling_std(n, m)
    return (raw - 1.0) / std if std > 0 else math.nan


def anderson_darling_bound(pair: NumericPair) -> float:
    """From the least and greatest (F - G)^2 of each cell, the weight taken at its greatest; none for the outermost cells."""
    n, m, total = float(pair.n), float(pair.m), float(pair.n + pair.m)
    held = pair.both
    upto = np.cumsum(held) / total
    before = upto - held / total
    h = np.clip(np.stack([before, upto]), 1.0 / total, 1.0 - 1.0 / total)
    weight = 1.0 / np.minimum(h[0] * (1.0 - h[0]), h[1] * (1.0 - h[1]))
    least, most = _square_reach(pair)
    open_cells = ~(pair.atoms | (held <= 1))
    off = (held / total * weight * (most - least))[open_cells].sum()
    return n * m / total * float(off) / anderson_darling_std(pair.n, pair.m)


@once
def gap_square(pair: NumericPair) -> Floats:
    """The mean of (F - G)^2 over each cell's width."""
    a, b = pair.gap[:-1], pair.gap[1:]
    return np.where(pair.atoms, b * b, (a * a + a * b + b * b) / 3.0)


def _square_at_rows(pair: NumericPair) -> Floats:
    """The mean of (F - G)^2 over the rows of each cell, after each row: h steps from a to b."""
    a, b, step = pair.gap[:-1], pair.gap[1:], pair.steps
    inverse = 1.0 / np.maximum(1, pair.both)
    mean = a * a + step * (1.0 + inverse) * (a + step * (2.0 + inverse) / 6.0)
    return np.where(pair.atoms, b * b, mean)


def _square_reach(pair: NumericPair) -> tuple[Floats, Floats]:
    low, high = pair.reach
    most = np.maximum(low * low, high * high)
    least = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(low * low, high * high))
    return least, most


def _anderson_darling_terms(pair: NumericPair) -> tuple[Floats, Floats]:
    """Summands of exact cells, and integrals of the others; shapes (k,), each 0 where the other holds."""
    total = float(pair.n + pair.m)
    held = pair.both.astype(np.float64)
    upto = np.cumsum(held)
    single = pair.atoms | (held <= 1)
    middle = (pair.gap[:-1] + pair.gap[1:]) / 2.0
    rank = upto - held / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = rank * (total - rank) - total * held / 4.0
        exact = np.where(single & (weight > 0), held * middle * middle / weight, 0.0)
        h0, h1 = (upto - held) / total, upto / total
        slope = pair.steps / (h1 - h0)
        start = pair.gap[:-1] - slope * h0  # F - G = start + slope H
        left = np.where(h0 > 0, start * start * np.log(h1 / h0), 0.0)
        right = np.where(h1 < 1.0 - 0.5 / total, (start + slope) ** 2 * np.log((1.0 - h0) / (1.0 - h1)), 0.0)
        straight = np.where(single | (held == 0), 0.0, -slope * slope * (h1 - h0) + left + right)
    return exact, straight
