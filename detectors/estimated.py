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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from detectors.cbpe import BAND, binary_errors, binary_metrics, calibrations
from detectors.columns import Floats, Ints
from detectors.estimated_value import (
    SUBJECT,
    binary_money,
    binary_usual,
    class_money,
    class_usual,
    expected_value,
    value_names,
    value_scores,
)
from detectors.labelled.folding import by_label
from detectors.labelled.value import Worth
from detectors.performance import PerformanceSummary
from detectors.profile import Profile
from detectors.score import Score
from detectors.score_cells import LABELS, NEGATIVE, OTHER, PART, POSITIVE, ScoreCells, load_reference
from detectors.usual import Influences, Usual, binary_influences, evidence_of, macro_metrics, usual_binary, usual_multiclass

CALIBRATION_LIMIT = 0.05
BINARY = ("accuracy", "precision", "recall", "f1", "specificity", "roc_auc")
OF_LABELS = BINARY[:-1]
UNLABELLED = "the events carry scores alone: without a predicted label there is nothing to be right or wrong"
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
        return [error, *without_estimate((*names, *value_names(worth)), found[0].reason, rows, profile.name)]
    known = profile.performance.get("")
    if reference.task == "binary":
        values, expected = _binary(cells, found[0].probability)
        errors = binary_errors(reference, rows)
        usual = usual_binary(_influences(data, limit), cells.counts, found[0].probability)
        money = binary_money(worth, known, cells.schema.positive_label)
        before, now = reference.counts.sum(axis=1)[[NEGATIVE, POSITIVE]], cells.counts[[NEGATIVE, POSITIVE]]
        worth_usual = binary_usual(money, before, now, found[0].probability)
    else:
        chances, mistaken = [c.probability for c in found], _mistaken(cells.labels, known)
        expected, labels = _expected_confusion(cells.counts, chances, mistaken), mistaken.names
        values = macro_metrics(expected)
        if len(cells.labels) > LABELS:  # a mean over classes is one over all of them
            values = {name: values[name] for name in ("accuracy",) if name in values}
        errors = multiclass_errors(known, rows)
        before = reference.counts.sum(axis=1)
        usual = usual_multiclass(
            before, cells.counts, chances, mistaken.at, mistaken.shares, _expected_confusion(before, chances, mistaken), expected
        )
        money = class_money(labels, worth)
        worth_usual = class_usual(money, before, cells.counts, chances, mistaken.at, mistaken.shares)
    valued = expected_value(expected, money, worth, known)
    found_scores = with_bands(values, errors, rows, profile.name, realised, usual=usual)
    if reference.task == "binary" and "accuracy" not in values:
        found_scores += without_estimate(OF_LABELS, UNLABELLED, rows, profile.name)
    return [error, *found_scores, *value_scores(valued, rows, profile.name, realised, worth_usual)]


def without_estimate(names: Iterable[str], reason: str, rows: int, reference: str) -> list[Score]:
    """Every metric that would have been estimated, as a number that is none, with the reason."""
    return [Score(SUBJECT, name, math.nan, rows, reference, {"reason": reason}) for name in names]


@lru_cache(32)
def _influences(data: bytes, limit: float) -> Influences | None:
    """Of a binary model's reference, by the bytes that it is stored as."""
    return binary_influences(load_reference(data).counts.sum(axis=1), calibrations(data, limit)[0].probability)


def with_bands(
    values: Mapping[str, float], errors: Mapping[str, float], rows: int, reference: str, realised: Mapping[str, float],
    ceiling: float = 1.0, subject: str = SUBJECT, evidence: dict[str, object] | None = None, usual: Usual | None = None,
) -> list[Score]:  # fmt: skip
    """Each value with its band, with what it is on the reference in its evidence (detectors/usual.py), and its gap where the
    realised one is known."""
    out = []
    for name, value in values.items():
        out.append(Score(subject, name, value, rows, reference, {**(evidence or {}), **evidence_of(usual or {}, name)}))
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


@dataclass(frozen=True, slots=True)
class _Mistaken:
    """Classes by name, the place of each predicted label among them, and where its wrong rows go: shape (labels, classes)."""

    names: list[str]
    at: Ints
    shares: Floats


def _mistaken(labels: tuple[str, ...], reference: PerformanceSummary | None) -> _Mistaken:
    """As the reference's wrong predictions of a label did, which the score of the predicted class alone cannot tell."""
    confusion = {} if reference is None else reference.confusion
    names = sorted({*labels, *(name for pair in confusion for name in pair)})
    if len(labels) > LABELS:  # a class without cells of its own is one of the others
        names = list(labels)
    at = {name: i for i, name in enumerate(names)}
    others = at.get(OTHER, 0)
    mistaken = np.zeros((len(names), len(names)))
    for (predicted, true), rows in confusion.items():
        if predicted != true:
            mistaken[at.get(predicted, others), at.get(true, others)] += rows
    places = np.array([at[label] for label in labels], dtype=np.int64)
    shares = np.zeros((len(labels), len(names)))
    for i, place in enumerate(places.tolist()):
        wrong = mistaken[place]
        even = np.where(np.arange(len(names)) == place, 0.0, 1.0 / max(1, len(names) - 1))
        shares[i] = wrong / wrong.sum() if wrong.sum() else even
    return _Mistaken(names, places, shares)


def _expected_confusion(counts: Ints, probability: list[Floats], mistaken: _Mistaken) -> Floats:
    """The confusion matrix (predicted, true) to be expected of counts by label and cell: a row is right as often as its
    calibrated score says, the rest goes to the other classes."""
    out = np.zeros((len(mistaken.names), len(mistaken.names)))
    for at, share, of_label, p in zip(mistaken.at, mistaken.shares, counts.astype(np.float64), probability, strict=True):
        right = float(of_label @ p)
        out[at, at] += right
        out[at] += (float(of_label.sum()) - right) * share
    return out


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
