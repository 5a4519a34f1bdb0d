"""Labels and data quality: how many labels came and when, what the data lacks, what was refused."""

from __future__ import annotations

from dashboards.board import ALERTS, NOW, RETRAINS, SEGMENT_IS, TIME, board, section
from dashboards.model import SHARES, scores
from dashboards.panels import Json, bars, heatmap, lines, newest, prom, sql, stat, table, table_sql, unit_of
from dashboards.variables import FEATURES, METRIC, MODEL, NEWEST, SEGMENT, VERSION, sources

UID = "driftd-labels"
WINDOWS = f"model = ${{model:sqlstring}} AND {NOW.replace('window_start_ms', 'start_ms')}"
COVERAGE = f"""SELECT start_ms / 1000 AS time, labelled_rows::float8 / nullif(rows, 0) AS coverage FROM model_window
WHERE {WINDOWS} ORDER BY 1"""
GAP = f"""SELECT {TIME}, version || ' estimated less realised' AS metric, value FROM score WHERE model = ${{model:sqlstring}}
  AND {SEGMENT_IS} AND version IN (${{version:sqlstring}}) AND {NOW} AND subject = 'estimated_performance' AND score = ${{metric:sqlstring}} || '_gap' ORDER BY 1"""
MISSING = f"""SELECT window_start_ms / greatest($__interval_ms, 1) * greatest($__interval_ms, 1) / 1000 AS time,
  subject AS metric, max(value) AS value FROM score WHERE model = ${{model:sqlstring}} AND {SEGMENT_IS} AND version IN (${{version:sqlstring}}) AND {NOW}
  AND subject IN (${{features:sqlstring}}) AND score = 'missing_share' GROUP BY 1, 2 ORDER BY 1, 2"""
RULES = f"""SELECT subject, max(value) AS violated FROM score
WHERE model = ${{model:sqlstring}} AND window_start_ms = {NEWEST} AND segment = ''
  AND (score IN ('violation_share', 'range_violation_share', 'pattern_violation_share', 'length_violation_share',
                 'out_of_range_share', 'outlier_share')) GROUP BY 1 ORDER BY 2 DESC NULLS LAST LIMIT 25"""
DEAD = """SELECT at_ms / 60000 * 60 AS time, reason AS metric, count(*) AS value FROM dead_letter
WHERE at_ms BETWEEN $__unixEpochFrom()::bigint * 1000 AND $__unixEpochTo()::bigint * 1000 GROUP BY 1, 2 ORDER BY 1"""
NEWEST_DEAD = """SELECT to_timestamp(at_ms / 1000) AS at, source, topic, part, log_offset, reason, detail FROM dead_letter
ORDER BY at_ms DESC LIMIT 50"""
COUNTS = "SELECT name AS outcome, sum(value) AS events FROM event_count GROUP BY 1 ORDER BY 2 DESC"

PANELS: list[Json] = [
    stat("Label coverage", "Labelled share of the last window that has labels.", "percentunit",
         prom('max(driftd_label_coverage_ratio{model="$model"})'), limits=(0.5, 0.1), low=True),
    stat("Delay of labels", "Mean, of the last window that has any.", "s",
         prom('max(driftd_label_delay_seconds{model="$model"})'), limits=(86_400, 7 * 86_400)),
    stat("Late rows", "Rows that came too late for the last window.", "short",
         prom("max" + newest('driftd_window_late_rows{model="$model"}')), limits=(1, 100)),
    stat("Events refused", "Of all sources, since this daemon started.", "short", prom("sum(driftd_dropped_total)"), limits=(1, 1000)),
    section("Labels"),
    lines("Coverage", "Labelled rows / rows, of each window; it rises as labels come.", "percentunit", sql(COVERAGE),
          limits=(0.5, 0.1), low=True),
    lines("Delay", "From prediction to label.", "s",
          sql(scores("labels", "delay_p50_seconds", "delay_p95_seconds", "delay_p99_seconds", version=False))),
    lines("Class shares", "Of the labels that came, and as estimated from the predictions before them.", "percentunit", sql(SHARES)),
    lines("Estimate less realised $metric", "How far the estimate was off, once labels had come.", "none", sql(GAP)),
    section("Data quality"),
    heatmap("Missing values by feature", "Share of rows without the feature; each cell the worst window of its time.", "percentunit",
            sql(MISSING), limits=(0.05, 0.2)),
    bars("Rules violated in the last window", "Share of rows: rules of the config, ranges, patterns, values beyond the reference.",
         "percentunit", table_sql(RULES), limits=(0.01, 0.1), width=8),
    lines("Schema", "Share of events refused for a feature of another type.", "percentunit",
          sql(scores("schema", "wrong_type_share", version=False)), limits=(0.001, 0.01), width=8),
    lines("Repeated events", "Repeats of an event id / these and the accepted.", "percentunit",
          sql(scores("traffic", "duplicate_share", version=False)), limits=(0.05, 0.2), width=8),
    section("What was refused"),
    lines("Refused events by reason", "Dead letters a minute, as they came.", "short", sql(DEAD), limits=(10, 1000)),
    bars("What became of events", "Since the store began; consumed = accepted + labels + each reason.", "short", table_sql(COUNTS)),
    table("Newest dead letters", "Where in the log they stand, and what was wrong with them.", "none", table_sql(NEWEST_DEAD),
          overrides=[unit_of("at", "dateTimeAsIso")]),
]  # fmt: skip


def dashboard() -> Json:
    why = "Labels that came, data that lacks something, events that were refused."
    return board(UID, "driftd: labels and data quality", why, PANELS,
                 [*sources(), MODEL, VERSION, SEGMENT, METRIC, FEATURES], [ALERTS, RETRAINS])  # fmt: skip
