"""The publishing transaction: under the model's lock, partials in, window, scores, alerts, outbox rows out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, text, update

from monitor.checkpoint import OutboxRow, Partial, PartitionState, ReferenceScore, ResourceSample, ScoreRow, WindowRow
from monitor.events import PartitionKey
from monitor.store.alert_writes import AlertWrites
from monitor.store.schema import cursor, model_state, pane, reference_score, resource_sample, score, window

_OUTBOX = text(
    """INSERT INTO outbox (key, channel, grp, alert, body, created_ms, state, attempts, next_at_ms, lease_until_ms, error)
    VALUES (:key, :channel, :grp, :alert, :body, :created_ms, 'due', 0, 0, 0, '') ON CONFLICT (key) DO NOTHING"""
)
_STATE = text(
    """INSERT INTO model_state (model, name, blob) VALUES (:model, :name, :blob)
    ON CONFLICT (model, name) DO UPDATE SET blob = excluded.blob"""
)


def enqueue(conn: Connection, rows: list[OutboxRow]) -> None:
    """Add notifications in the caller's transaction; one whose key is known already is the same one."""
    conn.execute(
        _OUTBOX,
        [
            {"key": r.key, "channel": r.channel, "grp": r.group, "alert": r.alert, "body": r.body, "created_ms": r.created_ms}
            for r in rows
        ],
    )


