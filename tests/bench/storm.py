"""10,000 alerts that begin to fire in one window: does the data loop give up a tenth of its rate, and do all messages get through?

    python -m tests.bench.storm [--runs 3] [--rows 500] [--sqlite]

The whole daemon (engine, loop, PostgreSQL, courier, a webhook over HTTP) reads a log of 100 models with 100 features as fast as it
can. From the second minute on every feature has moved. The same log is read beside it by the same
config with limits that nothing reaches: the same scores, no alert. Rates are from the second minute on, until all is committed.
The receiver takes 10 messages a second and answers 429 with Retry-After to more; it is asked before and after the log has ended.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from alerts.delivery import wall_clock_ms
from monitor import app
from monitor.config import parse_config
from monitor.events import PartitionKey, RawBatch
from monitor.store import open_store
from tests.servers.postgres import Postgres

SLOWED_MOST = 0.1
MODELS, FEATURES, MINUTE_MS = 100, 100, 60_000
MINUTES, STORM = 4, 1  # the storm begins in minute STORM and lasts; the last minute's windows stay open
PER_SECOND = 10
CONFIG = """
store: {{url: "{store}"}}
http: {{listen: "127.0.0.1:0"}}
models:
{models}
alerts:
  rules: [{{name: moved, scores: [psi], above: {limit}}}]
  route: {{channels: [hook], repeat: 0s}}
  channels: {{hook: {{type: webhook, url: "{hook}", allow_private: true, pace: {pace}ms}}}}
checkpoint: {{interval: 1s}}
log: {{format: json, level: error}}
"""


class Receiver:
    """A webhook's far end that takes PER_SECOND messages a second, and answers 429 to more."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.refused = 0
        self._in_second: dict[int, int] = {}
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                ok = receiver.takes(str(self.headers["webhook-id"]))
                self.send_response(200 if ok else 429)
                if not ok:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None: ...

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_port}/"
        threading.Thread(target=self._httpd.serve_forever, args=(0.05,), daemon=True).start()

    def takes(self, key: str) -> bool:
        with self._lock:
            second = int(time.monotonic())
            self._in_second[second] = self._in_second.get(second, 0) + 1
            if self._in_second[second] > PER_SECOND:
                self.refused += 1
                return False
            self.taken.append(key)
            return True

    def close(self) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()


class Log:
    """An ordered log in memory, one partition."""

    name, carries, dead_letters = "log", "events", None
    key = PartitionKey("log", "log", 0)

    def __init__(self, values: list[bytes]) -> None:
        self.values, self.at, self.durable = values, 0, 0

    def start(self, listener: Any) -> None:
        self.at = max(0, listener.on_assign(self, [self.key])[self.key])

    def covers(self, key: PartitionKey) -> bool:
        return True

    def role(self, key: PartitionKey) -> str:
        return "events"

    def poll(self, max_rows: int, timeout_ms: int) -> list[tuple[str, RawBatch]]:
        values = self.values[self.at : self.at + max_rows]
        if not values:
            time.sleep(0.005)
            return []
        offsets = np.arange(self.at, self.at + len(values), dtype=np.int64)
        self.at += len(values)
        return [("events", RawBatch(self.key, offsets, np.full(len(values), -1, dtype=np.int64), values, self.at))]

    def caught_up(self, key: PartitionKey, next_offset: int) -> bool:
        return self.at >= len(self.values)

    def reached(self) -> bool:
        return True

    def lag(self, key: PartitionKey) -> int:
        return len(self.values) - self.at

    def commit(self, offsets: dict[PartitionKey, int]) -> None:
        self.durable = offsets[self.key]

    def pause_all(self) -> None: ...
    def resume_all(self) -> None: ...
    def keep_alive(self, timeout_ms: int) -> None: ...
    def rejoin(self) -> None: ...
    def close(self) -> None: ...


def log_of(rows: int, start_ms: int) -> list[bytes]:
    """`rows` events a model and minute, in the order of time."""
    rng = np.random.default_rng(3)
    form = (
        '{"event_id":"%d","ts":%d,"model":"m%02d","version":"1","features":{'
        + ",".join(f'"f{i:02d}":%s' for i in range(FEATURES))
        + "}}"
    )
    out = []
    for minute in range(MINUTES):
        moved = 0.8 if minute >= STORM else 0.0
        for i in range(rows * MODELS):
            at = start_ms + minute * MINUTE_MS + i * MINUTE_MS // (rows * MODELS)
            if i % 1000 == 0:
                values = np.round(rng.normal(moved, 1.0, (1000, FEATURES)), 2).tolist()
            out.append((form % (minute * rows * MODELS + i, at, i % MODELS, *values[i % 1000])).encode())
    return out


