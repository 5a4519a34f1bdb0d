"""The worst segment of a window, found in counts over coarse cells of chosen features: an optional part.

Each feature has at most CELLS cells: ninths of the reference's values, or its eight most frequent categories, the
others, and missing. For each cell of a feature, and of each pair of features, rows, failed events and sums of latency
are counted. The search is a tree of depth two over them: one side of a cut, one cell, or a category; then a second
such condition. What fails most beside all other rows is told as an expression, which can be a segment of the config.

The p-value is that of two proportions (pooled z-test), or of two means (Welch), times the number of segments that
were looked at (Bonferroni): it holds its level though the worst of thousands is shown.

Size: 4 kB a pair of features before compression, at most 28 pairs, for all rows of a version; not for segments.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors import frame
from detectors.category import OTHER
from detectors.columns import Columns, Floats, Schema
from detectors.score import Score

FORMAT = 1
CELLS = 10
NAMED = CELLS - 2  # categories with a cell of their own
MISSING = CELLS - 1
SUMS = 5  # rows, failed, rows with a latency, sum of latencies, sum of their squares
FEATURES = 8
LEAST_EXPECTED = 5.0  # failures inside, for the normal approximation
SIMPLER = 1.1  # a second condition must be worth this
PART = "worst_segments"


@dataclass(frozen=True, slots=True)
class Cutting:
    """How one feature falls into cells: ascending edges of a number, or categories by name."""

    edges: Floats | None
    names: tuple[str, ...] = ()

    def codes(self, columns: Columns, feature: str) -> npt.NDArray[np.int64]:
        if self.edges is not None:
            values = columns.numeric[feature]
            found = np.searchsorted(self.edges, values, side="right")
            return np.where(np.isnan(values), MISSING, found).astype(np.int64)
        column = columns.categorical[feature]
        table = [self.names.index(v) if v in self.names else NAMED for v in column.values]
        return np.array([*table, MISSING], dtype=np.int64)[column.codes]

    def conditions(self, feature: str) -> list[tuple[str, Floats]]:
        """(expression, which cells it holds, shape (CELLS,)) of every condition on the feature."""
        name = feature if feature.isidentifier() else f"features[{feature!r}]"
        out = [(f"is_missing({name})", _mask(MISSING, MISSING))]
        if self.edges is None:
            out += [(f"{name} == {value!r}", _mask(i, i)) for i, value in enumerate(self.names)]
            return [*out, (f"{name} not in {list(self.names)!r}", _mask(NAMED, NAMED))] if self.names else out
        edges = [float(e) for e in self.edges]
        out += [(f"{name} < {edge:.6g}", _mask(0, i)) for i, edge in enumerate(edges)]
        out += [(f"{name} >= {edge:.6g}", _mask(i + 1, len(edges))) for i, edge in enumerate(edges)]
        pairs = list(itertools.pairwise(edges))
        return out + [(f"{low:.6g} <= {name} < {high:.6g}", _mask(i + 1, i + 1)) for i, (low, high) in enumerate(pairs)]


def _mask(first: int, last: int) -> Floats:
    out = np.zeros(CELLS)
    out[first : last + 1] = 1.0
    return out


@dataclass(slots=True)
class WorstCells:
    """singles: shape (features, CELLS, SUMS). pairs: shape (pairs of features, CELLS, CELLS, SUMS)."""

    features: tuple[str, ...]
    singles: Floats
    pairs: Floats
    cuttings: dict[str, Cutting] = field(default_factory=dict)

    @staticmethod
    def empty(schema: Schema) -> WorstCells:
        known = {*schema.numeric, *schema.categorical}
        features = tuple(f for f in schema.parts[PART]["features"] if f in known)[:FEATURES]
        count = len(features) * (len(features) - 1) // 2
        return WorstCells(features, np.zeros((len(features), CELLS, SUMS)), np.zeros((count, CELLS, CELLS, SUMS)))

    def bind(self, profile: Any) -> None:
        """Cut the features as the reference lies; without one there are no cells, and nothing is counted."""
        if profile is None:
            return
        for feature in self.features:
            if feature in profile.numeric and profile.numeric[feature].moments.n:
                summary = profile.numeric[feature]
                cells, moments = summary.cells(), summary.moments
                cuts = [cells.quantile(q, moments.low, moments.high) for q in np.arange(1, CELLS - 1) / (CELLS - 1)]
                # of six digits, so that the expression says exactly where a cell ends
                self.cuttings[feature] = Cutting(np.unique([float(f"{cut:.6g}") for cut in cuts]))
            elif feature in profile.categorical:
                counts = profile.categorical[feature].counts
                named = sorted((v for v in counts if v != OTHER), key=lambda v: (-counts[v], v))[:NAMED]
                self.cuttings[feature] = Cutting(None, tuple(named))

    def add(self, columns: Columns) -> None:
        """Add rows: their cells, whether they failed, and their latency."""
        if not self.cuttings or columns.rows == 0:
            return
        timed = np.isfinite(columns.latency_ms)
        latency = np.where(timed, columns.latency_ms, 0.0)
        weights: list[Any] = [None, columns.error.astype(np.float64), timed.astype(np.float64), latency, latency * latency]
        codes = {f: self.cuttings[f].codes(columns, f) for f in self.features if f in self.cuttings}
        for i, feature in enumerate(self.features):
            if feature in codes:
                for s, weight in enumerate(weights):
                    self.singles[i, :, s] += np.bincount(codes[feature], weight, minlength=CELLS)
        for i, (a, b) in enumerate(itertools.combinations(self.features, 2)):
            if a in codes and b in codes:
                both = codes[a] * CELLS + codes[b]
                for s, weight in enumerate(weights):
                    found = np.bincount(both, weight, minlength=CELLS * CELLS)
                    self.pairs[i, :, :, s] += found.reshape(CELLS, CELLS)

    def merge(self, other: WorstCells) -> None:
        """Raises ValueError for counts of other features."""
        if self.features != other.features:
            raise ValueError(f"cells of {self.features} and of {other.features} do not merge")
        self.singles += other.singles
        self.pairs += other.pairs

    def to_bytes(self) -> bytes:
        head = json.dumps([FORMAT, list(self.features)]).encode()
        return frame.join([head, self.singles.astype("<f8").tobytes(), self.pairs.astype("<f8").tobytes()])

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> WorstCells:
        """Counts of features that the config has changed since are dropped. Raises ValueError for an unknown format."""
        head, singles, pairs = frame.split(data)
        form, features = json.loads(head)
        if form != FORMAT:
            raise ValueError(f"worst cells of format {form}: this release reads format {FORMAT}. Upgrade driftd.")
        out = WorstCells.empty(schema)
        if tuple(features) == out.features:
            out.singles = np.frombuffer(singles, dtype="<f8").astype(np.float64).reshape(out.singles.shape)
            out.pairs = np.frombuffer(pairs, dtype="<f8").astype(np.float64).reshape(out.pairs.shape)
        return out

    def segments(self) -> tuple[list[tuple[str, ...]], Floats, Floats]:
        """The conditions of every segment, its sums (segments, SUMS), and the sums of all rows (SUMS,)."""
        known = {f: self.cuttings[f].conditions(f) for f in self.features if f in self.cuttings}
        names: list[tuple[str, ...]] = []
        sums = [np.zeros((0, SUMS))]
        for i, feature in enumerate(self.features):
            if feature in known:
                names += [(text,) for text, _ in known[feature]]
                sums.append(np.stack([mask for _, mask in known[feature]]) @ self.singles[i])
        for i, (a, b) in enumerate(itertools.combinations(self.features, 2)):
            if a in known and b in known:
                names += [(x, y) for x, _ in known[a] for y, _ in known[b]]
                left, right = (np.stack([mask for _, mask in known[f]]) for f in (a, b))
                sums.append(np.einsum("ak,bl,kls->abs", left, right, self.pairs[i], optimize=True).reshape(-1, SUMS))
        first = next((i for i, f in enumerate(self.features) if f in known), 0)
        total = self.singles[first].sum(axis=0) if len(self.features) else np.zeros(SUMS)
        return names, np.concatenate(sums), total


def score_worst(part: WorstCells, least_rows: int) -> Iterator[Score]:
    """The segment whose events fail most, and the slowest one, each with its distance from all other rows.

    Both sides of a comparison have at least `least_rows` rows; rows is the segment's.
    """
    names, sums, total = part.segments()
    if not names:
        why: dict[str, object] = {"reason": "cells come from a built reference: driftd reference build"}
        yield Score("worst_segment", "error_gap", math.nan, 0, evidence=why)
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        yield from _best("error_gap", names, *_proportions(sums, total, least_rows), "failed share")
        yield from _best("latency_gap_ms", names, *_means(sums, total, least_rows), "mean latency_ms")


Tested = tuple[Floats, Floats, Floats, Floats]  # rows, inside, outside, z; z is NaN where nothing can be said


def _proportions(sums: Floats, total: Floats, least_rows: int) -> Tested:
    n, k = sums[:, 0], sums[:, 1]
    m, rest = total[0] - n, total[1] - k
    inside, outside, pooled = k / n, rest / m, total[1] / total[0] if total[0] else math.nan
    z = (inside - outside) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return n, inside, outside, np.where((n >= least_rows) & (m >= least_rows) & (n * pooled >= LEAST_EXPECTED), z, np.nan)


def _means(sums: Floats, total: Floats, least_rows: int) -> Tested:
    n, m = sums[:, 2], total[2] - sums[:, 2]
    inside, outside = sums[:, 3] / n, (total[3] - sums[:, 3]) / m
    spread_in = np.maximum(sums[:, 4] / n - inside**2, 0.0) / (n - 1)
    spread_out = np.maximum((total[4] - sums[:, 4]) / m - outside**2, 0.0) / (m - 1)
    z = (inside - outside) / np.sqrt(spread_in + spread_out)
    return n, inside, outside, np.where((n >= least_rows) & (m >= least_rows) & np.isfinite(z), z, np.nan)


def _best(
    name: str, names: list[tuple[str, ...]], rows: Floats, inside: Floats, outside: Floats, z: Floats, what: str
) -> Iterator[Score]:
    from scipy.special import ndtr

    tried = int((~np.isnan(z)).sum())
    if not tried:
        return
    single = np.array([len(conditions) == 1 for conditions in names])
    worth = np.where(np.isnan(z), -np.inf, np.where(single, z * SIMPLER, z))
    at = int(np.argmax(worth))
    p = min(1.0, float(ndtr(-z[at])) * tried)
    evidence: dict[str, object] = {
        "where": " and ".join(names[at]), "rows": int(rows[at]), "of": what, "inside": round(float(inside[at]), 6),
        "outside": round(float(outside[at]), 6), "p_value": p, "segments tried": tried,
    }  # fmt: skip
    yield Score("worst_segment", name, float(inside[at] - outside[at]), int(rows[at]), evidence=evidence)
    yield Score("worst_segment", f"{name}_p", p, int(rows[at]), evidence=evidence)
