"""The fleet: every model at a glance, worst first, from Prometheus; open alerts and retrains from the store."""

from __future__ import annotations

from dashboards.board import FLEET_ALERTS, FLEET_RETRAINS, board, section
from dashboards.panels import Json, bars, lines, newest, prom, sql, stat, table, table_sql, to_dashboard, unit_of
from dashboards.variables import DRIFT_SCORES, chosen, label_values, sources

UID = "driftd-fleet"
MODELS = label_values("model", "Models", "Which models are shown.", "label_values(driftd_window_rows, model)", multi=True)
METRIC = label_values(
    "metric", "Metric", "Metric of performance.", 'label_values(driftd_score{feature="performance",segment=""}, score)',
    regex="/^(?!.*_(low|high)$).*$/",
)  # fmt: skip
SCORE = chosen("score", "Drift score", "Which score of drift is shown.", DRIFT_SCORES)
M = 'model=~"$model"'
OPEN = """SELECT extract(epoch FROM now()) AS time, severity AS metric, count(*) AS value FROM alert
WHERE status IN ('firing', 'acknowledged') GROUP BY 2 ORDER BY 2"""
ALERTS = """SELECT to_timestamp(at_ms / 1000) AS at, severity, status, model, version, segment, subject, score, value, threshold, rule,
  reason FROM alert WHERE status IN ('pending', 'firing', 'acknowledged')
ORDER BY CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, at_ms DESC LIMIT 100"""
RETRAINS = """SELECT to_timestamp(requested_ms / 1000) AS requested, model, version, status, reason, new_version, verdict
FROM retrain ORDER BY requested_ms DESC LIMIT 50"""

PANELS: list[Json] = [
    stat("Models", "Models that published a window since this daemon started.", "short",
         prom(f"count(max by (model) (driftd_window_rows{{{M}}}))"), limits=(1, 1), low=True),
    stat("Models with a breach", "Models of whose last window at least one score is in breach.", "short",
         prom(f"count(max by (model) {newest(f'driftd_score_level{{{M}}}')} >= 3) or vector(0)"), limits=(1, 3)),
    stat("Open alerts", "Alerts that fire or were acknowledged, by severity.", "short",
         sql(OPEN), limits=(1, 5)),
    stat("Oldest window", "Age of the newest window of the model that lies furthest behind.", "s",
         prom(f"max(time() - max by (model) (driftd_window_end_timestamp_seconds{{{M}}}))"), limits=(600, 3600)),
    bars("Worst drift now", "The worst subject of each model in its last window, by the chosen score.", "none",
         prom('max by (model) ' + newest(f'driftd_score{{{M},segment="",score="$score"}}'), "{{model}}", instant=True), limits=(0.1, 0.25)),
    bars("Performance now", "The chosen metric of the last window that has labels; the worst version of each model.", "none",
         prom(f'min by (model) (driftd_score{{{M},segment="",feature="performance",score="$metric"}})', "{{model}}", instant=True),
         limits=(0.9, 0.8), low=True),
    section("Over time"),
    lines("Events a second", "Events of the last window, a second of it.", "reqps",
          prom('sum by (model) ' + newest(f'driftd_score{{{M},segment="",feature="traffic",score="throughput_eps"}}'), "{{model}}")),
    lines("Latency, 95th percentile", "The slowest version of each model, in its last window.", "ms",
          prom('max by (model) ' + newest(f'driftd_score{{{M},segment="",feature="latency",score="latency_p95_ms"}}'), "{{model}}"),
          limits=(250, 1000)),
    lines("Errors", "Share of events whose status is not ok.", "percentunit",
          prom('max by (model) ' + newest(f'driftd_score{{{M},segment="",feature="traffic",score="error_share"}}'), "{{model}}"),
          limits=(0.01, 0.05)),
    lines("Label coverage", "Labelled share of the last window that has labels.", "percentunit",
          prom(f"max by (model) (driftd_label_coverage_ratio{{{M}}})", "{{model}}"), limits=(0.5, 0.1), low=True),
    section("What people must know"),
    table("Alerts", "Pending, firing and acknowledged alerts of all models, worst first.", "none", table_sql(ALERTS),
          overrides=[to_dashboard("model", "driftd-model", "model"), to_dashboard("subject", "driftd-feature", "feature"),
                     unit_of("at", "dateTimeAsIso")]),
    table("Retrains", "What was asked of training pipelines, and whether it helped.", "none", table_sql(RETRAINS),
          overrides=[to_dashboard("model", "driftd-model", "model"), unit_of("requested", "dateTimeAsIso")]),
]  # fmt: skip


def dashboard() -> Json:
    why = "Every model at a glance: drift, performance, traffic, open alerts, retrains."
    return board(UID, "driftd: fleet", why, PANELS, [*sources(), MODELS, METRIC, SCORE], [FLEET_ALERTS, FLEET_RETRAINS])
