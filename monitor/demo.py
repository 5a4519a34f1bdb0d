"""`driftd demo`: the main job on embedded defaults. A simulated model drifts, an alert fires, a retrain is called.

Everything is on this machine: an SQLite file, a source inside the process, a receiver for the retrain call.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitor import app, logs
from monitor.config import parse_config
from monitor.events import PartitionKey, RawBatch
from monitor.publish import Published
from monitor.simulate import SimulatedServer

CALM_S, DRIFT_S = 35, 35
WINDOW_S = 5
CONFIG = """
store: {{url: "sqlite:///{data}/driftd.db"}}
http: {{listen: "127.0.0.1:{port}"}}
models:
  - name: credit
    task: binary
    positive_label: default
    features: {{income: numeric, age: numeric, region: category}}
    segments: [channel]
    window: {{size: {window}s, slide: {window}s, allowed_lateness: 1s}}
    reference: {{first_windows: 5}}
    labels: {{wait: 1h}}
    min_rows: 200
    thresholds: auto
alerts:
  rules:
    - {{name: feature-drift, subjects: ["*"], scores: [drift], level: breach, for_windows: 2, resolve_windows: 2,
       cooldown: 1m, severity: warning, channels: [console, retrain]}}
    - {{name: accuracy-fell, subjects: [performance], scores: [accuracy], level: breach, for_windows: 1,
       resolve_windows: 2, severity: critical, channels: [console, retrain]}}
  channels:
    console: {{type: log}}
    retrain: {{type: retrain, url: "http://127.0.0.1:{retrain_port}/retrain", cooldown: 30s, max_per_day: 5,
              allow_private: true}}
checkpoint: {{interval: 1s}}
idle_timeout: 5s
log: {{format: json, level: warning}}
"""


class DemoSource:
    """The simulated server as a source: events in partition 0 of `inference-log`, labels in `labels`."""

    name = "demo"
    carries = "both"
    dead_letters = None

    def __init__(self, server: SimulatedServer, clock: Callable[[], int]) -> None:
        self._server = server
        self._clock = clock
        self._offsets: dict[PartitionKey, int] = {}
        self._paused = False
        self.events = PartitionKey("demo", "inference-log", 0)
        self.labels = PartitionKey("demo", "labels", 0)

    def start(self, listener: Any) -> None:
        keys = [self.events, self.labels]
        self._offsets = {k: max(0, at) for k, at in listener.on_assign(self, keys).items()}

    def poll(self, max_rows: int, timeout_ms: int) -> list[tuple[str, RawBatch]]:
        time.sleep(timeout_ms / 1000.0)
        now = self._clock()
        found: list[tuple[str, RawBatch]] = []
        if not self._paused:
            for role, key, values in (
                ("events", self.events, self._server.events_until(now)),
                ("labels", self.labels, self._server.labels_until(now)),
            ):
                if values:
                    found.append((role, self._batch(key, values, now)))
        return found

    def _batch(self, key: PartitionKey, values: list[bytes], now_ms: int) -> RawBatch:
        first = self._offsets[key]
        self._offsets[key] = first + len(values)
        offsets = np.arange(first, first + len(values), dtype=np.int64)
        return RawBatch(key, offsets, np.full(len(values), now_ms), list(values), first + len(values))

    def covers(self, key: PartitionKey) -> bool:
        return True

    def role(self, key: PartitionKey) -> str:
        return "labels" if key == self.labels else "events"

    def caught_up(self, key: PartitionKey, next_offset: int) -> bool:
        return key == self.labels  # the server never falls silent, its labels may

    def lag(self, key: PartitionKey) -> int | None:
        return 0

    def commit(self, offsets: dict[PartitionKey, int]) -> None: ...

    def pause_all(self) -> None:
        self._paused = True

    def resume_all(self) -> None:
        self._paused = False

    def keep_alive(self, timeout_ms: int) -> None: ...

    def rejoin(self) -> None:
        raise RuntimeError("the demo's store has another owner; stop the other demo")

    def close(self) -> None: ...


class Receiver:
    """What stands in for a training pipeline: it accepts retrain calls and remembers them."""

    def __init__(self) -> None:
        self.calls: deque[dict[str, Any]] = deque(maxlen=20)
        calls = self.calls

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # noqa: N802
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                calls.append(json.loads(body))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Screen:
    """The demo's one live picture."""

    def __init__(self, server: SimulatedServer, receiver: Receiver, clock: Callable[[], int]) -> None:
        self.server, self.receiver, self.clock = server, receiver, clock
        self.windows = 0
        self.scores: list[Any] = []
        self.daemon: app.Daemon | None = None
        self.started_ms = clock()

    def on_published(self, published: Published) -> None:
        self.windows += published.window.revision == 1
        if published.window.rows:
            newest = [r for r in published.scores if r.segment == ""]
            keep = [r for r in self.scores if (r.subject, r.score) not in {(n.subject, n.score) for n in newest}]
            self.scores = keep + newest

    def render(self) -> Panel:
        now = self.clock()
        elapsed = max(1, now - self.started_ms) / 1000.0
        phase = self.server.phase(now)
        words = {
            "calm": "calm: the model sees what it was trained on",
            "drift": "drift: incomes rose by 80 %",
            "concept": "concept drift: the outcome no longer follows the features",
        }
        head = Text.assemble(
            (f"{elapsed:5.0f} s  ", "bold"),
            (words[phase], {"calm": "green", "drift": "yellow", "concept": "red"}[phase]),
            f"\n{self.server._made / elapsed:.0f} events/s   {self.windows} windows closed",
        )
        scores = Table(box=None, pad_edge=False, title="worst scores of the last window", title_justify="left")
        for column in ("subject", "score", "value", "limit", "rows", "level"):
            scores.add_column(column, justify="right" if column in ("value", "limit", "rows") else "left")
        order = {"breach": 0, "warn": 1, "unsure": 2, "ok": 3}
        judged = [r for r in self.scores if r.threshold is not None]
        judged.sort(key=lambda r: (order[r.level], -(r.value or 0.0)))
        for row in judged[:6]:
            style = {"breach": "red", "warn": "yellow", "unsure": "dim"}.get(row.level, "green")
            value = "-" if row.value is None else f"{row.value:.3f}"
            scores.add_row(row.subject, row.score, value, f"{row.threshold:.2f}", str(row.rows), Text(row.level, style))
        parts: list[Any] = [head, Text(), scores, Text()]
        if self.daemon is not None:
            for alert in self.daemon.store.alerts(status="firing")[:4]:
                parts.append(Text(f"ALERT  {alert['rule']}: {alert['subject']} {alert['score']}", "bold red"))
        for call in list(self.receiver.calls)[-2:]:
            parts.append(Text(f"RETRAIN CALL RECEIVED  model {call.get('model')}: {call.get('reason')}", "bold magenta"))
        if self.daemon is not None:
            base = self.daemon.web.address
            parts.append(Text(f"\n{base}/metrics   {base}/ready   {base}/healthy      Ctrl-C drains and stops", "dim"))
        return Panel(Group(*parts), title="driftd demo", border_style="blue")


