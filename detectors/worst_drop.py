"""The segments of a window's labelled rows, those of the rows that it is compared with beside them, and what is found in them.

    segment_accuracy_gap    classification: accuracy of all other rows less that inside the segment
    segment_mae_gap         regression: mean absolute error inside the segment less that of all other rows
    segment_accuracy_drop   accuracy inside the segment less what it would be had it changed since as it did outside
    segment_mae_rise        mean absolute error inside less what it would be

A model is always worst somewhere: the gap says where. The drop and the rise say which segment fell behind the others since the
reference, built of labelled rows or learned; theirs are the p-values that are judged (detectors/odds.py, times the segments that were
looked at).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from detectors.coarse_cells import CELLS, LEAST_EXPECTED, Cutting, best, cuttings_of, mark_of, means, proportions, segments_of
from detectors.columns import Floats
from detectors.free_cells import CodeSums, cut_names, cut_numbers, in_cells
from detectors.odds import HALF, Sides, odds_p, odds_z, ratio_p
from detectors.score import Score
from detectors.worst_errors import SUMS, WorstErrors

Sums = tuple[Floats, Floats | None]  # of single features and of pairs, see detectors/coarse_cells.py
P_VALUES = {"segment_accuracy_drop_p": 0.01, "segment_mae_rise_p": 0.01}  # and the least effect that anybody would act on
NO_CATEGORIES: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Counted:
    """Cells of features and the errors in them, of a window and of what it is compared with (None where there is nothing)."""

    cuttings: dict[str, Cutting]
    now: Sums
    before: Sums | None


def counted(
    part: WorstErrors, profile: Any, reference: WorstErrors | None, names: Mapping[str, Mapping[str, int]]
) -> Counted | None:
    """The cells of a window's part: the built reference's, or, where there is none, cut as its rows lie.

    reference: the same part of the rows that the window is compared with. names: the values of categories that the window's events had,
    with their rows: codes without a reference do not know them. None where the part holds nothing that counts in these cells.
    """
    if profile is not None:
        cuttings = cuttings_of(part.features, profile)
        mark = mark_of(part.features, cuttings)
        known = None if reference is None else reference.counts.get(mark)
        return Counted(cuttings, part.counts[mark], known) if mark in part.counts else None
    if not part.free:
        return None
    cuttings, earlier = {}, reference.free if reference is not None and reference.features == part.features else ()
    now, before = (np.zeros((len(part.features), CELLS, SUMS)) for _ in range(2))
    for i, feature in enumerate(part.features):
        total = CodeSums()
        for sums in (part.free[i], *earlier[i : i + 1]):
            total.merge(sums)
        cuttings[feature], keys = cut_names(total, dict(names[feature])) if feature in names else cut_numbers(total)
        now[i] = in_cells(part.free[i].coarser(total.shift), cuttings[feature], keys)
        if earlier:
            before[i] = in_cells(earlier[i].coarser(total.shift), cuttings[feature], keys)
    return Counted(cuttings, (now, None), (before, None) if earlier else None)


def score_segments(part: WorstErrors, found: Counted, least_rows: int, reference: str) -> Iterator[Score]:
    """The segment that is worst, and the one that fell behind most since the reference, whose name is given.

    All sides of a comparison have at least `least_rows` labelled rows; rows is the segment's.
    """
    names, sums, total = segments_of(part.features, found.cuttings, *found.now)
    regression = part.task == "regression"
    with np.errstate(divide="ignore", invalid="ignore"):
        if regression:
            yield from best("segment_mae_gap", names, *means(sums, total, least_rows), "mean absolute error")
        else:
            for score in best("segment_accuracy_gap", names, *proportions(sums, total, least_rows), "accuracy"):
                right = {side: round(1.0 - float(str(score.evidence[side])), 6) for side in ("inside", "outside")}
                yield replace(score, evidence={**score.evidence, **right})
        if found.before is not None:
            _, earlier, all_earlier = segments_of(part.features, found.cuttings, *found.before)
            now, before = Sides.of(sums, total), Sides.of(earlier, all_earlier)
            few = np.min([s.inside[:, 0] for s in (now, before)] + [s.outside[:, 0] for s in (now, before)], axis=0) < least_rows
            find = _rise if regression else _drop
            yield from find(names, now, before, few, reference)


def _drop(names: list[tuple[str, ...]], now: Sides, before: Sides, few: Any, reference: str) -> Iterator[Score]:
    """Of errors as hits."""
    usual = (now.inside[:, 1] + before.inside[:, 1]) / (now.inside[:, 0] + before.inside[:, 0])
    z = np.where(few | (now.inside[:, 0] * usual < LEAST_EXPECTED), np.nan, odds_z(now, before))
    if np.isnan(z).all():
        return
    at, tried = int(np.nanargmax(z)), int((~np.isnan(z)).sum())
    tables = [tuple(int(round(v)) for v in (*s.inside[at, :2], *s.outside[at, :2])) for s in (now, before)]
    p = odds_p(tables[0], tables[1])  # type: ignore[arg-type]
    logit = [math.log((k + HALF) / (n - k + HALF)) for n, k in (before.inside[at, :2], now.outside[at, :2], before.outside[at, :2])]
    expected = 1.0 / (1.0 + math.exp(-(logit[0] + logit[1] - logit[2])))
    errors = [float(side[at, 1] / side[at, 0]) for side in (now.inside, now.outside, before.inside, before.outside)]
    shown = [1.0 - error for error in errors]
    value = errors[0] - expected
    yield from _told("segment_accuracy_drop", names[at], now, at, value, value, p, tried, "accuracy", shown, reference)


def _rise(names: list[tuple[str, ...]], now: Sides, before: Sides, few: Any, reference: str) -> Iterator[Score]:
    p = np.where(few, np.nan, ratio_p(now, before))
    if np.isnan(p).all():
        return
    ranked = np.round(np.log(np.maximum(p, 1e-300)), 9)  # the same one whatever the order of the rows
    at, tried = int(np.nanargmin(ranked)), int((~np.isnan(p)).sum())
    shown = [float(side[at, 1] / side[at, 0]) for side in (now.inside, now.outside, before.inside, before.outside)]
    expected = shown[2] * shown[1] / shown[3]
    value = shown[0] - expected
    what = "mean absolute error"
    yield from _told("segment_mae_rise", names[at], now, at, value, value / expected, float(p[at]), tried, what, shown, reference)


def _told(
    name: str, where: tuple[str, ...], now: Sides, at: int, value: float, effect: float, p: float, tried: int, what: str,
    shown: list[float], reference: str,
) -> Iterator[Score]:  # fmt: skip
    p, rows = min(1.0, p * tried), int(now.inside[at, 0])
    places = ("inside", "outside", "inside_before", "outside_before")
    evidence: dict[str, object] = {
        "where": " and ".join(where), "rows": rows, "of": what,
        **{place: round(v, 6) for place, v in zip(places, shown, strict=True)}, "p_value": p, "segments tried": tried,
        "effect": round(effect, 6),
    }  # fmt: skip
    yield Score("worst_segment", name, value, rows, reference, evidence)
    yield Score("worst_segment", f"{name}_p", p, rows, reference, evidence)
