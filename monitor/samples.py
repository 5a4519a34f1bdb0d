"""The sample of rows of a published window, as its panes hold it, and that of the reference it is compared with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select

from detectors.columns import Columns
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


def window_at(store: Any, model: str, at: str) -> int:
    """The start of the published window that holds a time (ISO 8601), or of the latest. Raises ValueError."""
    windows = store.windows(model)
    if not windows:
        raise ValueError(f"--model {model}: no window is published yet")
    if at == "latest":
        return int(windows[-1]["start_ms"])
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise ValueError(f"--window {at}: write a time, as in 2026-01-01T00:00:00Z, or latest") from error
    ms = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    found = [w for w in windows if w["start_ms"] <= ms < w["end_ms"]]
    if not found:
        first, last = (datetime.fromtimestamp(w["start_ms"] / 1000.0, UTC).isoformat() for w in (windows[0], windows[-1]))
        raise ValueError(f"--window {at}: no published window holds that time; windows begin from {first} to {last}")
    return int(found[-1]["start_ms"])
