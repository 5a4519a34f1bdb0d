"""What an estimate of performance is on the reference's own rows, and how far a window's may lie from it by chance.

An estimate is a function of sums over rows: of the confusion matrix that is to be expected, of expected counts by score. It moves,
to first order, with the mean over rows of its influence function (Hampel 1974), so that with sigma the standard deviation of the
influence over rows, the estimates of n rows of the window and of N of the reference differ by a deviate of standard error

    sqrt(sigma^2 / n + sigma_reference^2 / N)

That is far less than the band of an estimate, which says where the realised value may lie: labels are chance even where their
probability is known, and an estimate holds no labels. The calibration is the same on both sides, and independent of how scores
are distributed, so it adds nothing. Held against the estimate on the reference, not against its realised performance: where
scores stay uncalibrated, within the limit, the two differ always.

ROC AUC is compared by its logit, which is nearer to normal; and what is a ratio of sums waits until enough rows of each class, and of
each predicted label, are to be expected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from detectors.cbpe import binary_metrics, expected_auc
from detectors.columns import Floats, Ints
from detectors.score_cells import NEGATIVE, POSITIVE

Usual = dict[str, tuple[float, float]]  # of each metric the estimate on the reference, and the standard error of the difference
REFERENCE, ERROR = "reference_value", "standard_error"  # in the evidence of an estimate
LEAST, LEAST_RANKED = 30.0, 10.0  # rows of a class or predicted label, below which ratios, and ranks, are not compared
STEP = 1e-6  # of a share, in derivatives of the metrics of two classes


def evidence_of(usual: Mapping[str, tuple[float, float]], metric: str) -> dict[str, object]:
    """What a score says of itself, {} where nothing is known of the metric."""
    if metric not in usual:
        return {}
    value, error = usual[metric]
    return {REFERENCE: float(f"{value:.10g}"), ERROR: float(f"{error:.6g}")}


def errors_of(sigma: float, rows: int, reference_rows: int, window_sigma: float = 0.0) -> float:
    """Standard error of the difference. The greater of both sides' scatter counts for the window: a clump of odd rows is chance."""
    if rows <= 0 or reference_rows <= 0:
        return math.nan
    return math.sqrt(max(sigma, window_sigma) ** 2 / rows + sigma**2 / reference_rows)


@dataclass(frozen=True, slots=True)
class Influences:
    """Of a reference of so many rows: each metric's estimate, its scatter over rows, and what a row in each cell moves it by.

    of_rows has shape (metrics, cells of all labels), in the order of `values`, centred.
    """

    rows: int
    values: dict[str, float]
    sigma: Floats
    of_rows: Floats
    squares: Floats

    @staticmethod
    def of(values: Mapping[str, float], influence: Mapping[str, Floats], counts: Floats | Ints) -> Influences:
        """counts and each influence of one shape; metrics without a value are left out."""
        weights, n = counts.reshape(-1).astype(np.float64), float(counts.sum())
        known = {name: values[name] for name in influence if name in values}
        rows = np.stack([influence[name].reshape(-1) for name in known]) if known else np.zeros((0, len(weights)))
        rows = rows - (rows @ weights / n)[:, None]
        squares = rows**2
        return Influences(int(n), known, np.sqrt(squares @ weights / n), rows, squares)

    def compared(self, window: Ints) -> Usual:
        """With a window's counts, of the reference's shape."""
        weights = window.reshape(-1).astype(np.float64)
        n = float(weights.sum())
        if n <= 0:
            return {}
        own = np.sqrt(np.maximum(0.0, self.squares @ weights / n - (self.of_rows @ weights / n) ** 2))
        sides = zip(self.values.items(), self.sigma.tolist(), own.tolist(), strict=True)
        return {name: (value, errors_of(sigma, int(n), self.rows, mine)) for (name, value), sigma, mine in sides}


def binary_influences(reference: Ints, probability: Floats) -> Influences | None:
    """From counts by row of the cells (NEGATIVE, POSITIVE, UNKNOWN) and cell, shapes (3, k); probability: shape (k,)."""
    counts = reference.astype(np.float64)
    n = counts.sum()
    if n <= 0:
        return None
    known = counts[[NEGATIVE, POSITIVE]]
    positive = known @ probability
    expected = np.stack([known.sum(axis=1) - positive, positive], axis=1)
    total = counts.sum(axis=0)
    values = binary_metrics(expected, (total * (1.0 - probability), total * probability))
    influence = {}
    slopes = _slopes(expected / n) if known.any() else {}  # events of a score alone have no confusion
    for name, slope in slopes.items():
        of_rows = np.zeros(counts.shape)
        of_rows[[NEGATIVE, POSITIVE]] = slope[:, :1] * (1.0 - probability) + slope[:, 1:] * probability
        influence[name] = of_rows
    of_positive, of_negative = auc_slopes(total * (1.0 - probability), total * probability)
    influence["roc_auc"] = np.broadcast_to(probability * of_positive + (1.0 - probability) * of_negative, counts.shape)
    return Influences.of(values, influence, counts)


