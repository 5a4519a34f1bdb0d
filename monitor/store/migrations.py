"""The store's schema, release by release. Steps only go forward and are never edited once released.

All missing steps run in one transaction under a lock, so that two who migrate at once do it once.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, inspect, text

from monitor.store.errors import StoreTooNew

LOCK = 0x64726966_7464  # "driftd", for pg_advisory_xact_lock

_PART = "source TEXT NOT NULL, topic TEXT NOT NULL, part INTEGER NOT NULL"
_ALERT = """rule TEXT, severity TEXT, model TEXT, version TEXT, segment TEXT, subject TEXT, score TEXT,
  status TEXT, reason TEXT, value {float}, threshold {float}, rows BIGINT, window_start_ms BIGINT,
  window_end_ms BIGINT, since_ms BIGINT, revision INTEGER, at_ms BIGINT"""

V1 = (
    f"""CREATE TABLE partition_cursor ({_PART}, role TEXT NOT NULL, token TEXT NOT NULL, owner TEXT NOT NULL,
      next_offset BIGINT NOT NULL, max_ts_ms BIGINT, idle BOOLEAN NOT NULL, seen_at_ms BIGINT NOT NULL,
      PRIMARY KEY (source, topic, part))""",
    f"""CREATE TABLE pane ({_PART}, model TEXT NOT NULL, kind TEXT NOT NULL, pane_start_ms BIGINT NOT NULL,
      version BIGINT NOT NULL, rows BIGINT NOT NULL, unsettled BOOLEAN NOT NULL, blob {{blob}} NOT NULL,
      PRIMARY KEY (source, topic, part, model, kind, pane_start_ms))""",
    "CREATE INDEX pane_unsettled ON pane (model, pane_start_ms) WHERE unsettled",
    "CREATE INDEX pane_by_time ON pane (model, pane_start_ms)",
    f"CREATE TABLE seen_ids (id {{serial}}, {_PART}, expires_ms BIGINT NOT NULL, blob {{blob}} NOT NULL)",
    "CREATE INDEX seen_ids_by_partition ON seen_ids (source, topic, part, expires_ms)",
    "CREATE TABLE term (id {int_serial}, text TEXT NOT NULL UNIQUE)",
    """CREATE TABLE join_slot (id {id16} PRIMARY KEY, ts_ms BIGINT NOT NULL, pane_start_ms BIGINT NOT NULL,
      score {float} {null}, label_ts_ms BIGINT NOT NULL, true_value {float} {null}, old_label_ts_ms BIGINT NOT NULL,
      old_true_value {float} {null}, model INTEGER NOT NULL, grp INTEGER NOT NULL, label INTEGER NOT NULL,
      true_label INTEGER NOT NULL, old_true_label INTEGER NOT NULL) {slot_options}""",
    f"""CREATE TABLE dead_letter ({_PART}, log_offset BIGINT NOT NULL, idx INTEGER NOT NULL, reason TEXT NOT NULL,
      detail TEXT NOT NULL, excerpt {{blob}} NOT NULL, ts_ms BIGINT NOT NULL, at_ms BIGINT NOT NULL,
      PRIMARY KEY (source, topic, part, log_offset, idx, reason))""",
    "CREATE INDEX dead_letter_by_time ON dead_letter (at_ms)",
    f"""CREATE TABLE event_count ({_PART}, name TEXT NOT NULL, value BIGINT NOT NULL,
      PRIMARY KEY (source, topic, part, name))""",
    """CREATE TABLE model_window (model TEXT NOT NULL, start_ms BIGINT NOT NULL, end_ms BIGINT NOT NULL,
      revision INTEGER NOT NULL, rows BIGINT NOT NULL, labelled_rows BIGINT NOT NULL, late_rows BIGINT NOT NULL,
      reference TEXT NOT NULL, config_hash TEXT NOT NULL, inputs TEXT NOT NULL, published_ms BIGINT NOT NULL,
      PRIMARY KEY (model, start_ms))""",
    """CREATE TABLE score (model TEXT NOT NULL, window_start_ms BIGINT NOT NULL, version TEXT NOT NULL,
      segment TEXT NOT NULL, subject TEXT NOT NULL, score TEXT NOT NULL, window_end_ms BIGINT NOT NULL,
      revision INTEGER NOT NULL, value {float}, rows BIGINT NOT NULL, reference TEXT NOT NULL, threshold {float},
      level TEXT NOT NULL, PRIMARY KEY (model, window_start_ms, version, segment, subject, score))""",
    "CREATE INDEX score_by_subject ON score (model, subject, score, window_start_ms)",
    "CREATE TABLE model_state (model TEXT NOT NULL, name TEXT NOT NULL, blob {blob} NOT NULL, PRIMARY KEY (model, name))",
    "CREATE TABLE model_lock (model TEXT NOT NULL PRIMARY KEY)",
    f"CREATE TABLE alert (alert TEXT NOT NULL PRIMARY KEY, {_ALERT})",
    "CREATE INDEX alert_by_status ON alert (status, model)",
    f"CREATE TABLE alert_history (id {{serial}}, alert TEXT NOT NULL, {_ALERT})",
    "CREATE INDEX alert_history_by_alert ON alert_history (alert)",
    """CREATE TABLE outbox (seq {serial}, key TEXT NOT NULL UNIQUE, channel TEXT NOT NULL, grp TEXT NOT NULL,
      alert TEXT NOT NULL, body TEXT NOT NULL, created_ms BIGINT NOT NULL, state TEXT NOT NULL,
      attempts INTEGER NOT NULL, next_at_ms BIGINT NOT NULL, lease_until_ms BIGINT NOT NULL, error TEXT NOT NULL,
      sent_ms BIGINT)""",
    "CREATE INDEX outbox_due ON outbox (channel, grp, seq) WHERE state = 'due'",
    "CREATE TABLE channel_state (channel TEXT NOT NULL PRIMARY KEY, blob {blob} NOT NULL)",
    """CREATE TABLE reference (model TEXT NOT NULL, name TEXT NOT NULL, rows BIGINT NOT NULL,
      created_ms BIGINT NOT NULL, active BOOLEAN NOT NULL, blob {blob} NOT NULL, PRIMARY KEY (model, name))""",
)

V2 = (
    "ALTER TABLE score ADD COLUMN rule TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE score ADD COLUMN evidence TEXT NOT NULL DEFAULT ''",
)

_LIFECYCLE = ("grp", "level", "reference", "evidence", "labels")
V3 = (
    *(f"ALTER TABLE {table} ADD COLUMN {name} TEXT" for table in ("alert", "alert_history") for name in _LIFECYCLE),
    "CREATE INDEX alert_by_group ON alert (grp)",
    """CREATE TABLE alert_audit (id {serial}, at_ms BIGINT NOT NULL, kind TEXT NOT NULL, alert TEXT NOT NULL,
      grp TEXT NOT NULL, model TEXT NOT NULL, author TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL)""",
    "CREATE INDEX alert_audit_by_alert ON alert_audit (alert, id)",
    "CREATE INDEX alert_audit_by_group ON alert_audit (grp, id)",
    "CREATE INDEX alert_audit_by_time ON alert_audit (at_ms)",
    """CREATE TABLE alert_ack (alert TEXT NOT NULL PRIMARY KEY, since_ms BIGINT NOT NULL, author TEXT NOT NULL,
      comment TEXT NOT NULL, at_ms BIGINT NOT NULL)""",
    """CREATE TABLE silence (id TEXT NOT NULL PRIMARY KEY, matchers TEXT NOT NULL, starts_ms BIGINT NOT NULL,
      ends_ms BIGINT NOT NULL, author TEXT NOT NULL, reason TEXT NOT NULL, created_ms BIGINT NOT NULL)""",
    "CREATE INDEX silence_by_end ON silence (ends_ms)",
)

# nullable, so that nothing is rewritten
V4 = tuple(f"ALTER TABLE join_slot ADD COLUMN {name} {{blob}}" for name in ("payload", "true_payload", "old_true_payload"))

V5 = (
    """CREATE TABLE resource_sample (model TEXT NOT NULL, source TEXT NOT NULL, ts_ms BIGINT NOT NULL,
      sample TEXT NOT NULL, PRIMARY KEY (model, source, ts_ms))""",
    "CREATE INDEX resource_sample_by_time ON resource_sample (model, ts_ms)",
)

V6 = (
    """CREATE TABLE retrain (id TEXT NOT NULL PRIMARY KEY, channel TEXT NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL,
      status TEXT NOT NULL, reason TEXT NOT NULL, request TEXT NOT NULL, requested_ms BIGINT NOT NULL, begun_ms BIGINT NOT NULL,
      started_ms BIGINT NOT NULL, finished_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL, next_at_ms BIGINT NOT NULL,
      lease_until_ms BIGINT NOT NULL, attempts INTEGER NOT NULL, author TEXT NOT NULL, run TEXT NOT NULL, run_url TEXT NOT NULL,
      error TEXT NOT NULL, new_version TEXT NOT NULL, verdict TEXT NOT NULL, verdict_detail TEXT NOT NULL,
      reference TEXT NOT NULL)""",
    "CREATE INDEX retrain_by_model ON retrain (model, requested_ms)",
    "CREATE INDEX retrain_due ON retrain (next_at_ms) WHERE next_at_ms >= 0",
)

V7 = ("CREATE INDEX alert_history_by_window ON alert_history (model, window_end_ms)",)

V8 = (
    "ALTER TABLE reference ADD COLUMN active_from_ms BIGINT NOT NULL DEFAULT -1",
    "UPDATE reference SET active_from_ms = 0 WHERE active",
)

V9 = (
    """CREATE TABLE reference_score (model TEXT NOT NULL, reference TEXT NOT NULL, segment TEXT NOT NULL, subject TEXT NOT NULL,
      score TEXT NOT NULL, value {float}, rows BIGINT NOT NULL, PRIMARY KEY (model, reference, subject, score, segment))""",
)

V10 = (
    *(f"ALTER TABLE retrain ADD COLUMN {name} BIGINT NOT NULL DEFAULT -1" for name in ("allowed_ms", "labels_from_ms")),
    "ALTER TABLE retrain ADD COLUMN labels_before BIGINT NOT NULL DEFAULT 0",
    "UPDATE retrain SET allowed_ms = requested_ms",
)

STEPS: tuple[tuple[str, ...], ...] = (V1, V2, V3, V4, V5, V6, V7, V8, V9, V10)
LATEST = len(STEPS)

_TYPES = {
    "postgresql": {
        "blob": "BYTEA",
        "float": "DOUBLE PRECISION",
        "serial": "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        "int_serial": "INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        "id16": "UUID",
        "null": "NOT NULL",
        "slot_options": "WITH (fillfactor = 50)",  # room for the other half beside the first: no index is touched
    },
    "sqlite": {
        "blob": "BLOB",
        "float": "FLOAT",
        "serial": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "int_serial": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "id16": "BLOB",
        "null": "",  # SQLite stores NaN as null
        "slot_options": "WITHOUT ROWID",
    },
}


def current_version(conn: Connection) -> int:
    """0 for an empty database."""
    if not inspect(conn).has_table("schema_version"):
        return 0
    found = conn.execute(text("SELECT max(version) FROM schema_version")).scalar()
    return int(found or 0)


def require_known(version: int) -> None:
    """Raises StoreTooNew for a schema that only a newer release knows."""
    if version > LATEST:
        raise StoreTooNew(
            f"the store has schema version {version}, this release knows up to {LATEST}: run the newer driftd, "
            "or restore a backup that was made before its migration"
        )


def migrate(conn: Connection, now_ms: int | None = None) -> int:
    """Apply what is missing, inside the caller's transaction; returns the version reached."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(:k)"), {"k": LOCK})
    version = current_version(conn)
    require_known(version)
    types = _TYPES[conn.dialect.name]
    if version == 0:
        conn.exec_driver_sql(
            "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL PRIMARY KEY, applied_ms BIGINT NOT NULL)"
        )
    for number, statements in enumerate(STEPS, start=1):
        if number <= version:
            continue
        for statement in statements:
            conn.exec_driver_sql(statement.format(**types))
        at = time.time_ns() // 1_000_000 if now_ms is None else now_ms
        conn.execute(text("INSERT INTO schema_version (version, applied_ms) VALUES (:v, :t)"), {"v": number, "t": at})
    return LATEST
