"""The configuration of the fault tests, and how results are read for comparison.

One score has a fixed limit; all others are as a user has them who says nothing: calibrated, with stream detectors.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from monitor.export import flat_rows
from monitor.store import open_store

TEMPLATE = """
store: {{url: "{store}"}}
sources:
  - {{name: predictions, type: kafka, carries: events, topics: [{events}], bootstrap_servers: "{kafka}",
     group: "{group}", client: {client}, options: {{session.timeout.ms: {session_ms}, heartbeat.interval.ms: 300}}}}
  - {{name: labels, type: kafka, carries: labels, topics: [{labels}], bootstrap_servers: "{kafka}",
     group: "{group}", client: {client}, options: {{session.timeout.ms: {session_ms}, heartbeat.interval.ms: 300}}}}
http: {{listen: "127.0.0.1:{port}"}}
models:
  - name: credit
    task: binary
    positive_label: default
    features: {{income: numeric, age: numeric, region: category}}
    segments: [channel]
    window: {{size: 1m, slide: {slide}, allowed_lateness: 10s}}
    reference: {{first_windows: 3}}
    dedup: {{horizon: 2m}}
    thresholds:
      psi: {{warn: 0.1, breach: 0.25}}
alerts:
  rules:
    - {{name: drift, scores: [psi], for_windows: 2, channels: [hook]}}
    - {{name: accuracy-fell, scores: [accuracy], subjects: [performance], channels: [hook]}}
  channels:
    hook: {{type: webhook, url: "http://127.0.0.1:{hook_port}/hook", allow_private: true, timeout: 2s}}
checkpoint: {{interval: 300ms}}
idle_timeout: {idle}
drain_timeout: 10s
log: {{format: json, level: info}}
"""


def text(store: str, kafka: str = "127.0.0.1:1", **other: Any) -> str:
    values: dict[str, Any] = {
        "events": "events", "labels": "labels", "group": "driftd", "client": "confluent", "session_ms": 6000, "port": 0,
        "slide": "1m", "hook_port": 1, "idle": "3s", **other,
    }  # fmt: skip
    return str(values.pop("template", TEMPLATE)).format(store=store, kafka=kafka, **values)


def results(url: str) -> dict[str, dict[tuple[Any, ...], dict[str, Any]]]:
    """Windows and scores by their keys, without the revision, which depends on when labels came."""
    store = open_store(url, read_only=True)
    out: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {"windows": {}, "scores": {}}
    for what, key in (
        ("windows", ("model", "window_start")),
        ("scores", ("model", "window_start", "version", "segment", "subject", "score")),
    ):
        for rows in flat_rows(store, what, None, None, None):
            for row in rows:
                row.pop("revision")
                out[what][tuple(row[k] for k in key)] = row
    store.close()
    return out


def differences(left: Any, right: Any, limit: int = 10) -> list[str]:
    """Where two results differ: counts exactly, floats beyond 1e-9 relative."""
    found = []
    for what in ("windows", "scores"):
        for key in sorted(set(left[what]) | set(right[what]), key=str):
            a, b = left[what].get(key), right[what].get(key)
            if a is None or b is None:
                found.append(f"{what} {key}: only {'right' if a is None else 'left'}: {json.dumps(a or b)}")
                a = b = {}
            for name in a:
                if not _same(a[name], b[name]):
                    found.append(f"{what} {key} {name}: {a[name]!r} != {b[name]!r}")
            if len(found) >= limit:
                return found
    return found


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return bool(a == b)


def write(path: Path, content: str) -> Path:
    path.write_text(content)
    return path
