"""The reference: what windows are compared with, and the cells that they are counted in.

Small whatever it was built from: about 5 kB a numeric feature and 500 bytes more for each of its segments, no rows. Where
the rows had labels it also holds the performance on them; what else was fitted at reference time stands in `extras`, as bytes by name.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from detectors import frame
from detectors.category import CategorySummary
from detectors.columns import Columns, Ints, Schema
from detectors.kinds import PART as VOCABULARY
from detectors.kinds import Vocabulary
from detectors.numeric import GridSummary, make_grid
from detectors.performance import PerformanceSummary
from detectors.segment_profile import open_segment, pack_segment

PREDICTION = "prediction"
FORMAT = 1
VALUES = 1000  # of a category are counted by name: more than a window does, so that it is known which of them are new
_KINDS = "kinds"
_PERFORMANCE = "performance:"  # frames of this prefix, then the segment
_SEGMENT = "segment:"


@dataclass(frozen=True, slots=True)
class Profile:
    """numeric holds the features and, as PREDICTION, the scores; label the predicted labels.

    performance: on the labelled rows, by segment ("" for all of them), empty where no row had a label.
    extras: frames that others fitted and read, by name. A reader without a use for one carries it on.
    segments: the rows of those segments that had rows enough, as bytes. segment: whose rows this is of, "" for all.
    """

    name: str
    schema: Schema
    rows: int
    numeric: Mapping[str, GridSummary]
    categorical: Mapping[str, CategorySummary]
    label: CategorySummary
    performance: dict[str, PerformanceSummary] = field(default_factory=dict)
    extras: dict[str, bytes] = field(default_factory=dict)
    segments: dict[str, bytes] = field(default_factory=dict)
    segment: str = ""

    @staticmethod
    def build(columns: Columns, schema: Schema, name: str, cells: int = 512) -> Profile:
        """A profile of the given rows. Raises ValueError where there are none."""
        if columns.rows == 0:
            raise ValueError(f"reference {name!r}: no rows. Give a file with at least one row.")
        numeric = {}
        for feature in (*schema.numeric, PREDICTION):
            values = columns.score if feature == PREDICTION else columns.numeric[feature]
            summary = GridSummary.empty(make_grid(values, cells))
            summary.add(values)
            numeric[feature] = summary
        categorical = {feature: CategorySummary(VALUES) for feature in schema.categorical}
        for feature, counts in categorical.items():
            counts.add(columns.categorical[feature])
        label = CategorySummary(VALUES)
        label.add(columns.label)
        return Profile(name, schema, columns.rows, numeric, categorical, label)

    def with_segments(self, columns: Columns, rows: Mapping[str, Ints], limit: int, least_rows: int) -> Profile:
        """The same with its largest segments, at most `limit`, of at least so many rows. rows: of `columns`, by segment."""
        found = sorted((name for name, index in rows.items() if len(index) >= least_rows), key=lambda n: (-len(rows[n]), n))
        packed = {name: pack_segment(columns.take(rows[name]), self.numeric, PREDICTION) for name in found[:limit]}
        return replace(self, segments=packed)

    def of(self, segment: str) -> Profile:
        """The reference of a segment: its own rows where they are kept, else itself, of all rows."""
        if segment not in self.segments:
            return self
        rows, numeric, categorical, label = open_segment(self.segments[segment], self.numeric)
        return replace(self, rows=rows, numeric=numeric, categorical=categorical, label=label, segment=segment)

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The words of its texts, None where it has none."""
        data = self.extras.get(VOCABULARY)
        return None if data is None else _vocabulary(data)

    def to_bytes(self) -> bytes:
        s = self.schema
        extras = {_PERFORMANCE + segment: summary.to_bytes() for segment, summary in self.performance.items()} | self.extras
        extras |= {_SEGMENT + segment: data for segment, data in self.segments.items()}
        if s.kinds:
            extras[_KINDS] = json.dumps(s.kinds).encode()
        head = [self.name, self.rows, list(s.numeric), list(s.categorical), s.task, s.positive_label, list(extras), _outputs(s)]
        parts = [json.dumps(head).encode(), self.label.to_bytes()]
        for feature in (*s.numeric, PREDICTION):
            parts += [self.numeric[feature].edges.astype("<f8").tobytes(), self.numeric[feature].to_bytes()]
        parts += [self.categorical[feature].to_bytes() for feature in s.categorical]
        parts += extras.values()
        return bytes([FORMAT]) + zlib.compress(frame.join(parts), 6)

    @staticmethod
    def from_bytes(data: bytes) -> Profile:
        """Raises ValueError for a format that this release does not know."""
        if not data or data[0] != FORMAT:
            raise ValueError(f"reference of format {data[:1]!r}: this release reads {FORMAT}. Upgrade driftd.")
        parts = frame.split(zlib.decompress(data[1:]))
        name, rows, names, categories, task, positive, *rest = json.loads(parts[0])
        none: list[Any] = [[], [], 5, {}]
        classes, quantiles, top_k, vectors = rest[1] if len(rest) > 1 else none
        schema = Schema(
            tuple(names), tuple(categories), task, positive,
            classes=tuple(classes), quantiles=tuple(quantiles), top_k=top_k, vectors=vectors,
        )  # fmt: skip
        numeric, at = {}, 2
        for feature in (*names, PREDICTION):
            edges = np.frombuffer(parts[at], dtype="<f8").astype(np.float64)
            numeric[feature] = GridSummary.from_bytes(parts[at + 1], edges)
            at += 2
        categorical = {f: CategorySummary.from_bytes(p) for f, p in zip(categories, parts[at:], strict=False)}
        named = rest[0] if rest else []  # references of the first release have no frames beyond their features
        extras = dict(zip(named, parts[at + len(categories) :], strict=True))
        schema = replace(schema, kinds=json.loads(extras.pop(_KINDS, b"{}")))
        performance = {
            frame_name.removeprefix(_PERFORMANCE): PerformanceSummary.from_bytes(extras.pop(frame_name), schema)
            for frame_name in named
            if frame_name.startswith(_PERFORMANCE)
        }
        segments = {n.removeprefix(_SEGMENT): extras.pop(n) for n in named if n.startswith(_SEGMENT)}
        label = CategorySummary.from_bytes(parts[1])
        return Profile(name, schema, rows, numeric, categorical, label, performance, extras, segments)


def _outputs(schema: Schema) -> list[object]:
    """What the predictions of a schema hold: the performance on the reference was counted for these."""
    return [list(schema.classes), list(schema.quantiles), schema.top_k, schema.vectors]


@lru_cache(maxsize=64)
def _vocabulary(data: bytes) -> Vocabulary:
    return Vocabulary.from_bytes(data)
