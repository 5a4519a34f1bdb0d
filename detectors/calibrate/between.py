"""Distances of two distribution functions over ordered cells, against what they do where nothing has changed.

    cramer_von_mises, anderson_darling           quadratic forms of a bridge over the reference's cells (quadratic.py)
    energy, wasserstein                          the same, and a sum of absolute differences (absolute.py), within the reference's
                                                 quantiles beyond which a window has few rows

What lies beyond the outer quantiles is known from few rows or none: a window of 500 holds values that 20,000 rows of Student's
t with 2.5 degrees never had. So two distances in the values' own units are judged between the quantiles beyond which
OUTSIDE rows are expected; what is added outside of them is added to the limit, and range_shift and outlier_share look there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np

from detectors import ordered, pvalues
from detectors.calibrate.absolute import absolute_nulls
from detectors.calibrate.closed import effective_rows
from detectors.calibrate.kept import MOST, Kept
from detectors.calibrate.moves import Move
from detectors.calibrate.null import NullTable
from detectors.calibrate.nulls import reference_counts, rounded
from detectors.calibrate.quadratic import quadratic_nulls, squares_null
from detectors.columns import Bools, Floats, Ints
from detectors.pairs import NumericPair, Pair, once

OUTSIDE = 10.0  # rows of the window that are expected beyond each of the outer quantiles
WIDEST = 0.25  # the most that is left out on either side
NARROW = 1e-9  # of the spread: a width of no account
ONE_PLACE = "between the reference's outer quantiles all rows lie in one place: js and rank_shift say whether they moved"
GROUPS = 32  # cells that are looked at, joined from the reference's
_GROUPS = np.arange(GROUPS) / GROUPS
Key = tuple[bytes, ...]  # floats of weights and of where the bridge is, and of jumps

_squares: Kept[Key, NullTable] = Kept(lambda keys: quadratic_nulls([_floats(key) for key in keys]), MOST)
_absolutes: Kept[Key, NullTable] = Kept(lambda keys: absolute_nulls([_floats(key)[:2] for key in keys]), MOST)


def _floats(key: Key) -> tuple[Any, ...]:
    found = [np.frombuffer(of) for of in key]
    return tuple(found if len(found) == 3 else [*found, np.zeros(len(found[0]))])


def distance(name: str, pair: NumericPair, value: float) -> Move | None:
    """A finite value of a statistic of DISTANCES. None where the reference has one place only."""
    return DISTANCES[name][1](pair, value) if _places(pair) > 1 else None


def prepare(wanted: Iterable[tuple[str, Pair]]) -> None:
    """Make the tables that `distance` will be asked for, those of all features at once."""
    of: dict[Kept[Key, NullTable], list[Key]] = {_squares: [], _absolutes: []}
    for name, pair in wanted:
        if name in DISTANCES and isinstance(pair, NumericPair) and pair.n > 1 and pair.m > 1 and _places(pair) > 1:
            key = DISTANCES[name][0](pair)
            if key is not None:
                of[_absolutes if name == "wasserstein" else _squares].append(key)
    for kept, keys in of.items():
        kept.prepare(keys)


@once
def _places(pair: NumericPair) -> int:
    return int(np.count_nonzero(pair.ref.counts))


@once
def _of_cramer_von_mises(pair: NumericPair) -> Key:
    share, upto, jump = _joined(pair)
    return share.tobytes(), (upto + jump / 2.0).tobytes()  # after a jump


def _cramer_von_mises(pair: NumericPair, value: float) -> Move:
    return Move(value, _squares(_of_cramer_von_mises(pair)), lambda place: place)


@once
def _of_anderson_darling(pair: NumericPair) -> Key:
    share, upto, jump = _joined(pair)
    return (share / (upto * (1.0 - upto) - jump / 4.0)).tobytes(), upto.tobytes(), jump.tobytes()


def _anderson_darling(pair: NumericPair, value: float) -> Move:
    std = pvalues.anderson_darling_std(pair.n, pair.m)
    return Move(value * std + 1.0, _squares(_of_anderson_darling(pair)), lambda place: (place - 1.0) / std)


def _of_energy(pair: NumericPair) -> Key | None:
    return _distances(pair)[0]


def _energy(pair: NumericPair, value: float) -> Move:
    inner = _between(pair)
    square = 2.0 * float((pair.widths * ordered.gap_square(pair))[inner].sum()) / pair.spread
    outer = max(0.0, value * value - square)
    key = _of_energy(pair)
    if key is None:
        return _one_place()
    table = _squares(key).scaled(2.0 / (pair.spread * effective_rows(pair.n, pair.m)))
    return Move(square, table, lambda place: math.sqrt(max(0.0, place) + outer))


def _of_wasserstein(pair: NumericPair) -> Key | None:
    return _distances(pair)[1]


def _wasserstein(pair: NumericPair, value: float) -> Move:
    inner = _between(pair)
    found = float(np.abs(ordered.gap_areas(pair))[inner].sum()) / pair.spread
    outer = max(0.0, value - found)
    key = _of_wasserstein(pair)
    if key is None:
        return _one_place()
    table = _absolutes(key).scaled(1.0 / (pair.spread * math.sqrt(effective_rows(pair.n, pair.m))))
    return Move(found, table, lambda place: place + outer)


def _moving(weights: Floats, upto: Floats) -> Key | None:
    """None where no row between the outer quantiles can lie elsewhere: there is no law to hold a distance against."""
    moves = np.isfinite(weights).all() and bool((weights * upto * (1.0 - upto) > 0.0).any())
    return (weights.tobytes(), upto.tobytes()) if moves else None


def _one_place() -> Move:
    return Move(0.0, squares_null(np.ones(1)), lambda place: place, ONE_PLACE)


DISTANCES: dict[str, tuple[Callable[[NumericPair], Key | None], Callable[[NumericPair, float], Move]]] = {
    "cramer_von_mises": (_of_cramer_von_mises, _cramer_von_mises),
    "anderson_darling": (_of_anderson_darling, _anderson_darling),
    "energy": (_of_energy, _energy),
    "wasserstein": (_of_wasserstein, _wasserstein),
}


@once
def _joined(pair: NumericPair) -> tuple[Floats, Floats, Floats]:
    """Of the reference's cells, joined to about GROUPS: shares, the distribution function in their middle, and the share of those
    that are one value; all of shape (groups,)."""
    share, middle, first, alone = _joined_of(reference_counts(pair))
    return share, middle, np.where(alone & pair.atoms[first], share, 0.0)


@lru_cache(maxsize=1024)
def _joined_of(of: bytes) -> tuple[Floats, Floats, Ints, Bools]:
    """Of a reference's counts: shares, the distribution function in their middle, the first cell, and whether it is the only one."""
    every: Ints = np.frombuffer(of, dtype=np.int64)
    rows = int(every.sum())
    filled = np.flatnonzero(every)
    counts = every[filled]
    starts = (np.cumsum(counts) / rows).searchsorted(_GROUPS, side="right")
    starts = np.array(sorted({start for start in starts.tolist() if start < len(counts)}))
    share = np.add.reduceat(counts, starts) / rows
    alone = np.diff(starts, append=len(counts)) == 1
    middle = np.cumsum(share) - share / 2.0
    return share, np.minimum(np.maximum(middle, 0.5 / rows), 1.0 - 0.5 / rows), filled[starts], alone


