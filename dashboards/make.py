"""The Grafana dashboards, made by code: `python -m dashboards.make` writes dashboards/*.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROMETHEUS = {"type": "prometheus", "uid": "${prometheus}"}
POSTGRES = {"type": "grafana-postgresql-datasource", "uid": "${postgres}"}


def timeseries(title: str, why: str, unit: str, *queries: tuple[str, str]) -> dict[str, Any]:
    """A panel over time of (PromQL, legend)."""
    targets = [
        {"refId": chr(65 + i), "datasource": PROMETHEUS, "expr": expr, "legendFormat": legend}
        for i, (expr, legend) in enumerate(queries)
    ]
    return {
        "type": "timeseries", "title": title, "description": why, "datasource": PROMETHEUS, "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit, "custom": {"spanNulls": True}}, "overrides": []},
    }  # fmt: skip


def sql(kind: str, title: str, why: str, unit: str, query: str, form: str = "time_series") -> dict[str, Any]:
    """A panel of one SQL query."""
    target = {"refId": "A", "datasource": POSTGRES, "rawQuery": True, "editorMode": "code", "format": form, "rawSql": query}
    return {
        "type": kind, "title": title, "description": why, "datasource": POSTGRES, "targets": [target],
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
    }  # fmt: skip


MODEL = 'model="$model",segment=""'
DRIFT_SQL = """SELECT window_start_ms / 1000 AS time, subject AS metric, max(value) AS value FROM score
WHERE model = '$model' AND segment = '' AND score = 'psi' AND window_start_ms BETWEEN $__unixEpochFrom()::bigint * 1000 AND $__unixEpochTo()::bigint * 1000
GROUP BY 1, 2 ORDER BY 1"""
PERFORMANCE_SQL = """SELECT window_start_ms / 1000 AS time, score AS metric, avg(value) AS value FROM score
WHERE model = '$model' AND segment = '' AND subject = 'performance' AND score IN ('accuracy', 'roc_auc', 'f1', 'rmse')
  AND window_start_ms BETWEEN $__unixEpochFrom()::bigint * 1000 AND $__unixEpochTo()::bigint * 1000
GROUP BY 1, 2 ORDER BY 1"""
ALERTS_SQL = """SELECT to_timestamp(at_ms / 1000) AS at, status, severity, rule, model, segment, subject, score, value, threshold, reason
FROM alert WHERE status IN ('pending', 'firing') ORDER BY at_ms DESC LIMIT 100"""

PANELS: list[dict[str, Any]] = [
    timeseries("Worst drift by subject (PSI)", "The five features that moved furthest in the last window.", "none",
               (f'topk(5, driftd_score{{{MODEL},score="psi"}})', "{{feature}} {{version}}")),
    timeseries("Performance", "Realised metrics of the last window that has labels.", "none",
               (f'driftd_score{{{MODEL},feature="performance",score=~"accuracy|roc_auc|f1|rmse"}}', "{{score}} {{version}}")),
    timeseries("Latency of the model", "Quantiles of latency_ms, from cells of 1 % relative error.", "ms",
               (f'driftd_score{{{MODEL},feature="latency"}}', "{{score}} {{version}}")),
    timeseries("Rows and late rows", "Rows of the last window, and those that came after it had closed.", "short",
               ('driftd_window_rows{model="$model"}', "rows"), ('driftd_window_late_rows{model="$model"}', "late")),
    timeseries("Labels", "Labelled share of the last window that has labels, and their mean delay.", "none",
               ('driftd_label_coverage_ratio{model="$model"}', "coverage"), ('driftd_label_delay_seconds{model="$model"}', "delay, s")),
    sql("timeseries", "Drift of every feature (PSI), from the store", "All published windows, revisions included.", "none", DRIFT_SQL),
    sql("timeseries", "Performance, from the store", "All published windows; late labels revise them.", "none", PERFORMANCE_SQL),
    sql("table", "Alerts", "Pending and firing alerts with their evidence.", "none", ALERTS_SQL, "table"),
    timeseries("driftd: events", "What became of events, by outcome.", "ops",
               ("sum by (outcome) (rate(driftd_events_total[1m]))", "{{outcome}}")),
    timeseries("driftd: lag", "Messages not read, and how far event time lies behind.", "none",
               ("sum(driftd_consumer_lag)", "messages"), ("max(driftd_watermark_lag_seconds)", "seconds")),
    timeseries("driftd: checkpoint time", "95th percentile of the checkpoint transaction.", "s",
               ("histogram_quantile(0.95, sum by (le) (rate(driftd_checkpoint_seconds_bucket[5m])))", "p95")),
    timeseries("driftd: notifications", "Deliveries by channel and outcome.", "ops",
               ("sum by (channel, outcome) (rate(driftd_notifications_total[5m]))", "{{channel}} {{outcome}}")),
]  # fmt: skip


def dashboard() -> dict[str, Any]:
    panels = []
    for i, panel in enumerate(PANELS):
        panels.append({**panel, "id": i + 1, "gridPos": {"x": 12 * (i % 2), "y": 8 * (i // 2), "w": 12, "h": 8}})
    variables = [
        {"name": "prometheus", "type": "datasource", "query": "prometheus", "label": "Prometheus"},
        {"name": "postgres", "type": "datasource", "query": "grafana-postgresql-datasource", "label": "PostgreSQL"},
        {
            "name": "model",
            "type": "query",
            "datasource": PROMETHEUS,
            "query": "label_values(driftd_window_rows, model)",
            "refresh": 2,
        },
    ]
    return {
        "uid": "driftd-model", "title": "driftd: one model", "tags": ["driftd"], "schemaVersion": 39, "editable": True,
        "time": {"from": "now-6h", "to": "now"}, "refresh": "30s", "templating": {"list": variables}, "panels": panels,
    }  # fmt: skip


def render() -> str:
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    (HERE / "model.json").write_text(render())
