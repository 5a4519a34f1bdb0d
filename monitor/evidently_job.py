"""Evidently on samples of rows: metrics by name, and its report. Imported only in the process of a slow detector.

What its data sets are made of: monitor/evidently_data.py.
"""

from __future__ import annotations

import math
import os
import re
from types import SimpleNamespace
from typing import Any

from detectors.columns import Columns, Schema
from detectors.sample import EMBEDDING
from detectors.score import Score
from monitor.evidently_data import TASKS, Refused, Samples
from monitor.evidently_names import EMBEDDINGS, LABELLED, TRAINED

os.environ["DO_NOT_TRACK"] = "1"  # no usage telemetry
SUBJECT = "evidently"
GROUPS = "GroupBy"
SMALL = 1000  # rows of a reference under which Evidently bootstraps the classifier of embeddings
MOST = 1000  # numbers of one metric or preset
_ITEMS = "needs features of the items, and events carry items by their names alone"
# what no window has
REFUSED = {
    "Diversity": _ITEMS,
    "Serendipity": _ITEMS,
    "ItemBias": _ITEMS,
    "ScoreDistribution": "needs a score of each item, and events carry their order alone",
    "RecCasesTable": "is a table of single users to look at, without a number of the window",
}
TEXT_SCORE = "evidently.drift_score"


def score_metrics(samples: Samples, wanted: list[dict[str, Any]], name: str) -> list[Score]:
    """The scores of each metric or preset; one that fails has the value NaN, and its reason.

    A score is named by its metric, with the parts of its value: evidently_category_count_share. Where that name is taken
    already (a preset's three kinds of correlation), the first of the metric's arguments that tells them apart follows it.
    """
    out: dict[tuple[str, str], Score] = {}
    rows = samples.rows[0].rows
    for entry in wanted:
        metric, options = entry["metric"], entry.get("options", {})
        subject = str(options.get("column", SUBJECT))
        try:
            results, left_out = _results(samples, metric, options)
            found = _numbered(results, metric, subject, set(out))
        except Exception as error:  # noqa: BLE001  one metric that fails is no reason to lose the others
            reason = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            out[subject, score_name(metric)] = Score(subject, score_name(metric), math.nan, rows, name, {"reason": reason})
            continue
        for key, value in found.items():
            out[key] = Score(*key, value, rows, name, {"left_out": left_out} if left_out else {})
    return list(out.values())


