"""A statistic of the registry against what it does where nothing has changed: where it lies, on which table, and the way back.

over bins, ks, kuiper, rank_shift            nulls.py: the value itself; of a sum of squares (psi, chi2, ...) its root, which
                                             moves as the column does: past windows then say where the next one lies
cramer_von_mises, anderson_darling,
energy, wasserstein                          between.py
mean_shift, welch_t, std_shift               t and F, where the reference's moments say that they hold at so many rows
median_shift                                 the share of rows below the window's median: a likelihood root
range_shift                                  rows beyond the extremes of another sample, of whatever law (Wilks 1941)
new_categories, new_category_share           which categories fall into the window alone, rows dealt out anew
NAME_p                                       as its statistic
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from detectors.calibrate import between, moves, nulls
from detectors.calibrate.between import DISTANCES, distance
from detectors.calibrate.moves import Move
from detectors.calibrate.nulls import CALIBRATED, has_ties, pair_null, root_null
from detectors.pairs import CategoryPair, NumericPair, Pair
from detectors.registry import STATISTICS

TIES = "Kuiper's law is that of columns without ties; ks and js say whether this one moved"
TOO_GREAT = "values of such a size have no squares: what chance does to them cannot be told"
NEW = ("new_categories", "new_category_share")
SQUARES = ("psi", "kl", "chi2", "g_test")


def held(name: str, pair: Pair, value: float) -> Move | None:
    """A finite value of a statistic, or of its p-value. None where no null is known, or the reference cannot have one."""
    found = _once(name, pair, value)
    return found._replace(out=0.0, unsure=found.unsure or TOO_GREAT) if found is not None and math.isnan(found.out) else found


def prepare(wanted: Collection[tuple[str, Pair]]) -> None:
    """Make the tables that `held` will be asked for, those of all features at once. A p-value is asked for by its statistic's name."""
    nulls.prepare(wanted)
    between.prepare(wanted)


def _once(name: str, pair: Pair, value: float) -> Move | None:
    """Of a statistic and its p-value the same, made once."""
    key = _held, name, value
    if key not in pair.known:
        pair.known[key] = _held(name, pair, value)
    found: Any = pair.known[key]
    return found  # type: ignore[no-any-return]


def _held(name: str, pair: Pair, value: float) -> Move | None:
    if name in SQUARES:
        table = root_null(name, pair)
        return None if table is None else Move(_root(value), table, _square)
    if name in CALIBRATED:
        table = pair_null(name, pair)
        ties = name == "kuiper" and isinstance(pair, NumericPair) and has_ties(pair)
        return None if table is None else Move(value, table, _as_it_is, TIES if ties else "")
    if name.endswith("_p") and name.removesuffix("_p") in STATISTICS:
        return _of_p_value(name.removesuffix("_p"), pair, value)
    if name in NEW and isinstance(pair, CategoryPair):
        return moves.new_values(pair, value, rows=name == "new_category_share")
    if not isinstance(pair, NumericPair) or pair.n < 2 or pair.m < 2:
        return None
    if name in DISTANCES:
        return distance(name, pair, value)
    return moves.MOVES[name](pair, value) if name in moves.MOVES else None


def _as_it_is(place: float) -> float:
    return place


def _root(value: float) -> float:
    return math.sqrt(max(value, 0.0))


def _square(place: float) -> float:
    return max(place, 0.0) ** 2


def _of_p_value(name: str, pair: Pair, p: float) -> Move | None:
    """As its statistic; the p-value at a place is this one, by as much more or less likely."""
    value = STATISTICS[name].value(pair)
    found = _once(name, pair, value) if math.isfinite(value) else None
    if found is None:
        return None
    here = found.table.survival(found.out)
    return found._replace(back=lambda place: min(1.0, p * found.table.survival(place) / here))


_VALUES = frozenset({*CALIBRATED, *NEW, *DISTANCES, *moves.MOVES})
HELD = _VALUES | {f"{name}_p" for name in _VALUES if STATISTICS[name].p_value is not None}  # names that `held` knows
