"""Correlation of pairs of numeric features: sums over the rows that have both, in the reference's units.

Two correlations are compared by Fisher's z. Its textbook variance 1 / (n - 3) holds for normal pairs only; heavy
tails make it far too small, so the variance of z is taken from the reference's rows (the influence function of the
correlation, Devlin, Gnanadesikan, Kettenring 1975; 1 for normal pairs).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from detectors.columns import Columns, Floats
from detectors.uneven import Shape, shape_of

SUMS = 6  # rows, x, y, xx, yy, xy
BLOCK = 256  # features whose correlations with all others are looked at together
NEAR_ONE = 1.0 - 1e-9


@dataclass(frozen=True, slots=True)
class Pair:
    """Two features of a reference: their means and spreads, correlation, the rows that have both, and z's variance x rows."""

    x: str
    y: str
    center: tuple[float, float]
    scale: tuple[float, float]
    correlation: float
    rows: int
    spread: float
    shape: Shape | None = None  # of what z's mean is of; known only where it was just fitted

    @property
    def subject(self) -> str:
        return f"{self.x},{self.y}"

    @np.errstate(over="ignore", invalid="ignore")
    def sums(self, columns: Columns) -> Floats:
        """Of rows that have both values, shape (6,)."""
        x, y = columns.numeric.get(self.x), columns.numeric.get(self.y)
        if x is None or y is None:
            return np.zeros(SUMS)
        there = np.isfinite(x) & np.isfinite(y)
        a, b = (x[there] - self.center[0]) / self.scale[0], (y[there] - self.center[1]) / self.scale[1]
        return np.array([len(a), a.sum(), b.sum(), a @ a, b @ b, a @ b])


def correlation(sums: Floats) -> float:
    """Pearson's, NaN where one side does not vary."""
    n, x, y, xx, yy, xy = (float(v) for v in sums)
    if n < 2:
        return math.nan
    a, b = xx - x * x / n, yy - y * y / n
    if a <= 1e-12 * max(xx, 1e-300) or b <= 1e-12 * max(yy, 1e-300):
        return math.nan
    return max(-1.0, min(1.0, (xy - x * y / n) / math.sqrt(a * b)))


def shift_p(pair: Pair, r: float, rows: int) -> float:
    """Two-sided p-value of a window's correlation being the reference's."""
    if rows < 4 or pair.rows < 4 or not math.isfinite(r):
        return math.nan
    a, b = (math.atanh(max(-NEAR_ONE, min(NEAR_ONE, v))) for v in (r, pair.correlation))
    error = math.sqrt(pair.spread * (1.0 / (rows - 3) + 1.0 / (pair.rows - 3)))
    return math.erfc(abs(a - b) / error / math.sqrt(2.0)) if error > 0 else math.nan


def fit_pairs(columns: Columns, named: list[tuple[str, str]], strong: float, limit: int) -> list[Pair]:
    """The named pairs, then those with |correlation| >= strong, strongest first; at most `limit` in all.

    Raises ValueError for a name that is no numeric feature.
    """
    for pair in named:
        for feature in pair:
            if feature not in columns.numeric:
                known = ", ".join(sorted(columns.numeric)) or "none"
                raise ValueError(f"multivariate.correlation.pairs: {feature!r} is no numeric feature; there are {known}")
    wanted = {tuple(sorted(pair)): None for pair in named}
    features = sorted(columns.numeric)
    filled = np.array([_standard(columns.numeric[f]) for f in features]) if features else np.zeros((0, columns.rows))
    for i, j in _strongest(filled, strong, 4 * limit):
        wanted.setdefault((features[i], features[j]), None)
    found = [_fit(columns, x, y) for x, y in list(wanted)[:limit]]
    return [pair for pair in found if pair is not None]


def _strongest(filled: Floats, strong: float, most: int) -> list[tuple[int, int]]:
    """The places i < j of the most correlated of standardised columns, (features, rows), strongest first; block by block, for
    the table of 10,000 features would take 800 MB."""
    count, rows = filled.shape
    best = np.zeros((3, 0))  # strength, i, j
    for start in range(0, count, BLOCK):
        strength = np.abs(filled[start : start + BLOCK] @ filled[start:].T / max(1, rows))
        first, second = np.nonzero(np.triu(strength >= strong, 1))
        found = np.stack([strength[first, second], first + start, second + start])
        best = np.concatenate([best, found], axis=1)
        best = best[:, np.lexsort((best[2], best[1], -best[0]))[:most]]
    return [(int(i), int(j)) for i, j in best[1:].T.tolist()]


@np.errstate(over="ignore", invalid="ignore")
def _standard(values: Floats) -> Floats:
    finite = values[np.isfinite(values)]
    std = float(finite.std()) if len(finite) else 0.0
    if std == 0.0 or not math.isfinite(std):
        return np.zeros(len(values))
    return np.where(np.isfinite(values), (values - float(finite.mean())) / std, 0.0)


@np.errstate(over="ignore", invalid="ignore")
def _fit(columns: Columns, x: str, y: str) -> Pair | None:
    """None where the two hardly ever stand together, or one of them does not vary."""
    a, b = columns.numeric[x], columns.numeric[y]
    there = np.isfinite(a) & np.isfinite(b)
    a, b = a[there], b[there]
    if len(a) < 10 or a.std() == 0 or b.std() == 0:
        return None
    center, scale = (float(a.mean()), float(b.mean())), (float(a.std()), float(b.std()))
    a, b = (a - center[0]) / scale[0], (b - center[1]) / scale[1]
    r = float(a @ b) / len(a)
    influence = a * b - 0.5 * r * (a * a + b * b)
    spread = float(influence.var()) / max(1e-12, (1.0 - r * r) ** 2)
    return Pair(x, y, center, scale, r, len(a), spread, shape_of(influence))
