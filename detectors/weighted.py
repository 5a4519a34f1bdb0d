"""Performance before labels where calibration itself depends on the inputs: multi-calibrated CBPE by importance weighting.

CBPE calibrates on all rows of the reference alike. Where a score means another chance in one part of the input space
than in another, and the window holds more of that part, that misleads. Here each labelled row of the reference stands
for as many rows as the window has of its kind (weights by the domain classifier's odds, detectors/domain.py), the
calibration is fitted to the weighted rows, and its probabilities are summed over the window's sample.

The band (METRIC_low, METRIC_high) is where the realised value is to be expected, three standard errors to either side.
What they are made of: the labelled rows, drawn anew with their weights (Poisson bootstrap), so that few rows that stand
for many make it wide; the window's rows that are not in its sample; and the labels themselves, which are chance even
where their probability is known. That the weights are estimated too is not in it.

As with CBPE there is no estimate, but a reason, where the calibration is off on rows that it was not fitted to: here by
the weighted calibration error, in five folds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detectors.cbpe import allowance, binary_metrics, calibration_error, off_by
from detectors.columns import Bools, Columns, Floats
from detectors.estimated import CALIBRATION_LIMIT, with_bands
from detectors.score import Score
from detectors.usual import Usual

SUBJECT = "estimated_performance_weighted"
LEAST_EFFECTIVE = 100.0  # rows that the weighted reference is worth, below which nothing is said
SEED, FOLDS = 17, 5
DRAWS = 100  # of each of the three bootstraps: a standard error is known to 7 %
METRICS = ("accuracy", "precision", "recall", "f1", "specificity", "roc_auc")


def score_weighted(
    reference: Columns, truth: Sequence[str | None], window: Columns, weights: Floats, positive: str, rows: int, name: str,
    limit: float = CALIBRATION_LIMIT,
) -> list[Score]:  # fmt: skip
    """Binary metrics of a window of so many rows, with bands. truth: the labels of the reference's sample. weights: of its
    rows, mean 1. limit: the greatest calibration error to go on with."""
    known = np.array([t is not None for t in truth]) & np.isfinite(reference.score)
    hit = np.array([t == positive for t in truth])[known]
    w, score = weights[known], reference.score[known]
    effective = float(w.sum()) ** 2 / float((w * w).sum()) if (w * w).sum() > 0 else 0.0
    if effective < LEAST_EFFECTIVE or len(set(hit.tolist())) < 2:
        reason = (
            f"the window resembles too little of the reference's labelled sample: its {int(known.sum())} rows are worth "
            f"{effective:.0f} of the window's kind, {LEAST_EFFECTIVE:.0f} are needed, of both classes"
        )
        return _none(reason, rows, name)
    error = weighted_error(score, hit.astype(np.float64), w)
    off = Score(SUBJECT, "calibration_error", error, len(score), name)
    share = float((w * hit).sum() / w.sum())
    if error > limit + allowance(share * effective, effective):
        return [
            off,
            *_none(f"scores do not say how likely rows like the window's are positive: {off_by(error, True, limit)}", rows, name),
        ]
    there = np.flatnonzero(np.isfinite(window.score))
    there = there[np.argsort(window.score[there], kind="stable")]
    sample = _Sample(
        score, hit.astype(np.float64), window.score[there], np.array([v == positive for v in window.label.to_list()])[there]
    )
    p = sample.chances(w)
    found = sample.metrics(p, np.ones(len(there)))
    errors = sampling_errors(sample, w, p, rows)
    evidence: dict[str, object] = {"worth_rows": round(effective)}
    usual = _usual(sample, np.array([v == positive for v in reference.label.to_list()])[known], errors)
    values = {metric: found[metric] for metric in METRICS if metric in found}
    return [off, *with_bands(values, errors, rows, name, {}, subject=SUBJECT, evidence=evidence, usual=usual)]


def _usual(sample: _Sample, guess: Bools, errors: Mapping[str, float]) -> Usual:
    """The realised metrics of the reference's labelled sample, and the standard error of the estimate less them.

    guess: which of its rows are predicted positive. errors: of the estimate less the window's realised value, which is more than its own.
    """
    order = np.argsort(sample.score, kind="stable")
    own = _Sample(sample.score, sample.hit, sample.score[order], guess[order])
    rng = np.random.Generator(np.random.PCG64(SEED))
    truth, once = sample.hit[order], np.ones(len(order))
    draws = [own.metrics(truth, rng.poisson(1.0, len(order)).astype(np.float64)) for _ in range(DRAWS)]
    out: Usual = {}
    for metric, value in own.metrics(truth, once).items():
        found = [d[metric] for d in draws if math.isfinite(d.get(metric, math.nan))]
        if metric in errors and len(found) > 1:
            out[metric] = value, math.hypot(errors[metric], float(np.std(found, ddof=1)))
    return out


def _none(reason: str, rows: int, name: str) -> list[Score]:
    return [Score(SUBJECT, metric, math.nan, rows, name, {"reason": reason}) for metric in METRICS]


def weighted_error(score: Floats, hit: Floats, weight: Floats) -> float:
    """Expected calibration error of the weighted rows, of probabilities that were fitted to the other folds' rows."""
    fold = np.random.Generator(np.random.PCG64(SEED)).permutation(len(score)) % FOLDS
    p = np.empty(len(score))
    for k in range(FOLDS):
        rest = fold != k
        p[~rest] = weighted_isotonic(score[rest], hit[rest], weight[rest], score[~rest])
    return calibration_error(p, weight, weight * hit, score)


