"""driftd itself: does it keep up, does it write, does it tell people?"""

from __future__ import annotations

from dashboards.board import board, section
from dashboards.panels import Json, bars, lines, prom, stat, table, table_sql, unit_of
from dashboards.variables import label_values, sources

UID = "driftd-daemon"
INSTANCE = label_values("instance", "Replica", "Which replicas are shown.", "label_values(driftd_build_info, instance)", multi=True)
I = 'instance=~"$instance"'  # noqa: E741
OUTBOX = "SELECT state, count(*) AS notifications FROM outbox GROUP BY 1 ORDER BY 1"
UNSENT = """SELECT to_timestamp(created_ms / 1000) AS made, channel, state, attempts, error FROM outbox
WHERE state IN ('due', 'dead') OR error <> '' ORDER BY seq DESC LIMIT 50"""
CURSORS = """SELECT source, topic, part, role, owner, next_offset, to_timestamp(max_ts_ms / 1000) AS clock, idle,
  to_timestamp(seen_at_ms / 1000) AS seen FROM partition_cursor ORDER BY 1, 2, 3"""


def quantiles(name: str) -> list[Json]:
    return [
        prom(f"histogram_quantile({q}, sum by (le) (rate({name}_bucket{{{I}}}[5m])))", f"p{round(q * 100)}")
        for q in (0.5, 0.95, 0.99)
    ]


PANELS: list[Json] = [
    stat("Replicas", "Daemons that Prometheus scrapes.", "short", prom(f"sum(driftd_build_info{{{I}}})"), limits=(1, 1), low=True),
    stat("Messages not read", "All partitions together.", "short", prom(f"sum(driftd_consumer_lag{{{I}}})"), limits=(1e5, 1e6)),
    stat("Behind the clock", "Of the partition that lies furthest behind.", "s",
         prom(f"max(driftd_watermark_lag_seconds{{{I}}})"), limits=(120, 900)),
    stat("Series left out", "Score series that limits.metric_series leaves out: Prometheus does not see them, the store does.", "short",
         prom(f"max(driftd_metric_series_hidden{{{I}}})"), limits=(1, 1000)),
    section("Does it keep up?"),
    lines("Messages read", "A second, by source and role.", "ops",
          prom(f"sum by (source, role) (rate(driftd_messages_total{{{I}}}[5m]))", "{{source}} {{role}}")),
    lines("What became of events", "A second, by outcome, once it is durable.", "ops",
          prom(f"sum by (outcome) (rate(driftd_events_total{{{I}}}[5m]))", "{{outcome}}")),
    lines("Messages not read by topic", "It falls to nothing where the daemon keeps up.", "short",
          prom(f"sum by (topic) (driftd_consumer_lag{{{I}}})", "{{topic}}"), limits=(1e5, 1e6)),
    lines("Behind the clock by topic", "Wall time less the event time that the slowest partition has reached.", "s",
          prom(f"max by (topic) (driftd_watermark_lag_seconds{{{I}}})", "{{topic}}"), limits=(120, 900)),
    section("Does it write?"),
    lines("Checkpoints", "Time of a checkpoint's transaction.", "s", *quantiles("driftd_checkpoint_seconds"), limits=(1, 5)),
    lines("Publishing", "Time in which the windows that are due are scored and written.", "s", *quantiles("driftd_publish_seconds"),
          limits=(1, 5)),
    lines("Windows published", "A second, first ones and revisions that late labels make.", "ops",
          prom(f"sum by (model, kind) (rate(driftd_windows_published_total{{{I}}}[5m]))", "{{model}} {{kind}}")),
    lines("Refused events and lost fences", "Refused events by reason, and checkpoints that another replica's ownership refused.",
          "ops", prom(f"sum by (reason) (rate(driftd_dropped_total{{{I}}}[5m]))", "{{reason}}"),
          prom(f"sum(rate(driftd_fenced_total{{{I}}}[5m]))", "fenced"), limits=(1, 100)),
    section("Does it tell people?"),
    lines("Notifications", "Attempts a second by channel and outcome.", "ops",
          prom(f"sum by (channel, outcome) (rate(driftd_notifications_total{{{I}}}[5m]))", "{{channel}} {{outcome}}")),
    bars("Outbox", "Notifications by state: due wait, dead were given up.", "short", table_sql(OUTBOX)),
    table("Notifications that wait or failed", "The newest, with the channel's last error.", "none", table_sql(UNSENT),
          overrides=[unit_of("made", "dateTimeAsIso")]),
    section("What does it stand on?"),
    lines("Reachable", "1, or 0 where no replica that is shown reaches it: the store, each source, each resource of a model.", "short",
          prom(f"max(driftd_store_reachable{{{I}}})", "store"),
          prom(f"max by (source) (driftd_source_reachable{{{I}}})", "source {{source}}"),
          prom(f"max by (model, resource) (driftd_resource_reachable{{{I}}})", "{{model}} {{resource}}"), limits=(1, 1), low=True),
    lines("What is done beside the data loop", "95 % quantile of the time of one turn, by chore: slow detectors, digests, retrains, ...", "s",
          prom(f"histogram_quantile(0.95, sum by (le, chore) (rate(driftd_chore_seconds_bucket{{{I}}}[1h])))", "{{chore}}"),
          limits=(30, 120)),
    lines("Turns left out", "In an hour, by chore: it was still at the last one.", "short",
          prom(f"sum by (chore) (increase(driftd_chore_skipped_total{{{I}}}[1h])) or vector(0)", "{{chore}}"), limits=(1, 60)),
    lines("Scores that could not be computed", "In an hour, by model and what failed; they are unsure in their windows.", "short",
          prom(f"sum by (model, analyser) (increase(driftd_analysis_failures_total{{{I}}}[1h])) or vector(0)", "{{model}} {{analyser}}"),
          limits=(1, 100)),
    section("Where it stands"),
    table("Partitions", "Owner, next offset and clock of each, as its last checkpoint left it.", "none", table_sql(CURSORS),
          overrides=[unit_of("clock", "dateTimeAsIso"), unit_of("seen", "dateTimeAsIso")], height=10),
    table("Versions", "Releases of driftd and Python that run.", "none", prom(f"driftd_build_info{{{I}}}", instant=True) | {"format": "table"}),
]  # fmt: skip


def dashboard() -> Json:
    why = "Whether driftd itself keeps up, writes, and tells people."
    return board(UID, "driftd: the daemon", why, PANELS, [*sources(), INSTANCE])
