"""Metrics of a confusion matrix, with the gradients that their intervals need.

The matrix is kept by its filled cells alone: k labels, pairs of them (predicted, true) and their rows. Undefined shares are 0, as
scikit-learn's zero_division=0. Where labels were folded (detectors/labelled/folding.py), what is a mean over classes is one over
those that kept their names, which are drawn by their hashes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from detectors.columns import Floats, Ints
from detectors.labelled.folding import ANOTHER, OTHER
from detectors.labelled.intervals import NONE, around, delta_error, recovered, student, wilson, wilsons
from detectors.labelled.tally import Metric, Tally, undefined

SHOWN = 5  # labels, where some are told
ROUNDING = 1e-12
SMOOTHED = 100  # labels
FOLDED = "there are more pairs of labels than are counted: of some classes only the rows that are right are known"


@dataclass(frozen=True, slots=True)
class Matrix:
    """labels in order; cells (predicted, true, rows), shape (cells,); hit, predicted, true: margins of shape (labels,).

    whole: labels with all of their counts, shape (labels,); all but what was folded.
    """

    labels: list[str]
    cells: tuple[Ints, Ints, Floats]
    hit: Floats
    predicted: Floats
    true: Floats
    whole: Ints
    folded: bool

    @property
    def rows(self) -> float:
        return float(self.cells[2].sum())

    def error(self, own: Floats, by_predicted: Floats | float, by_true: Floats | float) -> float:
        """Standard error of a metric whose gradient at cell (i, j) is [i = j] own_i + by_predicted_i + by_true_j."""
        i, j, rows = self.cells
        n, k = self.rows, len(self.labels)
        gradient = np.where(i == j, own[i], 0.0) + np.broadcast_to(by_predicted, k)[i] + np.broadcast_to(by_true, k)[j]
        return delta_error(gradient, rows / n, n)


def matrix(tally: Tally) -> Matrix:
    """What the tally's pairs say."""
    labels = sorted({name for pair in tally.confusion for name in pair})
    place = {name: i for i, name in enumerate(labels)}
    i = np.array([place[predicted] for predicted, _ in tally.confusion], dtype=np.int64)
    j = np.array([place[true] for _, true in tally.confusion], dtype=np.int64)
    rows = np.array(list(tally.confusion.values()), dtype=np.float64)
    k, same = len(labels), i == j
    hit, predicted, true = (np.bincount(at, rows[of], k).astype(np.float64) for at, of in ((i[same], same), (i, ...), (j, ...)))
    hidden = (OTHER, ANOTHER) if tally.fold else ()
    whole = np.array([at for at, name in enumerate(labels) if name not in hidden], dtype=np.int64)
    return Matrix(labels, (i, j, rows), hit, predicted, true, whole, bool(tally.fold))


def accuracy(m: Matrix) -> Metric:
    n, right = m.rows, float(m.hit.sum())
    return Metric("accuracy", right / n, *wilson(right, n), int(n))


def mcc(m: Matrix) -> Metric:
    """Matthews' correlation coefficient (Gorodkin's R_K for many classes), 0 where undefined.

    Its interval is the delta method's on Fisher's scale; of rows that are all right (or wrong) that of as many as Wilson's lower end
    of the accuracy leaves, by kappa's formula, which is R_K's where predicted and true labels are equally frequent. Of few rows the error
    is that with two more in all cells, where it is greater.
    """
    n = m.rows
    if m.folded:
        return undefined(("mcc",), int(n), FOLDED)[0]
    value, error = _mcc(m)
    if math.isnan(error):
        return Metric("mcc", 0.0, *NONE, int(n))
    if len(m.labels) <= SMOOTHED:
        error = max(error, _mcc(_with_rows_in_all_cells(m))[1])
    if abs(value) > 1.0 - ROUNDING:
        left = (1.0 - wilson(n, n)[0]) / (1.0 - float(np.square(m.true / n).sum()))
        ends = (max(-1.0, value - left), value) if value > 0 else (value, min(1.0, value + left))
        return Metric("mcc", value, *ends, int(n))
    low, high = around(math.atanh(value), error / (1.0 - value**2), quantile=student(n - 1))
    return Metric("mcc", value, math.tanh(low), math.tanh(high), int(n))


def _mcc(m: Matrix) -> tuple[float, float]:
    """R_K and its standard error, NaN where all rows have one label, predicted or true."""
    n = m.rows
    predicted, true = m.predicted / n, m.true / n
    top = float(m.hit.sum() / n - (predicted * true).sum())
    a, b = 1.0 - float((predicted**2).sum()), 1.0 - float((true**2).sum())
    if a <= 0 or b <= 0:
        return 0.0, math.nan
    root = math.sqrt(a * b)
    of_root = top / root**3
    by_predicted, by_true = -true / root + of_root * b * predicted, -predicted / root + of_root * a * true
    error = m.error(np.full(len(m.labels), 1.0 / root), by_predicted, by_true)
    return max(-1.0, min(1.0, top / root)), error


