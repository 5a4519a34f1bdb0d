"""The rows that a published window kept, for people: its sample, or those that lie farthest from the reference.

They are what the config allows to be kept (`sample`: rows, mask, keep; `outliers.worst_rows`): masked columns are nowhere in
them, and after `sample.keep` there are none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors.columns import Columns, Floats
from detectors.outliers import WORST_ROWS, WorstRows
from detectors.sample import PART, RowSample
from monitor.model import Model
from monitor.samples import panes_of

ROWS_MOST = 1000
FIXED = ("ts_ms", "version", "distance", "label", "score", "latency_ms", "error")


@dataclass(frozen=True, slots=True)
class WindowRows:
    """rows: dicts of FIXED (distance only of the farthest) and `features`, numbers that are missing or infinite as None.

    kept: how many the window holds, of which rows are the first. reason: why there are none, "" where there are.
    """

    start_ms: int
    kept: int
    masked: list[str]
    rows: list[dict[str, Any]]
    reason: str = ""


def window_rows(store: Any, model: Model, start_ms: int, version: str | None, worst: bool, most: int) -> WindowRows:
    """The first `most` rows of a window, of one version or of all: by time, or farthest first."""
    part = WORST_ROWS if worst else PART
    masked = sorted(model.schema.parts.get(part, {}).get("mask", ()))
    if part not in model.schema.parts:
        return WindowRows(start_ms, 0, masked, [], _how(model, worst))
    inputs = panes_of(store, model, start_ms)
    found: list[dict[str, Any]] = []
    for (of, segment), summary in sorted(inputs.groups.items()):
        if segment == "" and version in (None, of):
            found += _of_version(of, summary.parts.get(part))
    if not found:
        return WindowRows(start_ms, 0, masked, [], _why_none(model, inputs.profile, inputs.rows, worst))
    found.sort(key=(lambda r: (-r["distance"], r["ts_ms"])) if worst else (lambda r: (r["ts_ms"], r["version"])))
    return WindowRows(start_ms, len(found), masked, found[:most])


def _of_version(version: str, part: RowSample | WorstRows | None) -> list[dict[str, Any]]:
    if isinstance(part, WorstRows):
        return _rows(version, *part.worst())
    return [] if part is None else _rows(version, part.kept, None)


def _rows(version: str, kept: Columns | None, distances: Floats | None) -> list[dict[str, Any]]:
    if kept is None:
        return []
    ts = np.zeros(kept.rows, dtype=np.int64) if kept.ts_ms is None else kept.ts_ms
    columns: dict[str, list[Any]] = {
        "ts_ms": ts.tolist(),
        "version": [version] * kept.rows,
        "distance": [None] * kept.rows if distances is None else distances.tolist(),
        "label": kept.label.to_list(),
        "score": _numbers(kept.score),
        "latency_ms": _numbers(kept.latency_ms),
        "error": kept.error.tolist(),
    }
    features: dict[str, list[Any]] = {name: list(_numbers(values)) for name, values in kept.numeric.items()}
    features |= {name: column.to_list() for name, column in kept.categorical.items()}
    fields = {name: _numbers(values) for name, values in kept.numbers.items()}
    return [
        {
            **{name: values[i] for name, values in columns.items()},
            "features": {name: values[i] for name, values in features.items()},
            "numbers": {name: values[i] for name, values in fields.items()},
        }
        for i in range(kept.rows)
    ]


def _numbers(values: Floats) -> list[float | None]:
    return [v if math.isfinite(v) else None for v in values.tolist()]


def _how(model: Model, worst: bool) -> str:
    if PART not in model.schema.parts:
        also = ", and outliers: {worst_rows: 20}" if worst else ""
        return f"the model keeps no rows; write sample: {{rows: 1000, mask: [...], keep: 1d}}{also}"
    return "the model keeps no farthest rows; write outliers: {worst_rows: 20} and build the reference anew"


def _why_none(model: Model, profile: str, rows: int, worst: bool) -> str:
    if rows == 0:
        return "the window's panes are gone (retention), or it had no rows"
    if worst and not profile:
        return "rows are far from a built reference only: driftd reference build"
    if worst:
        return "no row lay beyond the reference's limit, the reference was built without `outliers`, or sample.keep is over"
    return "the window's sample is gone (sample.keep), was never kept, or it has no rows of that version"
