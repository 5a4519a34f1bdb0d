"""Scores of a classifier in fixed cells, by predicted label: what performance is estimated from before labels come.

ScoreCells      of a window's rows, without labels: a part of its summary, counted where the reference had labels
ReferenceCells  of the reference's labelled rows: the same cells, and how many of each cell were positive (binary)
                or right (multiclass)

A binary model's cells are 1/4096 wide and, near 0 and 1, where the scores of rare events lie, 1/32 of an octave: scores of one in a
million are told apart as those of one in two are.

Size of a summary: 8 bytes a cell and label in memory, at most 135 kB for binary, 430 kB for 100 classes; filled
cells only where stored.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from detectors import frame
from detectors.buckets import table_for
from detectors.columns import Columns, Floats, Ints, Outcomes, Schema

FORMAT = 2
FORMER = 1  # cells of octaves near 0 and 1
PART = "score_cells"
LABELS = 100  # classes with cells of their own; more share OTHER
OTHER = "__other__"
NEGATIVE, POSITIVE, UNKNOWN = 0, 1, 2  # rows of a binary model's cells: predicted so, or without a predicted label
_octaves = 2.0 ** -np.arange(13, 31, dtype=np.float64)
FORMER_EDGES: Floats = np.unique(np.concatenate([np.linspace(0.0, 1.0, 4097), _octaves, 1.0 - _octaves]))
_tail = 2.0 ** (-np.arange(7 * 32, 30 * 32 + 1, dtype=np.float64) / 32.0)
SCORE_EDGES: Floats = np.unique(np.concatenate([FORMER_EDGES, _tail, 1.0 - _tail]))
_tail = 1.0 - 2.0 ** -np.arange(10, 21, dtype=np.float64)
CLASS_EDGES: Floats = np.unique(np.concatenate([np.linspace(0.0, 1.0, 513), _tail]))


def edges_of(task: str) -> Floats:
    """Interior edges of the cells, ascending, from 0 to 1."""
    return SCORE_EDGES if task == "binary" else CLASS_EDGES


@lru_cache(2)
def centers_of(task: str) -> Floats:
    """The score that stands for a cell, shape (k,): its middle, and 0 and 1 for what lies outside."""
    edges = edges_of(task)
    return np.concatenate([[0.0], (edges[1:] + edges[:-1]) / 2.0, [1.0]])


def of_former(counts: Ints) -> Ints:
    """Counts by the cells of FORMER_EDGES, in the last axis, by those of SCORE_EDGES: each in the one that its middle lies in."""
    middle = np.concatenate([[-1.0], (FORMER_EDGES[1:] + FORMER_EDGES[:-1]) / 2.0, [2.0]])
    out: Ints = np.zeros((*counts.shape[:-1], len(SCORE_EDGES) + 1), dtype=np.int64)
    out[..., np.searchsorted(SCORE_EDGES, middle, side="right")] = counts
    return out


@dataclass(frozen=True, slots=True)
class ReferenceCells:
    """counts has shape (labels, 2, cells): axis 1 is whether the row was positive (binary) or right (multiclass)."""

    task: str
    labels: tuple[str, ...]
    counts: Ints
    outside: int = 0  # rows whose score is no probability

    @property
    def rows(self) -> int:
        return int(self.counts.sum())

    @staticmethod
    def build(outcomes: Outcomes, schema: Schema) -> ReferenceCells | None:
        """None where no row has a score and a label."""
        true, predicted = outcomes.true_label, outcomes.predicted_label
        there = (true.codes >= 0) & np.isfinite(outcomes.predicted_score)
        if schema.task != "binary":
            there &= predicted.codes >= 0
        if not there.any():
            return None
        score = outcomes.predicted_score[there]
        labels = _labels(outcomes, there, schema)
        row = _rows(predicted.codes[there], predicted.values, labels, schema)
        if schema.task == "binary":
            hit = _matches(true.values, schema.positive_label)[true.codes[there]]
        else:
            same = np.array([true.values.index(v) if v in true.values else -2 for v in predicted.values] or [-2])
            hit = same[predicted.codes[there]] == true.codes[there]
        edges = edges_of(schema.task)
        k = len(edges) + 1
        flat = (row * 2 + hit.astype(np.int64)) * k + find_cells(edges, score)
        counts = np.bincount(flat, minlength=len(labels) * 2 * k).reshape(len(labels), 2, k).astype(np.int64)
        outside = int(((score < 0) | (score > 1)).sum())
        return ReferenceCells(schema.task, labels, counts, outside)

    def to_bytes(self) -> bytes:
        filled = np.flatnonzero(self.counts)
        head = json.dumps([self.task, self.labels, self.outside]).encode()
        body = [filled.astype("<i4").tobytes(), self.counts.reshape(-1)[filled].astype("<i8").tobytes()]
        return bytes([FORMAT]) + frame.join([head, *body])


@lru_cache(32)
def load_reference(data: bytes) -> ReferenceCells:
    """Raises ValueError for a format that this release does not know."""
    if not data or data[0] not in (FORMER, FORMAT):
        raise ValueError(f"reference cells of format {data[:1]!r}: this release reads {FORMER} and {FORMAT}. Upgrade driftd.")
    head, filled, values = frame.split(data[1:])
    task, labels, outside = json.loads(head)
    return ReferenceCells(task, tuple(labels), _unpacked(data[0], task, (len(labels), 2), filled, values), outside)


def _unpacked(form: int, task: str, rows: tuple[int, ...], filled: bytes, values: bytes) -> Ints:
    """Counts of shape (*rows, cells) from the filled ones."""
    former = form == FORMER and task == "binary"
    counts: Ints = np.zeros((*rows, len(FORMER_EDGES if former else edges_of(task)) + 1), dtype=np.int64)
    counts.reshape(-1)[np.frombuffer(filled, dtype="<i4")] = np.frombuffer(values, dtype="<i8")
    return of_former(counts) if former else counts


@dataclass(slots=True)
class ScoreCells:
    """counts has shape (labels, cells) and is None while nothing was added, or nothing can be: labels is () then."""

    schema: Schema
    labels: tuple[str, ...] = ()
    counts: Ints | None = None

    @staticmethod
    def empty(schema: Schema) -> ScoreCells:
        return ScoreCells(schema)

    def bind(self, profile: Any) -> None:
        """Count for the labels of a reference whose rows were labelled; without one nothing is counted."""
        data = None if profile is None else profile.extras.get(PART)
        if data is not None and not self.labels:
            self.labels = load_reference(data).labels

    @property
    def rows(self) -> int:
        return 0 if self.counts is None else int(self.counts.sum())

    def add(self, columns: Columns) -> None:
        """Add rows; those without a score do not count."""
        if not self.labels or columns.rows == 0:
            return
        there = np.isfinite(columns.score)
        codes, score = columns.label.codes, columns.score
        if not there.all():
            codes, score = codes[there], score[there]
        edges = edges_of(self.schema.task)
        k = len(edges) + 1
        row = _rows(codes, columns.label.values, self.labels, self.schema)
        flat = row * k + find_cells(edges, score)
        found = np.bincount(flat, minlength=len(self.labels) * k).reshape(len(self.labels), k)
        self.counts = found.astype(np.int64) if self.counts is None else self.counts + found

    def merge(self, other: ScoreCells) -> None:
        """Add the other's cells, where both count for the same labels."""
        if other.counts is None:
            return
        if self.counts is None:
            self.labels, self.counts = other.labels, other.counts.copy()
        elif self.labels == other.labels:
            self.counts = self.counts + other.counts
        else:
            raise ValueError("score cells of two references do not merge")

    def to_bytes(self) -> bytes:
        head = json.dumps([self.schema.task, self.labels if self.counts is not None else []]).encode()
        if self.counts is None:
            return bytes([FORMAT]) + frame.join([head])
        filled = np.flatnonzero(self.counts)
        values = self.counts.reshape(-1)[filled]
        return bytes([FORMAT]) + frame.join([head, filled.astype("<i4").tobytes(), values.astype("<i8").tobytes()])

    @staticmethod
    def from_bytes(data: bytes, schema: Schema) -> ScoreCells:
        """Cells of another task are dropped. Raises ValueError for a format that this release does not know."""
        if not data or data[0] not in (FORMER, FORMAT):
            raise ValueError(f"score cells of format {data[:1]!r}: this release reads {FORMER} and {FORMAT}. Upgrade driftd.")
        head, *body = frame.split(data[1:])
        task, labels = json.loads(head)
        out = ScoreCells(schema)
        if task == schema.task and labels:
            out.labels = tuple(labels)
            out.counts = _unpacked(data[0], task, (len(labels),), *body)
        return out


