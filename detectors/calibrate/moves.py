"""Nulls of the changes of plain figures: mean, spread, median, range, and values that the reference never had.

Each gives how far out the change lies as a normal deviate. What is a count has half of the observed point's own probability
left out (Lancaster 1961). A mean and a standard deviation are normal only as far as the column's own moments allow at so many
rows: where the next term of Edgeworth's series would more than double a tail of 1e-5, they are `unsure`, and the
past windows (`calibration.series`), ranks and bins are what says something.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import betaln, fdtrc, fdtri, gammaln, ndtr, ndtri, ndtri_exp, stdtr, stdtrit

from detectors.calibrate.closed import effective_rows
from detectors.calibrate.null import NullTable
from detectors.calibrate.nulls import NORMAL, NORMAL_EITHER, reference_counts
from detectors.columns import Floats
from detectors.pairs import CategoryPair, NumericPair, once
from detectors.shifts import medians

TAIL = 4.26  # the normal deviate of 1e-5
MOST = math.log(2.0)  # by which the tail there may differ
ONE_ROW = 0.1  # of the fourth moment: where one row is more of it, a law's tails are not known from the sample
SEEN_SMALL = 3.0  # a sample's kurtosis is less than that of a heavy-tailed law, as a rule
LEAST_CHANCE = 1e-300
SMALL = 1e-15  # chances that are left out of sums
LEAST_LOG = -100.0  # of a chance that is left out
LONGEST = 20_000  # rows of new categories that are counted one by one


class Move(NamedTuple):
    """out: how far out, on the table's scale. back: a place on it as a value of the score. unsure: why nothing can be said."""

    out: float
    table: NullTable
    back: Callable[[float], float]
    unsure: str = ""


def mean_shift(pair: NumericPair, value: float) -> Move:
    """The pooled t of Student; value: Cohen's d."""
    root = math.sqrt(effective_rows(pair.n, pair.m))
    return _student(value, root, float(pair.n + pair.m - 2), _uneven(pair, 1.0))


def welch_t(pair: NumericPair, value: float) -> Move:
    """Welch's t, at the degrees of freedom of Satterthwaite 1946."""
    r, c = pair.moments
    a, b = r.m2 / (r.n - 1) / r.n, c.m2 / (c.n - 1) / c.n
    x, y = (a / (a + b), b / (a + b)) if 0.0 < a + b < math.inf else (1.0, 0.0)
    freedom = 1.0 / (x * x / (r.n - 1) + y * y / (c.n - 1))
    return _student(value, 1.0, freedom, _uneven(pair, 2.0))  # its own variance moves with its mean: twice the skew


def _student(value: float, root: float, freedom: float, unsure: str) -> Move:
    sign = math.copysign(1.0, value)
    out = -float(ndtri(max(float(stdtr(freedom, -abs(value) * root)), LEAST_CHANCE)))
    return Move(out, NORMAL_EITHER, lambda place: sign * -float(stdtrit(freedom, float(ndtr(-place)))) / root, unsure)


def std_shift(pair: NumericPair, value: float) -> Move:
    """F, at the degrees of freedom that the column's kurtosis leaves of the rows (Box 1953); value: the ratio less 1."""
    _, kurtosis, skew_of_squares, heaviest = _shape(pair)
    per_row = 2.0 / max(kurtosis + 2.0, 1e-3)
    now, before = per_row * (pair.m - 1), per_row * (pair.n - 1)
    unsure = f"the spread of so heavy tails is not known well enough from {pair.m} rows"
    if now < 1.0 or value <= -1.0:
        return Move(math.nan, NORMAL_EITHER, lambda place: math.nan, unsure)
    off = abs(skew_of_squares / math.sqrt(pair.m) - math.sqrt(8.0 / now)) * TAIL**3 / 6.0
    ratio = (1.0 + value) ** 2
    rising = value >= 0
    chance = float(fdtrc(now, before, ratio) if rising else fdtrc(before, now, 1.0 / ratio))

    def back(place: float) -> float:
        p = max(float(ndtr(-place)), 1e-16)
        at = float(fdtri(now, before, 1.0 - p)) if rising else 1.0 / float(fdtri(before, now, 1.0 - p))
        return math.sqrt(at) - 1.0

    return Move(
        -float(ndtri(max(min(chance, 0.5), LEAST_CHANCE))),
        NORMAL_EITHER,
        back,
        "" if off <= MOST and heaviest <= ONE_ROW else unsure,
    )


