"""JSON values become what columns hold. Each function raises Refused, which becomes a dead letter."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from monitor.decode.settings import ID_BYTES, LABEL_CHARS, MAX_TS_MS


class Refused(ValueError):
    """Why one event is refused: a value of monitor.events.REASONS, and where."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def kind(value: Any) -> str:
    """A JSON value's type in JSON's own words."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def event_id(value: Any) -> str:
    if value is None or value == "":
        raise Refused("missing_field", "event_id is missing; every event needs a unique string")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise Refused("wrong_type", f"event_id is {kind(value)}, must be a string")
    if len(value) > ID_BYTES // 4 and len(value.encode()) > ID_BYTES:
        raise Refused("wrong_type", f"event_id has {len(value)} characters, at most {ID_BYTES} bytes are allowed")
    return value


def time_ms(value: Any, name: str) -> int:
    """Milliseconds since 1970 as a number, or ISO 8601 (UTC where it names no zone)."""
    if isinstance(value, int) and not isinstance(value, bool):
        ms = value
    elif isinstance(value, float) and abs(value) < 1e18 and value == math.floor(value):  # neither NaN nor infinite
        ms = int(value)
    elif isinstance(value, str):
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            raise Refused("wrong_type", f"{name} is {value[:40]!r}, must be ISO 8601 or milliseconds") from None
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        since = at - datetime(1970, 1, 1, tzinfo=UTC)
        ms = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    elif value is None:
        raise Refused("missing_field", f"{name} is missing; write ISO 8601 or milliseconds since 1970")
    else:
        raise Refused("wrong_type", f"{name} is {kind(value)}, must be ISO 8601 or milliseconds")
    if not 0 <= ms < MAX_TS_MS:
        raise Refused("wrong_type", f"{name} is {ms} ms, must lie between 1970 and the year 9999")
    return ms


def text(value: Any, name: str, most_chars: int = LABEL_CHARS) -> str | None:
    """A class, category, version or segment: strings as they are, numbers and booleans as JSON writes them."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Refused("non_finite", f"{name} is {value}, must be finite")
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
    if not isinstance(value, str):
        raise Refused("wrong_type", f"{name} is {kind(value)}, must be a string")
    if len(value) > most_chars:
        raise Refused("wrong_type", f"{name} has {len(value)} characters, at most {most_chars} are allowed")
    if "\0" in value:
        raise Refused("undecodable", f"{name} holds a NUL character, which no database stores")
    return value


def number(value: Any, name: str, missing_ok: bool = False) -> float:
    """A number, NaN where it is null; booleans count as 0 and 1."""
    if value is None:
        return math.nan
    if isinstance(value, int | float):
        try:
            out = float(value)
        except OverflowError:
            out = math.inf
        if math.isfinite(out):
            return out
        if missing_ok:
            return math.nan
        raise Refused("non_finite", f"{name} is {out}, must be finite; `non_finite: missing` counts it as missing")
    raise Refused("wrong_type", f"{name} is {kind(value)}, must be a number")


def is_error(value: Any) -> bool:
    """status: "ok" or absent is none; an HTTP status is one from 400 on."""
    if value is None or isinstance(value, bool):
        return value is False
    if isinstance(value, int):
        return value >= 400
    if not isinstance(value, str):
        raise Refused("wrong_type", f"status is {kind(value)}, must be a string")
    return value != "ok"


def section(value: Any, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused("wrong_type", f"{name} is {kind(value)}, must be an object")
    return value
