"""What is known of labels beside what they say: how late they came, and which rows they came for.

ScoreSpread      of a window's rows: their scores in cells of any size (detectors/float_cells.py)
LabelledSpread   of the rows whose label came: the same cells of their scores, and cells of the labels' delays in seconds

Both are counted for all rows of a version only. Size: 82 and 164 kB in memory, filled cells only where stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detectors import frame
from detectors.columns import Columns, Floats, Ints, Outcomes, Schema
from detectors.float_cells import CELLS, cell_of

FORMAT = 1
SCORES = "score_spread"
LABELS = "label_spread"


def _count(counts: Ints, values: Floats, weight: Ints | None = None) -> None:
    there = np.isfinite(values)
    if not there.all():
        values, weight = values[there], None if weight is None else weight[there]
    if weight is None:
        counts += np.bincount(cell_of(values), minlength=CELLS)
    else:
        np.add.at(counts, cell_of(values), weight)


def _to_bytes(arrays: list[Ints]) -> bytes:
    parts = []
    for counts in arrays:
        filled = np.flatnonzero(counts)
        parts += [filled.astype("<i4").tobytes(), counts[filled].astype("<i8").tobytes()]
    return bytes([FORMAT]) + frame.join(parts)


def _from_bytes(data: bytes, arrays: list[Ints]) -> None:
    if not data or data[0] != FORMAT:
        raise ValueError(f"spread of format {data[:1]!r}: this release reads {FORMAT}. Upgrade driftd.")
    parts = frame.split(data[1:])
    if len(parts) != 2 * len(arrays):
        raise ValueError(f"a spread of {len(parts)} parts, expected {2 * len(arrays)}")
    for i, counts in enumerate(arrays):
        counts[np.frombuffer(parts[2 * i], dtype="<i4")] = np.frombuffer(parts[2 * i + 1], dtype="<i8")


def _zeros() -> Ints:
    return np.zeros(CELLS, dtype=np.int64)


@dataclass(slots=True)
class ScoreSpread:
    """scores: rows by score cell, shape (CELLS,)."""

    scores: Ints

    @staticmethod
    def empty(schema: Schema) -> ScoreSpread:
        return ScoreSpread(_zeros())

    def add(self, columns: Columns) -> None:
        _count(self.scores, columns.score)

    def merge(self, other: ScoreSpread) -> None:
        self.scores += other.scores

    def to_bytes(self) -> bytes:
        return _to_bytes([self.scores])

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> ScoreSpread:
        """Raises ValueError for a format that this release does not know."""
        out = ScoreSpread.empty(schema)
        _from_bytes(data, [out.scores])
        return out


@dataclass(slots=True)
class LabelledSpread:
    """scores and delays: labelled rows by cell, shape (CELLS,) each. A corrected label counts with its own delay."""

    scores: Ints
    delays: Ints

    @staticmethod
    def empty(schema: Schema) -> LabelledSpread:
        return LabelledSpread(_zeros(), _zeros())

    @property
    def rows(self) -> int:
        """Labels that came, whether or not performance could use them."""
        return int(self.delays.sum())

    def add(self, outcomes: Outcomes) -> None:
        _count(self.scores, outcomes.predicted_score, outcomes.weight)
        if outcomes.ts_ms is not None and outcomes.label_ts_ms is not None:
            _count(self.delays, (outcomes.label_ts_ms - outcomes.ts_ms) / 1000.0, outcomes.weight)

    def merge(self, other: LabelledSpread) -> None:
        self.scores += other.scores
        self.delays += other.delays

    def to_bytes(self) -> bytes:
        return _to_bytes([self.scores, self.delays])

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> LabelledSpread:
        """Raises ValueError for a format that this release does not know."""
        out = LabelledSpread.empty(schema)
        _from_bytes(data, [out.scores, out.delays])
        return out
