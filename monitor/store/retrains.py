"""The record of every retrain, from the finding that asked for it to whether it helped. `store.retrains` has these.

    propose(channel, policy, request, now_ms)     -> (status, why): a new record, or ("", why not); see alerts/retraining/policy
    approve(id, author, reason, now_ms)           -> the record, which may start now
    reject(id, author, reason, now_ms)            -> the record, over
    report(id, status, now_ms, version, detail, reference, author) -> the record, as the job says: started, succeeded, failed
    reset(model, author, reason, now_ms)          -> None: retrains that did not help count no more
    get(id), listed(model, status, limit, after)  -> a dict, a page of them; times are ms since 1970 UTC, -1 where it never was
    claim(now_ms, lease_ms, limit), move(...)     -> for monitor/retraining.py

Status: proposed (waits for approval), waiting (for labels or the end of quiet hours), due, started, succeeded, failed, rejected,
expired, dry_run, blocked. A succeeded one gets a verdict: helped, not_helped, unknown. Every step leaves a row in alert_audit.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, and_, func, insert, select, text, update

from alerts.retraining.note import retrain_note
from alerts.retraining.policy import BEGUN, OPEN, RetrainPolicy, decide
from alerts.retraining.request import RetrainRequest
from alerts.silences import AUTHOR_CHARS_MOST, REASON_CHARS_MOST, require_words
from monitor.checkpoint import OutboxRow
from monitor.store.actions import tell_publisher
from monitor.store.errors import StoreError
from monitor.store.paging import Page, page, unpack
from monitor.store.publish import enqueue
from monitor.store.references import activate
from monitor.store.retrain_stop import RESET, past_of, reset_ms
from monitor.store.schema import each_row_once, reference, retrain, window
from monitor.store.trail import by_name, leave, require_short
from monitor.store.transactions import Transactions

_LOCK = text("INSERT INTO model_lock (model) VALUES (:m) ON CONFLICT DO NOTHING")
_STATE = text(
    """INSERT INTO model_state (model, name, blob) VALUES (:model, :name, :blob)
    ON CONFLICT (model, name) DO UPDATE SET blob = excluded.blob"""
)
REPORTED = ("started", "succeeded", "failed")
JSON_COLUMNS = ("request", "verdict_detail")


class UnknownRetrain(StoreError):
    """There is no such retrain."""


class WrongState(StoreError):
    """The retrain is not in a state for that."""


class Retrains(Transactions):
    """See the module's docstring. Each call is one short transaction. enrich: adds lineage and rows to a request."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.enrich: Callable[[RetrainRequest], RetrainRequest] = lambda request: request
        self.public_url = ""

    def propose(self, channel: str, policy: RetrainPolicy, request: RetrainRequest, now_ms: int) -> tuple[str, str]:
        """Decide under the model's lock, so that two couriers make one record."""
        with self._writing() as conn:
            conn.execute(_LOCK, {"m": request.model})
            if conn.dialect.name == "postgresql":
                conn.execute(text("SELECT model FROM model_lock WHERE model = :m FOR UPDATE"), {"m": request.model})
            past, reset_at_ms = past_of(conn, request.model), reset_ms(conn, request.model)
            decision = decide(policy, request.kind, request.id, past, reset_at_ms, now_ms)
            if not decision.status:
                return "", decision.reason
            full = self.enrich(request)
            begins = decision.status == "waiting"
            next_at_ms = now_ms if begins else now_ms + policy.expires_ms if decision.status == "proposed" else -1
            conn.execute(
                insert(retrain).values(
                    id=full.id, channel=channel, model=full.model, version=full.version, status=decision.status,
                    reason=decision.reason, request=full.to_json(), requested_ms=now_ms, begun_ms=-1, started_ms=-1,
                    finished_ms=-1, updated_ms=now_ms, next_at_ms=next_at_ms, lease_until_ms=0, attempts=0,
                    author="", run="", run_url="", error="", new_version="", verdict="", verdict_detail="", reference="",
                    allowed_ms=now_ms if begins else -1, labels_from_ms=-1, labels_before=0,
                )
            )  # fmt: skip
            _audit(conn, now_ms, f"retrain_{decision.status}", full, "", decision.reason, {})
            if decision.status == "blocked":
                tell_publisher(conn)  # which raises an alert that lasts: alerts/standing.py
            elif not begins:
                self._enqueue(conn, decision.status, full, decision.reason, policy.tell, now_ms)
            return decision.status, decision.reason

    def tell(self, what: str, request: RetrainRequest, why: str, channels: tuple[str, ...], now_ms: int) -> None:
        """Let people know what became of a retrain; once for each step of it."""
        if channels:
            with self._writing() as conn:
                self._enqueue(conn, what, request, why, channels, now_ms)

    def _enqueue(
        self, conn: Connection, what: str, request: RetrainRequest, why: str, channels: tuple[str, ...], now_ms: int
    ) -> None:
        for channel in channels:
            n = retrain_note(what, request, why, channel, self.public_url, now_ms)
            enqueue(conn, [OutboxRow(n.key, channel, request.model, n.alert, n.to_json(), now_ms)])

    def approve(self, retrain_id: str, author: str, reason: str, now_ms: int) -> dict[str, Any]:
        require_words("author", author, AUTHOR_CHARS_MOST)
        return self._decide(retrain_id, "waiting", author, reason, now_ms)

    def reject(self, retrain_id: str, author: str, reason: str, now_ms: int) -> dict[str, Any]:
        require_words("author", author, AUTHOR_CHARS_MOST)
        return self._decide(retrain_id, "rejected", author, reason, now_ms)

    def _decide(self, retrain_id: str, status: str, author: str, reason: str, now_ms: int) -> dict[str, Any]:
        require_short("reason", reason)
        with self._writing() as conn:
            row = _locked(conn, retrain_id)
            if row["status"] != "proposed":
                raise WrongState(f"retrain {retrain_id} is {row['status']}: only a proposed one waits for approval")
            when = (
                {"next_at_ms": now_ms, "allowed_ms": now_ms} if status == "waiting" else {"next_at_ms": -1, "finished_ms": now_ms}
            )
            _move(conn, row, now_ms, status=status, author=author, reason=reason or f"by {author}", **when)
            kind = "retrain_approved" if status == "waiting" else "retrain_rejected"
            _audit(conn, now_ms, kind, _request(row), author, reason, {})
        return self.get(retrain_id)

    def report(
        self, retrain_id: str, status: str, now_ms: int, version: str = "", detail: str = "", reference: str = "", author: str = "job"
    ) -> dict[str, Any]:  # fmt: skip
        """What the job says of itself. The same report twice is one. reference: a built one that fits the new version."""
        if status not in REPORTED:
            raise ValueError(f"status is {status!r}, must be one of {', '.join(REPORTED)}")
        for name, value in (("version", version), ("detail", detail), ("reference", reference)):
            if len(value) > REASON_CHARS_MOST:
                raise ValueError(f"{name} has {len(value)} characters, at most {REASON_CHARS_MOST} are kept")
        with self._writing() as conn:
            row = _locked(conn, retrain_id)
            if row["status"] == status and status != "started":
                return _dict(row)
            if row["status"] not in ("due", "started", "waiting"):
                raise WrongState(f"retrain {retrain_id} is {row['status']}: a job of it cannot be {status}")
            self.finish(conn, row, status, now_ms, version, detail, reference, author)
        return self.get(retrain_id)

    def finish(
        self, conn: Connection, row: dict[str, Any], status: str, now_ms: int, version: str, detail: str, reference: str, author: str
    ) -> None:  # fmt: skip
        """Write what became of a run, in the caller's transaction."""
        values: dict[str, Any] = {"status": status, "next_at_ms": now_ms, "error": detail if status == "failed" else ""}
        if row["begun_ms"] < 0:
            values["begun_ms"] = now_ms
        if row["started_ms"] < 0:
            values["started_ms"] = now_ms
        if status != "started":
            values["finished_ms"] = now_ms
            values["next_at_ms"] = now_ms if status == "succeeded" else -1
        values |= {k: v for k, v in (("new_version", version), ("reference", reference)) if v}
        _move(conn, row, now_ms, **values)
        _audit(conn, now_ms, f"retrain_{status}", _request(row), author, detail, {"version": version, "reference": reference})

    def switch_reference(self, retrain_id: str, author: str, reason: str, now_ms: int) -> dict[str, Any]:
        """Activate the reference that the job named. Raises WrongState where it named none or there is none of that name."""
        require_words("author", author, AUTHOR_CHARS_MOST)
        r = reference.c
        with self._writing() as conn:
            row = _locked(conn, retrain_id)
            name = row["reference"]
            this = and_(r.model == row["model"], r.name == name)
            if not name or conn.execute(select(r.name).where(this)).first() is None:
                raise WrongState(f"retrain {retrain_id} names reference {name!r}, which the store does not have")
            from_ms = activate(conn, row["model"], name, now_ms)
            detail = {"reference": name, "from_ms": from_ms}
            _audit(conn, now_ms, "retrain_reference_switched", _request(row), author, reason, detail)
        return self.get(retrain_id)

    def reset(self, model: str, author: str, reason: str, now_ms: int) -> None:
        """Say «go on» after retrains that did not help."""
        require_words("author", author, AUTHOR_CHARS_MOST)
        with self._writing() as conn:
            conn.execute(_STATE, {"model": model, "name": RESET, "blob": str(now_ms).encode()})
            tell_publisher(conn)
            leave(conn, now_ms, "retrain_reset", author, reason, model=model)

    def get(self, retrain_id: str) -> dict[str, Any]:
        """Raises UnknownRetrain."""
        with self._reading() as conn:
            return _dict(_found(conn, retrain_id))

    def listed(
        self, model: str | None = None, status: str | None = None, limit: int = 100, after: str | None = None
    ) -> Page:  # fmt: skip
        """A page, newest first."""
        c = retrain.c
        query = select(retrain).order_by(c.requested_ms.desc(), c.id)
        for column, value in ((c.model, model), (c.status, status)):
            if value is not None:
                query = query.where(column == value)
        if after is not None:
            at_ms, name = unpack(after, 2)
            query = query.where((c.requested_ms < at_ms) | and_(c.requested_ms == at_ms, c.id > name))
        with self._reading() as conn:
            rows, following = page(conn, query, limit, ("requested_ms", "id"))
        return [_dict(row) for row in rows], following

    def claim(self, now_ms: int, lease_ms: int, limit: int = 20) -> list[dict[str, Any]]:
        """Records that something must be done about, under a lease."""
        c = retrain.c
        busy = c.status.in_(("proposed", "waiting", "due", "started")) | ((c.status == "succeeded") & (c.verdict == ""))
        query = select(c.id).where(busy, c.next_at_ms >= 0, c.next_at_ms <= now_ms, c.lease_until_ms <= now_ms)
        query = query.order_by(c.next_at_ms).limit(limit)
        with self._reading() as conn:  # most often there is none: SQLite's one writer is not kept from the data loop for that
            if conn.execute(query).first() is None:
                return []
        with self._writing() as conn:
            found = list(conn.execute(query.with_for_update(skip_locked=True)).scalars())
            if not found:
                return []
            conn.execute(update(retrain).where(c.id.in_(found)).values(lease_until_ms=now_ms + lease_ms))
            rows = conn.execute(select(retrain).where(c.id.in_(found)).order_by(c.next_at_ms)).mappings()
            return [_dict(row) for row in rows]

    def move(self, retrain_id: str, was: str, now_ms: int, audit: str = "", why: str = "", **values: Any) -> bool:
        """Change a claimed record and give its lease back; False where somebody moved it meanwhile."""
        with self._writing() as conn:
            row = _locked(conn, retrain_id)
            if row["status"] != was:
                return False
            for name in JSON_COLUMNS:
                if name in values:
                    values[name] = json.dumps(values[name])
            _move(conn, row, now_ms, **values)
            if audit:
                _audit(conn, now_ms, audit, _request(row), "", why, {k: v for k, v in values.items() if k in ("run", "verdict")})
        return True

    def ended(self, retrain_id: str, status: str, now_ms: int, version: str, detail: str) -> None:
        """A run is over, as its system says."""
        with self._writing() as conn:
            row = _locked(conn, retrain_id)
            if row["status"] == "started":
                self.finish(conn, row, status, now_ms, version, detail, "", "")

    def new_labels(self, model: str) -> int:
        """Labels that came since the model's last retrain began (of all windows that are kept, where there was none).

        Labels come late: what they brought since then to windows from before it counts too.
        """
        c = retrain.c
        query = select(c.begun_ms, c.labels_from_ms, c.labels_before).where(c.model == model, c.status.in_(BEGUN))
        with self._reading() as conn:
            last = conn.execute(query.order_by(c.begun_ms.desc()).limit(1)).first()
            if last is None:
                return _labels(conn, model, -1)
            later = _labels(conn, model, last.begun_ms)
            return later if last.labels_from_ms < 0 else max(later, _labels(conn, model, last.labels_from_ms) - last.labels_before)

    def labels_since(self, model: str, from_ms: int) -> int:
        """Labelled rows of the windows that start at from_ms or later."""
        with self._reading() as conn:
            return _labels(conn, model, from_ms)


