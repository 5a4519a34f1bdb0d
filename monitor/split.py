"""The scores of a change of performance that is split into inputs and concept, in the unit of the metric."""

from __future__ import annotations

import math
from collections.abc import Iterable

from detectors.mix import Split
from detectors.score import Score

SUBJECT = "concept"


def split_scores(split: Split, task: str, rows: int, name: str) -> Iterable[Score]:
    """In the unit of the metric: accuracy, or the mean absolute error of a regression."""
    sign, metric, base = unit_of(task)
    seen: dict[str, object] = {
        "metric": metric,
        "reference": round(base + sign * split.reference, 6),
        "expected_at_mix": round(base + sign * split.expected, 6),
        "realised": round(base + sign * split.realised, 6),
    }
    for score, value in (
        ("performance_expected_at_mix", base + sign * split.expected),
        ("performance_change_by_inputs", sign * split.by_inputs),
        ("performance_change_by_inputs_se", split.by_inputs_se),
        ("performance_change_by_concept", sign * split.by_concept),
        ("performance_change_by_concept_se", split.by_concept_se),
        ("performance_change_by_concept_p", split.concept_p),
    ):
        yield Score(SUBJECT, score, value, rows, name, dict(seen) if math.isfinite(value) else {"reason": _reason(split)})


def _reason(split: Split) -> str:
    """Why a number of the split is none."""
    if math.isnan(split.expected):
        return "too few labelled rows before this window, or in it, to compare with"
    return "errors do not vary on either side, so that no standard error is known"


def unit_of(task: str) -> tuple[float, str, float]:
    """(sign, metric, base): the metric is base + sign * mean error."""
    return (1.0, "mae", 0.0) if task == "regression" else (-1.0, "accuracy", 1.0)
