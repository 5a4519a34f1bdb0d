"""Coarse cells of chosen features, sums in them, and the segment of such cells that lies farthest from all other rows.

Each feature has at most CELLS cells: ninths of the reference's values, or its eight most frequent categories, the
others, and missing. Sums are kept for each cell of a feature, and of each pair of features. The search is a tree of depth
two over them: one side of a cut, one cell, or a category; then a second such condition. What is found is told as an
expression, which can be a segment of the config.

The p-value is that of two proportions (pooled z-test), or of two means (Welch), times the number of segments that
were looked at (Bonferroni): it holds its level though the worst of thousands is shown.
"""

from __future__ import annotations

import itertools
import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from detectors.category import OTHER
from detectors.columns import Columns, Floats, Schema
from detectors.mask import hidden_categories
from detectors.score import Score

CELLS = 10
NAMED = CELLS - 2  # categories with a cell of their own
MISSING = CELLS - 1
FEATURES = 8
LEAST_EXPECTED = 5.0  # hits inside, for the normal approximation
SIMPLER = 1.1  # a second condition must be worth this


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
        edges = [_number(float(e)) for e in self.edges]
        out += [(f"{name} < {edge}", _mask(0, i)) for i, edge in enumerate(edges)]
        out += [(f"{name} >= {edge}", _mask(i + 1, len(edges))) for i, edge in enumerate(edges)]
        pairs = list(itertools.pairwise(edges))
        return out + [(f"{low} <= {name} < {high}", _mask(i + 1, i + 1)) for i, (low, high) in enumerate(pairs)]

    def cells(self) -> list[str]:
        """What each cell holds, for people; shape (CELLS,)."""
        if self.edges is None:
            return [*self.names, *[""] * (NAMED - len(self.names)), "others", "missing"]
        edges = [_number(float(e)) for e in self.edges]
        inner = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
        found = [f"below {edges[0]}", *inner, f"from {edges[-1]}"] if edges else ["all"]
        return [*found, *[""] * (MISSING - len(found)), "missing"]


def _number(edge: float) -> str:
    """As short as says exactly where a cell ends."""
    short = f"{edge:.6g}"
    return short if float(short) == edge else repr(edge)


def cuttings_of(features: tuple[str, ...], profile: Any) -> dict[str, Cutting]:
    """The cells of those features that the reference has rows of."""
    out = {}
    for feature in features:
        if feature in profile.numeric and profile.numeric[feature].moments.n:
            summary = profile.numeric[feature]
            cells, moments = summary.cells(), summary.moments
            cuts = [cells.quantile(q, moments.low, moments.high) for q in np.arange(1, CELLS - 1) / (CELLS - 1)]
            # of six digits, so that the expression says exactly where a cell ends
            out[feature] = Cutting(np.unique([float(f"{cut:.6g}") for cut in cuts]))
        elif feature in profile.categorical:
            counts = profile.categorical[feature].counts
            named = sorted((v for v in counts if v != OTHER), key=lambda v: (-counts[v], v))[:NAMED]
            out[feature] = Cutting(None, tuple(named))
    return out


def mark_of(features: tuple[str, ...], cuttings: dict[str, Cutting]) -> int:
    """A 32-bit name of the cells: codes of equal marks mean the same."""
    cells = [[f, None if c.edges is None else c.edges.tolist(), list(c.names)] for f, c in sorted(cuttings.items())]
    return zlib.crc32(json.dumps([list(features), cells]).encode())


def counted_features(schema: Schema, part: str) -> tuple[str, ...]:
    """The features that a part's options name and the schema has; where they name none, the schema's first, of both kinds in turn; no
    masked category."""
    wanted = schema.parts[part]["features"]
    hidden = hidden_categories(schema)  # cells of a category are told by their values
    if not wanted:
        turns = itertools.zip_longest(schema.numeric, (f for f in schema.categorical if f not in hidden))
        return tuple(f for pair in turns for f in pair if f is not None)[:FEATURES]
    known = {*schema.numeric, *schema.categorical} - hidden
    return tuple(f for f in wanted if f in known)[:FEATURES]


def add_cells(singles: Floats, pairs: Floats, codes: list[npt.NDArray[np.int64] | None], weights: list[Any]) -> None:
    """Add rows to sums by cell, in place: codes of each feature, shape (n,), None where it has no cells; a weight a sum."""
    for i, code in enumerate(codes):
        if code is not None:
            for s, weight in enumerate(weights):
                singles[i, :, s] += np.bincount(code, weight, minlength=CELLS)
    for i, (a, b) in enumerate(itertools.combinations(codes, 2)):
        if a is not None and b is not None:
            both = a * CELLS + b
            for s, weight in enumerate(weights):
                pairs[i, :, :, s] += np.bincount(both, weight, minlength=CELLS * CELLS).reshape(CELLS, CELLS)


