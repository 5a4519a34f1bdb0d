"""The checkpoint transaction: all that a batch caused, written whole, under the fence.

For each (source, topic) one transaction, so that ids are locked in one order:
    1. move each partition's offset, only where token and old offset still hold (the fence);
    2. panes, seen ids, the label join and what it adds to performance panes, dead letters, counts.

A partition whose fence does not hold is left out and reported. An error anywhere rolls all of it back.
A COMMIT whose answer was lost is known by the next attempt: the offset is the new one under the own token.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine, bindparam, delete, insert, select, text, update

from detectors.ragged import Ragged
from monitor.checkpoint import Absorb, JoinedRows, PaneBlob, PartitionCut
from monitor.events import DeadLetter, PartitionKey
from monitor.labels import last_of_each
from monitor.store.errors import DATABASE_ERRORS, classify, deadlocked
from monitor.store.join import PAYLOADS, SENT, JoinTable, joined, label_columns, prediction_columns
from monitor.store.join_postgres import PostgresJoin
from monitor.store.join_sqlite import SqliteJoin
from monitor.store.schema import cursor, pane, seen_ids
from monitor.store.terms import Terms

DEADLOCK_TRIES = 5

_PANE = text(
    """INSERT INTO pane (source, topic, part, model, kind, pane_start_ms, version, rows, unsettled, blob)
    VALUES (:source, :topic, :part, :model, :kind, :pane_start_ms, 1, :rows, true, :blob)
    ON CONFLICT (source, topic, part, model, kind, pane_start_ms) DO UPDATE
    SET version = pane.version + 1, rows = excluded.rows, unsettled = true, blob = excluded.blob"""
)
# a pane that never held a row has no window: rows with an absurd time would make one
_LATE = text(
    """INSERT INTO pane (source, topic, part, model, kind, pane_start_ms, version, rows, unsettled, blob)
    SELECT source, topic, part, model, 'late', pane_start_ms, 1, :rows, true, :blob FROM pane
    WHERE source = :source AND topic = :topic AND part = :part AND model = :model AND kind = 'inputs'
      AND pane_start_ms = :pane_start_ms
    ON CONFLICT (source, topic, part, model, kind, pane_start_ms) DO UPDATE
    SET version = pane.version + 1, rows = pane.rows + excluded.rows, unsettled = true"""
)
_COUNT = text(
    """INSERT INTO event_count (source, topic, part, name, value) VALUES (:source, :topic, :part, :name, :value)
    ON CONFLICT (source, topic, part, name) DO UPDATE SET value = event_count.value + excluded.value"""
)
_DEAD = text(
    """INSERT INTO dead_letter (source, topic, part, log_offset, idx, reason, detail, excerpt, ts_ms, at_ms)
    VALUES (:source, :topic, :part, :log_offset, :idx, :reason, :detail, :excerpt, :ts_ms, :at_ms)
    ON CONFLICT DO NOTHING"""
)
_FENCED_MOVE = (
    update(cursor)
    .where(
        cursor.c.source == bindparam("s"),
        cursor.c.topic == bindparam("t"),
        cursor.c.part == bindparam("p"),
    )
    .values(next_offset=bindparam("n"), max_ts_ms=bindparam("m"), idle=bindparam("i"), seen_at_ms=bindparam("at"))
)


class Committer:
    """Writes checkpoints. `fenced` is False only in the test that shows what the fence is for.

    payloads: which of PAYLOADS any model needs; where it is none, rows have a fixed width.
    """

    def __init__(self, engine: Engine, terms: Terms) -> None:
        self._engine = engine
        self._terms = terms
        self.fenced = True
        self.payloads: tuple[str, ...] = PAYLOADS
        self._mostly_new: dict[str, bool] = {}

    def write(self, cuts: list[PartitionCut], absorb: Absorb, wait_ms: dict[str, int]) -> set[PartitionKey]:
        """Returns the partitions that another process owns now. Raises StoreUnavailable, StoreError."""
        lost: set[PartitionKey] = set()
        ordered = sorted(cuts, key=lambda c: c.key)
        for _, group in groupby(ordered, key=lambda c: (c.key.source, c.key.topic)):
            lost |= self._write_topic(list(group), absorb, wait_ms)
        return lost

    def _write_topic(self, cuts: list[PartitionCut], absorb: Absorb, wait_ms: dict[str, int]) -> set[PartitionKey]:
        for attempt in range(1, DEADLOCK_TRIES + 1):
            try:
                learn_terms(self._terms, cuts)  # in a transaction of its own, before the locks
                with self._engine.begin() as conn:
                    return self._apply(conn, cuts, absorb, wait_ms)
            except DATABASE_ERRORS as error:
                if not deadlocked(error) or attempt == DEADLOCK_TRIES:
                    raise classify(error) from error
        raise AssertionError("unreachable")

    def _apply(self, conn: Connection, cuts: list[PartitionCut], absorb: Absorb, wait_ms: dict[str, int]) -> set[PartitionKey]:
        lost: set[PartitionKey] = set()
        owned = []
        for cut in cuts:
            if self._move(conn, cut):
                owned.append(cut)
            elif not self._is_written(conn, cut):
                lost.add(cut.key)
        for cut in owned:
            self._write_one(conn, cut)
        self._join(conn, owned, absorb, wait_ms)
        for cut in owned:
            if cut.counts:
                where = {"source": cut.key.source, "topic": cut.key.topic, "part": cut.key.partition}
                conn.execute(_COUNT, [{**where, "name": n, "value": v} for n, v in sorted(cut.counts.items())])
        return lost

    def _join(self, conn: Connection, cuts: list[PartitionCut], absorb: Absorb, wait_ms: dict[str, int]) -> None:
        """Join the halves of all these partitions at once: every writer locks ids in one order.

        Which of the partitions counts the outcomes does not matter, as panes are merged; the first one does.
        """
        waiting = [w for cut in cuts for w in cut.waiting if len(w.ids)]
        arrived = [cut.labels for cut in cuts if cut.labels is not None and len(cut.labels.ids)]
        if not waiting and not arrived:
            return
        raw: Any = conn.connection.driver_connection
        table: JoinTable = (
            PostgresJoin(raw, self.payloads, self._mostly_new)
            if conn.dialect.name == "postgresql"
            else SqliteJoin(raw, self.payloads)
        )
        outcomes: list[JoinedRows] = []
        expired = 0
        if waiting:
            ids, columns = _stack([(w.ids, prediction_columns(w, self._terms)) for w in waiting])
            payload = self._payload("prediction", [w.payload for w in waiting], [len(w.ids) for w in waiting])
            rows, late = joined(table.predictions(ids, columns, payload), self._terms, wait_ms, corrects=False)
            outcomes, expired = outcomes + rows, expired + late
        if arrived:
            labels = arrived[0] if len(arrived) == 1 else last_of_each(arrived)
            payload = self._payload("label", [labels.payload], [len(labels.ids)])
            slots = table.labels(labels.ids, label_columns(labels, self._terms), payload)
            rows, late = joined(slots, self._terms, wait_ms, corrects=True)
            outcomes, expired = outcomes + rows, expired + late
        first = cuts[0]
        if outcomes:
            _write_panes(conn, first.key, absorb(first.key, outcomes, _reader(conn, first.key)))
        if expired:
            first.counts["label_expired"] = expired  # set, not added: an attempt that is repeated counts once

    def _payload(self, kind: str, parts: list[Ragged | None], rows: list[int]) -> Ragged | None:
        """The payloads of rows; where no model needs those of this half, none are sent."""
        if SENT[kind] not in self.payloads:
            return None
        return Ragged.joined(parts, rows, np.uint8) or Ragged.missing(sum(rows), np.uint8)

    def _move(self, conn: Connection, cut: PartitionCut) -> bool:
        """The fence: compare and set on (token, offset)."""
        statement = _FENCED_MOVE
        if self.fenced:
            statement = statement.where(cursor.c.token == cut.token, cursor.c.next_offset == cut.expected_offset)
        key = cut.key
        done = conn.execute(
            statement,
            {
                "s": key.source, "t": key.topic, "p": key.partition,
                "n": cut.next_offset, "m": cut.max_ts_ms, "i": cut.idle, "at": cut.now_ms,
            },
        )  # fmt: skip
        return bool(done.rowcount == 1)

    def _is_written(self, conn: Connection, cut: PartitionCut) -> bool:
        """Whether this very cut was committed by an attempt whose answer was lost."""
        key = cut.key
        row = conn.execute(
            select(cursor.c.token, cursor.c.next_offset).where(
                cursor.c.source == key.source, cursor.c.topic == key.topic, cursor.c.part == key.partition
            )
        ).first()
        return row is not None and row.token == cut.token and row.next_offset == cut.next_offset

    def _write_one(self, conn: Connection, cut: PartitionCut) -> None:
        """All of a partition but the join."""
        key = cut.key
        _write_panes(conn, key, cut.panes)
        where = {"source": key.source, "topic": key.topic, "part": key.partition}
        for late in cut.late:
            values = {"model": late.model, "pane_start_ms": late.pane_start_ms, "rows": late.rows, "blob": b""}
            conn.execute(_LATE, {**where, **values})
        if cut.seen_before_ms is not None:
            conn.execute(
                delete(seen_ids).where(
                    seen_ids.c.source == key.source, seen_ids.c.topic == key.topic,
                    seen_ids.c.part == key.partition, seen_ids.c.expires_ms <= cut.seen_before_ms,
                )
            )  # fmt: skip
        fresh = [s for s in cut.seen if cut.seen_before_ms is None or s.expires_ms > cut.seen_before_ms]
        if fresh:
            conn.execute(insert(seen_ids), [{**where, "expires_ms": s.expires_ms, "blob": s.blob} for s in fresh])
        if cut.dead:
            conn.execute(_DEAD, [{**where, **_dead_row(d), "at_ms": cut.now_ms} for d in cut.dead])


def learn_terms(terms: Terms, cuts: list[PartitionCut]) -> None:
    """Make numbers for the strings of these cuts."""
    for cut in cuts:
        for waiting in cut.waiting:
            terms.learn([waiting.model, *waiting.group.values, *waiting.label.values])
        if cut.labels is not None:
            terms.learn(cut.labels.label.values)


def _stack(halves: list[tuple[Any, dict[str, Any]]]) -> tuple[Any, dict[str, npt.NDArray[Any]]]:
    ids = np.concatenate([ids for ids, _ in halves])
    return ids, {name: np.concatenate([c[name] for _, c in halves]) for name in halves[0][1]}


def _write_panes(conn: Connection, key: PartitionKey, panes: Iterable[PaneBlob]) -> None:
    rows = [
        {
            "source": key.source, "topic": key.topic, "part": key.partition, "model": p.model, "kind": p.kind,
            "pane_start_ms": p.pane_start_ms, "rows": p.rows, "blob": p.blob,
        }
        for p in panes
    ]  # fmt: skip
    if rows:
        conn.execute(_PANE, rows)


def _reader(conn: Connection, key: PartitionKey) -> Any:
    def read(model: str, pane_start_ms: int) -> bytes | None:
        found = conn.execute(
            select(pane.c.blob).where(
                pane.c.source == key.source, pane.c.topic == key.topic, pane.c.part == key.partition,
                pane.c.model == model, pane.c.kind == "performance", pane.c.pane_start_ms == pane_start_ms,
            )
        ).scalar()  # fmt: skip
        return None if found is None else bytes(found)

    return read


def _dead_row(letter: DeadLetter) -> dict[str, Any]:
    detail = letter.detail.replace("\0", "\\0").encode("utf-8", "replace").decode()
    return {
        "log_offset": letter.offset, "idx": letter.index, "reason": letter.reason, "detail": detail,
        "excerpt": letter.excerpt, "ts_ms": letter.ts_ms,
    }  # fmt: skip
