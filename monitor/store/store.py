"""The store: claims, checkpoints, publishing, references and what people read, on PostgreSQL or SQLite."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, and_, or_, select, text

from monitor.checkpoint import Absorb, Claim, PaneBlob, PartitionCut, ResourceSample, SeenIds
from monitor.events import PartitionKey
from monitor.store import migrations, retention
from monitor.store.actions import Actions
from monitor.store.commit import Committer
from monitor.store.digests import Digests
from monitor.store.errors import DATABASE_ERRORS, StoreError, classify
from monitor.store.outbox import Outbox
from monitor.store.publish import PublishingTransaction
from monitor.store.reading import Reading
from monitor.store.references import activate
from monitor.store.retrains import Retrains
from monitor.store.roll import AlertRoll
from monitor.store.schema import alert, event_count, pane, reference, seen_ids, window
from monitor.store.terms import Terms

_CLAIM = text(
    """INSERT INTO partition_cursor (source, topic, part, role, token, owner, next_offset, max_ts_ms, idle, seen_at_ms)
    VALUES (:source, :topic, :part, :role, :token, :owner, -1, NULL, false, :now)
    ON CONFLICT (source, topic, part) DO UPDATE
    SET token = excluded.token, owner = excluded.owner, role = excluded.role, idle = false, seen_at_ms = excluded.seen_at_ms
    RETURNING next_offset, max_ts_ms"""
)


@dataclass(frozen=True, slots=True)
class StoredReference:
    """A reference profile as it lies in the store."""

    model: str
    name: str
    rows: int
    created_ms: int
    active: bool  # the one that was activated last
    blob: bytes
    active_from_ms: int = -1  # event time from which panes count in it; -1: never, or, saved as active, see store/references.py


class Store:
    """One database. Methods raise StoreUnavailable (try again) or StoreError (do not)."""

    def __init__(self, engine: Engine, on_close: Any = lambda: None) -> None:
        self.engine = engine
        self._reader = engine.execution_options(reads=True)
        self.label_wait_ms: dict[str, int] = {}
        self.max_pending: dict[str, int] = {}
        self.sample_keep_ms: dict[str, int] = {}
        self._terms = Terms(engine)
        self.committer = Committer(engine, self._terms)
        self.outbox = Outbox(engine)
        self.actions = Actions(engine)
        self.reading = Reading(engine)
        self.retrains = Retrains(engine)
        self.digests = Digests(engine)
        self.roll = AlertRoll(engine)
        self._on_close = on_close

    def close(self) -> None:
        self.engine.dispose()
        self._on_close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DATABASE_ERRORS as error:
            raise classify(error) from error

    # schema

    def migrate(self) -> int:
        """Bring the tables to this release's shape; returns the version reached."""
        with self._errors(), self.engine.begin() as conn:
            return migrations.migrate(conn)

    def schema_version(self) -> int:
        with self._errors(), self._reader.connect() as conn:
            return migrations.current_version(conn)

    def require_schema(self) -> None:
        """Raises StoreError unless the tables have this release's shape."""
        version = self.schema_version()
        migrations.require_known(version)
        if version < migrations.LATEST:
            raise StoreError(
                f"the store has schema version {version}, this release needs {migrations.LATEST}: "
                "run `driftd migrate -c config.yaml`"
            )

    # the data loop

    def claim(self, roles: dict[PartitionKey, str], owner: str, now_ms: int, keep_ms: int) -> dict[PartitionKey, Claim]:
        """Take partitions over: a new token for each, and its last checkpoint.

        roles: "events" or "labels" of each partition. keep_ms: how far behind a partition's clock a pane may
        start and still be open.
        """
        with self._errors(), self.engine.begin() as conn:
            out = {}
            for key in sorted(roles):
                where = {"source": key.source, "topic": key.topic, "part": key.partition}
                token = uuid.uuid4().hex
                row = conn.execute(_CLAIM, {**where, "role": roles[key], "token": token, "owner": owner, "now": now_ms}).one()
                clock = row.max_ts_ms
                out[key] = Claim(key, token, row.next_offset, clock, [], [])
                clock = -1 if clock is None else clock
                p, s = pane.c, seen_ids.c
                for found in conn.execute(
                    select(p.model, p.kind, p.pane_start_ms, p.blob, p.rows).where(
                        p.source == key.source, p.topic == key.topic, p.part == key.partition,
                        or_(and_(p.kind == "inputs", p.pane_start_ms >= clock - keep_ms), p.kind == "pending"),
                    )
                ):  # fmt: skip
                    out[key].panes.append(PaneBlob(found[0], found[1], found[2], bytes(found[3]), found[4]))
                for ids in conn.execute(
                    select(s.expires_ms, s.blob)
                    .where(s.source == key.source, s.topic == key.topic, s.part == key.partition, s.expires_ms > clock)
                    .order_by(s.id)
                ):
                    out[key].seen.append(SeenIds(ids[0], bytes(ids[1])))
            return out

    def checkpoint(self, cuts: list[PartitionCut], absorb: Absorb) -> set[PartitionKey]:
        """Write cuts; returns the partitions that another process owns now, whose cuts were not written."""
        return self.committer.write(cuts, absorb, self.label_wait_ms)

    @contextlib.contextmanager
    def publishing(self, model: str) -> Iterator[PublishingTransaction | None]:
        """A transaction that holds the model's lock; None if another replica holds it."""
        with self._errors(), self.engine.begin() as conn:
            conn.execute(text("INSERT INTO model_lock (model) VALUES (:m) ON CONFLICT DO NOTHING"), {"m": model})
            if conn.dialect.name == "postgresql":
                query = text("SELECT model FROM model_lock WHERE model = :m FOR UPDATE SKIP LOCKED")
                if conn.execute(query, {"m": model}).first() is None:
                    yield None
                    return
            yield PublishingTransaction(conn, model)

    def retire(self, now_ms: int, panes_ms: int, windows_ms: int, dead_letters_ms: int) -> dict[str, int]:
        """Delete what is over its age; returns rows removed by table."""
        return retention.retire(
            self.engine, now_ms, panes_ms, windows_ms, dead_letters_ms, self.label_wait_ms, self.max_pending, self.sample_keep_ms
        )

    def add_resource_samples(self, samples: list[ResourceSample]) -> None:
        """Keep samples; one of the same source and time is the same one."""
        rows = [{"m": s.model, "s": s.source, "t": s.ts_ms, "v": s.to_json()} for s in samples]
        statement = text(
            "INSERT INTO resource_sample (model, source, ts_ms, sample) VALUES (:m, :s, :t, :v) ON CONFLICT DO NOTHING"
        )
        with self._errors(), self.engine.begin() as conn:
            conn.execute(statement, rows)

    # references

    def references(self, model: str | None = None) -> list[StoredReference]:
        query = select(reference).order_by(reference.c.model, reference.c.created_ms, reference.c.name)
        if model is not None:
            query = query.where(reference.c.model == model)
        with self._errors(), self._reader.connect() as conn:
            return [StoredReference(**{**r, "blob": bytes(r["blob"])}) for r in conn.execute(query).mappings()]

    def reference_marks(self) -> dict[str, tuple[tuple[tuple[int, str], ...], frozenset[str]]]:
        """Model -> ((active_from_ms, name) in order, all names): what a look needs to see that something changed."""
        c = reference.c
        rows = self.rows(select(c.model, c.name, c.active_from_ms).order_by(c.active_from_ms, c.name))
        out = {}
        for model in {r["model"] for r in rows}:
            mine = [r for r in rows if r["model"] == model]
            activations = tuple((r["active_from_ms"], r["name"]) for r in mine if r["active_from_ms"] >= 0)
            out[model] = activations, frozenset(r["name"] for r in mine)
        return out

    def save_reference(self, stored: StoredReference) -> None:
        """Add a reference; an active one takes the place of the model's active one, as activated when it was created."""
        with self._errors(), self.engine.begin() as conn:
            values = {f: getattr(stored, f) for f in StoredReference.__dataclass_fields__}
            conn.execute(reference.insert().values(**values))
            if stored.active and stored.active_from_ms < 0:
                activate(conn, stored.model, stored.name, stored.created_ms)

    def activate_reference(self, model: str, name: str, now_ms: int, all_time: bool = False) -> int | None:
        """Make a reference the model's active one; from which event time on (ms), or None if there is none of that name."""
        with self._errors(), self.engine.begin() as conn:
            return activate(conn, model, name, now_ms, all_time)

    # what people read

    def alerts(self, status: str | None = None, model: str | None = None) -> list[dict[str, Any]]:
        """The last state of each alert, newest first."""
        query = select(alert).order_by(alert.c.at_ms.desc(), alert.c.alert)
        if status is not None:
            query = query.where(alert.c.status == status)
        if model is not None:
            query = query.where(alert.c.model == model)
        return self.rows(query)

    def windows(self, model: str | None = None) -> list[dict[str, Any]]:
        query = select(window).order_by(window.c.model, window.c.start_ms)
        return self.rows(query if model is None else query.where(window.c.model == model))

    def counts(self) -> dict[PartitionKey, dict[str, int]]:
        """What each partition's messages came to: consumed, accepted and each reason."""
        out: dict[PartitionKey, dict[str, int]] = {}
        for r in self.rows(select(event_count)):
            out.setdefault(PartitionKey(r["source"], r["topic"], r["part"]), {})[r["name"]] = r["value"]
        return out

    def rows(self, query: Any) -> list[dict[str, Any]]:
        """Run a select and return its rows as dicts."""
        with self._errors(), self._reader.connect() as conn:
            return [dict(r) for r in conn.execute(query).mappings()]

    def stream(self, query: Any, size: int = 5_000) -> Iterator[list[dict[str, Any]]]:
        """Run a select and yield its rows in pieces."""
        with self._errors(), self._reader.connect().execution_options(stream_results=True) as conn:
            for part in conn.execute(query).mappings().partitions(size):
                yield [dict(r) for r in part]
