"""A dashboard of panels: laid out in rows of 24 from left to right, with variables, annotations and links to the others."""

from __future__ import annotations

from typing import Any

from dashboards.panels import POSTGRES, Json

WIDTH = 24
NOW = "window_start_ms BETWEEN $__unixEpochFrom()::bigint * 1000 AND $__unixEpochTo()::bigint * 1000"
SEGMENT_IS = "segment = coalesce(nullif(${segment:sqlstring}, 'all rows'), '')"
TIME = "window_start_ms / 1000 AS time"


def section(title: str) -> Json:
    """A line with a title between panels."""
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": WIDTH, "h": 1}}


def board(uid: str, title: str, why: str, panels: list[Json], variables: list[Json], annotations: list[Json] | None = None) -> Json:
    links = {"type": "dashboards", "title": "driftd", "tags": ["driftd"], "asDropdown": True, "keepTime": True, "includeVars": True}
    return {
        "uid": uid, "title": title, "description": why, "tags": ["driftd"], "schemaVersion": 39, "editable": True,
        "graphTooltip": 1, "time": {"from": "now-6h", "to": "now"}, "refresh": "30s", "links": [links],
        "templating": {"list": variables}, "annotations": {"list": annotations or []}, "panels": laid_out(panels),
    }  # fmt: skip


def laid_out(panels: list[Json]) -> list[Json]:
    """Panels with their number and place; a row is as high as its highest panel."""
    out: list[Json] = []
    x = y = high = 0
    for i, panel in enumerate(panels):
        place = panel["gridPos"]
        if x + place["w"] > WIDTH:
            x, y, high = 0, y + high, 0
        out.append({**panel, "id": i + 1, "gridPos": {"x": x, "y": y, **place}})
        x, high = x + place["w"], max(high, place["h"])
    return out


def _annotation(name: str, colour: str, query: str) -> Json:
    target: dict[str, Any] = {"rawQuery": True, "editorMode": "code", "format": "table", "rawSql": query, "refId": "Anno"}
    return {"name": name, "datasource": POSTGRES, "enable": True, "iconColor": colour, "target": target}


# at the end of the window that moved the alert: the time axis is that of the events
def _alerts(where: str) -> Json:
    return _annotation(
        "Alerts", "red",
        f"""SELECT window_end_ms / 1000 AS time, status || ': ' || model || ' ' || rule || ' ' || subject || ' ' || score AS text,
  status || ',' || severity AS tags FROM alert_history
WHERE {where}status IN ('firing', 'acknowledged', 'resolved')
  AND window_end_ms BETWEEN $__unixEpochFrom()::bigint * 1000 AND $__unixEpochTo()::bigint * 1000
ORDER BY window_end_ms DESC LIMIT 1000""",
    )  # fmt: skip


def _retrains(where: str) -> Json:
    return _annotation(
        "Retrains", "purple",
        f"""SELECT requested_ms / 1000 AS time, CASE WHEN finished_ms > 0 THEN finished_ms / 1000 END AS timeend,
  'retrain of ' || model || ' ' || status || ' ' || new_version || ' ' || verdict || ': ' || reason AS text, 'retrain,' || status AS tags
FROM retrain WHERE {where}requested_ms BETWEEN $__unixEpochFrom()::bigint * 1000 AND $__unixEpochTo()::bigint * 1000
ORDER BY requested_ms DESC LIMIT 200""",
    )  # fmt: skip


_OF_MODEL = "model = ${model:sqlstring} AND "
ALERTS, RETRAINS = _alerts(_OF_MODEL), _retrains(_OF_MODEL)
FLEET_ALERTS, FLEET_RETRAINS = _alerts(""), _retrains("")
