"""Changes of a column's plain figures: mean, spread, median, missing share, range, new values."""

from __future__ import annotations

import math

import numpy as np

from detectors.pairs import CategoryPair, NumericPair, Pair, once
from detectors.pvalues import normal_p, student_p


def mean_shift(pair: NumericPair) -> float:
    """Cohen's d: the change of the mean in pooled standard deviations (ddof 1). NaN where both sides are constant."""
    r, c = pair.moments
    if r.n + c.n < 3:
        return math.nan
    pooled = math.sqrt((r.m2 + c.m2) / (r.n + c.n - 2))
    return (c.mean - r.mean) / pooled if 0 < pooled < math.inf and not pair.spreadless else math.nan


@once
def welch_t(pair: NumericPair) -> float:
    """Welch's t of the means, whose variances may differ (Welch 1947); as scipy.stats.ttest_ind(equal_var=False)."""
    error = _mean_errors(pair)
    total = math.sqrt(sum(error))
    return (pair.moments[1].mean - pair.moments[0].mean) / total if 0 < total < math.inf else math.nan


def welch_p(pair: NumericPair) -> float:
    """Two-sided, with the degrees of freedom of Satterthwaite 1946."""
    (a, b), t = _mean_errors(pair), welch_t(pair)
    if not math.isfinite(t):
        return math.nan
    r, c = pair.moments
    return student_p(t, (a + b) ** 2 / (a * a / (r.n - 1) + b * b / (c.n - 1)))


def _mean_errors(pair: NumericPair) -> tuple[float, float]:
    """The squared standard errors of both means; NaN with fewer than two values."""
    r, c = pair.moments
    if r.n < 2 or c.n < 2:
        return math.nan, math.nan
    return r.m2 / (r.n - 1) / r.n, c.m2 / (c.n - 1) / c.n


def std_shift(pair: NumericPair) -> float:
    """Standard deviation of the window / that of the reference - 1 (ddof 0). NaN where the reference is constant."""
    r, c = pair.moments
    return c.std / r.std - 1.0 if r.n and c.n and r.std > 0 and not pair.spreadless else math.nan


def median_shift(pair: NumericPair) -> float:
    """The change of the median, in standard deviations of the reference."""
    before, after = medians(pair)
    return (after - before) / pair.spread


@once
def medians(pair: NumericPair) -> tuple[float, float]:
    """Of the reference and of the window."""
    c = pair.current.moments
    return pair.reference_median, pair.cur.quantile(0.5, c.low, c.high)


def median_shift_bound(pair: NumericPair) -> float:
    """The widths of the cells that hold the two medians, 0 for atoms."""
    out = 0.0
    for cells, moments in zip((pair.ref, pair.cur), pair.moments, strict=True):
        upto = np.cumsum(cells.counts)
        for rank in {(cells.rows - 1) // 2, cells.rows // 2}:
            i = min(int(np.searchsorted(upto, rank, side="right")), len(upto) - 1)
            left, right = max(float(cells.edges[i]), moments.low), min(float(cells.edges[i + 1]), moments.high)
            out += 0.0 if cells.is_atom(i) else max(0.0, right - left)
    return out / pair.spread


def missing_shift(pair: Pair) -> float:
    """Missing share of the window less that of the reference."""
    (r, c), (n, m) = pair.missing, _seen(pair)
    return c / m - r / n if n and m else math.nan


def missing_shift_p(pair: Pair) -> float:
    """Two-sided p-value of the z-test of two proportions with pooled variance. NaN where nothing is missing, or all."""
    (r, c), (n, m) = pair.missing, _seen(pair)
    pooled = (r + c) / (n + m) if n + m else 0.0
    if not n or not m or not 0.0 < pooled < 1.0:
        return math.nan
    return normal_p(missing_shift(pair) / math.sqrt(pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)))


def _seen(pair: Pair) -> tuple[int, int]:
    return pair.n + pair.missing[0], pair.m + pair.missing[1]


def range_shift(pair: NumericPair) -> float:
    """Rows of the window below the reference's least value or above its greatest / rows."""
    r = pair.moments[0]
    if not r.n or not pair.m:
        return math.nan
    edges = pair.ref.edges
    outside = (edges[1:] <= r.low) | (edges[:-1] > r.high)
    return float(pair.cur.counts[outside].sum()) / pair.m


def range_shift_bound(pair: NumericPair) -> float:
    """The window's rows in the two cells that hold the ends of the reference's range."""
    r = pair.moments[0]
    edges = pair.ref.edges
    ends = ((edges[:-1] <= r.low) & (edges[1:] > r.low)) | ((edges[:-1] <= r.high) & (edges[1:] > r.high))
    return float(pair.cur.counts[ends & ~pair.atoms].sum()) / pair.m


def new_categories(pair: CategoryPair) -> float:
    """Values that the reference never had; at least, where a side has more values than it names: those that no hash hides."""
    before, after = pair.by_value
    return float(np.count_nonzero(after[before == 0]))


def new_category_share(pair: CategoryPair) -> float:
    """Rows with a value that the reference never had / rows; at least, where a side has more values than it names."""
    before, after = pair.by_value
    return int(after[before == 0].sum()) / pair.m if pair.m else math.nan
