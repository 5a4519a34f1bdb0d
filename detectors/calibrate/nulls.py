"""The null of a drift score of one feature, from the reference's counts and the two numbers of rows.

    over bins       js, psi, kl, hellinger, chi2, g_test, cramers_v         sums over cells (sums.py)
                    tv, linf                                                absolute.py; the greatest of them (greatest.py)
    by rank         ks, kuiper, rank_shift                                  closed; ks of ties over its running sums

They are what resampling the reference at the window's own rows tends to with ever more draws, the reference apart from the window,
so that no row is on both sides. Nulls are functions of their arguments alone, and kept: rows are rounded to steps of a tenth,
shares to steps of a twentieth of themselves, and the table is scaled from the rounded rows to the true ones. So all
features of ten equal bins share one table, and a stream of about so many rows a window makes one a feature. `prepare` makes those
of many features together, to the last bit as `pair_null` makes them one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import ndtri, stdtrit

from detectors.calibrate import closed
from detectors.calibrate.absolute import total_variation_nulls
from detectors.calibrate.closed import RANK_CELLS
from detectors.calibrate.constant import constant_null
from detectors.calibrate.greatest import greatest_changes, greatest_running_sums
from detectors.calibrate.kept import MOST, Kept, together
from detectors.calibrate.null import TAILS, NullTable
from detectors.calibrate.statistics import OVER_BINS
from detectors.calibrate.sums import sums_nulls
from detectors.columns import Floats, Ints
from detectors.pairs import NumericPair, Pair, once

STEP_ROWS, STEP_SHARES = 1.1, 1.05
FINE = 0.02  # a column whose commonest cell is smaller than this has no ties to speak of
CATEGORIES = 400  # cells of one feature that are looked at; rarer categories beyond share the last

CALIBRATED = frozenset({*OVER_BINS, "ks", "kuiper", "rank_shift"})
NORMAL = NullTable(-ndtri(np.minimum(TAILS, 1.0 - 1e-9)))  # of a standard normal deviate, one way
STUDENT = NullTable(-stdtrit(12.0, np.minimum(TAILS, 1.0 - 1e-9)))  # of a mean of errors, whose tails are heavy, one way
NORMAL_EITHER = NullTable(-ndtri(np.minimum(TAILS / 2.0, 0.5)))  # of its absolute value


def pair_null(name: str, pair: Pair) -> NullTable | None:
    """The null of a statistic of the registry for a pair. None: none is known, or one of both has no rows."""
    if pair.n == 0 or pair.m == 0 or name not in CALIBRATED:
        return None
    found = _place(name, pair)
    if found is None:
        return constant_null(name, pair.n, pair.m) if name in OVER_BINS or isinstance(pair, NumericPair) else None
    table = found[0](found[1])
    if name == "cramers_v":  # the root of chi-square over the rows: a distance by their sum, not by their harmonic mean
        return table.root().scaled(1.0 / np.sqrt(pair.n + pair.m))
    scale = _rows(pair)[1]
    return table.scaled(scale ** OVER_BINS[name].power if name in OVER_BINS else scale)


def root_null(name: str, pair: Pair) -> NullTable | None:
    """The null of the root of a statistic of OVER_BINS. None as for pair_null."""
    found = _place(name, pair) if pair.n and pair.m else None
    if found is None:
        table = pair_null(name, pair)
        return None if table is None else table.root()
    return found[0](found[1]).root().scaled(_rows(pair)[1] ** (OVER_BINS[name].power / 2.0))


def prepare(wanted: Iterable[tuple[str, Pair]]) -> None:
    """Make the tables that pair_null will be asked for, those of all features at once."""
    of: dict[Kept[Any, NullTable], list[Any]] = {}
    for name, pair in wanted:
        found = _place(name, pair) if name in CALIBRATED and pair.n and pair.m else None
        if found is not None:
            of.setdefault(found[0], []).append(found[1])
    for kept, keys in of.items():
        kept.prepare(keys)


Place = tuple[Kept[Any, NullTable], Any]


def _place(name: str, pair: Pair) -> Place | None:
    """Where the table of a statistic of CALIBRATED is kept, and as what; None where the reference has one value only, or the kind is another."""
    key = _place, name
    if key not in pair.known:
        pair.known[key] = _kept(name, pair)
    found: Any = pair.known[key]
    return found  # type: ignore[no-any-return]


def _kept(name: str, pair: Pair) -> Place | None:
    near = _rows(pair)[0]
    if name in OVER_BINS:
        shape = _shape(pair)
        return (_of_shares, ("chi2" if name == "cramers_v" else name, shape, *near)) if shape else None
    if not isinstance(pair, NumericPair) or _places(pair)[0] < 2:
        return None
    if name == "rank_shift":
        return _ranks, (_rank_shares(pair), *near)
    if name == "kuiper":  # with ties it is passed less often
        return _kuiper, near
    return (_ks_of_ties, (_rank_shares(pair), *near)) if has_ties(pair) else (_ks, near)


def has_ties(pair: NumericPair) -> bool:
    """Whether the reference has ties to speak of."""
    return _places(pair)[1] >= FINE * pair.n


@once
def _rows(pair: Pair) -> tuple[tuple[int, int], float]:
    """Both numbers of rows, rounded, and what brings a distance of so many to the true ones."""
    near = rounded(pair.n, pair.m)
    return near, float(np.sqrt(closed.effective_rows(*near) / closed.effective_rows(pair.n, pair.m)))


@once
def _shape(pair: Pair) -> bytes:
    return _steps(_bytes(pair.bins[0]))


@once
def _places(pair: NumericPair) -> tuple[int, int]:
    return filled_places(reference_counts(pair))


@once
def _rank_shares(pair: NumericPair) -> bytes:
    return _rank_cells(reference_counts(pair))


@once
def reference_counts(pair: NumericPair) -> bytes:
    """Of its cells (int64): what is of the reference alone is kept by them."""
    return _bytes(pair.ref.counts)


def _bytes(counts: Ints) -> bytes:
    return np.asarray(counts, dtype=np.int64).tobytes()


@lru_cache(maxsize=MOST)
def _steps(bins: bytes) -> bytes:
    """Logarithms of the shares of the bins that have rows, or may have, greatest first, in steps of STEP_SHARES; empty of one bin."""
    counts: Ints = np.frombuffer(bins, dtype=np.int64)
    filled = _with_unseen(np.sort(counts[counts > 0])[::-1])
    total = int(counts.sum())
    if len(filled) > CATEGORIES:
        filled = np.append(filled[: CATEGORIES - 1], filled[CATEGORIES - 1 :].sum())
    return np.round(np.log(filled / max(total, 1)) / np.log(STEP_SHARES)).astype(np.int64).tobytes() if len(filled) > 1 else b""


def _with_unseen(counts: Ints) -> Floats:
    """Expected rows by value, of values that a reference has and of those that it has not yet: (values,), descending.

    By Good 1953: those of one row hold as much as 2 / n for each value of two rows, and what was never seen 1 / n for each value
    of one; it is split among twice as many values as Chao 1984 has it at least: that is his bound, and rare values are not alike
    either (100 to 300 rows by Zipf's law of 1.5 to 2.5, compared by name: js beyond its limit of 1e-2 happens 4 to 6 times as often
    as that, without them 12 to 18 times; greater references that lack values are compared by hash).
    """
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    unseen = round(once * (once - 1) / (twice + 1.0))
    if unseen < 1:
        return counts.astype(np.float64)
    out = np.where(counts == 1, min(1.0, 2.0 * (twice + 1.0) / once), counts)
    out = np.sort(np.concatenate([out, np.full(unseen, once / unseen)]))[::-1]
    return np.asarray(out * (counts.sum() / out.sum()))


Shape = tuple[str, bytes, int, int]  # statistic, steps of shares (int64), rows of reference and window; bytes keep their hash


def _tables_of_shares(keys: Sequence[Shape]) -> list[NullTable]:
    """Statistics of the same shares and rows are made together: cells have the same counts for all of them."""
    statistics: dict[tuple[bytes, int, int], list[str]] = {}
    for name, steps, n, m in keys:
        statistics.setdefault((steps, n, m), []).append(name)
    made = together([((tuple(names), n, m), _as_shares(steps)) for (steps, n, m), names in statistics.items()], _of_names)
    tables = {(name, *of): table for of, found in zip(statistics, made, strict=True) for name, table in found.items()}
    return [tables[key] for key in keys]


def _of_names(like: tuple[tuple[str, ...], int, int], shares: list[Floats]) -> list[dict[str, NullTable]]:
    """Of each feature the tables of these statistics."""
    names, *rows = like
    sums = tuple(name for name in names if name not in _OTHERS)
    found = dict(zip(sums, sums_nulls(sums, shares, *rows), strict=True))
    found |= {name: _OTHERS[name](shares, *rows) for name in names if name in _OTHERS}
    return [{name: found[name][i] for name in names} for i in range(len(shares))]


_OTHERS = {"linf": greatest_changes, "tv": total_variation_nulls}


def _as_shares(steps: bytes) -> Floats:
    shares = STEP_SHARES ** np.frombuffer(steps, dtype=np.int64).astype(np.float64)
    return np.asarray(shares / shares.sum())


def _tables_of_ranks(keys: Sequence[Ranks]) -> list[NullTable]:
    return together([((n, m), np.frombuffer(shares)) for shares, n, m in keys], lambda rows, many: closed.rank_shifts(many, *rows))


def _tables_of_ties(keys: Sequence[Ranks]) -> list[NullTable]:
    return together(
        [((n, m), np.frombuffer(shares)) for shares, n, m in keys], lambda rows, many: greatest_running_sums(many, *rows)
    )


Ranks = tuple[bytes, int, int]  # shares of cells in order (float64), rows of reference and window
_of_shares: Kept[Shape, NullTable] = Kept(_tables_of_shares, 2 * MOST)
_ranks: Kept[Ranks, NullTable] = Kept(_tables_of_ranks, MOST)
_ks_of_ties: Kept[Ranks, NullTable] = Kept(_tables_of_ties, MOST)
_ks: Kept[tuple[int, int], NullTable] = Kept(lambda keys: [closed.kolmogorov_smirnov(*rows) for rows in keys], 1024)
_kuiper: Kept[tuple[int, int], NullTable] = Kept(lambda keys: [closed.kuiper(*rows) for rows in keys], 1024)


@lru_cache(maxsize=2048)
def filled_places(counts: bytes) -> tuple[int, int]:
    """How many cells of counts have rows, and the rows of the one that has most."""
    of: Ints = np.frombuffer(counts, dtype=np.int64)
    return int(np.count_nonzero(of)), int(of.max())


@lru_cache(maxsize=2048)
def _rank_cells(counts: bytes) -> bytes:
    """Shares of at most about RANK_CELLS cells, joined from counts; equal ones where there are no ties to speak of."""
    filled: Ints = np.frombuffer(counts, dtype=np.int64)
    filled = filled[filled > 0]
    total = int(filled.sum())
    if int(filled.max()) < FINE * total:
        return np.full(RANK_CELLS, 1.0 / RANK_CELLS).tobytes()
    upto = np.cumsum(filled)
    starts = np.unique(np.concatenate([[0], np.searchsorted(upto, np.arange(1, RANK_CELLS) * (total / RANK_CELLS)) + 1]))
    shares = np.add.reduceat(filled, starts[starts < len(filled)]) / total
    if len(shares) < 2:  # nearly all rows are one value: that, and what lies before and behind it
        most = int(filled.argmax())
        sides = np.array([filled[:most].sum(), filled[most], filled[most + 1 :].sum()]) / total
        shares = sides[sides > 0.0]
    rounded = np.maximum(np.round(shares, 3), 1e-4)
    return np.asarray(rounded / rounded.sum(), dtype=np.float64).tobytes()


def rounded(reference_rows: int, rows: int) -> tuple[int, int]:
    """Both numbers to the nearest step; small ones stay as they are."""
    return _near(max(2, reference_rows)), _near(max(2, rows))


@lru_cache(maxsize=65_536)
def _near(n: int) -> int:
    return n if n <= 60 else round(STEP_ROWS ** round(np.log(n) / np.log(STEP_ROWS)))