def _with_rows_in_all_cells(m: Matrix) -> Matrix:
    """Two rows more, shared by all pairs of labels: of two labels half a row in each cell (Haldane 1956, Anscombe 1956)."""
    k = len(m.labels)
    i, j, rows = m.cells
    cells: Floats = np.bincount(i * k + j, rows, k * k).astype(np.float64) + 2.0 / k**2
    all_i, all_j = (at.reshape(-1).astype(np.int64) for at in np.indices((k, k)))
    margin = 2.0 / k
    return replace(m, cells=(all_i, all_j, cells), hit=m.hit + 2.0 / k**2, predicted=m.predicted + margin, true=m.true + margin)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def macro(m: Matrix) -> list[Metric]:
    """Means over classes of precision, recall and F1, and balanced accuracy: the mean recall of classes that occur.

    Of each class Wilson's interval, added up as those of independent shares, which precisions are given the predicted labels and recalls
    given the true ones (Zou and Donner 2008); F1s hang together, by as much as the delta method says.
    """
    n, k = m.rows, len(m.whole)
    if k == 0:
        return undefined(("precision", "recall", "f1", "balanced_accuracy"), int(n), FOLDED)
    hit, predicted, true = m.hit[m.whole], m.predicted[m.whole], m.true[m.whole]
    occurring = true > 0
    evidence = {"classes": f"{k}, drawn from more"} if m.folded else {}
    out = []
    for name, hits, rows in (("precision", hit, predicted), ("recall", hit, true)):
        out.append(_mean(name, _ratio(hits, rows), wilsons(hits, rows), n, evidence))
    both = predicted + true
    ends = tuple(2 * end / (1 + end) for end in wilsons(hit, both - hit))
    out.append(_mean("f1", _ratio(2 * hit, both), ends, n, evidence, _together(m)))
    if not occurring.any():
        return [*out, *undefined(("balanced_accuracy",), int(n), FOLDED)]
    recalls, ends = _ratio(hit, true)[occurring], wilsons(hit[occurring], true[occurring])
    return [*out, _mean("balanced_accuracy", recalls, ends, n, evidence)]


def _mean(
    name: str, values: Floats, ends: tuple[Floats, ...], n: float, evidence: Mapping[str, object], together: float = 1.0
) -> Metric:
    """Of classes' values and their ends, shapes (classes,)."""
    below, above = (off / len(values) for off in recovered(values, ends[0], ends[1], together))
    value = float(values.mean())
    return Metric(name, value, max(0.0, value - below), min(1.0, value + above), int(n), evidence)


def _together(m: Matrix) -> float:
    """The standard error of the mean F1 over that of as many F1s that do not hang together, by the delta method."""
    counted = np.zeros(len(m.labels))
    counted[m.whole] = 1.0
    shares = m.cells[2] / m.rows
    by_both = _ratio(counted, (m.predicted + m.true) / m.rows)
    f1 = _ratio(2 * counted * m.hit, m.predicted + m.true)
    i, j, _ = m.cells
    same = i == j
    # of each class, E[gradient^2], which has mean 0: 2 - 2 f1 a row that is right, -f1 one that is wrong and has the label on one side
    alone = np.bincount(i[same], shares[same], len(counted)) * (2 - 2 * f1) ** 2
    alone += (np.bincount(i[~same], shares[~same], len(counted)) + np.bincount(j[~same], shares[~same], len(counted))) * f1**2
    apart = float((alone * by_both**2).sum())
    error = m.error(2 * by_both, -f1 * by_both, -f1 * by_both)
    return max(1.0, error * math.sqrt(m.rows / apart)) if apart > 0 else 1.0


def each_class(m: Matrix, most: int) -> list[Metric]:
    """precision:CLASS, recall:CLASS and f1:CLASS of the `most` classes that occur most."""
    out = []
    for i in m.whole[np.argsort(-m.true[m.whole], kind="stable")[:most]].tolist():
        out += _of_class(m.rows, (float(m.hit[i]), float(m.predicted[i]), float(m.true[i])), suffix=f":{m.labels[i]}")
    return out


def misnamed(m: Matrix, positive: str | None) -> str:
    """Why `positive` can be no label of a binary model, "" where it may be: there are two others."""
    if positive in m.labels or len(m.labels) < 2:
        return ""
    return f"no row has the positive label {positive!r}: the labels are {', '.join(map(repr, m.labels[:SHOWN]))}"


def positive_class(m: Matrix, positive: str | None) -> list[Metric]:
    """Precision, recall, F1, specificity, balanced accuracy of a binary model.

    Where no row has the positive label, predicted or true, the first three are undefined.
    """
    n = m.rows
    if reason := misnamed(m, positive):
        return undefined(("precision", "recall", "f1", "specificity", "balanced_accuracy"), int(n), reason)
    if positive not in m.labels:
        reason = f"no row has the positive label {positive!r}, predicted or true"
        share = Metric("specificity", 1.0, *wilson(n, n), int(n))
        balanced = Metric("balanced_accuracy", 1.0, share.low / 2.0, 1.0, int(n))
        return [*undefined(("precision", "recall", "f1"), int(n), reason), share, balanced]
    i = m.labels.index(positive)
    hit, predicted, true = float(m.hit[i]), float(m.predicted[i]), float(m.true[i])
    negatives = n - true
    rejected = negatives - (predicted - hit)
    out = _of_class(n, (hit, predicted, true))
    specificity = rejected / negatives if negatives else 0.0
    out.append(Metric("specificity", specificity, *wilson(rejected, negatives), int(negatives)))
    hits, rows = np.array([hit, rejected]), np.array([true, negatives])
    value = float((hits[rows > 0] / rows[rows > 0]).mean())
    found = _mean("balanced_accuracy", _ratio(hits, rows), wilsons(hits, rows), n, {})  # of a class without rows it may be anything
    out.append(found._replace(value=value, low=min(found.low, value), high=max(found.high, value)))
    return out


def _of_class(n: float, counts: tuple[float, float, float], suffix: str = "") -> list[Metric]:
    hit, predicted, true = counts
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
