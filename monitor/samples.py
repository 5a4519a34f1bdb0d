"""The sample of rows of a published window, as its panes hold it, and that of the reference it is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import select

from detectors.columns import Columns, Floats
from detectors.outliers import WORST_ROWS, WorstRows
from detectors.sample import PART, RowSample, merged
from monitor.checkpoint import Partial
from monitor.events import PartitionKey
from monitor.model import Model
from monitor.panes import Pane
from monitor.publish import merge_partials
from monitor.store.schema import pane


def panes_of(store: Any, model: Model, start_ms: int) -> Pane:
    """The inputs of a window, merged over partitions, as the publisher merges them."""
    c = pane.c
    query = select(c.source, c.topic, c.part, c.kind, c.pane_start_ms, c.version, c.rows, c.blob).where(
        c.model == model.name, c.kind == "inputs", c.pane_start_ms >= start_ms, c.pane_start_ms < start_ms + model.size_ms
    )
    partials = [
        Partial(
            PartitionKey(r["source"], r["topic"], r["part"]), model.name, r["kind"], r["pane_start_ms"], r["version"], r["rows"],
            bytes(r["blob"]),
        )
        for r in store.rows(query)
    ]  # fmt: skip
    return merge_partials(model, partials)[0]


def sample_in(inputs: Pane, version: str | None = None) -> Columns | None:
    """The rows that a window kept, of one version or of all, in the order of their ids' hashes; None for none."""
    samples: list[RowSample] = [
        summary.parts[PART]
        for (v, segment), summary in sorted(inputs.groups.items())
        if segment == "" and PART in summary.parts and version in (None, v)
    ]
    found = merged(samples)
    return None if found is None else found.kept


def worst_of(store: Any, model: Model, start_ms: int, version: str) -> tuple[Columns | None, Floats]:
    """A window's farthest rows (detectors/outliers.py) and their distances, farthest first; none where none were kept."""
    summary = panes_of(store, model, start_ms).groups.get((version, ""))
    found = None if summary is None else summary.parts.get(WORST_ROWS)
    return found.worst() if isinstance(found, WorstRows) else (None, np.empty(0))


def sample_of(store: Any, model: Model, start_ms: int, version: str | None = None) -> Columns | None:
    """The sample of the window that starts at start_ms; None where none was kept, or its time to live is over."""
    return sample_in(panes_of(store, model, start_ms), version)
