"""Lists in pages. A page is some rows and the cursor of the next one (None at the end).

Cursors are opaque: the order's columns of the page's last row. They stay valid while new rows come.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from sqlalchemy import Connection, Select

PAGE_MOST = 1000
Page = tuple[list[dict[str, Any]], str | None]


class BadCursor(ValueError):
    """A cursor that no page gave."""


def page(conn: Connection, query: Select[Any], limit: int, keys: tuple[str, ...]) -> Page:
    """The query's first rows. keys: its order; the first is a number, the others are texts."""
    limit = max(1, min(limit, PAGE_MOST))
    rows = [dict(r) for r in conn.execute(query.limit(limit + 1)).mappings()]
    following = _pack([rows[limit - 1][k] for k in keys]) if len(rows) > limit else None
    return rows[:limit], following


def _pack(values: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def unpack(text: str, length: int) -> list[Any]:
    """Raises BadCursor."""
    try:
        values: Any = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError) as error:
        raise BadCursor("cursor: give the `next` of the page before, as it stands") from error
    good = isinstance(values, list) and len(values) == length and all(isinstance(v, int | str) for v in values)
    if not good or isinstance(values[0], str) or any(isinstance(v, int) and abs(v) > 2**62 for v in values):
        raise BadCursor("cursor: give the `next` of the page before, as it stands")
    if not all(isinstance(v, str) for v in values[1:]) or any("\0" in v for v in values[1:]):
        raise BadCursor("cursor: give the `next` of the page before, as it stands")
    return list(values)
