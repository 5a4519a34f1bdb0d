"""The outbox as the courier sees it: leases, order within (channel, group), outcomes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, func, select, text, update

from alerts.delivery import ClaimedRow
from monitor.store.schema import channel_state, outbox
from monitor.store.transactions import Transactions

# Rows of a (channel, grp) from its oldest unsent one on, unless one of these waits for its retry or is leased. Materialized, or
# PostgreSQL may look for them more than once, and find more than :limit.
_CLAIM = """
WITH picked AS MATERIALIZED (SELECT seq FROM outbox o WHERE o.state = 'due' {channel}AND NOT EXISTS (
    SELECT 1 FROM outbox e WHERE e.state = 'due' AND e.channel = o.channel AND e.grp = o.grp AND e.seq <= o.seq
      AND (e.next_at_ms > :now OR e.lease_until_ms > :now))
  ORDER BY seq LIMIT :limit {lock})
UPDATE outbox SET lease_until_ms = :until WHERE seq IN (SELECT seq FROM picked) AND state = 'due' AND lease_until_ms <= :now
RETURNING seq, key, channel, grp, alert, body, attempts, created_ms"""
_WAITING = text("""SELECT DISTINCT channel FROM outbox WHERE state = 'due' AND next_at_ms <= :now AND lease_until_ms <= :now""")
_NEW_STATE = text("INSERT INTO channel_state (channel, blob) VALUES (:channel, :blob) ON CONFLICT (channel) DO NOTHING")
TURN = "turn:"  # before the name of a channel: when its receiver takes the next message
TURN_TRIES = 20


class Outbox(Transactions):
    """See alerts.delivery.OutboxStore. Each call is one short transaction."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        lock = "FOR UPDATE" if engine.dialect.name == "postgresql" else ""
        self._claim = text(_CLAIM.format(lock=lock, channel=""))
        self._claim_of = text(_CLAIM.format(lock=lock, channel="AND o.channel = :channel "))

    def _do(self, statement: Any, values: dict[str, Any] | None = None) -> list[Any]:
        with self._writing() as conn:
            done = conn.execute(statement, values or {})
            return list(done.all()) if done.returns_rows else []

    def _changed(self, statement: Any, values: dict[str, Any] | None = None) -> bool:
        with self._writing() as conn:
            return bool(conn.execute(statement, values or {}).rowcount)

    def waiting(self, now_ms: int) -> list[str]:
        """The channels that something is due for."""
        with self._reading() as conn:
            return list(conn.execute(_WAITING, {"now": now_ms}).scalars())

    def claim_due(self, now_ms: int, limit: int, lease_ms: int, channel: str | None = None) -> list[ClaimedRow]:
        """At most `limit` rows of a channel, or of all, oldest first."""
        values: dict[str, Any] = {"now": now_ms, "until": now_ms + lease_ms, "limit": limit}
        if channel is not None:
            values["channel"] = channel
        found = self._do(self._claim if channel is None else self._claim_of, values)
        return [ClaimedRow(*row[1:]) for row in sorted(found)]

    def mark_sent(self, key: str, now_ms: int) -> None:
        self._do(update(outbox).where(outbox.c.key == key).values(state="sent", sent_ms=now_ms, error=""))

    def mark_skipped(self, key: str, reason: str, now_ms: int) -> None:
        self._do(update(outbox).where(outbox.c.key == key).values(state="skipped", sent_ms=now_ms, error=reason[:1000]))

    def mark_retry(self, key: str, next_at_ms: int, attempts: int, error: str) -> None:
        self._do(
            update(outbox)
            .where(outbox.c.key == key)
            .values(next_at_ms=next_at_ms, attempts=attempts, error=error[:1000], lease_until_ms=0)
        )

    def mark_dead(self, key: str, error: str) -> None:
        self._do(update(outbox).where(outbox.c.key == key).values(state="dead", error=error[:1000]))

    def load_channel_state(self, channel: str) -> bytes | None:
        with self._reading() as conn:
            found = conn.execute(select(channel_state.c.blob).where(channel_state.c.channel == channel)).scalar()
        return None if found is None else bytes(found)

    def save_channel_state(self, channel: str, blob: bytes, was: bytes | None) -> bool:
        """Replace what was loaded; False where another courier replaced it first."""
        if was is None:
            return self._changed(_NEW_STATE, {"channel": channel, "blob": blob})
        c = channel_state.c
        return self._changed(update(channel_state).where(c.channel == channel, c.blob == was).values(blob=blob))

    def take_turn(self, channel: str, now_ms: int, pace_ms: int) -> int:
        """When this courier's next message may go, so that those of all couriers together keep the receiver's pace."""
        at_ms = now_ms
        for _ in range(TURN_TRIES):
            was = self.load_channel_state(TURN + channel)
            at_ms = max(now_ms, 0 if was is None else int(was))
            if self.save_channel_state(TURN + channel, str(at_ms + pace_ms).encode(), was):
                break
        return at_ms

    def rest(self, channel: str, until_ms: int) -> None:
        """The receiver asked for time: no courier's next message goes before."""
        for _ in range(TURN_TRIES):
            was = self.load_channel_state(TURN + channel)
            if was is not None and int(was) >= until_ms:
                return
            if self.save_channel_state(TURN + channel, str(until_ms).encode(), was):
                return

    def counts(self) -> dict[str, int]:
        """Rows by state."""
        return {r[0]: r[1] for r in self._do(select(outbox.c.state, func.count()).group_by(outbox.c.state))}