class PublishingTransaction(AlertWrites):
    """One open transaction of one model; see monitor.publish.Publishing."""

    def __init__(self, conn: Connection, model: str) -> None:
        self._conn = conn
        self._model = model

    def partitions(self) -> list[PartitionState]:
        """All partitions of all replicas, as their owners' last checkpoints left them."""
        c = cursor.c
        found = self._conn.execute(select(c.source, c.topic, c.part, c.role, c.next_offset, c.max_ts_ms, c.idle, c.seen_at_ms))
        return [PartitionState(PartitionKey(r[0], r[1], r[2]), *r[3:]) for r in found]

    def unsettled(self) -> list[tuple[str, int, int]]:
        """(input key, pane start in ms, version) of the panes that are not in all their windows yet."""
        c = pane.c
        found = self._conn.execute(
            select(c.source, c.topic, c.part, c.kind, c.pane_start_ms, c.version).where(c.model == self._model, c.unsettled)
        )
        return [(f"{r[0]}/{r[1]}/{r[2]}/{r[3]}/{r[4]}", r[4], r[5]) for r in found]

    def windows(self, from_ms: int) -> list[WindowRow]:
        c = window.c
        found = self._conn.execute(select(window).where(c.model == self._model, c.start_ms >= from_ms)).mappings()
        return [WindowRow(**{**r, "inputs": json.loads(r["inputs"])}) for r in found]

    def partials(self, from_ms: int, to_ms: int) -> list[Partial]:
        """The panes with from_ms <= start < to_ms, of all partitions."""
        c = pane.c
        found = self._conn.execute(
            select(c.source, c.topic, c.part, c.kind, c.pane_start_ms, c.version, c.rows, c.blob).where(
                c.model == self._model, c.pane_start_ms >= from_ms, c.pane_start_ms < to_ms
            )
        )
        return [Partial(PartitionKey(r[0], r[1], r[2]), self._model, r[3], r[4], r[5], r[6], bytes(r[7])) for r in found]

    def settle(self, panes: Iterable[tuple[str, int]]) -> None:
        """Mark (input key, version) as being in all windows, unless the pane grew meanwhile."""
        c = pane.c
        for input_key, version in panes:
            rest, kind, start = input_key.rsplit("/", 2)
            rest, part = rest.rsplit("/", 1)
            source, topic = rest.split("/", 1)
            self._conn.execute(
                update(pane)
                .where(
                    c.source == source, c.topic == topic, c.part == int(part), c.model == self._model,
                    c.kind == kind, c.pane_start_ms == int(start), c.version == version,
                )
                .values(unsettled=False)
            )  # fmt: skip

    def write_window(self, row: WindowRow, scores: list[ScoreRow]) -> None:
        """Replace a window and its scores."""
        c = window.c
        where = (c.model == row.model, c.start_ms == row.start_ms)
        values = {name: getattr(row, name) for name in WindowRow.__dataclass_fields__}
        values["inputs"] = json.dumps(row.inputs, sort_keys=True)
        if self._conn.execute(update(window).where(*where).values(**values)).rowcount == 0:
            self._conn.execute(insert(window).values(**values))
        self._conn.execute(delete(score).where(score.c.model == row.model, score.c.window_start_ms == row.start_ms))
        if scores:
            self._insert_scores(scores)

    def _insert_scores(self, scores: list[ScoreRow]) -> None:
        self._insert("score", ScoreRow._fields, scores)

    def _insert(self, table: str, fields: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
        """Many rows of plain values, as fast as the driver takes them."""
        if self._conn.dialect.name != "postgresql":
            statement = f"INSERT INTO {table} ({', '.join(fields)}) VALUES ({', '.join('?' * len(fields))})"
            self._conn.exec_driver_sql(statement, list(rows))
            return
        raw: Any = self._conn.connection.driver_connection
        with raw.cursor() as cur, cur.copy(f"COPY {table} ({', '.join(fields)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def is_described(self, name: str) -> bool:
        c = reference_score.c
        found = self._conn.execute(select(c.model).where(c.model == self._model, c.reference == name).limit(1))
        return found.first() is not None

    def describe_reference(self, name: str, rows: list[ReferenceScore]) -> None:
        """Replace what a reference is described by."""
        c = reference_score.c
        self._conn.execute(delete(reference_score).where(c.model == self._model, c.reference == name))
        if rows:
            fields = "model", "reference", *ReferenceScore._fields
            self._insert("reference_score", fields, [(self._model, name, *row) for row in rows])

    def load_state(self, name: str) -> bytes | None:
        c = model_state.c
        found = self._conn.execute(select(c.blob).where(c.model == self._model, c.name == name)).scalar()
        return None if found is None else bytes(found)

    def save_state(self, name: str, blob: bytes) -> None:
        self._conn.execute(_STATE, {"model": self._model, "name": name, "blob": blob})

    def state_names(self, prefix: str) -> list[str]:
        """The names of states that begin with a prefix, sorted."""
        c = model_state.c
        query = select(c.name).where(c.model == self._model, c.name.startswith(prefix, autoescape=True))
        return sorted(self._conn.execute(query).scalars())

    def drop_state(self, name: str) -> None:
        self._conn.execute(delete(model_state).where(model_state.c.model == self._model, model_state.c.name == name))

    def scores(self, subject: str, score_name: str, from_ms: int, to_ms: int) -> list[ScoreRow]:
        """Stored scores of the windows with from_ms <= start < to_ms, of all groups, in order of time."""
        c = score.c
        query = (
            select(score)
            .where(
                c.model == self._model, c.subject == subject, c.score == score_name,
                c.window_start_ms >= from_ms, c.window_start_ms < to_ms,
            )
            .order_by(c.window_start_ms, c.version, c.segment)
        )  # fmt: skip
        return [ScoreRow(**r) for r in self._conn.execute(query).mappings()]

    def scores_of(self, version: str, segment: str, start_ms: int) -> list[ScoreRow]:
        """Stored scores of one window of one (version, segment)."""
        c = score.c
        mine = (c.model == self._model, c.window_start_ms == start_ms, c.version == version, c.segment == segment)
        return [ScoreRow(**r) for r in self._conn.execute(select(score).where(*mine)).mappings()]

    def rewrite_scores(self, rows: list[ScoreRow]) -> None:
        """Replace single scores of windows that are published already."""
        c = score.c
        for row in rows:
            self._conn.execute(
                delete(score).where(
                    c.model == row.model, c.window_start_ms == row.window_start_ms, c.version == row.version,
                    c.segment == row.segment, c.subject == row.subject, c.score == row.score,
                )
            )  # fmt: skip
        if rows:
            self._insert_scores(rows)

    def resource_samples(self, from_ms: int, to_ms: int) -> list[ResourceSample]:
        """Samples of the model's resources with from_ms <= ts_ms < to_ms, by source and time."""
        c = resource_sample.c
        query = (
            select(c.source, c.ts_ms, c.sample)
            .where(c.model == self._model, c.ts_ms >= from_ms, c.ts_ms < to_ms)
            .order_by(c.source, c.ts_ms)
        )
        return [ResourceSample.from_json(self._model, r[0], r[1], r[2]) for r in self._conn.execute(query)]

    def enqueue(self, rows: list[OutboxRow]) -> None:
        """Add notifications; one whose key is known already is the same one."""
        enqueue(self._conn, rows)
