"""Windows in which nothing changes but what always changes: shapes of streams with known distributions, as cell counts.

A window of M rows of a known distribution is a multinomial draw over the reference's cells: as rows would have been
counted, and fast enough for thousands of windows. `rows` gives the same streams as rows, for the peers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from detectors.category import CategorySummary
from detectors.columns import Columns, DictColumn, Schema
from detectors.moments import Moments
from detectors.numeric import GridSummary
from detectors.profile import Profile
from detectors.window import WindowSummary

FEATURES = 50
NAMES = tuple(f"f{i:02d}" for i in range(FEATURES))
HOUR_MS = 3_600_000
START_MS = 1_767_225_600_000  # 2026-01-01, a Thursday
CATEGORIES = 150


@dataclass(frozen=True)
class Shape:
    """quantile: of one feature, of a uniform number and the hour of the day, in standard units before `moved` is added."""

    name: str
    quantile: Callable[[np.ndarray, int, float], np.ndarray] | None  # None: categories
    distribution: Callable[[np.ndarray, int, float], np.ndarray] | None  # its inverse


def _season(hour: int, feature: float) -> float:
    return float(np.sin(2 * np.pi * (hour / 24.0 + feature)))


def _zero_inflated_cdf(x: np.ndarray, hour: int, feature: float) -> np.ndarray:
    return np.where(x < 0, 0.0, 0.7 + 0.3 * stats.lognorm.cdf(np.maximum(x, 0), 1.0))


SHAPES = {
    "gaussian": Shape("gaussian", lambda u, h, f: stats.norm.ppf(u), lambda x, h, f: stats.norm.cdf(x)),
    "heavy-tailed": Shape("heavy-tailed", lambda u, h, f: stats.t.ppf(u, 2.5), lambda x, h, f: stats.t.cdf(x, 2.5)),
    "zero-inflated": Shape(
        "zero-inflated",
        lambda u, h, f: np.where(u < 0.7, 0.0, stats.lognorm.ppf(np.clip((u - 0.7) / 0.3, 0, 1 - 1e-12), 1.0)),
        _zero_inflated_cdf,
    ),
    "categories": Shape("categories", None, None),
    "daily season": Shape(
        "daily season",
        lambda u, h, f: stats.norm.ppf(u) + _season(h, f),
        lambda x, h, f: stats.norm.cdf(x - _season(h, f)),
    ),
}
_zipf = 1.0 / np.arange(1, CATEGORIES + 1.0)
ZIPF = _zipf / _zipf.sum()
WORDS = [f"v{i:03d}" for i in range(CATEGORIES)]


def hour_of(number: int) -> int:
    return number % 24


class Stream:
    """Windows of one shape and size, an hour each. shift moves every value of the first feature by so much, or makes as
    large a share of the first feature's rows another category."""

    def __init__(self, shape: str, rows: int, reference_rows: int, seed: int, features: int = FEATURES) -> None:
        self.shape, self.size = SHAPES[shape], rows
        self.rng = np.random.default_rng(seed)
        self.names = NAMES[:features]
        self.phase = {name: i / features for i, name in enumerate(self.names)}
        self.reference = self.rows(reference_rows, hours=range(24))
        numeric = self.names if self.shape.quantile else ()
        self.schema = Schema(tuple(numeric), () if numeric else self.names)
        self.profile = Profile.build(columns(self.reference, self.schema), self.schema, "reference")
        self._cells: dict[tuple[str, int, float], tuple[np.ndarray, np.ndarray]] = {}

    def rows(self, n: int, hours: range | list[int], shift: float = 0.0) -> dict[str, np.ndarray]:
        """n rows of every feature, spread over these hours of the day."""
        out: dict[str, np.ndarray] = {}
        for i, name in enumerate(self.names):
            moved = shift if i == 0 else 0.0
            if self.shape.quantile is None:
                p = _moved_categories(moved)
                out[name] = np.array(WORDS)[self.rng.choice(CATEGORIES, n, p=p)]
                continue
            parts = np.array_split(self.rng.random(n), len(hours))
            values = [self.shape.quantile(u, h, self.phase[name]) for u, h in zip(parts, hours, strict=True)]
            out[name] = np.concatenate(values) + moved
        return out

    def window(self, hour: int, shift: float = 0.0) -> WindowSummary:
        """A window of that hour of the day, as a summary on the profile's grids."""
        out = WindowSummary.empty(self.schema, self.profile)
        out.rows = self.size
        for i, name in enumerate(self.names):
            moved = shift if i == 0 else 0.0
            if self.shape.quantile is None:
                counts = self.rng.multinomial(self.size, _moved_categories(moved))
                out.categorical[name] = CategorySummary(200, {w: int(c) for w, c in zip(WORDS, counts.tolist(), strict=True) if c})
                continue
            shares, means = self._cells_of(name, hour, moved)
            counts = self.rng.multinomial(self.size, shares)
            edges = self.profile.numeric[name].edges
            values = means[counts > 0]
            weights = counts[counts > 0]
            mean = float(values @ weights / self.size)
            moments = Moments(self.size, mean, float(weights @ (values - mean) ** 2), float(values.min()), float(values.max()))
            out.numeric[name] = GridSummary(edges, counts, counts * means, moments)
        return out

    def _cells_of(self, name: str, hour: int, shift: float) -> tuple[np.ndarray, np.ndarray]:
        """True share and mean of each cell of the reference's grid at that hour."""
        key = (name, hour, shift)
        if key not in self._cells:
            assert self.shape.distribution is not None and self.shape.quantile is not None
            edges = self.profile.numeric[name].edges
            upto = self.shape.distribution(np.nextafter(edges, -np.inf) - shift, hour, self.phase[name])
            bounds = np.concatenate([[0.0], upto, [1.0]])
            shares = np.maximum(np.diff(bounds), 0.0)
            inside = bounds[:-1, None] + shares[:, None] * (np.arange(8) + 0.5)[None, :] / 8.0
            means = self.shape.quantile(np.clip(inside, 1e-12, 1 - 1e-12), hour, self.phase[name]).mean(axis=1) + shift
            self._cells[key] = shares / shares.sum(), means
        return self._cells[key]


def _moved_categories(shift: float) -> np.ndarray:
    """The commonest category loses a share of all rows to the next one."""
    p = ZIPF.copy()
    p[0] -= shift
    p[1] += shift
    return p


def columns(rows: dict[str, np.ndarray], schema: Schema) -> Columns:
    n = len(next(iter(rows.values())))
    nothing = np.full(n, np.nan)
    categorical = {}
    for name in schema.categorical:
        values, codes = np.unique(rows[name], return_inverse=True)
        categorical[name] = DictColumn(codes.astype(np.int32), [str(v) for v in values])
    numeric = {name: rows[name] for name in schema.numeric}
    return Columns(n, numeric, categorical, nothing, DictColumn.missing(n), nothing, np.zeros(n, dtype=np.bool_))
