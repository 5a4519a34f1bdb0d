"""Count, mean, spread and range of numbers, mergeable in any order.

Chan, Golub, LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances":
the mean and the sum of squared distances from it, so that a large offset costs no digits.
Size: 40 bytes.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np

from detectors.columns import Floats

_LAYOUT = struct.Struct("<qdddd")
SIZE = _LAYOUT.size


@dataclass(slots=True)
class Moments:
    """Of finite values only. m2 is the sum of squared distances from the mean."""

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    @np.errstate(over="ignore", invalid="ignore")
    def add(self, values: Floats) -> None:
        """Add finite values, shape (n,)."""
        n = len(values)
        if n == 0:
            return
        mean = float(values.mean())
        if not math.isfinite(mean):  # the sum overflowed, the mean does not
            mean = float((values / n).sum())
        off = values - mean
        m2 = float(np.dot(off, off))
        self.merge(Moments(n, mean, m2, float(values.min()), float(values.max())))

    def add_tally(self, tally: tuple[int, int, int, int, float, float, float, float]) -> None:
        """Add what a kernel counted: missing, below, above, n, mean, m2, low, high."""
        self.merge(Moments(*tally[3:]))

    def merge(self, other: Moments) -> None:
        if other.n == 0:
            return
        n = self.n + other.n
        delta = other.mean - self.mean
        share = other.n / n
        self.mean += delta * share
        try:
            self.m2 += other.m2 + delta * delta * self.n * share
        except OverflowError:
            self.m2 = math.inf
        self.n = n
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)

    @property
    def std(self) -> float:
        """Of the population (ddof 0); NaN without values."""
        return math.sqrt(self.m2 / self.n) if self.n else math.nan

    def to_bytes(self) -> bytes:
        return _LAYOUT.pack(self.n, self.mean, self.m2, self.low, self.high)

    @staticmethod
    def from_bytes(data: bytes) -> Moments:
        return Moments(*_LAYOUT.unpack(data))


def total(values: Floats) -> float:
    """The sum, NaN or infinite where a value is, without a warning: a quick test for these."""
    with np.errstate(invalid="ignore", over="ignore"):
        return float(values.sum())
