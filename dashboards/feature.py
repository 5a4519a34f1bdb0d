"""One feature: its distribution in the reference and now, its quantiles, its scores, its quality."""

from __future__ import annotations

from dashboards.board import ALERTS, NOW, RETRAINS, SEGMENT_IS, TIME, board, section
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
MEANS = f"""SELECT {TIME}, version || ' reference' AS metric, (evidence::jsonb -> 'mean' ->> 0)::float8 AS value FROM score
WHERE {OF} AND score IN ('drift', 'psi') AND evidence LIKE '%"mean"%' ORDER BY 1"""
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


LIMIT_LINES: list[Json] = [{"matcher": {"id": "byRegexp", "options": "/ (limit|reference)$/"}, "properties": [DASHED]}]
PANELS: list[Json] = [
    section("Reference against now"),
    chart("Distribution", "Shares of the values in the reference and in the newest window that drifted; each cell is a range or a "
          "category.", "percentunit", table_sql(CELLS), "cell", height=10),
    table("What moved", "The cells whose share changed most, before and after.", "percentunit", table_sql(MOVED), width=12, height=10),
    lines("Quantiles", "Quantiles of the values of each window.", "none", of("p05", "p25", "p50", "p75", "p95")),
    lines("Mean", "Mean of each window; dashed, where it drifted, the reference's.", "none", of("mean"), sql(MEANS),
          overrides=LIMIT_LINES),
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
