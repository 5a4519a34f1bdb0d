"""What is chosen at the top of a dashboard. The data sources' defaults are the uids that deploy/grafana provisions.

Lists come from the newest window, so that they cost one look at an index and not a walk over all scores.
"""

from __future__ import annotations

from dashboards.panels import POSTGRES, PROMETHEUS, Json

PROMETHEUS_UID, POSTGRES_UID = "prometheus", "driftd"
ALL_ROWS = "all rows"  # what the segment without a name is called: Grafana knows no empty choice
DRIFT_SCORES = ("drift", "psi", "js", "ks", "wasserstein", "rank_shift", "hellinger", "chi2", "missing_share")


def sources() -> list[Json]:
    return [
        _source("prometheus", "Prometheus", "prometheus", PROMETHEUS_UID, "Prometheus"),
        _source("postgres", "Store", "grafana-postgresql-datasource", POSTGRES_UID, "driftd"),
    ]


def _source(name: str, label: str, kind: str, uid: str, text: str) -> Json:
    return {
        "name": name, "label": label, "type": "datasource", "query": kind, "current": {"text": text, "value": uid},
        "description": "Which data source of this kind is asked.",
    }  # fmt: skip


def asked(name: str, label: str, why: str, query: str, multi: bool = False, current: str = "") -> Json:
    """A variable whose values a query of the store gives. multi: several at once, all by default."""
    out: Json = {
        "name": name, "label": label, "description": why, "type": "query", "datasource": POSTGRES, "query": query, "refresh": 2,
        "multi": multi, "includeAll": multi, "sort": 0,
    }  # fmt: skip
    if multi:
        out["current"] = {"text": ["All"], "value": ["$__all"]}
    elif current:
        out["current"] = {"text": current, "value": current}
    return out


def chosen(name: str, label: str, why: str, values: tuple[str, ...]) -> Json:
    """A variable of a fixed list, the first by default."""
    return {
        "name": name, "label": label, "description": why, "type": "custom", "query": ",".join(values),
        "current": {"text": values[0], "value": values[0]},
        "options": [{"text": v, "value": v, "selected": v == values[0]} for v in values],
    }  # fmt: skip


def label_values(name: str, label: str, why: str, query: str, regex: str = "", multi: bool = False) -> Json:
    """A variable whose values are a label's in Prometheus."""
    out: Json = {
        "name": name, "label": label, "description": why, "type": "query", "datasource": PROMETHEUS, "query": query, "refresh": 2,
        "multi": multi, "includeAll": multi, "sort": 1, "regex": regex,
    }  # fmt: skip
    if multi:
        out |= {"allValue": ".*", "current": {"text": ["All"], "value": ["$__all"]}}
    return out


NEWEST = "(SELECT max(start_ms) FROM model_window WHERE model = ${model:sqlstring})"
LABELLED = "(SELECT max(start_ms) FROM model_window WHERE model = ${model:sqlstring} AND labelled_rows > 0)"

MODEL = asked("model", "Model", "Which model is shown.", "SELECT model FROM model_lock WHERE model <> '' ORDER BY 1")
VERSION = asked(
    "version", "Version", "Versions of the model in its newest window.",
    f"SELECT DISTINCT version FROM score WHERE model = ${{model:sqlstring}} AND window_start_ms = {NEWEST} AND version <> '' ORDER BY 1", True,
)  # fmt: skip
SEGMENT = asked(
    "segment", "Segment", "A part of the model's rows, or all of them.",
    f"SELECT '{ALL_ROWS}' UNION ALL (SELECT DISTINCT segment FROM score WHERE model = ${{model:sqlstring}} AND window_start_ms = {NEWEST} "
    "AND segment <> '' ORDER BY 1)", current=ALL_ROWS,
)  # fmt: skip
_FEATURES = (
    f"SELECT DISTINCT subject FROM score WHERE model = ${{model:sqlstring}} AND window_start_ms = {NEWEST} AND segment = '' "
    "AND score = 'missing_share' ORDER BY 1"
)
FEATURE = asked("feature", "Feature", "Which feature is shown; `prediction` is one too.", _FEATURES)
FEATURES = asked("features", "Features", "Features that the heatmap shows.", _FEATURES, True)
METRIC = asked(
    "metric", "Metric", "Metric of performance that the band is drawn for.",
    f"SELECT DISTINCT score FROM score WHERE model = ${{model:sqlstring}} AND window_start_ms = {LABELLED} AND subject = 'performance' "
    "AND segment = '' AND score !~ '_(low|high)$' ORDER BY 1",
)  # fmt: skip
SCORE = chosen("score", "Drift score", "Which score of drift is shown.", DRIFT_SCORES)
