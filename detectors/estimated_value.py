"""What a window's predictions are worth before labels come: the config's value matrix over the expected confusion matrix.

value_per_event is the mean over rows, value_total that mean times the rows. Their band is three standard errors of
sampling to either side: the standard deviation of the value over the reference's labelled rows / sqrt(rows), NannyML's.
A cell that the matrix does not name is worth 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from detectors.cbpe import BAND
from detectors.labelled.value import Worth
from detectors.performance import PerformanceSummary
from detectors.score import Score

SUBJECT = "estimated_performance"
Valued = tuple[float, float]  # mean value of an event, and its standard deviation over events


def expected_value(
    expected: np.ndarray, labels: Sequence[str], worth: Worth | None, known: PerformanceSummary | None
) -> Valued | None:
    """Of a confusion matrix (predicted, true) in rows; None without a matrix of values, or without rows."""
    if not worth or expected.sum() <= 0:
        return None
    money = np.array([[worth.get((p, t), 0.0) for t in labels] for p in labels])
    return float((expected * money).sum() / expected.sum()), _spread(known, worth)


def binary_value(
    expected: np.ndarray, worth: Worth | None, known: PerformanceSummary | None, positive: str | None
) -> Valued | None:
    """Of [[TN, FN], [FP, TP]] in rows. A cell whose label has several names is worth what the reference's rows of it were."""
    if not worth or expected.sum() <= 0:
        return None
    confusion = {} if known is None else known.confusion
    money = np.zeros((2, 2))
    for cell in np.ndindex(2, 2):
        seen = {pair: n for pair, n in confusion.items() if n > 0 and _cell(pair, positive) == cell}
        named = {pair: 1 for pair in worth if _cell(pair, positive) == cell}
        rows = seen or named
        if rows:
            money[cell] = sum(n * worth.get(pair, 0.0) for pair, n in rows.items()) / sum(rows.values())
    return float((expected * money).sum() / expected.sum()), _spread(known, worth)


def _cell(pair: tuple[str, str], positive: str | None) -> tuple[int, int]:
    return int(pair[0] == positive), int(pair[1] == positive)


def _spread(known: PerformanceSummary | None, worth: Worth) -> float:
    n = 0 if known is None else sum(known.confusion.values())
    if known is None or n <= 0:
        return math.nan
    mean = sum(rows * worth.get(pair, 0.0) for pair, rows in known.confusion.items()) / n
    return math.sqrt(sum(rows * (worth.get(pair, 0.0) - mean) ** 2 for pair, rows in known.confusion.items()) / n)


def value_scores(valued: Valued | None, rows: int, reference: str, realised: Mapping[str, float]) -> list[Score]:
    """Both values with their bands, and the gap of the mean where it is known; [] where nothing is."""
    if valued is None:
        return []
    mean, spread = valued
    band = BAND * spread / math.sqrt(rows)
    out = []
    for name, scale in (("value_per_event", 1.0), ("value_total", float(rows))):
        out.append(Score(SUBJECT, name, mean * scale, rows, reference))
        out.append(Score(SUBJECT, f"{name}_low", (mean - band) * scale, rows, reference))
        out.append(Score(SUBJECT, f"{name}_high", (mean + band) * scale, rows, reference))
    if math.isfinite(realised.get("value_per_event", math.nan)):
        out.append(Score(SUBJECT, "value_per_event_gap", mean - realised["value_per_event"], rows, reference))
    return out
