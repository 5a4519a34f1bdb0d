"""One model: performance with its band and its estimate, drift by feature and window, predictions, latency, traffic and
resources, all on the time axis of the events, alerts and retrains marked on it."""

from __future__ import annotations

from dashboards.board import ALERTS, NOW, RETRAINS, SEGMENT_IS, TIME, board, section
from dashboards.compared import BAND_LINES, quantiles
from dashboards.panels import (
    DASHED,
    Json,
    band,
    bars,
    by_name,
    heatmap,
    lines,
    newest,
    prom,
    sql,
    stat,
    table,
    table_sql,
    to_dashboard,
)
from dashboards.variables import FEATURES, METRIC, MODEL, NEWEST, SCORE, SEGMENT, VERSION, sources

UID = "driftd-model"
OF_MODEL = f"model = ${{model:sqlstring}} AND {SEGMENT_IS} AND {NOW}"
OF_VERSION = f"{OF_MODEL} AND version IN (${{version:sqlstring}})"
PERFORMANCE = f"""SELECT {TIME}, CASE subject WHEN 'performance' THEN 'realised' ELSE 'estimated' END
  || substr(score, length(${{metric:sqlstring}}) + 1) AS metric, value FROM score
WHERE {OF_VERSION} AND subject IN ('performance', 'estimated_performance')
  AND score IN (${{metric:sqlstring}}, ${{metric:sqlstring}} || '_low', ${{metric:sqlstring}} || '_high') ORDER BY 1"""
LIMIT = f"""SELECT {TIME}, 'limit' AS metric, threshold AS value FROM score
WHERE {OF_VERSION} AND subject = 'performance' AND score = ${{metric:sqlstring}} AND threshold IS NOT NULL ORDER BY 1"""
# in steps of the panel's interval, the worst of each: a week of minutes would be too narrow to see
DRIFT = f"""SELECT window_start_ms / greatest($__interval_ms, 1) * greatest($__interval_ms, 1) / 1000 AS time,
  subject AS metric, max(value) AS value FROM score
WHERE {OF_VERSION} AND subject IN (${{features:sqlstring}}) AND score = ${{score:sqlstring}} GROUP BY 1, 2 ORDER BY 1, 2"""
LEVELS = f"""SELECT level, count(*) AS scores FROM score WHERE model = ${{model:sqlstring}} AND window_start_ms = {NEWEST}
GROUP BY 1 ORDER BY array_position(ARRAY['breach', 'warn', 'unsure', 'ok', 'unjudged'], level)"""
BAD = f"""SELECT level, version, segment, subject, score, value, threshold, rows FROM score
WHERE model = ${{model:sqlstring}} AND window_start_ms = {NEWEST} AND level IN ('breach', 'warn')
ORDER BY level, abs(value - threshold) / greatest(abs(threshold), 1e-9) DESC NULLS LAST LIMIT 100"""
OPEN = """SELECT count(*) AS alerts FROM alert WHERE model = ${model:sqlstring} AND status IN ('firing', 'acknowledged')"""
RESOURCES = "subject IN (SELECT DISTINCT 'resource:' || source FROM resource_sample WHERE model = ${model:sqlstring})"


def scores(subject: str, *names: str, version: bool = True) -> str:
    """Scores of one subject over time, named after version and score."""
    listed = ", ".join(f"'{name}'" for name in names)
    series = "version || ' ' || score" if version else "score"
    return f"""SELECT {TIME}, {series} AS metric, value FROM score
WHERE {OF_VERSION if version else OF_MODEL} AND subject = '{subject}' AND score IN ({listed}) ORDER BY 1"""


def resource(*names: str) -> Json:
    listed = ", ".join(f"'{name}'" for name in names)
    return sql(
        f"""SELECT {TIME}, substr(subject, 10) || ' ' || score AS metric, value FROM score
WHERE model = ${{model:sqlstring}} AND segment = '' AND {NOW} AND {RESOURCES} AND score IN ({listed}) ORDER BY 1"""
    )


SHARES = f"""SELECT {TIME}, CASE subject WHEN 'target' THEN 'labels ' WHEN 'prediction' THEN 'predicted ' ELSE 'estimated ' END || substr(score, 7) AS metric,
  avg(value) AS value FROM score
WHERE {OF_VERSION} AND subject IN ('target', 'target_estimated', 'prediction') AND score LIKE 'share:%' GROUP BY 1, 2 ORDER BY 1"""

