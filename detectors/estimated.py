"""Scores of the subject `estimated_performance`: what performance is to be expected before labels come.

METRIC            the estimate, named as in `performance`
METRIC_low, _high the band in which the realised value is to be expected, were the estimate right: three standard
                  errors of sampling
METRIC_gap        estimate minus realised value, once labels have come: how wrong it was
value_per_event, value_total   what the predictions are worth by the config's matrix, from the expected confusion
calibration_error of the scores that it rests on, on rows of the reference set aside

Where no estimate can be made all metrics are NaN, so their level is `unsure`, and the evidence gives the reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from detectors.cbpe import BAND, binary_errors, binary_metrics, calibrations
from detectors.estimated_value import SUBJECT, binary_value, expected_value, value_scores
from detectors.labelled.folding import by_label
from detectors.labelled.value import Worth
from detectors.performance import PerformanceSummary
from detectors.profile import Profile
from detectors.score import Score
from detectors.score_cells import LABELS, NEGATIVE, OTHER, PART, POSITIVE, ScoreCells, load_reference

CALIBRATION_LIMIT = 0.05
BINARY = ("accuracy", "precision", "recall", "f1", "specificity", "roc_auc")
MULTICLASS = ("accuracy", "precision", "recall", "f1")


def score_estimated(
    cells: ScoreCells, profile: Profile, limit: float, realised: Mapping[str, float], worth: Worth | None = None
) -> list[Score]:
    """Estimates of one group of a window, from its score cells.

    realised: the metrics of the outcomes known so far, {} for none. worth: the config's value matrix.
    """
    data = profile.extras.get(PART)
    if data is None or cells.counts is None:
        return []
    reference = load_reference(data)
    if reference.labels != cells.labels:
        return []
    found = calibrations(data, limit)
    rows = cells.rows
    error = Score(SUBJECT, "calibration_error", found[0].error, reference.rows, profile.name)
    if found[0].reason:
        names = BINARY if reference.task == "binary" else MULTICLASS
        reason: dict[str, object] = {"reason": found[0].reason}
        return [error, *(Score(SUBJECT, name, math.nan, rows, profile.name, reason) for name in names)]
    known = profile.performance.get("")
    if reference.task == "binary":
        values, expected = _binary(cells, found[0].probability)
        errors = binary_errors(reference, rows)
        valued = binary_value(expected, worth, known, cells.schema.positive_label)
    else:
        expected, labels = _expected_confusion(cells, [c.probability for c in found], known)
        values = macro_metrics(expected)
        if len(cells.labels) > LABELS:  # a mean over classes is one over all of them
            values = {name: values[name] for name in ("accuracy",) if name in values}
        errors = multiclass_errors(known, rows)
        valued = expected_value(expected, labels, worth, known)
    return [error, *with_bands(values, errors, rows, profile.name, realised), *value_scores(valued, rows, profile.name, realised)]


def with_bands(
    values: Mapping[str, float], errors: Mapping[str, float], rows: int, reference: str, realised: Mapping[str, float],
    ceiling: float = 1.0, subject: str = SUBJECT, evidence: dict[str, object] | None = None,
) -> list[Score]:  # fmt: skip
    """Each value with its band, and its gap where the realised one is known."""
    out = []
    for name, value in values.items():
        out.append(Score(subject, name, value, rows, reference, evidence or {}))
        if name.endswith("_share"):  # cells of the confusion matrix, which the metrics' bands speak for
            continue
        band = BAND * errors.get(name, math.nan)
        out.append(Score(subject, f"{name}_low", max(0.0, value - band) if band == band else math.nan, rows, reference))
        out.append(Score(subject, f"{name}_high", min(ceiling, value + band) if band == band else math.nan, rows, reference))
        if name in realised and math.isfinite(realised[name]):
            out.append(Score(subject, f"{name}_gap", value - realised[name], rows, reference))
    return out


def _binary(cells: ScoreCells, probability: np.ndarray) -> tuple[dict[str, float], np.ndarray]:
    """The metrics, and the confusion matrix [[TN, FN], [FP, TP]] to be expected."""
    assert cells.counts is not None
    counts = cells.counts.astype(np.float64)
    known = counts[[NEGATIVE, POSITIVE]]
    positive = known @ probability
    expected = np.stack([known.sum(axis=1) - positive, positive], axis=1)
    total = counts.sum(axis=0)
    return binary_metrics(expected, (total * (1.0 - probability), total * probability)), expected


def _expected_confusion(
    cells: ScoreCells, probability: list[np.ndarray], reference: PerformanceSummary | None
) -> tuple[np.ndarray, list[str]]:
    """The confusion matrix (predicted, true) to be expected, and its labels.

    A row is right as often as its calibrated score says. The rest goes to the other classes as the reference's
    wrong predictions of that class did, which the score of the predicted class alone cannot tell.
    """
    assert cells.counts is not None
    confusion = {} if reference is None else reference.confusion
    names = sorted({*cells.labels, *(name for pair in confusion for name in pair)})
    if len(cells.labels) > LABELS:  # a class without cells of its own is one of the others
        names = list(cells.labels)
    at = {name: i for i, name in enumerate(names)}
    others = at.get(OTHER, 0)
    mistaken = np.zeros((len(names), len(names)))
    for (predicted, true), rows in confusion.items():
        if predicted != true:
            mistaken[at.get(predicted, others), at.get(true, others)] += rows
    out = np.zeros((len(names), len(names)))
    for label, counts, p in zip(cells.labels, cells.counts.astype(np.float64), probability, strict=True):
        right = float(counts @ p)
        wrong = mistaken[at[label]]
        out[at[label], at[label]] += right
        missed = float(counts.sum()) - right
        share = (
            wrong / wrong.sum() if wrong.sum() else np.where(np.arange(len(names)) == at[label], 0.0, 1.0 / max(1, len(names) - 1))
        )
        out[at[label]] += missed * share
    return out, names


def macro_metrics(expected: np.ndarray) -> dict[str, float]:
    """Accuracy, and means over the classes that occur, of a confusion matrix (predicted, true)."""
    n = float(expected.sum())
    if n <= 0:
        return {}
    hit, predicted, true = np.diag(expected), expected.sum(axis=1), expected.sum(axis=0)
    there = (predicted + true) > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(predicted > 0, hit / predicted, 0.0)[there]
        recall = np.where(true > 0, hit / true, 0.0)[there]
        f1 = (2 * hit / (predicted + true))[there]
    return {
        "accuracy": float(hit.sum()) / n,
        "precision": float(precision.mean()),
        "recall": float(recall.mean()),
        "f1": float(f1.mean()),
    }


def multiclass_errors(reference: PerformanceSummary | None, rows: int) -> dict[str, float]:
    """Standard errors for a window of so many rows: of accuracy, and of means over classes that vary by themselves."""
    if reference is None or not reference.confusion:
        return {}
    n = float(sum(reference.confusion.values()))
    of_predicted, of_true = (by_label(reference.confusion, side) for side in (0, 1))
    labels = sorted({*of_predicted, *of_true})
    right = sum(c for (p, t), c in reference.confusion.items() if p == t)
    out = {"accuracy": math.sqrt(right * (n - right)) / n / math.sqrt(rows)}
    squares = {"precision": 0.0, "recall": 0.0, "f1": 0.0}
    for label in labels:
        hit = reference.confusion.get((label, label), 0)
        predicted, true = of_predicted.get(label, 0), of_true.get(label, 0)
        relevant = predicted + true - hit
        for name, whole in (("precision", predicted), ("recall", true), ("f1", relevant)):
            if whole:
                factor = 2.0 * relevant / (predicted + true) if name == "f1" else 1.0
                squares[name] += factor**2 * hit * (whole - hit) / whole**2 / (rows * whole / n)
    return out | {name: math.sqrt(value) / len(labels) for name, value in squares.items()}
