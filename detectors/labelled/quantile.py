"""Probabilistic forecasts: quantiles of what is to come, judged by the number that came.

pinball:Q                    mean of max(Q (y - f), (Q - 1)(y - f))                         (Koenker and Bassett 1978)
crps                         2 x the pinball loss over all levels, each level weighed with the stretch of [0, 1] nearest to it
interval_coverage            share of truths between the outermost quantiles
interval_width               mean distance of these two: how sharp the forecast is          (Gneiting, Balabdaoui and Raftery 2007)
quantile_coverage:Q          share of truths at or below the quantile of level Q, which promises Q
quantile_calibration_error   mean over the levels of |that share - Q|                       (Kuleshov, Fenner and Ermon 2018, p = 1)
quantile_crossing_share      share of forecasts of which a quantile lies below one of a lower level

Rows are counted by how many of their quantiles lie below the truth: the probability integral transform in the cells between the levels
(Dawid 1984), a row each, and what both of the last but one are made of. Of quantiles that cross, that is of the sorted ones (Chernozhukov,
Fernandez-Val and Galichon 2010), as interval_coverage is.

The calibration error is a norm of the levels' gaps: its interval is that of norms.py, the levels' shares hanging together as those of one
multinomial do. It holds in 95 to 98 %, 1.0 to 1.3 times as wide as 95 % of its values (50 to 5,000 rows; calibrated and not).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from detectors.columns import Floats, Ints, Outcomes, Schema
from detectors.labelled.calibration import CURVE, norm_metric
from detectors.labelled.intervals import wilson
from detectors.labelled.norms import gaps_of, norm_ends
from detectors.labelled.pinball import pinball_interval
from detectors.labelled.tally import Metric, Tally, Task, mean_of

PIT = "pit"


def level_weights(levels: tuple[float, ...]) -> Floats:
    """The stretch of [0, 1] that is nearest to each level, ascending; they sum to 1."""
    middle = (np.array(levels[1:]) + np.array(levels[:-1])) / 2.0
    return np.diff(np.concatenate([[0.0], middle, [1.0]]))


def add(tally: Tally, o: Outcomes) -> None:
    forecast = o.vectors.get("quantiles")
    levels = tally.schema.quantiles
    if forecast is None or forecast.shape[1] != len(levels) or not levels:
        return
    there = np.isfinite(o.true_value) & ~np.isnan(forecast).any(axis=1)
    f, y, weight = forecast[there].astype(np.float64), o.true_value[there], o.weight[there]
    q = np.array(levels)
    tally.count_rows(weight)
    behind = y[:, None] - f
    loss = np.maximum(q * behind, (q - 1.0) * behind)
    for i, level in enumerate(levels):
        tally.add_values(f"pinball:{level:g}", loss[:, i], weight)
        tally.add_values(f"pinball_below:{level:g}", np.where(behind[:, i] <= 0.0, loss[:, i], 0.0), weight)
    tally.add_values("pinball", loss.mean(axis=1), weight)
    tally.add_values("crps", 2.0 * loss @ level_weights(levels), weight)
    low, high = f.min(axis=1), f.max(axis=1)
    tally.add_values("interval_width", high - low, weight)
    with np.errstate(over="ignore"):
        place = y.astype(forecast.dtype).astype(
            np.float64
        )  # a truth of 9.99 is no more than a forecast of 9.99, which came as float32
    tally.count_rows(weight[(low <= place) & (place <= high)], "inside")
    tally.count(PIT, ((place[:, None] > f).sum(axis=1),), weight)
    tally.count_rows(weight[(np.diff(f, axis=1) < 0.0).any(axis=1)], "crossed")


def metrics(tally: Tally) -> Sequence[Metric]:
    n, levels = tally.rows, tally.schema.quantiles
    out = [Metric(name, *mean_of(tally, name, n, "positive"), n) for name in ("pinball", "crps")]
    if len(levels) > 1:
        nominal = levels[-1] - levels[0]
        share = tally.sums["inside"] / n
        out.append(Metric("interval_coverage", share, *wilson(tally.sums["inside"], n), n, {"nominal": round(nominal, 6)}))
        low, high = wilson(tally.sums["inside"], n)
        bounds = sorted((abs(low - nominal), abs(high - nominal)))
        least = 0.0 if low <= nominal <= high else bounds[0]
        out.append(Metric("interval_coverage_error", abs(share - nominal), least, bounds[1], n, {"nominal": round(nominal, 6)}))
        out.append(Metric("interval_width", *mean_of(tally, "interval_width", n, "positive"), n))
    return [*out, *_calibration(tally), *(_pinball(tally, i, n) for i in range(len(levels)))]


def _calibration(tally: Tally) -> list[Metric]:
    """Of the rows that were counted by cell, which releases before this one did not do."""
    cells, levels = tally.arrays[PIT], np.array(tally.schema.quantiles)
    n = int(cells.sum())
    if n <= 0:
        return []
    upto = np.cumsum(cells)[:-1]
    gaps = upto / n - levels
    parts = (np.full_like(levels, float(n)), upto.astype(np.float64), levels, np.ones_like(levels), np.full_like(levels, float(n)))
    linear, even = _together(cells, gaps)
    error = norm_ends(gaps_of(*(part[None, :, None] for part in parts)), 1, linear, even)
    curve = {"level": levels.tolist(), "observed_share": np.round(upto / n, 4).tolist(), "rows_between": cells.tolist()}
    out = [
        norm_metric("quantile_calibration_error", error, n, {CURVE: curve}),
        Metric("quantile_crossing_share", tally.sums["crossed"] / n, *wilson(tally.sums["crossed"], n), n),
    ]
    for level, hits, gap in zip(levels.tolist(), upto.tolist(), gaps.tolist(), strict=True):
        evidence: Mapping[str, object] = {"nominal": level, "difference": round(gap, 6)}
        out.append(Metric(f"quantile_coverage:{level:g}", hits / n, *wilson(hits, n), n, evidence))
    return out


def _together(cells: Ints, gaps: Floats) -> tuple[Floats, Floats]:
    """How the levels' noise hangs together, where the signs of the gaps count and where they do not; shapes (levels, levels)."""
    held = np.maximum(cells, 0) + 0.5  # never certain, of few rows
    upto = (np.cumsum(held) / held.sum())[:-1]
    covariance = np.minimum.outer(upto, upto) - np.outer(upto, upto)
    root = np.sqrt(np.diag(covariance))
    together: Floats = covariance / np.outer(root, root)
    sign = np.where(gaps < 0.0, -1.0, 1.0)
    return together * np.outer(sign, sign), together**2


def _pinball(tally: Tally, at: int, n: int) -> Metric:
    level, cells = tally.schema.quantiles[at], tally.arrays[PIT]
    name, part = f"pinball:{level:g}", f"pinball_below:{level:g}"
    value, low, high = mean_of(tally, name, n, "positive")
    if n > 1 and int(cells.sum()) == n and not tally.sums["crossed"]:
        below = float(cells[: at + 1].sum())
        own, own_sq = tally.sums[part], tally.sums[f"{part}_sq"]
        low, high = pinball_interval(
            level, (below, own, own_sq), (n - below, tally.sums[name] - own, tally.sums[f"{name}_sq"] - own_sq)
        )
    return Metric(name, value, min(low, value), max(high, value), n)


def _means(schema: Schema) -> tuple[str, ...]:
    of_levels = (f"{name}:{q:g}" for q in schema.quantiles for name in ("pinball", "pinball_below"))
    return ("pinball", "crps", "interval_width", *of_levels)


def _exact(schema: Schema) -> dict[str, str]:
    return {of: of for name in _means(schema) for of in (name, f"{name}_sq")}


QUANTILE = Task(add, metrics, _means, ("inside", "crossed"), lambda schema: {PIT: (len(schema.quantiles) + 1,)}, _exact)
