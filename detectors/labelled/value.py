"""What predictions were worth: a sum of money for each cell of the confusion matrix.

value_per_event is the mean over labelled rows, value_total that mean times the rows; a cell that is not named is worth 0.

Its interval is not that of a mean: one fraud of a hundred rows that costs a thousand is not seen in 37 of 100 windows of 100, and their
standard deviation does not know of it. Wilson's intervals of the shares of rows of each worth, of those too that the matrix names and no
row had, are added up, weighed with their distance from the mean (Zou and Donner 2008). Of two worths that is Wilson's interval itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from detectors.labelled.confusion import FOLDED
from detectors.labelled.intervals import NONE, Interval, recovered, wilsons
from detectors.labelled.tally import Metric, Tally, undefined

Worth = Mapping[tuple[str, str], float]  # (predicted, true) -> money, negative where it costs


def value(tally: Tally, worth: Worth) -> list[Metric]:
    """The two metrics; empty without a matrix or without rows."""
    n = sum(tally.confusion.values())
    if not worth or n <= 0:
        return []
    if not tally.names_all(label for pair in worth for label in pair):
        return undefined(("value_total", "value_per_event"), n, FOLDED)
    total = sum(rows * worth.get(pair, 0.0) for pair, rows in tally.confusion.items())
    mean, (low, high) = total / n, _interval(tally, worth, n)
    ordered = sorted(tally.confusion.items(), key=lambda item: -abs(item[1] * worth.get(item[0], 0.0)))
    parts = {f"{p} -> {t}": round(rows * worth.get((p, t), 0.0), 6) for (p, t), rows in ordered[:10]}
    return [
        Metric("value_total", total, low * n, high * n, n, {"predicted -> true": parts}),
        Metric("value_per_event", mean, low, high, n),
    ]


def _interval(tally: Tally, worth: Worth, n: int) -> Interval:
    """Of the mean; none for one row."""
    if n < 2:
        return NONE
    of_worth = dict.fromkeys(worth.values(), 0)
    for pair, rows in tally.confusion.items():
        own = worth.get(pair, 0.0)
        of_worth[own] = of_worth.get(own, 0) + rows
    hits = np.array(list(of_worth.values()), dtype=np.float64)
    money = np.array(list(of_worth), dtype=np.float64)
    mean = float(money @ hits) / n
    off, share = money - mean, hits / n
    lows, highs = wilsons(hits, np.full(len(hits), float(n)))
    apart = float((off**2 * share * (1.0 - share)).sum())
    together = float(np.sqrt((off**2 * share).sum() / apart)) if apart > 0.0 else 1.0
    down, up = recovered(off * share, np.where(off > 0, lows, highs) * off, np.where(off > 0, highs, lows) * off, together)
    return mean - down, mean + up
