"""Times as other systems write them."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(ms: int) -> str:
    """Milliseconds since 1970 UTC as RFC 3339, within the years that everybody can read."""
    bounded = min(max(ms, 0), 253_402_300_799_999)
    return datetime.fromtimestamp(bounded / 1000.0, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{bounded % 1000:03d}Z"
