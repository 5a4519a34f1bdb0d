"""The performance of one pane, as joined rows fill it: a summary for each version and segment."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from detectors.columns import DictColumn, Matrix, Outcomes, Schema
from detectors.performance import PerformanceSummary
from detectors.ragged import Ragged
from detectors.request_errors import VECTOR as REQUEST
from detectors.summaries import segment_schema
from detectors.worst_errors import VECTOR as WORST_CELLS
from monitor.checkpoint import JoinedRows, PaneBlob, ReadPane
from monitor.model import Model
from monitor.panes import Group
from monitor.payload import TRUE_LISTS, has_payload, unpack
from monitor.store.join import PAYLOADS
from monitor.waiting_cells import cells_of, has_cells, split_cells, split_heads
from monitor.waiting_requests import MAGIC as REQUEST_MAGIC
from monitor.waiting_requests import has_requests, requests_of

FORMAT = 1


@dataclass(slots=True)
class PerformancePane:
    """Outcomes of one pane by (version, segment), and the sum of their labels' delays."""

    groups: dict[Group, PerformanceSummary] = field(default_factory=dict)
    delay_ms_sum: int = 0  # of label time minus prediction time, over the rows joined and not retracted

    @property
    def labelled(self) -> int:
        """Rows whose label came and says something, also those that a task's metrics leave out."""
        return sum(s.labelled for (_, segment), s in self.groups.items() if segment == "")

    def merge(self, other: PerformancePane) -> None:
        self.delay_ms_sum += other.delay_ms_sum
        for group, summary in other.groups.items():
            mine = self.groups.get(group)
            if mine is None:
                self.groups[group] = summary
            else:
                mine.merge(summary)

    def to_bytes(self) -> bytes:
        parts = [summary.to_bytes() for summary in self.groups.values()]
        head = json.dumps([self.delay_ms_sum, [list(g) for g in self.groups], [len(p) for p in parts]]).encode()
        return struct.pack("<BI", FORMAT, len(head)) + head + b"".join(parts)

    @staticmethod
    def from_bytes(data: bytes, model: Model) -> PerformancePane:
        """Raises ValueError for a format that this release does not know."""
        form, length = struct.unpack_from("<BI", data)
        if form != FORMAT:
            raise ValueError(f"performance pane of format {form}: this release reads {FORMAT}. Upgrade driftd.")
        delay, groups, lengths = json.loads(data[5 : 5 + length])
        pane = PerformancePane(delay_ms_sum=delay)
        at = 5 + length
        for (version, segment), size in zip(groups, lengths, strict=True):
            schema = segment_schema(model.schema, segment)
            pane.groups[version, segment] = PerformanceSummary.from_bytes(data[at : at + size], schema)
            at += size
        return pane


def add_outcomes(model: Model, rows: JoinedRows, read: ReadPane) -> list[PaneBlob]:
    """The partition's performance panes after these rows, each read, added to and written whole."""
    out = []
    vectors = _vectors(model, rows)
    for start in np.unique(rows.pane_start_ms).tolist():
        chosen = np.flatnonzero(rows.pane_start_ms == start)
        stored = read(model.name, start)
        pane = PerformancePane() if stored is None else PerformancePane.from_bytes(stored, model)
        delays = (rows.label_ts_ms[chosen] - rows.ts_ms[chosen]) * rows.weight[chosen]
        pane.delay_ms_sum += int(delays.sum())
        for code in np.unique(rows.group.codes[chosen]).tolist():
            of_group = chosen[rows.group.codes[chosen] == code]
            outcomes = _outcomes(rows, vectors, of_group)
            version, pairs = json.loads(rows.group.values[code])
            for segment in ["", *(f"{dimension}={value}" for dimension, value in pairs)]:
                summary = pane.groups.get((version, segment))
                if summary is None:
                    summary = pane.groups[version, segment] = PerformanceSummary.empty(segment_schema(model.schema, segment))
                summary.add(outcomes)
        out.append(PaneBlob(model.name, "performance", start, pane.to_bytes(), pane.labelled))
    return out


def leaves_payload(schema: Schema) -> bool:
    """Whether the predictions of a model leave more than a label and a score behind."""
    return has_payload(schema) or has_cells(schema) or has_requests(schema)


def exchanged_payloads(schemas: Iterable[Schema]) -> tuple[str, ...]:
    """Which payloads the join of these models exchanges (monitor/store/join.py): those of labels only where labels are lists."""
    known = list(schemas)
    if any(schema.task in TRUE_LISTS for schema in known):
        return PAYLOADS
    return PAYLOADS[:1] if any(map(leaves_payload, known)) else ()


def _vectors(model: Model, rows: JoinedRows) -> dict[str, Matrix]:
    """What the payloads of rows hold, for models whose performance needs it."""
    if not leaves_payload(model.schema):
        return {}
    none = Ragged.missing(rows.rows, np.uint8)
    payload, requests = split_heads(rows.payload or none, REQUEST_MAGIC)
    payload, heads, free = split_cells(payload)
    found: dict[str, Matrix] = {WORST_CELLS: cells_of(model.schema, heads, free)} if has_cells(model.schema) else {}
    if has_requests(model.schema):
        found[REQUEST] = requests_of(requests)
    if not has_payload(model.schema):
        return found
    truth = rows.true_label if len(rows.true_label.codes) else DictColumn.missing(rows.rows)
    return {**unpack(model.schema, payload, rows.true_payload or none, truth), **found}


def _outcomes(rows: JoinedRows, vectors: dict[str, Matrix], index: np.ndarray) -> Outcomes:
    return Outcomes(
        predicted_label=rows.predicted_label.take(index),
        predicted_score=rows.predicted_score[index],
        true_label=rows.true_label.take(index) if len(rows.true_label.codes) else DictColumn.missing(len(index)),
        true_value=rows.true_value[index],
        weight=rows.weight[index],
        ts_ms=rows.ts_ms[index],
        label_ts_ms=rows.label_ts_ms[index],
        vectors={name: values[index] for name, values in vectors.items()},
    )
