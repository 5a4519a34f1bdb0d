"""Evidently on samples of rows: metrics by name, and its report. Imported only in the process of a slow detector.

Features keep their names, texts too where the sample has them; predictions are the columns `prediction` (label) and `score`.
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
TEXT_SCORE = "evidently.drift_score"


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


def score_texts(window: Columns, reference: Columns | None, features: list[str], name: str) -> list[Score]:
    """How well a classifier tells the window's texts from the reference's (ROC AUC): Evidently's drift of text content.

    The limit is 0.55, or, where the reference has 1,000 texts or fewer, what random scores reach in one of twenty draws.
    """
    import pandas as pd
    from evidently.legacy.calculations.stattests.registry import get_stattest
    from evidently.legacy.core import ColumnType

    out = []
    for feature in features:
        sides = []
        for rows in (reference, window):
            column = None if rows is None else rows.raw.get(feature)
            sides.append(pd.Series([] if column is None else column.to_list(), dtype=object).dropna())
        before, after = sides
        if before.empty or after.empty:
            side = (
                "reference holds no texts: build it anew, with `sample: {texts: [...]}`" if before.empty else "window has no texts"
            )
            out.append(Score(feature, TEXT_SCORE, math.nan, len(after), name, {"reason": f"the {side}"}))
            continue
        test = get_stattest(before, after, ColumnType.Text, None)
        try:
            found = test(before, after, ColumnType.Text, None)
        except ValueError as error:  # too few texts, or none with a word in common
            out.append(Score(feature, TEXT_SCORE, math.nan, len(after), name, {"reason": f"{test.name}: {error}"}))
            continue
        evidence: dict[str, object] = {"test": test.name, "drifted": bool(found.drifted), "texts": f"{len(before)}, {len(after)}"}
        out.append(Score(feature, TEXT_SCORE, float(found.drift_score), len(after), name, evidence))
    return out


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
    prose = {f: c.to_list() for f, c in rows.raw.items()}
    data = pd.DataFrame({**numbers, **texts, **prose}).dropna(axis="columns", how="all")
    numeric, categorical, text = ([c for c in kind if c in data] for kind in (numbers, texts, prose))
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=categorical, text_columns=text)
    return Dataset.from_pandas(data, data_definition=definition)
