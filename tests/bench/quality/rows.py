"""Streams of rows in which nothing changes but what always changes: features, predictions, latency, traffic, labels.

50 features of one shape, five more of which some values are missing, a score that is a probability and labels that keep
to it. Windows are hours. Rows a window are a Poisson number; with the daily season every feature's mean moves by two
standard deviations between its night and its day, each feature at hours of its own, and traffic falls to two fifths.
With the weekly one, at weekends besides, traffic is a third of a weekday's from midnight on, with it goes latency, and
over six hours around midnight every feature's mean moves by 0.6, up or down.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from detectors.columns import Columns, DictColumn, Outcomes
from detectors.performance import PerformanceSummary
from detectors.summaries import segment_schema
from monitor.model import Model
from monitor.panes import Pane
from monitor.performance_pane import PerformancePane

FEATURES = tuple(f"f{i:02d}" for i in range(50))
GAPPED = tuple(f"g{i}" for i in range(5))  # some of their values are missing
HOUR_MS = 3_600_000
START_MS = 1_767_225_600_000  # 2026-01-01, a Thursday
CATEGORIES, MANY = "categories", "many categories"
VALUES = {CATEGORIES: 150, MANY: 2000}  # of each feature; the second more than are counted by name
SEASON, WEEK = "daily season", "weekly season"
SEASONS = (SEASON, WEEK)
WEEKEND = (2, 3)  # days after START_MS
WEEKEND_ROWS, WEEKEND_MOVES, TURNS_HOURS = 0.35, 0.6, 6.0
_FINE = 1 << 16  # a category is drawn as one of so many places
_ZIPF = {shape: 1.0 / np.arange(1, values + 1.0) / np.sum(1.0 / np.arange(1, values + 1.0)) for shape, values in VALUES.items()}
_CODES = {
    shape: np.searchsorted(np.cumsum(shares), (np.arange(_FINE) + 0.5) / _FINE).astype(np.int32) for shape, shares in _ZIPF.items()
}
WORDS = [f"v{i:03d}" for i in range(max(VALUES.values()))]
Draw = Callable[[np.random.Generator, int], np.ndarray]


def _zero_inflated(rng: np.random.Generator, n: int) -> np.ndarray:
    values = np.exp(rng.standard_normal(n))
    values[rng.random(n) < 0.7] = 0.0
    return values


SHAPES: dict[str, Draw | None] = {
    "gaussian": lambda rng, n: rng.standard_normal(n),
    "heavy-tailed": lambda rng, n: rng.standard_t(2.5, n),
    "zero-inflated": _zero_inflated,
    CATEGORIES: None,
    SEASON: lambda rng, n: rng.standard_normal(n),
    WEEK: lambda rng, n: rng.standard_normal(n),
    MANY: None,
}


def _weekend(hour: np.ndarray) -> np.ndarray:
    """How much of a weekend an hour is, 0 to 1."""
    from_middle = np.abs((hour - 24.0 * WEEKEND[1] + 84.0) % 168.0 - 84.0)  # of the night between its days
    return np.clip((24.0 - from_middle) / TURNS_HOURS + 0.5, 0.0, 1.0)


class Rows:
    """A source of rows. size: rows of a usual window. shift moves every value of the first feature by so much from window
    `since` on; or makes as large a share of its rows another category. times: of the rows of a window, how many there are."""

    def __init__(self, shape: str, size: int, seed: int, shift: float = 0.0, since: int = 0, features: int = 50) -> None:
        self.shape, self.size, self.shift, self.since = shape, size, shift, since
        self.names, self.times = FEATURES[:features], 1.0
        self.rng = np.random.default_rng([seed, size, list(SHAPES).index(shape)])

    @property
    def numeric(self) -> bool:
        return SHAPES[self.shape] is not None

    def usual_rows(self, hour: int) -> float:
        """Of an hour that is counted from the first one, at midnight."""
        if self.shape not in SEASONS:
            return float(self.size)
        days = 1.0 - 0.3 * (1.0 - float(np.cos(2 * np.pi * (hour % 24 - 14) / 24.0)))
        return self.size * days * (WEEKEND_ROWS if self.shape == WEEK and hour // 24 % 7 in WEEKEND else 1.0)

    def rows_at(self, hour: int) -> int:
        return max(1, int(self.rng.poisson(self.times * self.usual_rows(hour))))

    def features(self, n: int, hour: np.ndarray | int, shift: float = 0.0) -> dict[str, np.ndarray]:
        """n values of each; hour: of each row, or of all, counted from the first one."""
        draw = SHAPES[self.shape]
        out: dict[str, np.ndarray] = {}
        for i, name in enumerate(self.names):
            if draw is None:
                codes = _CODES[self.shape][self.rng.integers(0, _FINE, n)]
                if i == 0 and shift:
                    codes[(codes == 0) & (self.rng.random(n) < shift / _ZIPF[self.shape][0])] = 1
                out[name] = codes
                continue
            out[name] = draw(self.rng, n) + (shift if i == 0 else 0.0)
            if self.shape in SEASONS:
                out[name] += np.sin(2 * np.pi * (np.asarray(hour) / 24.0 + i / len(FEATURES)))
            if self.shape == WEEK:
                out[name] += (WEEKEND_MOVES if i % 2 else -WEEKEND_MOVES) * _weekend(np.asarray(hour))
        return out

    def columns(self, n: int, hour: np.ndarray | int, shift: float = 0.0) -> tuple[Columns, DictColumn]:
        """Rows as the engine's decoder makes them, and their true labels."""
        rng = self.rng
        made = self.features(n, hour, shift)
        gapped = {name: np.where(rng.random(n) < 0.02, np.nan, rng.standard_normal(n)) for name in GAPPED}
        numeric = {**made, **gapped} if self.numeric else gapped
        categorical = {} if self.numeric else {name: DictColumn(codes, WORDS) for name, codes in made.items()}
        score = rng.beta(2.0, 5.0, n)
        truth = DictColumn((rng.random(n) < score).astype(np.int32), ["no", "yes"])
        label = DictColumn((score >= 0.5).astype(np.int32), ["no", "yes"])
        latency = np.exp(3.0 + 0.5 * rng.standard_normal(n))
        if self.shape == WEEK:
            latency *= np.array([self.usual_rows(h) for h in range(168)])[np.asarray(hour) % 168] ** 0.3
        return Columns(n, numeric, categorical, score, label, latency, rng.random(n) < 0.01), truth

    def panes(self, model: Model, number: int, profile: str, labels: bool = True) -> tuple[Pane, PerformancePane | None]:
        """Window `number` as the panes of one partition."""
        n = self.rows_at(number)
        columns, truth = self.columns(n, number, self.shift if number >= self.since else 0.0)
        pane = Pane(profile)
        pane.add(model, DictColumn(np.zeros(n, dtype=np.int32), ["1"]), {}, columns)
        if not labels:
            return pane, None
        performance = PerformancePane()
        nothing, start = np.full(n, np.nan), START_MS + number * HOUR_MS
        at = start + np.sort(self.rng.integers(0, HOUR_MS, n))
        summary = performance.groups["1", ""] = PerformanceSummary.empty(segment_schema(model.schema, ""))
        summary.add(Outcomes(columns.label, columns.score, truth, nothing, np.ones(n, dtype=np.int64), at, at + 60_000, {}))
        return pane, performance

    def write_reference(self, path: Path, rows: int) -> None:
        """A file of training rows over all hours of the day, or of the week, as `driftd reference build` reads it."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        hours = self.rng.integers(0, 168 if self.shape == WEEK else 24, rows)
        columns, truth = self.columns(rows, hours)
        table: dict[str, object] = {n: pa.array(v, from_pandas=True) for n, v in columns.numeric.items()}
        words = np.array(WORDS)
        table |= {name: words[column.codes] for name, column in columns.categorical.items()}
        table |= {"prediction_label": np.array(["no", "yes"])[columns.label.codes], "score": columns.score}
        table["label"] = np.array(["no", "yes"])[truth.codes]
        pq.write_table(pa.table(table), path)
