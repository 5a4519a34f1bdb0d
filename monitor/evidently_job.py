"""Evidently on samples of rows: metrics by name, and its report. Imported only in the process of a slow detector.

Features keep their names, texts too where the sample has them; predictions are the columns `prediction` (label) and `score`, labels
`target`: metrics that compare the two see only the rows whose label has come.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from detectors.columns import Columns
from detectors.score import Score

os.environ["DO_NOT_TRACK"] = "1"  # no usage telemetry
SUBJECT = "evidently"
MOST = 1000  # numbers of one metric or preset
# what Evidently's metrics of a module would need, and where the numbers are
REFUSED = {
    "recsys": "is of users and recommended items, which a sample of rows does not have: `task: ranking` has NDCG, MAP, MRR and "
    "the hit rate of all labelled rows",
    "embeddings": "is of embeddings, which a sample of rows does not keep: `multivariate: {mmd: [embedding]}` is of all of them",
}
TASKS = {"classification": ("binary", "multiclass"), "regression": ("regression",)}  # of metrics that need labels
TEXT_SCORE = "evidently.drift_score"


@dataclass(frozen=True, slots=True)
class Labels:
    """Of the window's rows and of the reference's, None where none came; and what the model predicts."""

    task: str
    positive: str | None
    sides: tuple[list[Any], list[Any]]


def score_metrics(
    window: Columns, reference: Columns | None, wanted: list[dict[str, Any]], name: str, labels: Labels | None = None
) -> list[Score]:  # fmt: skip
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
            results, left_out = _results(sides, metric, options, labels)
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


def _results(
    sides: tuple[Columns, Columns | None], metric: str, options: dict[str, Any], labels: Labels | None
) -> tuple[list[dict[str, Any]], list[str]]:  # fmt: skip
    """What Evidently finds, and the texts that were left out: those that the metric does not name, where it fails on them."""
    from evidently import Report

    made = _metric(metric, options)
    if (tasks := TASKS.get(_room(type(made)))) is not None:
        return Report([made]).run(*_labelled(sides, metric, tasks, labels)).dict()["metrics"], []
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
    if _room(kind) in REFUSED:
        raise Refused(f"{metric} {REFUSED[_room(kind)]}")
    nested = {k: _metric(v["metric"], v.get("options", {})) for k, v in options.items() if isinstance(v, dict) and "metric" in v}
    return kind(**{**options, **nested})


def _room(kind: type) -> str:
    """The module of Evidently that a metric or preset is in."""
    return kind.__module__.rsplit(".", 1)[-1]


def _labelled(sides: tuple[Columns, Columns | None], metric: str, tasks: tuple[str, ...], labels: Labels | None) -> list[Any]:
    """Data sets of the rows that have a label. The reference is left out where it was built without any."""
    if labels is None or labels.task not in tasks:
        raise Refused(f"{metric} is of task {' or '.join(tasks)}; this model's is {labels.task if labels else 'none'}")
    out: list[Any] = []
    for rows, given in zip(sides, labels.sides, strict=True):
        there = np.array([i for i, label in enumerate(given) if label is not None], dtype=np.int64)
        has = rows is not None and len(there) > 0
        out.append(_dataset(rows.take(there), [given[i] for i in there.tolist()], labels) if has and rows is not None else None)
    if out[0] is None:
        raise Refused(f"no label of the window's {sides[0].rows} sampled rows has come")
    return out


def _task(data: Any, labels: Labels) -> dict[str, Any]:
    from evidently import BinaryClassification, MulticlassClassification, Regression

    if labels.task == "regression":
        return {"regression": [Regression(target="target", prediction="score")]}
    if labels.task == "multiclass":
        return {"classification": [MulticlassClassification(target="target", prediction_labels="prediction")]}
    scored = "score" if "score" in data and data["score"].notna().all() else None
    kind = BinaryClassification(
        target="target", prediction_labels="prediction", prediction_probas=scored, pos_label=labels.positive
    )
    return {"classification": [kind]}


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


def _dataset(rows: Columns, target: list[Any] | None = None, labels: Labels | None = None) -> Any:
    """An Evidently data set. Columns without any value are left out: its statistics refuse them."""
    import pandas as pd
    from evidently import DataDefinition, Dataset

    numbers = {**rows.numeric, **rows.numbers, "score": rows.score, "latency_ms": rows.latency_ms}
    texts = {**{f: c.to_list() for f, c in rows.categorical.items()}, "prediction": rows.label.to_list()}
    prose = {f: c.to_list() for f, c in rows.raw.items()}
    data = pd.DataFrame({**numbers, **texts, **prose}).dropna(axis="columns", how="all")
    numeric, categorical, text = ([c for c in kind if c in data] for kind in (numbers, texts, prose))
    task = {}
    if target is not None and labels is not None:
        data["target"] = target
        (numeric if labels.task == "regression" else categorical).append("target")
        task = _task(data, labels)
    definition = DataDefinition(numerical_columns=numeric, categorical_columns=categorical, text_columns=text, **task)
    return Dataset.from_pandas(data, data_definition=definition)
