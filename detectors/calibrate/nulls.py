"""The null of a drift score of one feature, from the reference's counts and the two numbers of rows.

    over bins       js, psi, kl, hellinger, tv, linf, chi2, g_test, cramers_v     by the bins' shares: drawn where a few
                    bins hold few rows, else by the moments of the sum that all but linf are
    by rank         ks, rank_shift                                                closed; ks of few distinct values drawn

Statistics in units of the values (wasserstein, energy, a shift of the mean) have none: where tails are heavy their own
tail is that of the values beyond the reference's last, of which the reference knows nothing. Ranks and bins do.

Nulls are functions of their arguments alone (draws are seeded by them), and kept: rows are rounded to steps of a tenth,
shares to steps of a twentieth of themselves, and the table is scaled from the rounded rows to the true ones. So all
features of ten equal bins share one table, and a stream of about so many rows a window makes one a feature.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

import numpy as np
from scipy.special import ndtri, stdtrit

from detectors.calibrate import closed
from detectors.calibrate.constant import constant_null
from detectors.calibrate.null import TAILS, NullTable
from detectors.calibrate.resample import DRAWS, FEW_DRAWS, MANY_CELLS, draw
from detectors.calibrate.statistics import OVER_BINS, kolmogorov_smirnov
from detectors.calibrate.sums import sum_null
from detectors.columns import Floats, Ints
from detectors.pairs import NumericPair, Pair

STEP_ROWS, STEP_SHARES = 1.1, 1.05
PLENTY = 400  # rows expected in the smallest cell: from here on the null only shrinks with the square root of rows
LARGE = 30  # rows expected in the smallest cell: a sum of so many such cells is chi-square but for a little, however few they are
SOME_CELLS, SOME_ROWS = 8, 20  # of js: more cells, and rows outside of the commonest
FINE = 0.02  # a column whose commonest cell is smaller than this has no ties to speak of
RANK_CELLS = 64
CATEGORIES = 400  # cells of one feature that are drawn; rarer categories beyond share the last

CALIBRATED = frozenset({*OVER_BINS, "ks", "rank_shift"})
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
        near = _rounded(pair.n, pair.m)
        return _ranks(_rank_cells(counts[filled]), *near).scaled(_scale(pair.n, pair.m, near))
    if name == "ks":
        if int(counts.max()) < FINE * pair.n or filled.sum() > MANY_CELLS:
            near = _rounded(pair.n, pair.m)
            return _ks(*near).scaled(_scale(pair.n, pair.m, near))
        return _drawn_null("ks", counts[filled] / pair.n, pair.n, pair.m, 1)
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
    return _drawn_null(name, filled / reference_rows, reference_rows, rows, OVER_BINS[name].power)


def _drawn_null(name: str, shares: Floats, reference_rows: int, rows: int, power: int) -> NullTable:
    steps = np.round(np.log(shares) / np.log(STEP_SHARES)).astype(np.int64)
    least = min(reference_rows, rows)
    summed = _is_sum(name, shares, least)
    excess = least * STEP_SHARES ** float(steps.min()) / PLENTY
    shrink = excess if excess > 1.0 and not summed and len(shares) <= MANY_CELLS else 1.0
    near = _rounded(round(reference_rows / shrink), round(rows / shrink))
    scale = _scale(reference_rows, rows, near) ** power
    if name == "cramers_v":  # a distance by the sum of rows, not by their harmonic mean
        scale = float(np.sqrt(sum(near) / (reference_rows + rows)))
    return (_summed if summed else _drawn)(name, tuple(steps.tolist()), *near).scaled(scale)


def _is_sum(name: str, shares: Floats, least: int) -> bool:
    """Whether three moments give the tail: of many cells, of great counts, and of js a little sooner. ARCHITECTURE.md has figures."""
    if name not in OVER_BINS or not OVER_BINS[name].sum:
        return False
    if len(shares) > MANY_CELLS:
        return True
    if name == "js" and len(shares) > SOME_CELLS and least * (1.0 - float(shares.max())) > SOME_ROWS:
        return True
    return name != "tv" and least * float(shares.min()) > LARGE


@lru_cache(maxsize=8192)
def _summed(name: str, steps: tuple[int, ...], reference_rows: int, rows: int) -> NullTable:
    shares = STEP_SHARES ** np.array(steps, dtype=np.float64)
    return sum_null(name, shares / shares.sum(), reference_rows, rows)


@lru_cache(maxsize=8192)
def _drawn(name: str, steps: tuple[int, ...], reference_rows: int, rows: int) -> NullTable:
    shares = STEP_SHARES ** np.array(steps, dtype=np.float64)
    seed = zlib.crc32(repr((steps, reference_rows, rows)).encode())
    draws = DRAWS if len(set(steps)) == 1 else FEW_DRAWS  # equal bins are those of many features
    drawn = draw(shares / shares.sum(), reference_rows, rows, seed, draws)
    return drawn.table(kolmogorov_smirnov if name == "ks" else OVER_BINS[name].of)


@lru_cache(maxsize=1024)
def _ks(reference_rows: int, rows: int) -> NullTable:
    return closed.kolmogorov_smirnov(reference_rows, rows)


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
    rounded = np.maximum(np.round(shares, 3), 1e-4)
    return tuple((rounded / rounded.sum()).tolist())


def _rounded(reference_rows: int, rows: int) -> tuple[int, int]:
    """Both numbers to the nearest step; small ones stay as they are."""

    def near(n: int) -> int:
        return n if n <= 60 else round(STEP_ROWS ** round(np.log(n) / np.log(STEP_ROWS)))

    return near(max(2, reference_rows)), near(max(2, rows))


def _scale(reference_rows: int, rows: int, near: tuple[int, int]) -> float:
    """Distances shrink with the square root of the effective rows."""
    return float(np.sqrt(closed.effective_rows(*near) / closed.effective_rows(reference_rows, rows)))
