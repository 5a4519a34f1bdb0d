"""How long partitions have been read to their end without a word: what says that they hold windows back no longer.

The time in which the store was away counts for nothing: nobody listened. The clocks stand still and go on where they stood,
so a store that fails again and again, each time before the idle timeout, does not keep the last windows open for ever. After it
is back a partition gets a moment to say what it has: what came meanwhile is at the broker, and no client tells of it before a fetch.

The moment starts anew with each failure. The store is asked at checkpoints, whose interval (5 s by default) is longer than the
moment, so the last windows do close; while it fails at every checkpoint and these follow each other faster than that, they wait.
"""

from __future__ import annotations

from monitor.events import PartitionKey

GRACE_S = 2.0  # a fetch after sources are resumed takes at most half a second of waiting at the broker


class Idleness:
    """Times are of one monotonic clock, in seconds."""

    def __init__(self, timeout_ms: int) -> None:
        self._timeout_s = timeout_ms / 1000.0
        self._since: dict[PartitionKey, float] = {}
        self._away_since: float | None = None

    def busy(self, key: PartitionKey) -> None:
        """It has something to read, or is no longer ours, or newly so."""
        self._since.pop(key, None)

    def quiet(self, key: PartitionKey, now: float) -> bool:
        """It is read to its end: whether it has been so for the timeout."""
        return now - self._since.setdefault(key, now) >= self._timeout_s

    def store_away(self, now: float) -> None:
        if self._away_since is None:
            self._away_since = now

    def store_back(self, now: float) -> None:
        if self._away_since is None:
            return
        away = now - self._away_since
        earliest = now - self._timeout_s + min(GRACE_S, self._timeout_s / 2.0)
        self._since = {key: max(since + away, earliest) for key, since in self._since.items()}
        self._away_since = None
