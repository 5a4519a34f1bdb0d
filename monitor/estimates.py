"""Analysers of what labels would say, before they come: performance and the shares of the classes.

Both rest on a reference that was built from labelled rows; without one they say nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from detectors.cbpe import binary_metrics
from detectors.class_cells import PART as CLASSES
from detectors.dle import PART as LOSS
from detectors.estimated import CALIBRATION_LIMIT, score_estimated
from detectors.estimated_classes import score_classes
from detectors.label_mixture import why_unfit
from detectors.label_shift import LabelShift, score_label_shift
from detectors.labelled.value import value
from detectors.mask import hidden_columns
from detectors.performance import PerformanceSummary
from detectors.profile import PREDICTION, Profile
from detectors.sample import PART as SAMPLE
from detectors.score import Score
from detectors.score_cells import PART, load_reference
from detectors.scoring import score_performance
from monitor.view import GroupView


def estimated_performance(view: GroupView) -> Iterable[Score]:
    """CBPE for classification, and its gap to the realised performance where labels have come.

    From the probabilities of all classes where at least half of a multiclass model's rows carry them, else from the score
    of the predicted class.
    """
    if view.inputs is None or view.profile is None:
        return []
    if view.model.schema.task == "regression":
        return _no_losses(view, view.profile)
    if PART not in view.inputs.parts:
        return []
    limit = view.model.schema.parts.get(PART, {}).get("limit", CALIBRATION_LIMIT)
    known = {**realised(view), **_realised_value(view)}
    cells, classes = view.inputs.parts[PART], view.inputs.parts.get(CLASSES)
    if classes is not None and classes.rows > 0 and 2 * classes.rows >= cells.rows:
        return score_classes(classes, view.profile, limit, known, view.model.worth)
    return score_estimated(cells, view.profile, limit, known, view.model.worth)


def _no_losses(view: GroupView, profile: Profile) -> Iterable[Score]:
    """Why a regression model has no estimated error, where its reference has labels; DLE's own scores are a slow detector's."""
    labelled = "" in profile.performance and profile.performance[""].rows > 0
    if not (view.model.estimate and labelled and view.segment == "" and view.rows):
        return
    if PREDICTION in hidden_columns(view.model.schema):
        why = "`sample.mask` hides the prediction, from which and the features errors are estimated: take it out of the mask"
    elif SAMPLE not in view.model.schema.parts:
        why = "the config keeps no sample of rows, from which errors are estimated: add `sample` to the model, and build the reference anew"
    elif LOSS not in profile.extras:
        why = "the reference holds no model of the error: build it anew, with `sample` in the config and driftd[estimate] installed"
    else:
        return
    yield Score("estimated_performance", "mae", math.nan, view.rows, profile.name, {"reason": why})


def _realised_value(view: GroupView) -> dict[str, float]:
    """The mean value of the outcomes known so far: their total says nothing of rows whose label has not come."""
    found = [] if view.performance is None else value(view.performance, view.model.worth)
    return {metric.name: metric.value for metric in found if metric.name == "value_per_event"}


def target_estimated(view: GroupView) -> Iterable[Score]:
    """The shares of the classes, from the predicted labels and the reference's confusion matrix."""
    if view.inputs is None or view.profile is None or view.model.schema.task not in ("binary", "multiclass"):
        return []
    known = view.profile.performance.get("")
    if known is None or not known.confusion or PART not in view.model.schema.parts:
        return []
    return score_label_shift(known, view.inputs.label, view.profile.name, lambda found: _no_label_shift(view, found))


def _no_label_shift(view: GroupView, found: LabelShift) -> str:
    """Why the scores of a binary model's window say that more has changed than the shares of the classes."""
    data = None if view.profile is None else view.profile.extras.get(PART)
    cells = None if view.inputs is None else view.inputs.parts.get(PART)
    positive = view.model.schema.positive_label
    if view.model.schema.task != "binary" or data is None or cells is None or cells.counts is None or positive not in found.labels:
        return ""
    at = found.labels.index(positive)
    return why_unfit(
        load_reference(data).counts.sum(axis=0), cells.counts.sum(axis=0), float(found.shares[at]), float(found.errors[at])
    )


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
