"""Dead letters to a Kafka topic, beside the store: for those who mend and send again from there.

Sent once they are durable in the store. A crash between the two leaves some out of the topic; the store has all.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterable
from typing import Any

from confluent_kafka import KafkaException, Producer

from monitor.events import DeadLetter, PartitionKey
from monitor.logs import log_event

logger = logging.getLogger("driftd.kafka")
FLUSH_S = 5.0


class DeadLetterTopic:
    """Bounded by librdkafka's queue; what does not fit is counted in `left_out` and logged."""

    def __init__(self, topic: str, bootstrap_servers: str, options: dict[str, Any]) -> None:
        self._topic = topic
        self._settings = {**options, "bootstrap.servers": bootstrap_servers, "linger.ms": 50, "logger": logger}
        self._producer: Producer | None = None
        self.left_out = 0

    def send(self, key: PartitionKey, letters: Iterable[DeadLetter]) -> None:
        """Queue letters of one partition; returns at once."""
        if self._producer is None:
            self._producer = Producer(self._settings)
        for letter in letters:
            body = {
                "topic": key.topic,
                "partition": key.partition,
                "offset": letter.offset,
                "index": letter.index,
                "reason": letter.reason,
                "detail": letter.detail,
                "excerpt_base64": base64.b64encode(letter.excerpt).decode(),
            }
            try:
                self._producer.produce(self._topic, json.dumps(body).encode(), key=f"{key.topic}/{key.partition}".encode())
            except (BufferError, KafkaException) as error:
                self.left_out += 1
                log_event(logger, logging.WARNING, "dead_letter_not_sent", topic=self._topic, error=str(error))
        self._producer.poll(0)

    def close(self) -> None:
        if self._producer is not None:
            self._producer.flush(FLUSH_S)
