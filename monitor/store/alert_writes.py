"""The part of the publishing transaction that is about alerts: rows, trail, acknowledgements, silences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, delete, insert, select, text, update

from alerts.desk import Ack
from alerts.rules import RETRAINING
from alerts.silences import Silence
from alerts.standing import Fact
from monitor.store.actions import NEWS, silence_of
from monitor.store.retrain_stop import stopped
from monitor.store.schema import ALERT_COLUMNS, alert, alert_ack, alert_audit, alert_history, model_state
from monitor.store.schema import silence as silence_table

MANY = 500  # names in one statement
CORRECTED = ("value", "threshold", "rows", "window_start_ms", "window_end_ms", "since_ms", "level", "reference", "evidence")
_COLUMNS = ", ".join(ALERT_COLUMNS)
_REPLACE = f"ON CONFLICT (alert) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in ALERT_COLUMNS[1:])}"
_ALERT = text(f"INSERT INTO alert ({_COLUMNS}) VALUES ({', '.join(':' + c for c in ALERT_COLUMNS)}) {_REPLACE}")
# on PostgreSQL all rows of a window are one parameter: a seventh of the CPU time that a statement a row takes
_ALERTS = text(
    f"INSERT INTO alert ({_COLUMNS}) SELECT {_COLUMNS} FROM json_populate_recordset(NULL\\:\\:alert, CAST(:rows AS json)) {_REPLACE}"
)
_HISTORY = text(
    f"INSERT INTO alert_history ({_COLUMNS}) SELECT {_COLUMNS} FROM json_populate_recordset(NULL\\:\\:alert, CAST(:rows AS json))"
)


class AlertWrites:
    """Mixed into monitor.store.publish.PublishingTransaction; see monitor.alerting.AlertMemory."""

    _conn: Connection
    _model: str

    def write_alerts(self, rows: list[dict[str, Any]]) -> None:
        known = [{c: row.get(c) for c in ALERT_COLUMNS} for row in rows]
        if self._conn.dialect.name != "postgresql":
            self._conn.execute(_ALERT, known)
            self._conn.execute(insert(alert_history), known)
            return
        last = {row["alert"]: row for row in known}  # one that moves twice is written as it is in the end
        self._conn.execute(_ALERTS, {"rows": orjson.dumps(list(last.values())).decode()})
        self._conn.execute(_HISTORY, {"rows": orjson.dumps(known).decode()})

    def correct_alerts(self, rows: list[dict[str, Any]]) -> None:
        """Alerts that did not move, of whose last move another thing is known now: history and status stay as they were lived."""
        known = [{"mark": row["alert"], **{c: row[c] for c in CORRECTED}} for row in rows]
        self._conn.execute(update(alert).where(alert.c.alert == bindparam("mark")), known)

    def alert_news(self) -> str:
        """Another text whenever somebody acknowledged or silenced something since."""
        c = model_state.c
        found = self._conn.execute(select(c.blob).where(c.model == "", c.name == NEWS)).scalar()
        return "" if found is None else bytes(found).hex()

    def silences(self, now_ms: int) -> list[Silence]:
        """Those that are not over."""
        query = select(silence_table).where(silence_table.c.ends_ms > now_ms).order_by(silence_table.c.id)
        return [silence_of(row) for row in self._conn.execute(query).mappings()]

    def acks(self) -> list[Ack]:
        """Acknowledgements of this model's alerts."""
        c = alert_ack.c
        query = select(c.alert, c.since_ms, c.author, c.comment, c.at_ms).join(alert, alert.c.alert == c.alert)
        return [Ack(*row) for row in self._conn.execute(query.where(alert.c.model == self._model).order_by(c.at_ms, c.alert))]

    def facts(self) -> dict[str, Fact]:
        """What stands until somebody acts."""
        found = stopped(self._conn, self._model)
        return {} if found is None else {RETRAINING: found}

    def drop_acks(self, alerts: list[str]) -> None:
        for part in _pieces(alerts):
            self._conn.execute(delete(alert_ack).where(alert_ack.c.alert.in_(part)))

    def move_alerts(self, alerts: list[str], before: str, after: str, now_ms: int) -> None:
        """Give alerts that have one status another: what was done to one of a group was done to all."""
        reason = "acknowledged" if after == "acknowledged" else "unacknowledged"
        for part in _pieces(alerts):
            these = alert.c.alert.in_(part) & (alert.c.status == before)
            self._conn.execute(update(alert).where(these).values(status=after, reason=reason, at_ms=now_ms))

    def write_trail(self, rows: list[dict[str, Any]]) -> None:
        self._conn.execute(insert(alert_audit), rows)


def _pieces(names: list[str]) -> Iterable[list[str]]:
    return (names[at : at + MANY] for at in range(0, len(names), MANY))
