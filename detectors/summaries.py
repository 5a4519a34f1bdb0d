"""The optional parts of a window's summary, by name: what a model counts beyond features, prediction and latency.

A part is a monoid over columns (INPUT_PARTS) or over outcomes, predictions whose label has come (OUTCOME_PARTS):
empty, add, merge, to_bytes, from_bytes. A model has those that its schema names in `parts`, with their options.

To add one: a file with the class, a line here, and what turns the config into its options in monitor/parts.py.
tests/test_summaries.py holds the algebra over both registries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, Self, TypeVar

from detectors.class_cells import PART as CLASSES
from detectors.class_cells import ClassCells
from detectors.columns import Columns, Outcomes, Schema
from detectors.error_cells import ErrorCells
from detectors.label_spread import LABELS, SCORES, LabelledSpread, ScoreSpread
from detectors.multivariate import Multivariate
from detectors.number_moments import PART as NUMBER_MOMENTS
from detectors.number_moments import NumberMoments
from detectors.operations import NumberSummary
from detectors.outcome_sample import PART as OUTCOME_SAMPLE
from detectors.outcome_sample import OutcomeSample
from detectors.outliers import PART as OUTLIERS
from detectors.outliers import WORST_ROWS, OutlierCount, WorstRows
from detectors.request_errors import PART as REQUEST_ERRORS
from detectors.request_errors import RequestErrors
from detectors.request_numbers import PART as REQUEST_NUMBERS
from detectors.request_numbers import RequestNumbers
from detectors.rules import RuleSummary
from detectors.sample import RowSample
from detectors.score_cells import ScoreCells
from detectors.trace import ErrorTrace
from detectors.worst import PART as WORST
from detectors.worst import WorstCells
from detectors.worst_errors import PART as WORST_ERRORS
from detectors.worst_errors import WorstErrors

Rows = TypeVar("Rows", Columns, Outcomes)
RowsIn = TypeVar("RowsIn", Columns, Outcomes, contravariant=True)


class Part(Protocol[RowsIn]):
    """A bounded, order-independent summary of rows."""

    def add(self, rows: RowsIn) -> None: ...
    def merge(self, other: Self) -> None: ...
    def to_bytes(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class PartKind(Generic[Rows]):
    """How a part begins and comes back. Both are given the schema; options stand in schema.parts[name].

    from_bytes raises ValueError for a format that this release does not know. whole: it is kept for all rows of a
    version, not for each of its segments too. A part that rests on what was fitted to the reference has a method
    `bind(profile)`, which is called once before anything is added; the profile is None where there is none.
    """

    empty: Callable[[Schema], Part[Rows]]
    from_bytes: Callable[[bytes, Schema], Part[Rows]]
    whole: bool = False


INPUT_PARTS: dict[str, PartKind[Columns]] = {
    SCORES: PartKind(ScoreSpread.empty, ScoreSpread.from_bytes, whole=True),
    "numbers": PartKind(NumberSummary.empty, NumberSummary.from_bytes),
    NUMBER_MOMENTS: PartKind(NumberMoments.empty, NumberMoments.from_bytes, whole=True),
    "rules": PartKind(RuleSummary.empty, RuleSummary.from_bytes),
    "sample": PartKind(RowSample.empty, RowSample.from_bytes, whole=True),
    "multivariate": PartKind(Multivariate.empty, Multivariate.from_bytes, whole=True),
    OUTLIERS: PartKind(lambda schema: OutlierCount(), OutlierCount.from_bytes, whole=True),
    WORST_ROWS: PartKind(WorstRows.empty, WorstRows.from_bytes, whole=True),
    WORST: PartKind(WorstCells.empty, WorstCells.from_bytes, whole=True),
    "score_cells": PartKind(ScoreCells.empty, ScoreCells.from_bytes),
    CLASSES: PartKind(ClassCells.empty, ClassCells.from_bytes),
    REQUEST_NUMBERS: PartKind(RequestNumbers.empty, RequestNumbers.from_bytes, whole=True),
}
OUTCOME_PARTS: dict[str, PartKind[Outcomes]] = {
    LABELS: PartKind(LabelledSpread.empty, LabelledSpread.from_bytes, whole=True),
    "error_cells": PartKind(ErrorCells.empty, ErrorCells.from_bytes, whole=True),
    WORST_ERRORS: PartKind(WorstErrors.empty, WorstErrors.from_bytes, whole=True),
    REQUEST_ERRORS: PartKind(RequestErrors.empty, RequestErrors.from_bytes, whole=True),
    "errors": PartKind(ErrorTrace.empty, ErrorTrace.from_bytes, whole=True),
    OUTCOME_SAMPLE: PartKind(OutcomeSample.empty, OutcomeSample.from_bytes),
}


def empty_parts(kinds: dict[str, PartKind[Rows]], schema: Schema) -> dict[str, Any]:
    """The empty parts that a schema names, in the registry's order."""
    return {name: kind.empty(schema) for name, kind in kinds.items() if name in schema.parts}


def segment_schema(schema: Schema, segment: str) -> Schema:
    """The schema of a segment's summary: without the parts that are kept for all rows only."""
    whole = {n for kinds in (INPUT_PARTS, OUTCOME_PARTS) for n, kind in kinds.items() if kind.whole}
    if segment == "" or not whole & set(schema.parts):
        return schema
    return replace(schema, parts={n: o for n, o in schema.parts.items() if n not in whole})


def bind_parts(parts: dict[str, Any], profile: object) -> None:
    """Give the parts that want it the reference that they count in."""
    for part in parts.values():
        if hasattr(part, "bind"):
            part.bind(profile)


def restore_parts(kinds: dict[str, PartKind[Rows]], schema: Schema, stored: dict[str, bytes]) -> dict[str, Any]:
    """Stored parts; one that the schema has gained since is empty, one that it lost is dropped."""
    out = empty_parts(kinds, schema)
    for name in out:
        if name in stored:
            out[name] = kinds[name].from_bytes(stored[name], schema)
    return out


def merge_parts(mine: dict[str, Any], other: dict[str, Any]) -> None:
    """Merge other's parts into mine, in place."""
    for name, part in mine.items():
        if name in other:
            part.merge(other[name])