def _labels(conn: Connection, model: str, from_ms: int) -> int:
    w = window.c
    query = select(func.coalesce(func.sum(w.labelled_rows), 0)).where(w.model == model, w.start_ms >= from_ms, each_row_once())
    return int(conn.execute(query).scalar() or 0)


def _found(conn: Connection, retrain_id: str) -> dict[str, Any]:
    rows = by_name(conn, retrain, "id", retrain_id)
    if len(rows) != 1:
        what = "begins the names of several retrains: give more of it" if rows else "is no retrain; list them with their ids first"
        raise UnknownRetrain(f"{retrain_id[:60]!r} {what}")
    return rows[0]


def _locked(conn: Connection, retrain_id: str) -> dict[str, Any]:
    row = _found(conn, retrain_id)
    query = select(retrain).where(retrain.c.id == row["id"]).with_for_update()
    return dict(conn.execute(query).mappings().one())


def _move(conn: Connection, row: dict[str, Any], now_ms: int, **values: Any) -> None:
    values = {"lease_until_ms": 0, "updated_ms": now_ms, **values}
    conn.execute(update(retrain).where(retrain.c.id == row["id"]).values(**values))


def _dict(row: Any) -> dict[str, Any]:
    return {**row, **{name: json.loads(row[name]) if row[name] else {} for name in JSON_COLUMNS}}


def _request(row: dict[str, Any]) -> RetrainRequest:
    return RetrainRequest.from_json(row["request"])


def _audit(
    conn: Connection, now_ms: int, kind: str, request: RetrainRequest, author: str, reason: str, detail: dict[str, Any]
) -> None:
    leave(conn, now_ms, kind, author, reason, alert=request.alert, model=request.model, detail={"retrain": request.id, **detail})


__all__ = ["OPEN", "Retrains", "UnknownRetrain", "WrongState"]
