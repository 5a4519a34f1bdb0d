"""What people do with alerts, and the trail of it. `store.actions` has these; all times are ms since 1970 UTC.

    ack(alert, author, comment, now_ms)                      -> the alert's row, status "acknowledged"
    unack(alert, author, comment, now_ms)                    -> the alert's row, status "firing" again
    silence(matchers, starts_ms, ends_ms, author, reason, now_ms) -> the new silence, as a dict
        matchers: {"model": "credit", "subject": ["income", "age*"], "severity": "!info"}, see alerts/matchers.py
    unsilence(silence_id, author, reason, now_ms)            -> the silence, ended now
    list_silences(now_ms, state=None, limit=1000, after=None) -> a page of dicts with id, matchers, starts_ms, ends_ms, author,
        reason, created_ms, state ("pending" | "active" | "expired"), newest first
    alert_detail(alert, now_ms)                              -> {"alert", "history", "audit", "sent", "silences", "ack"}
        why it fired (history rows carry reason, value, threshold, evidence), who acted, what was sent where and how
        that went (state, attempts, error), which silences cover it now. `alert` may be a unique prefix of 6 or more
    audit(alert=None, model=None, limit=100, after=None)     -> a page, newest first: id, at_ms, kind, alert, grp, model,
        author, reason, detail (a dict). kinds: ack, unack, silence, unsilence, notified, silenced, inhibited, released,
        flapping, rested, and the steps of a retrain

Raises UnknownAlert, UnknownSilence (no such thing), ValueError (what was given cannot be), NotFiring (nothing to
acknowledge). An acknowledgement holds for the episode in which it was given, and for the group that the alert is in.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, and_, delete, insert, or_, select, text, update

from alerts.matchers import LABELS, Matcher
from alerts.silences import AUTHOR_CHARS_MOST, Silence, require_words
from monitor.config.suggest import nearest
from monitor.store.errors import StoreError
from monitor.store.paging import Page, page, unpack
from monitor.store.schema import alert, alert_ack, alert_audit, alert_history, outbox
from monitor.store.schema import silence as silence_table
from monitor.store.trail import by_name, leave, require_short
from monitor.store.transactions import Transactions

HISTORY_MOST = 500
NEWS = "alert_actions"  # of model "": another value with each action; the publisher reads on only if it changed
_COUNT = text(
    """INSERT INTO model_state (model, name, blob) VALUES ('', :name, :blob)
    ON CONFLICT (model, name) DO UPDATE SET blob = excluded.blob"""
)


class UnknownAlert(StoreError):
    """There is no such alert."""


class UnknownSilence(StoreError):
    """There is no such silence."""


class NotFiring(StoreError):
    """The alert does not fire: there is nothing to acknowledge."""


class Actions(Transactions):
    """See the module's docstring. Each call is one short transaction."""

    def ack(self, alert_id: str, author: str, comment: str, now_ms: int) -> dict[str, Any]:
        """Take an alert: it is not repeated and does not escalate any more. The comment may be empty."""
        require_words("author", author, AUTHOR_CHARS_MOST)
        require_short("comment", comment)
        with self._writing() as conn:
            row = _find(conn, alert_id)
            if row["status"] not in ("firing", "acknowledged"):
                raise NotFiring(f"alert {row['alert']} is {row['status']}: only one that fires can be acknowledged")
            values = {"since_ms": row["since_ms"], "author": author, "comment": comment, "at_ms": now_ms}
            if conn.execute(update(alert_ack).where(alert_ack.c.alert == row["alert"]).values(**values)).rowcount == 0:
                conn.execute(insert(alert_ack).values(alert=row["alert"], **values))
            self._moved(conn, row, "acknowledged", now_ms, "ack", author, comment)
            return {**row, "status": "acknowledged", "reason": "acknowledged", "at_ms": now_ms}

    def unack(self, alert_id: str, author: str, comment: str, now_ms: int) -> dict[str, Any]:
        """Give an alert back: repeats and escalation begin anew."""
        require_words("author", author, AUTHOR_CHARS_MOST)
        require_short("comment", comment)
        with self._writing() as conn:
            row = _find(conn, alert_id)
            if row["status"] != "acknowledged":
                raise NotFiring(f"alert {row['alert']} is {row['status']}: only an acknowledged one can be given back")
            grouped = select(alert.c.alert).where(alert.c.grp == row["grp"])  # none where grp is null
            mine = or_(alert_ack.c.alert == row["alert"], alert_ack.c.alert.in_(grouped))
            conn.execute(delete(alert_ack).where(mine))
            self._moved(conn, row, "firing", now_ms, "unack", author, comment)
            return {**row, "status": "firing", "reason": "unacknowledged", "at_ms": now_ms}

    def _moved(self, conn: Connection, row: Mapping[str, Any], status: str, now_ms: int, kind: str, author: str, why: str) -> None:
        moved = {**row, "status": status, "reason": "acknowledged" if kind == "ack" else "unacknowledged", "at_ms": now_ms}
        conn.execute(update(alert).where(alert.c.alert == row["alert"]).values(status=status, reason=moved["reason"], at_ms=now_ms))
        conn.execute(insert(alert_history).values(**moved))
        leave(conn, now_ms, kind, author, why, alert=row["alert"], grp=row["grp"] or "", model=row["model"])
        tell_publisher(conn)

    def silence(
        self, matchers: Mapping[str, Any], starts_ms: int, ends_ms: int, author: str, reason: str, now_ms: int,
        known: Collection[str] | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Keep what matches quiet from starts_ms until before ends_ms. Raises ValueError for what cannot be.

        known: tags of the models, which alerts carry beside LABELS; None: any label may be named.
        """
        if known is not None:
            _require_labels(matchers, {*LABELS, *known})
        if ends_ms <= now_ms:
            raise ValueError(f"a silence that ended at {ends_ms} (ms) is over already: it is {now_ms}")
        made = Silence(uuid.uuid4().hex[:12], Matcher.of(matchers), starts_ms, ends_ms, author, reason, now_ms)
        plain = made.matcher.plain()
        with self._writing() as conn:
            conn.execute(
                insert(silence_table).values(
                    id=made.id, matchers=json.dumps(plain, sort_keys=True), starts_ms=starts_ms, ends_ms=ends_ms,
                    author=author, reason=reason, created_ms=now_ms,
                )
            )  # fmt: skip
            detail = {"id": made.id, "matchers": plain, "starts_ms": starts_ms, "ends_ms": ends_ms}
            leave(conn, now_ms, "silence", author, reason, detail=detail)
            tell_publisher(conn)
        return _silence_dict(made, now_ms)

    def unsilence(self, silence_id: str, author: str, reason: str, now_ms: int) -> dict[str, Any]:
        """End a silence now; one that has not begun never will. One that is over stays as it is."""
        require_words("author", author, AUTHOR_CHARS_MOST)
        require_short("reason", reason)
        c = silence_table.c
        with self._writing() as conn:
            row = conn.execute(select(silence_table).where(c.id == silence_id)).mappings().first()
            if row is None:
                raise UnknownSilence(f"there is no silence {silence_id!r}; list them with their ids first")
            found = dict(row)
            if found["ends_ms"] > now_ms:
                starts_ms = min(found["starts_ms"], now_ms - 1)
                conn.execute(update(silence_table).where(c.id == silence_id).values(ends_ms=now_ms, starts_ms=starts_ms))
                found |= {"ends_ms": now_ms, "starts_ms": starts_ms}
                leave(conn, now_ms, "unsilence", author, reason, detail={"id": silence_id})
                tell_publisher(conn)
        return _silence_dict(silence_of(found), now_ms)

    def list_silences(self, now_ms: int, state: str | None = None, limit: int = 1000, after: str | None = None) -> Page:
        """A page of silences, newest first; state: "pending", "active", "expired", or None for all."""
        c = silence_table.c
        where = {
            "pending": c.starts_ms > now_ms,
            "active": and_(c.starts_ms <= now_ms, c.ends_ms > now_ms),
            "expired": c.ends_ms <= now_ms,
        }
        if state is not None and state not in where:
            raise ValueError(f"state is {state!r}, must be one of {', '.join(where)}")
        query = select(silence_table).order_by(c.created_ms.desc(), c.id)
        if state is not None:
            query = query.where(where[state])
        if after is not None:
            at_ms, name = unpack(after, 2)
            query = query.where((c.created_ms < at_ms) | and_(c.created_ms == at_ms, c.id > name))
        with self._reading() as conn:
            rows, following = page(conn, query, limit, ("created_ms", "id"))
        return [_silence_dict(silence_of(row), now_ms) for row in rows], following

    def alert_detail(self, alert_id: str, now_ms: int) -> dict[str, Any]:
        """Everything about one alert: why it fired, who did what, what was sent where."""
        with self._reading() as conn:
            row = _find(conn, alert_id)
            name, grp = row["alert"], row["grp"] or ""
            h, a, o = alert_history.c, alert_audit.c, outbox.c
            history = conn.execute(select(alert_history).where(h.alert == name).order_by(h.id.desc()).limit(HISTORY_MOST))
            mine = or_(a.alert == name, and_(a.grp == grp, a.kind == "notified")) if grp else a.alert == name
            found = conn.execute(select(alert_audit).where(mine).order_by(a.id.desc()).limit(HISTORY_MOST))
            trail = [_audit_dict(r) for r in found.mappings()]
            keys = {str(r["detail"]["key"]) for r in trail if r["kind"] == "notified" and "key" in r["detail"]}
            columns = (o.key, o.channel, o.created_ms, o.state, o.attempts, o.next_at_ms, o.error, o.sent_ms)
            asked = or_(o.alert == name, o.key.in_(sorted(keys)[:HISTORY_MOST]))
            sent = conn.execute(select(*columns).where(asked).order_by(o.seq.desc()).limit(HISTORY_MOST))
            acked = conn.execute(select(alert_ack).where(alert_ack.c.alert == name)).mappings().first()
            return {
                "alert": _with_evidence(row),
                "history": [_with_evidence(r) for r in history.mappings()],
                "audit": trail,
                "sent": [dict(r) for r in sent.mappings()],
                "silences": [s for s in self.list_silences(now_ms, "active")[0] if _covers(s, row)],
                "ack": None if acked is None else dict(acked),
            }

    def audit(
        self, alert_id: str | None = None, model: str | None = None, limit: int = 100, after: str | None = None
    ) -> Page:  # fmt: skip
        """A page of the trail, newest first."""
        a = alert_audit.c
        query = select(alert_audit).order_by(a.id.desc())
        if alert_id is not None:
            query = query.where(a.alert == alert_id)
        if model is not None:
            query = query.where(a.model == model)
        if after is not None:
            query = query.where(a.id < unpack(after, 1)[0])
        with self._reading() as conn:
            rows, following = page(conn, query, limit, ("id",))
        return [_audit_dict(r) for r in rows], following


def silence_of(row: Any) -> Silence:
    """A row of the silence table as the lifecycle sees it."""
    matcher = Matcher.of(json.loads(row["matchers"]))
    return Silence(row["id"], matcher, row["starts_ms"], row["ends_ms"], row["author"], row["reason"], row["created_ms"])


def _silence_dict(s: Silence, now_ms: int) -> dict[str, Any]:
    return {
        "id": s.id, "matchers": s.matcher.plain(), "starts_ms": s.starts_ms, "ends_ms": s.ends_ms, "author": s.author,
        "reason": s.reason, "created_ms": s.created_ms, "state": s.state(now_ms),
    }  # fmt: skip


def _covers(silence: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    return Matcher.of(silence["matchers"]).matches(json.loads(row["labels"] or "{}"))


def _find(conn: Connection, alert_id: str) -> dict[str, Any]:
    found = by_name(conn, alert, "alert", alert_id)
    if len(found) > 1:
        raise UnknownAlert(f"{alert_id!r} begins the names of several alerts: give more of it")
    if not found:
        raise UnknownAlert(f"there is no alert {alert_id!r}; list them with their ids first")
    return found[0]


def _with_evidence(row: Any) -> dict[str, Any]:
    return {**row, "evidence": json.loads(row["evidence"] or "{}"), "labels": json.loads(row["labels"] or "{}")}


def _audit_dict(row: Any) -> dict[str, Any]:
    return {**row, "detail": json.loads(row["detail"])}


def tell_publisher(conn: Connection) -> None:
    """Say that there is news: a value that was not there before."""
    conn.execute(_COUNT, {"name": NEWS, "blob": uuid.uuid4().bytes})


def _require_labels(matchers: Mapping[str, Any], known: Collection[str]) -> None:
    for name in matchers:
        if name not in known:
            raise ValueError(f"{str(name)[:100]!r} is no label of any alert; {nearest(str(name), known)}")
