"""The interval of a mean pinball loss, whose two sides have different slopes: of few rows the steep one has too few to be normal.

At the level 0.1 the rows below the forecast, a tenth of them, bring half of the loss; a mean of 50 rows has 5 of them, and Student's
interval holds in 88 %. So each side is taken for what it is, a share of rows times their mean loss: Wilson's interval of the share, and of
the mean Student's on the logarithm, or, of up to FEW rows, that of exponential excesses, which follow a gamma distribution. Both factors
are added up on the logarithm, both sides by their distances (Zou and Donner 2008; intervals.recovered).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.special import gammaincinv

from detectors.labelled.intervals import Interval, logarithmic, recovered, student, wilson

FEW = 4  # Student's quantile of 1 and 2 degrees of freedom would say nothing


def pinball_interval(level: float, below: tuple[float, float, float], above: tuple[float, float, float]) -> Interval:
    """below, above: rows, sum of their losses and of the squares, of truths that came below and above the forecast."""
    rows = below[0] + above[0]
    sides = [
        _side(rows, *below, (1.0 - level) / level * above[1] / max(1.0, above[0])),
        _side(rows, *above, level / (1.0 - level) * below[1] / max(1.0, below[0])),
    ]
    means, lows, highs = (np.array(column) for column in zip(*sides, strict=True))
    scatter = [total_sq / rows - (total / rows) ** 2 for _, total, total_sq in (below, above)]
    apart, value = sum(scatter), float(means.sum())
    together = math.sqrt(max(0.0, 1.0 - 2.0 * float(means.prod()) / apart)) if apart > 0.0 else 1.0
    down, up = recovered(means, lows, highs, together)
    return max(0.0, value - down), value + up


def _side(rows: float, own: float, total: float, total_sq: float, otherwise: float) -> tuple[float, float, float]:
    """A side's part of the mean loss, and its ends. otherwise: a loss of its rows, where it has none, as far out as the other side's."""
    share = wilson(own, rows)
    if own <= 0 or total <= 0.0:
        return 0.0, 0.0, share[1] * otherwise
    mean = total / own
    if own <= FEW:
        ends = _of_exponentials(own)
    else:
        error = math.sqrt(max(0.0, total_sq / own - mean**2) / (own - 1))
        ends = tuple(end / mean for end in logarithmic(mean, error, student(own - 1)))  # type: ignore[assignment]
    part = own / rows
    factors = [
        math.exp(sign * math.hypot(math.log(s / part), math.log(e))) for sign, s, e in zip((-1, 1), share, ends, strict=True)
    ]
    return part * mean, part * mean * factors[0], part * mean * factors[1]


@lru_cache(FEW)
def _of_exponentials(rows: float) -> Interval:
    """The ends of a mean of so many exponential values, over the value."""
    return rows / float(gammaincinv(rows, 0.975)), rows / float(gammaincinv(rows, 0.025))
