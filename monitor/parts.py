"""Which optional summaries a model has, and their options: the config's sections become schema.parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from detectors.class_cells import PART as CLASSES
from detectors.label_spread import LABELS, SCORES
from detectors.losses import LOSSES, VALUE, loss_key
from detectors.number_moments import PART as NUMBER_MOMENTS
from detectors.outcome_sample import PART as OUTCOME_SAMPLE
from detectors.outliers import PART as OUTLIERS
from detectors.outliers import WORST_ROWS
from detectors.request_errors import PART as REQUEST_ERRORS
from detectors.request_numbers import PART as REQUEST_NUMBERS
from detectors.sample import LIST_TYPES
from detectors.trace import ERROR_TASKS
from detectors.worst import PART as WORST
from detectors.worst_errors import PART as WORST_ERRORS
from monitor.budget import Calibration
from monitor.config.compare import OF_ANY_TASK, needs_labels
from monitor.config.model import ModelSettings
from monitor.decode.settings import ITEMS
from monitor.evidently_names import vectors_of
from monitor.quality import rule_options
from monitor.trial import keeps_outcomes

DEFAULT_DETECTOR = "adwin"  # of those measured by tests/bench/quality/streams.py the one with fewest false alarms for its delay
DELTA, CLOCK = 0.002, 32  # ADWIN's own
FALSE_A_LOOK = 0.006  # of its delta: how often it fires in errors of one rate; 0.0025 where one in twenty is wrong
TOGETHER_ROWS = 200  # outcomes of several classes that are kept: a mean's width is then known within about 5 %
TOGETHER_NUMBERS = 6000
CONCEPT_SHARE = 0.02  # of the budget of false alarms: one score among those of a usual model


def concept_detectors(settings: ModelSettings) -> dict[str, dict[str, float]]:
    """The stream detectors of a model whose outcomes have errors, with their options."""
    if settings.task not in ERROR_TASKS:
        return {}
    if settings.concept.detectors is not None:
        return settings.concept.detectors
    return {DEFAULT_DETECTOR: {"delta": _delta(settings)}}


def _delta(settings: ModelSettings) -> float:
    """ADWIN's, such that what it calls by chance is CONCEPT_SHARE of the week's budget, in windows of `concept.rows` errors."""
    if not settings.false_alarms_per_week:
        return DELTA
    level = Calibration(settings.false_alarms_per_week).window_level(settings.window.slide_ms)
    return min(DELTA, float(f"{level * CONCEPT_SHARE * CLOCK / settings.concept.rows / FALSE_A_LOOK:.3g}"))


def _worst_rows(m: ModelSettings) -> dict[str, Any] | None:
    """Kept as the sample of rows is: with its mask, for its time, and not without it."""
    if m.outliers is None or m.outliers.worst_rows == 0 or m.sample is None:
        return None
    return {"rows": m.outliers.worst_rows, "mask": sorted(m.sample.mask)}


# name of the part -> its options, None where the config does not ask for it


def _sample(m: ModelSettings) -> dict[str, Any] | None:
    if m.sample is None:
        return None
    options: dict[str, Any] = {"rows": m.sample.rows, "mask": sorted(m.sample.mask), "estimate": m.estimate.enabled}
    if m.sample.texts:
        options |= {"texts": sorted(m.sample.texts), "text_chars": m.sample.text_chars}
    kept = {name for wanted in m.evidently for name in vectors_of(wanted.metric, wanted.options)}
    if m.task == "ranking" and (lists := sorted(kept & LIST_TYPES.keys())):
        options |= {"lists": lists, "list_items": ITEMS}
    if vectors := sorted(kept - LIST_TYPES.keys()):
        options["vectors"] = vectors
    return options


def _score_cells(m: ModelSettings) -> dict[str, Any] | None:
    wanted = m.estimate.enabled and m.task in ("binary", "multiclass")
    return {"limit": m.estimate.calibration_error} if wanted else None


def _class_cells(m: ModelSettings) -> dict[str, Any] | None:
    """Counted where events and the reference carry probabilities of the model's classes."""
    return {} if m.estimate.enabled and m.task == "multiclass" else None


def _multivariate(m: ModelSettings) -> dict[str, Any] | None:
    wanted = m.multivariate
    if wanted is None:
        return None
    options: dict[str, Any] = {"pca": wanted.pca, "mahalanobis": wanted.mahalanobis, "mmd": list(dict.fromkeys(wanted.mmd))}
    if wanted.correlation is not None:
        named = wanted.correlation
        options |= {"pairs": [list(p) for p in named.pairs], "strong": named.strong, "limit": named.limit}
    return options


