"""Probabilities of all classes, calibrated and summed: what the performance of a multiclass model is estimated from.

Of a window's rows, without labels: a part of its summary. Each row's probabilities are calibrated (class_calibration.py) and
added up by predicted class (the confusion matrix that is to be expected) and by cell of the raw probability (for ROC AUC, one
class against the rest).

Sums are whole multiples of 1 / UNIT, so that their order does not matter. Size of a summary: 8.4 kB a class and
8 bytes a pair of classes, 0.9 MB for 100 classes; filled cells only where stored.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors import frame
from detectors.class_calibration import CELLS, ReferenceClasses, calibrated, cells_of, load_classes
from detectors.columns import Columns, Floats, Ints, Schema
from detectors.score_cells import OTHER

FORMAT = 1
PART = "class_cells"
UNIT = 2.0**30  # sums of a batch stay exact up to 8 million rows, those of a window up to 8 thousand million


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
        cell = cells_of(chances) + np.arange(k) * CELLS
        mass = np.rint(calibrated(self._fit, chances, cell) * UNIT).reshape(-1)
        at = {name: i for i, name in enumerate(self.schema.classes)}
        row = np.array([at.get(v, k) for v in columns.label.values] + [k])[codes]  # code -1 indexes the last entry
        pairs = (row[:, None] * k + np.arange(k)).reshape(-1)
        flat = cell.reshape(-1)
        confusion = np.bincount(pairs, weights=mass, minlength=(k + 1) * k).reshape(k + 1, k)
        ranks = np.stack([np.bincount(flat, minlength=k * CELLS), np.bincount(flat, weights=mass, minlength=k * CELLS)])
        self._sum(n, confusion.astype(np.int64), ranks.astype(np.int64).reshape(2, k, CELLS))

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