def run(values: list[bytes], rows: int, url: str, limit: float, pace_ms: int) -> dict[str, float]:
    """One daemon over the log: events/s from minute STORM on, and what became of the messages."""
    receiver = Receiver()
    names = ", ".join(f"f{i:02d}: numeric" for i in range(FEATURES))
    models = "\n".join(
        f"  - {{name: m{i:02d}, task: none, features: {{{names}}}, reference: {{first_windows: 1}}, "
        "window: {size: 1m, allowed_lateness: 0s}, dedup: {horizon: 1s}, statistics: {default: [psi]}}"
        for i in range(MODELS)
    )
    cfg = parse_config(CONFIG.format(store=url, models=models, limit=limit, hook=receiver.url, pace=pace_ms), "storm.yaml")
    log, first = Log(values), STORM * rows * MODELS
    marks: dict[str, float] = {}
    daemon: list[app.Daemon] = []

    def until() -> bool:
        if "wall" not in marks and log.at >= first:
            marks.update(wall=time.perf_counter(), cpu=time.thread_time())
        if "done" not in marks and log.durable >= len(values):
            marks.update(done=time.perf_counter(), cpu_done=time.thread_time())
        waits = "done" in marks and daemon[0].store.outbox.counts().get("due", 0)
        return "done" in marks and (not waits or time.perf_counter() - marks["done"] > 120)

    app.run(cfg, extra_sources=[log], ready=daemon.append, until=until, handle_signals=False)
    over = time.perf_counter()
    receiver.close()
    store = open_store(url, read_only=True)
    fired = sum(row["reason"] == "threshold_crossed" for row in _history(store))
    counts = store.outbox.counts()
    store.close()
    events = len(values) - first
    return {
        "wall": events / (marks["done"] - marks["wall"]), "cpu": events / (marks["cpu_done"] - marks["cpu"]), "fired": fired,
        "messages": sum(counts.values()), "sent": counts.get("sent", 0), "taken": len(set(receiver.taken)),
        "refused": receiver.refused, "until_all_sent_s": over - marks["wall"],
    }  # fmt: skip


def _history(store: Any) -> list[Any]:
    from sqlalchemy import select

    from monitor.store.schema import alert_history

    with store.engine.connect() as conn:
        return list(conn.execute(select(alert_history.c.reason).where(alert_history.c.status == "firing")).mappings())


def main() -> int:
    """Prints the ratios; 1 where a message was lost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=500, help="events a model and minute")
    parser.add_argument("--sqlite", action="store_true")
    a = parser.parse_args()
    logging.disable(logging.WARNING)
    start_ms = wall_clock_ms() // MINUTE_MS * MINUTE_MS - (MINUTES + 1) * MINUTE_MS
    values = log_of(a.rows, start_ms)
    postgres = None if a.sqlite else Postgres()
    ratios: dict[str, list[float]] = {"wall": [], "cpu": []}
    lost = False
    with tempfile.TemporaryDirectory() as folder:
        for i in range(-1, a.runs):  # the first warms what a process makes once, such as the tables of limits
            urls = [
                f"sqlite:///{folder}/{i}-{k}.db" if postgres is None else str(postgres.url(postgres.new_database()))
                for k in range(2)
            ]
            calm = run(values, a.rows, urls[0], 1e9, 1000 // PER_SECOND)
            if i < 0:
                continue
            storm = run(values, a.rows, urls[1], 0.2, 0 if i % 2 else 1000 // PER_SECOND)
            for name, found in ratios.items():
                found.append(storm[name] / calm[name])
            lost |= storm["taken"] != storm["messages"] or storm["fired"] < MODELS * FEATURES
            print(
                f"run {i + 1}: calm {calm['wall']:,.0f} events/s, storm {storm['wall']:,.0f} ({storm['wall'] / calm['wall']:.2f}), "
                f"by the loop's CPU time {storm['cpu'] / calm['cpu']:.2f}; {storm['fired']:.0f} alerts, {storm['messages']:.0f} messages, "
                f"{storm['taken']:.0f} taken, {storm['refused']:.0f} answers of 429, all sent within {storm['until_all_sent_s']:.0f} s",
                flush=True,
            )
    if postgres is not None:
        postgres.close()
    medians = {name: statistics.median(found) for name, found in ratios.items()}
    print(
        f"10,000 alerts at once: the loop's rate is {medians['wall']:.2f} of that without, {medians['cpu']:.2f} by CPU time ({1.0 - SLOWED_MOST:.2f} is meant)"
    )
    return int(lost)


if __name__ == "__main__":
    raise SystemExit(main())
