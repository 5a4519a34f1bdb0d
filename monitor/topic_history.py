"""What the config's Kafka topics hold, from their beginning to now, as the dump that a replay and a backtest read.

Read through the daemon's own sources, in a group of its own that commits nothing: a daemon that reads the same topics does not
notice. A partition is read up to the end that it had when its first message came; what is younger than the beginning of the
reading is left out, wherever it lies: clocks of producers differ, and a message that was sent twice comes late.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import orjson

from monitor.config import Config
from monitor.events import PartitionKey, RawBatch
from monitor.sources import SourceError, kafka_source
from monitor.sources.base import Source

POLL_ROWS, POLL_MS = 20_000, 500
PATIENCE_POLLS = 120  # without a message, while something is left to be read


class _FromTheBeginning:
    """A listener for which nothing was ever read. at: where to read on, should a partition be given away and come back."""

    def __init__(self) -> None:
        self.held: set[PartitionKey] = set()
        self.at: dict[PartitionKey, int] = {}

    def on_assign(self, source: Source, keys: list[PartitionKey]) -> dict[PartitionKey, int]:
        self.held.update(keys)
        return {key: self.at.get(key, -1) for key in keys}

    def on_revoke(self, keys: list[PartitionKey]) -> None:
        self.held.difference_update(keys)

    on_lost = on_revoke


def write_history(cfg: Config, path: Path, now_ms: int, progress: Callable[[int], None] = lambda rows: None) -> int:
    """Write the dump; how many messages it has. Raises ValueError without a Kafka source, SourceError, SecretMissing."""
    wanted = [s for s in cfg.sources if s.type == "kafka"]
    if not wanted:
        raise ValueError("the config has no source of type kafka: there is no topic to read")
    count = 0
    with path.open("wb") as out:
        for settings in wanted:
            group = f"{settings.group}-history-{uuid.uuid4().hex[:12]}"
            own = {"group": group, "start": "earliest", "dead_letter_topic": None}
            count += _read(kafka_source(settings.model_copy(update=own)), out, now_ms, progress)
    return count


def _read(source: Any, out: IO[bytes], now_ms: int, progress: Callable[[int], None]) -> int:
    listener, done, count, idle = _FromTheBeginning(), set[PartitionKey](), 0, 0
    ends: dict[PartitionKey, int] = {}
    source.start(listener)
    try:
        while not listener.held or not listener.held <= done:
            found = source.poll(POLL_ROWS, POLL_MS)
            idle = 0 if found else idle + 1
            if idle > PATIENCE_POLLS:
                left = ", ".join(f"{k.topic}/{k.partition}" for k in sorted(listener.held - done)) or "no partition was assigned"
                raise SourceError(f"source {source.name}: nothing came for {idle * POLL_MS // 1000} s; left to read: {left}")
            for _, raw in found:
                listener.at[raw.key] = raw.next_offset
                if raw.key in done:
                    continue
                written = _write(out, raw, now_ms)
                count += written
                progress(written)
                left = source.lag(raw.key)
                if raw.key not in ends and left is not None:
                    ends[raw.key] = raw.next_offset + left
                if raw.next_offset >= ends.get(raw.key, raw.next_offset + 1):
                    done.add(raw.key)
            done |= {key for key in listener.held if source.caught_up(key, listener.at.get(key, 0))}
    finally:
        source.close()
    return count


def _write(out: IO[bytes], raw: RawBatch, now_ms: int) -> int:
    """Those messages that came before now_ms; how many."""
    written = 0
    for offset, ts, value in zip(raw.offsets.tolist(), raw.record_ts_ms.tolist(), raw.values, strict=True):
        if ts > now_ms:
            continue
        written += 1
        row = {"topic": raw.key.topic, "partition": raw.key.partition, "offset": offset, "ts": ts}
        payload = {"payload": None} if value is None else {"payload_base64": base64.b64encode(value).decode()}
        out.write(orjson.dumps(row | payload) + b"\n")
    return written
