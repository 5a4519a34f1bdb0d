"""What a window's predictions are worth before labels come: the config's value matrix over the expected confusion matrix.

value_per_event is the mean over rows, value_total that mean times the rows. Their band is three standard errors of
sampling to either side: the standard deviation of the value over the reference's labelled rows / sqrt(rows), NannyML's.
A cell that the matrix does not name is worth 0. Where it is known what a row of each cell is expected to be worth, the evidence says
what the value is on the reference's own rows and the standard error of the difference (detectors/usual.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from detectors.cbpe import BAND
from detectors.columns import Floats, Ints
from detectors.labelled.value import Worth
from detectors.performance import PerformanceSummary
from detectors.score import Score
from detectors.usual import Influences, Usual, evidence_of

SUBJECT = "estimated_performance"
MEAN, TOTAL = "value_per_event", "value_total"
Valued = tuple[float, float]  # mean value of an event, and its standard deviation over events


def value_names(worth: Worth | None) -> tuple[str, ...]:
    """The scores that a matrix of values gives."""
    return (MEAN, TOTAL) if worth else ()


def class_money(labels: Sequence[str], worth: Worth | None) -> Floats | None:
    """What a row of each (predicted, true) pair of labels is worth, shape (c, c); None without a matrix of values."""
    return np.array([[worth.get((p, t), 0.0) for t in labels] for p in labels]) if worth else None


def binary_money(worth: Worth | None, known: PerformanceSummary | None, positive: str | None) -> Floats | None:
    """The same of [[TN, FN], [FP, TP]]. A cell whose label has several names is worth what the reference's rows of it were."""
    if not worth:
        return None
    confusion = {} if known is None else known.confusion
    money = np.zeros((2, 2))
    for cell in np.ndindex(2, 2):
        seen = {pair: n for pair, n in confusion.items() if n > 0 and _cell(pair, positive) == cell}
        named = {pair: 1 for pair in worth if _cell(pair, positive) == cell}
        rows = seen or named
        if rows:
            money[cell] = sum(n * worth.get(pair, 0.0) for pair, n in rows.items()) / sum(rows.values())
    return money


def expected_value(expected: Floats, money: Floats | None, worth: Worth | None, known: PerformanceSummary | None) -> Valued | None:
    """Of a confusion matrix in rows, and what each cell of it is worth; None without values, or without rows."""
    if money is None or not worth or expected.sum() <= 0:
        return None
    return float((expected * money).sum() / expected.sum()), _spread(known, worth)


def binary_usual(money: Floats | None, reference: Ints, window: Ints, probability: Floats) -> Usual:
    """Of counts by predicted class and cell, shapes (2, k), whose rows are positive with a probability, shape (k,)."""
    if money is None:
        return {}
    return _usual(money[:, :1] * (1.0 - probability) + money[:, 1:] * probability, reference, window)


def class_usual(
    money: Floats | None, reference: Ints, window: Ints, probability: Sequence[Floats], at: Ints, shares: Floats
) -> Usual:
    """Of counts by label and cell, shapes (labels, k); the rest as usual_multiclass takes it."""
    if money is None:
        return {}
    sides = zip(at.tolist(), shares, probability, strict=True)
    return _usual(np.stack([money[i, i] * p + float(money[i] @ share) * (1.0 - p) for i, share, p in sides]), reference, window)


def _usual(of_cells: Floats, reference: Ints, window: Ints) -> Usual:
    """Of a mean over rows, from what a row of each cell gives."""
    n = int(reference.sum())
    if n <= 0:
        return {}
    return Influences.of({MEAN: float((of_cells * reference).sum()) / n}, {MEAN: of_cells}, reference).compared(window)


def _cell(pair: tuple[str, str], positive: str | None) -> tuple[int, int]:
    return int(pair[0] == positive), int(pair[1] == positive)


def _spread(known: PerformanceSummary | None, worth: Worth) -> float:
    n = 0 if known is None else sum(known.confusion.values())
    if known is None or n <= 0:
        return math.nan
    mean = sum(rows * worth.get(pair, 0.0) for pair, rows in known.confusion.items()) / n
    return math.sqrt(sum(rows * (worth.get(pair, 0.0) - mean) ** 2 for pair, rows in known.confusion.items()) / n)


def value_scores(valued: Valued | None, rows: int, reference: str, realised: Mapping[str, float], usual: Usual) -> list[Score]:
    """Both values with their bands, and the gap of the mean where it is known; [] where nothing is."""
    if valued is None:
        return []
    mean, spread = valued
    band = BAND * spread / math.sqrt(rows)
    out = []
    for name, scale in ((MEAN, 1.0), (TOTAL, float(rows))):
        known: Usual = {}
        if usual:
            known[name] = (usual[MEAN][0] * scale, usual[MEAN][1] * scale)
        out.append(Score(SUBJECT, name, mean * scale, rows, reference, evidence_of(known, name)))
        out.append(Score(SUBJECT, f"{name}_low", (mean - band) * scale, rows, reference))
        out.append(Score(SUBJECT, f"{name}_high", (mean + band) * scale, rows, reference))
    if math.isfinite(realised.get("value_per_event", math.nan)):
        out.append(Score(SUBJECT, "value_per_event_gap", mean - realised["value_per_event"], rows, reference))
    return out
