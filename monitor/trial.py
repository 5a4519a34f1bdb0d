"""Whether a function of the user's needs a sample of outcomes for its interval, found out by calling it on outcomes that never were.

What it reads decides (detectors/labelled/redrawn.py): counts, arrays and sums that come with a sum of squares are drawn anew from the
summary; for anything else the outcomes must be kept. One that raises, or has no value, on the trial's outcomes is taken to need them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from detectors.columns import DictColumn, Matrix, Outcomes, Schema
from detectors.labelled.redrawn import Function, needs_rows
from detectors.performance import PerformanceSummary
from detectors.sample import LIST_ITEMS
from monitor.config.model import ModelSettings
from monitor.custom import load_function, measured, told

ROWS = 400
STEP_MS, START_MS = 1_000, 1_700_000_000_000
PER_LIST = 3  # relevant items


def keeps_outcomes(settings: ModelSettings) -> bool:
    """Whether one of a model's own metrics gets its interval of outcomes that are kept. Raises ValueError for one that is no function."""
    wanted = [c for c in settings.performance.custom if c.interval]
    if settings.task == "none" or not wanted:
        return False
    if any(c.interval == "rows" for c in wanted):
        return True
    schema, labels = _schema(settings), _labels(settings)
    return any(_reads_more(load_function(c.function), schema, labels) for c in wanted)


def raised(settings: ModelSettings) -> dict[int, str]:
    """Of a model's own metrics those that raise on the trial's outcomes, or return no number: their place in the config, and what was said.

    A function may refuse outcomes that never were, so this is for people to read. Raises ValueError for one that is no function.
    """
    out: dict[int, str] = {}
    for i, custom in enumerate(settings.performance.custom if settings.task != "none" else ()):
        function = load_function(custom.function)
        summary = PerformanceSummary.empty(_schema(settings))
        summary.add(outcomes_of(summary.schema, _labels(settings)))
        try:
            measured(function, summary)
        except (Exception, SystemExit) as error:  # noqa: BLE001  the user's code: anything may come
            out[i] = told(error)
    return out


def _labels(m: ModelSettings) -> list[str]:
    worth = m.performance.value
    labels = [*m.classes, *worth, *(true for row in worth.values() for true in row), m.positive_label or "1", "0"]
    return list(dict.fromkeys(labels))


def _schema(m: ModelSettings) -> Schema:
    vectors = {"probabilities": len(m.classes)} if m.task == "multiclass" and m.classes else {}
    return Schema(
        (), (), m.task, m.positive_label, vectors=vectors, classes=tuple(m.classes), quantiles=tuple(m.quantiles), top_k=m.top_k
    )


def _reads_more(function: Function, schema: Schema, labels: Sequence[str]) -> bool:
    def summary() -> PerformanceSummary:
        out = PerformanceSummary.empty(schema)
        out.add(outcomes_of(schema, labels))
        return out

    try:
        found: Any = function(summary())
        return not isinstance(found, tuple) and needs_rows(function, summary(), float(found))
    except (Exception, SystemExit):  # noqa: BLE001  the user's code: it was asked for a value of outcomes that never were
        return True


def outcomes_of(schema: Schema, labels: Sequence[str]) -> Outcomes:
    """ROWS outcomes of a model's task, right and wrong ones, always the same."""
    rng = np.random.default_rng(1)
    true = rng.integers(0, len(labels), ROWS)
    predicted = np.where(rng.random(ROWS) < 0.7, true, rng.integers(0, len(labels), ROWS))
    numbers = schema.task in ("regression", "quantile")
    value = rng.normal(size=ROWS)
    times = START_MS + STEP_MS * np.arange(ROWS)
    listed = numbers or schema.task in ("multilabel", "ranking")
    return Outcomes(
        predicted_label=DictColumn.missing(ROWS) if listed else DictColumn(predicted.astype(np.int32), list(labels)),
        predicted_score=value + rng.normal(size=ROWS) if numbers else rng.random(ROWS),
        true_label=DictColumn.missing(ROWS) if listed else DictColumn(true.astype(np.int32), list(labels)),
        true_value=value if numbers else np.full(ROWS, np.nan),
        weight=np.ones(ROWS, dtype=np.int64),
        ts_ms=times,
        label_ts_ms=times + STEP_MS,
        vectors=_vectors(schema, rng, value),
    )


def _vectors(schema: Schema, rng: np.random.Generator, value: np.ndarray) -> dict[str, Matrix]:
    k = len(schema.classes)
    found: dict[str, np.ndarray] = {}
    if schema.task == "multiclass" and k:
        found = {"probabilities": rng.dirichlet(np.ones(k), ROWS)}
    elif schema.task == "multilabel":
        true = rng.random((ROWS, k)) < 0.6
        others = rng.random((ROWS, 1)) < 0.1
        found = {"labels": np.where(rng.random((ROWS, k)) < 0.8, true, ~true), "true_labels": true, "true_others": others}
    elif schema.task == "quantile":
        found = {"quantiles": np.sort(value[:, None] + rng.normal(size=(ROWS, len(schema.quantiles))), axis=1)}
    elif schema.task == "ranking":
        relevant = rng.integers(0, PER_LIST + 1, ROWS)
        ideal = (np.arange(LIST_ITEMS) < relevant[:, None]).astype(np.float32)
        found = {
            "gains": rng.permuted(ideal, axis=1),
            "ideal": ideal,
            "relevant": relevant[:, None],
            "cut": rng.random((ROWS, 1)) < 0.2,
        }
    return {name: matrix.astype(np.float32) for name, matrix in found.items()}
