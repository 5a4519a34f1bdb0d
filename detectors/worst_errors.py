"""The worst segment of a window by what labels show: an optional part over coarse cells, as detectors/worst.py's.

A label comes without features, so each prediction leaves its cells behind when it waits (monitor/waiting_cells.py), and an
outcome brings them in vectors["worst_cells"], shape (n, 1 + features): which of the part's `marks` the codes were made
with, then a code a feature; NaN where there is none. Rows that waited while another reference was active keep its cells:
counts are kept apart by mark, and only those of the window's own reference are searched.

    segment_accuracy_gap   classification: accuracy of all other rows less that inside the segment
    segment_mae_gap        regression: mean absolute error inside the segment less that of all other rows

Size: 69 kB for eight features, about 10 kB as bytes, for each reference that rows of the pane were counted against: nearly always one.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from detectors import frame
from detectors.coarse_cells import (
    add_cells,
    best,
    counted_features,
    cuttings_of,
    empty_cells,
    mark_of,
    means,
    proportions,
    segments_of,
)
from detectors.columns import Floats, Outcomes, Schema
from detectors.score import Score
from detectors.trace import row_errors

FORMAT = 1
SUMS = 3  # rows, sum of errors, sum of their squares
PART = "worst_errors"
VECTOR = "worst_cells"


@dataclass(slots=True)
class WorstErrors:
    """counts: by mark, sums of each feature's cells (features, CELLS, SUMS) and of each pair's (pairs, CELLS, CELLS, SUMS)."""

    task: str
    features: tuple[str, ...]
    marks: tuple[int, ...]
    counts: dict[int, tuple[Floats, Floats]] = field(default_factory=dict)

    @staticmethod
    def empty(schema: Schema) -> WorstErrors:
        return WorstErrors(schema.task, counted_features(schema, PART), tuple(schema.parts[PART]["marks"]))

    def add(self, outcomes: Outcomes) -> None:
        """Outcomes of shape (n,); those without cells, or without an error, are not counted."""
        cells = outcomes.vectors.get(VECTOR)
        if cells is None or cells.shape[1] != 1 + len(self.features):
            return
        there, errors = row_errors(outcomes, self.task)
        there &= ~np.isnan(cells[:, 0])
        for number in np.unique(cells[there, 0]).astype(np.int64).tolist():
            rows = there & (cells[:, 0] == number)
            columns = cells[rows, 1:].T
            codes = [None if np.isnan(column).any() else column.astype(np.int64) for column in columns]
            weight = outcomes.weight[rows].astype(np.float64)
            off = errors[rows]
            singles, pairs = self._of(self.marks[number])
            add_cells(singles, pairs, codes, [weight, off * weight, off * off * weight])
            self._forget(self.marks[number])

    def merge(self, other: WorstErrors) -> None:
        """Raises ValueError for counts of other features."""
        if self.features != other.features:
            raise ValueError(f"cells of {self.features} and of {other.features} do not merge")
        for mark, (singles, pairs) in other.counts.items():
            mine = self._of(mark)
            mine[0][...] += singles
            mine[1][...] += pairs
            self._forget(mark)

    def _of(self, mark: int) -> tuple[Floats, Floats]:
        if mark not in self.counts:
            self.counts[mark] = empty_cells(len(self.features), SUMS)
        return self.counts[mark]

    def _forget(self, mark: int) -> None:
        """What was taken back to the last row was never there."""
        if not self.counts[mark][0][..., 0].any():
            del self.counts[mark]

    def to_bytes(self) -> bytes:
        marks = sorted(self.counts)
        head = json.dumps([list(self.features), marks]).encode()
        parts = [head, *(sums.astype("<f8").tobytes() for mark in marks for sums in self.counts[mark])]
        return bytes([FORMAT]) + zlib.compress(frame.join(parts), 1)

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> WorstErrors:
        """Counts of features that the config has changed since are dropped.

        Raises ValueError for a format that this release does not know, or for damaged bytes.
        """
        if not data or data[0] != FORMAT:
            raise ValueError(f"worst errors of format {data[:1]!r}: this release reads {FORMAT}. Upgrade driftd.")
        try:
            head, *sums = frame.split(zlib.decompress(data[1:]))
        except zlib.error as error:
            raise ValueError(f"damaged worst errors: {error}") from error
        features, marks = json.loads(head)
        out = WorstErrors.empty(schema)
        if tuple(features) == out.features:
            for i, mark in enumerate(marks):
                for mine, stored in zip(out._of(mark), sums[2 * i : 2 * i + 2], strict=True):
                    mine[...] = np.frombuffer(stored, dtype="<f8").reshape(mine.shape)
        return out


def score_worst_errors(part: WorstErrors, profile: Any, least_rows: int) -> Iterator[Score]:
    """The segment whose predictions are most often wrong, or farthest off, among the labelled rows.

    profile: the reference that the window's inputs count in, None without one. Both sides of a comparison have at least
    `least_rows` labelled rows; rows is the segment's.
    """
    name = "segment_mae_gap" if part.task == "regression" else "segment_accuracy_gap"
    if profile is None:
        why: dict[str, object] = {"reason": "cells come from a built reference: driftd reference build"}
        yield Score("worst_segment", name, math.nan, 0, evidence=why)
        return
    cuttings = cuttings_of(part.features, profile)
    found = part.counts.get(mark_of(part.features, cuttings))
    if found is None:
        return
    names, sums, total = segments_of(part.features, cuttings, *found)
    with np.errstate(divide="ignore", invalid="ignore"):
        if part.task == "regression":
            yield from best(name, names, *means(sums, total, least_rows), "mean absolute error")
            return
        for score in best(name, names, *proportions(sums, total, least_rows), "accuracy"):
            right = {side: round(1.0 - float(str(score.evidence[side])), 6) for side in ("inside", "outside")}
            yield replace(score, evidence={**score.evidence, **right})
