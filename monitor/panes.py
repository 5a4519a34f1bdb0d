"""One pane of one model in one partition: a summary for each version and segment.

A pane is the tumbling piece that windows are merged from; one event touches one pane. A group is
(version, segment): segment "" holds all rows of the version, "dimension=value" a part of them.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field, replace

import numpy as np

from detectors.columns import Columns, DictColumn
from detectors.kinds import derive, unreadable
from detectors.outliers import WORST_ROWS
from detectors.profile import Profile
from detectors.sample import PART as SAMPLE
from detectors.summaries import segment_schema
from detectors.window import WindowSummary, without_part
from monitor.intake import LATENCY, Intake
from monitor.model import Model

OTHER = "__other__"
FORMAT, WITH_ROWS = 1, 2  # the first byte; that of a pane that holds a sample of rows is another, so that retention finds it
Group = tuple[str, str]
ROWS_IN = (SAMPLE, WORST_ROWS)  # the parts that hold rows


@dataclass(slots=True)
class Pane:
    """What the rows of one pane left behind."""

    profile: str  # name of the reference whose cells the summaries count in, "" for none
    groups: dict[Group, WindowSummary] = field(default_factory=dict)
    intake: Intake = field(default_factory=Intake)  # what came for it and is in no summary
    moved_rows: int = 0  # of all, those that were counted in another reference's cells; only in windows
    moved_off: int = 0  # by how many rows a distribution function may be off for it

    @property
    def rows(self) -> int:
        return sum(summary.rows for (_, segment), summary in self.groups.items() if segment == "")

    def add(self, model: Model, version: DictColumn, segments: dict[str, DictColumn], columns: Columns) -> None:
        """Add rows of this pane; arrays have shape (columns.rows,)."""
        profile = model.profile_named(self.profile)
        if model.schema.kinds:
            columns = derive(columns, model.schema, None if profile is None else profile.vocabulary)
            for feature, wrong in unreadable(columns, model.schema.kinds).items():
                self.intake.count(self.intake.unreadable, feature, wrong)
        below = columns.latency_ms < 0.0
        if below.any():  # clocks of two machines: as a latency of 0 it would be good news
            self.intake.count(self.intake.unreadable, LATENCY, int(below.sum()))
            columns = replace(columns, latency_ms=np.where(below, np.nan, columns.latency_ms))
        for name, index in _by_value(version, model.version_limit, self._names("version")):
            part = columns if index is None else columns.take(index)
            self._group(model, profile, (name, "")).add(part)
            for dimension, column in segments.items():
                codes = column if index is None else column.take(index)
                seen = self._names(dimension)
                for value, rows in _by_value(codes, model.segment_limit, seen):
                    if value:
                        chosen = part if rows is None else part.take(rows)
                        self._group(model, profile, (name, f"{dimension}={value}")).add(chosen)

    def _names(self, dimension: str) -> set[str]:
        if dimension == "version":
            return {version for version, _ in self.groups}
        prefix = dimension + "="
        return {segment[len(prefix) :] for _, segment in self.groups if segment.startswith(prefix)}

    def _group(self, model: Model, profile: Profile | None, group: Group) -> WindowSummary:
        found = self.groups.get(group)
        if found is None:
            found = self.groups[group] = WindowSummary.empty(segment_schema(model.schema, group[1]), profile)
        return found

    def merge(self, other: Pane) -> None:
        """Merge a pane that counts in the same cells."""
        self.intake.merge(other.intake)
        for group, summary in other.groups.items():
            mine = self.groups.get(group)
            if mine is None:
                self.groups[group] = summary
            else:
                mine.merge(summary)

    def merge_rebinned(self, model: Model, other: Pane) -> None:
        """Merge a pane that counts in the cells of another reference: see detectors/rebin.py."""
        self.intake.merge(other.intake)
        self.moved_rows += other.rows
        for group, summary in other.groups.items():
            mine = self._group(model, model.profile_named(self.profile), group)
            self.moved_off = max(self.moved_off, mine.merge_rebinned(summary))

    def to_bytes(self) -> bytes:
        parts = [summary.to_bytes() for summary in self.groups.values()]
        head = json.dumps([self.profile, [list(group) for group in self.groups], [len(p) for p in parts], self.intake.to_json()])
        encoded = head.encode()
        holds_rows = any(p in s.parts and s.parts[p].rows for s in self.groups.values() for p in ROWS_IN)
        return struct.pack("<BI", WITH_ROWS if holds_rows else FORMAT, len(encoded)) + encoded + b"".join(parts)

    @staticmethod
    def from_bytes(data: bytes, model: Model) -> Pane:
        """Raises ValueError for a format that this release does not know."""
        profile, groups, lengths, intake, at = _opened(data)
        pane = Pane(profile, intake=Intake.from_json(intake[0]) if intake else Intake())
        known = model.profile_named(profile)
        for (version, segment), size in zip(groups, lengths, strict=True):
            schema = segment_schema(model.schema, segment)
            pane.groups[version, segment] = WindowSummary.from_bytes(data[at : at + size], schema, known)
            at += size
        return pane


def without_rows(data: bytes) -> bytes:
    """The bytes of the same pane less its sample of rows; needs no model."""
    profile, groups, lengths, intake, at = _opened(data)
    parts = []
    for size in lengths:
        part = data[at : at + size]
        for name in ROWS_IN:
            part = without_part(part, name)
        parts.append(part)
        at += size
    encoded = json.dumps([profile, groups, [len(p) for p in parts], *intake]).encode()
    return struct.pack("<BI", FORMAT, len(encoded)) + encoded + b"".join(parts)


def _opened(data: bytes) -> tuple[str, list[list[str]], list[int], list[list[object]], int]:
    """The reference's name, the groups, the lengths of their summaries, the intake (a list of one, none in panes
    of old), and where the summaries begin."""
    form, length = struct.unpack_from("<BI", data)
    if form not in (FORMAT, WITH_ROWS):
        raise ValueError(f"pane of format {form}: this release reads formats {FORMAT} and {WITH_ROWS}. Upgrade driftd.")
    profile, groups, lengths, *intake = json.loads(data[5 : 5 + length])
    return profile, groups, lengths, intake, 5 + length


def _by_value(column: DictColumn, limit: int, seen: set[str]) -> list[tuple[str, np.ndarray | None]]:
    """(value, row numbers) in order of first appearance; None for the numbers means all rows.

    Values over the limit, counted with those seen before, share OTHER; a missing value is "".
    """
    codes = column.codes
    if len(codes) == 0:
        return []
    first_code = int(codes[0])
    if bool((codes == first_code).all()):
        groups: list[tuple[int, np.ndarray | None]] = [(first_code, None)]
    else:
        present, first = np.unique(codes, return_index=True)
        groups = [(int(code), np.flatnonzero(codes == code)) for code in present[np.argsort(first)]]
    out: list[tuple[str, np.ndarray | None]] = []
    spill: list[np.ndarray] = []
    for code, rows in groups:
        name = "" if code < 0 else column.values[code]
        if name and name not in seen and len(seen - {"", OTHER}) >= limit:
            spill.append(np.arange(len(codes)) if rows is None else rows)
            continue
        seen.add(name)
        out.append((name, rows))
    if spill:
        out.append((OTHER, np.sort(np.concatenate(spill))))
    return out
