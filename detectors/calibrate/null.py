"""What a score does where nothing has changed: its values by probability, as a table that goes both ways.

A table holds, for each probability in TAILS, the value that the score reaches or passes that often. Between two
entries the logarithm of the probability is linear in the value; beyond the last it goes on along a parabola, as the
tails of all scores here do (they are distances: their squares are sums of squares).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from detectors.columns import Floats, Ints

TAILS: Floats = 10.0 ** -np.concatenate([[0.0, 0.05, 0.15, 0.3010299956639812, 0.5, 0.7994], np.arange(1.0, 10.01, 0.25)])
_LOG: Floats = np.log(TAILS)
_FALLS: Floats = -_LOG  # ascending
_FALL = [float(fall) for fall in _FALLS]
_HALF, _SIGMA = 3, 5  # places of the probabilities 0.5 and 0.1587 (one standard deviation) in TAILS


@dataclass(slots=True, eq=False)
class NullTable:
    """What a score is where window and reference are of one source.

    values: ascending, shape of TAILS. centre: the median. spread: from there to the value that is passed with probability 0.159: one
    standard deviation, were it normal.
    """

    values: Floats
    centre: float = field(init=False)
    spread: float = field(init=False)
    _root: NullTable | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        self.centre = self.values.item(_HALF)
        self.spread = max(self.values.item(_SIGMA) - self.centre, 1e-12)

    @staticmethod
    def from_survival(values: Floats, log_survival: Floats) -> NullTable:
        """From points of a curve: values ascending, log_survival descending, both of shape (n,), n >= 2.

        Where the points end before the table's last probability they are continued along log p ~ value squared.
        """
        return NullTable.from_survivals(values[None, :], log_survival[None, :], np.array([len(values)]))[0]

    @staticmethod
    def from_survivals(values: Floats, log_survival: Floats, points: Ints) -> list[NullTable]:
        """The same of many curves, (curves, n), of each of which so many points count, (curves,)."""
        fall, inside = -log_survival, np.empty((len(values), len(TAILS)))
        for i, kept in enumerate(points.tolist()):
            inside[i] = np.interp(_FALLS, fall[i, :kept], values[i, :kept])
        at, row = points - 1, np.arange(len(values))
        last_value, last_fall = values[row, at][:, None], fall[row, at][:, None]
        beyond = (_FALLS > last_fall) & (last_fall > 0.0)
        inside = np.where(beyond, last_value * np.sqrt(_FALLS / np.where(last_fall > 0.0, last_fall, 1.0)), inside)
        return [NullTable(one) for one in np.maximum.accumulate(inside, axis=1)]

    def scaled(self, by: float) -> NullTable:
        return NullTable(self.values * by)

    def root(self) -> NullTable:
        """Of the root of the score, made once; what is below 0 is 0."""
        if self._root is None:
            self._root = NullTable(np.sqrt(np.maximum(self.values, 0.0)))
        return self._root

    def survival(self, value: float) -> float:
        """The probability of this value or a greater one; NaN for NaN."""
        if math.isnan(value):
            return math.nan
        values = self.values
        last = values.item(-1)
        if value > last:
            log = -_FALL[-1] * (value / last) ** 2 if last > 0 else -math.inf
            return math.exp(max(log, -700.0))
        at = int(values.searchsorted(value))
        if at == 0:
            return 1.0
        low, high = values.item(at - 1), values.item(at)
        part = (value - low) / (high - low) if high > low else 1.0
        return math.exp(-_FALL[at - 1] - part * (_FALL[at] - _FALL[at - 1]))

    def value_at(self, probability: float) -> float:
        """The value that is reached or passed with this probability."""
        at, part = _place_of(probability)
        low: float = self.values.item(at)
        return low * part if part > 1.0 else low + (self.values.item(at + 1) - low) * part


@lru_cache(maxsize=1024)
def _place_of(probability: float) -> tuple[int, float]:
    """The entry of TAILS before it, and the part of the way to the next one; the last, and by how much more, where it lies beyond."""
    fall = max(-math.log(max(probability, 1e-300)), 0.0)
    if fall > _FALL[-1]:
        return len(_FALL) - 1, math.sqrt(fall / _FALL[-1])
    at = min(bisect_right(_FALL, fall), len(_FALL) - 1) - 1
    return at, (fall - _FALL[at]) / (_FALL[at + 1] - _FALL[at])
