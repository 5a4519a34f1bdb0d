"""The quality of a window's columns, from what is counted anyway: absent, constant, out of range, beyond the fences.

Outliers are values beyond the reference's fences (Tukey 1977): outlier_share outside [Q1 - 1.5 IQR, Q3 + 1.5 IQR],
extreme_share outside 3 IQR. Quartiles and counts come from cells, each taken at the mean of what lies in it: exact for
columns of few values, else off by at most the share of the cell that a limit cuts. At the reference's own minimum
and maximum there is an edge, so that out_of_range_share is exact where the window counts in the reference's grid.

What cannot be said is undefined, and so `unsure`, never ok: fences of a reference whose middle half is one value,
a column that is absent in the reference too, one row.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from detectors.adaptive import AdaptiveSummary
from detectors.category import OTHER, CategorySummary
from detectors.columns import Floats, Ints
from detectors.numeric import GridSummary
from detectors.profile import PREDICTION, Profile
from detectors.score import Score
from detectors.window import WindowSummary, lacks_predictions, predictions_of

Numeric = GridSummary | AdaptiveSummary
FENCED = "fences"  # of what is known of a column
FENCES = {"outlier_share": 1.5, "extreme_share": 3.0}  # in interquartile ranges


def score_quality(summary: WindowSummary, profile: Profile | None, learned: WindowSummary | None, name: str) -> Iterator[Score]:
    """Scores of every feature, and of the predicted scores; name is the reference's."""
    base = profile if profile is not None else learned
    for feature, column in summary.numeric.items():
        reference = None if base is None else base.numeric.get(feature)
        yield from _presence(feature, column.rows, column.missing, _distinct(column), reference, name)
        yield from _numeric(feature, column, reference, name)
    scores, labels = predictions_of(base)
    if (scores is not None and scores.rows) or (labels is not None and labels.rows):
        yield Score(PREDICTION, "absent", float(lacks_predictions(summary, base)), summary.rows, name)
    if summary.score.rows:
        yield from _numeric(PREDICTION, summary.score, scores, name)
    for feature, counts in summary.categorical.items():
        values = None if base is None else base.categorical.get(feature)
        yield from _presence(feature, counts.rows, counts.missing, len(counts.counts), values, name)
        if values is not None:
            yield from _lengths(feature, counts, values, name)


def _distinct(column: Numeric) -> int:
    """2 stands for two or more."""
    if column.rows == 0:
        return 0
    return 1 if column.infinite == 0 and column.moments.low == column.moments.high else 2


def _presence(
    feature: str, rows: int, missing: int, distinct: int, reference: Numeric | CategorySummary | None, name: str
) -> Iterator[Score]:
    """Whether no row has the feature, and whether all that have it have the same value."""
    seen = rows + missing
    if seen == 0:
        return
    absent, constant = float(rows == 0), math.nan if rows < 2 else float(distinct == 1)
    if reference is not None and reference.rows == 0 and absent:
        absent = math.nan  # the reference never had it either
    if reference is not None and constant == 1.0 and _kinds(reference) == 1:
        constant = 0.0  # as it was
    yield Score(feature, "absent", absent, seen, name if reference is not None else "")
    yield Score(feature, "constant", constant, rows, name if reference is not None else "")


def _kinds(reference: Numeric | CategorySummary) -> int:
    return len(reference.counts) if isinstance(reference, CategorySummary) else _distinct(reference)


