"""One feature: the reference against the windows, as quantiles and shares over time; its scores, its quality."""

from __future__ import annotations

from dashboards.board import ALERTS, NOW, RETRAINS, SEGMENT_IS, TIME, board, section
from dashboards.compared import BAND_LINES, quantiles, reference
from dashboards.panels import DASHED, Json, chart, lines, sql, table, table_sql, unit_of
from dashboards.variables import FEATURE, MODEL, NEWEST, SCORE, SEGMENT, VERSION, sources

UID = "driftd-feature"
OF = f"model = ${{model:sqlstring}} AND {SEGMENT_IS} AND version IN (${{version:sqlstring}}) AND subject = ${{feature:sqlstring}} AND {NOW}"
# evidence stands beside scores that are bad: the newest that has a distribution
EVIDENCE = f"""WITH newest AS (SELECT evidence::jsonb AS e FROM (SELECT evidence FROM score
  WHERE {OF} AND score IN ('drift', 'psi', 'js') AND evidence LIKE '%"cells"%' ORDER BY window_start_ms DESC LIMIT 1) told)"""
CELLS = f"""{EVIDENCE}
SELECT cell, (e -> 'reference_shares' ->> (i - 1)::int)::float8 AS reference, (e -> 'current_shares' ->> (i - 1)::int)::float8 AS now
FROM newest, jsonb_array_elements_text(e -> 'cells') WITH ORDINALITY AS listed(cell, i) ORDER BY i"""
MOVED = f"""{EVIDENCE}
SELECT coalesce(m ->> 'range', m ->> 'category') AS values, (m ->> 'before')::float8 AS before, (m ->> 'after')::float8 AS after,
  (m ->> 'after')::float8 - (m ->> 'before')::float8 AS change
FROM newest, jsonb_array_elements(e -> 'moved') WITH ORDINALITY AS listed(m, i) ORDER BY i"""
MEANS = reference("${feature:sqlstring}", "r.score = 'mean'", "'reference'")
SHARES = f"""SELECT {TIME}, 'window ' || substr(score, 7) AS metric, value FROM score
WHERE {OF} AND score LIKE 'share:%' ORDER BY 1"""
REFERENCE_SHARES = reference("${feature:sqlstring}", "r.score LIKE 'share:%'", "'reference ' || substr(r.score, 7)")
BESIDE = f"""SELECT s.version, s.score, r.value AS reference, s.value AS "window", s.value - r.value AS difference,
  CASE WHEN r.value <> 0 THEN (s.value - r.value) / abs(r.value) END AS relative, r.rows AS reference_rows, s.rows AS window_rows
FROM score s JOIN model_window w ON w.model = s.model AND w.start_ms = s.window_start_ms
  JOIN reference_score r ON r.model = s.model AND r.reference = w.reference AND r.subject = s.subject AND r.score = s.score
    AND r.segment IN ('*', s.segment)
WHERE s.model = ${{model:sqlstring}} AND s.window_start_ms = {NEWEST} AND s.{SEGMENT_IS} AND s.version IN (${{version:sqlstring}})
  AND s.subject = ${{feature:sqlstring}} ORDER BY 1, 2"""
SCORES = (
    f"""SELECT {TIME}, version || ' ' || score AS metric, value FROM score WHERE {OF} AND score = ${{score:sqlstring}} ORDER BY 1"""
)
LIMIT = f"""SELECT {TIME}, version || ' limit' AS metric, threshold AS value FROM score
WHERE {OF} AND score = ${{score:sqlstring}} AND threshold IS NOT NULL ORDER BY 1"""
NOW_ALL = f"""SELECT version, segment, score, value, threshold, level, rows, reference FROM score
WHERE model = ${{model:sqlstring}} AND window_start_ms = {NEWEST} AND subject = ${{feature:sqlstring}} AND {SEGMENT_IS} ORDER BY version, score"""


def of(*names: str) -> Json:
    listed = ", ".join(f"'{name}'" for name in names)
    return sql(f"SELECT {TIME}, version || ' ' || score AS metric, value FROM score WHERE {OF} AND score IN ({listed}) ORDER BY 1")


LIMIT_LINES: list[Json] = [{"matcher": {"id": "byRegexp", "options": "/( limit|^reference)$/"}, "properties": [DASHED]}]
REFERENCE_LINES: list[Json] = [{"matcher": {"id": "byRegexp", "options": "/^reference /"}, "properties": [DASHED]}]
PANELS: list[Json] = [
    section("Reference against now"),
    lines("Quantiles of version $version", "Each window's quantiles in blue, those of the reference that it is compared with in "
          "grey: the 5 to 95 % and the 25 to 75 % band, and the median.", "none", *quantiles("${feature:sqlstring}"),
          overrides=BAND_LINES, height=10, repeat="version", repeatDirection="h", maxPerRow=2),
    lines("Shares of version $version", "Shares of a category's most frequent values in each window; dashed, in the reference that it "
          "is compared with.", "percentunit", sql(SHARES), sql(REFERENCE_SHARES), overrides=REFERENCE_LINES, height=10,
          repeat="version", repeatDirection="h", maxPerRow=2),
    lines("Mean", "Mean of each window; dashed, the reference's.", "none", of("mean"), sql(MEANS), overrides=LIMIT_LINES),
    table("Reference and newest window", "What describes the feature, of the reference and of the newest window, and how far apart "
          "they are.", "none", table_sql(BESIDE), width=12,
          overrides=[unit_of("relative", "percentunit"), unit_of("reference_rows", "short"), unit_of("window_rows", "short")]),
    chart("Distribution when it last drifted", "Shares of the values in the reference and in the newest window that drifted; each "
          "cell is a range or a category.", "percentunit", table_sql(CELLS), "cell", height=10),
    table("What moved then", "The cells whose share changed most, before and after.", "percentunit", table_sql(MOVED), width=12, height=10),
    section("Scores"),
    lines("$score", "The chosen score, and dashed the limit that it is judged by.", "none", sql(SCORES), sql(LIMIT),
          overrides=LIMIT_LINES),
    lines("Missing and beyond the reference", "Shares of values that are missing, outside the reference's range, or far outside.",
          "percentunit", of("missing_share", "out_of_range_share", "extreme_share"), limits=(0.05, 0.2)),
    table("All scores of the last window", "With their limits and verdicts.", "none", table_sql(NOW_ALL),
          overrides=[unit_of("rows", "short")], height=10),
]  # fmt: skip


def dashboard() -> Json:
    why = "One feature of one model: the reference against now."
    variables = [*sources(), MODEL, VERSION, SEGMENT, FEATURE, SCORE]
    return board(UID, "driftd: one feature", why, PANELS, variables, [ALERTS, RETRAINS])
