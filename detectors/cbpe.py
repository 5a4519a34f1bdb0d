"""Performance before labels come: confidence-based performance estimation (CBPE) from score cells.

A calibrated score says how likely its row is positive; summed over a window's rows it gives the confusion matrix
that is to be expected, and every metric of it. As NannyML does it (Bialek et al. 2024, "Estimating Model Performance
Under Covariate Shift Without Labels"): isotonic calibration on the reference's labelled rows, used only where it
lowers the expected calibration error on rows that it was not fitted to; sampling errors from the reference's spread.

It rests on two things: that the scores can be calibrated, and that the inputs shift while P(label | inputs) stays.
The first is tested; where calibrated scores are still off by more than the limit there is no estimate, but a reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from detectors.columns import Floats, Ints
from detectors.score_cells import NEGATIVE, POSITIVE, ReferenceCells, centers_of, load_reference

SPLITS, TEST_SHARE, BINS = 10, 0.1, 10  # NannyML's: ten shuffles, a tenth of the rows aside, ten bins of equal count
SEED = 42
PERFECT_AUC = 0.999  # a model this good is left as it is, as NannyML leaves it
LEAST_ROWS = 300  # labelled rows of the reference, below which nothing is calibrated
LEAST_OF_CLASS = 200  # predictions of one class, below which it is calibrated with all others
BAND = 3.0  # standard errors to either side, NannyML's
NOISE = 2.0  # how far beyond the limit sampling alone may carry the calibration error, in its standard errors


@dataclass(frozen=True, slots=True)
class Calibration:
    """From score cells to probabilities, shape (k,). reason: why there is no estimate, "" where there is one."""

    probability: Floats
    calibrated: bool
    error_before: float  # expected calibration error on rows set aside, of the raw scores
    error: float  # and of the scores as they are used
    reason: str = ""


def calibrate(negative: Ints, positive: Ints, centers: Floats, limit: float) -> Calibration:
    """Fit to the counts of two classes in cells, shapes (k,). limit: the greatest calibration error to go on with."""
    n, hits = int(negative.sum() + positive.sum()), int(positive.sum())
    if n < LEAST_ROWS:
        reason = f"the reference has {n} labelled rows with a score, at least {LEAST_ROWS} are needed"
        return Calibration(centers, False, math.nan, math.nan, reason)
    if hits in (0, n):
        return Calibration(centers, False, math.nan, math.nan, "the reference's labels are all of one class")
    rng = np.random.default_rng(SEED)
    test_n, test_p, raw, fitted = [], [], [], []
    for _ in range(SPLITS):
        aside = [rng.multivariate_hypergeometric(c, max(1, round(c.sum() * TEST_SHARE)), method="marginals")
                 for c in (negative, positive)]  # fmt: skip
        test_n.append(aside[0] + aside[1])
        test_p.append(aside[1])
        raw.append(centers)
        fitted.append(isotonic(negative - aside[0], positive - aside[1], centers))
    rows, hit = np.concatenate(test_n), np.concatenate(test_p)
    scores, used = np.concatenate(raw), np.concatenate(fitted)
    before = calibration_error(scores, rows, hit, scores)
    after = calibration_error(used, rows, hit, used)
    wanted = before > after and _auc(negative, positive) <= PERFECT_AUC
    probability = isotonic(negative, positive, centers) if wanted else centers
    # a flat piece of the fit is right on the average even where the truth falls: bins by the raw score see that
    error = calibration_error(used, rows, hit, scores) if wanted else before
    reason = ""
    if error > limit + allowance(hits, n):
        reason = f"scores do not say how likely a row is positive: {off_by(error, wanted, limit)}"
    return Calibration(probability, wanted, before, error, reason)


def allowance(hits: float, n: float) -> float:
    """How far beyond the limit sampling alone may carry the calibration error of n rows, so many of them positive."""
    share = hits / n
    return NOISE * 0.8 * math.sqrt(share * (1.0 - share) * BINS / n)  # E|N| of a bin's mean, were it calibrated


def off_by(error: float, calibrated: bool, limit: float) -> str:
    return (
        f"on rows of the reference set aside the expected calibration error is {error:.3f} "
        f"{'after' if calibrated else 'without'} calibration, the limit {limit:g}"
    )


def isotonic(negative: Ints, positive: Ints, centers: Floats) -> Floats:
    """The rising function of the score nearest to the share of positives, linear between filled cells: shape (k,)."""
    from scipy.optimize import isotonic_regression

    rows = negative + positive
    filled = np.flatnonzero(rows)
    fit = isotonic_regression(positive[filled] / rows[filled], weights=rows[filled].astype(np.float64))
    out: Floats = np.interp(centers, centers[filled], fit.x)
    return out


def calibration_error(probability: Floats, rows: Ints | Floats, hits: Ints | Floats, by: Floats) -> float:
    """Expected calibration error over ten bins of equal count, cut in the order of `by`; all shapes (m,)."""
    order = np.argsort(by, kind="stable")
    n, sums, true = rows[order], (probability * rows)[order], hits[order]
    ends = np.concatenate([[0.0], np.cumsum(n)])
    cuts = np.linspace(0.0, ends[-1], BINS + 1)
    bins = [np.diff(np.interp(cuts, ends, np.concatenate([[0.0], np.cumsum(v)]))) for v in (sums, true)]
    return float(np.abs(bins[0] - bins[1]).sum() / ends[-1])


def _auc(negative: Ints, positive: Ints) -> float:
    n, p = negative.astype(np.float64), positive.astype(np.float64)
    return float((p * (np.cumsum(n) - n / 2.0)).sum() / (n.sum() * p.sum()))


def binary_metrics(expected: Floats, scored: tuple[Floats, Floats] | None = None) -> dict[str, float]:
    """Metrics of a confusion matrix [[TN, FN], [FP, TP]] (predicted, true), counts or expected counts.

    scored: (negative, positive) by cell, ascending, for ROC AUC. 0 where precision or recall are undefined.
    """
    (tn, fn), (fp, tp) = expected
    n = float(expected.sum())
    out = {}
    if n > 0:
        out = {
            "accuracy": (tp + tn) / n,
            "precision": tp / (tp + fp) if tp + fp > 0 else 0.0,
            "recall": tp / (tp + fn) if tp + fn > 0 else 0.0,
            "f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn > 0 else 0.0,
            "specificity": tn / (tn + fp) if tn + fp > 0 else 0.0,
            "true_positive_share": tp / n,
            "false_positive_share": fp / n,
            "true_negative_share": tn / n,
            "false_negative_share": fn / n,
        }
    if scored is not None:
        out["roc_auc"] = expected_auc(*scored)
    return {name: float(value) for name, value in out.items()}


def expected_auc(negative: Floats, positive: Floats) -> float:
    """Area under the ROC curve of expected counts by cell, ascending; NaN where a class is missing."""
    total = negative.sum() * positive.sum()
    below = np.cumsum(negative) - negative / 2.0
    return float((positive * below).sum() / total) if total > 0 else math.nan


def binary_errors(reference: ReferenceCells, rows: int) -> dict[str, float]:
    """Standard errors of the metrics for a window of so many rows, from the reference's confusion and ranks."""
    known = reference.counts[[NEGATIVE, POSITIVE]].sum(axis=2).astype(np.float64)
    (tn, fn), (fp, tp) = known
    n = known.sum()
    out: dict[str, float] = {}
    if rows <= 0:
        return out
    if n > 0:
        out["accuracy"] = _spread(tp + tn, fp + fn) / math.sqrt(rows)
        for name, hits, misses in (("precision", tp, fp), ("recall", tp, fn), ("specificity", tn, fp)):
            out[name] = _error(_spread(hits, misses), (hits + misses) / n, rows)
        relevant = tp + fp + fn
        factor = relevant / (tp + 0.5 * (fp + fn)) if relevant else math.nan
        out["f1"] = _error(factor * _spread(tp, fp + fn), relevant / n, rows)
        cells = {"true_positive": tp, "false_positive": fp, "true_negative": tn, "false_negative": fn}
        out |= {f"{name}_share": _spread(count, n - count) / math.sqrt(rows) for name, count in cells.items()}
    std, share = auc_spread(*reference.counts.sum(axis=0).astype(np.float64))
    if not math.isnan(std):
        out["roc_auc"] = _error(std, share, rows)
    return out


