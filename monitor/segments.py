"""Segments that are more than keys of the event: by expression, and compared with each other.

Segments that an expression of the config defines: a dimension like the keys of the event's `segment`.

Rows for which the expression is true are the segment `NAME=true`; rows for which it is false are `NAME=false`
where they are compared with each other (fairness), and no segment else. Unknown rows, where a field that decides
is missing, belong to neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detectors import truth
from detectors.columns import Columns, DictColumn, Schema
from detectors.expression import Expression, fields_of, parse_expression
from monitor.config.model import ModelSettings


@dataclass(frozen=True, slots=True)
class DerivedSegment:
    """both: whether the rows outside are a segment too."""

    name: str
    where: Expression
    both: bool = False


@dataclass(frozen=True, slots=True)
class Fairness:
    """protected: dimensions whose groups are compared. favourable: the predicted label that is one's advantage."""

    protected: tuple[str, ...] = ()
    favourable: str = ""


def derived_segments(settings: ModelSettings, schema: Schema) -> tuple[DerivedSegment, ...]:
    """The expression segments of a model's config. Raises ExpressionError."""
    fields = fields_of(schema, settings.segment_keys)
    return tuple(
        DerivedSegment(s.name, parse_expression(s.where, fields), s.name in settings.fairness.protected)
        for s in settings.segments
        if s.where is not None
    )


def with_derived(
    derived: tuple[DerivedSegment, ...], columns: Columns, segments: dict[str, DictColumn], version: DictColumn
) -> dict[str, DictColumn]:
    """The segment columns of the rows, those that expressions define included; shape (columns.rows,) each."""
    out = dict(segments)
    for segment in derived:
        answer = segment.where.truth(columns, segments, version)
        codes = np.where(answer == truth.TRUE, 0, -1).astype(np.int32)
        if segment.both:
            codes[answer == truth.FALSE] = 1
        out[segment.name] = DictColumn(codes, ["true", "false"])
    return out
