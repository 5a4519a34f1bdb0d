"""Draws of window and reference from one source, weighted so that rare draws are not rare.

A limit that is passed once a week in windows of a minute, over hundreds of scores, has a probability of 1e-6 and less:
plain resampling would need millions of draws. Here the window's counts are drawn from Dirichlet-multinomials around the
reference's shares, which spread more than the multinomial does, and each draw carries the ratio of the two probabilities
as its weight (importance sampling with a defensive mixture: Hesterberg 1995, Owen and Zhou 2000). The draws' own sum
never enters: a window that is drawn is scored against a reference drawn apart from it, so that no row is on both sides.

    P(counts) under the multinomial                          n! prod p_i^c_i / c_i!
    P(counts) under Dirichlet-multinomial of weight k        n! G(k)/G(n+k) prod G(c_i + k p_i) / (G(k p_i) c_i!)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, gammaln

from detectors.calibrate.null import TAILS, NullTable
from detectors.calibrate.statistics import Statistic
from detectors.calibrate.sums import pearson
from detectors.columns import Floats

DRAWS = 6_000
FEW_DRAWS = 1_800  # for a shape that one feature has alone: its error is that of one score among many
LEVELS = 7  # of spread, from that of the multinomial itself to one at which the table's last probability is common
MANY_DRAWS = 3_000
MANY_CELLS = 40  # a statistic of more cells is a sum of so many parts that three moments give its tail
NORMAL_FROM = 30
NEAR = 4  # a reference of fewer than NEAR times the window's rows is spread as well


@dataclass(frozen=True, slots=True)
class Draws:
    """Shares of the drawn references and windows, shape (draws, cells), and the draws' weights, shape (draws,).

    weights is None where the draws are plain: then three moments stand for the tail that plain draws do not reach.
    """

    reference: Floats
    current: Floats
    weights: Floats | None
    rows: tuple[int, int]

    def table(self, statistic: Statistic) -> NullTable:
        """The null of a statistic, from these draws."""
        values = statistic(self.reference, self.current, *self.rows)
        if self.weights is None:
            return _pearson_of(values)
        order = np.argsort(-values, kind="stable")
        survival = np.cumsum(self.weights[order])
        survival /= survival[-1]
        log = np.log(np.maximum(survival, 1e-300))
        return NullTable.from_survival(values[order][::-1], log[::-1])


def draw(shares: Floats, reference_rows: int, rows: int, seed: int, draws: int = DRAWS) -> Draws:
    """Draws of a reference and a window of so many rows each, both of the source that has these shares (all > 0)."""
    rng = np.random.default_rng(seed)
    cells = len(shares)
    if cells < 2:
        ones = np.ones((2, cells))
        return Draws(ones, ones, np.ones(2), (reference_rows, rows))
    if cells > MANY_CELLS:
        current = _counts(rng, shares, rows, None, MANY_DRAWS) / rows
        return Draws(_reference_shares(rng, shares, reference_rows, MANY_DRAWS), current, None, (reference_rows, rows))
    near = reference_rows < NEAR * rows
    freedom = cells - 1
    widest = max(1.5, float(chdtri(freedom, TAILS[-1])) / freedom)
    levels = np.geomspace(1.0, widest, LEVELS)
    parts_r, parts_c = [], []
    each = draws // LEVELS
    for level in levels:
        parts_c.append(_counts(rng, shares, rows, _weight_of(level, rows, reference_rows), each))
        if near:
            parts_r.append(_counts(rng, shares, reference_rows, _weight_of(level, reference_rows, rows), each) / reference_rows)
    current = np.concatenate(parts_c)
    reference = np.concatenate(parts_r) if near else _reference_shares(rng, shares, reference_rows, len(current))
    ratios = np.empty((LEVELS, len(current)))
    for i, level in enumerate(levels):
        ratios[i] = _log_ratio(current, shares, _weight_of(level, rows, reference_rows))
        if near:
            ratios[i] += _log_ratio(np.round(reference * reference_rows), shares, _weight_of(level, reference_rows, rows))
    top = ratios.max(axis=0)
    weights = np.exp(-(top + np.log(np.exp(ratios - top).mean(axis=0))))
    return Draws(reference, current / rows, weights, (reference_rows, rows))


def _pearson_of(values: Floats) -> NullTable:
    """From draws that are plain, shape (n,)."""
    mean = float(values.mean())
    return pearson(mean, float(values.var()), float(((values - mean) ** 3).mean()))


def _weight_of(level: float, rows: int, other: int) -> float | None:
    """The Dirichlet's weight at which the spread of counts of so many rows is that of the difference, times level.

    None for the multinomial itself.
    """
    own = 1.0 + (level - 1.0) * (1.0 + rows / other if other >= NEAR * rows else 1.0)
    if own <= 1.0 + 1e-9 or rows < 2:
        return None
    return max((rows - 1.0) / (own - 1.0) - 1.0, 1.0)


def _counts(rng: np.random.Generator, shares: Floats, rows: int, weight: float | None, size: int) -> Floats:
    if weight is None:
        return rng.multinomial(rows, shares, size=size).astype(np.float64)
    gammas = np.maximum(rng.standard_gamma(weight * shares, size=(size, len(shares))), 1e-290)
    return rng.multinomial(rows, gammas / gammas.sum(axis=1, keepdims=True)).astype(np.float64)


def _reference_shares(rng: np.random.Generator, shares: Floats, rows: int, size: int) -> Floats:
    """Plain draws of a reference's shares; normal ones where every cell holds rows enough, for they are five times as fast."""
    if rows * float(shares.min()) < NORMAL_FROM:
        return _counts(rng, shares, rows, None, size) / rows
    root = np.sqrt(shares / rows)
    noise = rng.standard_normal((size, len(shares)))
    noise -= (noise @ np.sqrt(shares))[:, None] * np.sqrt(shares)  # the shares' sum is 1
    return np.asarray(np.maximum(shares + noise * root, 0.0))


def _log_ratio(counts: Floats, shares: Floats, weight: float | None) -> Floats:
    """Logarithm of the counts' probability under the Dirichlet-multinomial over that under the multinomial."""
    if weight is None:
        return np.zeros(len(counts))
    rows = float(counts[0].sum())
    out = np.full(len(counts), float(gammaln(weight) - gammaln(rows + weight)))
    for column, alpha, log in zip(counts.T, (weight * shares).tolist(), np.log(shares).tolist(), strict=True):
        most = int(column.max())
        if most < len(column):  # fewer different counts than draws: look them up
            every = np.arange(most + 1.0)
            out += (gammaln(every + alpha) - every * log)[column.astype(np.int64)] - float(gammaln(alpha))
        else:
            out += gammaln(column + alpha) - column * log - float(gammaln(alpha))
    return out
