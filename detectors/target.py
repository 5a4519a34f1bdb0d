"""Target drift: the labels that came, against those of the reference; what models are trained on has changed.

Classes are compared as categories, numbers in the cells of detectors/float_cells.py (1.6 % wide), which are the cells
of an AdaptiveSummary. Labels that were corrected are taken back, so these are the labels as they stand.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from detectors.adaptive import AdaptiveSummary
from detectors.buckets import to_keys
from detectors.category import CategorySummary
from detectors.choice import Choice
from detectors.float_cells import BITS, HIGH, LOW
from detectors.labelled.folding import by_label, folded
from detectors.labelled.regression import TRUTH
from detectors.moments import Moments
from detectors.pairs import CategoryPair, NumericPair, Pair
from detectors.performance import PerformanceSummary
from detectors.score import Score
from detectors.univariate import category_drift, nothing_to_say, numeric_drift

SUBJECT = "target"
SHIFT = 52 - BITS


def target_drift(current: PerformanceSummary, reference: PerformanceSummary, name: str, choice: Choice) -> Iterator[Score]:
    """Scores of the labels of a window; name is the reference's. Nothing for a task whose labels are no classes or numbers."""
    if current.confusion or reference.confusion:
        yield from category_drift(SUBJECT, *_classes(current, reference), name, choice)
    elif TRUTH in current.arrays and current.rows > 0:
        numbers = _numbers(current), _numbers(reference)
        if any(side.arrays[TRUTH][[0, -1]].any() for side in (current, reference)):
            why = f"labels lie beyond {HIGH[-2]:.2g}, where they are not told apart"
            yield nothing_to_say(SUBJECT, current.rows, name, why)
        elif all(summary.rows for summary in numbers):
            yield from numeric_drift(SUBJECT, *numbers, name, choice)
        else:
            why = "the reference's labels were not counted by value; run `driftd reference build` again"
            yield nothing_to_say(SUBJECT, current.rows, name, why)


def target_pair(current: PerformanceSummary, reference: PerformanceSummary) -> Pair | None:
    """Both sides' labels side by side, None where they are neither classes nor numbers."""
    if current.confusion or reference.confusion:
        of_window, of_reference = _classes(current, reference)
        return CategoryPair(of_reference, of_window)
    if TRUTH in current.arrays:
        return NumericPair(_numbers(reference), _numbers(current))
    return None


def _classes(current: PerformanceSummary, reference: PerformanceSummary) -> tuple[CategorySummary, CategorySummary]:
    """Both sides' classes by the same names."""
    level = max(current.fold, reference.fold)
    counts = (by_label(folded(side.confusion, level), 1) for side in (current, reference))
    of_window, of_reference = (CategorySummary(counts=dict(sorted(side.items()))) for side in counts)
    return of_window, of_reference


def _numbers(summary: PerformanceSummary) -> AdaptiveSummary:
    counts = summary.arrays[TRUTH]
    filled = np.flatnonzero(counts > 0)
    n = int(counts[filled].sum())
    if n == 0:
        return AdaptiveSummary(SHIFT)
    total, squares = summary.exact["y1"], summary.exact["y2"]
    mean, spread = float(total / n), max(0.0, float(squares - total**2 / n))
    moments = Moments(n, mean, spread, float(LOW[filled[0]]), float(HIGH[filled[-1]]))
    middle = (LOW[filled] + HIGH[filled]) / 2.0
    return AdaptiveSummary(SHIFT, to_keys(middle) >> SHIFT, counts[filled].astype(np.int64), moments)