def median_shift(pair: NumericPair, value: float) -> Move:
    """The reference's share of rows below the window's median, which half of the window's rows are: by the likelihood root."""
    rows = effective_rows(pair.n, pair.m)
    r = pair.moments[0]
    before, middle = medians(pair)
    share = _share_below(pair, middle)
    out = 0.0 if value == 0 else math.sqrt(max(0.0, -rows * math.log(max(4.0 * share * (1.0 - share), LEAST_CHANCE))))

    def back(place: float) -> float:
        apart = math.sqrt(max(0.0, 1.0 - math.exp(-(place**2) / rows))) / 2.0
        return (pair.ref.quantile(0.5 + math.copysign(apart, value), r.low, r.high) - before) / pair.spread

    return Move(out, NORMAL_EITHER, back)


def _share_below(pair: NumericPair, value: float) -> float:
    """Of the reference's rows, within a cell as its quantiles are."""
    edges, counts, moments = pair.ref.edges, pair.ref.counts, pair.moments[0]
    i = min(max(int(np.searchsorted(edges, value, side="right")) - 1, 0), len(counts) - 1)
    low, share = float(counts[:i].sum()) / pair.n, float(counts[i]) / pair.n
    if pair.ref.is_atom(i):  # as many of its rows as half of all needs
        return min(max(0.5, low), low + share)
    left, right = max(float(edges[i]), moments.low), min(float(edges[i + 1]), moments.high)
    return low + share * min(max((value - left) / (right - left), 0.0), 1.0) if right > left else min(max(0.5, low), low + share)


def range_shift(pair: NumericPair, value: float) -> Move:
    """Rows of m beyond the extremes of n others: k of them with probability (k + 1) C(m - k + n - 2, m - k) / C(m + n, m)."""
    n, m = pair.n, pair.m
    return _counted(_beyond_extremes(n, m), round(value * m), lambda count: count / m)


