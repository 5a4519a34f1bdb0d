"""A column of the reference and the same column of a window, side by side: what every statistic of drift is a function of.

    NumericPair     both on the same ordered cells; `bins` are the reference's deciles
    CategoryPair    both on the same values, or on the same hashes of them where they are many; `bins` are those

What several statistics share (shares, distribution functions, deciles) is computed once, when it is first asked for.
A pair is read-only, and its statistics are pure functions of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, Generic, TypeVar, cast

import numpy as np

from detectors.adaptive import AdaptiveSummary, common_cells
from detectors.category_pair import CategoryPair as CategoryPair
from detectors.cells import OFF, Cells
from detectors.cells import ROUNDING as MANY_EQUAL
from detectors.columns import Bools, Floats, Ints
from detectors.drift import decile_starts, shares
from detectors.moments import Moments
from detectors.numeric import GridSummary

Numeric = GridSummary | AdaptiveSummary
CONSTANT_STD = 0.001  # distances from a reference of one value are divided by this, as Evidently does
LEAST_SQUARE = 1e-300  # of a sum of squares: what is smaller has few digits left, or none
# of the sum of many equal values; of an outer cell's, and of cells whose sums are not those of the values
ROUNDINGS = MANY_EQUAL, 1e-15
DISCRETE = 20  # at most so many distinct values of the reference: a bin for each, not deciles


Made = TypeVar("Made")


class of_reference(Generic[Made]):  # noqa: N801 - it is used as `property` is
    """A property of a pair that the reference's cells alone give: on a grid it is made once for all windows, and kept with the column."""

    def __init__(self, make: Callable[[NumericPair], Made]) -> None:
        self._make = make

    def __get__(self, pair: NumericPair, owner: type) -> Made:
        known = pair.reference.known if isinstance(pair.reference, GridSummary) else pair.known
        found: Any = known.get(self, known)
        if found is known:
            found = known[self] = self._make(pair)
        made: Made = found
        return made


class of_pair(Generic[Made]):  # noqa: N801
    """A property that a pair computes when it is first asked for: `cached_property` without its lock, which takes as long as the sums."""

    def __init__(self, make: Callable[[NumericPair], Made]) -> None:
        self._make, self._name = make, make.__name__

    def __get__(self, pair: NumericPair, owner: type) -> Made:
        found = pair.__dict__[self._name] = self._make(pair)
        return found