def _results(samples: Samples, metric: str, options: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """What Evidently finds, and what was left out: texts that the metric does not name, where it fails on them; a preset's metrics
    that no window can have."""
    from evidently import Report

    if metric == GROUPS:
        return _of_groups(samples, options)
    made = _metric(metric, options)
    room = _room(type(made))
    if room == "recsys":
        return _of_lists(samples, made, metric)
    if room in TASKS:
        return Report([made]).run(*samples.labelled(metric, room)).dict()["metrics"], []
    if metric == EMBEDDINGS:
        return _of_embeddings(samples, made), []
    if options.get("embeddings"):
        return Report([made]).run(*samples.embedded(metric)).dict()["metrics"], []
    named = {value for value in options.values() if isinstance(value, str)}
    texts = set(samples.rows[0].raw) - named
    try:
        return Report([made]).run(*samples.plain()).dict()["metrics"], []
    except Exception:
        if not texts:
            raise
        return Report([made]).run(*samples.plain(texts)).dict()["metrics"], sorted(texts)


def _of_groups(samples: Samples, options: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """A metric of each group's rows. Evidently's own GroupBy gives those of errors and lists for all rows, whatever the group."""
    inner, column = options.get("metric"), options.get("column_name")
    if not isinstance(inner, dict) or not isinstance(inner.get("metric"), str) or not isinstance(column, str):
        raise Refused("GroupBy needs `options: {metric: {metric: NAME, options: {...}}, column_name: FEATURE}`")
    out: list[dict[str, Any]] = []
    left_out: set[str] = set()
    for value, group in samples.groups(column, MOST):
        results, left = _results(group, inner["metric"], inner.get("options", {}))
        left_out |= set(left)
        for result in results:
            config = {key: of for key, of in result["config"].items() if key != "column"}
            out.append({**result, "config": {**config, "type": "GroupByMetric", "label": value}})
    return out, sorted(left_out)


def _of_embeddings(samples: Samples, made: Any) -> list[dict[str, Any]]:
    """Evidently's drift methods themselves: its metric spends minutes on a picture (t-SNE) that nobody would see."""
    from evidently.legacy.metrics.data_drift.embedding_drift_methods import model

    window, reference = (side.as_dataframe() for side in samples.embedded(EMBEDDINGS))
    columns = [f"{EMBEDDING}_{i}" for i in range(samples.rows[0].vectors[EMBEDDING].shape[1])]
    if made.embeddings_name != EMBEDDING:
        raise Refused(f"the model has no embedding {made.embeddings_name!r}: write embeddings_name: {EMBEDDING}")
    method = made.drift_method or model(bootstrap=len(reference) < SMALL)
    return [{"config": {"type": EMBEDDINGS}, "value": float(method(window[columns], reference[columns])[0])}]


def _of_lists(samples: Samples, made: Any, name: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Of ranked lists. Training data are the reference's relevant items."""
    from evidently import Report

    if name in REFUSED:
        raise Refused(f"{name} {REFUSED[name]}")
    sides = samples.ranked(name, name in LABELLED)
    train = {"current_train_data": samples.interactions()} if name in TRAINED else {}
    metrics, left_out = [made], []
    if hasattr(made, "generate_metrics") and name in TRAINED:
        metrics = list(made.generate_metrics(SimpleNamespace(additional_data=train)))
        left_out = sorted({type(m).__name__ for m in metrics} & set(REFUSED))
        metrics = [m for m in metrics if type(m).__name__ not in REFUSED]
    return Report(metrics).run(*sides, additional_data=train).dict()["metrics"], left_out


def _metric(metric: str, options: dict[str, Any]) -> Any:
    """One of evidently.metrics or evidently.presets. An argument {metric: NAME, options: {...}} is a metric too, and
    {method: NAME, options: {...}} a way to compare embeddings, as in evidently.metrics.embeddings."""
    import evidently.metrics as metrics
    import evidently.presets as presets

    kind = getattr(metrics, metric, None) or getattr(presets, metric, None)
    if not isinstance(kind, type):
        raise Refused(f"Evidently has no metric {metric!r}")
    return kind(**{name: _argument(value) for name, value in options.items()})


def _argument(value: Any) -> Any:
    import evidently.metrics.embeddings as embeddings

    if isinstance(value, dict) and isinstance(value.get("metric"), str):
        return _metric(value["metric"], value.get("options", {}))
    if isinstance(value, dict) and isinstance(value.get("method"), str):
        kind = getattr(embeddings, value["method"], None)
        if not isinstance(kind, type):
            raise Refused(f"Evidently has no way {value['method']!r} to compare embeddings")
        return kind(**value.get("options", {}))
    return {key: _argument(item) for key, item in value.items()} if isinstance(value, dict) else value


def _room(kind: type) -> str:
    """The module of Evidently that a metric or preset is in."""
    return kind.__module__.rsplit(".", 1)[-1]


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
        numbers = _numbers(base, _at_k(result["value"], config))
        if any((own, key) in taken or (own, key) in out for key, _ in numbers):
            before = first.get((own, base), {})
            told = next((v for k, v in config.items() if k not in ("type", "tests", "column") and v != before.get(k)), len(out))
            numbers = [(key.replace(base, f"{base}_{_plain(told)}", 1), value) for key, value in numbers]
        first.setdefault((own, base), config)
        out |= {(own, key): value for key, value in numbers}
    if len(out) > MOST:
        raise Refused(f"{metric} gives {len(out)} numbers, more than {MOST}: name metrics of single columns")
    return out


def _at_k(value: Any, config: dict[str, Any]) -> Any:
    """Of a table of metrics at 1, 2, ...: the one at the metric's k, or the last one."""
    if "k" in config and isinstance(value, dict) and {"rank", "value"} == set(value):
        values = list(value["value"].values())
        return values[min(int(config["k"]), len(values)) - 1] if values else {}
    return value


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
        if isinstance(value.get("y"), dict) and isinstance(value.get("x"), dict):  # a distribution
            value = {f"{x:.4g}" if isinstance(x, float) else x: value["y"][i] for i, x in value["x"].items()}
        if isinstance(value.get("value"), dict) and isinstance(value.get("column_name"), dict):  # a table of columns
            kinds, columns = value.get("kind", {}), value["column_name"]
            value = {
                "_".join(str(part) for part in (kinds.get(i, ""), columns.get(i, i)) if part): v for i, v in value["value"].items()
            }
        return [pair for key, item in value.items() for pair in _numbers(f"{name}_{_plain(key)}", item)]
    return []


def _plain(key: Any) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", str(key).removeprefix("ColumnType."))


def write_report(schema: Schema, window: Columns, reference: Columns | None, path: str) -> None:
    """Evidently's drift and summary presets as one HTML file."""
    from evidently import Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    samples = Samples(schema, (window, reference))
    presets = [DataSummaryPreset()] if reference is None else [DataDriftPreset(), DataSummaryPreset()]
    try:
        snapshot = Report(presets).run(*samples.plain())
    except ValueError:  # texts that say nothing
        if not window.raw:
            raise
        snapshot = Report(presets).run(*samples.plain(set(window.raw)))
    snapshot.save_html(path)
