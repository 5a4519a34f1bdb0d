"""A confidence interval for any function of a summary of outcomes, from the summary alone: a parametric bootstrap, source by source.

The sources of a summary are its confusion counts, each array of counts and each sum. Each is drawn anew with the rows fixed:
counts from the multinomial of their cells, a sum that has a sum of squares from the normal of a mean of so many rows, another count
from its binomial. What a summary does not hold is how the sources hang together, so a source is drawn while the others stand still,
and the standard errors that come of it are added: by Minkowski's inequality the sum is at least the true standard error, to first
order, and it is that error where the function reads one source. A source that moves nothing in PROBES draws is left there.

An array that counts a row more than once (one slice for each class) is a source for each slice of its first axis. What the summary
holds no scatter of (exact sums, products, the optional parts) cannot be drawn: a function that reads it gets its interval of a sample of
the outcomes (resampled.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from detectors.columns import Ints
from detectors.labelled.intervals import NONE, Interval, around
from detectors.performance import PerformanceSummary

REPLICATES = 40  # of a source that matters: the error is then known to a ninth
PROBES = 3
SOURCES = 200  # more are too dear to be drawn
NUDGE = 1.001  # by which a sum is moved to see whether the function reads it
# arrays that count a row once, in one of all their cells
WHOLE = frozenset({"score", "confidence", "errors", "truth", "pit"})
UNKNOWN = "no interval: it reads sums or parts whose scatter the summary does not hold; write interval: rows"
Function = Callable[[PerformanceSummary], object]
Redraw = Callable[[PerformanceSummary, np.random.Generator], None]  # changes one source of a copy


def interval(function: Function, summary: PerformanceSummary, value: float) -> tuple[Interval, str]:
    """At 95 %, around the function's value of the summary; NaN where there is none, and why.

    At most SOURCES x PROBES + REPLICATES calls a source that matters, of copies: the function may change them. The draws depend on the
    summary's rows alone, so that the same counts always give the same interval.
    """
    rng = np.random.default_rng([summary.rows])
    sources = list(_sources(summary))
    if not math.isfinite(value) or summary.rows < 2:
        return NONE, ""
    if len(sources) > SOURCES:
        return NONE, f"no interval: {len(sources)} counts and sums could move it, more than {SOURCES}"
    if needs_rows(function, summary, value):
        return NONE, UNKNOWN
    error = 0.0
    for redraw in sources:
        found = [number_of(function, _redrawn(summary, redraw, rng)) for _ in range(PROBES)]
        if all(number == value for number in found):
            continue
        found += [number_of(function, _redrawn(summary, redraw, rng)) for _ in range(REPLICATES - PROBES)]
        known = np.array([number for number in found if math.isfinite(number)])
        if len(known) < REPLICATES // 2:
            return NONE, "no interval: it has no value for half of the draws of its counts"
        error += float(known.std(ddof=1))
    return (around(value, error) if error > 0.0 else NONE), ""


def needs_rows(function: Function, summary: PerformanceSummary, value: float) -> bool:
    """Whether a function with this value of a summary reads what cannot be drawn anew from its counts."""
    return any(number_of(function, nudged) != value for nudged in _nudged(summary))


def number_of(function: Function, summary: PerformanceSummary) -> float:
    """The function's value, NaN where it has none. The summary may be changed."""
    try:
        return float(function(summary))  # type: ignore[arg-type]
    except (Exception, SystemExit):  # noqa: BLE001  the user's code: it was asked for a value of counts that never were
        return math.nan


def _redrawn(summary: PerformanceSummary, redraw: Redraw, rng: np.random.Generator) -> PerformanceSummary:
    """A copy with one source drawn anew."""
    out = _copy(summary)
    redraw(out, rng)
    return out


def _copy(summary: PerformanceSummary) -> PerformanceSummary:
    """Without the optional parts, which no source is in."""
    arrays = {name: counts.copy() for name, counts in summary.arrays.items()}
    return replace(
        summary, confusion=dict(summary.confusion), sums=dict(summary.sums), arrays=arrays, exact=dict(summary.exact), parts={}
    )


def _nudged(summary: PerformanceSummary) -> Iterator[PerformanceSummary]:
    """Copies in which what cannot be drawn anew is a little greater; and one without parts, else as it is."""
    yield _copy(summary)
    for name in summary.exact:
        out = _copy(summary)
        out.exact[name] = out.exact[name] * Fraction(1001, 1000) + Fraction(1, 1000)
        yield out
    for name in summary.sums:
        if _kind(summary, name) == "other":
            out = _copy(summary)
            out.sums[name] *= NUDGE
            yield out


def _kind(summary: PerformanceSummary, name: str) -> str:
    """What a sum is: the rows and sums of squares stand still, a mean and a count are drawn, of others nothing is known."""
    total = summary.sums[name]
    if name == "rows" or not total or (name.endswith("_sq") and name.removesuffix("_sq") in summary.sums):
        return "still"
    if f"{name}_sq" in summary.sums:
        return "mean"
    return "count" if 0 <= total <= summary.rows and total == int(total) else "other"


def _sources(summary: PerformanceSummary) -> Iterator[Redraw]:
    """What can be drawn anew; counts that are nought or certain stand still."""
    if len(summary.confusion) > 1:
        yield _confusion
    for name, counts in summary.arrays.items():
        for at in [()] if name in WHOLE else [(i,) for i in range(len(counts))]:
            if counts[at].any():
                yield _cells(name, at)
    for name in summary.sums:
        if _kind(summary, name) in ("mean", "count"):
            yield _sum(name)


def _confusion(summary: PerformanceSummary, rng: np.random.Generator) -> None:
    drawn = _multinomial(np.array(list(summary.confusion.values()), dtype=np.int64), summary.rows, rng)
    summary.confusion = {pair: rows for pair, rows in zip(summary.confusion, drawn.tolist(), strict=True) if rows}


def _cells(name: str, at: tuple[int, ...]) -> Redraw:
    def redraw(summary: PerformanceSummary, rng: np.random.Generator) -> None:
        cells = summary.arrays[name][at].reshape(-1)
        filled = np.flatnonzero(cells > 0)
        cells[filled] = _multinomial(cells[filled], summary.rows, rng)
        summary.arrays[name][at] = cells.reshape(summary.arrays[name][at].shape)

    return redraw


def _sum(name: str) -> Redraw:
    def redraw(summary: PerformanceSummary, rng: np.random.Generator) -> None:
        rows, total, squares = summary.rows, summary.sums[name], summary.sums.get(f"{name}_sq")
        if squares is None:
            summary.sums[name] = float(rng.binomial(rows, total / rows))
        else:
            spread = math.sqrt(max(0.0, squares - total * total / rows))
            summary.sums[name] = total + spread * float(rng.standard_normal())

    return redraw


def _multinomial(counts: Ints, rows: int, rng: np.random.Generator) -> Ints:
    """Counts of disjoint cells drawn anew; rows in none of them take part."""
    held = np.maximum(counts, 0)
    total = max(rows, int(held.sum()))
    drawn: Ints = rng.multinomial(total, np.append(held, total - held.sum()) / total)[:-1].astype(np.int64)
    return drawn