def usual_binary(influences: Influences | None, window: Ints, probability: Floats) -> Usual:
    """What `binary_influences` found, against a window's counts of the same shape."""
    if influences is None:
        return {}
    now = window[[NEGATIVE, POSITIVE]].sum(axis=1)
    true = float(window.sum(axis=0) @ probability)
    classes = min(true, float(window.sum()) - true)
    return enough(influences.compared(window), min(classes, float(now.min())), classes)


def usual_multiclass(
    reference: Ints, window: Ints, probability: list[Floats], at: Ints, shares: Floats, before: Floats, now: Floats
) -> Usual:
    """From counts by label and cell, shapes (labels, k).

    at: the place of each label among the classes (c), shares: where rows go that it does not predict rightly, shape (labels, c).
    before, now: the confusion matrices (predicted, true) to be expected of both sides, shape (c, c).
    """
    total = float(before.sum())
    if total <= 0:
        return {}
    influence = {}
    for name, slope in macro_slopes(before / total).items():
        wrong = np.einsum("lc,lc->l", shares, slope[at])
        right = slope[at, at]
        influence[name] = np.stack([r * p + w * (1.0 - p) for r, w, p in zip(right, wrong, probability, strict=True)])
    return enough(Influences.of(macro_metrics(before), influence, reference).compared(window), *rarest(now))


def rarest(expected: Floats) -> tuple[float, float]:
    """Of a confusion matrix (predicted, true) in rows: the rows of the rarest label, and of the rarest class, of those that occur."""
    true, predicted = expected.sum(axis=0), expected.sum(axis=1)
    of_class = float(true[true > 0].min(initial=np.inf))
    return min(of_class, float(predicted[predicted > 0].min(initial=np.inf))), of_class


def enough(usual: Usual, rows: float, of_class: float) -> Usual:
    """Without an error (NaN) where too few rows are to be expected for one. rows: of the rarest class or predicted label."""
    few = {"roc_auc": of_class < LEAST_RANKED, "accuracy": False}
    return {
        name: (value, math.nan if few.get(name, rows < LEAST) and not name.endswith("_share") else error)
        for name, (value, error) in usual.items()
    }


def _slopes(shares: Floats) -> dict[str, Floats]:
    """Of each metric of two classes by each cell of the confusion matrix [[TN, FN], [FP, TP]], which sums to 1."""
    out: dict[str, Floats] = {}
    for cell in np.ndindex(2, 2):
        ends = []
        for step in (STEP, -STEP):
            moved = shares.copy()
            moved[cell] += step
            ends.append(binary_metrics(moved))
        for name in ends[0]:
            out.setdefault(name, np.zeros((2, 2)))[cell] = (ends[0][name] - ends[1][name]) / (2.0 * STEP)
    return out


def macro_metrics(expected: Floats) -> dict[str, float]:
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


def macro_slopes(shares: Floats) -> dict[str, Floats]:
    """Of accuracy and of the means over classes by each cell of a confusion matrix (predicted, true) that sums to 1."""
    hit, predicted, true = np.diag(shares), shares.sum(axis=1), shares.sum(axis=0)
    classes = max(1, int(((predicted + true) > 0).sum()))
    with np.errstate(divide="ignore", invalid="ignore"):
        by_row, by_column, both = (np.where(v > 0, 1.0 / v, 0.0) for v in (predicted, true, predicted + true))
    mixed = -2.0 * hit * both**2
    return {
        "accuracy": np.eye(len(shares)),
        "precision": (np.diag(by_row) - (hit * by_row**2)[:, None]) / classes,
        "recall": (np.diag(by_column) - (hit * by_column**2)[None, :]) / classes,
        "f1": (np.diag(2.0 * both) + mixed[:, None] + mixed[None, :]) / classes,
    }


def auc_slopes(negative: Floats, positive: Floats) -> tuple[Floats, Floats]:
    """What a positive and a negative row in each cell, ascending, move the area under the ROC curve of expected counts by.

    Shapes (k,); NaN where a class is missing.
    """
    n = float(negative.sum() + positive.sum())
    area = expected_auc(negative, positive)
    if not math.isfinite(area):
        return np.full(len(negative), math.nan), np.full(len(negative), math.nan)
    few, many = negative / n, positive / n
    below = np.cumsum(few) - few / 2.0
    above = many.sum() - np.cumsum(many) + many / 2.0
    return (below / few.sum() - area) / many.sum(), (above / many.sum() - area) / few.sum()
