"""The benchmark's events: about 500 bytes of JSON with 20 numeric and 3 categorical features, and their labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

START_MS = 1_767_225_600_000
NUMERIC = tuple(f"n{i:02d}" for i in range(20))
CATEGORICAL = ("region", "device", "plan")
VALUES = {"region": ("north", "south", "east", "west"), "device": ("ios", "android", "web"), "plan": ("free", "pro")}


def columns(rows: int, seed: int = 1, per_second: int = 20_000) -> dict[str, Any]:
    """Columns of the events; event time moves by per_second events a second."""
    rng = np.random.default_rng(seed)
    out: dict[str, Any] = {
        "event_id": [f"{seed:02d}-{i:012d}" for i in range(rows)],
        "ts": START_MS + np.arange(rows) * 1000 // per_second,
    }
    for k, name in enumerate(NUMERIC):
        out[name] = np.round(rng.gamma(1 + k % 5, 2.0, rows), 3)
    for name in CATEGORICAL:
        out[name] = rng.choice(VALUES[name], rows)
    out["score"] = np.round(rng.random(rows), 4)
    out["truth"] = rng.random(rows) < out["score"]
    out["latency_ms"] = np.round(rng.lognormal(2.0, 0.5, rows), 2)
    return out


def pieces(c: dict[str, Any], rows: int = 200_000) -> Iterator[dict[str, Any]]:
    """The same columns, `rows` at a time: as Python objects all of them would take gigabytes."""
    for at in range(0, len(c["ts"]), rows):
        yield {name: column[at : at + rows] for name, column in c.items()}


def messages(c: dict[str, Any]) -> list[bytes]:
    """The events as messages."""
    numeric = [c[name].tolist() for name in NUMERIC]
    rest = zip(
        c["event_id"], c["ts"].tolist(), c["score"].tolist(), c["latency_ms"].tolist(),
        *(c[name].tolist() for name in CATEGORICAL), *numeric, strict=True,
    )  # fmt: skip
    form = (
        '{"event_id":"%s","ts":%d,"model":"credit","version":"3","prediction":{"score":%s,"label":"%s"},'
        '"latency_ms":%s,"status":"ok","features":{"region":"%s","device":"%s","plan":"%s",'
        + ",".join(f'"{name}":%s' for name in NUMERIC)
        + "}}"
    )
    return [
        (form % (i, ts, score, "default" if score >= 0.5 else "repaid", latency, *features)).encode()
        for i, ts, score, latency, *features in rest
    ]


def labels(c: dict[str, Any], delay_ms: int = 60_000) -> list[bytes]:
    """A label for every event."""
    return [
        b'{"event_id":"%s","label":"%s","label_ts":%d}' % (i.encode(), b"default" if t else b"repaid", ts + delay_ms)
        for i, ts, t in zip(c["event_id"], c["ts"].tolist(), c["truth"].tolist(), strict=True)
    ]
