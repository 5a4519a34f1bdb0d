"""Scores of `estimated_performance` of a multiclass model whose events carry the probabilities of all classes.

The sums of calibrated probabilities (detectors/class_cells.py) give the confusion matrix that is to be expected, and ROC AUC
of each class against the rest: NannyML's multiclass CBPE, with its sampling errors. Where no estimate can be made all
metrics are NaN, and the evidence gives the reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from detectors.cbpe import expected_auc, off_by
from detectors.class_calibration import ReferenceClasses, load_classes
from detectors.class_cells import PART, UNIT, ClassCells
from detectors.class_worth import usual_worth
from detectors.estimated import multiclass_errors, with_bands, without_estimate
from detectors.estimated_value import MEAN, SUBJECT, class_money, expected_value, value_names, value_scores
from detectors.labelled.value import Worth
from detectors.profile import Profile
from detectors.score import Score
from detectors.score_cells import OTHER
from detectors.usual import enough, errors_of, evidence_of, macro_metrics, rarest

METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc")
SHOWN = 10  # pairs of classes in the evidence
ADJUSTED = 1.2  # NannyML's: classes' variances alone are a fifth too small for the error of their mean ROC AUC


def score_classes(
    cells: ClassCells, profile: Profile, limit: float, realised: Mapping[str, float], worth: Worth | None = None
) -> list[Score]:
    """Estimates of one group of a window. realised, worth: as score_estimated takes them. [] where nothing was counted."""
    data = profile.extras.get(PART)
    if data is None or cells.confusion is None or cells.ranks is None:
        return []
    reference, rows, name = load_classes(data), cells.rows, profile.name
    greatest = float(np.nanmax(reference.error)) if np.isfinite(reference.error).any() else math.nan
    error = Score(SUBJECT, "calibration_error", greatest, reference.rows, name)
    if reason := _reason(reference, limit):
        return [error, *without_estimate((*METRICS, *value_names(worth)), reason, rows, name)]
    known = profile.performance.get("")
    expected, labels = cells.expected()
    values, errors = macro_metrics(expected), multiclass_errors(known, rows)
    areas = _areas(cells.ranks)
    if len(areas):
        values["roc_auc"] = float(np.mean(areas))
        variances = reference.spread**2 / (rows * reference.share)
        errors["roc_auc"] = ADJUSTED * math.sqrt(float(np.nansum(variances))) / max(1, int(np.isfinite(variances).sum()))
    usual = {metric: (value, errors_of(sigma, rows, reference.rows)) for metric, (value, sigma) in reference.usual.items()}
    usual = enough(usual, *rarest(expected))
    found = with_bands(values, errors, rows, name, realised, usual=usual)
    flat = expected.reshape(-1)
    greatest_first = np.argsort(-flat, kind="stable")[:SHOWN]
    pairs = [divmod(at, len(labels)) for at in greatest_first[flat[greatest_first] != 0].tolist()]
    shown = {f"{labels[p]} -> {labels[t]}": round(float(expected[p, t]), 3) for p, t in pairs}
    found[0] = replace(found[0], evidence={**evidence_of(usual, "accuracy"), "expected rows, predicted -> true": shown})
    valued = expected_value(expected, class_money(labels, worth), worth, known)
    money = class_money([*reference.classes, OTHER], worth)
    on_reference = None if money is None else usual_worth(reference.means, reference.products, money[:, :-1], rows, reference.rows)
    return [error, *found, *value_scores(valued, rows, name, realised, {MEAN: on_reference} if on_reference else {})]


def _areas(ranks: np.ndarray) -> list[float]:
    """ROC AUC of each class against the rest, of classes that are to be expected at all."""
    mine = ranks[1] / UNIT
    found = [expected_auc(rest, own) for rest, own in zip(np.maximum(ranks[0] - mine, 0.0), mine, strict=True)]
    return [area for area in found if not math.isnan(area)]


def _reason(reference: ReferenceClasses, limit: float) -> str:
    if reference.reason:
        return reference.reason
    with np.errstate(invalid="ignore"):
        off = np.where(reference.error > limit + reference.allowed, reference.error, -1.0)
    worst = int(np.argmax(off))
    if off[worst] < 0:
        return ""
    calibrated = not math.isnan(reference.probability[worst, 0])
    return (
        f"the probability of class {reference.classes[worst]!r} does not say how likely it is: "
        f"{off_by(float(reference.error[worst]), calibrated, limit)}"
    )
