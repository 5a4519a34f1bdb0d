"""Whether the daemon lives and is ready. Written by the data loop, read by the web's thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

STALL_S = 120.0


class Health:
    """healthy: the data loop turns.

    ready: the store answers, partitions are assigned, and how far behind they are is known.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._turned = monotonic()
        self._store = False
        self._assigned = False
        self._lag_known = False

    def turned(self) -> None:
        """The data loop has come round."""
        self._turned = self._monotonic()

    def set_store(self, answers: bool) -> None:
        self._store = answers

    def set_assigned(self, assigned: bool) -> None:
        self._assigned = assigned

    def set_lag_known(self, known: bool) -> None:
        self._lag_known = known

    def healthy(self) -> bool:
        return self._monotonic() - self._turned < STALL_S

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether to send traffic, and why not."""
        state = {"store": self._store, "assigned": self._assigned, "lag_known": self._lag_known, "loop": self.healthy()}
        return all(state.values()), dict(state)
