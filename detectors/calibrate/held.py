"""A statistic of the registry against what it does where nothing has changed: where it lies, on which table, and the way back.

    over bins, ks, kuiper, rank_shift            nulls.py: the value itself; of a sum of squares (psi, chi2, ...) its root, which
                                                 moves as the column does: past windows then say where the next one lies
    cramer_von_mises, anderson_darling           quadratic forms of a bridge over the reference's cells (quadratic.py)
    energy, wasserstein                          the same, and a sum of absolute differences (absolute.py), within the reference's
                                                 quantiles beyond which a window has few rows
    mean_shift, welch_t, std_shift               t and F, where the reference's moments say that they hold at so many rows
    median_shift                                 the share of rows below the window's median: a likelihood root
    range_shift                                  rows beyond the extremes of another sample, of whatever law (Wilks 1941)
    new_categories, new_category_share           which categories fall into the window alone, rows dealt out anew
    NAME_p                                       as its statistic

What lies beyond the outer quantiles is known from few rows or none: a window of 500 holds values that 20,000 rows of Student's
t with 2.5 degrees never had. So two distances in the values' own units are judged between the quantiles beyond which
OUTSIDE rows are expected; what is added outside of them is added to the limit, and range_shift and outlier_share look there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import cast

import numpy as np

from detectors import ordered, pvalues
from detectors.calibrate import moves
from detectors.calibrate.absolute import absolute_null
from detectors.calibrate.closed import effective_rows
from detectors.calibrate.moves import Move
from detectors.calibrate.null import NullTable
from detectors.calibrate.nulls import CALIBRATED, FINE, pair_null, rounded
from detectors.calibrate.quadratic import quadratic_null, squares_null
from detectors.columns import Floats
from detectors.pairs import CategoryPair, NumericPair, Pair, once
from detectors.registry import STATISTICS

OUTSIDE = 10.0  # rows of the window that are expected beyond each of the outer quantiles
WIDEST = 0.25  # the most that is left out on either side
NARROW = 1e-9  # of the spread: a width of no account
TIES = "Kuiper's law is that of columns without ties; ks and js say whether this one moved"
ONE_PLACE = "between the reference's outer quantiles all rows lie in one place: js and rank_shift say whether they moved"
TOO_GREAT = "values of such a size have no squares: what chance does to them cannot be told"
NEW = ("new_categories", "new_category_share")
SQUARES = ("psi", "kl", "chi2", "g_test")
GROUPS = 32  # cells that are looked at, joined from the reference's
_GROUPS = np.arange(GROUPS) / GROUPS


def held(name: str, pair: Pair, value: float) -> Move | None:
    """A finite value of a statistic, or of its p-value. None where no null is known, or the reference cannot have one."""
    found = _once(name, pair, value)
    return replace(found, out=0.0, unsure=found.unsure or TOO_GREAT) if found is not None and math.isnan(found.out) else found


def _once(name: str, pair: Pair, value: float) -> Move | None:
    """Of a statistic and its p-value the same, made once."""
    if (_held, name, value) not in pair.known:
        pair.known[_held, name, value] = _held(name, pair, value)
    return cast("Move | None", pair.known[_held, name, value])


def _held(name: str, pair: Pair, value: float) -> Move | None:
    if name in CALIBRATED:
        table = pair_null(name, pair)
        ties = name == "kuiper" and isinstance(pair, NumericPair) and int(pair.ref.counts.max()) >= FINE * pair.n
        if table is None or name not in SQUARES:
            return None if table is None else Move(value, table, lambda place: place, TIES if ties else "")
        return Move(_root(value), NullTable(np.sqrt(np.maximum(table.values, 0.0))), lambda place: max(place, 0.0) ** 2)
    if name.endswith("_p") and name.removesuffix("_p") in STATISTICS:
        return _of_p_value(name.removesuffix("_p"), pair, value)
    if name in NEW and isinstance(pair, CategoryPair):
        return moves.new_values(pair, value, rows=name == "new_category_share")
    if not isinstance(pair, NumericPair) or pair.n < 2 or pair.m < 2:
        return None
    if name in _ORDERED:
        return _ORDERED[name](pair, value) if np.count_nonzero(pair.ref.counts) > 1 else None
    return moves.MOVES[name](pair, value) if name in moves.MOVES else None


def _root(value: float) -> float:
    return math.sqrt(max(value, 0.0))


def _of_p_value(name: str, pair: Pair, p: float) -> Move | None:
    """As its statistic; the p-value at a place is this one, by as much more or less likely."""
    value = STATISTICS[name].value(pair)
    found = _once(name, pair, value) if math.isfinite(value) else None
    if found is None:
        return None
    here = found.table.survival(found.out)
    return replace(found, back=lambda place: min(1.0, p * found.table.survival(place) / here))


def _cramer_von_mises(pair: NumericPair, value: float) -> Move:
    share, upto, jump = _joined(pair)
    return Move(value, _squares(share.tobytes(), (upto + jump / 2.0).tobytes()), lambda place: place)  # after a jump


def _anderson_darling(pair: NumericPair, value: float) -> Move:
    share, upto, jump = _joined(pair)
    std = pvalues.anderson_darling_std(pair.n, pair.m)
    table = _squares((share / (upto * (1.0 - upto) - jump / 4.0)).tobytes(), upto.tobytes(), jump.tobytes())
    return Move(value * std + 1.0, table, lambda place: (place - 1.0) / std)


def _nothing_moves(weights: Floats, upto: Floats) -> bool:
    """Whether no row between the outer quantiles can lie elsewhere: there is no law to hold a distance against."""
    return not np.isfinite(weights).all() or not bool((weights * upto * (1.0 - upto) > 0.0).any())


def _energy(pair: NumericPair, value: float) -> Move:
    inner = _between(pair)
    square = 2.0 * float((pair.widths * ordered.gap_square(pair))[inner].sum()) / pair.spread
    outer = max(0.0, value * value - square)
    weights, upto = _grouped(pair, np.sqrt)
    if _nothing_moves(weights, upto):
        return Move(0.0, squares_null(np.ones(1)), lambda place: place, ONE_PLACE)
    table = _squares(weights.tobytes(), upto.tobytes()).scaled(2.0 / (pair.spread * effective_rows(pair.n, pair.m)))
    return Move(square, table, lambda place: math.sqrt(max(0.0, place) + outer))


def _wasserstein(pair: NumericPair, value: float) -> Move:
    inner = _between(pair)
    distance = float(np.abs(ordered.gap_areas(pair))[inner].sum()) / pair.spread
    outer = max(0.0, value - distance)
    weights, upto = _grouped(pair, lambda v: v)
    if _nothing_moves(weights, upto):
        return Move(0.0, squares_null(np.ones(1)), lambda place: place, ONE_PLACE)
    table = _absolutes(weights.tobytes(), upto.tobytes()).scaled(1.0 / (pair.spread * math.sqrt(effective_rows(pair.n, pair.m))))
    return Move(distance, table, lambda place: place + outer)


@lru_cache(maxsize=4096)
def _squares(weights: bytes, upto: bytes, jumps: bytes = b"") -> NullTable:
    at = np.frombuffer(upto)
    return quadratic_null(np.frombuffer(weights), at, np.frombuffer(jumps) if jumps else np.zeros(len(at)))


@lru_cache(maxsize=4096)
def _absolutes(weights: bytes, upto: bytes) -> NullTable:
    w, u = np.frombuffer(weights), np.frombuffer(upto)
    covariance = np.minimum(u[:, None], u) - u[:, None] * u
    return absolute_null(w, covariance, float(w @ covariance @ w))


_ORDERED: dict[str, Callable[[NumericPair, float], Move]] = {
    "cramer_von_mises": _cramer_von_mises,
    "anderson_darling": _anderson_darling,
    "energy": _energy,
    "wasserstein": _wasserstein,
}


_VALUES = frozenset({*CALIBRATED, *NEW, *_ORDERED, *moves.MOVES})
HELD = _VALUES | {f"{name}_p" for name in _VALUES if STATISTICS[name].p_value is not None}  # names that `held` knows


@once
def _joined(pair: NumericPair) -> tuple[Floats, Floats, Floats]:
    """Of the reference's cells, joined to about GROUPS: shares, the distribution function in their middle, and the share of those
    that are one value; all of shape (groups,)."""
    filled = np.flatnonzero(pair.ref.counts)
    counts = pair.ref.counts[filled]
    starts = (pair.upto[filled] / pair.n).searchsorted(_GROUPS, side="right")
    starts = np.array(sorted({start for start in starts.tolist() if start < len(counts)}))
    share = np.add.reduceat(counts, starts) / pair.n
    alone = pair.atoms[filled[starts]]
    alone[:-1] &= starts[1:] - starts[:-1] == 1
    alone[-1] &= starts[-1] == len(counts) - 1
    middle = np.cumsum(share) - share / 2.0
    return share, np.minimum(np.maximum(middle, 0.5 / pair.n), 1.0 - 0.5 / pair.n), np.where(alone, share, 0.0)


@once
def _between(pair: NumericPair) -> np.ndarray:
    """The cells between the outer quantiles, (k,)."""
    n, m = rounded(pair.n, pair.m)
    least = min(WIDEST, max(OUTSIDE / m, OUTSIDE / n)) * pair.n
    known = np.isfinite(pair.ref.edges)
    return np.asarray((pair.upto >= least) & (pair.upto - pair.ref.counts <= pair.n - least) & known[:-1] & known[1:])


@once
def _wide(pair: NumericPair) -> tuple[Floats, Floats, Floats]:
    """Of the inner cells that have a width: it, the distribution function in them, and its deviation; all (cells,)."""
    after = pair.upto / pair.n
    at = np.where(pair.atoms, after, after - pair.p / 2.0)
    there = _between(pair) & (at > 0) & (at < 1) & (pair.widths > NARROW * pair.spread)
    at = at[there]
    return pair.widths[there], at, np.sqrt(at * (1.0 - at))


def _grouped(pair: NumericPair, norm: Callable[[Floats], Floats]) -> tuple[Floats, Floats]:
    """Widths of the inner cells, joined to about GROUPS of like weight, and the distribution function in them; both (groups,).

    norm: of width (a distance adds widths, a root of squares adds their roots): only what is joined depends on it.
    """
    width, at, std = _wide(pair)
    if not len(width):
        return np.zeros(1), np.full(1, 0.5)
    parts = np.cumsum(norm(width) * std)
    group = np.minimum((parts / parts[-1] * GROUPS).astype(np.int64), GROUPS - 1)
    wide = width * std
    sums, first = np.bincount(group, wide, GROUPS), np.bincount(group, wide * at, GROUPS)
    kept = sums > 0.0
    middle = first[kept] / sums[kept]
    return sums[kept] / np.sqrt(middle * (1.0 - middle)), middle
