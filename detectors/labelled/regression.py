"""Numbers: sums of errors, and the errors themselves in cells (detectors/float_cells.py) for their quantiles.

Squares of what has a very long tail are made of rows that come too seldom for any interval to know of them (Bahadur and Savage 1956): where
LONG tells so, rmse and r2 have none, and say why. Of lognormal errors of sigma 1.6, 50 to 1,000 rows, theirs had held in 45 to 80 % of
windows; of 50 rows three quarters or more are now left out, of 200 nearly all, and 1 in 100 at most of normal, Laplacian or t-distributed errors. What is left holds in
93 to 97 % of these, but of t with 3 degrees of freedom, whose squares have no variance, in 86; r2 of lognormal labels in 86 to 93.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from detectors.columns import Floats, Ints, Outcomes
from detectors.float_cells import CELLS, HIGH, LEAST, LOW, MOST, cell_of, folded, quantile
from detectors.labelled.intervals import NONE, logarithmic, skewed, student
from detectors.labelled.orders import quantile_and_interval
from detectors.labelled.tally import Metric, Tally, Task, exact_sum, mean_of, square, undefined

ERROR_LEVELS = {"error_p05": 0.05, "error_p50": 0.5, "error_p95": 0.95}
LONG = 10.0  # the 95 % quantile of sizes over their median, an index of the tail (Crow and Siddiqui 1967); 2.9 of a normal, 4.3 of Laplace
TRUTH = "truth"  # the labels by cell: for target drift
# exact sums of powers of the truth, and of the squared error times them; what stood for them before
POWERS = {"y1": "value", "y2": "value_sq", "y3": "value_cube", "y4": "value_fourth",
          "e2": "sq_error", "e2y1": "sq_error_value", "e2y2": "sq_error_value_sq"}  # fmt: skip
ROUNDING = 1e-9
FAR, ALONE = 2.0**12, 1000  # times the median size; so many rows of a batch are added one by one
MEANS = ("abs_error", "sq_error", "error", "percent", "symmetric")
EXACT = POWERS | {of: of for name in MEANS for of in (name, f"{name}_sq")}


def add(tally: Tally, o: Outcomes) -> None:
    finite = np.isfinite(o.true_value) & np.isfinite(o.predicted_score)
    with np.errstate(invalid="ignore"):
        there = finite & (np.abs(o.true_value) <= MOST) & (np.abs(o.predicted_score) <= MOST)
    tally.count_rows(o.weight[finite & ~there], "beyond")
    truth, weight = o.true_value[there], o.weight[there]
    predicted = o.predicted_score[there]
    if not len(truth):
        return
    error = predicted - truth
    size = np.abs(error)
    tally.count_rows(weight)
    tally.add_values("abs_error", size, weight)
    tally.add_values("sq_error", error * error, weight)
    tally.add_values("error", error, weight)
    _add_powers(tally, truth, error * error, weight)
    some = truth != 0.0
    tally.count_rows(weight[some], "percent_rows")
    with np.errstate(over="ignore"):
        percent = np.minimum(size[some] / np.abs(truth[some]), MOST)
    tally.add_values("percent", percent, weight[some])
    both = np.abs(truth) + np.abs(predicted)
    tally.add_values("symmetric", np.divide(2.0 * size, both, out=np.zeros_like(size), where=both > 0), weight)
    tally.count("errors", (cell_of(error),), weight)
    tally.count(TRUTH, (cell_of(truth),), weight)


def _add_powers(tally: Tally, truth: Floats, squared: Floats, weight: Ints) -> None:
    """Sums about zero. Those that R2 is made of have no rounding, so that a far row that is taken back leaves nothing behind; of the others,
    for its interval, which come from sums about the rows' own mean, what is lost is lost of the spread alone. Far rows, and those that
    are taken back, are added one by one there."""
    size = np.abs(truth) + np.sqrt(squared)
    alone = (weight < 0) | (size > FAR * np.median(size))
    if 0 < alone.sum() <= ALONE:
        for i in np.flatnonzero(alone).tolist():
            _add_centred(tally, truth[i : i + 1], squared[i : i + 1], weight[i : i + 1])
        truth, squared, weight = truth[~alone], squared[~alone], weight[~alone]
    if len(truth):
        _add_centred(tally, truth, squared, weight)


def _add_centred(tally: Tally, truth: Floats, squared: Floats, weight: Ints) -> None:
    centre = float(truth.mean())
    off = truth - centre
    c, s0 = Fraction(centre), int(weight.sum())
    y1, y2 = exact_sum(truth, weight), sum((exact_sum(part, weight) for part in square(truth)), Fraction(0))
    s1, s2 = y1 - c * s0, y2 - c * (2 * y1 - c * s0)
    s3, s4 = (Fraction(float((weight * off**k).sum())) for k in (3, 4))
    t0 = exact_sum(squared, weight)
    t1, t2 = (Fraction(float((weight * squared * off**k).sum())) for k in (1, 2))
    found = {
        "y1": y1,
        "y2": y2,
        "y3": s3 + c * (3 * s2 + c * (3 * s1 + c * s0)),
        "y4": s4 + c * (4 * s3 + c * (6 * s2 + c * (4 * s1 + c * s0))),
        "e2": t0,
        "e2y1": t1 + c * t0,
        "e2y2": t2 + c * (2 * t1 + c * t0),
    }
    for name, value in found.items():
        tally.exact[name] += value


def metrics(tally: Tally) -> Sequence[Metric]:
    n = tally.rows
    mae, squared = (_of_sizes(tally, name, power, n) for name, power in (("abs_error", 1), ("sq_error", 2)))
    root, low, high = (math.sqrt(max(0.0, v)) for v in squared)  # what was taken back may leave less than nothing
    rmse, r2 = Metric("rmse", root, low, high, n), _r2(tally, n)
    if why := _too_long(_tail(folded(tally.arrays["errors"]), 0.0), "errors"):
        rmse, r2 = _without(rmse, why), _without(r2, why)
    elif why := _too_long(_tail(tally.arrays[TRUTH], quantile(tally.arrays[TRUTH], 0.5)), "labels"):
        r2 = _without(r2, why)
    out = [Metric("mae", *mae, n), rmse, r2]
    out.append(Metric("mean_error", *mean_of(tally, "error", n), n))
    with_percent = int(tally.sums["percent_rows"])
    out.append(Metric("mape", *mean_of(tally, "percent", with_percent, "positive"), with_percent))
    out.append(Metric("smape", *mean_of(tally, "symmetric", n, "positive"), n))
    out.append(_quantile("median_absolute_error", folded(tally.arrays["errors"]), 0.5, n, 0.0))
    out += [_quantile(name, tally.arrays["errors"], q, n) for name, q in ERROR_LEVELS.items()]
    if beyond := int(tally.sums["beyond"]):
        return undefined((m.name for m in out), n, f"{beyond} labels or predictions lie beyond {MOST:.2g}")
    return out


def _tail(counts: Ints, middle: float) -> float:
    """The 95 % quantile over the median of what lies so far from the middle; NaN where it is not known."""
    some = np.flatnonzero(counts > 0)
    if not len(some) or counts[0] or counts[-1] or math.isnan(middle):
        return math.nan
    sizes = np.abs((LOW[some] + HIGH[some]) / 2.0 - middle)
    order = np.argsort(sizes)
    upto = np.cumsum(counts[some][order])
    half, most = (float(sizes[order][np.searchsorted(upto, level * upto[-1])]) for level in (0.5, 0.95))
    return most / half if half > 0.0 else math.nan


def _too_long(tail: float, of: str) -> str:
    if not tail >= LONG:
        return ""
    return f"no interval: one in twenty {of} is {tail:.0f} times as far out as half of them or more; rows too rare to be seen make up their squares"


def _without(metric: Metric, why: str) -> Metric:
    return metric._replace(low=math.nan, high=math.nan, evidence={"interval": why})


def _quantile(name: str, counts: Ints, q: float, n: int, least: float = -math.inf) -> Metric:
    value, ends = quantile_and_interval(counts, q, n, least)
    if math.isnan(value):
        return undefined((name,), n, f"it lies beyond {2.0**LEAST:.2g}, where errors are not told apart")[0]
    return Metric(name, value, *ends, n)


def _of_sizes(tally: Tally, name: str, power: int, n: int) -> tuple[float, float, float]:
    """The mean of a power of the errors' sizes, with the interval of skewed values."""
    mean, low, high = mean_of(tally, name, n, "positive")
    spread = tally.sums[f"{name}_sq"] / n - mean**2
    skewness = _skewness(tally, power) if mean > 0.0 and spread > 0.0 else math.nan
    if n < 2 or math.isnan(skewness):
        return mean, low, high
    low, high = skewed(mean, math.sqrt(spread / (n - 1)), skewness, n)
    return mean, max(0.0, min(low, mean)), max(high, mean)


