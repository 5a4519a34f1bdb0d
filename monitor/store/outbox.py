"""The outbox as the courier sees it: leases, order within (channel, group), outcomes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, func, select, text, update

from alerts.delivery import ClaimedRow
from monitor.store.errors import DATABASE_ERRORS, classify
from monitor.store.schema import channel_state, outbox

# Rows of a (channel, grp) from its oldest unsent one on, unless one of these waits for its retry or is leased.
_CLAIM = """
UPDATE outbox SET lease_until_ms = :until WHERE seq IN (
  SELECT seq FROM outbox o WHERE o.state = 'due' AND NOT EXISTS (
    SELECT 1 FROM outbox e WHERE e.state = 'due' AND e.channel = o.channel AND e.grp = o.grp AND e.seq <= o.seq
      AND (e.next_at_ms > :now OR e.lease_until_ms > :now))
  ORDER BY seq LIMIT :limit {lock}) AND state = 'due' AND lease_until_ms <= :now
RETURNING seq, key, channel, grp, alert, body, attempts, created_ms"""
_SAVE = text(
    """INSERT INTO channel_state (channel, blob) VALUES (:channel, :blob)
    ON CONFLICT (channel) DO UPDATE SET blob = excluded.blob"""
)


class Outbox:
    """See alerts.delivery.OutboxStore. Each call is one short transaction."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._claim = text(_CLAIM.format(lock="FOR UPDATE" if engine.dialect.name == "postgresql" else ""))

    def _do(self, statement: Any, values: dict[str, Any] | None = None) -> list[Any]:
        try:
            with self._engine.begin() as conn:
                done = conn.execute(statement, values or {})
                return list(done.all()) if done.returns_rows else []
        except DATABASE_ERRORS as error:
            raise classify(error) from error

    def claim_due(self, now_ms: int, limit: int, lease_ms: int) -> list[ClaimedRow]:
        found = self._do(self._claim, {"now": now_ms, "until": now_ms + lease_ms, "limit": limit})
        return [ClaimedRow(*row[1:]) for row in sorted(found)]

    def mark_sent(self, key: str, now_ms: int) -> None:
        self._do(update(outbox).where(outbox.c.key == key).values(state="sent", sent_ms=now_ms, error=""))

    def mark_retry(self, key: str, next_at_ms: int, attempts: int, error: str) -> None:
        self._do(
            update(outbox)
            .where(outbox.c.key == key)
            .values(next_at_ms=next_at_ms, attempts=attempts, error=error[:1000], lease_until_ms=0)
        )

    def mark_dead(self, key: str, error: str) -> None:
        self._do(update(outbox).where(outbox.c.key == key).values(state="dead", error=error[:1000]))

    def load_channel_state(self, channel: str) -> bytes | None:
        found = self._do(select(channel_state.c.blob).where(channel_state.c.channel == channel))
        return bytes(found[0][0]) if found else None

    def save_channel_state(self, channel: str, blob: bytes) -> None:
        self._do(_SAVE, {"channel": channel, "blob": blob})

    def counts(self) -> dict[str, int]:
        """Rows by state."""
        return {r[0]: r[1] for r in self._do(select(outbox.c.state, func.count()).group_by(outbox.c.state))}
