"""The trail of what people did and of what was told: one row a deed, and what deeds ask of who does them."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Table, insert, select

from alerts.silences import REASON_CHARS_MOST
from monitor.store.schema import alert_audit

PREFIX_LEAST = 6


def leave(
    conn: Connection, at_ms: int, kind: str, author: str, reason: str, *, alert: str = "", grp: str = "", model: str = "",
    detail: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write a row of the trail in the caller's transaction."""
    values = {"at_ms": at_ms, "kind": kind, "alert": alert, "grp": grp, "model": model, "author": author, "reason": reason}
    conn.execute(insert(alert_audit).values(**values, detail=json.dumps(detail or {})))


def require_short(name: str, value: str) -> None:
    """Raises ValueError where an optional text is longer than is kept."""
    if len(value) > REASON_CHARS_MOST:
        raise ValueError(f"{name} has {len(value)} characters, at most {REASON_CHARS_MOST} are kept")


def by_name(conn: Connection, table: Table, column: str, name: str) -> list[dict[str, Any]]:
    """The row of that name, or those (two at most) whose names begin with it, where it has PREFIX_LEAST characters."""
    c = table.c[column]
    found = conn.execute(select(table).where(c == name)).mappings().all()
    if not found and len(name) >= PREFIX_LEAST and name.replace("-", "").isalnum():
        found = conn.execute(select(table).where(c.startswith(name)).limit(2)).mappings().all()
    return [dict(row) for row in found]
