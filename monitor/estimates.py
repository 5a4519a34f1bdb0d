"""Analysers of what labels would say, before they come: performance and the shares of the classes.

Both rest on a reference that was built from labelled rows; without one they say nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from detectors.cbpe import binary_metrics
from detectors.estimated import CALIBRATION_LIMIT, score_estimated
from detectors.label_shift import score_label_shift
from detectors.performance import PerformanceSummary
from detectors.score import Score
from detectors.score_cells import PART
from detectors.scoring import score_performance
from monitor.view import GroupView


def estimated_performance(view: GroupView) -> Iterable[Score]:
    """CBPE for classification, and its gap to the realised performance where labels have come."""
    if view.inputs is None or view.profile is None or PART not in view.inputs.parts:
        return []
    limit = view.model.schema.parts.get(PART, {}).get("limit", CALIBRATION_LIMIT)
    return score_estimated(view.inputs.parts[PART], view.profile, limit, realised(view))


def target_estimated(view: GroupView) -> Iterable[Score]:
    """The shares of the classes, from the predicted labels and the reference's confusion matrix."""
    if view.inputs is None or view.profile is None or view.model.schema.task not in ("binary", "multiclass"):
        return []
    known = view.profile.performance.get("")
    if known is None or not known.confusion or PART not in view.model.schema.parts:
        return []
    return score_label_shift(known, view.inputs.label, view.profile.name)


def realised(view: GroupView) -> Mapping[str, float]:
    """The metrics of the outcomes known so far, by name; {} where no label has come."""
    perf = view.performance
    if perf is None or perf.rows <= 0:
        return {}
    scores = score_performance(perf)
    out = {s.name: s.value for s in scores if s.subject == "performance"}
    if view.model.schema.task == "binary":
        out = {**binary_metrics(confusion_of(perf, view.model.schema.positive_label)), **out}
    return out


def confusion_of(perf: PerformanceSummary, positive: str | None) -> np.ndarray:
    """[[TN, FN], [FP, TP]] of a binary model."""
    out = np.zeros((2, 2))
    for (predicted, true), rows in perf.confusion.items():
        out[int(predicted == positive), int(true == positive)] += rows
    return out
