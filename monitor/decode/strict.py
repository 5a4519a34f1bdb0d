"""Bytes of one message become JSON values, or are refused: depth, encoding, keys that stand twice, NaN."""

from __future__ import annotations

import json
from typing import Any

import orjson

from monitor.decode.settings import DecodeSettings
from monitor.decode.values import Refused

_KEYS = (b'"event_id"', b'"ts"', b'"model"', b'"features"', b'"prediction"', b'"label"')


def parse(value: bytes | None, settings: DecodeSettings) -> Any:
    """The JSON of one message. Raises Refused."""
    if value is None:
        raise Refused("undecodable", "the message has no value (a tombstone)")
    if len(value) > settings.message_bytes:
        raise Refused("too_large", f"{len(value)} bytes, limits.message_bytes allows {settings.message_bytes}")
    if value.count(b"{") + value.count(b"[") > settings.nesting_depth and _depth(value) > settings.nesting_depth:
        raise Refused("too_deep", f"nested deeper than limits.nesting_depth = {settings.nesting_depth}")
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        return _lenient(value, error)
    if b"\\u" in value:
        _storable(parsed)
    if any(value.count(key) > 1 for key in _KEYS):
        json.loads(value, object_pairs_hook=_unique)
    return parsed


def _lenient(value: bytes, error: Exception) -> Any:
    """NaN and Infinity are no JSON, but Python writes them, and 1e999 is JSON, but no float: let the model's `non_finite` decide."""
    if b"NaN" not in value and b"Infinity" not in value and "infinity" not in str(error):
        raise Refused("undecodable", f"not JSON: {error}") from None
    try:
        parsed = json.loads(value.decode("utf-8"), object_pairs_hook=_unique)
    except Refused:
        raise
    except (ValueError, RecursionError):
        raise Refused("undecodable", f"not JSON: {error}") from None
    if b"\\u" in value:
        _storable(parsed)
    return parsed


def _depth(value: bytes) -> int:
    """The greatest nesting of brackets outside strings."""
    deepest = depth = 0
    quoted = escaped = False
    for byte in value:
        if quoted:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                quoted = False
        elif byte == 0x22:
            quoted = True
        elif byte in (0x7B, 0x5B):
            depth += 1
            deepest = max(deepest, depth)
        elif byte in (0x7D, 0x5D):
            depth -= 1
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        keys = [k for k, _ in pairs]
        twice = next(k for k in keys if keys.count(k) > 1)
        raise Refused("undecodable", f"key {twice!r} stands twice in one object")
    return out


def _storable(value: Any) -> None:
    """Refuse strings that no database stores, and half of a surrogate pair, which is no character."""
    if isinstance(value, str):
        if "\0" in value:
            raise Refused("undecodable", "a string holds a NUL character, which no database stores")
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise Refused("undecodable", "a string holds half of a surrogate pair, which is no character")
    elif isinstance(value, dict):
        for key, item in value.items():
            _storable(key)
            _storable(item)
    elif isinstance(value, list):
        for item in value:
            _storable(item)
