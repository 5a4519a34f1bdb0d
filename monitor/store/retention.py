"""What is old goes, in small transactions: panes and seen ids by event time, the rest by the wall clock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, func, select, text

from monitor.store.errors import DATABASE_ERRORS, classify
from monitor.store.samples import forget_rows
from monitor.store.schema import cursor, pane

DAY_MS = 86_400_000
_OLD_SLOTS = {
    "postgresql": "DELETE FROM join_slot WHERE greatest(ts_ms, label_ts_ms) < :before",
    "sqlite": "DELETE FROM join_slot WHERE max(ts_ms, label_ts_ms) < :before",
}
_OVERFLOW = """DELETE FROM join_slot WHERE id IN (
  SELECT id FROM join_slot WHERE label_ts_ms = -9223372036854775808 AND model = :model ORDER BY ts_ms LIMIT :excess)"""


def retire(
    engine: Engine,
    now_ms: int,
    panes_ms: int,
    windows_ms: int,
    dead_letters_ms: int,
    wait_ms: dict[str, int],
    max_pending: dict[str, int],
    sample_keep_ms: dict[str, int],
) -> dict[str, int]:
    """Delete what is over its age; returns rows removed by table, and panes that lost their sample of rows.

    Panes are kept at least a day longer than labels are waited for: a late label needs its pane.
    """
    removed: dict[str, int] = {}

    def run(name: str, statement: str, **values: Any) -> None:
        try:
            with engine.begin() as conn:
                removed[name] = removed.get(name, 0) + conn.execute(text(statement), values).rowcount
        except DATABASE_ERRORS as error:
            raise classify(error) from error

    try:
        with engine.execution_options(reads=True).connect() as conn:
            newest = dict(
                conn.execute(
                    select(pane.c.model, func.max(pane.c.pane_start_ms)).where(pane.c.model != "").group_by(pane.c.model)
                ).all()
            )
            clock = conn.execute(
                select(func.min(cursor.c.max_ts_ms)).where(cursor.c.role == "events", cursor.c.max_ts_ms.is_not(None))
            ).scalar()
            overflow = _overflow(conn, max_pending)
    except DATABASE_ERRORS as error:
        raise classify(error) from error
    for model, last in newest.items():
        age = max(panes_ms, wait_ms.get(model, 0) + DAY_MS)
        run("pane", "DELETE FROM pane WHERE model = :m AND pane_start_ms < :t AND NOT unsettled", m=model, t=last - age)
    try:
        removed["samples"] = forget_rows(engine, now_ms, newest, sample_keep_ms)
    except DATABASE_ERRORS as error:
        raise classify(error) from error
    old = "published_ms < :t"
    run(
        "score",
        f"DELETE FROM score WHERE EXISTS (SELECT 1 FROM model_window w WHERE w.model = score.model "
        f"AND w.start_ms = score.window_start_ms AND w.{old})",
        t=now_ms - windows_ms,
    )
    run("model_window", f"DELETE FROM model_window WHERE {old}", t=now_ms - windows_ms)
    run(
        "reference_score",
        "DELETE FROM reference_score WHERE (model, reference) NOT IN (SELECT DISTINCT model, reference FROM model_window)",
    )
    age = max(panes_ms, max(wait_ms.values(), default=0) + DAY_MS)  # a window that a late label revises needs them again
    run("resource_sample", "DELETE FROM resource_sample WHERE ts_ms < :t", t=now_ms - age)
    run("alert_history", "DELETE FROM alert_history WHERE at_ms < :t", t=now_ms - windows_ms)
    run("alert_audit", "DELETE FROM alert_audit WHERE at_ms < :t", t=now_ms - windows_ms)
    run("silence", "DELETE FROM silence WHERE ends_ms < :t", t=now_ms - windows_ms)
    run("outbox", "DELETE FROM outbox WHERE state <> 'due' AND created_ms < :t", t=now_ms - windows_ms)
    run("dead_letter", "DELETE FROM dead_letter WHERE at_ms < :t", t=now_ms - dead_letters_ms)
    if clock is not None and wait_ms:
        before = int(clock) - max(wait_ms.values()) - DAY_MS
        run("join_slot", _OLD_SLOTS[engine.dialect.name], before=before)
    for model_id, excess in overflow.items():
        run("pending_overflow", _OVERFLOW, model=model_id, excess=excess)
    return {name: rows for name, rows in removed.items() if rows}


def _overflow(conn: Connection, max_pending: dict[str, int]) -> dict[int, int]:
    """How many predictions too many wait for a label, by the model's number."""
    if not max_pending:
        return {}
    ids = {t: i for i, t in conn.execute(text("SELECT id, text FROM term")).all() if t in max_pending}
    found = conn.execute(
        text("SELECT model, count(*) FROM join_slot WHERE label_ts_ms = -9223372036854775808 GROUP BY model")
    ).all()
    waiting = {m: n for m, n in found}
    return {
        number: waiting[number] - max_pending[name] for name, number in ids.items() if waiting.get(number, 0) > max_pending[name]
    }
