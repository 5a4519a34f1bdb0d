"""`driftd check --connect`: try every service that the config names, change none."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from alerts.channels.registry import CHANNELS, check_address
from monitor.config import Config
from monitor.config.model import ChannelSettings, SourceSettings
from monitor.config.secret import SecretMissing

TIMEOUT_S = 8.0
NOT_TRIED = "not tried: it connects to nowhere"


def try_all(cfg: Config) -> Iterator[tuple[str, str | None]]:
    """(what, what is wrong with it, None, or NOT_TRIED) for the store, each source and each channel."""
    yield "store", _try_store(cfg)
    for source in cfg.sources:
        if source.type == "kafka":
            yield f"source {source.name}", _try_kafka(source)
        elif source.type == "file":
            there = source.path is not None and source.path.exists()
            yield f"source {source.name}", None if there or source.follow else f"{source.path} does not exist"
    for name, channel in cfg.alerts.channels.items():
        yield f"channel {name}", _try_channel(channel)


def _try_store(cfg: Config) -> str | None:
    try:
        url = cfg.store.sqlalchemy_url()
        if url.get_backend_name() == "sqlite":
            from pathlib import Path

            folder = Path(url.database or "").resolve().parent
            while not folder.exists():
                folder = folder.parent
            import os

            return None if os.access(folder, os.W_OK) else f"{folder} cannot be written"
        arguments = {"connect_timeout": int(TIMEOUT_S)}
        engine = create_engine(url.set(drivername="postgresql+psycopg"), connect_args=arguments, hide_parameters=True)
        with engine.connect() as conn:
            conn.execute(text("SELECT 1"))
        return None
    except SecretMissing as error:
        return str(error)
    except SQLAlchemyError as error:
        return " ".join(str(getattr(error, "orig", error)).split())[:300]


def _try_kafka(source: SourceSettings) -> str | None:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        options = source.client_options()
        admin = AdminClient({**options, "bootstrap.servers": source.bootstrap_servers, "logger": _quiet()})
        found = admin.list_topics(timeout=TIMEOUT_S).topics
    except SecretMissing as error:
        return str(error)
    except KafkaException as error:
        return f"{source.bootstrap_servers}: {error.args[0].str()}"
    missing = [t for t in source.topics if t not in found]
    return f"no such topic: {', '.join(missing)}" if missing else None


def _quiet() -> Any:
    import logging

    logger = logging.getLogger("driftd.connect")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def _try_channel(channel: ChannelSettings) -> str | None:
    """Whether its host answers; nothing is sent."""
    try:
        options = channel.options()
    except SecretMissing as error:
        return str(error)
    url = CHANNELS[channel.type].address(options)
    if not url:
        return NOT_TRIED
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        check_address(channel.type, options)
        with socket.create_connection((parts.hostname or "", port), timeout=TIMEOUT_S):
            return None
    except ValueError as error:
        return str(error)
    except OSError as error:
        return f"{parts.hostname}:{port} does not answer: {error.strerror or error}"
