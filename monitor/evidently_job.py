"""Evidently on samples of rows: metrics by name, and its report. Imported only in the process of a slow detector.

Features keep their names; predictions are the columns `prediction` (label) and `score`.
"""

from __future__ import annotations

import math
import os
import re
from typing import Any

from detectors.columns import Columns
from detectors.score import Score

os.environ["DO_NOT_TRACK"] = "1"  # no usage telemetry
SUBJECT = "evidently"


def score_metrics(window: Columns, reference: Columns | None, wanted: list[dict[str, Any]], name: str) -> list[Score]:
    """The scores of each metric; one that fails has the value NaN, and its reason."""
    import evidently.metrics as known
    from evidently import Report

    out: list[Score] = []
    current, before = _dataset(window), None if reference is None else _dataset(reference)
    for entry in wanted:
        metric, options = entry["metric"], entry.get("options", {})
        subject = str(options.get("column", SUBJECT))
        base = score_name(metric)
        try:
            kind = getattr(known, metric, None)
            if kind is None:
                raise ValueError(f"Evidently has no metric {metric!r}")
            found = Report([kind(**options)]).run(current, before).dict()["metrics"]
        except Exception as error:  # noqa: BLE001  one metric that fails is no reason to lose the others
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            out.append(Score(subject, base, math.nan, window.rows, name, {"reason": reason}))
            continue
        for result in found:
            own = str(result.get("config", {}).get("column", subject))
            out.extend(Score(own, n, v, window.rows, name) for n, v in _numbers(base, result["value"]))
    return list({(s.subject, s.name): s for s in out}.values())


def score_name(metric: str) -> str:
    """The score's name of a metric: ValueDrift is evidently_value_drift."""
    return "evidently_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", metric).lower()


def _numbers(name: str, value: Any) -> list[tuple[str, float]]:
    """The numbers in a metric's value, each with its name."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return [(name, float(value))]
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _numbers(f"{name}_{_plain(key)}", item)]
    return []


def _plain(key: Any) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", str(key))


def write_report(window: Columns, reference: Columns | None, path: str) -> None:
    """Evidently's drift and summary presets as one HTML file."""
    from evidently import Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    presets = [DataSummaryPreset()] if reference is None else [DataDriftPreset(), DataSummaryPreset()]
    snapshot = Report(presets).run(_dataset(window), None if reference is None else _dataset(reference))
    snapshot.save_html(path)


def _dataset(rows: Columns) -> Any:
    """An Evidently data set. Columns without any value are left out: its statistics refuse them."""
    import pandas as pd
    from evidently import DataDefinition, Dataset

    numbers = {**rows.numeric, **rows.numbers, "score": rows.score, "latency_ms": rows.latency_ms}
    texts = {**{f: c.to_list() for f, c in rows.categorical.items()}, "prediction": rows.label.to_list()}
    data = pd.DataFrame({**numbers, **texts}).dropna(axis="columns", how="all")
    numeric = [c for c in numbers if c in data]
    categorical = [c for c in texts if c in data]
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=categorical)
    return Dataset.from_pandas(data, data_definition=definition)
