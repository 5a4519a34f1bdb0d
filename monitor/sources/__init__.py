"""The sources of a config. Kafka's clients are imported only where one is used."""

from __future__ import annotations

from typing import Any

from monitor.config.model import Config, SourceSettings
from monitor.sources.base import Source, SourceError
from monitor.sources.file_follow import FileSource
from monitor.sources.http_queue import HttpSource

__all__ = ["Source", "SourceError", "build_sources"]


def build_sources(cfg: Config, clock: Any) -> list[Source]:
    """Sources, not started. Raises SecretMissing."""
    return [_build(settings, cfg, clock) for settings in cfg.sources]


def _build(settings: SourceSettings, cfg: Config, clock: Any) -> Source:
    if settings.type == "http":
        return HttpSource(settings.name, cfg.http.queue_rows, clock)
    if settings.type == "file":
        assert settings.path is not None
        return FileSource(settings.name, settings.carries, settings.path, settings.follow)
    return kafka_source(settings)


def kafka_source(settings: SourceSettings) -> Source:
    """The Kafka source through the client that the config names."""
    arguments: dict[str, Any] = {
        "name": settings.name,
        "carries": settings.carries,
        "topics": settings.topics,
        "bootstrap_servers": settings.bootstrap_servers,
        "group": settings.group,
        "start": settings.start,
        "options": settings.client_options(),
    }
    source: Source
    if settings.client == "confluent":
        from monitor.sources.kafka_confluent import ConfluentSource

        source = ConfluentSource(**arguments)
    else:
        from monitor.sources.kafka_python import KafkaPythonSource

        source = KafkaPythonSource(**arguments)
    if settings.dead_letter_topic is not None:
        from monitor.sources.dead_letter_topic import DeadLetterTopic

        options = arguments["options"]
        source.dead_letters = DeadLetterTopic(settings.dead_letter_topic, settings.bootstrap_servers, options)
    return source