def run_demo(data: Path, port: int, seconds: float | None, console: Console | None = None) -> int:
    """Run the demo; returns the exit code. `seconds` ends it by itself."""
    if data.exists():
        shutil.rmtree(data)
    data.mkdir(parents=True)
    receiver = Receiver()
    cfg = parse_config(CONFIG.format(data=data, port=port, window=WINDOW_S, retrain_port=receiver.port), "the demo's config")
    logs.setup(cfg.log.format, "error")
    logging.getLogger("driftd").setLevel(logging.ERROR)
    clock = app.wall_clock_ms
    server = SimulatedServer(clock(), CALM_S * 1000, DRIFT_S * 1000)
    screen = Screen(server, receiver, clock)
    out = console or Console()
    ends = None if seconds is None else time.monotonic() + seconds
    fired: list[float] = []

    def ready(daemon: app.Daemon) -> None:
        screen.daemon = daemon
        out.print(f"driftd serves {daemon.web.address}/metrics, /ready and /healthy; the store is {data}/driftd.db")

    with Live(screen.render(), console=out, refresh_per_second=2, transient=False) as live:

        def until() -> bool:
            live.update(screen.render())
            if receiver.calls and not fired:
                fired.append(time.monotonic())
                call = receiver.calls[0]
                live.console.print(f"retrain call received: model {call.get('model')}, {call.get('reason')}")
            return ends is not None and time.monotonic() >= ends

        app.run(cfg, extra_sources=[DemoSource(server, clock)], ready=ready, until=until, on_published=screen.on_published)
    receiver.server.shutdown()
    out.print(f"drained and stopped: {screen.windows} windows, {len(receiver.calls)} retrain call(s)")
    return 0
