"""What predictions were worth: a sum of money for each cell of the confusion matrix.

value_per_event is the mean over labelled rows, value_total that mean times the rows; a cell that is not named is worth 0.
"""

from __future__ import annotations

from collections.abc import Mapping

from detectors.labelled.confusion import FOLDED
from detectors.labelled.intervals import mean_interval
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
    squares = sum(rows * worth.get(pair, 0.0) ** 2 for pair, rows in tally.confusion.items())
    mean, low, high = mean_interval(total, squares, n)
    ordered = sorted(tally.confusion.items(), key=lambda item: -abs(item[1] * worth.get(item[0], 0.0)))
    parts = {f"{p} -> {t}": round(rows * worth.get((p, t), 0.0), 6) for (p, t), rows in ordered[:10]}
    return [
        Metric("value_total", total, low * n, high * n, n, {"predicted -> true": parts}),
        Metric("value_per_event", mean, low, high, n),
    ]
