"""Panels as Grafana's JSON holds them: what is asked, in which unit, where it becomes worrying, and why it is there.

Every maker takes a title, a sentence that says what one sees, a unit of Grafana's, and targets made by `prom` or `sql`.
limits: (warn, bad), coloured yellow and red from there on, or below with `low=True`; None where no value is worrying as such.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
PROMETHEUS: Json = {"type": "prometheus", "uid": "${prometheus}"}
POSTGRES: Json = {"type": "grafana-postgresql-datasource", "uid": "${postgres}"}
DASHED: Json = {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 8]}}


def prom(expr: str, legend: str = "", instant: bool = False) -> Json:
    """A PromQL query."""
    return {"datasource": PROMETHEUS, "expr": expr, "legendFormat": legend or "__auto", "instant": instant, "range": not instant}


def newest(series: str) -> str:
    """A model's series of the replica that published its newest window: the others still show an older one."""
    end = "driftd_window_end_timestamp_seconds"
    return f"({series} and on (instance, model) ({end} == on (model) group_left () max by (model) ({end})))"


def sql(query: str, form: str = "time_series") -> Json:
    """A query of the store. time_series: columns time (s), metric, value; table: any.

    Variables stand in it as ${name:sqlstring}: quoted and escaped, one or several, by every release of Grafana alike.
    """
    return {"datasource": POSTGRES, "rawQuery": True, "editorMode": "code", "format": form, "rawSql": query}


def table_sql(query: str) -> Json:
    return sql(query, "table")


def panel(
    kind: str,
    title: str,
    why: str,
    unit: str,
    *targets: Json,
    limits: tuple[float, float] | None = None,
    low: bool = False,
    width: int = 12,
    height: int = 8,
    options: Json | None = None,
    custom: Json | None = None,
    overrides: list[Json] | None = None,
    **more: Any,
) -> Json:
    """Any panel. width of 24, height in Grafana's cells. more: further keys of the panel, as repeat."""
    defaults: Json = {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps(limits, low)}}
    if kind in ("stat", "bargauge", "status-history"):
        defaults["color"] = {"mode": "thresholds"}
    if custom:
        defaults["custom"] = custom
    return {
        "type": kind, "title": title, "description": why, "datasource": targets[0]["datasource"],
        "targets": [{"refId": chr(65 + i), **target} for i, target in enumerate(targets)],
        "fieldConfig": {"defaults": defaults, "overrides": overrides or []}, "options": options or {},
        "gridPos": {"w": width, "h": height}, **more,
    }  # fmt: skip


def steps(limits: tuple[float, float] | None, low: bool = False) -> list[Json]:
    """Thresholds: green, yellow from warn on, red from bad on; with low, red up to bad and yellow up to warn."""
    if limits is None:
        return [{"color": "blue", "value": None}]
    warn, bad = limits
    if low:
        return [{"color": "red", "value": None}, {"color": "yellow", "value": bad}, {"color": "green", "value": warn}]
    return [{"color": "green", "value": None}, {"color": "yellow", "value": warn}, {"color": "red", "value": bad}]


def lines(title: str, why: str, unit: str, *targets: Json, **more: Any) -> Json:
    """A panel over time; limits are dashed lines in it."""
    custom = {"spanNulls": True, "showPoints": "auto", "lineWidth": 1, **more.pop("custom", {})}
    if more.get("limits") is not None:
        custom["thresholdsStyle"] = {"mode": "dashed"}
    options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    return panel("timeseries", title, why, unit, *targets, custom=custom, options=options, **more)


def stat(title: str, why: str, unit: str, *targets: Json, **more: Any) -> Json:
    """The newest value, large."""
    options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "none"}
    return panel("stat", title, why, unit, *targets, options=options, **{"width": 6, "height": 4, **more})


def bars(title: str, why: str, unit: str, *targets: Json, **more: Any) -> Json:
    """The newest value of each series as a bar, or each row of a table."""
    rows = targets[0].get("format") == "table"
    options = {"reduceOptions": {"calcs": ["lastNotNull"], "values": rows}, "orientation": "horizontal", "displayMode": "gradient"}
    return panel("bargauge", title, why, unit, *targets, options=options, **more)


def heatmap(title: str, why: str, unit: str, target: Json, **more: Any) -> Json:
    """A row for each series, a cell for each step of time, coloured by the limits."""
    options = {"showValue": "never", "rowHeight": 0.9, "legend": {"displayMode": "list", "placement": "bottom"}}
    return panel("status-history", title, why, unit, target, options=options, maxDataPoints=MOST_CELLS, **{"width": 24, **more})


def chart(title: str, why: str, unit: str, target: Json, x: str, **more: Any) -> Json:
    """Bars beside each other for each value of column x, one for each other column."""
    options = {"xField": x, "orientation": "auto", "stacking": "none", "xTickLabelRotation": -30, "showValue": "never"}
    return panel("barchart", title, why, unit, target, options=options, **more)


def table(title: str, why: str, unit: str, target: Json, **more: Any) -> Json:
    return panel("table", title, why, unit, target, options={"cellHeight": "sm"}, **{"width": 24, **more})


def band(low: str, high: str, opacity: int = 15, colour: str = "") -> list[Json]:
    """Overrides that shade what lies between two series and draw their lines thin."""
    thin: list[Json] = [{"id": "custom.lineWidth", "value": 0}, *coloured(colour)]
    fill: list[Json] = [*thin, {"id": "custom.fillBelowTo", "value": low}, {"id": "custom.fillOpacity", "value": opacity}]
    return [by_name(low, thin), by_name(high, fill)]


def coloured(colour: str) -> list[Json]:
    """The property of an override that gives a series a colour of its own; none for ""."""
    return [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}] if colour else []


def by_name(name: str, properties: list[Json]) -> Json:
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}


def unit_of(name: str, unit: str) -> Json:
    """An override: a column or series in another unit than the panel's."""
    return by_name(name, [{"id": "unit", "value": unit}])


def to_dashboard(column: str, uid: str, variable: str) -> Json:
    """An override: a column's values lead to another dashboard."""
    url = f"/d/{uid}?var-{variable}=${{__value.raw}}&${{__url_time_range}}"
    return by_name(column, [{"id": "links", "value": [{"title": f"show {variable}", "url": url}]}])


MOST_CELLS = 120  # steps of time in a heatmap: more are too narrow to see
