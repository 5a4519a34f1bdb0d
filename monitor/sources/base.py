"""The seam that every source fits: an ordered log of messages in partitions, read from a given offset.

Offsets come from the store, never from the source: on_assign claims partitions and says where to read on.
All methods but HttpSource.submit run on the data loop's thread; callbacks come from inside poll.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from monitor.events import DeadLetter, PartitionKey, RawBatch


class SourceError(RuntimeError):
    """A source that cannot go on; the message says what to do."""


class Listener(Protocol):
    """The data loop."""

    def on_assign(self, source: Source, keys: list[PartitionKey]) -> dict[PartitionKey, int]: ...
    def on_revoke(self, keys: list[PartitionKey]) -> None: ...
    def on_lost(self, keys: list[PartitionKey]) -> None: ...


class DeadLetterSink(Protocol):
    """See monitor/sources/dead_letter_topic.py."""

    def send(self, key: PartitionKey, letters: Iterable[DeadLetter]) -> None: ...
    def close(self) -> None: ...


class Source(Protocol):
    """One configured source."""

    name: str
    carries: str  # "events", "labels" or "both"
    dead_letters: DeadLetterSink | None  # where else dead letters go, once the store has them

    def start(self, listener: Listener) -> None:
        """Begin to read; partitions come through listener.on_assign, at once or from a later poll."""

    def role(self, key: PartitionKey) -> str:
        """Whether a partition carries "events" or "labels"."""

    def covers(self, key: PartitionKey) -> bool:
        """Whether a partition that the store knows under this source's name is still read by it."""

    def poll(self, max_rows: int, timeout_ms: int) -> list[tuple[str, RawBatch]]:
        """At most max_rows messages, each once and in order within a partition; waits up to timeout_ms."""

    def caught_up(self, key: PartitionKey, next_offset: int) -> bool:
        """Whether a partition is read to its end, its log reachable and not paused."""

    def lag(self, key: PartitionKey) -> int | None:
        """Messages that wait in a partition, None while unknown."""

    def reached(self) -> bool:
        """Whether the log answers, as far as this replica can tell."""

    def commit(self, offsets: dict[PartitionKey, int]) -> None:
        """These offsets are durable in the store. For lag tools and waiting requests; never read back."""

    def pause_all(self) -> None: ...
    def resume_all(self) -> None: ...

    def keep_alive(self, timeout_ms: int) -> None:
        """Stay a member of the group while paused."""

    def rejoin(self) -> None:
        """Leave the group and join it anew: another process owned what this one believed to own."""

    def close(self) -> None: ...
