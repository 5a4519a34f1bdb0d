"""The worst segment of a window by failures and latency, which events bring: an optional part over coarse cells.

By errors, which labels bring, it is found by detectors/worst_errors.py. Cells, search and test: detectors/coarse_cells.py.
With the option `only_rows` rows are counted by single features and nothing else: what labelled rows are compared with.

Size: 4 kB a pair of features before compression, at most 28 pairs, for all rows of a version; not for segments.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detectors import frame
from detectors.coarse_cells import (
    CELLS,
    Cutting,
    add_cells,
    best,
    counted_features,
    cuttings_of,
    empty_cells,
    means,
    proportions,
    segments_of,
)
from detectors.columns import Columns, Floats, Schema
from detectors.score import Score

FORMAT = 1
SUMS = 5  # rows, failed, rows with a latency, sum of latencies, sum of their squares
PART = "worst_segments"


@dataclass(slots=True)
class WorstCells:
    """singles: shape (features, CELLS, SUMS). pairs: shape (pairs of features, CELLS, CELLS, SUMS), of no pairs where only_rows."""

    features: tuple[str, ...]
    singles: Floats
    pairs: Floats
    cuttings: dict[str, Cutting] = field(default_factory=dict)
    only_rows: bool = False

    @staticmethod
    def empty(schema: Schema) -> WorstCells:
        features, only_rows = counted_features(schema, PART), bool(schema.parts[PART].get("only_rows"))
        singles, pairs = empty_cells(len(features), SUMS)
        return WorstCells(features, singles, pairs[:0] if only_rows else pairs, only_rows=only_rows)

    def bind(self, profile: Any) -> None:
        """Cut the features as the reference lies; without one there are no cells, and nothing is counted."""
        self.cuttings = {} if profile is None else cuttings_of(self.features, profile)

    def add(self, columns: Columns) -> None:
        """Add rows: their cells, whether they failed, and their latency."""
        if not self.cuttings or columns.rows == 0:
            return
        if self.only_rows:
            for i, feature in enumerate(self.features):
                if feature in self.cuttings:
                    self.singles[i, :, 0] += np.bincount(self.cuttings[feature].codes(columns, feature), minlength=CELLS)
            return
        timed = np.isfinite(columns.latency_ms)
        latency = np.where(timed, columns.latency_ms, 0.0)
        weights: list[Any] = [None, columns.error.astype(np.float64), timed.astype(np.float64), latency, latency * latency]
        codes = [self.cuttings[f].codes(columns, f) if f in self.cuttings else None for f in self.features]
        add_cells(self.singles, self.pairs, codes, weights)

    def merge(self, other: WorstCells) -> None:
        """Raises ValueError for counts of other features."""
        if self.features != other.features or self.only_rows != other.only_rows:
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
        if tuple(features) == out.features and len(pairs) == out.pairs.nbytes:
            out.singles = np.frombuffer(singles, dtype="<f8").astype(np.float64).reshape(out.singles.shape)
            out.pairs = np.frombuffer(pairs, dtype="<f8").astype(np.float64).reshape(out.pairs.shape)
        return out

    def segments(self) -> tuple[list[tuple[str, ...]], Floats, Floats]:
        """As segments_of."""
        return segments_of(self.features, self.cuttings, self.singles, self.pairs)


def score_worst(part: WorstCells, least_rows: int) -> Iterator[Score]:
    """The segment whose events fail most, and the slowest one, each with its distance from all other rows.

    Both sides of a comparison have at least `least_rows` rows; rows is the segment's.
    """
    names, sums, total = part.segments()
    if not names:
        why: dict[str, object] = {"reason": "cells of failures come from a built reference: driftd reference build"}
        yield Score("worst_segment", "error_gap", math.nan, 0, evidence=why)
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        yield from best("error_gap", names, *proportions(sums, total, least_rows), "failed share")
        yield from best("latency_gap_ms", names, *means(sums[:, 2:], total[2:], least_rows), "mean latency_ms")
