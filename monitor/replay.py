"""Replay: a file through the same engine, in event time, as fast as it can.

    driftd replay events.parquet --config config.yaml [--labels labels.jsonl]

The file is one partition of a source of its own, or, where it is a Kafka dump (one JSON envelope a line with
topic, partition, offset, ts and payload), the partitions that it names. When the file ends, every partition
is idle and all windows close.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from monitor.checkpoint import PartitionCut
from monitor.engine import Engine
from monitor.events import REASONS, Decoded, PartitionKey, RawBatch
from monitor.model import Model
from monitor.publish import Published, publish_due
from monitor.watermark import FAR_FUTURE_MS


@dataclass(frozen=True, slots=True)
class ReplayBatch:
    """One piece of a file: raw messages, or columns that need no decoding."""

    role: str  # "events" or "labels"
    raw: RawBatch
    decoded: Decoded | None = None


@dataclass(slots=True)
class ReplayReport:
    """What a replay did."""

    messages: int = 0
    windows: int = 0
    notifications: int = 0
    scores: int = 0
    dropped: dict[str, int] = field(default_factory=dict)  # by reason, see monitor.events.REASONS
    examples: dict[str, str] = field(default_factory=dict)  # by reason: what was wrong with the first such message, and where

    def drops(self) -> list[str]:
        """A line for each reason why something was dropped, with its first example."""
        counts = sorted(self.dropped.items())
        return [f"dropped {n:,}: {why}" + (f", first {self.examples[why]}" if why in self.examples else "") for why, n in counts]

    def note(self, cuts: Iterable[PartitionCut]) -> None:
        """Count what pieces that were written dropped."""
        for cut in cuts:
            for reason in REASONS:
                if cut.counts.get(reason):
                    self.dropped[reason] = self.dropped.get(reason, 0) + cut.counts[reason]
            for letter in cut.dead:
                self.examples.setdefault(letter.reason, f"{cut.key.topic}, message {letter.offset}: {letter.detail}")


def replay(
    batches: Iterable[ReplayBatch],
    engine: Engine,
    store: Any,
    now_ms: int,
    checkpoint_rows: int = 1_000_000,
    progress: Callable[[int], None] = lambda rows: None,
    on_published: Callable[[Published], None] = lambda published: None,
    slow: Callable[[Model], int] = lambda model: 0,
) -> ReplayReport:
    """Send batches through the engine and publish every window. slow: looks at a model's windows once they are published, and
    says how many are to be published anew. Raises StoreUnavailable, FencedReplay, ReadAlready."""
    report = ReplayReport()
    event_sources: set[str] = set()
    claimed: set[PartitionKey] = set()
    for batch in batches:
        key = batch.raw.key
        if key not in claimed:
            claims = store.claim({key: batch.role}, "replay", now_ms, engine.keep_ms)
            if batch.raw.rows and int(batch.raw.offsets[0]) < claims[key].next_offset:
                raise ReadAlready(key, claims[key].next_offset)
            engine.assign(claims.values())
            claimed.add(key)
        if batch.role == "events":
            event_sources.add(key.source)
        if batch.decoded is None:
            engine.step(batch.role, batch.raw)
        else:
            engine.take(batch.role, batch.raw, batch.decoded)
        report.messages += batch.raw.rows
        progress(batch.raw.rows)
        if engine.rows_since_cut >= checkpoint_rows:
            _write(engine, store, engine.cut(now_ms), report)
    for key in claimed:
        engine.set_idle(key, True)
    _write(engine, store, engine.cut(now_ms), report)
    for model in engine.models.values():
        while True:
            with store.publishing(model.name) as tx:
                reads: Callable[[PartitionKey], bool] = lambda key: key.source in event_sources  # noqa: E731
                done = [] if tx is None else publish_due(tx, model, reads, now_ms, 0, ended_ms=FAR_FUTURE_MS)
            for published in done:
                report.windows += 1
                report.notifications += published.notifications
                report.scores += len(published.scores)
                on_published(published)
            if not done and not slow(model):
                break
    return report


class ReadAlready(ValueError):
    """The store has results of this very file."""

    def __init__(self, key: PartitionKey, next_offset: int) -> None:
        super().__init__(
            f"{key.topic} was read into this store before, up to message {next_offset:,}: replay it into an empty store "
            "(store.url), or under another file name where its rows are new"
        )


class FencedReplay(RuntimeError):
    """Another process reads the same partitions into the same store."""


def _write(engine: Engine, store: Any, cuts: list[PartitionCut], report: ReplayReport) -> None:
    fenced = store.checkpoint(cuts, engine.absorb)
    if fenced:
        names = ", ".join(f"{k.source}/{k.topic}/{k.partition}" for k in sorted(fenced))
        raise FencedReplay(f"another process claimed {names} in this store; stop it or replay into another store")
    report.note(cuts)
    engine.committed(cuts)
