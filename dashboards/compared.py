"""What describes a subject, in each window and in the reference that the window is compared with, on one time axis."""

from __future__ import annotations

from dashboards.board import NOW, SEGMENT_IS, TIME
from dashboards.panels import Json, band, by_name, coloured, sql

QUANTILES = "('p05', 'p25', 'p50', 'p75', 'p95')"
WINDOW, REFERENCE = "blue", "#8e8e8e"


def quantiles(subject: str) -> list[Json]:
    """Targets: quantiles of the windows (`window p05` …) and of their references (`reference p05` …)."""
    of_windows = f"""SELECT {TIME}, 'window ' || score AS metric, value FROM score
WHERE model = ${{model:sqlstring}} AND {SEGMENT_IS} AND version IN (${{version:sqlstring}}) AND subject = {subject} AND {NOW}
  AND score IN {QUANTILES} ORDER BY 1"""
    return [sql(of_windows), sql(reference(subject, f"r.score IN {QUANTILES}", "'reference ' || r.score"))]


def reference(subject: str, which: str, name: str) -> str:
    """Scores of the references of the windows shown; which, name: SQL over reference_score r. The segment is the chosen one."""
    return f"""SELECT w.start_ms / 1000 AS time, {name} AS metric, r.value FROM model_window w
  JOIN reference_score r ON r.model = w.model AND r.reference = w.reference
WHERE w.model = ${{model:sqlstring}} AND {NOW.replace("window_start_ms", "w.start_ms")} AND r.subject = {subject} AND {which}
  AND r.segment IN ('*', coalesce(nullif(${{segment:sqlstring}}, 'all rows'), '')) ORDER BY 1"""


def _drawn(side: str, colour: str) -> list[Json]:
    return [
        *band(f"{side} p05", f"{side} p95", 12, colour), *band(f"{side} p25", f"{side} p75", 30, colour),
        by_name(f"{side} p50", [{"id": "custom.lineWidth", "value": 2}, *coloured(colour)]),
    ]  # fmt: skip


BAND_LINES = [*_drawn("reference", REFERENCE), *_drawn("window", WINDOW)]
