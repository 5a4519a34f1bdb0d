"""A config and events in, windows and scores out: the whole path in one process, on SQLite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from detectors.columns import Columns
from monitor.config import parse_config
from monitor.events import PartitionKey, RawBatch
from monitor.files import replay_batches
from monitor.model import Model
from monitor.replay import ReplayBatch, replay
from monitor.runtime import build_engine, build_models, decode_settings
from monitor.samples import panes_of, sample_in
from monitor.store import open_store
from monitor.store.schema import score, window

START = 1_767_225_600_000


def open_replay(folder: Path, text: str) -> tuple[Any, Any]:
    """A config whose store lies in folder, and that store, migrated."""
    cfg = parse_config(f"store: {{url: 'sqlite:///{folder}/r.db'}}\n{text}", "test")
    store = open_store(cfg.store.sqlalchemy_url())
    store.migrate()
    store.label_wait_ms = {m.name: m.labels.wait_ms for m in cfg.models}
    return cfg, store


def replay_events(cfg: Any, store: Any, folder: Path, events: list[dict[str, Any]], labels: list[dict[str, Any]] = ()) -> None:  # type: ignore[assignment]
    """Send native events, then labels, through the engine and publish every window."""
    models = build_models(cfg, store)
    for name, rows in (("events", events), ("labels", labels)):
        (folder / f"{name}.jsonl").write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    beside = folder / "labels.jsonl" if labels else None
    pieces, _ = replay_batches(folder / "events.jsonl", beside, cfg, decode_settings(cfg, models), None)
    replay(pieces, build_engine(cfg, models, ("replay",)), store, 1)


def scores_of(store: Any) -> dict[tuple[int, str, str, str], dict[str, Any]]:
    """Scores by (window's number, segment, subject, score), evidence read."""
    out = {}
    for row in store.rows(score.select()):
        key = (
            (row["window_start_ms"] - START) // (row["window_end_ms"] - row["window_start_ms"]),
            *(row[n] for n in ("segment", "subject", "score")),
        )
        out[key] = {**row, "evidence": json.loads(row["evidence"]) if row["evidence"] else {}}
    return out


def windows_of(store: Any) -> list[dict[str, Any]]:
    return [dict(r) for r in store.rows(window.select().order_by(window.c.start_ms))]


def scored(folder: Path, text: str, events: list[dict[str, Any]], labels: list[dict[str, Any]] = ()) -> dict[Any, dict[str, Any]]:  # type: ignore[assignment]
    """The scores of one replay into a store of its own."""
    cfg, store = open_replay(folder, text)
    replay_events(cfg, store, folder, events, labels)
    found = scores_of(store)
    store.close()
    return found


def sample_of(store: Any, model: Model, start_ms: int, version: str | None = None) -> Columns | None:
    """The sample of the window that starts at start_ms; None where none was kept, or its time to live is over."""
    return sample_in(panes_of(store, model, start_ms), version)


def replay_rounds(cfg: Any, store: Any, rounds: list[list[tuple[str, list[dict[str, Any]]]]]) -> None:
    """Messages of one partition a role, as [("events" or "labels", messages), ...] a round; all windows close after each."""
    offsets = {"events": 0, "labels": 0}
    for pieces in rounds:
        batches = []
        for role, messages in pieces:
            at, offsets[role] = offsets[role], offsets[role] + len(messages)
            raw = RawBatch(
                PartitionKey("replay", role, 0), np.arange(at, offsets[role], dtype=np.int64),
                np.full(len(messages), START + 86_400_000, dtype=np.int64), [orjson.dumps(m) for m in messages], offsets[role],
            )  # fmt: skip
            batches.append(ReplayBatch(role, raw))
        replay(batches, build_engine(cfg, build_models(cfg, store), ("replay",)), store, 1)
