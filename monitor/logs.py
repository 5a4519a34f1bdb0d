"""Logs: an event name and fields, as one JSON object a line or as text for people. Never payloads or secrets."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

PERIOD_S = 10.0
EVENTS_PER_PERIOD = 200


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        line = {
            "ts": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update({k: v for k, v in fields.items() if k not in line})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        words = " ".join(f"{k}={_word(v)}" for k, v in fields.items())
        text = f"{_time(record)} {record.levelname:<7} {_plain(record.getMessage())} {words}".rstrip()
        return text + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _plain(text: str) -> str:
    """Text without control characters: a name with a newline in it must not look like a second line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _word(value: Any) -> str:
    text = _plain(str(value))
    return json.dumps(text, ensure_ascii=False) if " " in text or not text else text


class _Limit(logging.Filter):
    """At most EVENTS_PER_PERIOD lines of one event in a period; the next one says how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        key = (record.name, str(record.msg)[:100])
        started, count = self._seen.get(key, (record.created, 0))
        if record.created - started >= PERIOD_S:
            if count > EVENTS_PER_PERIOD:
                record.fields = {**getattr(record, "fields", {}), "left_out": count - EVENTS_PER_PERIOD}
            started, count = record.created, 0
        if len(self._seen) > 1000:
            self._seen.clear()
        self._seen[key] = (started, count + 1)
        return count < EVENTS_PER_PERIOD


def setup(format: str, level: str) -> None:
    """Log to standard error. format: "json" or "console"."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if format == "json" else _TextFormatter())
    handler.addFilter(_Limit())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("driftd").setLevel(level.upper())


def for_a_command() -> None:
    """Warnings and errors of a command that is no daemon: a line of text each with its fields, not the event's name alone."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_TextFormatter())


def log_event(logger: logging.Logger, level: int, event: str, **fields: Any) -> None:
    """Log one event with its fields."""
    logger.log(level, event, extra={"fields": fields})
