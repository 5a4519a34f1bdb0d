"""From which event time on a model's panes count in which reference: written once, so that replicas and replays agree.

A reference has `active_from_ms`, -1 where it never was in force. A pane counts in the one whose active_from_ms is the latest that
is not after the pane's start. Activating takes effect SWITCH_AFTER_MS ahead, so that every daemon has learned of it by then;
where the model has counted nothing yet it holds from the beginning of time.
"""

from __future__ import annotations

from sqlalchemy import Connection, and_, func, select, update

from monitor.store.schema import pane, reference, window

SWITCH_AFTER_MS = 120_000  # daemons look every LOOK_S of monitor/switching.py, and try again where the store is away


def activate(conn: Connection, model: str, name: str, now_ms: int, all_time: bool = False) -> int | None:
    """In the caller's transaction; returns from when on it holds (ms of event time), None where there is none of that name."""
    c = reference.c
    this = and_(c.model == model, c.name == name)
    if conn.execute(select(c.name).where(this)).first() is None:
        return None
    from_ms = 0 if all_time else _begins_ms(conn, model, now_ms)
    conn.execute(update(reference).where(c.model == model).values(active=False))
    conn.execute(update(reference).where(c.model == model, c.active_from_ms >= from_ms).values(active_from_ms=-1))
    conn.execute(update(reference).where(this).values(active=True, active_from_ms=from_ms))
    return from_ms


def _begins_ms(conn: Connection, model: str, now_ms: int) -> int:
    """Later than every pane that any partition has begun, and than now."""
    newest = conn.execute(select(func.max(pane.c.pane_start_ms)).where(pane.c.model == model)).scalar()
    published = conn.execute(select(func.max(window.c.start_ms)).where(window.c.model == model)).scalar()
    if newest is None and published is None:
        return 0
    return max(now_ms, int(newest or 0), int(published or 0)) + SWITCH_AFTER_MS
