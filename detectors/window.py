"""All summaries of the rows of one version and segment, of one pane or of a whole window.

A monoid: empty, add, merge, to_bytes, from_bytes. Counts are the same for every split of the rows.
Size: the sum of what it holds: see those of each feature, `latency.py`, and `summaries.py` for the parts.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any

from detectors import frame
from detectors.adaptive import AdaptiveSummary
from detectors.category import CategorySummary
from detectors.columns import Columns, Schema
from detectors.latency import LatencySummary
from detectors.numeric import GridSummary
from detectors.profile import PREDICTION, Profile
from detectors.rebin import merge_rebinned
from detectors.summaries import INPUT_PARTS, bind_parts, empty_parts, merge_parts, restore_parts

FORMAT = 1
Numeric = GridSummary | AdaptiveSummary


@dataclass(slots=True)
class WindowSummary:
    """What `rows` events left behind. Numeric columns count in the profile's grids, or adaptively without one."""

    schema: Schema
    rows: int
    errors: int
    numeric: dict[str, Numeric]
    categorical: dict[str, CategorySummary]
    score: Numeric
    label: CategorySummary
    latency: LatencySummary
    parts: dict[str, Any]  # optional ones by name, see detectors/summaries.py

    @staticmethod
    def empty(schema: Schema, profile: Profile | None) -> WindowSummary:
        parts = empty_parts(INPUT_PARTS, schema)
        bind_parts(parts, profile)
        return WindowSummary(
            schema=schema,
            rows=0,
            errors=0,
            numeric={name: _numeric(name, profile) for name in schema.numeric},
            categorical={name: CategorySummary(schema.category_limit) for name in schema.categorical},
            score=_numeric(PREDICTION, profile),
            label=CategorySummary(),
            latency=LatencySummary(),
            parts=parts,
        )

    def add(self, columns: Columns) -> None:
        """Add rows; every feature of the schema is a column, shape (columns.rows,)."""
        self.rows += columns.rows
        self.errors += int(columns.error.sum())
        for name, summary in self.numeric.items():
            summary.add(columns.numeric[name])
        for name, counts in self.categorical.items():
            counts.add(columns.categorical[name])
        self.score.add(columns.score)
        self.label.add(columns.label)
        self.latency.add(columns.latency_ms)
        for part in self.parts.values():
            part.add(columns)

    def merge(self, other: WindowSummary) -> None:
        """Raises ValueError for a summary that counts in other cells."""
        self.rows += other.rows
        self.errors += other.errors
        for name, summary in self.numeric.items():
            _merge(summary, other.numeric[name])
        for name, counts in self.categorical.items():
            counts.merge(other.categorical[name])
        _merge(self.score, other.score)
        self.label.merge(other.label)
        self.latency.merge(other.latency)
        merge_parts(self.parts, other.parts)

    def merge_rebinned(self, other: WindowSummary) -> int:
        """Merge rows that were counted in the cells of another reference (detectors/rebin.py), all but the parts that rest on
        what was fitted to it. Returns by how many rows a distribution function may be off."""
        self.rows += other.rows
        self.errors += other.errors
        off = [merge_rebinned(summary, other.numeric[name]) for name, summary in self.numeric.items()]
        for name, counts in self.categorical.items():
            counts.merge(other.categorical[name])
        off.append(merge_rebinned(self.score, other.score))
        self.label.merge(other.label)
        self.latency.merge(other.latency)
        merge_parts(self.parts, {name: part for name, part in other.parts.items() if not hasattr(part, "bind")})
        return max(off)

    def to_bytes(self) -> bytes:
        head = [self.rows, self.errors, list(self.numeric), list(self.categorical), list(self.parts)]
        names = json.dumps(head).encode()
        parts = [names, self.score.to_bytes(), self.label.to_bytes(), self.latency.to_bytes()]
        parts += [summary.to_bytes() for summary in self.numeric.values()]
        parts += [counts.to_bytes() for counts in self.categorical.values()]
        parts += [part.to_bytes() for part in self.parts.values()]
        return bytes([FORMAT]) + zlib.compress(frame.join(parts), 1)

    @staticmethod
    def from_bytes(data: bytes, schema: Schema, profile: Profile | None) -> WindowSummary:
        """A feature that the schema has since lost is dropped, one that it has gained is empty.

        Raises ValueError for a format that this release does not know, or for damaged bytes.
        """
        if not data or data[0] != FORMAT:
            raise ValueError(f"window summary of format {data[:1]!r}: this release reads {FORMAT}. Upgrade driftd.")
        try:
            parts = frame.split(zlib.decompress(data[1:]))
        except zlib.error as error:
            raise ValueError(f"damaged window summary: {error}") from error
        out = WindowSummary.empty(schema, profile)
        out.rows, out.errors, numeric, categorical, others = json.loads(parts[0])
        out.score = _numeric_from(parts[1], PREDICTION, profile)
        out.label = CategorySummary.from_bytes(parts[2])
        out.latency = LatencySummary.from_bytes(parts[3])
        for name, part in zip(numeric, parts[4:], strict=False):
            if name in out.numeric:
                out.numeric[name] = _numeric_from(part, name, profile)
        rest = parts[4 + len(numeric) :]
        for name, part in zip(categorical, rest, strict=False):
            if name in out.categorical:
                out.categorical[name] = CategorySummary.from_bytes(part)
        stored = dict(zip(others, rest[len(categorical) :], strict=True))
        out.parts = restore_parts(INPUT_PARTS, schema, stored)
        bind_parts(out.parts, profile)
        return out


