"""The errors of a pane's outcomes in the order of their predictions' times, bounded: what stream detectors read.

    time   |  cell 0 | cell 1 | ...          a pane is cut into 2^level equal cells of time
    rows   |    1    |   3    |              outcomes of each cell, and the sum of their errors
    errors |    0    |   2    |

The level begins so fine that every millisecond has a cell of its own, and falls by one whenever more than `cells` cells
have ever held an outcome. A retracted outcome leaves its cell behind, empty. So the level is a function of the
predictions' times alone, and any split, order or correction of the outcomes leads to the same trace.

An error is 1 for a wrong label and 0 for a right one, or the absolute error of a regression, at most MOST. Size: 2 to 4 kB stored.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np

from detectors import frame
from detectors.columns import Bools, Floats, Ints, Outcomes, Schema
from detectors.float_cells import MOST

PART = "errors"
FORMAT = 1
ERROR_TASKS = ("binary", "multiclass", "regression")  # those whose outcomes are right or wrong, or off by so much


def row_errors(outcomes: Outcomes, task: str) -> tuple[Bools, Floats]:
    """Which outcomes have an error, and it: both of shape (n,)."""
    if task == "regression":
        with np.errstate(over="ignore", invalid="ignore"):
            off = np.minimum(np.abs(outcomes.predicted_score - outcomes.true_value), MOST)
        there = np.isfinite(outcomes.predicted_score) & np.isfinite(outcomes.true_value)
        return there, np.where(there, off, 0.0)
    predicted, true = outcomes.predicted_label, outcomes.true_label
    place = {value: i for i, value in enumerate(predicted.values)}
    same = np.array([place.get(v, -2) for v in true.values] + [-2], dtype=np.int64)
    there = (true.codes >= 0) & (predicted.codes >= 0)
    return there, (there & (same[true.codes] != predicted.codes)).astype(np.float64)


@dataclass(slots=True)
class ErrorTrace:
    """keys: pane number * 2^level + cell, ascending; rows and errors of each. All of shape (k,)."""

    task: str
    pane_ms: int
    limit: int
    level: int
    keys: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    rows: Ints = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    errors: Floats = field(default_factory=lambda: np.empty(0))

    @staticmethod
    def empty(schema: Schema) -> ErrorTrace:
        options = schema.parts[PART]
        pane_ms = int(options["pane_ms"])
        return ErrorTrace(schema.task, pane_ms, int(options["cells"]), (pane_ms - 1).bit_length())

    def add(self, outcomes: Outcomes) -> None:
        """Outcomes of shape (n,) with the times of their predictions."""
        there, errors = row_errors(outcomes, self.task)
        if outcomes.ts_ms is None or not there.any():
            return
        pane, within = np.divmod(outcomes.ts_ms[there], self.pane_ms)
        keys = (pane << self.level) + (within << self.level) // self.pane_ms
        weight = outcomes.weight[there]
        self._take(keys, weight, errors[there] * weight)

    def merge(self, other: ErrorTrace) -> None:
        level = min(self.level, other.level)
        self._coarsen(self.level - level)
        self._take(other.keys >> (other.level - level), other.rows, other.errors)

    def _take(self, keys: Ints, rows: Ints, errors: Floats) -> None:
        self._group(np.concatenate([self.keys, keys]), np.concatenate([self.rows, rows]), np.concatenate([self.errors, errors]))
        while len(self.keys) > self.limit and self.level > 0:
            self._coarsen(1)

    def _coarsen(self, by: int) -> None:
        if by:
            self.level -= by
            self._group(self.keys >> by, self.rows, self.errors)

    def _group(self, keys: Ints, rows: Ints, errors: Floats) -> None:
        self.keys, at = np.unique(keys, return_inverse=True)
        total = np.zeros(len(self.keys), dtype=np.int64)
        np.add.at(total, at, rows)
        self.rows = total
        self.errors = np.bincount(at, weights=errors, minlength=len(self.keys)).astype(np.float64)

    def between(self, from_ms: int, to_ms: int) -> ErrorTrace:
        """The cells of the panes with from_ms <= start < to_ms; both are starts of panes."""
        panes = self.keys >> self.level
        inside = (panes >= from_ms // self.pane_ms) & (panes < to_ms // self.pane_ms) & (self.rows > 0)
        return ErrorTrace(
            self.task, self.pane_ms, self.limit, self.level, self.keys[inside], self.rows[inside], self.errors[inside]
        )

    def times(self) -> Ints:
        """The time at which each cell begins, in ms."""
        pane, cell = self.keys >> self.level, self.keys & ((1 << self.level) - 1)
        return np.asarray(pane * self.pane_ms + -(-(cell * self.pane_ms) >> self.level), dtype=np.int64)

    def stream(self, most: int) -> tuple[Floats, Ints]:
        """The errors one by one, and their times: at most `most`, evenly thinned where there are more.

        Within a cell of several rows the order is lost: its wrong ones are spread evenly among them, and an absolute
        error is the mean of its cell.
        """
        total = int(self.rows.sum())
        cell = np.repeat(np.arange(len(self.rows)), self.rows)
        before = np.cumsum(self.rows) - self.rows
        if total > most:
            cell = cell[np.arange(most) * total // most]
        if self.task == "regression":
            values = (self.errors / np.maximum(self.rows, 1))[cell]
        else:
            place = np.arange(total)[np.arange(most) * total // most] if total > most else np.arange(total)
            place = place - before[cell]
            wrong, rows = np.round(self.errors).astype(np.int64)[cell], np.maximum(self.rows, 1)[cell]
            values = ((2 * (place + 1) * wrong + rows) // (2 * rows) - (2 * place * wrong + rows) // (2 * rows)).astype(np.float64)
        return values, self.times()[cell]

    def to_bytes(self) -> bytes:
        head = struct.pack("<qqi", self.pane_ms, self.limit, self.level)
        steps = np.diff(self.keys, prepend=0)
        parts = [head, steps.astype("<i8").tobytes(), self.rows.astype("<i8").tobytes(), self.errors.astype("<f8").tobytes()]
        return bytes([FORMAT]) + zlib.compress(frame.join(parts), 1)

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> ErrorTrace:
        """Raises ValueError for a format that this release does not know, or for damaged bytes."""
        if not data or data[0] != FORMAT:
            raise ValueError(f"trace of errors of format {data[:1]!r}: this release reads {FORMAT}. Upgrade driftd.")
        try:
            head, steps, rows, errors = frame.split(zlib.decompress(data[1:]))
        except zlib.error as error:
            raise ValueError(f"damaged trace of errors: {error}") from error
        pane_ms, limit, level = struct.unpack("<qqi", head)
        return ErrorTrace(
            schema.task, pane_ms, limit, level,
            np.cumsum(np.frombuffer(steps, dtype="<i8").astype(np.int64)),
            np.frombuffer(rows, dtype="<i8").astype(np.int64),
            np.frombuffer(errors, dtype="<f8").astype(np.float64),
        )  # fmt: skip
