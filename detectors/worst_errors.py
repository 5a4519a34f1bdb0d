"""Errors by what the features said, as labels come: the worst segment, which rows got labels, what a change came from.

A label comes without features, so each prediction leaves its cells behind when it waits (monitor/waiting_cells.py), and an
outcome brings them in vectors["worst_cells"], shape (n, 1 + features): which of the part's `marks` the codes were made
with, then a code a feature; NaN where there is none. Rows that waited while another reference was active keep its cells:
counts are kept apart by mark, and only those of the window's own reference are searched.

Rows of panes without a built reference have the mark FREE and codes that need none (detectors/free_cells.py): sums are kept
of single features, and cut into cells when the window closes.

What is found in them: detectors/worst_drop.py. Outcomes of a task without an error a row are counted without one: of them only
who got labels is known.

Size: 69 kB for eight features, about 10 kB as bytes, for each reference that rows of the pane were counted against: nearly always
one; without a reference at most 66 kB, about 20 kB as bytes.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from detectors import frame
from detectors.coarse_cells import add_cells, counted_features, cuttings_of, empty_cells, mark_of
from detectors.columns import Bools, Columns, Floats, Matrix, Outcomes, Schema
from detectors.free_cells import CodeSums
from detectors.trace import ERROR_TASKS, row_errors

FORMAT = 2  # 1 had no sums by free codes
FREE = -1  # in place of the number of a mark
SUMS = 3  # rows, sum of errors, sum of their squares
PART = "worst_errors"
VECTOR = "worst_cells"


@dataclass(slots=True)
class WorstErrors:
    """counts: by mark, sums of each feature's cells (features, CELLS, SUMS) and of each pair's (pairs, CELLS, CELLS, SUMS).

    free: of rows without a reference, sums by each feature's codes; () while there are none.
    """

    task: str
    features: tuple[str, ...]
    marks: tuple[int, ...]
    counts: dict[int, tuple[Floats, Floats]] = field(default_factory=dict)
    free: tuple[CodeSums, ...] = ()

    @staticmethod
    def empty(schema: Schema) -> WorstErrors:
        return WorstErrors(schema.task, counted_features(schema, PART), tuple(schema.parts[PART]["marks"]))

    def add(self, outcomes: Outcomes) -> None:
        """Outcomes of shape (n,); those without cells, or without an error, are not counted."""
        cells = outcomes.vectors.get(VECTOR)
        if cells is None or cells.shape[1] != 1 + len(self.features):
            return
        there, errors = np.ones(outcomes.rows, dtype=np.bool_), np.zeros(outcomes.rows)
        if self.task in ERROR_TASKS:
            there, errors = row_errors(outcomes, self.task)
        there &= ~np.isnan(cells[:, 0])
        for number in _distinct(cells[there, 0]):
            mine = there & (cells[:, 0] == number)
            rows: slice | Bools = slice(None) if mine.all() else mine
            columns = cells[rows, 1:].T
            weight = outcomes.weight[rows].astype(np.float64)
            off = errors[rows]
            weights: list[Any] = [weight, off * weight, off * off * weight]
            if number == FREE:
                self.free = self.free or tuple(CodeSums() for _ in self.features)
                stacked = np.stack(weights)
                for sums, column in zip(self.free, columns, strict=True):
                    sums.count(column.astype(np.int64), stacked)
                continue
            codes = [None if np.isnan(column).any() else column.astype(np.int64) for column in columns]
            singles, pairs = self._of(self.marks[number])
            add_cells(singles, pairs, codes, weights)
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
        if other.free:
            self.free = self.free or tuple(CodeSums() for _ in self.features)
            for sums, theirs in zip(self.free, other.free, strict=True):
                sums.merge(theirs)

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
        return bytes([FORMAT]) + zlib.compress(frame.join([*parts, *(sums.to_bytes() for sums in self.free)]), 1)

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> WorstErrors:
        """Counts of features that the config has changed since are dropped.

        Raises ValueError for a format that this release does not know, or for damaged bytes.
        """
        if not data or data[0] not in (1, FORMAT):
            raise ValueError(f"worst errors of format {data[:1]!r}: this release reads 1 and {FORMAT}. Upgrade driftd.")
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
            out.free = tuple(CodeSums.from_bytes(stored) for stored in sums[2 * len(marks) :])
        return out


def _distinct(numbers: Matrix) -> list[int]:
    """Ascending; mostly all are one, which needs no sorting."""
    alike = len(numbers) > 0 and bool((numbers == numbers[0]).all())
    found = numbers[:1] if alike else np.unique(numbers)
    return [int(number) for number in found]


def errors_of_reference(profile: Any, columns: Columns, outcomes: Outcomes, schema: Schema) -> WorstErrors:
    """The same of a reference's labelled rows, in its own cells. columns: with what is derived, row by row beside outcomes."""
    features = counted_features(schema, PART)
    cuttings = cuttings_of(features, profile)
    out = WorstErrors(schema.task, features, (mark_of(features, cuttings),))
    cells = np.zeros((columns.rows, 1 + len(features)), dtype=np.float32)
    for i, feature in enumerate(features):
        cells[:, 1 + i] = cuttings[feature].codes(columns, feature) if feature in cuttings else np.nan
    out.add(replace(outcomes, vectors={VECTOR: cells}))
    return out
