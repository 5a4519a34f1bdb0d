"""Champion against challenger: the effect with an interval that may be looked at after every window.

Each window in which both versions have rows gives a difference of means d with its weight w, so that neither a ramp of the
traffic nor a trend of the time is taken for an effect: w = n m / (n + m) for versions that got different rows (unpaired),
w = the pairs for versions that got the same ones. Over windows

    effect = sum w d / sum w,    V = sum w^2 var(d) / (sum w)^2,    var(d) = s1^2 / n + s2^2 / m

and, with the mixture variance T^2, the interval effect +- sqrt(V (V + T^2) / T^2 ln((V + T^2) / (V alpha^2))) holds the true
effect in all windows together with probability 1 - alpha (normal mixture: Robbins, Ann. Math. Stat. 41, 1970; mixture SPRT:
Johari, Pekelis, Walsh, arXiv 1512.04922; asymptotic in rows: Waudby-Smith and others, arXiv 2103.06476).
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import numpy as np

from detectors.columns import Floats
from detectors.error_cells import ErrorCells
from detectors.latency import BASE, CELLS, FIRST, LatencySummary
from detectors.moments import Moments
from detectors.performance import PerformanceSummary
from detectors.request_errors import ERROR
from detectors.request_table import RequestTable
from detectors.trace import ErrorTrace

PROMOTE, KEEP_WAITING, ROLL_BACK = "promote", "keep waiting", "roll back"
SHRINK = 1000.0
UNSEEN = 2.0  # of rows or pairs that might have been wrong in one version alone, beside those that were
MEANS = {
    "binary": ("brier", "log_loss"),
    "multiclass": ("brier", "log_loss"),
    "regression": ("mse",),
    "multilabel": ("subset_accuracy", "jaccard", "hamming_loss"),
    "ranking": ("ndcg_at_k", "map_at_k", "mrr"),
    "quantile": ("pinball", "crps"),
}  # metrics that are means over labelled rows
SUM_OF = {"mse": "sq_error"}  # how the sum of one is called
SPREAD = 0.1  # T in standard deviations of a row, where the config names no effect that matters


@dataclass(frozen=True, slots=True)
class Sums:
    """Rows of one version in one window: how many, and the sums of a metric and of its squares."""

    rows: float
    total: float
    squares: float


@dataclass(frozen=True, slots=True)
class Piece:
    """What windows add to a comparison; pieces add up.

    champion, challenger: rows; champion_sum, challenger_sum: of the metric; effect, weight: sums of w d and of w.
    off: squared deviations from the window's own means, freedom: their degrees of freedom, share: sum of w^2 / rows; of
    either version, or all three of the pairs' differences as the challenger's. unlike: pairs that differ at all.
    """

    champion: float = 0.0
    challenger: float = 0.0
    champion_sum: float = 0.0
    challenger_sum: float = 0.0
    effect: float = 0.0
    weight: float = 0.0
    champion_off: float = 0.0
    champion_freedom: float = 0.0
    champion_share: float = 0.0
    challenger_off: float = 0.0
    challenger_freedom: float = 0.0
    challenger_share: float = 0.0
    unlike: float = 0.0

    def __add__(self, other: Piece) -> Piece:
        return Piece(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Comparison:
    """Challenger less champion, in the metric's unit; NaN where there are too few rows for an interval."""

    champion: float
    challenger: float
    effect: float
    low: float
    high: float
    answer: str


def unpaired(champion: Sums, challenger: Sums) -> Piece:
    """The piece of one window; an empty one where a version has fewer than two rows."""
    n, m = champion.rows, challenger.rows
    if n < 2 or m < 2:
        return Piece()
    off = [max(0.0, s.squares - s.total * s.total / s.rows) for s in (champion, challenger)]
    w = n * m / (n + m)
    effect = challenger.total / m - champion.total / n
    return Piece(
        n, m, champion.total, challenger.total, w * effect, w,
        off[0], n - 1.0, w * w / n, off[1], m - 1.0, w * w / m,
    )  # fmt: skip