def _numeric(feature: str, column: Numeric, reference: Numeric | None, name: str) -> Iterator[Score]:
    if reference is None or reference.moments.n == 0 or column.rows == 0:
        return
    low, high = reference.moments.low, reference.moments.high
    ends = [column.moments.low, column.moments.high] if column.moments.n else []
    current = _spread(column)
    below, above = current.outside(low, high)
    evidence: dict[str, object] = {"range": [low, high], "below": round(below, 6), "above": round(above, 6), "seen": ends}
    yield Score(feature, "out_of_range_share", below + above, column.rows, name, evidence)
    fences = _fences(reference)
    for score in FENCES:
        if score not in fences:
            why: dict[str, object] = {"reason": "the middle half of the reference is one value: it has no fences"}
            yield Score(feature, score, math.nan, column.rows, name, why)
            continue
        left, right, usual = fences[score]
        below, above = current.outside(left, right)
        evidence = {"fences": [left, right], "below": round(below, 6), "above": round(above, 6), "reference_share": round(usual, 6)}
        yield Score(feature, score, below + above, column.rows, name, evidence)


def _fences(reference: Numeric) -> dict[str, tuple[float, float, float]]:
    """(lower, upper, share of the reference beyond them) of each score; nothing where its middle half is one value. On a grid
    they are made once for all windows."""
    known = reference.known if isinstance(reference, GridSummary) else {}
    if FENCED not in known:
        base = _spread(reference)
        q1, q3 = base.quantile(0.25), base.quantile(0.75)
        ends = {score: (q1 - factor * (q3 - q1), q3 + factor * (q3 - q1)) for score, factor in FENCES.items()} if q3 > q1 else {}
        known[FENCED] = {score: (*both, sum(base.outside(*both))) for score, both in ends.items()}
    found: dict[str, tuple[float, float, float]] = known[FENCED]
    return found


@dataclass(frozen=True, slots=True)
class _Spread:
    """A column as values (the mean of what lies in a cell, so that a cell of one value is that value) and how many rows
    have at most each of them. unplaced: infinities in adaptive cells, whose sign is not known: they count as over."""

    points: Floats  # ascending
    upto: Ints
    unplaced: int
    rows: int

    def quantile(self, q: float) -> float:
        at = int(np.searchsorted(self.upto, q * (int(self.upto[-1]) - 1), side="right"))
        return float(self.points[min(at, len(self.points) - 1)])

    def outside(self, left: float, right: float) -> tuple[float, float]:
        """The shares of values under `left` and over `right`."""
        slack = 1e-12 * max(abs(left), abs(right))  # of a mean of equal values
        under = int(np.searchsorted(self.points, left - slack, side="left"))
        upto = int(np.searchsorted(self.points, right + slack, side="right"))
        below = int(self.upto[under - 1]) if under else 0
        above = int(self.upto[-1]) - (int(self.upto[upto - 1]) if upto else 0) + self.unplaced
        return below / self.rows, above / self.rows


@np.errstate(over="ignore")
def _spread(column: Numeric) -> _Spread:
    cells = column.cells()
    points = np.clip(cells.sums / np.maximum(cells.counts, 1), cells.edges[:-1], np.nextafter(cells.edges[1:], -np.inf))
    unplaced = column.infinite
    if column.infinite and isinstance(column, GridSummary):  # they lie in the outer cells, beyond whose inner edges all is
        points[0], points[-1] = cells.edges[1], cells.edges[-2]
    if isinstance(column, GridSummary):
        unplaced = 0
    return _Spread(np.maximum.accumulate(points), np.cumsum(cells.counts), unplaced, column.rows)


def _lengths(feature: str, counts: CategorySummary, reference: CategorySummary, name: str) -> Iterator[Score]:
    """Strings longer or shorter than any of the reference's; values over the category limit have no name to measure."""
    known = [len(value) for value in reference.counts if value != OTHER]
    named = [(len(value), rows) for value, rows in counts.counts.items() if value != OTHER]
    total = sum(rows for _, rows in named)
    if not known or not total:
        return
    low, high = min(known), max(known)
    beyond = sum(rows for length, rows in named if not low <= length <= high)
    seen = [length for length, _ in named]
    evidence: dict[str, object] = {"lengths": [low, high], "seen": [min(seen), max(seen)]}
    yield Score(feature, "length_out_of_range_share", beyond / total, total, name, evidence)