def auc_spread(negative: Floats, positive: Floats) -> tuple[float, float]:
    """Of the rarer class: the standard deviation of its rows' ranks among the others, and its share. NaN without one."""
    if not (negative.sum() and positive.sum()):
        return math.nan, math.nan
    few, many = (positive, negative) if positive.sum() <= negative.sum() else (negative[::-1], positive[::-1])
    rank = (np.cumsum(many) - many / 2.0) / many.sum()
    mean = (few * rank).sum() / few.sum()
    return math.sqrt((few * (rank - mean) ** 2).sum() / few.sum()), float(few.sum() / (few.sum() + many.sum()))


def _spread(hits: float, misses: float) -> float:
    """Standard deviation of ones and zeros."""
    n = hits + misses
    return math.sqrt(hits * misses) / n if n else math.nan


def _error(std: float, share: float, rows: int) -> float:
    return std / math.sqrt(rows * share) if rows * share > 0 else math.nan


@lru_cache(64)
def calibrations(data: bytes, limit: float) -> list[Calibration]:
    """Those of a reference's cells (bytes of Profile.extras): one for a binary model, else one for each label."""
    reference = load_reference(data)
    centers = centers_of(reference.task)
    together = reference.counts.sum(axis=0)
    if reference.outside:
        reason = f"{reference.outside} scores of the reference lie outside 0 to 1: they are no probabilities"
        return [Calibration(centers, False, math.nan, math.nan, reason)] * max(1, len(reference.labels))
    pooled = calibrate(together[0], together[1], centers, limit)
    if reference.task == "binary" or pooled.reason:
        return [pooled] * (1 if reference.task == "binary" else len(reference.labels))
    out = []
    for wrong, right in reference.counts:
        enough = min(wrong.sum(), right.sum()) > 0 and wrong.sum() + right.sum() >= max(LEAST_OF_CLASS, LEAST_ROWS)
        own = calibrate(wrong, right, centers, limit) if enough else pooled
        out.append(pooled if own.reason else own)
    return out
