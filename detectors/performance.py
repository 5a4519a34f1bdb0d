"""Predictions against the labels that came: counts and sums that merge, and can be taken back.

Classification keeps confusion counts, and for binary models the scores of each class in fixed cells, finest
near 0 and 1, which give ROC AUC, and every threshold's confusion counts, without keeping rows. Log loss and
Brier's score are sums. Regression keeps sums of errors and of values.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detectors import frame
from detectors.columns import Ints, Outcomes, Schema
from detectors.score_cells import SCORE_EDGES
from detectors.summaries import OUTCOME_PARTS, empty_parts, merge_parts, restore_parts

FORMAT = 1
LABELS = 100  # more classes share OTHER
OTHER = "__other__"
CLIP = float(np.finfo(np.float64).eps)  # scikit-learn's log_loss clips probabilities here
_SUMS = ("rows", "scored", "log_loss", "brier", "abs_error", "sq_error", "value", "value_sq")


@dataclass(slots=True)
class PerformanceSummary:
    """sums holds the names in _SUMS; confusion counts (predicted, true); cells has shape (2, k) for binary."""

    schema: Schema
    confusion: dict[tuple[str, str], int] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_SUMS, 0.0))
    cells: Ints | None = None
    parts: dict[str, Any] = field(default_factory=dict)  # optional ones by name, see detectors/summaries.py

    @staticmethod
    def empty(schema: Schema) -> PerformanceSummary:
        out = PerformanceSummary(schema, parts=empty_parts(OUTCOME_PARTS, schema))
        if schema.task == "binary":
            out.cells = np.zeros((2, len(SCORE_EDGES) + 1), dtype=np.int64)
        return out

    @property
    def rows(self) -> int:
        return int(self.sums["rows"])

    def add(self, outcomes: Outcomes) -> None:
        """Add outcomes of shape (n,), each with weight +1 or -1."""
        if self.schema.task == "regression":
            self._add_values(outcomes)
        else:
            self._add_labels(outcomes)
        for part in self.parts.values():
            part.add(outcomes)

    def _add_values(self, o: Outcomes) -> None:
        there = np.isfinite(o.true_value) & np.isfinite(o.predicted_score)
        truth, weight = o.true_value[there], o.weight[there].astype(np.float64)
        error = o.predicted_score[there] - truth
        s = self.sums
        s["rows"] += float(weight.sum())
        s["abs_error"] += float((weight * np.abs(error)).sum())
        s["sq_error"] += float((weight * error * error).sum())
        s["value"] += float((weight * truth).sum())
        s["value_sq"] += float((weight * truth * truth).sum())

    def _add_labels(self, o: Outcomes) -> None:
        predicted, true = o.predicted_label, o.true_label
        there = (true.codes >= 0) & (predicted.codes >= 0)
        self.sums["rows"] += float(o.weight[there].sum())
        width = max(1, len(true.values))
        pair = predicted.codes[there].astype(np.int64) * width + true.codes[there]
        size = max(1, len(predicted.values)) * width
        tally = np.zeros(size, dtype=np.int64)
        np.add.at(tally, pair, o.weight[there])
        for at in np.flatnonzero(tally).tolist():
            key = (self._name(predicted.values[at // width]), self._name(true.values[at % width]))
            self.confusion[key] = self.confusion.get(key, 0) + int(tally[at])
            if self.confusion[key] == 0:
                del self.confusion[key]
        scored = there & np.isfinite(o.predicted_score)
        if not scored.any():
            return
        score, weight = o.predicted_score[scored], o.weight[scored]
        if self.schema.task == "binary" and self.cells is not None:
            wanted = self.schema.positive_label
            positive_code = true.values.index(wanted) if wanted in true.values else -2
            positive = (true.codes[scored] == positive_code).astype(np.int64)
            cell = np.searchsorted(SCORE_EDGES, score, side="right")
            np.add.at(self.cells, (positive, cell), weight)
            chance = np.where(positive == 1, score, 1.0 - score)
            self.sums["brier"] += float((weight * (score - positive) ** 2).sum())
        else:
            # the score is the predicted class's probability: the true one's is known where they agree
            same = np.array([predicted.values.index(v) if v in predicted.values else -2 for v in true.values] or [-2])
            hit = same[true.codes[scored]] == predicted.codes[scored]
            score, weight, chance = score[hit], weight[hit], score[hit]
        self.sums["scored"] += float(weight.sum())
        self.sums["log_loss"] += float((weight * -np.log(np.clip(chance, CLIP, 1.0 - CLIP))).sum())

    def _name(self, label: str) -> str:
        known = {name for pair in self.confusion for name in pair}
        return label if label in known or len(known) < LABELS else OTHER

    def merge(self, other: PerformanceSummary) -> None:
        for key, rows in other.confusion.items():
            self.confusion[key] = self.confusion.get(key, 0) + rows
            if self.confusion[key] == 0:
                del self.confusion[key]
        for name, value in other.sums.items():
            self.sums[name] += value
        if self.cells is not None and other.cells is not None:
            self.cells += other.cells
        merge_parts(self.parts, other.parts)

    def to_bytes(self) -> bytes:
        confusion = sorted([*key, rows] for key, rows in self.confusion.items())
        head = [confusion, self.cells is not None, list(self.parts)]
        parts = [json.dumps(head).encode(), struct.pack(f"<{len(_SUMS)}d", *(self.sums[n] for n in _SUMS))]
        if self.cells is not None:
            filled = np.flatnonzero(self.cells)
            parts += [filled.astype("<i4").tobytes(), self.cells.reshape(-1)[filled].astype("<i8").tobytes()]
        parts += [part.to_bytes() for part in self.parts.values()]
        return bytes([FORMAT]) + frame.join(parts)

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> PerformanceSummary:
        """Raises ValueError for a format that this release does not know."""
        if not data or data[0] != FORMAT:
            raise ValueError(f"performance summary of format {data[:1]!r}: this release reads {FORMAT}.")
        parts = frame.split(data[1:])
        out = PerformanceSummary.empty(schema)
        confusion, has_cells, others = json.loads(parts[0])
        out.confusion = {(predicted, true): rows for predicted, true, rows in confusion}
        out.sums = dict(zip(_SUMS, struct.unpack(f"<{len(_SUMS)}d", parts[1]), strict=True))
        if out.cells is not None and has_cells:
            out.cells.reshape(-1)[np.frombuffer(parts[2], dtype="<i4")] = np.frombuffer(parts[3], dtype="<i8")
        stored = dict(zip(others, parts[4 if has_cells else 2 :], strict=True))
        out.parts = restore_parts(OUTCOME_PARTS, schema, stored)
        return out

    def roc_auc(self) -> float:
        """Area under the ROC curve from the score cells, ties counted half; NaN with one class only."""
        if self.cells is None:
            return math.nan
        negative, positive = self.cells[0].astype(np.float64), self.cells[1].astype(np.float64)
        total = negative.sum() * positive.sum()
        if total <= 0:
            return math.nan
        below = np.cumsum(negative) - negative
        return float((positive * (below + negative / 2.0)).sum() / total)
