"""The tables, as SQLAlchemy Core knows them. People query them from Grafana: README lists the columns.

Times are integers, ms since 1970 UTC. monitor/store/migrations.py makes the tables; a test holds the two equal.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, MetaData, Table, Text, text
from sqlalchemy.sql.elements import ColumnElement

metadata = MetaData()
NO_TIME = -(2**63)  # in join_slot: the half is not there yet. All its columns but the payloads are fixed in width and never null


def _partition() -> list[Column[object]]:
    return [
        Column("source", Text, primary_key=True),
        Column("topic", Text, primary_key=True),
        Column("part", Integer, primary_key=True, autoincrement=False),
    ]


schema_version = Table(
    "schema_version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("applied_ms", BigInteger, nullable=False),
)

# One row a partition: the fence (token, next_offset) and what its owner knows of time.
cursor = Table(
    "partition_cursor",
    metadata,
    *_partition(),
    Column("role", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("max_ts_ms", BigInteger),
    Column("idle", Boolean, nullable=False),
    Column("seen_at_ms", BigInteger, nullable=False),
)

# Summaries of one partition, model and pane. unsettled: not yet in all its windows.
pane = Table(
    "pane",
    metadata,
    *_partition(),
    Column("model", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("pane_start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("unsettled", Boolean, nullable=False),
    Column("blob", LargeBinary, nullable=False),
)
Index(
    "pane_unsettled",
    pane.c.model,
    pane.c.pane_start_ms,
    postgresql_where=text("unsettled"),
    sqlite_where=text("unsettled"),
)
Index("pane_by_time", pane.c.model, pane.c.pane_start_ms)

seen_ids = Table(
    "seen_ids",
    metadata,
    Column("id", Integer().with_variant(BigInteger(), "postgresql"), primary_key=True, autoincrement=True),
    Column("source", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("part", Integer, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("blob", LargeBinary, nullable=False),
)
Index("seen_ids_by_partition", seen_ids.c.source, seen_ids.c.topic, seen_ids.c.part, seen_ids.c.expires_ms)

# Strings that join_slot holds as numbers; 0 stands for none.
term = Table(
    "term",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("text", Text, nullable=False, unique=True),
)

dead_letter = Table(
    "dead_letter",
    metadata,
    *_partition(),
    Column("log_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("idx", Integer, primary_key=True, autoincrement=False),
    Column("reason", Text, primary_key=True),
    Column("detail", Text, nullable=False),
    Column("excerpt", LargeBinary, nullable=False),
    Column("ts_ms", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
Index("dead_letter_by_time", dead_letter.c.at_ms)

event_count = Table(
    "event_count",
    metadata,
    *_partition(),
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

window = Table(
    "model_window",
    metadata,
    Column("model", Text, primary_key=True),
    Column("start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("end_ms", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("labelled_rows", BigInteger, nullable=False),
    Column("late_rows", BigInteger, nullable=False),
    Column("reference", Text, nullable=False),
    Column("config_hash", Text, nullable=False),
    Column("inputs", Text, nullable=False),
    Column("published_ms", BigInteger, nullable=False),
)


def each_row_once() -> ColumnElement[bool]:
    """Windows that lie side by side: of sliding ones, which share rows, every so many."""
    return window.c.start_ms % (window.c.end_ms - window.c.start_ms) == 0


score = Table(
    "score",
    metadata,
    Column("model", Text, primary_key=True),
    Column("window_start_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("version", Text, primary_key=True),
    Column("segment", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("score", Text, primary_key=True),
    Column("window_end_ms", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("value", Float(53)),
    Column("rows", BigInteger, nullable=False),
    Column("reference", Text, nullable=False),
    Column("threshold", Float(53)),
    Column("level", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("evidence", Text, nullable=False),
)
Index("score_by_subject", score.c.model, score.c.subject, score.c.score, score.c.window_start_ms)

# What the publishing transaction carries from window to window: the alert book, the learned baseline.
model_state = Table(
    "model_state",
    metadata,
    Column("model", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("blob", LargeBinary, nullable=False),
)
model_lock = Table("model_lock", metadata, Column("model", Text, primary_key=True))

_ALERT = (
    ("rule", Text), ("severity", Text), ("model", Text), ("version", Text), ("segment", Text),
    ("subject", Text), ("score", Text), ("status", Text), ("reason", Text), ("value", Float(53)),
    ("threshold", Float(53)), ("rows", BigInteger), ("window_start_ms", BigInteger),
    ("window_end_ms", BigInteger), ("since_ms", BigInteger), ("revision", Integer), ("at_ms", BigInteger),
    ("grp", Text), ("level", Text), ("reference", Text), ("evidence", Text), ("labels", Text),
)  # fmt: skip
ALERT_COLUMNS = ("alert", *(name for name, _ in _ALERT))
alert = Table("alert", metadata, Column("alert", Text, primary_key=True), *(Column(n, t) for n, t in _ALERT))
Index("alert_by_status", alert.c.status, alert.c.model)
alert_history = Table(
    "alert_history",
    metadata,
    Column("id", Integer().with_variant(BigInteger(), "postgresql"), primary_key=True, autoincrement=True),
    Column("alert", Text, nullable=False),
    *(Column(n, t) for n, t in _ALERT),
)
Index("alert_history_by_alert", alert_history.c.alert)
Index("alert_history_by_window", alert_history.c.model, alert_history.c.window_end_ms)
Index("alert_by_group", alert.c.grp)

# What people and the lifecycle did; detail is JSON. monitor/store/actions.py lists the kinds.
alert_audit = Table(
    "alert_audit",
    metadata,
    Column("id", Integer().with_variant(BigInteger(), "postgresql"), primary_key=True, autoincrement=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("alert", Text, nullable=False),  # "" where it is about more than one
    Column("grp", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
)
Index("alert_audit_by_alert", alert_audit.c.alert, alert_audit.c.id)
Index("alert_audit_by_group", alert_audit.c.grp, alert_audit.c.id)
Index("alert_audit_by_time", alert_audit.c.at_ms)
alert_ack = Table(
    "alert_ack",
    metadata,
    Column("alert", Text, primary_key=True),
    Column("since_ms", BigInteger, nullable=False),  # of the episode that was acknowledged
    Column("author", Text, nullable=False),
    Column("comment", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
)
silence = Table(
    "silence",
    metadata,
    Column("id", Text, primary_key=True),
    Column("matchers", Text, nullable=False),  # JSON: label -> patterns
    Column("starts_ms", BigInteger, nullable=False),
    Column("ends_ms", BigInteger, nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)
Index("silence_by_end", silence.c.ends_ms)

outbox = Table(
    "outbox",
    metadata,
    Column("seq", Integer().with_variant(BigInteger(), "postgresql"), primary_key=True, autoincrement=True),
    Column("key", Text, nullable=False, unique=True),
    Column("channel", Text, nullable=False),
    Column("grp", Text, nullable=False),
    Column("alert", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("state", Text, nullable=False),  # due, sent, skipped, dead
    Column("attempts", Integer, nullable=False),
    Column("next_at_ms", BigInteger, nullable=False),
    Column("lease_until_ms", BigInteger, nullable=False),
    Column("error", Text, nullable=False),
    Column("sent_ms", BigInteger),
)
Index(
    "outbox_due",
    outbox.c.channel,
    outbox.c.grp,
    outbox.c.seq,
    postgresql_where=text("state = 'due'"),
    sqlite_where=text("state = 'due'"),
)

# What was asked of training pipelines, and what came of it; see monitor/store/retrains.py. -1: never.
retrain = Table(
    "retrain",
    metadata,
    Column("id", Text, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("request", Text, nullable=False),  # JSON of alerts.retraining.request.RetrainRequest
    *(Column(n, BigInteger, nullable=False) for n in ("requested_ms", "begun_ms", "started_ms", "finished_ms", "updated_ms")),
    *(Column(n, BigInteger, nullable=False) for n in ("next_at_ms", "lease_until_ms")),
    Column("attempts", Integer, nullable=False),
    *(Column(n, Text, nullable=False) for n in ("author", "run", "run_url", "error", "new_version", "verdict")),
    Column("verdict_detail", Text, nullable=False),  # JSON
    Column("reference", Text, nullable=False),  # that the job named for the new version
    Column("allowed_ms", BigInteger, nullable=False),  # by the policy, or by a human
    *(Column(n, BigInteger, nullable=False) for n in ("labels_from_ms", "labels_before")),  # see Retrains.new_labels
)
Index("retrain_by_model", retrain.c.model, retrain.c.requested_ms)
Index("retrain_due", retrain.c.next_at_ms, postgresql_where=text("next_at_ms >= 0"), sqlite_where=text("next_at_ms >= 0"))

channel_state = Table(
    "channel_state", metadata, Column("channel", Text, primary_key=True), Column("blob", LargeBinary, nullable=False)
)

# What sources of resources said, as JSON of metric -> value.
resource_sample = Table(
    "resource_sample",
    metadata,
    Column("model", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("ts_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("sample", Text, nullable=False),
)
Index("resource_sample_by_time", resource_sample.c.model, resource_sample.c.ts_ms)

reference = Table(
    "reference",
    metadata,
    Column("model", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("rows", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("blob", LargeBinary, nullable=False),
    Column("active_from_ms", BigInteger, nullable=False),
)
# What the scores that describe a window are of the reference itself; see monitor/reference_scores.py.
reference_score = Table(
    "reference_score",
    metadata,
    Column("model", Text, primary_key=True),
    Column("reference", Text, primary_key=True),
    Column("segment", Text, primary_key=True),  # "*" where it holds for every one
    Column("subject", Text, primary_key=True),
    Column("score", Text, primary_key=True),
    Column("value", Float(53)),
    Column("rows", BigInteger, nullable=False),
)
# join_slot, whose key differs between the databases, is in monitor/store/join.py.
