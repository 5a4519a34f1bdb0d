"""Kafka through kafka-python, which is Python alone: no compiled library is needed."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
)
from kafka.structs import OffsetAndMetadata

from monitor.events import PartitionKey, RawBatch
from monitor.logs import log_event
from monitor.sources.base import DeadLetterSink, Listener, SourceError
from monitor.sources.order import batch_of

logger = logging.getLogger("driftd.kafka")
JOIN_MS = 1_500
ASK_EVERY_S = 5.0
# names that differ between the clients beyond dots and underscores
_RENAMED = {
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "sasl.mechanisms": "sasl_mechanism",
    "ssl.ca.location": "ssl_cafile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.key.location": "ssl_keyfile",
    "ssl.key.password": "ssl_password",
}


class KafkaPythonSource:
    """See monitor.sources.base.Source."""

    def __init__(
        self, name: str, carries: str, topics: list[str], bootstrap_servers: str, group: str, start: str,
        options: dict[str, Any],
    ) -> None:  # fmt: skip
        self.name, self.carries = name, carries
        self.dead_letters: DeadLetterSink | None = None
        self._topics, self._start = topics, start
        self._config: dict[str, Any] = {
            "fetch_max_wait_ms": 100,
            "max_partition_fetch_bytes": 8 << 20,
            "session_timeout_ms": 45_000,
            **{_RENAMED.get(k, k.replace(".", "_")): v for k, v in options.items()},
            "bootstrap_servers": bootstrap_servers.split(","),
            "group_id": group,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",  # a hole in the log is never skipped in silence
        }
        self._position: dict[PartitionKey, int] = {}
        self._carried: list[tuple[str, RawBatch]] = []
        self._paused = False
        self._in_callback = False
        self._asked_at = 0.0
        self._answered = False

    def start(self, listener: Listener) -> None:
        self._listener = listener
        deadline = time.monotonic() + 60.0
        while True:
            try:
                self._consumer = KafkaConsumer(**self._config)
                break
            except (KafkaError, TypeError, AssertionError, ValueError) as error:
                if not getattr(error, "retriable", False) or time.monotonic() > deadline:
                    raise SourceError(f"source {self.name}: {error}; see sources[].options") from error
                time.sleep(1.0)
        self._subscribe()

    def _subscribe(self) -> None:
        source = self

        class Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]
            def on_partitions_assigned(self, assigned: Any) -> None:
                source._on_assign(assigned)

            def on_partitions_revoked(self, revoked: Any) -> None:
                source._on_revoke(revoked)

            def on_partitions_lost(self, lost: Any) -> None:
                source._on_lost(lost)

        self._consumer.subscribe(self._topics, listener=Rebalance())

    def covers(self, key: PartitionKey) -> bool:
        return key.topic in self._topics

    def role(self, key: PartitionKey) -> str:
        return self.carries

    def _keys(self, partitions: Any) -> list[PartitionKey]:
        return sorted(PartitionKey(self.name, p.topic, p.partition) for p in partitions)

    def _on_assign(self, partitions: Any) -> None:
        keys = [k for k in self._keys(partitions) if k not in self._position]
        if not keys:
            return
        self._in_callback = True
        try:
            offsets = self._listener.on_assign(self, keys)
        finally:
            self._in_callback = False
        for key in keys:
            partition = TopicPartition(key.topic, key.partition)
            self._position[key] = max(0, offsets[key])
            if offsets[key] >= 0:
                self._consumer.seek(partition, offsets[key])
            elif self._start == "earliest":
                self._consumer.seek_to_beginning(partition)
            else:
                self._consumer.seek_to_end(partition)

    def _on_revoke(self, partitions: Any) -> None:
        self._leave(self._keys(partitions), lost=False)

    def _on_lost(self, partitions: Any) -> None:
        self._leave(self._keys(partitions), lost=True)

    def _leave(self, keys: list[PartitionKey], lost: bool) -> None:
        owned = [k for k in keys if k in self._position]
        if owned:
            self._in_callback = True
            try:
                (self._listener.on_lost if lost else self._listener.on_revoke)(owned)
            finally:
                self._in_callback = False
        for key in owned:
            self._position.pop(key, None)

    def poll(self, max_rows: int, timeout_ms: int) -> list[tuple[str, RawBatch]]:
        carried, self._carried = self._carried, []
        return carried + self._fetch(max_rows, timeout_ms)

    def _fetch(self, max_rows: int, timeout_ms: int) -> list[tuple[str, RawBatch]]:
        # kafka-python 3.0.12 forgets for ever an assignment that arrives while no poll waits: one that waits for its first is patient
        wait_ms = timeout_ms if self._position or self._paused else max(timeout_ms, JOIN_MS)
        try:
            found = self._consumer.poll(timeout_ms=wait_ms, max_records=max_rows)
        except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
            raise SourceError(
                f"source {self.name}: the log no longer holds the offset that the store expects ({error}). Messages "
                "were deleted before they were read, or the topic was made anew. To go on without them, delete the "
                "partition's row in partition_cursor."
            ) from error
        except (TopicAuthorizationFailedError, GroupAuthorizationFailedError, SaslAuthenticationFailedError) as error:
            raise SourceError(f"source {self.name}: {error}; see sources[].options and the group's rights") from error
        except KafkaError as error:
            log_event(logger, logging.WARNING, "kafka", source=self.name, error=str(error))
            return []
        out = []
        for partition, records in found.items():
            key = PartitionKey(self.name, partition.topic, partition.partition)
            if key not in self._position or not records:
                continue
            batch = batch_of(
                key,
                [r.offset for r in records],
                [r.timestamp for r in records],
                [r.value for r in records],
                self._position[key],
            )
            if batch is not None:
                self._position[key] = batch.next_offset
                out.append((self.carries, batch))
        return out

    def caught_up(self, key: PartitionKey, next_offset: int) -> bool:
        if self._paused or key not in self._position or not self._reachable():
            return False
        high = self._consumer.highwater(TopicPartition(key.topic, key.partition))
        return high is not None and max(0, next_offset) >= high

    def _reachable(self) -> bool:
        """Whether a broker answers, asked at most every few seconds: its silence is not idleness."""
        now = time.monotonic()
        if now - self._asked_at > ASK_EVERY_S:
            self._asked_at, self._answered = now, False
            for server in self._config["bootstrap_servers"]:
                host, _, port = server.strip().rpartition(":")
                with contextlib.suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=0.5):
                    self._answered = True
                    break
        return self._answered

    def lag(self, key: PartitionKey) -> int | None:
        if key not in self._position:
            return None
        high = self._consumer.highwater(TopicPartition(key.topic, key.partition))
        return None if high is None else max(0, high - self._position[key])

    def reached(self) -> bool:
        return self._reachable()

    def commit(self, offsets: dict[PartitionKey, int]) -> None:
        with contextlib.suppress(KafkaError, AssertionError):  # for lag tools only
            self._consumer.commit_async(
                {TopicPartition(k.topic, k.partition): OffsetAndMetadata(n, "", -1) for k, n in offsets.items()}
            )

    def pause_all(self) -> None:
        self._paused = True
        with contextlib.suppress(KafkaError):
            self._consumer.pause(*self._consumer.assignment())

    def resume_all(self) -> None:
        self._paused = False
        with contextlib.suppress(KafkaError):
            self._consumer.resume(*self._consumer.assignment())

    def keep_alive(self, timeout_ms: int) -> None:
        if self._in_callback:
            time.sleep(timeout_ms / 1000.0)
            return
        self._carried += self._fetch(1000, timeout_ms)

    def rejoin(self) -> None:
        self._carried.clear()
        self._position.clear()
        self._consumer.unsubscribe()
        self._subscribe()

    def close(self) -> None:
        with contextlib.suppress(KafkaError):
            self._consumer.close(autocommit=False)
