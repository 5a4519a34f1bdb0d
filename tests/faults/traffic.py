"""A seeded log of inference events and labels with everything that goes wrong in one: the faults' input.

Event time starts at START_MS and runs `span_ms`; records are spread over partitions. Of the events some are
repeated, some come late (inside and beyond the allowed lateness), some are poison. Labels are shuffled,
some never come, some come twice, some are corrected. The same seed gives the same bytes.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
POISON = (
    b"",
    b"not json",
    b"{",
    b'{"event_id": "\\ud800", "ts": 1}',
    b'{"event_id": "a\\u0000b", "ts": 1767225600000, "model": "credit", "features": {}}',
    b"\xff\xfe\xfd",
    b"[" * 5000,
    b'{"event_id": "nan", "ts": 1767225600000, "model": "credit", "features": {"income": NaN}}',
    b'{"event_id": "far", "ts": 32503680000000, "model": "credit", "features": {"income": 1.0}}',
    b'{"event_id": "who", "ts": 1767225600000, "model": "nobody", "features": {"income": 1.0}}',
    b'{"event_id": "type", "ts": 1767225600000, "model": "credit", "features": {"income": "rich"}}',
    b'{"ts": 1767225600000, "model": "credit"}',
    None,
)


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the log, in the order in which it is produced."""

    topic: str
    partition: int
    ts_ms: int
    value: bytes | None


def make(events: int, partitions: int = 4, span_ms: int = 1_200_000, seed: int = 1) -> list[Record]:
    """`events` good events, and the rest that comes with them, as records of topics `events` and `labels`."""
    rng = np.random.default_rng(seed)
    at = np.sort(rng.integers(0, span_ms, events))
    late = rng.random(events)
    records: list[tuple[int, Record]] = []
    label_at: list[tuple[int, bytes]] = []
    for i in range(events):
        ts = START_MS + int(at[i])
        drifted = at[i] > span_ms // 2
        income = float(rng.lognormal(8.0 + (0.6 if drifted else 0.0), 0.5))
        score = float(rng.random())
        wrong = rng.random() < (0.35 if at[i] > 2 * span_ms // 3 else 0.05)
        label = "default" if score >= 0.5 else "repaid"
        truth = label if not wrong else ("repaid" if label == "default" else "default")
        event = {
            "event_id": f"e{seed}-{i:08d}",
            "ts": ts,
            "model": "credit",
            "version": "3" if i % 5 else "4",
            "features": {"income": income, "age": int(rng.integers(18, 90)), "region": ("MA", "NY", "CA")[i % 3]},
            "prediction": {"label": label, "score": score},
            "latency_ms": float(rng.lognormal(2.0, 0.4)),
            "status": "ok" if i % 211 else "error",
            "segment": {"channel": ("web", "app")[i % 2]},
        }
        value = orjson.dumps(event)
        partition = int(rng.integers(partitions))
        # most arrive at once, some within the lateness, some far beyond it
        delay = 0 if late[i] < 0.97 else (3_000 if late[i] < 0.99 else 180_000)
        arrives = ts + delay
        records.append((arrives, Record("events", partition, arrives, value)))
        if i % 50 == 0:
            records.append((arrives + 500, Record("events", partition, arrives + 500, value)))
        if i % 97 == 0:
            poison = POISON[(i // 97) % len(POISON)]
            records.append((arrives, Record("events", int(rng.integers(partitions)), arrives, poison)))
        draw = rng.random()
        if draw < 0.9:
            due = ts + int(rng.integers(-2_000, 240_000))
            label_at.append((due, orjson.dumps({"event_id": event["event_id"], "label": truth, "label_ts": ts + 60_000})))
            if draw < 0.02:
                label_at.append((due + 100, label_at[-1][1]))
            elif draw < 0.04:
                corrected = {"event_id": event["event_id"], "label": label, "label_ts": ts + 120_000}
                label_at.append((due + 5_000, orjson.dumps(corrected)))
    for due, value in label_at:
        due = max(due, START_MS)
        records.append((due, Record("labels", int(rng.integers(partitions)), due, value)))
    records.sort(key=lambda pair: pair[0])
    return [record for _, record in records]


def write_dump(records: list[tuple[Record, int]], path: Path) -> None:
    """Write records with their offsets as the envelope lines that `driftd replay` reads."""
    with path.open("w") as out:
        for record, offset in records:
            payload = None if record.value is None else base64.b64encode(record.value).decode()
            line = {"topic": record.topic, "partition": record.partition, "offset": offset, "ts": record.ts_ms}
            out.write(json.dumps({**line, "payload_base64": payload}) + "\n")


def with_offsets(records: list[Record]) -> list[tuple[Record, int]]:
    """The offset that a topic's partition gives each record when they are produced in this order."""
    following: dict[tuple[str, int], int] = {}
    out = []
    for record in records:
        key = (record.topic, record.partition)
        out.append((record, following.get(key, 0)))
        following[key] = following.get(key, 0) + 1
    return out
