"""The null of a drift score of one feature, from the reference's counts and the two numbers of rows.

    over bins       js, psi, kl, hellinger, chi2, g_test, cramers_v         sums over cells (sums.py)
                    tv, linf                                                absolute.py; the greatest of them (greatest.py)
    by rank         ks, kuiper, rank_shift                                  closed; ks of ties over its running sums

They are what resampling the reference at the window's own rows tends to with ever more draws, the reference apart from the window,
so that no row is on both sides. Nulls are functions of their arguments alone, and kept: rows are rounded to steps of a tenth,
shares to steps of a twentieth of themselves, and the table is scaled from the rounded rows to the true ones. So all
features of ten equal bins share one table, and a stream of about so many rows a window makes one a feature.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import ndtri, stdtrit

from detectors.calibrate import closed
from detectors.calibrate.absolute import total_variation_null
from detectors.calibrate.constant import constant_null
from detectors.calibrate.greatest import greatest_change, greatest_running_sum
from detectors.calibrate.null import TAILS, NullTable
from detectors.calibrate.statistics import OVER_BINS
from detectors.calibrate.sums import sum_null
from detectors.columns import Ints
from detectors.pairs import NumericPair, Pair

STEP_ROWS, STEP_SHARES = 1.1, 1.05
FINE = 0.02  # a column whose commonest cell is smaller than this has no ties to speak of
RANK_CELLS = 64
CATEGORIES = 400  # cells of one feature that are looked at; rarer categories beyond share the last

CALIBRATED = frozenset({*OVER_BINS, "ks", "kuiper", "rank_shift"})
NORMAL = NullTable(-ndtri(np.minimum(TAILS, 1.0 - 1e-9)))  # of a standard normal deviate, one way
STUDENT = NullTable(-stdtrit(12.0, np.minimum(TAILS, 1.0 - 1e-9)))  # of a mean of errors, whose tails are heavy, one way
NORMAL_EITHER = NullTable(-ndtri(np.minimum(TAILS / 2.0, 0.5)))  # of its absolute value


def pair_null(name: str, pair: Pair) -> NullTable | None:
    """The null of a statistic of the registry for a pair. None: none is known, or one of both has no rows."""
    if name in OVER_BINS:
        return _over_bins(name, pair.bins[0], pair.m)
    if not isinstance(pair, NumericPair):
        return None
    counts = pair.ref.counts
    filled = counts > 0
    if not filled.any() or pair.m == 0:
        return None
    if filled.sum() < 2:
        return constant_null(name, pair.n, pair.m) if name in CALIBRATED else None
    if name == "rank_shift":
        near = rounded(pair.n, pair.m)
        return _ranks(_rank_cells(counts[filled]), *near).scaled(_scale(pair.n, pair.m, near))
    if name == "kuiper":  # with ties it is passed less often
        near = rounded(pair.n, pair.m)
        return _kuiper(*near).scaled(_scale(pair.n, pair.m, near))
    if name == "ks":
        near = rounded(pair.n, pair.m)
        scale = _scale(pair.n, pair.m, near)
        if int(counts.max()) < FINE * pair.n:
            return _ks(*near).scaled(scale)
        return _ks_of_ties(_rank_cells(counts[filled]), *near).scaled(scale)
    return None


def _over_bins(name: str, bins: Ints, rows: int) -> NullTable | None:
    filled = np.sort(bins[bins > 0])[::-1]
    reference_rows = int(filled.sum())
    if not len(filled) or rows == 0:
        return None
    if len(filled) < 2:
        return constant_null(name, reference_rows, rows)
    if len(filled) > CATEGORIES:
        filled = np.append(filled[: CATEGORIES - 1], filled[CATEGORIES - 1 :].sum())
    steps = np.round(np.log(filled / reference_rows) / np.log(STEP_SHARES)).astype(np.int64)
    near = rounded(reference_rows, rows)
    if name == "cramers_v":  # a distance by the sum of rows, not by their harmonic mean
        scale = float(np.sqrt(sum(near) / (reference_rows + rows)))
    else:
        scale = _scale(reference_rows, rows, near) ** OVER_BINS[name].power
    return _of_shares(name, tuple(steps.tolist()), *near).scaled(scale)


@lru_cache(maxsize=8192)
def _of_shares(name: str, steps: tuple[int, ...], reference_rows: int, rows: int) -> NullTable:
    shares = STEP_SHARES ** np.array(steps, dtype=np.float64)
    shares /= shares.sum()
    if name == "linf":
        return greatest_change(shares, reference_rows, rows)
    if name == "tv":
        return total_variation_null(shares, reference_rows, rows)
    return sum_null(name, shares, reference_rows, rows)


@lru_cache(maxsize=8192)
def _ks_of_ties(shares: tuple[float, ...], reference_rows: int, rows: int) -> NullTable:
    return greatest_running_sum(np.array(shares), reference_rows, rows)


@lru_cache(maxsize=1024)
def _ks(reference_rows: int, rows: int) -> NullTable:
    return closed.kolmogorov_smirnov(reference_rows, rows)


@lru_cache(maxsize=1024)
def _kuiper(reference_rows: int, rows: int) -> NullTable:
    return closed.kuiper(reference_rows, rows)


@lru_cache(maxsize=8192)
def _ranks(shares: tuple[float, ...], reference_rows: int, rows: int) -> NullTable:
    return closed.rank_shift(np.array(shares), reference_rows, rows)


def _rank_cells(filled: Ints) -> tuple[float, ...]:
    """Shares of at most about RANK_CELLS cells; equal ones where there are no ties to speak of."""
    total = int(filled.sum())
    if int(filled.max()) < FINE * total:
        return (1.0 / RANK_CELLS,) * RANK_CELLS
    upto = np.cumsum(filled)
    starts = np.unique(np.concatenate([[0], np.searchsorted(upto, np.arange(1, RANK_CELLS) * (total / RANK_CELLS)) + 1]))
    shares = np.add.reduceat(filled, starts[starts < len(filled)]) / total
    if len(shares) < 2:  # nearly all rows are one value: that, and what lies before and behind it
        most = int(filled.argmax())
        sides = np.array([filled[:most].sum(), filled[most], filled[most + 1 :].sum()]) / total
        shares = sides[sides > 0.0]
    rounded = np.maximum(np.round(shares, 3), 1e-4)
    return tuple((rounded / rounded.sum()).tolist())


def rounded(reference_rows: int, rows: int) -> tuple[int, int]:
    """Both numbers to the nearest step; small ones stay as they are."""

    def near(n: int) -> int:
        return n if n <= 60 else round(STEP_ROWS ** round(np.log(n) / np.log(STEP_ROWS)))

    return near(max(2, reference_rows)), near(max(2, rows))


def _scale(reference_rows: int, rows: int, near: tuple[int, int]) -> float:
    """Distances shrink with the square root of the effective rows."""
    return float(np.sqrt(closed.effective_rows(*near) / closed.effective_rows(reference_rows, rows)))
