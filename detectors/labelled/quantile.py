"""Probabilistic forecasts: quantiles of what is to come, judged by the number that came.

pinball:Q            mean of max(Q (y - f), (Q - 1)(y - f))                         (Koenker and Bassett 1978)
crps                 2 x the pinball loss over all levels, each level weighed with the stretch of [0, 1] nearest to it
interval_coverage    share of truths between the outermost quantiles
interval_width       mean distance of these two
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectors.columns import Floats, Outcomes, Schema
from detectors.labelled.intervals import wilson
from detectors.labelled.tally import Metric, Tally, Task, mean_of


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
    tally.add_values("pinball", loss.mean(axis=1), weight)
    tally.add_values("crps", 2.0 * loss @ level_weights(levels), weight)
    low, high = f.min(axis=1), f.max(axis=1)
    tally.add_values("interval_width", high - low, weight)
    tally.count_rows(weight[(low <= y) & (y <= high)], "inside")


def metrics(tally: Tally) -> Sequence[Metric]:
    n, levels = tally.rows, tally.schema.quantiles
    out = [Metric(name, *mean_of(tally, name, n), n) for name in ("pinball", "crps")]
    if len(levels) > 1:
        nominal = levels[-1] - levels[0]
        share = tally.sums["inside"] / n
        out.append(Metric("interval_coverage", share, *wilson(tally.sums["inside"], n), n, {"nominal": round(nominal, 6)}))
        low, high = wilson(tally.sums["inside"], n)
        bounds = sorted((abs(low - nominal), abs(high - nominal)))
        least = 0.0 if low <= nominal <= high else bounds[0]
        out.append(Metric("interval_coverage_error", abs(share - nominal), least, bounds[1], n, {"nominal": round(nominal, 6)}))
        out.append(Metric("interval_width", *mean_of(tally, "interval_width", n), n))
    out += [Metric(f"pinball:{q:g}", *mean_of(tally, f"pinball:{q:g}", n), n) for q in levels]
    return out


def _means(schema: Schema) -> tuple[str, ...]:
    return ("pinball", "crps", "interval_width", *(f"pinball:{q:g}" for q in schema.quantiles))


QUANTILE = Task(add, metrics, _means, ("inside",))