def without_part(data: bytes, name: str) -> bytes:
    """The bytes of the same summary less one part, whatever its schema was."""
    if not data or data[0] != FORMAT:
        raise ValueError(f"window summary of format {data[:1]!r}: this release reads {FORMAT}. Upgrade driftd.")
    parts = frame.split(zlib.decompress(data[1:]))
    head = json.loads(parts[0])
    if name not in head[-1]:
        return data
    at = len(parts) - len(head[-1]) + head[-1].index(name)
    head[-1].remove(name)
    return data[:1] + zlib.compress(frame.join([json.dumps(head).encode(), *parts[1:at], *parts[at + 1 :]]), 1)


def _numeric(name: str, profile: Profile | None) -> Numeric:
    if profile is not None and name in profile.numeric:
        return GridSummary.empty(profile.numeric[name].edges)
    return AdaptiveSummary()


def _numeric_from(data: bytes, name: str, profile: Profile | None) -> Numeric:
    if profile is not None and name in profile.numeric:
        return GridSummary.from_bytes(data, profile.numeric[name].edges)
    return AdaptiveSummary.from_bytes(data)


def _merge(mine: Numeric, other: Numeric) -> None:
    if isinstance(mine, GridSummary) and isinstance(other, GridSummary):
        mine.merge(other)
    elif isinstance(mine, AdaptiveSummary) and isinstance(other, AdaptiveSummary):
        mine.merge(other)
    else:
        raise ValueError("a grid summary and an adaptive one do not merge: they were made with other references")


def predictions_of(known: Profile | WindowSummary | None) -> tuple[Numeric | None, CategorySummary | None]:
    """The scores and the predicted labels of a reference or a window."""
    if known is None:
        return None, None
    return (known.numeric[PREDICTION] if isinstance(known, Profile) else known.score), known.label


def lacks_predictions(summary: WindowSummary, known: Profile | WindowSummary | None) -> bool:
    """Whether no row of a window has what the reference's predictions are: scores, or labels where those have none."""
    scores, labels = predictions_of(known)
    if scores is None or labels is None or not summary.rows:
        return False
    return not summary.score.rows if scores.rows else bool(labels.rows) and not summary.label.rows
