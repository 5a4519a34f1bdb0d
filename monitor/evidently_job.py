"""Evidently on samples of rows: metrics by name, and its report. Imported only in the process of a slow detector.

Features keep their names, texts too where the sample has them; predictions are the columns `prediction` (label) and `score`.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import replace
from typing import Any

from detectors.columns import Columns
from detectors.score import Score

os.environ["DO_NOT_TRACK"] = "1"  # no usage telemetry
SUBJECT = "evidently"
MOST = 1000  # numbers of one metric or preset
# what Evidently's metrics of a module would need, and where the numbers are
REFUSED = {
    "classification": "compares predictions with labels, which a sample of rows does not have: they come later, and `performance` "
    "has such metrics of all labelled rows",
    "regression": "compares predictions with labels, which a sample of rows does not have: they come later, and `performance` "
    "has such metrics of all labelled rows",
    "recsys": "is of users and recommended items, which a sample of rows does not have: `task: ranking` has NDCG, MAP, MRR and "
    "the hit rate of all labelled rows",
    "embeddings": "is of embeddings, which a sample of rows does not keep: `multivariate: {mmd: [embedding]}` is of all of them",
}
TEXT_SCORE = "evidently.drift_score"


def score_metrics(window: Columns, reference: Columns | None, wanted: list[dict[str, Any]], name: str) -> list[Score]:
    """The scores of each metric or preset; one that fails has the value NaN, and its reason.

    A score is named by its metric, with the parts of its value: evidently_category_count_share. Where that name is taken
    already (a preset's three kinds of correlation), the first of the metric's arguments that tells them apart follows it.
    """
    out: dict[tuple[str, str], Score] = {}
    sides = window, reference
    for entry in wanted:
        metric, options = entry["metric"], entry.get("options", {})
        subject = str(options.get("column", SUBJECT))
        try:
            results, left_out = _results(sides, metric, options)
            found = _numbered(results, metric, subject, set(out))
        except Exception as error:  # noqa: BLE001  one metric that fails is no reason to lose the others
            reason = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            out[subject, score_name(metric)] = Score(subject, score_name(metric), math.nan, window.rows, name, {"reason": reason})
            continue
        for key, value in found.items():
            out[key] = Score(*key, value, window.rows, name, {"left_out": left_out} if left_out else {})
    return list(out.values())


class Refused(ValueError):
    """A metric that cannot be computed on a sample of rows, and why."""


def _results(sides: tuple[Columns, Columns | None], metric: str, options: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """What Evidently finds, and the texts that were left out: those that the metric does not name, where it fails on them."""
    from evidently import Report

    made = _metric(metric, options)
    named = {value for value in options.values() if isinstance(value, str)}
    texts = set(sides[0].raw) - named
    try:
        return Report([made]).run(*_datasets(sides)).dict()["metrics"], []
    except Exception:
        if not texts:
            raise
        return Report([made]).run(*_datasets(sides, texts)).dict()["metrics"], sorted(texts)


def _metric(metric: str, options: dict[str, Any]) -> Any:
    """One of evidently.metrics or evidently.presets. An argument {metric: NAME, options: {...}} is a metric too."""
    import evidently.metrics as metrics
    import evidently.presets as presets

    kind = getattr(metrics, metric, None) or getattr(presets, metric, None)
    if not isinstance(kind, type):
        raise Refused(f"Evidently has no metric {metric!r}")
    room = kind.__module__.rsplit(".", 1)[-1]
    if room in REFUSED:
        raise Refused(f"{metric} {REFUSED[room]}")
    nested = {k: _metric(v["metric"], v.get("options", {})) for k, v in options.items() if isinstance(v, dict) and "metric" in v}
    return kind(**{**options, **nested})


def _numbered(
    results: list[dict[str, Any]], metric: str, subject: str, taken: set[tuple[str, str]]
) -> dict[tuple[str, str], float]:  # fmt: skip
    """Subject and name -> value, of all the numbers in the results."""
    out: dict[tuple[str, str], float] = {}
    first: dict[tuple[str, str], dict[str, Any]] = {}
    for result in results:
        config = result.get("config", {})
        own = str(config.get("column", subject))
        base = score_name(str(config.get("type", metric)).rsplit(":", 1)[-1])
        if len(results) == 1:
            base = score_name(metric)
        if "label" in config:  # of a group
            base = f"{base}_{_plain(config['label'])}"
        numbers = _numbers(base, result["value"])
        if any((own, key) in taken or (own, key) in out for key, _ in numbers):
            before = first.get((own, base), {})
            told = next((v for k, v in config.items() if k not in ("type", "tests", "column") and v != before.get(k)), len(out))
            numbers = [(key.replace(base, f"{base}_{_plain(told)}", 1), value) for key, value in numbers]
        first.setdefault((own, base), config)
        out |= {(own, key): value for key, value in numbers}
    if len(out) > MOST:
        raise Refused(f"{metric} gives {len(out)} numbers, more than {MOST}: name metrics of single columns")
    return out


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
        if isinstance(value.get("value"), dict) and isinstance(value.get("column_name"), dict):  # a table of columns
            kinds, columns = value.get("kind", {}), value["column_name"]
            value = {
                "_".join(str(part) for part in (kinds.get(i, ""), columns.get(i, i)) if part): v for i, v in value["value"].items()
            }
        return [pair for key, item in value.items() for pair in _numbers(f"{name}_{_plain(key)}", item)]
    return []


def _plain(key: Any) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", str(key).removeprefix("ColumnType."))


def write_report(window: Columns, reference: Columns | None, path: str) -> None:
    """Evidently's drift and summary presets as one HTML file."""
    from evidently import Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    sides = window, reference
    presets = [DataSummaryPreset()] if reference is None else [DataDriftPreset(), DataSummaryPreset()]
    try:
        snapshot = Report(presets).run(*_datasets(sides))
    except ValueError:  # texts that say nothing
        if not window.raw:
            raise
        snapshot = Report(presets).run(*_datasets(sides, set(window.raw)))
    snapshot.save_html(path)


def _datasets(sides: tuple[Columns, Columns | None], without: set[str] | frozenset[str] = frozenset()) -> list[Any]:
    """Window and reference, without some of their texts."""
    rows = [None if side is None else replace(side, raw={f: c for f, c in side.raw.items() if f not in without}) for side in sides]
    return [None if side is None else _dataset(side) for side in rows]


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
