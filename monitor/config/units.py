"""Durations and sizes as people write them: 250ms, 10s, 5m, 6h, 7d; 4096, 512KB, 1MB."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}
_BYTES = {"": 1, "B": 1, "KB": 1_000, "MB": 1_000_000, "GB": 10**9, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


def parse_duration(value: Any) -> int:
    """A duration in ms. Raises ValueError."""
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*", value)
        if found:
            ms = float(found[1]) * _MS[found[2]]
            if ms == int(ms):
                return int(ms)
    raise ValueError(f"{value!r} is no duration; write a number and a unit: 250ms, 10s, 5m, 6h, 7d")


def parse_size(value: Any) -> int:
    """A size in bytes. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?I?B|)\s*", value.upper())
        if found:
            return int(float(found[1]) * _BYTES[found[2]])
    raise ValueError(f"{value!r} is no size; write bytes, or a number and a unit: 4096, 512KB, 1MB")


def write_duration(ms: int) -> str:
    """The shortest way to write a duration."""
    for unit in ("w", "d", "h", "m", "s"):
        if ms and ms % _MS[unit] == 0 and unit != "w":
            return f"{ms // _MS[unit]}{unit}"
    return f"{ms}ms"


Duration = Annotated[int, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