PANELS: list[Json] = [
    stat("Open alerts", "Alerts of this model that fire or were acknowledged.", "short", table_sql(OPEN), limits=(1, 5)),
    stat("Rows of the last window", "Events that were counted in it.", "short",
         prom("max" + newest('driftd_window_rows{model="$model"}')), limits=(200, 1), low=True),
    stat("Label coverage", "Labelled share of the last window that has labels.", "percentunit",
         prom('max(driftd_label_coverage_ratio{model="$model"})'), limits=(0.5, 0.1), low=True),
    stat("Age of the last window", "Wall time since its end.", "s",
         prom('time() - max(driftd_window_end_timestamp_seconds{model="$model"})'), limits=(600, 3600)),
    section("Performance"),
    lines("$metric of version $version", "Realised once labels have come, with its 95 % interval; estimated before that, with its "
          "band of three sampling errors; and the limit that it is judged by.", "none", sql(PERFORMANCE), sql(LIMIT),
          height=9, repeat="version", repeatDirection="h", maxPerRow=2,
          overrides=[*band("realised_low", "realised_high"), *band("estimated_low", "estimated_high"),
                     by_name("estimated", [DASHED]),
                     by_name("limit", [DASHED, {"id": "color", "value": {"mode": "fixed", "fixedColor": "red"}}])]),
    section("Drift"),
    heatmap("$score of features by windows", "Each row a feature, each cell the worst window of its time.", "none", sql(DRIFT),
            limits=(0.1, 0.25), height=10),
    bars("Furthest moved now", "The ten subjects whose chosen score is greatest in the last window.", "none",
         prom("topk(10, max by (feature, version) " + newest('driftd_score{model="$model",segment="",score="$score"}') + ")",
              "{{feature}} {{version}}", instant=True),
         limits=(0.1, 0.25)),
    bars("Verdicts of the last window", "How many of its scores are unjudged, ok, unsure, warn and breach.", "short", table_sql(LEVELS)),
    table("What is bad in the last window", "Scores beyond their limits, breaches first, furthest first.", "none", table_sql(BAD),
          overrides=[to_dashboard("subject", "driftd-feature", "feature")]),
    section("Predictions"),
    lines("Predictions of version $version", "Quantiles of each window in blue, of the reference that it is compared with in grey: the "
          "5 to 95 % and the 25 to 75 % band, and the median.", "none", *quantiles("'prediction'"), overrides=BAND_LINES,
          repeat="version", repeatDirection="h", maxPerRow=2),
    lines("Class shares", "Of the predictions, of the labels that came, and as estimated before they come.", "percentunit", sql(SHARES)),
    section("Latency, traffic, resources"),
    lines("Latency of the model", "Quantiles of latency_ms, within 1 %.", "ms",
          sql(scores("latency", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms")), limits=(250, 1000)),
    lines("Throughput", "Events a second of the window.", "reqps", sql(scores("traffic", "throughput_eps"))),
    lines("Errors", "Share of events whose status is not ok.", "percentunit", sql(scores("traffic", "error_share")),
          limits=(0.01, 0.05)),
    lines("Processor and GPU", "Cores in use, and the share of time that the GPU computed; `resources` in the config says whose.",
          "none", resource("cpu_cores", "gpu_utilization")),
    lines("Memory", "Resident memory of the processes, and of the GPU.", "bytes", resource("memory_bytes", "gpu_memory_bytes")),
    lines("Rows and late rows", "Rows of each window, and those that came after it had closed.", "short",
          sql(f"""SELECT start_ms / 1000 AS time, rows, late_rows, labelled_rows FROM model_window
WHERE model = ${{model:sqlstring}} AND {NOW.replace("window_start_ms", "start_ms")} ORDER BY 1""")),
]  # fmt: skip


def dashboard() -> Json:
    why = "One model on the time axis of its events, with its alerts and retrains."
    variables = [*sources(), MODEL, VERSION, SEGMENT, METRIC, SCORE, FEATURES]
    return board(UID, "driftd: one model", why, PANELS, variables, [ALERTS, RETRAINS])
