"""Rows pushed over HTTP, as a source: two partitions in memory, answered once the store has them.

The queue is bounded in rows. What is in it when the process dies was never answered, so the client sends it
again, and the event id makes it count once.
"""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import numpy as np

from monitor.events import PartitionKey, RawBatch
from monitor.sources.base import DeadLetterSink, Listener

EVENTS, LABELS = "http-events@", "http-labels@"


class QueueFull(RuntimeError):
    """More rows wait than http.queue_rows."""


class HttpSource:
    """submit() is called on the web's thread, everything else on the data loop's."""

    carries = "both"
    dead_letters: DeadLetterSink | None = None

    def __init__(self, name: str, queue_rows: int, clock: Callable[[], int], host: str | None = None) -> None:
        self.name = name
        self._limit = queue_rows
        self._clock = clock
        self._lock = threading.Condition()
        self._rows = 0
        self._queue: deque[tuple[str, list[bytes], Future[int]]] = deque()
        self._unanswered: dict[PartitionKey, deque[tuple[int, int, Future[int]]]] = {}
        self._paused = False
        self._closed = False
        host = host or socket.gethostname()
        self._keys = {"events": PartitionKey(name, EVENTS + host, 0), "labels": PartitionKey(name, LABELS + host, 0)}
        self._position: dict[PartitionKey, int] = {}

    def submit(self, role: str, values: list[bytes]) -> Future[int]:
        """Queue rows; the future holds their number once they are durable. Raises QueueFull."""
        done: Future[int] = Future()
        with self._lock:
            if self._closed:
                raise QueueFull("driftd is draining")
            if self._rows and self._rows + len(values) > self._limit:
                raise QueueFull(f"{self._rows} rows wait, http.queue_rows allows {self._limit}")
            self._rows += len(values)
            self._queue.append((role, values, done))
            self._lock.notify()
        return done

    def start(self, listener: Listener) -> None:
        self._listener = listener
        self._assign()

    def _assign(self) -> None:
        offsets = self._listener.on_assign(self, list(self._keys.values()))
        self._position = {key: max(0, at) for key, at in offsets.items()}

    def covers(self, key: PartitionKey) -> bool:
        return True

    def role(self, key: PartitionKey) -> str:
        return "labels" if key == self._keys["labels"] else "events"

    def poll(self, max_rows: int, timeout_ms: int) -> list[tuple[str, RawBatch]]:
        out: list[tuple[str, RawBatch]] = []
        with self._lock:
            if not self._queue:
                self._lock.wait(timeout_ms / 1000.0)
            taken = 0
            while self._queue and not self._paused and (taken == 0 or taken + len(self._queue[0][1]) <= max_rows):
                role, values, done = self._queue.popleft()
                taken += len(values)
                key = self._keys[role]
                first = self._position[key]
                self._position[key] = last = first + len(values)
                self._unanswered.setdefault(key, deque()).append((last, len(values), done))
                offsets = np.arange(first, last, dtype=np.int64)
                now = np.full(len(values), self._clock(), dtype=np.int64)
                out.append((role, RawBatch(key, offsets, now, list(values), last)))
        return out

    def reached(self) -> bool:
        return True

    def commit(self, offsets: dict[PartitionKey, int]) -> None:
        """Answer the requests whose rows are durable."""
        answered = []
        with self._lock:
            for key, durable in offsets.items():
                waiting = self._unanswered.get(key, deque())
                while waiting and waiting[0][0] <= durable:
                    _, rows, done = waiting.popleft()
                    self._rows -= rows
                    answered.append((done, rows))
        for done, rows in answered:
            if not done.cancelled():
                done.set_result(rows)

    def caught_up(self, key: PartitionKey, next_offset: int) -> bool:
        with self._lock:
            return not self._queue and not self._paused

    def lag(self, key: PartitionKey) -> int | None:
        with self._lock:
            return sum(len(values) for role, values, _ in self._queue if self._keys[role] == key)

    def pause_all(self) -> None:
        self._paused = True

    def resume_all(self) -> None:
        self._paused = False

    def keep_alive(self, timeout_ms: int) -> None: ...

    def rejoin(self) -> None:
        """What was taken and not written is refused; the clients send it again."""
        self._refuse(taken_only=True)
        self._assign()

    def close(self) -> None:
        self._closed = True
        self._refuse(taken_only=False)

    def _refuse(self, taken_only: bool) -> None:
        refused: list[Any] = []
        with self._lock:
            for waiting in self._unanswered.values():
                for _, rows, done in waiting:
                    self._rows -= rows
                    refused.append(done)
                waiting.clear()
            if not taken_only:
                for _, values, done in self._queue:
                    self._rows -= len(values)
                    refused.append(done)
                self._queue.clear()
        for done in refused:
            if not done.cancelled():
                done.set_exception(QueueFull("not stored; send it again"))
