"""The simulated server as a source of events and labels."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from monitor.events import PartitionKey, RawBatch
from monitor.simulate import SimulatedServer


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

    def reached(self) -> bool:
        return True

    def commit(self, offsets: dict[PartitionKey, int]) -> None: ...

    def pause_all(self) -> None:
        self._paused = True

    def resume_all(self) -> None:
        self._paused = False

    def keep_alive(self, timeout_ms: int) -> None: ...

    def rejoin(self) -> None:
        raise RuntimeError("the demo's store has another owner; stop the other demo")

    def close(self) -> None: ...
