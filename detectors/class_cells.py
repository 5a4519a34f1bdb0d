"""Probabilities of all classes, calibrated and summed: what the performance of a multiclass model is estimated from.

ReferenceClasses  how each class's probability is calibrated, fitted to the reference's labelled rows, one class
                  against the rest
ClassCells        of a window's rows, without labels: a part of its summary. Each row's probabilities are calibrated and
                  divided by their sum, as NannyML does it, and added up by predicted class (the confusion matrix that
                  is to be expected) and by cell of the raw probability (for ROC AUC, one class against the rest)

Sums are whole multiples of 1 / UNIT, so that their order does not matter. Size of a summary: 8.4 kB a class and
8 bytes a pair of classes, 0.9 MB for 100 classes; filled cells only where stored.
"""

from __future__ import annotations

import json
import math
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from detectors import frame
from detectors.cbpe import allowance, auc_spread, calibrate
from detectors.columns import Columns, Floats, Ints, Matrix, Outcomes, Schema
from detectors.score_cells import CLASS_EDGES, OTHER, centers_of, find_cells

FORMAT = 1
PART = "class_cells"
UNIT = 2.0**30  # sums of a batch stay exact up to 8 million rows, those of a window up to 8 thousand million
CELLS = len(CLASS_EDGES) + 1


@dataclass(frozen=True, slots=True)
class ReferenceClasses:
    """probability: shape (classes, cells), NaN in the rows of classes whose probability is used as it is.

    error, allowed: expected calibration error on rows set aside, and what sampling alone explains of it; NaN and 0 for a
    class that the labels lack. spread, share: shapes (classes,), what the standard error of ROC AUC is made of. reason:
    why nothing can be estimated, whatever the limit.
    """

    classes: tuple[str, ...]
    rows: int
    probability: Floats
    error: Floats
    allowed: Floats
    spread: Floats
    share: Floats
    reason: str = ""

    @staticmethod
    def build(outcomes: Outcomes, schema: Schema) -> ReferenceClasses | None:
        """None where no row has probabilities and a label of one of the model's classes."""
        chances = outcomes.vectors.get("probabilities")
        if chances is None or chances.shape[1] != len(schema.classes):
            return None
        at = {name: i for i, name in enumerate(schema.classes)}
        table = np.array([at.get(v, -1) for v in outcomes.true_label.values] + [-1])
        true = table[outcomes.true_label.codes]
        there = (true >= 0) & ~np.isnan(chances).any(axis=1)
        if not there.any():
            return None
        chances, true = chances[there], true[there]
        k = len(schema.classes)
        cell = _cells_of(chances) + np.arange(k) * CELLS
        mine = np.arange(k) == true[:, None]
        counts = np.bincount((cell + mine * (k * CELLS)).reshape(-1), minlength=2 * k * CELLS).reshape(2, k, CELLS)
        return ReferenceClasses._fit(schema.classes, len(true), counts[0], counts[1])

    @staticmethod
    def _fit(classes: tuple[str, ...], rows: int, rest: Ints, mine: Ints) -> ReferenceClasses:
        k = len(classes)
        table = np.full((k, CELLS), math.nan)
        error, allowed, spread, share = (np.full(k, math.nan) for _ in range(4))
        reason = ""
        for j in range(k):
            found = calibrate(rest[j], mine[j], centers_of("multiclass"), math.inf)
            if found.reason and mine[j].any():
                reason = found.reason
            if found.calibrated:
                table[j] = found.probability
            error[j], allowed[j] = found.error, allowance(int(mine[j].sum()), rows)
            spread[j], share[j] = auc_spread(rest[j].astype(np.float64), mine[j].astype(np.float64))
        return ReferenceClasses(classes, rows, table, error, allowed, spread, share, reason)

    def to_bytes(self) -> bytes:
        known = np.flatnonzero(~np.isnan(self.probability[:, 0]))
        head = json.dumps([self.classes, self.rows, known.tolist(), self.reason]).encode()
        numbers = np.stack([self.error, self.allowed, self.spread, self.share])
        return bytes([FORMAT]) + frame.join(
            [head, numbers.astype("<f8").tobytes(), self.probability[known].astype("<f8").tobytes()]
        )


@lru_cache(32)
def load_classes(data: bytes) -> ReferenceClasses:
    """Raises ValueError for a format that this release does not know."""
    if not data or data[0] != FORMAT:
        raise ValueError(f"calibration of classes of format {data[:1]!r}: this release reads {FORMAT}. Upgrade driftd.")
    head, numbers, values = frame.split(data[1:])
    classes, rows, known, reason = json.loads(head)
    table = np.full((len(classes), CELLS), math.nan)
    table[known] = np.frombuffer(values, dtype="<f8").reshape(len(known), CELLS)
    error, allowed, spread, share = np.frombuffer(numbers, dtype="<f8").reshape(4, -1)
    return ReferenceClasses(tuple(classes), rows, table, error, allowed, spread, share, reason)