def find_cells(edges: Floats, score: Floats) -> Ints:
    """The cell of each finite score; a score on an edge lies above it."""
    table = table_for(edges)
    found = table.cells(score) if table is not None else np.searchsorted(edges, score, side="right")
    return found.astype(np.int64)


def _labels(outcomes: Outcomes, there: np.ndarray, schema: Schema) -> tuple[str, ...]:
    """The names of the rows of the cells."""
    if schema.task == "binary":
        return ("negative", "positive", "unknown")
    predicted = outcomes.predicted_label
    used = np.bincount(predicted.codes[there], minlength=len(predicted.values))
    names = sorted((v for v, n in zip(predicted.values, used.tolist(), strict=True) if n), key=lambda v: v)
    common = sorted(names, key=lambda v: (-int(used[predicted.values.index(v)]), v))[:LABELS]
    return (*sorted(common), OTHER)


def _rows(codes: np.ndarray, values: list[str], labels: tuple[str, ...], schema: Schema) -> Ints:
    """The row of the cells that each predicted label counts in."""
    if schema.task == "binary":
        table = np.append(np.where(_matches(values, schema.positive_label), POSITIVE, NEGATIVE)[: len(values)], UNKNOWN)
    else:
        at = {v: i for i, v in enumerate(labels)}
        table = np.array([at.get(v, len(labels) - 1) for v in values] + [len(labels) - 1])
    rows: Ints = table.astype(np.int64)[codes]  # code -1 indexes the last entry
    return rows


def _matches(values: list[str], wanted: str | None) -> np.ndarray:
    return np.array([v == wanted for v in values] + [False])