def paired(champion: ErrorTrace, challenger: ErrorTrace, right: bool) -> Piece:
    """The piece of one window whose requests went to both: cells of time that hold as many rows of each are pairs.

    right: of the share of right predictions, else of the errors.
    """
    level = min(champion.level, challenger.level)
    (keys_a, rows_a, errors_a), (keys_b, rows_b, errors_b) = (_at(t, level) for t in (champion, challenger))
    _, a, b = np.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
    same = (rows_a[a] == rows_b[b]) & (rows_a[a] > 0)
    a, b = a[same], b[same]
    return _of_pairs(rows_a[a].astype(np.float64), errors_a[a], errors_b[b], right)


def paired_requests(champion: RequestTable, challenger: RequestTable, newest_pane: int, right: bool, name: str = ERROR) -> Piece:
    """The piece of one window, of requests that both versions answered as often, by what each said to the same one.

    name: of a sum that both kept: errors, a loss or a number of the events; requests without it are no pairs.

    Of a window's requests those count whose later answer lies in its newest pane: each once, however windows overlap.
    """
    level = max(champion.level, challenger.level)
    (keys_a, panes_a, rows_a, errors_a), (keys_b, panes_b, rows_b, errors_b) = (
        side.by_request(level, name) for side in (champion, challenger)
    )
    _, a, b = np.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
    same = (rows_a[a] == rows_b[b]) & (np.maximum(panes_a[a], panes_b[b]) == newest_pane)
    same &= np.isfinite(errors_a[a]) & np.isfinite(errors_b[b])
    a, b = a[same], b[same]
    return _of_pairs(rows_a[a].astype(np.float64), errors_a[a], errors_b[b], right)


def _of_pairs(rows: Floats, errors_a: Floats, errors_b: Floats, right: bool) -> Piece:
    """rows of each version in each cell, and the sums of their errors; shape (cells,)."""
    cells = len(rows)
    if cells < 2:
        return Piece()
    first, second = (rows - errors_a, rows - errors_b) if right else (errors_a, errors_b)
    gap = second - first
    n = float(rows.sum())
    effect = float(gap.sum())
    off = gap - effect / n * rows
    sums = float(first.sum()), float(second.sum())
    return Piece(n, n, *sums, effect, n, 0.0, 0.0, 0.0, float(off @ off), cells - 1.0, float(cells), float(np.count_nonzero(gap)))