class NumericPair:
    """n rows of the reference and m of the window, k cells. Raises ValueError where they have no cells in common."""

    def __init__(self, reference: Numeric, current: Numeric) -> None:
        if isinstance(reference, AdaptiveSummary) and isinstance(current, AdaptiveSummary):
            self.ref, self.cur = common_cells(reference, current)
        elif isinstance(reference, GridSummary) and isinstance(current, GridSummary):
            self.ref, self.cur = reference.cells(), current.cells()
        else:
            raise ValueError("a grid summary and an adaptive one have no cells in common")
        self.known: dict[object, object] = {}
        self.reference, self.current = reference, current
        self.n, self.m = reference.rows, current.rows
        self.infinite = reference.infinite + current.infinite
        self.exact_sums = isinstance(reference, GridSummary)

    @property
    def moments(self) -> tuple[Moments, Moments]:
        return self.reference.moments, self.current.moments

    @property
    def missing(self) -> tuple[int, int]:
        return self.reference.missing, self.current.missing

    @of_pair
    def spreadless(self) -> bool:
        """Whether the reference varies by so much or so little that a float does not hold the squares: nothing is in its units."""
        moments = self.reference.moments
        return moments.n > 0 and moments.low < moments.high and not LEAST_SQUARE < moments.m2 < math.inf

    @of_pair
    def spread(self) -> float:
        """The reference's standard deviation; CONSTANT_STD where it has none, NaN where it is beyond floats."""
        moments = self.reference.moments
        if self.spreadless:
            return math.nan
        return moments.std if moments.n and moments.low < moments.high else CONSTANT_STD

    @of_pair
    def p(self) -> Floats:
        return shares(self.ref.counts)

    @of_pair
    def q(self) -> Floats:
        return shares(self.cur.counts)

    @of_pair
    def gap(self) -> Floats:
        """The distribution functions' difference F - G at the k + 1 edges; 0 at both ends."""
        out = np.zeros(len(self.p) + 1)
        np.cumsum(self.p - self.q, out=out[1:])
        out[-1] = 0.0
        return out

    @of_pair
    def upto(self) -> Ints:
        """Rows of the reference up to the end of each cell, shape (k,)."""
        return np.cumsum(self.ref.counts)

    @of_pair
    def both(self) -> Ints:
        """Rows of both sides together by cell, shape (k,)."""
        return self.ref.counts + self.cur.counts

    @of_pair
    def steps(self) -> Floats:
        """What the gap rises by over each cell, shape (k,)."""
        return np.asarray(self.gap[1:] - self.gap[:-1])

    @of_pair
    def atoms(self) -> Bools:
        """Cells that are exact: all their values, of both sides, are the cell's least value. Shape (k,)."""
        exact = self.reference_atoms & _exact(self.cur, self.exact_sums)
        if self.infinite:  # they are rows of the outer cells, and in no sum
            exact[0] = exact[-1] = False
        return exact

    @of_pair
    def reach(self) -> tuple[Floats, Floats]:
        """The least and greatest F - G can be inside each cell, shapes (k,)."""
        start, end = self.gap[:-1], self.gap[1:]
        low, high = start - self.q, start + self.p
        return np.where(self.atoms, np.minimum(start, end), low), np.where(self.atoms, np.maximum(start, end), high)

    @of_pair
    def edges(self) -> Floats:
        """The cells' edges, the outer ones drawn in to the least and greatest finite value of both sides."""
        lows = [moments.low for moments in self.moments if moments.n]
        highs = [moments.high for moments in self.moments if moments.n]
        if not lows:
            return np.zeros(len(self.ref.edges))
        return np.minimum(np.maximum(self.ref.edges, min(lows)), max(highs))

    @of_pair
    def widths(self) -> Floats:
        with np.errstate(over="ignore"):
            return np.asarray(self.edges[1:] - self.edges[:-1])

    @of_reference
    def reference_atoms(self) -> Bools:
        """Cells that are exact as far as the reference goes. Shape (k,)."""
        return _exact(self.ref, self.exact_sums)

    @of_reference
    def reference_median(self) -> float:
        """NaN where it has no rows."""
        moments = self.reference.moments
        return self.ref.quantile(0.5, moments.low, moments.high)

    @of_reference
    def discrete(self) -> int:
        """How many distinct values the reference has, where they are few and known exactly; else 0."""
        few = int(np.count_nonzero(self.ref.counts))
        return few if 0 < few <= DISCRETE and bool(self.reference_atoms.all()) else 0

    @of_reference
    def bin_starts(self) -> Ints:
        """The first cell of each bin: deciles of the reference, or its values and what lies between them where they are few."""
        if self.discrete:
            values = np.flatnonzero(self.ref.counts > 0)
            starts = np.unique(np.concatenate([[0], values, values + 1]))
            return starts[starts < len(self.ref.counts)]
        return decile_starts(self.ref.counts)

    @of_pair
    def bins(self) -> tuple[Ints, Ints]:
        """Rows of both sides by bin."""
        return self._reference_bins, np.add.reduceat(self.cur.counts, self.bin_starts)

    @of_reference
    def _reference_bins(self) -> Ints:
        found = np.add.reduceat(self.ref.counts, self.bin_starts)
        found.setflags(write=False)  # it is there for all windows
        return found

    @of_pair
    def bin_shares(self) -> tuple[Floats, Floats]:
        return shares(self.bins[0]), shares(self.bins[1])


Pair = NumericPair | CategoryPair
Of = TypeVar("Of", bound=Callable[[Any], Any])


def once(of: Of) -> Of:
    """A function of a pair that is computed when it is first asked for: of a statistic, its p-value and its verdict."""

    @wraps(of)
    def value(pair: Pair) -> Any:
        known = pair.known
        found = known.get(of, known)
        if found is known:
            found = known[of] = of(pair)
        return found

    return cast(Of, value)


def _exact(side: Cells, exact_sums: bool) -> Bools:
    """Cells all of whose values are the cell's least one: their sum says so, as far as rounding lets it. Empty ones too.

    Adaptive cells, whose sums are made of the middles of what they may hold, are exact where that is one value.
    """
    left = side.edges[:-1]
    with np.errstate(invalid="ignore", over="ignore"):
        there = side.counts * left
        size = np.abs(there)
        allowed = size * ROUNDINGS[1]
        if exact_sums:
            width = side.edges[1:] - left
            allowed = np.where(np.isfinite(width), np.minimum(size * ROUNDINGS[0], OFF * side.counts * width), allowed)
        exact: Bools = (side.counts == 0) | (np.abs(side.sums - there) <= allowed)
    return exact
