"""Kafka through confluent-kafka (librdkafka)."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from itertools import chain, pairwise, repeat
from operator import is_not, itemgetter
from typing import Any

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from detectors.columns import Ints
from monitor.events import PartitionKey, RawBatch
from monitor.logs import log_event
from monitor.sources.base import DeadLetterSink, Listener, SourceError
from monitor.sources.order import batch_of

logger = logging.getLogger("driftd.kafka")
DEFAULTS = {
    "queued.max.messages.kbytes": 8_192,  # memory of messages fetched ahead, each partition
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 5,
    "session.timeout.ms": 45_000,
    "max.poll.interval.ms": 300_000,
    "socket.keepalive.enable": True,
    "allow.auto.create.topics": False,
}
ASK_EVERY_S = 5.0
CHUNK_ROWS = 1_000  # messages that stay in the cache while they are taken apart
TOPIC_BITS = 32  # a place is a topic's number above a partition's
FATAL = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
}


class ConfluentSource:
    """See monitor.sources.base.Source."""

    def __init__(
        self, name: str, carries: str, topics: list[str], bootstrap_servers: str, group: str, start: str,
        options: dict[str, Any],
    ) -> None:  # fmt: skip
        self.name, self.carries = name, carries
        self.dead_letters: DeadLetterSink | None = None
        self._topics = topics
        self._start = OFFSET_BEGINNING if start == "earliest" else OFFSET_END
        self._config = {
            **DEFAULTS,
            **options,
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",  # a hole in the log is never skipped in silence
            "enable.partition.eof": True,
            "partition.assignment.strategy": "range",
            "error_cb": self._on_error,
            "logger": logger,
        }
        self._position: dict[PartitionKey, int] = {}
        self._end: dict[PartitionKey, int] = {}
        self._carried: list[Any] = []
        self._in_callback = False
        self._reachable = True
        self._paused = self._joined = False
        self._asked_at = 0.0
        self._fatal: str | None = None

    def start(self, listener: Listener) -> None:
        self._listener = listener
        try:
            self._consumer = Consumer(self._config)
        except KafkaException as error:
            raise SourceError(f"source {self.name}: {error.args[0].str()}; see sources[].options") from error
        self._subscribe()

    def _subscribe(self) -> None:
        self._consumer.subscribe(self._topics, on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)

    def covers(self, key: PartitionKey) -> bool:
        return key.topic in self._topics

    def role(self, key: PartitionKey) -> str:
        return self.carries

    # callbacks of librdkafka, from inside consume()

    def _key(self, partition: TopicPartition) -> PartitionKey:
        return PartitionKey(self.name, partition.topic, partition.partition)

    @contextlib.contextmanager
    def _callback(self) -> Iterator[None]:
        self._in_callback = True
        try:
            yield
        finally:
            self._in_callback = False

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        with self._callback():
            self._joined = self._reachable = True
            offsets = self._listener.on_assign(self, [self._key(p) for p in partitions])
            for p in partitions:
                key = self._key(p)
                self._position[key] = max(0, offsets[key])
                self._end.pop(key, None)
                p.offset = offsets[key] if offsets[key] >= 0 else self._start
            consumer.assign(partitions)
            if partitions:  # librdkafka remembers of each whether it was paused when it was taken away
                (consumer.pause if self._paused else consumer.resume)(partitions)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        with self._callback():
            keys = [self._key(p) for p in partitions]
            self._listener.on_revoke(keys)
            self._drop(keys)
            consumer.unassign()

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        with self._callback():
            keys = [self._key(p) for p in partitions]
            self._listener.on_lost(keys)
            self._drop(keys)
            consumer.unassign()

    def _drop(self, keys: list[PartitionKey]) -> None:
        for key in keys:
            self._position.pop(key, None)
            self._end.pop(key, None)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._reachable = False
        refused = error.code() == KafkaError._AUTHENTICATION and not self._joined  # later it may pass by itself
        if error.fatal() or error.code() in FATAL or refused:
            self._fatal = error.str()
        log_event(logger, logging.WARNING, "kafka", source=self.name, error=error.str())

    # reading

    def poll(self, max_rows: int, timeout_ms: int) -> list[tuple[str, RawBatch]]:
        taken, until = _Taken(), time.monotonic() + timeout_ms / 1000.0
        while taken.rows < max_rows:
            messages, self._carried = self._carried, []
            asked = min(CHUNK_ROWS, max_rows - taken.rows)
            messages += self._consumer.consume(asked, max(0.0, until - time.monotonic()))
            if self._fatal is not None:
                raise SourceError(f"source {self.name}: {self._fatal}; see sources[].options and the group's rights")
            in_time = len(messages) >= asked
            taken.add(self._without_errors(messages))
            if not in_time:
                break
        out = []
        for (topic, number), (offsets, times, values) in taken.by_partition().items():
            key = PartitionKey(self.name, topic, number)
            if key not in self._position:  # revoked while these were on their way
                continue
            batch = batch_of(key, offsets, times, values, self._position[key])
            if batch is not None:
                self._reachable = True
                self._position[key] = batch.next_offset
                out.append((self.carries, batch))
        return out

    def _without_errors(self, messages: list[Any]) -> list[Any]:
        errors = list(map(Message.error, messages))
        if not any(map(is_not, errors, repeat(None))):
            return messages
        for message, error in zip(messages, errors, strict=True):
            if error is not None:
                self._take_error(message, error)
        return [m for m, error in zip(messages, errors, strict=True) if error is None]

    def _take_error(self, message: Any, error: KafkaError) -> None:
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            self._reachable = True
            self._end[PartitionKey(self.name, message.topic(), message.partition())] = message.offset()
        elif code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise SourceError(
                f"source {self.name}: {message.topic()}/{message.partition()} no longer holds the offset that the "
                f"store expects ({error.str()}). Messages were deleted before they were read, or the topic was made "
                "anew. To go on without them, delete the partition's row in partition_cursor."
            )
        elif code in FATAL:
            raise SourceError(f"source {self.name}: {error.str()}; see sources[].options and the group's rights")
        else:
            log_event(logger, logging.WARNING, "kafka", source=self.name, error=error.str())

    def caught_up(self, key: PartitionKey, next_offset: int) -> bool:
        at_end = self._end.get(key, -1) >= max(0, next_offset)
        return at_end and not self._paused and self._answers()

    def _answers(self) -> bool:
        """Ask the broker, at most every few seconds: silence of a broker that is away is not idleness."""
        now = time.monotonic()
        if not self._reachable and now - self._asked_at > ASK_EVERY_S:
            self._asked_at = now
            with contextlib.suppress(KafkaException):
                self._consumer.list_topics(self._topics[0], timeout=0.5)
                self._reachable = True
        return self._reachable

    def lag(self, key: PartitionKey) -> int | None:
        if key not in self._position:
            return None
        try:
            _, high = self._consumer.get_watermark_offsets(TopicPartition(key.topic, key.partition), cached=True)
        except KafkaException:
            return None
        return max(0, high - self._position[key]) if high >= 0 else None

    def reached(self) -> bool:
        return self._answers() and self._joined

    def commit(self, offsets: dict[PartitionKey, int]) -> None:
        with contextlib.suppress(KafkaException):  # for lag tools only
            self._consumer.commit(offsets=[TopicPartition(k.topic, k.partition, n) for k, n in offsets.items()], asynchronous=True)

    def pause_all(self) -> None:
        with contextlib.suppress(KafkaException):
            self._consumer.pause(self._consumer.assignment())
        self._paused = True

    def resume_all(self) -> None:
        self._paused = False
        with contextlib.suppress(KafkaException):
            self._consumer.resume(self._consumer.assignment())

    def keep_alive(self, timeout_ms: int) -> None:
        if self._in_callback:  # librdkafka must not be entered again
            time.sleep(timeout_ms / 1000.0)
            return
        message = self._consumer.poll(timeout_ms / 1000.0)
        if message is not None:  # of partitions that came during the pause, whose end is said only once
            self._carried += self._without_errors([message])

    def rejoin(self) -> None:
        self._carried.clear()
        self._drop(list(self._position))
        self._consumer.unsubscribe()
        self._consumer.unassign()
        self._subscribe()

    def close(self) -> None:
        with contextlib.suppress(KafkaException, RuntimeError):
            self._consumer.close()


class _Taken:
    """Offsets, times and values of messages, as they came. No Python code runs for each message."""

    def __init__(self) -> None:
        self.rows = 0
        self._offsets: list[Ints] = []
        self._times: list[Ints] = []
        self._places: list[Ints] = []
        self._values: list[bytes | None] = []
        self._topics: dict[str | None, int] = {}

    def add(self, messages: list[Any]) -> None:
        rows = len(messages)
        if not rows:
            return
        self.rows += rows
        self._offsets.append(np.fromiter(map(Message.offset, messages), dtype=np.int64, count=rows))
        self._times.append(np.fromiter(map(itemgetter(1), map(Message.timestamp, messages)), dtype=np.int64, count=rows))
        self._values += map(Message.value, messages)
        places = np.fromiter(map(Message.partition, messages), dtype=np.int64, count=rows)
        topics = list(map(Message.topic, messages))
        if topics.count(topics[0]) == rows:
            places += self._number(topics[0]) << TOPIC_BITS
        else:
            places += np.fromiter(map(self._number, topics), dtype=np.int64, count=rows) << TOPIC_BITS
        self._places.append(places)

    def _number(self, topic: str | None) -> int:
        return self._topics.setdefault(topic, len(self._topics))

    def by_partition(self) -> dict[tuple[str, int], tuple[Ints, Ints, list[bytes | None]]]:
        """Offsets, times and values of each (topic, partition), in order."""
        if not self.rows:
            return {}
        offsets, times, places = map(np.concatenate, (self._offsets, self._times, self._places))
        names = list(self._topics)
        # a client hands over what one fetch brought, partition by partition: few runs of equal places
        cuts = [0, *(np.flatnonzero(np.diff(places)) + 1).tolist(), self.rows]
        runs: dict[int, list[slice]] = {}
        for first, end in pairwise(cuts):
            runs.setdefault(int(places[first]), []).append(slice(first, end))
        out = {}
        for place, slices in runs.items():
            rows = np.concatenate([np.arange(s.start, s.stop) for s in slices])
            values = list(chain.from_iterable(self._values[s] for s in slices))
            out[names[place >> TOPIC_BITS] or "", place & ((1 << TOPIC_BITS) - 1)] = (offsets[rows], times[rows], values)
        return out
