"""What all tasks count in: named sums and named arrays of counts, all of them linear in the rows.

Linear is what makes them merge in any order and lets a row be taken back: it is added once more with weight -1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.columns import Bools, DictColumn, Floats, Ints, Outcomes, Schema
from detectors.labelled.folding import Pairs, added, keeps_name
from detectors.labelled.intervals import Range, mean_interval

TOLERANCE = 1e-6  # a probability may be so far below 0 or above 1
HALF_BITS = 26  # of a mantissa, summed apart
SPLIT = 2.0**27 + 1.0
DENSE = 65_536  # pairs of values that are counted in an array of all of them


class Metric(NamedTuple):
    """A metric, its 95 % confidence interval (NaN where there is none), and the rows that it rests on."""

    name: str
    value: float
    low: float
    high: float
    rows: int
    evidence: Mapping[str, object] = {}


@dataclass(slots=True)
class Tally:
    """confusion counts (predicted, true) labels, at the level `fold` of folding.py; arrays hold whole numbers.

    exact: sums that are kept without rounding, because what follows from them is a small difference of great numbers.
    parts: the optional parts of detectors/summaries.py by name.
    """

    schema: Schema
    confusion: Pairs = field(default_factory=dict)
    fold: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    arrays: dict[str, Ints] = field(default_factory=dict)
    exact: dict[str, Fraction] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Outcomes that could be judged."""
        return int(self.sums["rows"])

    def count_rows(self, weight: Ints, name: str = "rows") -> None:
        self.sums[name] += float(weight.sum())

    def add_values(self, name: str, values: npt.NDArray[Any], weight: Ints) -> None:
        """A sum and, as NAME_sq, the sum of squares: what a mean and its interval need. Shapes (n,)."""
        if name in self.exact:
            for of, parts in ((name, values), (name + "_sq", values * values)):
                self.exact[of] += exact_sum(parts, weight)
                self.sums[of] = float(self.exact[of])
            return
        weighted = weight * values.astype(np.float64)
        self.sums[name] += float(weighted.sum())
        self.sums[name + "_sq"] += float((weighted * values).sum())

    def round_exact(self) -> None:
        """Sums that are kept without rounding too, as floats."""
        for name in self.exact.keys() & self.sums.keys():
            self.sums[name] = float(self.exact[name])

    def count(self, name: str, index: tuple[npt.NDArray[Any], ...], weight: Ints) -> None:
        """Add weights to the array's elements at index: arrays that broadcast to one shape with weight."""
        counts = self.arrays[name]
        flat = np.ravel_multi_index(index, counts.shape).ravel()
        weights = np.broadcast_to(weight, np.broadcast_shapes(*(i.shape for i in index))).ravel()
        counts += np.bincount(flat, weights=weights, minlength=counts.size).astype(np.int64).reshape(counts.shape)

    def add_confusion(self, predicted: DictColumn, true: DictColumn, there: Bools, weight: Ints) -> None:
        """Count pairs of labels, of the rows that have both."""
        width = max(1, len(true.values))
        pair = predicted.codes[there].astype(np.int64) * width + true.codes[there]
        size = max(1, len(predicted.values)) * width
        if size <= DENSE:
            tally = np.bincount(pair, weights=weight[there], minlength=size)
            codes = np.flatnonzero(tally)
            tally = tally[codes]
        else:
            codes, place = np.unique(pair, return_inverse=True)
            tally = np.bincount(place, weights=weight[there], minlength=len(codes))
        found: Pairs = {}
        for at, rows in zip(codes.tolist(), tally.astype(np.int64).tolist(), strict=True):
            key = (predicted.values[at // width], true.values[at % width])
            found[key] = found.get(key, 0) + rows
        self.confusion, self.fold = added(self.confusion, self.fold, found, 0)

    def add_pairs(self, other: Tally) -> None:
        """Those that another one counted."""
        self.confusion, self.fold = added(self.confusion, self.fold, other.confusion, other.fold)

    def names_all(self, labels: Iterable[str]) -> bool:
        """Whether pairs of these labels, and of each with any other, are counted by name."""
        return all(keeps_name(label, self.fold) for label in labels)


@dataclass(frozen=True, slots=True)
class Task:
    """How the outcomes of one task are counted and what they give.

    means: names of sums that come with a sum of squares. sums: further sums. arrays: shapes of arrays by name.
    exact: names of exact sums, each with that of the sum that releases before this one kept instead.
    """

    add: Callable[[Tally, Outcomes], None]
    metrics: Callable[[Tally], Sequence[Metric]]
    means: Callable[[Schema], tuple[str, ...]]
    sums: tuple[str, ...] = ()
    arrays: Callable[[Schema], dict[str, tuple[int, ...]]] = lambda schema: {}
    exact: Callable[[Schema], Mapping[str, str]] = lambda schema: {}

    def sum_names(self, schema: Schema) -> tuple[str, ...]:
        means = self.means(schema)
        return ("rows", *means, *(f"{m}_sq" for m in means), *self.sums)


def exact_sum(values: npt.NDArray[Any], weight: Ints) -> Fraction:
    """The sum of weight x values, finite, shapes (n,), without rounding: a great value that is taken back leaves nothing behind.

    Halves of the mantissas, 27 and 26 bits, are added up by exponent; floats hold their sums for up to 2^26 rows.
    """
    if not len(values):
        return Fraction(0)
    mantissa, exponent = np.frexp(values.astype(np.float64))
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    least = int(exponent.min())
    place = exponent - least
    high, low = (np.bincount(place, weights=half * weight) for half in (whole >> HALF_BITS, whole & ((1 << HALF_BITS) - 1)))
    total = 0
    for at in np.flatnonzero((high != 0) | (low != 0)).tolist():
        total += ((int(high[at]) << HALF_BITS) + int(low[at])) << at
    shift = least - 53
    return Fraction(total << shift) if shift >= 0 else Fraction(total, 1 << -shift)


def square(values: Floats) -> tuple[Floats, Floats]:
    """Two numbers each, that add up to the square without rounding (Dekker 1971); below 2^400."""
    top = values * SPLIT
    high = top - (top - values)
    low = values - high
    whole = values * values
    return whole, ((high * high - whole) + 2.0 * high * low) + low * low


def probable(tally: Tally, score: Floats, there: Bools, weight: Ints) -> Bools:
    """Rows of `there` whose score is a probability. Those whose score lies outside 0 to 1 are counted as `improbable`."""
    outside = there & np.isfinite(score) & ((score < -TOLERANCE) | (score > 1.0 + TOLERANCE))
    if outside.any():
        tally.count_rows(weight[outside], "improbable")
    return there & np.isfinite(score) & ~outside


def improbable(tally: Tally) -> str:
    """Why scores can be no probabilities, "" where they may be."""
    rows = int(tally.sums.get("improbable", 0.0))
    return f"{rows} scores lie outside 0 to 1: they are no probabilities" if rows else ""


def undefined(names: Iterable[str], rows: int, reason: str) -> list[Metric]:
    """Metrics that say nothing, and why."""
    return [Metric(name, math.nan, math.nan, math.nan, rows, {"reason": reason}) for name in names]


def codes_in(column: DictColumn, names: tuple[str, ...]) -> Ints:
    """The place of each row's string among names, -1 where it is missing or none of them."""
    place = np.array([names.index(v) if v in names else -1 for v in column.values] + [-1], dtype=np.int64)
    return place[column.codes]


def same_label(predicted: DictColumn, true: DictColumn) -> Bools:
    """Whether both strings are there and equal, row by row."""
    place = np.array([predicted.values.index(v) if v in predicted.values else -2 for v in true.values] + [-2], dtype=np.int64)
    out: Bools = place[true.codes] == predicted.codes
    return out


def mean_of(tally: Tally, name: str, rows: float, of: Range = "number") -> tuple[float, float, float]:
    """A mean and its interval, from the sums of Tally.add_values."""
    return mean_interval(tally.sums[name], tally.sums[name + "_sq"], rows, of)
