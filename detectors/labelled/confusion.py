"""Metrics of a confusion matrix, with the gradients that their intervals need.

The matrix is kept by its filled cells alone: k labels, pairs of them (predicted, true) and their rows. Undefined shares are 0, as
scikit-learn's zero_division=0. Where labels were folded (detectors/labelled/folding.py), what is a mean over classes is one over
those that kept their names, which are drawn by their hashes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from detectors.columns import Floats, Ints
from detectors.labelled.folding import ANOTHER, OTHER
from detectors.labelled.intervals import NONE, around, delta_error, share_error, wilson
from detectors.labelled.tally import Metric, Tally, undefined

SHOWN = 5  # labels, where some are told
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
    """Matthews' correlation coefficient (Gorodkin's R_K for many classes), by the delta method; 0 where undefined."""
    n = m.rows
    if m.folded:
        return undefined(("mcc",), int(n), FOLDED)[0]
    predicted, true = m.predicted / n, m.true / n
    top = float(m.hit.sum() / n - (predicted * true).sum())
    a, b = 1.0 - float((predicted**2).sum()), 1.0 - float((true**2).sum())
    if a <= 0 or b <= 0:
        return Metric("mcc", 0.0, *NONE, int(n))
    root = math.sqrt(a * b)
    of_root = top / root**3
    by_predicted, by_true = -true / root + of_root * b * predicted, -predicted / root + of_root * a * true
    error = m.error(np.full(len(m.labels), 1.0 / root), by_predicted, by_true)
    return Metric("mcc", top / root, *around(top / root, error, -1.0, 1.0), int(n))


def _ratio(top: Floats, bottom: Floats) -> Floats:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def macro(m: Matrix) -> list[Metric]:
    """Means over classes of precision, recall and F1, and balanced accuracy: the mean recall of classes that occur."""
    n, k = m.rows, len(m.whole)
    counted = np.zeros(len(m.labels))
    counted[m.whole] = 1.0
    hit, predicted, true = (counted * margin / n for margin in (m.hit, m.predicted, m.true))
    precision, recall, f1 = _ratio(hit, predicted), _ratio(hit, true), _ratio(2 * hit, predicted + true)
    by_predicted, by_true, by_both = _ratio(counted, predicted), _ratio(counted, true), _ratio(counted, predicted + true)
    zero = np.zeros(len(m.labels))
    occurring = int((true > 0).sum())
    evidence = {"classes": f"{k}, drawn from more"} if m.folded else {}
    out = []
    for name, values, own, first, second, over in (
        ("precision", precision, by_predicted, -precision * by_predicted, zero, k),
        ("recall", recall, by_true, zero, -recall * by_true, k),
        ("f1", f1, 2 * by_both, -f1 * by_both, -f1 * by_both, k),
        ("balanced_accuracy", recall, by_true, zero, -recall * by_true, occurring),
    ):
        if over == 0:
            out += undefined((name,), int(n), FOLDED)
            continue
        value = float(values.sum()) / over
        out.append(Metric(name, value, *around(value, m.error(own, first, second) / over, 0.0, 1.0), int(n), evidence))
    return out


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
        return [*undefined(("precision", "recall", "f1"), int(n), reason), share, share._replace(name="balanced_accuracy")]
    i = m.labels.index(positive)
    hit, predicted, true = float(m.hit[i]), float(m.predicted[i]), float(m.true[i])
    negatives = n - true
    rejected = negatives - (predicted - hit)
    out = _of_class(n, (hit, predicted, true))
    specificity = rejected / negatives if negatives else 0.0
    out.append(Metric("specificity", specificity, *wilson(rejected, negatives), int(negatives)))
    shares = [(h, t) for h, t in ((hit, true), (rejected, negatives)) if t > 0]
    balanced = sum(h / t for h, t in shares) / len(shares)
    error = math.sqrt(sum(share_error(h, t) ** 2 for h, t in shares)) / len(shares)
    out.append(Metric("balanced_accuracy", balanced, *around(balanced, error, 0.0, 1.0), int(n)))
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