@dataclass(frozen=True, slots=True)
class _Sample:
    """The reference's labelled rows (score, hit: 0 or 1) and the window's (at: scores, ascending; guess: predicted positive)."""

    score: Floats
    hit: Floats
    at: Floats
    guess: Bools

    def chances(self, weight: Floats) -> Floats:
        return weighted_isotonic(self.score, self.hit, weight, self.at)

    def metrics(self, p: Floats, rows: Floats) -> dict[str, float]:
        """p: how likely each of the window's rows is positive, rows: how often it counts."""
        negative, positive = (1.0 - p) * rows, p * rows
        expected = np.array([[side[~self.guess].sum(), side[self.guess].sum()] for side in (negative, positive)]).T
        return binary_metrics(expected, (negative, positive))


def sampling_errors(sample: _Sample, weight: Floats, p: Floats, rows: int) -> dict[str, float]:
    """Standard errors of estimate less realised value, for a window of so many rows of which the sample holds some."""
    rng = np.random.Generator(np.random.PCG64(SEED))
    m = len(p)
    once = np.ones(m)
    draws: list[Callable[[], dict[str, float]]] = [
        lambda: sample.metrics(sample.chances(weight * rng.poisson(1.0, len(weight))), once),
        lambda: sample.metrics(p, rng.poisson(1.0, m).astype(np.float64)),
        lambda: sample.metrics((rng.random(m) < p).astype(np.float64), once),
    ]
    share = min(1.0, m / rows) if rows else 1.0
    out: dict[str, float] = {}
    for draw, factor in zip(draws, (1.0, 1.0 - share, share), strict=True):
        found = [draw() for _ in range(DRAWS)]
        for metric in METRICS:
            values = [f[metric] for f in found if math.isfinite(f.get(metric, math.nan))]
            out[metric] = out.get(metric, 0.0) + (float(np.var(values, ddof=1)) * factor if len(values) > 1 else math.nan)
    return {metric: math.sqrt(variance) for metric, variance in out.items()}


def weighted_isotonic(score: Floats, truth: Floats, weight: Floats, at: Floats) -> Floats:
    """The rising function of the score nearest to the weighted truth, at other scores: linear between, flat outside."""
    from scipy.optimize import isotonic_regression

    scores, inverse = np.unique(score, return_inverse=True)
    total = np.bincount(inverse, weights=weight)
    kept = total > 0
    hits = np.bincount(inverse, weights=weight * truth)[kept] / total[kept]
    out: Floats = np.interp(at, scores[kept], isotonic_regression(hits, weights=total[kept]).x)
    return out
