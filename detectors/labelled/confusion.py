"""Metrics of a confusion matrix, with the gradients that their intervals need.

A matrix has shape (classes, classes), predicted by true. Undefined shares are 0, as scikit-learn's zero_division=0.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Floats
from detectors.labelled.intervals import NONE, around, delta_error, share_error, wilson
from detectors.labelled.tally import Metric, Tally


def matrix(tally: Tally) -> tuple[list[str], Floats]:
    """The labels in order, and the counts."""
    labels = sorted({name for pair in tally.confusion for name in pair})
    place = {name: i for i, name in enumerate(labels)}
    out = np.zeros((len(labels), len(labels)))
    for (predicted, true), rows in tally.confusion.items():
        out[place[predicted], place[true]] += rows
    return labels, out


def accuracy(m: Floats) -> Metric:
    n, right = float(m.sum()), float(np.trace(m))
    return Metric("accuracy", right / n, *wilson(right, n), int(n))


def mcc(m: Floats) -> Metric:
    """Matthews' correlation coefficient (Gorodkin's R_K for many classes), by the delta method; 0 where undefined."""
    n = float(m.sum())
    p = m / n
    predicted, true = p.sum(axis=1), p.sum(axis=0)
    top = float(np.trace(p) - (predicted * true).sum())
    a, b = 1.0 - float((predicted**2).sum()), 1.0 - float((true**2).sum())
    if a <= 0 or b <= 0:
        return Metric("mcc", 0.0, *NONE, int(n))
    root = math.sqrt(a * b)
    d_top = np.eye(len(p)) - true[:, None] - predicted[None, :]
    d_root = -(b * predicted[:, None] + a * true[None, :]) / root
    gradient = d_top / root - top * d_root / root**2
    value = top / root
    return Metric("mcc", value, *around(value, delta_error(gradient, p, n), -1.0, 1.0), int(n))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def macro(m: Floats) -> list[Metric]:
    """Means over classes of precision, recall and F1, and balanced accuracy: the mean recall of classes that occur."""
    n, k = float(m.sum()), len(m)
    p = m / n
    hit, predicted, true = np.diag(p).copy(), p.sum(axis=1), p.sum(axis=0)
    eye = np.eye(k)
    precision, recall, f1 = _ratio(hit, predicted), _ratio(hit, true), _ratio(2 * hit, predicted + true)
    by_predicted, by_true, by_both = _ratio(np.ones(k), predicted), _ratio(np.ones(k), true), _ratio(np.ones(k), predicted + true)
    d_precision = eye * by_predicted[:, None] - (precision * by_predicted)[:, None]
    d_recall = eye * by_true[None, :] - (recall * by_true)[None, :]
    d_f1 = 2 * eye * by_both[:, None] - (f1 * by_both)[:, None] - (f1 * by_both)[None, :]
    occurring = max(1, int((true > 0).sum()))
    out = []
    for name, values, gradient, over in (
        ("precision", precision, d_precision, k),
        ("recall", recall, d_recall, k),
        ("f1", f1, d_f1, k),
        ("balanced_accuracy", recall, d_recall, occurring),
    ):
        value = float(values.sum()) / over
        out.append(Metric(name, value, *around(value, delta_error(gradient / over, p, n), 0.0, 1.0), int(n)))
    return out


def each_class(labels: list[str], m: Floats, most: int) -> list[Metric]:
    """precision:CLASS, recall:CLASS and f1:CLASS of the `most` classes that occur most."""
    out = []
    for i in np.argsort(-m.sum(axis=0), kind="stable")[:most].tolist():
        out += _of_class(m, i, suffix=f":{labels[i]}")
    return out


def positive_class(labels: list[str], m: Floats, positive: str | None) -> list[Metric]:
    """Precision, recall, F1, specificity, balanced accuracy of a binary model."""
    n = float(m.sum())
    if positive not in labels:
        m, labels = np.pad(m, ((0, 1), (0, 1))), [*labels, str(positive)]
    i = labels.index(str(positive))
    hit, predicted, true = float(m[i, i]), float(m[i].sum()), float(m[:, i].sum())
    negatives = n - true
    rejected = negatives - (predicted - hit)
    out = _of_class(m, i)
    specificity = rejected / negatives if negatives else 0.0
    out.append(Metric("specificity", specificity, *wilson(rejected, negatives), int(negatives)))
    shares = [(h, t) for h, t in ((hit, true), (rejected, negatives)) if t > 0]
    balanced = sum(h / t for h, t in shares) / len(shares)
    error = math.sqrt(sum(share_error(h, t) ** 2 for h, t in shares)) / len(shares)
    out.append(Metric("balanced_accuracy", balanced, *around(balanced, error, 0.0, 1.0), int(n)))
    return out


def _of_class(m: Floats, i: int, suffix: str = "") -> list[Metric]:
    n = float(m.sum())
    hit, predicted, true = float(m[i, i]), float(m[i].sum()), float(m[:, i].sum())
    f1 = 2 * hit / (predicted + true) if predicted + true else 0.0
    return [
        Metric("precision" + suffix, hit / predicted if predicted else 0.0, *wilson(hit, predicted), int(n)),
        Metric("recall" + suffix, hit / true if true else 0.0, *wilson(hit, true), int(n)),
        Metric("f1" + suffix, f1, *_f1_interval(f1, hit, predicted + true), int(n)),
    ]


def _f1_interval(f1: float, hit: float, both: float) -> tuple[float, float]:
    """F1 is j = hit / (hit + wrong) seen through 2 j / (1 + j): the interval of that share, seen through it too."""
    if both <= 0:
        return NONE
    low, high = wilson(hit, both - hit)
    return 2 * low / (1 + low), 2 * high / (1 + high)