def _skewness(tally: Tally, power: int) -> float:
    """Of a power of the errors' sizes, from their cells, NaN where some lie beyond them.

    At least twice the coefficient of variation, which is that of squared normal errors and of exponential sizes: a few rows of a long
    tail seldom show it.
    """
    counts = folded(tally.arrays["errors"])
    some = np.flatnonzero(counts > 0)
    if counts[-1] or not len(some):
        return math.nan
    sizes = ((np.maximum(LOW[some], 0.0) + HIGH[some]) / 2.0) ** power
    shares = counts[some] / counts[some].sum()
    mean = float(shares @ sizes)
    scatter = math.sqrt(float(shares @ (sizes - mean) ** 2))
    return max(float(shares @ (sizes - mean) ** 3) / scatter**3, 2.0 * scatter / mean) if scatter > 0.0 else 0.0


def _r2(tally: Tally, n: int) -> Metric:
    """1 - E[e^2] / Var(y), with the delta method over the means of e^2 and of the squared distance of y from its mean.

    The ratio's skewness is taken to be that of the squared errors; where that is not known the interval is one on its logarithm.
    """
    s = tally.exact
    mean = s["y1"] / n
    spread = float(s["y2"] / n - mean**2)
    if not spread > 0.0:
        return Metric("r2", math.nan, *NONE, n)
    fourth = float((s["y4"] - 4 * mean * s["y3"] + 6 * mean**2 * s["y2"] - 4 * mean**3 * s["y1"]) / n + mean**4)
    both = float((s["e2y2"] - 2 * mean * s["e2y1"] + mean**2 * s["e2"]) / n)
    a = float(s["e2"]) / n
    of_error, of_spread = -1.0 / spread, a / spread**2
    variance = of_error**2 * (tally.sums["sq_error_sq"] / n - a * a) + of_spread**2 * (fourth - spread**2)
    variance += 2.0 * of_error * of_spread * (both - a * spread)
    left = a / spread
    possible = _may_be(fourth, spread**2, n * spread**2) and _may_be(both, 0.0, n * a * spread)
    if n < 2 or left <= 0.0 or not possible:
        return Metric("r2", 1.0 - left, *NONE, n)
    error, skewness = math.sqrt(max(0.0, variance) / (n - 1)), _skewness(tally, 2)
    low, high = logarithmic(left, error, student(n - 1)) if math.isnan(skewness) else skewed(left, error, skewness, n)
    return Metric("r2", 1.0 - left, min(1.0 - high, 1.0 - left), min(1.0, max(1.0 - low, 1.0 - left)), n)


def _may_be(moment: float, least: float, most: float) -> bool:
    """Whether a sum's rounding, of far rows that were taken back, has left something that can be."""
    return least - ROUNDING * most <= moment <= most * (1.0 + ROUNDING)


REGRESSION = Task(
    add,
    metrics,
    lambda schema: MEANS,
    ("percent_rows", "beyond"),
    lambda schema: {"errors": (CELLS,), TRUTH: (CELLS,)},
    lambda schema: EXACT,
)
