"""What a digest needs of the store: what models did in a period, and the note that it was told. `store.digests` has these.

Told once: the mark `digest:NAME` of model_state, written in the messages' transaction, makes the second of two replicas wait
and then find it; it outlives the outbox's rows, whose keys are unique besides.
"""

from __future__ import annotations

from sqlalchemy import Connection, case, func, select, text

from alerts.digest import ModelFacts
from monitor.checkpoint import OutboxRow
from monitor.store.publish import enqueue
from monitor.store.schema import alert, alert_history, each_row_once, model_state, retrain, score, window
from monitor.store.transactions import Transactions

WORST_MOST = 20  # bad scores that are read of a model
_MARK = text(
    """INSERT INTO model_state (model, name, blob) VALUES ('', :name, :blob)
    ON CONFLICT (model, name) DO UPDATE SET blob = excluded.blob WHERE model_state.blob <> excluded.blob"""
)
OPEN = ("firing", "acknowledged")


class Digests(Transactions):
    """Each call is one short transaction. Raises StoreUnavailable, StoreError."""

    def told_until(self, name: str) -> int:
        """The end (ms) of the last period that this digest told; -1 if none."""
        with self._reading() as conn:
            return _told(conn, name)

    def facts(self, models: dict[str, int], start_ms: int, end_ms: int) -> list[ModelFacts]:
        """One entry a model. Alerts and retrains count by when they moved; windows by when they are published at the latest.

        models: name -> ms from a window's start to that. So the one that closes just after the end is told by the next digest.
        """
        with self._reading() as conn:
            return [_facts(conn, model, start_ms, end_ms, after_ms) for model, after_ms in models.items()]

    def began(self, models: list[str], end_ms: int) -> bool:
        """Whether any of the models had a window before end_ms: a daemon that is new has nothing to tell."""
        c = window.c
        with self._reading() as conn:
            query = select(c.model).where(c.model.in_(models), c.start_ms < end_ms).limit(1)
            return conn.execute(query).first() is not None

    def tell(self, name: str, end_ms: int, rows: list[OutboxRow]) -> bool:
        """Write messages and mark; False where another replica was first."""
        with self._writing() as conn:
            if _told(conn, name) >= end_ms:
                return False
            marked = conn.execute(_MARK, {"name": f"digest:{name}", "blob": str(end_ms).encode()}).rowcount == 1
            if marked and rows:
                enqueue(conn, rows)
            return marked


def _told(conn: Connection, name: str) -> int:
    c = model_state.c
    found = conn.execute(select(c.blob).where(c.model == "", c.name == f"digest:{name}")).scalar()
    return -1 if found is None else int(bytes(found))


def _facts(conn: Connection, model: str, start_ms: int, end_ms: int, after_ms: int) -> ModelFacts:
    w = window.c
    once = [case((each_row_once(), c), else_=0) for c in (w.rows, w.labelled_rows, w.late_rows)]
    sums = (func.count(), *(func.coalesce(func.sum(c), 0) for c in once))
    inside = (w.model == model, w.start_ms >= start_ms - after_ms, w.start_ms < end_ms - after_ms)
    windows, rows, labelled, late = conn.execute(select(*sums).where(*inside)).one()
    bad = _bad(conn, model)
    open_now = conn.execute(select(func.count()).where(alert.c.model == model, alert.c.status.in_(OPEN))).scalar()
    return ModelFacts(
        model, windows, int(rows), int(labelled), int(late), tuple(bad[:WORST_MOST]), len(bad),
        _moved(conn, model, "firing", start_ms, end_ms), _moved(conn, model, "resolved", start_ms, end_ms), int(open_now or 0),
        _retrains(conn, model, start_ms, end_ms),
    )  # fmt: skip


def _bad(conn: Connection, model: str) -> list[tuple[str, float | None, float | None]]:
    """Scores beyond their limits in the newest window, and performance in the newest that has labels; worst first."""
    s, w = score.c, window.c
    newest = conn.execute(select(func.max(w.start_ms)).where(w.model == model)).scalar()
    if newest is None:
        return []
    labelled = conn.execute(select(func.max(w.start_ms)).where(w.model == model, w.labelled_rows > 0)).scalar()
    found: dict[tuple[str, str, str, str], tuple[float, str, float | None, float | None]] = {}
    for start, performance in ((newest, False), (labelled, True)):
        if start is None:
            continue
        query = select(s.version, s.segment, s.subject, s.score, s.value, s.threshold, s.level).where(
            s.model == model, s.window_start_ms == start, s.level.in_(("warn", "breach"))
        )
        for r in conn.execute(query.where(s.subject == "performance") if performance else query):
            far = 0.0 if r.value is None or r.threshold is None else abs(r.value - r.threshold) / max(abs(r.threshold), 1e-9)
            where = f" [{r.segment}]" if r.segment else ""
            name = f"{r.subject} {r.score}{f' v{r.version}' if r.version else ''}{where}"
            found[(r.version, r.segment, r.subject, r.score)] = (far + 1e9 * (r.level == "breach"), name, r.value, r.threshold)
    return [told[1:] for told in sorted(found.values(), key=lambda told: (-told[0], told[1]))]


def _moved(conn: Connection, model: str, status: str, start_ms: int, end_ms: int) -> tuple[str, ...]:
    """Alerts that came into a status, each episode once, in order."""
    h = alert_history.c
    query = (
        select(h.rule, h.subject, h.score, h.segment, h.version, h.alert, h.since_ms, func.min(h.at_ms))
        .where(h.model == model, h.status == status, h.at_ms >= start_ms, h.at_ms < end_ms)
        .group_by(h.rule, h.subject, h.score, h.segment, h.version, h.alert, h.since_ms)
        .order_by(func.min(h.at_ms), h.alert)
    )
    return tuple(
        " ".join(part for part in (r[0] + ":", r[1], r[2], f"[{r[3]}]" if r[3] else "", f"v{r[4]}" if r[4] else "") if part)
        for r in conn.execute(query)
    )


def _retrains(conn: Connection, model: str, start_ms: int, end_ms: int) -> tuple[str, ...]:
    """Retrains that were asked for, or moved, in the period, with their verdict."""
    c = retrain.c
    query = select(c.status, c.new_version, c.verdict, c.reason).where(
        c.model == model, c.updated_ms >= start_ms, c.requested_ms < end_ms
    )
    return tuple(
        f"{r.status}{f' v{r.new_version}' if r.new_version else ''}{f', {r.verdict}' if r.verdict else ''} ({r.reason})"
        for r in conn.execute(query.order_by(c.requested_ms, c.id))
    )