def _worst_errors(m: ModelSettings) -> dict[str, Any] | None:
    """`marks` are added when the model's references are known (monitor/runtime.py). No features: the first of the schema."""
    wanted = m.labels.by_input or (m.worst_segments is not None and m.task in ERROR_TASKS)
    if m.task == "none" or not wanted:
        return None
    return {"features": [] if m.worst_segments is None else list(m.worst_segments.features), "marks": []}


def _worst_segments(m: ModelSettings) -> dict[str, Any] | None:
    if m.worst_segments is not None:
        return {"features": list(m.worst_segments.features)}
    return {"features": [], "only_rows": True} if _worst_errors(m) is not None else None


def _reads_errors(m: ModelSettings) -> bool:
    by_time = any(c.mode == "shadow" and c.pair_by is None for c in m.compare)
    return bool(concept_detectors(m)) or (m.task in ERROR_TASKS and by_time)


def _request_errors(m: ModelSettings) -> dict[str, Any] | None:
    wanted = [c.pairs for c in m.compare if c.pair_by is not None and needs_labels(c.metric)]
    if not wanted or m.task not in ERROR_TASKS:
        return None
    losses = {}
    for c in m.compare:
        if c.pair_by is not None and c.metric in LOSSES:
            worth = (c.values or m.performance.value) if c.metric == VALUE else {}
            losses[loss_key(c.metric, worth)] = [c.metric, worth]
    options: dict[str, Any] = {"pane_ms": m.window.slide_ms, "requests": max(wanted)}
    return options | ({"losses": [[key, *rest] for key, rest in sorted(losses.items())]} if losses else {})


def _request_numbers(m: ModelSettings) -> dict[str, Any] | None:
    wanted = [c for c in m.compare if c.pair_by is not None and not needs_labels(c.metric)]
    if not wanted:
        return None
    numbers = sorted({c.metric for c in wanted})
    return {"pane_ms": m.window.slide_ms, "requests": max(c.pairs for c in wanted), "numbers": numbers}


def _number_moments(m: ModelSettings) -> dict[str, Any] | None:
    """Latency and errors have their own."""
    of_rows = {c.metric for c in m.compare if c.pair_by is None and not needs_labels(c.metric)} - set(OF_ANY_TASK)
    return {"numbers": sorted(of_rows)} if of_rows else None


def _outcome_sample(m: ModelSettings) -> dict[str, Any] | None:
    """For the user's own metrics; and a few rows to see how classes hang together, which means over them are as wide as."""
    if keeps_outcomes(m):
        return {}
    several = m.task == "multilabel" or (m.task == "multiclass" and bool(m.classes))
    return {"rows": max(TOGETHER_ROWS // 4, min(TOGETHER_ROWS, TOGETHER_NUMBERS // len(m.classes)))} if several else None


PARTS: dict[str, Callable[[ModelSettings], dict[str, Any] | None]] = {
    SCORES: lambda m: {} if m.task != "none" else None,
    LABELS: lambda m: {} if m.task != "none" else None,
    "numbers": lambda m: {} if m.numbers else None,
    NUMBER_MOMENTS: _number_moments,
    REQUEST_NUMBERS: _request_numbers,
    "rules": rule_options,
    OUTLIERS: lambda m: None if m.outliers is None else {"quantile": m.outliers.quantile},
    WORST_ROWS: _worst_rows,
    WORST: _worst_segments,
    WORST_ERRORS: _worst_errors,
    REQUEST_ERRORS: _request_errors,
    "error_cells": lambda m: {} if m.task in ERROR_TASKS else None,
    "errors": lambda m: {"pane_ms": m.window.slide_ms, "cells": m.concept.cells} if _reads_errors(m) else None,
    OUTCOME_SAMPLE: _outcome_sample,
    "sample": _sample,
    "score_cells": _score_cells,
    CLASSES: _class_cells,
    "multivariate": _multivariate,
}


def parts_of(settings: ModelSettings) -> dict[str, dict[str, Any]]:
    """The parts that a model's config asks for, by name."""
    found = {name: options(settings) for name, options in PARTS.items()}
    return {name: options for name, options in found.items() if options is not None}
