"""Predictions against the labels that came: counts and sums that merge, and can be taken back.

What is counted depends on the task (detectors/labelled/): confusion counts, scores in fixed cells, sums of what a
metric is the mean of. No rows are kept. Size: for binary 90 kB in memory, for multiclass 90 kB a class up to 16, 8.7 kB
a class beyond, for regression 164 kB, for multilabel with probabilities 9 kB a label, else less than 2 kB a class or quantile;
where stored, filled cells
only, at 12 bytes each: up to 1.5 times as much.
Beside that at most 20,000 pairs of labels (detectors/labelled/folding.py).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from detectors import frame
from detectors.columns import Ints, Outcomes, Schema
from detectors.labelled.tally import Metric, Tally
from detectors.labelled.tasks import LABELLED
from detectors.score_cells import FORMER_EDGES, SCORE_EDGES, of_former
from detectors.summaries import OUTCOME_PARTS, empty_parts, merge_parts, restore_parts

FORMAT = 3
WITHOUT_FOLD = 2  # more than 100 labels shared "__other__", right or wrong; no exact sums


@dataclass(slots=True)
class PerformanceSummary(Tally):
    """The counts of one task."""

    @staticmethod
    def empty(schema: Schema) -> PerformanceSummary:
        task = LABELLED[schema.task]
        return PerformanceSummary(
            schema,
            sums=dict.fromkeys(task.sum_names(schema), 0.0),
            arrays={name: np.zeros(shape, dtype=np.int64) for name, shape in task.arrays(schema).items()},
            exact=dict.fromkeys(task.exact(schema), Fraction(0)),
            parts=empty_parts(OUTCOME_PARTS, schema),
        )

    @property
    def cells(self) -> Ints | None:
        """For binary: rows by class and score cell (detectors/score_cells.py), shape (2, cells)."""
        return self.arrays.get("score")

    @property
    def labelled(self) -> int:
        """Rows whose label says something for the task: of a ranking also that nothing is relevant, which its metrics leave out."""
        return int(self.sums["judged"]) if self.schema.task == "ranking" else self.rows

    def add(self, outcomes: Outcomes) -> None:
        """Add outcomes of shape (n,), each with weight +1 or -1."""
        LABELLED[self.schema.task].add(self, outcomes)
        for part in self.parts.values():
            part.add(outcomes)

    def metrics(self) -> list[Metric]:
        """The task's metrics with their intervals; empty without rows."""
        return list(LABELLED[self.schema.task].metrics(self)) if self.labelled > 0 else []

    def merge(self, other: PerformanceSummary) -> None:
        self.add_pairs(other)
        for name, value in other.sums.items():
            self.sums[name] += value
        for name, counts in other.arrays.items():
            self.arrays[name] += counts
        for name, whole in other.exact.items():
            self.exact[name] += whole
        self.round_exact()
        merge_parts(self.parts, other.parts)

    def to_bytes(self) -> bytes:
        confusion = sorted([*key, rows] for key, rows in self.confusion.items())
        shapes = {name: list(counts.shape) for name, counts in self.arrays.items()}
        exact = {name: str(value) for name, value in self.exact.items()}
        head = [confusion, list(self.sums), shapes, list(self.parts), _meaning(self.schema), self.fold, exact]
        out = [json.dumps(head).encode(), np.array(list(self.sums.values()), dtype="<f8").tobytes()]
        for counts in self.arrays.values():
            filled = np.flatnonzero(counts)
            out += [filled.astype("<i4").tobytes(), counts.reshape(-1)[filled].astype("<i8").tobytes()]
        out += [part.to_bytes() for part in self.parts.values()]
        return bytes([FORMAT]) + frame.join(out)

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> PerformanceSummary:
        """Counts that were made for another task, other classes or other quantiles are dropped, all but the confusion.

        Raises ValueError for a format that this release does not know.
        """
        if not data or data[0] not in (WITHOUT_FOLD, FORMAT):
            raise ValueError(f"performance summary of format {data[:1]!r}: this release reads {WITHOUT_FOLD} and {FORMAT}.")
        parts = frame.split(data[1:])
        out = PerformanceSummary.empty(schema)
        confusion, names, shapes, others, meaning, *more = json.loads(parts[0])
        out.fold, exact = more if len(more) == 2 else (0, None)
        out.confusion = {(predicted, true): rows for predicted, true, rows in confusion}
        found = dict(zip(names, np.frombuffer(parts[1], dtype="<f8").tolist(), strict=True))
        same = meaning == _meaning(schema)
        for name in out.sums:
            if (same or name == "rows") and name in found:
                out.sums[name] = found[name]
        if same:
            out.exact |= _exact_before(schema, found)
            out.exact |= {n: Fraction(v) for n, v in (exact or {}).items() if n in out.exact}
            out.round_exact()
        at = 2
        for name, shape in shapes.items():
            if same and name in out.arrays:
                wanted = out.arrays[name].shape
                if tuple(shape) == wanted:
                    out.arrays[name].reshape(-1)[np.frombuffer(parts[at], dtype="<i4")] = np.frombuffer(parts[at + 1], dtype="<i8")
                elif shape[-1] == len(FORMER_EDGES) + 1 and wanted == (*shape[:-1], len(SCORE_EDGES) + 1):
                    former = np.zeros(shape, dtype=np.int64)
                    former.reshape(-1)[np.frombuffer(parts[at], dtype="<i4")] = np.frombuffer(parts[at + 1], dtype="<i8")
                    out.arrays[name][...] = of_former(former)
            at += 2
        out.parts = restore_parts(OUTCOME_PARTS, schema, dict(zip(others, parts[at:], strict=True)))
        return out


def _exact_before(schema: Schema, sums: Mapping[str, float]) -> dict[str, Fraction]:
    """Exact sums, from the rounded ones of a release that kept no others."""
    known = {name: sums.get(before, 0.0) for name, before in LABELLED[schema.task].exact(schema).items()}
    return {name: Fraction(value) for name, value in known.items() if math.isfinite(value)}


def _meaning(schema: Schema) -> list[Any]:
    """What the counts of a summary mean: two that differ here cannot be merged."""
    return [schema.task, list(schema.classes), list(schema.quantiles), schema.top_k, schema.positive_label]