def _at(trace: ErrorTrace, level: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keys, at = np.unique(trace.keys >> (trace.level - level), return_inverse=True)
    rows = np.zeros(len(keys), dtype=np.int64)
    np.add.at(rows, at, trace.rows)
    return keys, rows, np.bincount(at, weights=trace.errors, minlength=len(keys))


def compare(pieces: Piece, alpha: float, min_effect: float, lower_is_better: bool, min_rows: int, is_share: bool) -> Comparison:
    """The effect so far and its answer: promote where the challenger is certainly better by more than min_effect.

    min_effect: in the metric's unit; a negative one lets the challenger be worse by so much. Roll back where it is
    certainly not better by so much. alpha: the probability that a challenger that is better by exactly min_effect ever
    gets an answer, however often one looks. min_rows: of each version before there is an interval.
    is_share: rows are 0 or 1, and differences of pairs -1, 0 or 1.
    """
    p = pieces
    means = (p.champion_sum / p.champion if p.champion else math.nan, p.challenger_sum / p.challenger if p.challenger else math.nan)
    if p.weight <= 0.0:
        return Comparison(*means, math.nan, math.nan, math.nan, KEEP_WAITING)
    effect = p.effect / p.weight
    variances = _variances(p, is_share)
    v = (variances[0] * p.champion_share + variances[1] * p.challenger_share) / p.weight**2
    if min(p.champion, p.challenger) < min_rows or v <= 0.0:
        return Comparison(*means, effect, math.nan, math.nan, KEEP_WAITING)
    t2 = (abs(min_effect) or SPREAD * math.sqrt(max(variances))) ** 2
    radius = math.sqrt(v * (v + t2) / t2 * math.log((v + t2) / (v * alpha * alpha)))
    low, high = effect - radius, effect + radius
    better = (-high, -low) if lower_is_better else (low, high)
    answer = PROMOTE if better[0] > min_effect else ROLL_BACK if better[1] < min_effect else KEEP_WAITING
    return Comparison(*means, effect, low, high, answer)


def _variances(p: Piece, is_share: bool) -> tuple[float, float]:
    """Of a row of each version, or of a pair's difference as the challenger's.

    Of few rows of a rare error, or of a rare great number, the own variance is least where the mean happens to be: it would find
    effects. So a share's, and that of numbers of which the other version has more, is at least that of both, as if it had been seen
    in SHRINK rows more (else of 300 comparisons without an effect 20 % found one, at alpha 5 %, with 25 canary rows a window and 1 %
    errors; 35 % with 30 canary rows of which 0.5 % cost 1,000 and the others nothing, 57 % with 50 and 0.1 %: now under 2 %), and of
    a share UNSEEN rows more differed: pairs of two versions that differ in
    1 % of the rows, where none has differed yet, would be found equal (of 3,000 comparisons 40 to 75 %; with UNSEEN 4 %), and
    versions of which no row ever differs would never be. Numbers differ by as much as those pairs did that differ; where none
    did, by their mean.
    """
    unseen = UNSEEN if is_share else 0.0
    if not p.champion_freedom:
        if not is_share:
            mean = (p.champion_sum + p.challenger_sum) / max(1.0, p.champion + p.challenger)
            square = p.challenger_off + p.effect**2 / p.weight  # of the differences, where the effect is one
            unseen = UNSEEN * (square / p.unlike if p.unlike else mean * mean)
        return 0.0, (p.challenger_off + unseen) / max(1.0, p.challenger_freedom)
    both = (p.champion_off + p.challenger_off + unseen) / max(1.0, p.champion_freedom + p.challenger_freedom)
    most = max(p.champion_freedom, p.challenger_freedom)
    out = []
    for off, freedom in ((p.champion_off, p.champion_freedom), (p.challenger_off, p.challenger_freedom)):
        own, doubted = off / max(1.0, freedom), freedom and (is_share or freedom < most)
        out.append(max(own, (off + SHRINK * both) / (freedom + SHRINK)) if doubted else own)
    return out[0], out[1]


def error_sums(cells: ErrorCells) -> Sums:
    """Of the errors: 1 for a wrong label, or the absolute error."""
    return Sums(float(cells.rows.sum()), float(cells.errors.sum()), float(cells.squares.sum()))


def right_sums(cells: ErrorCells) -> Sums:
    """Of the right predictions of a classifier."""
    rows = float(cells.rows.sum())
    right = rows - float(cells.errors.sum())
    return Sums(rows, right, right)


def share_sums(rows: int, hits: int) -> Sums:
    return Sums(float(rows), float(hits), float(hits))


def latency_sums(latency: LatencySummary) -> Sums:
    """In ms; the squares are within 2 %, as the cells are."""
    middle = BASE ** (FIRST + np.arange(CELLS) + 0.5)
    return Sums(float(latency.rows), latency.total, float(latency.counts @ (middle * middle)))


def number_sums(moments: Moments) -> Sums:
    """Of a number of the events, in its unit."""
    return Sums(float(moments.n), moments.n * moments.mean, moments.m2 + moments.n * moments.mean**2)


def metric_sums(performance: PerformanceSummary, metric: str) -> Sums | None:
    """Of one of MEANS; None where the task has it not."""
    if metric not in MEANS.get(performance.schema.task, ()):
        return None
    sums = performance.sums
    if metric == "subset_accuracy":
        return share_sums(performance.rows, int(sums["exact"]))
    rows, name = sums["scored" if metric in ("brier", "log_loss") else "rows"], SUM_OF.get(metric, metric)
    return Sums(rows, sums[name], sums[f"{name}_sq"])


def value_sums(performance: PerformanceSummary, values: dict[str, dict[str, float]]) -> Sums:
    """Of what each (predicted, true) label is worth; 0 where `values` does not say."""
    rows = total = squares = 0.0
    for (predicted, true), count in performance.confusion.items():
        worth = values.get(predicted, {}).get(true, 0.0)
        rows, total, squares = rows + count, total + count * worth, squares + count * worth * worth
    return Sums(rows, total, squares)
