"""Evidently on samples of rows: metrics by name, and its report. Imported only in the process of a slow detector.

What its data sets are made of: monitor/evidently_data.py.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Any

import numpy as np

from detectors.columns import Columns, Schema
from detectors.sample import EMBEDDING, PART, TEXT_CHARS
from detectors.score import Score
from monitor.evidently_data import TASKS, Found, Refused, Samples
from monitor.evidently_descriptors import score_name
from monitor.evidently_lists import of_lists
from monitor.evidently_names import EMBEDDINGS
from monitor.evidently_numbers import MOST, numbered
from monitor.evidently_texts import described

os.environ["DO_NOT_TRACK"] = "1"  # no usage telemetry
SUBJECT = "evidently"
GROUPS = "GroupBy"
SMALL = 1000  # rows of a reference under which Evidently bootstraps the classifier of embeddings


def score_metrics(
    samples: Samples, wanted: list[dict[str, Any]], name: str, descriptors: list[dict[str, Any]] | None = None
) -> list[Score]:
    """The scores of each metric or preset; one that fails has the value NaN, and its reason. descriptors: of texts, which are
    columns to them.

    A score is named by its metric, with the parts of its value: evidently_category_count_share. Where that name is taken
    already (a preset's three kinds of correlation), the first of the metric's arguments that tells them apart follows it.
    """
    out: dict[tuple[str, str], Score] = {}
    if descriptors:
        window, reference = samples.rows
        samples = replace(samples, texts=(described(window, descriptors, "window"), described(reference, descriptors, "reference")))
    rows = samples.rows[0].rows
    for entry in wanted:
        metric, options = entry["metric"], entry.get("options", {})
        subject = str(options.get("column", SUBJECT))
        try:
            got = _results(samples, metric, options, entry.get("user"))
            found = numbered(got.results, metric, subject, set(out))
        except Exception as error:  # noqa: BLE001  one metric that fails is no reason to lose the others
            reason = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            out[subject, score_name(metric)] = Score(subject, score_name(metric), math.nan, rows, name, {"reason": reason})
            continue
        for key, value in found.items():
            evidence: dict[str, object] = {**({"left_out": got.left_out} if got.left_out else {}), **got.told}
            if not math.isfinite(value):
                evidence["reason"] = "Evidently has no number for these rows"
            if key[0] in samples.texts[0].values() and (cut := _cut(samples)):
                evidence["cut_texts"] = cut
            out[key] = Score(*key, value, rows, name, evidence)
    return list(out.values())


def _results(samples: Samples, metric: str, options: dict[str, Any], user: str | None) -> Found:
    """What Evidently finds. Left out are texts that the metric does not name, where it fails on them, and those metrics of a preset
    that this window cannot have. user: the feature that says whose a ranked list is."""
    from evidently import Report

    if metric == GROUPS:
        return _of_groups(samples, options, user)
    made = _metric(metric, options)
    room = _room(type(made))
    if room == "recsys":
        return of_lists(samples, made, metric, user)
    if room in TASKS:
        return Found(Report([made]).run(*samples.labelled(metric, room)).dict()["metrics"])
    if metric == EMBEDDINGS:
        return Found(_of_embeddings(samples, made))
    if options.get("embeddings"):
        return Found(Report([made]).run(*samples.embedded(metric)).dict()["metrics"])
    named = {v for value in options.values() for v in (value if isinstance(value, list) else [value]) if isinstance(v, str)}
    failed = {alias: reason for side in samples.texts for alias, reason in side.failed.items()}
    for alias in sorted(named & set(failed)):
        raise Refused(f"{alias}: {failed[alias]}")
    lost = [] if named & _columns(samples) else [f"{alias}: {reason}" for alias, reason in sorted(failed.items())]
    if not named & _columns(samples):
        lost += [f"{column}: {reason}" for column, reason in samples.alone().items()]
    texts = set(samples.rows[0].raw) - named
    try:
        return Found(Report([made]).run(*samples.plain(named)).dict()["metrics"], lost)
    except Exception:
        if not texts:
            raise
        return Found(Report([made]).run(*samples.plain(named, texts)).dict()["metrics"], sorted(texts) + lost)


def _columns(samples: Samples) -> set[str]:
    rows = samples.rows[0]
    return {*rows.numeric, *rows.categorical, *rows.numbers, *rows.raw, *samples.texts[0].values()}


def _cut(samples: Samples) -> int:
    """The window's rows that have a text as long as the sample keeps texts, so that their descriptors may be of a part of it."""
    rows = samples.rows[0]
    most = int(samples.schema.parts.get(PART, {}).get("text_chars", TEXT_CHARS))
    cut = np.zeros(rows.rows, dtype=np.bool_)
    for column in rows.raw.values():
        long = np.array([len(text) >= most for text in column.values] + [False])
        cut |= long[column.codes]
    return int(cut.sum())


def _of_groups(samples: Samples, options: dict[str, Any], user: str | None) -> Found:
    """A metric of each group's rows. Evidently's own GroupBy gives those of errors and lists for all rows, whatever the group."""
    inner, column = options.get("metric"), options.get("column_name")
    if not isinstance(inner, dict) or not isinstance(inner.get("metric"), str) or not isinstance(column, str):
        raise Refused("GroupBy needs `options: {metric: {metric: NAME, options: {...}}, column_name: FEATURE}`")
    out: list[dict[str, Any]] = []
    left_out: set[str] = set()
    told: dict[str, object] = {}
    for value, group in samples.groups(column, MOST):
        found = _results(group, inner["metric"], inner.get("options", {}), user)
        left_out |= set(found.left_out)
        told |= found.told
        for result in found.results:
            config = {key: of for key, of in result["config"].items() if key != "column"}
            out.append({**result, "config": {**config, "type": "GroupByMetric", "label": value}})
    return Found(out, sorted(left_out), told)


def _of_embeddings(samples: Samples, made: Any) -> list[dict[str, Any]]:
    """Evidently's drift methods themselves: its metric spends minutes on a picture (t-SNE) that nobody would see."""
    from evidently.legacy.metrics.data_drift.embedding_drift_methods import model

    window, reference = (side.as_dataframe() for side in samples.embedded(EMBEDDINGS))
    columns = [f"{EMBEDDING}_{i}" for i in range(samples.rows[0].vectors[EMBEDDING].shape[1])]
    if made.embeddings_name != EMBEDDING:
        raise Refused(f"the model has no embedding {made.embeddings_name!r}: write embeddings_name: {EMBEDDING}")
    method = made.drift_method or model(bootstrap=len(reference) < SMALL)
    return [{"config": {"type": EMBEDDINGS}, "value": float(method(window[columns], reference[columns])[0])}]


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


def write_report(schema: Schema, window: Columns, reference: Columns | None, path: str) -> dict[str, str]:
    """Evidently's drift and summary presets as one HTML file; the columns that are left out, and why.

    Those on which Evidently itself fails, as on texts that say nothing, or numbers as far apart as floats go, are among them.
    """
    samples = Samples(schema, (window, reference))
    failed: dict[str, str] = {}
    try:
        snapshot = _shown(samples)
    except MemoryError:
        raise
    except Exception:
        columns = list(samples.plain()[0].as_dataframe())
        failed = _failing(samples, columns, columns)
        if not failed:
            raise
        if len(failed) == len(columns):
            raise Refused("; ".join(f"{column}: {why}" for column, why in failed.items())) from None
        snapshot = _shown(samples, set(failed))
    snapshot.save_html(path)
    return samples.alone() | failed


def _shown(samples: Samples, without: set[str] | frozenset[str] = frozenset()) -> Any:
    from evidently import Report
    from evidently.presets import DataDriftPreset, DataSummaryPreset

    presets = [DataSummaryPreset()] if samples.rows[1] is None else [DataDriftPreset(), DataSummaryPreset()]
    return Report(presets).run(*samples.plain(without=without))


def _failing(samples: Samples, every: list[str], some: list[str]) -> dict[str, str]:
    """Those of some columns that cannot be shown, and why. Halves that can are not looked at one by one."""
    try:
        _shown(samples, {*every} - {*some})
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  Evidently fails in any way
        if len(some) == 1:
            return {some[0]: f"Evidently cannot show its values ({type(error).__name__}: {' '.join(str(error).split())[:200]})"}
        half = len(some) // 2
        return _failing(samples, every, some[:half]) | _failing(samples, every, some[half:])
    return {}
