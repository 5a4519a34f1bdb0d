"""What a timeline plays in: the real engine, loop, store, lifecycle and courier, on a clock of its own.

The log is in memory, the database in a folder, channels are local servers that misbehave when told. A restart throws
everything away but the log and the database, as a crash does.
"""

from __future__ import annotations

import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from sqlalchemy import event

from alerts.channels.base import Outcome, Sent
from alerts.channels.registry import build_channel
from alerts.delivery import Courier
from alerts.notification import Notification
from monitor.config import parse_config
from monitor.events import PartitionKey, RawBatch
from monitor.health import Health
from monitor.loop import DataLoop, LoopSettings
from monitor.metrics import Metrics
from monitor.runtime import build_engine, build_models
from monitor.store import open_store
from monitor.store.publish import PublishingTransaction


class Crash(Exception):
    """The process died here."""


class Receiver:
    """A channel's far end. mode: "up", "down" (hangs up), "slow" (never answers in time), "half" (an answer cut off),
    or a status to answer with. `taken`: the keys of the messages that it took; `tried`: how many requests reached it."""

    def __init__(self) -> None:
        self.mode: str | int = "up"
        self.retry_after: int | None = None
        self.taken: list[str] = []
        self.tried = 0
        self._gate = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                receiver.answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_port}/"
        threading.Thread(target=self._httpd.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.tried += 1
        handler.close_connection = True
        if self.mode == "down":
            return
        if self.mode == "slow":
            self._gate.wait(2)
            return
        if self.mode == "half":
            handler.wfile.write(b"HTTP/1.1 2")
            return
        status = 200 if self.mode == "up" else int(self.mode)
        if status == 200:
            self.taken.append(str(handler.headers["webhook-id"]))
        handler.send_response(status)
        if self.retry_after is not None:
            handler.send_header("Retry-After", str(self.retry_after))
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def close(self) -> None:
        self._gate.set()
        self._httpd.shutdown()
        self._httpd.server_close()


class Memo:
    """A channel that only remembers; it takes no socket. Most scenarios need no more."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name

    def send(self, notification: Notification, attempt: int, now_ms: int) -> Outcome:
        self.world.received.append((now_ms, self.name, notification))
        return Sent()


class LogSource:
    """An ordered log in memory, one partition; survives the daemon."""

    def __init__(self, name: str, carries: str, records: list[bytes]) -> None:
        self.name, self.carries, self.records = name, carries, records
        self.dead_letters = None
        self.key = PartitionKey(name, name, 0)
        self.at = 0

    def start(self, listener: Any) -> None:
        self.at = max(0, listener.on_assign(self, [self.key])[self.key])

    def role(self, key: PartitionKey) -> str:
        return self.carries

    def covers(self, key: PartitionKey) -> bool:
        return key == self.key

    def poll(self, max_rows: int, timeout_ms: int) -> list[tuple[str, RawBatch]]:
        values = self.records[self.at : self.at + max_rows]
        if not values:
            return []
        offsets = np.arange(self.at, self.at + len(values), dtype=np.int64)
        self.at += len(values)
        return [(self.carries, RawBatch(self.key, offsets, np.full(len(values), -1, dtype=np.int64), list(values), self.at))]

    def caught_up(self, key: PartitionKey, next_offset: int) -> bool:
        return self.at >= len(self.records)

    def lag(self, key: PartitionKey) -> int:
        return len(self.records) - self.at

    def reached(self) -> bool:
        return True

    def commit(self, offsets: Any) -> None: ...
    def pause_all(self) -> None: ...
    def resume_all(self) -> None: ...
    def keep_alive(self, timeout_ms: int) -> None: ...
    def rejoin(self) -> None: ...
    def close(self) -> None: ...


class World:
    """One daemon after another over the same log and the same database."""

    def __init__(self, folder: Any, text: str, start_ms: int, receivers: dict[str, Receiver]) -> None:
        self.folder, self.text, self.now_ms, self.receivers = folder, text, start_ms, receivers
        self.events: list[bytes] = []
        self.labels: list[bytes] = []
        self.received: list[tuple[int, str, Notification]] = []  # what channels without a server got
        self.outcomes: list[tuple[str, str]] = []
        self.crash_in: str | None = None
        self.crashes = 0
        self.up()

    def up(self) -> None:
        """Start a daemon, as after a crash or a deployment."""
        cfg = parse_config(self.text, "timeline.yaml")
        self.store = open_store(f"sqlite:///{self.folder}/timeline.db")

        @event.listens_for(self.store.engine, "connect")
        def _fast(connection: Any, _record: object) -> None:
            connection.execute("PRAGMA synchronous=OFF")

        self.store.migrate()
        self.store.label_wait_ms = {m.name: m.labels.wait_ms for m in cfg.models}
        models = build_models(cfg, self.store)
        sources = [LogSource("predictions", "events", self.events), LogSource("truth", "labels", self.labels)]
        self.loop = DataLoop(
            build_engine(cfg, models, ("predictions", "truth")), self.store, sources,
            LoopSettings("timeline", checkpoint_interval_ms=0, idle_timeout_ms=cfg.idle_timeout_ms), Metrics(), Health(),
            lambda: self.now_ms, lambda: self.now_ms / 1000.0,
        )  # fmt: skip
        channels = {
            name: build_channel(c.type, {**c.options(), "url": self.receivers[name].url, "allow_private": True})
            if name in self.receivers
            else Memo(self, name)
            for name, c in cfg.alerts.channels.items()
        }
        self.courier = Courier(
            self.store.outbox, channels, clock=lambda: self.now_ms, random=lambda: 0.0,
            on_outcome=lambda channel, outcome: self.outcomes.append((channel, outcome)),
        )  # fmt: skip
        for source in sources:
            source.start(self.loop)

    def down(self) -> None:
        """Stop without any farewell."""
        self.courier.drain(time.monotonic())
        self.store.close()

    def restart(self, text: str | None = None) -> None:
        self.down()
        self.text = text or self.text
        self.up()

    def step(self, now_ms: int) -> None:
        """Let the daemon do all that it can at this time; where it crashes, start another."""
        self.now_ms = now_ms
        with self._dying():
            try:
                self.loop.turn()
                self.deliver()
            except Crash:
                self.crashes += 1
                self.down()
                self.up()
                self.loop.turn()
                self.deliver()

    def deliver(self) -> None:
        """Hand out what is due, until nothing is."""
        while self.courier.step(self.now_ms) <= self.now_ms or not self.courier.idle():
            for lane in self.courier._lanes.values():
                assert lane.wait_idle(time.monotonic() + 10)

    @contextlib.contextmanager
    def _dying(self) -> Any:
        """Die once inside a method of the publishing transaction, if the timeline says so."""
        name = self.crash_in
        if name is None:
            yield
            return
        before = getattr(PublishingTransaction, name)

        def die(tx: PublishingTransaction, *args: Any) -> Any:
            setattr(PublishingTransaction, name, before)
            self.crash_in = None
            before(tx, *args)  # written, and rolled back with all the rest
            raise Crash(name)

        setattr(PublishingTransaction, name, die)
        try:
            yield
        finally:
            setattr(PublishingTransaction, name, before)