def segments_of(
    features: tuple[str, ...], cuttings: dict[str, Cutting], singles: Floats, pairs: Floats | None
) -> tuple[list[tuple[str, ...]], Floats, Floats]:
    """The conditions of every segment, its sums (segments, sums), and the sums of all rows (sums,).

    pairs: None where only single features were counted: then segments have one condition.
    """
    known = {f: cuttings[f].conditions(f) for f in features if f in cuttings}
    width = singles.shape[-1]
    names: list[tuple[str, ...]] = []
    sums = [np.zeros((0, width))]
    for i, feature in enumerate(features):
        if feature in known:
            names += [(text,) for text, _ in known[feature]]
            sums.append(np.stack([mask for _, mask in known[feature]]) @ singles[i])
    for i, (a, b) in enumerate(itertools.combinations(features, 2) if pairs is not None else ()):
        if pairs is not None and a in known and b in known:
            names += [(x, y) for x, _ in known[a] for y, _ in known[b]]
            left, right = (np.stack([mask for _, mask in known[f]]) for f in (a, b))
            sums.append(np.einsum("ak,bl,kls->abs", left, right, pairs[i], optimize=True).reshape(-1, width))
    first = next((i for i, f in enumerate(features) if f in known), 0)
    total = singles[first].sum(axis=0) if len(features) else np.zeros(width)
    return names, np.concatenate(sums), total


def empty_cells(features: int, sums: int) -> tuple[Floats, Floats]:
    """Sums by cell of each feature, shape (features, CELLS, sums), and of each pair, (pairs, CELLS, CELLS, sums)."""
    return np.zeros((features, CELLS, sums)), np.zeros((features * (features - 1) // 2, CELLS, CELLS, sums))


def _mask(first: int, last: int) -> Floats:
    out = np.zeros(CELLS)
    out[first : last + 1] = 1.0
    return out


Tested = tuple[Floats, Floats, Floats, Floats]  # rows, inside, outside, z; z is NaN where nothing can be said


def proportions(sums: Floats, total: Floats, least_rows: int) -> Tested:
    """Of sums: rows, hits."""
    n, k = sums[:, 0], sums[:, 1]
    m, rest = total[0] - n, total[1] - k
    inside, outside, pooled = k / n, rest / m, total[1] / total[0] if total[0] else math.nan
    z = (inside - outside) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return n, inside, outside, np.where((n >= least_rows) & (m >= least_rows) & (n * pooled >= LEAST_EXPECTED), z, np.nan)


def means(sums: Floats, total: Floats, least_rows: int) -> Tested:
    """Of sums: rows, the sum of a number, that of its squares."""
    n, m = sums[:, 0], total[0] - sums[:, 0]
    inside, outside = sums[:, 1] / n, (total[1] - sums[:, 1]) / m
    spread_in = np.maximum(sums[:, 2] / n - inside**2, 0.0) / (n - 1)
    spread_out = np.maximum((total[2] - sums[:, 2]) / m - outside**2, 0.0) / (m - 1)
    z = (inside - outside) / np.sqrt(spread_in + spread_out)
    return n, inside, outside, np.where((n >= least_rows) & (m >= least_rows) & np.isfinite(z), z, np.nan)


def best(
    name: str, names: list[tuple[str, ...]], rows: Floats, inside: Floats, outside: Floats, z: Floats, what: str
) -> Iterator[Score]:
    """The gap of the segment with the greatest z, and its corrected p-value; nothing where none could be tested."""
    from scipy.special import ndtr

    tried = int((~np.isnan(z)).sum())
    if not tried:
        return
    single = np.array([len(conditions) == 1 for conditions in names])
    worth = np.where(np.isnan(z), -np.inf, np.where(single, z * SIMPLER, z))
    at = int(np.argmax(np.round(worth, 9)))  # sums of numbers differ in their last digits by the order of the rows
    p = min(1.0, float(ndtr(-z[at])) * tried)
    evidence: dict[str, object] = {
        "where": " and ".join(names[at]), "rows": int(rows[at]), "of": what, "inside": round(float(inside[at]), 6),
        "outside": round(float(outside[at]), 6), "p_value": p, "segments tried": tried,
    }  # fmt: skip
    yield Score("worst_segment", name, float(inside[at] - outside[at]), int(rows[at]), evidence=evidence)
    yield Score("worst_segment", f"{name}_p", p, int(rows[at]), evidence=evidence)
