"""Numbers: sums of errors, and the errors themselves in cells (detectors/float_cells.py) for their quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from detectors.columns import Ints, Outcomes
from detectors.float_cells import CELLS, cell_of, folded, quantile
from detectors.labelled.intervals import NONE, around, quantile_levels
from detectors.labelled.tally import Metric, Tally, Task, mean_of

ERROR_LEVELS = {"error_p05": 0.05, "error_p50": 0.5, "error_p95": 0.95}
TRUTH = "truth"  # the labels by cell: for target drift
# sums of products that the interval of R2 rests on: e is the error, y the truth
_MOMENTS = ("value", "value_sq", "value_cube", "value_fourth", "sq_error_value", "sq_error_value_sq")


def add(tally: Tally, o: Outcomes) -> None:
    there = np.isfinite(o.true_value) & np.isfinite(o.predicted_score)
    truth, weight = o.true_value[there], o.weight[there]
    predicted = o.predicted_score[there]
    with np.errstate(over="ignore", invalid="ignore"):
        error = predicted - truth
        size = np.abs(error)
        tally.count_rows(weight)
        tally.add_values("abs_error", size, weight)
        tally.add_values("sq_error", error * error, weight)
        tally.add_values("error", error, weight)
        y2, e2 = truth * truth, error * error
        for name, values in zip(_MOMENTS, (truth, y2, y2 * truth, y2 * y2, e2 * truth, e2 * y2), strict=True):
            tally.sums[name] += float((weight * values).sum())
        some = truth != 0.0
        tally.count_rows(weight[some], "percent_rows")
        tally.add_values("percent", size[some] / np.abs(truth[some]), weight[some])
        both = np.abs(truth) + np.abs(predicted)
        tally.add_values("symmetric", np.divide(2.0 * size, both, out=np.zeros_like(size), where=both > 0), weight)
    tally.count("errors", (cell_of(error),), weight)
    tally.count(TRUTH, (cell_of(truth),), weight)


def metrics(tally: Tally) -> Sequence[Metric]:
    n = tally.rows
    out = [Metric("mae", *mean_of(tally, "abs_error", n), n), _rmse(tally, n), _r2(tally, n)]
    out.append(Metric("mean_error", *mean_of(tally, "error", n), n))
    with_percent = int(tally.sums["percent_rows"])
    out.append(Metric("mape", *mean_of(tally, "percent", with_percent), with_percent))
    out.append(Metric("smape", *mean_of(tally, "symmetric", n), n))
    out.append(_quantile("median_absolute_error", folded(tally.arrays["errors"]), 0.5, n))
    out += [_quantile(name, tally.arrays["errors"], q, n) for name, q in ERROR_LEVELS.items()]
    return out


def _quantile(name: str, counts: Ints, q: float, n: int) -> Metric:
    low, high = quantile_levels(q, n)
    return Metric(name, quantile(counts, q), quantile(counts, low), quantile(counts, high), n)


def _rmse(tally: Tally, n: int) -> Metric:
    mean, low, high = mean_of(tally, "sq_error", n)
    mean = max(0.0, mean)  # what was taken back may leave less than nothing
    return Metric("rmse", math.sqrt(mean), math.sqrt(max(0.0, low)), math.sqrt(high), n)


def _r2(tally: Tally, n: int) -> Metric:
    """1 - E[e^2] / Var(y), with the delta method over the means of e^2, y and y^2."""
    s = tally.sums
    a, b, c = s["sq_error"] / n, s["value"] / n, s["value_sq"] / n
    spread = c - b * b
    if not spread > 0.0:
        return Metric("r2", math.nan, *NONE, n)
    value = 1.0 - a / spread
    gradient = np.array([-1.0 / spread, -2.0 * a * b / spread**2, a / spread**2])
    second = np.array(
        [
            [s["sq_error_sq"], s["sq_error_value"], s["sq_error_value_sq"]],
            [s["sq_error_value"], s["value_sq"], s["value_cube"]],
            [s["sq_error_value_sq"], s["value_cube"], s["value_fourth"]],
        ]
    )
    means = np.array([a, b, c])
    variance = float(gradient @ (second / n - np.outer(means, means)) @ gradient) / n
    return Metric("r2", value, *around(value, math.sqrt(max(0.0, variance)), high=1.0), n)


REGRESSION = Task(
    add,
    metrics,
    lambda schema: ("abs_error", "sq_error", "error", "percent", "symmetric"),
    (*_MOMENTS, "percent_rows"),
    lambda schema: {"errors": (CELLS,), TRUTH: (CELLS,)},
)