@once
def _between(pair: NumericPair) -> Bools:
    """The cells between the outer quantiles, (k,)."""
    n, m = rounded(pair.n, pair.m)
    least = min(WIDEST, max(OUTSIDE / m, OUTSIDE / n)) * pair.n
    known = np.isfinite(pair.ref.edges)
    return np.asarray((pair.upto >= least) & (pair.upto - pair.ref.counts <= pair.n - least) & known[:-1] & known[1:])


@once
def _distances(pair: NumericPair) -> tuple[Key | None, Key | None]:
    """Where the tables of energy and of Wasserstein's distance are kept: of the reference alone, but for how far out the quantiles lie."""
    inner, r = _between(pair), pair.reference.moments
    edges = np.minimum(np.maximum(pair.ref.edges, r.low), r.high)
    wide = (edges[1:] - edges[:-1])[inner].tobytes()
    atoms = pair.reference_atoms[inner].tobytes()
    return _distances_of(reference_counts(pair), inner.tobytes(), atoms, wide, NARROW * pair.spread)


@lru_cache(maxsize=1024)
def _distances_of(of: bytes, inner: bytes, atoms: bytes, widths: bytes, narrow: float) -> tuple[Key | None, Key | None]:
    counts: Ints = np.frombuffer(of, dtype=np.int64)
    total, mine = counts.sum(), np.frombuffer(inner, dtype=np.bool_)
    after, width = np.cumsum(counts)[mine] / total, np.frombuffer(widths)
    at = np.where(np.frombuffer(atoms, dtype=np.bool_), after, after - counts[mine] / total / 2.0)
    there = (at > 0) & (at < 1) & (width > narrow)
    at, width = at[there], width[there]
    std = np.sqrt(at * (1.0 - at))
    # a root of squares adds the widths' roots, a distance widths: only what is joined depends on it
    return _moving(*_grouped(width, at, std, np.sqrt(width))), _moving(*_grouped(width, at, std, width))


def _grouped(width: Floats, at: Floats, std: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Widths of cells, joined to about GROUPS of like weight, and the distribution function in them; both (groups,)."""
    if not len(width):
        return np.zeros(1), np.full(1, 0.5)
    parts = np.cumsum(weight * std)
    group = np.minimum((parts / parts[-1] * GROUPS).astype(np.int64), GROUPS - 1)
    wide = width * std
    sums, first = np.bincount(group, wide, GROUPS), np.bincount(group, wide * at, GROUPS)
    kept = sums > 0.0
    middle = first[kept] / sums[kept]
    return sums[kept] / np.sqrt(middle * (1.0 - middle)), middle