@dataclass(slots=True)
class ClassCells:
    """confusion: shape (classes + 1, classes), predicted (the last: any other label) by what is expected to be true.

    ranks: shape (2, classes, cells), by cell of the raw probability: rows, and what is expected to be of the class. Both
    but the rows in units of 1 / UNIT; None while nothing was added.
    """

    schema: Schema
    fitted: int = 0  # checksum of the fit
    rows: int = 0
    confusion: Ints | None = None
    ranks: Ints | None = None
    _fit: ReferenceClasses | None = None

    @staticmethod
    def empty(schema: Schema) -> ClassCells:
        return ClassCells(schema)

    def bind(self, profile: Any) -> None:
        """Calibrate as a reference's labelled rows say; without such a reference nothing is counted."""
        data = None if profile is None else profile.extras.get(PART)
        if data is None or load_classes(data).classes != self.schema.classes:
            return
        checksum = zlib.crc32(data) or 1
        if self.fitted not in (0, checksum):
            self.rows, self.confusion, self.ranks = 0, None, None
        self.fitted, self._fit = checksum, load_classes(data)

    def add(self, columns: Columns) -> None:
        """Add rows; those without probabilities do not count."""
        chances = columns.vectors.get("probabilities")
        if self._fit is None or chances is None or columns.rows == 0:
            return
        codes = columns.label.codes
        lacking = np.isnan(chances).any(axis=1)
        if lacking.any():
            chances, codes = chances[~lacking], codes[~lacking]
        n, k = chances.shape
        if n == 0:
            return
        cell = _cells_of(chances) + np.arange(k) * CELLS
        mass = np.rint(self._calibrated(chances, cell) * UNIT).reshape(-1)
        at = {name: i for i, name in enumerate(self.schema.classes)}
        row = np.array([at.get(v, k) for v in columns.label.values] + [k])[codes]  # code -1 indexes the last entry
        pairs = (row[:, None] * k + np.arange(k)).reshape(-1)
        flat = cell.reshape(-1)
        confusion = np.bincount(pairs, weights=mass, minlength=(k + 1) * k).reshape(k + 1, k)
        ranks = np.stack([np.bincount(flat, minlength=k * CELLS), np.bincount(flat, weights=mass, minlength=k * CELLS)])
        self._sum(n, confusion.astype(np.int64), ranks.astype(np.int64).reshape(2, k, CELLS))

    def _calibrated(self, chances: Matrix, cell: Ints) -> Floats:
        """Each class's calibrated probability, divided by their sum; all alike where that is 0. Shape (n, classes)."""
        assert self._fit is not None
        p: Floats = self._fit.probability.reshape(-1)[cell]
        raw = np.flatnonzero(np.isnan(self._fit.probability[:, 0]))
        p[:, raw] = np.clip(chances[:, raw], 0.0, 1.0)
        total = p.sum(axis=1, keepdims=True)
        nothing = total[:, 0] <= 0.0
        p[nothing], total[nothing] = 1.0, p.shape[1]
        p /= total
        return p

    def _sum(self, rows: int, confusion: Ints, ranks: Ints) -> None:
        self.rows += rows
        self.confusion = confusion if self.confusion is None else self.confusion + confusion
        self.ranks = ranks if self.ranks is None else self.ranks + ranks

    def merge(self, other: ClassCells) -> None:
        """Raises ValueError for sums of another reference."""
        if other.confusion is None or other.ranks is None:
            return
        if self.rows and self.fitted != other.fitted:
            raise ValueError("sums of two references do not merge")
        self.fitted, self._fit = other.fitted, other._fit or self._fit
        self._sum(other.rows, other.confusion, other.ranks)

    def to_bytes(self) -> bytes:
        if self.confusion is None or self.ranks is None:
            return bytes([FORMAT]) + frame.join([json.dumps([0, 0, []]).encode()])
        head = json.dumps([self.fitted, self.rows, self.schema.classes]).encode()
        filled = np.flatnonzero(self.ranks[0])
        ranks = self.ranks.reshape(2, -1)[:, filled]
        body = [self.confusion.astype("<i8").tobytes(), filled.astype("<i4").tobytes(), ranks.astype("<i8").tobytes()]
        return bytes([FORMAT]) + frame.join([head, *body])

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> ClassCells:
        """Sums over other classes are dropped. Raises ValueError for a format that this release does not know."""
        if not data or data[0] != FORMAT:
            raise ValueError(f"cells of classes of format {data[:1]!r}: this release reads {FORMAT}. Upgrade driftd.")
        head, *body = frame.split(data[1:])
        fitted, rows, classes = json.loads(head)
        out, k = ClassCells(schema), len(classes)
        if rows and tuple(classes) == schema.classes:
            filled = np.frombuffer(body[1], dtype="<i4")
            ranks = np.zeros((2, k * CELLS), dtype=np.int64)
            ranks[:, filled] = np.frombuffer(body[2], dtype="<i8").reshape(2, len(filled))
            out.fitted = fitted
            out._sum(rows, np.frombuffer(body[0], dtype="<i8").reshape(k + 1, k).astype(np.int64), ranks.reshape(2, k, CELLS))
        return out

    def expected(self) -> tuple[Floats, list[str]]:
        """The confusion matrix to be expected (predicted, true), in rows, and its labels."""
        assert self.confusion is not None
        k = len(self.schema.classes)
        out = np.zeros((k + 1, k + 1))
        out[:, :k] = self.confusion / UNIT
        if not self.confusion[k].any():
            return out[:k, :k], list(self.schema.classes)
        return out, [*self.schema.classes, OTHER]


def _cells_of(chances: Matrix) -> Ints:
    """The cell of each probability, shape (n, classes)."""
    return find_cells(CLASS_EDGES, chances.astype(np.float64).reshape(-1)).reshape(chances.shape)