@lru_cache(maxsize=256)
def _beyond_extremes(n: int, m: int) -> _Counts:
    k = np.arange(0.0, min(m, 60 * (1 + m // n) + 200) + 1.0)
    # beta-binomial of 2 and n - 1: choose(m, k) B(k + 2, m - k + n - 1) / B(2, n - 1)
    log = (
        gammaln(m + 1.0) - gammaln(k + 1.0) - gammaln(m - k + 1.0) + betaln(k + 2.0, m - k + n - 1.0) - float(betaln(2.0, n - 1.0))
    )
    return _counts(np.exp(log))


def new_values(pair: CategoryPair, value: float, rows: bool) -> Move | None:
    """Categories (or rows of categories) that the window alone has, had the rows of both been dealt out anew.

    All c rows of a category fall into the window with probability C(m, c) / C(n + m, c), nearly apart from other categories.
    """
    n, m = pair.n, pair.m
    if n == 0 or m == 0:
        return None
    before, after = pair.by_value
    both = before + after
    held, alike = np.unique(both[(both > 0) & (both <= m)], return_counts=True)
    alone = np.exp(gammaln(m + 1.0) - gammaln(m - held + 1.0) - gammaln(n + m + 1.0) + gammaln(n + m - held + 1.0))
    law = np.ones(1)
    for c, times, chance in zip(held.tolist(), alike.tolist(), alone.tolist(), strict=True):
        if chance > SMALL:  # of `times` categories of c rows a binomial number
            k = np.arange(times + 1.0)
            log = (
                gammaln(times + 1.0)
                - gammaln(k + 1.0)
                - gammaln(times - k + 1.0)
                + k * np.log(chance)
                + (times - k) * np.log1p(-chance)
            )
            there = np.flatnonzero(log > LEAST_LOG)
            step = c if rows else 1
            spaced = np.zeros(int(there[-1]) * step + 1)
            spaced[there * step] = np.exp(log[there])
            law = np.convolve(law, spaced)[: LONGEST + 1]
    return _counted(_counts(law), round(value * m) if rows else round(value), lambda count: count / m if rows else count)


_Counts = tuple[Floats, Floats]  # of each count from 0 on how far out it lies, and the farthest up to it; both (counts,)


def _counts(law: Floats) -> _Counts:
    """Of a count whose probabilities are `law` from 0 on."""
    beyond = np.cumsum(law[::-1])[::-1]
    middle = np.maximum(beyond - law / 2.0, LEAST_CHANCE)
    out = -ndtri_exp(np.log(np.minimum(middle, 1.0 - 1e-12)))
    return out, np.maximum.accumulate(out)


def _counted(law: _Counts, count: int, as_value: Callable[[float], float]) -> Move:
    """What lies beyond the law's counts is as good as impossible."""
    out, farthest = law
    place_of = float(out[count]) if count < len(out) else float(-ndtri(LEAST_CHANCE))
    return Move(place_of, NORMAL, lambda place: as_value(float(farthest.searchsorted(place))))


def _uneven(pair: NumericPair, times: float) -> str:
    """Why the mean of so many rows is not normal far enough out, "" where it is. times: the weight of the skew."""
    skew, kurtosis, _, _ = _shape(pair)
    both = 1.0 / pair.m + 1.0 / pair.n
    of_skew = times * abs(skew) * abs(1.0 / pair.m**2 - 1.0 / pair.n**2) / both**1.5 * TAIL**3 / 6.0
    of_tails = SEEN_SMALL * max(0.0, kurtosis) * (1.0 / pair.m**3 + 1.0 / pair.n**3) / both**2 * TAIL**4 / 24.0
    if of_skew + of_tails <= MOST:
        return ""
    return f"the mean of {pair.m} rows of so uneven values is not normal; rank_shift says whether they moved"


@once
def _shape(pair: NumericPair) -> tuple[float, float, float, float]:
    """Skew and excess kurtosis of the reference, the skew of its squared deviations, and the most that one row has of its fourth moment;
    from the cells' means."""
    return _shape_of(reference_counts(pair), np.asarray(pair.ref.sums, dtype=np.float64).tobytes())


@lru_cache(maxsize=1024)
def _shape_of(counts: bytes, sums: bytes) -> tuple[float, float, float, float]:
    rows = np.frombuffer(counts, dtype=np.int64)
    there = rows > 0
    weight = rows[there] / float(rows.sum())
    value = np.frombuffer(sums)[there] / rows[there]
    value = value - float(weight @ value)
    square = float(weight @ value**2)
    if not square > 0 or not math.isfinite(square):
        return 0.0, 0.0, 0.0, 0.0
    value = value / math.sqrt(square)
    squared = value * value
    fourth = float(weight @ (squared * squared))
    spread = fourth - 1.0
    away = squared - 1.0
    of_squares = float(weight @ (away * away * away)) / spread**1.5 if spread > 1e-9 else 0.0
    heaviest = float(squared.max()) ** 2 / (fourth * float(rows.sum()))
    return float(weight @ (squared * value)), fourth - 3.0, of_squares, heaviest


MOVES: dict[str, Callable[[NumericPair, float], Move | None]] = {
    "mean_shift": mean_shift,
    "welch_t": welch_t,
    "std_shift": std_shift,
    "median_shift": median_shift,
    "range_shift": range_shift,
}
