"""The nulls of scores that are no comparison of a pair: shares of rows, metrics against the reference's, p-values and estimates."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import ndtr, ndtri

from detectors.calibrate.closed import share_root
from detectors.calibrate.first_days import beyond_hours
from detectors.calibrate.nulls import NORMAL, NORMAL_EITHER, STUDENT
from detectors.category import CategorySummary
from detectors.labelled.norms import BY_CHANCE
from detectors.labelled.tally import Metric
from detectors.pairs import Numeric
from detectors.performance import PerformanceSummary
from detectors.profile import PREDICTION, Profile
from detectors.score import Score
from detectors.window import WindowSummary, predictions_of
from monitor.budget import Calibration
from monitor.held_estimates import held_estimate
from monitor.judged_score import Judged, few, foreign
from monitor.judging import BY_P, MISSING, SCORES
from monitor.learned_outcomes import Reference
from monitor.panes import Group
from monitor.view import GroupView

LEAST_P = 1e-300  # smaller ones have no deviate
EXACT = (
    "segment_accuracy_drop_p",
    "domain_auc_p",
    "disparate_impact",
    "disparate_impact_p",
)  # p-values that are true far into the tail
INTERVAL = 1.959964  # standard errors on either side of a metric's interval


def of_p_value(group: Group, at: int, score: Score, p: float, part: GroupView, calibration: Calibration) -> Judged:
    """A score that is a probability already, p. Its effect stands in its evidence."""
    known = 0 if part.profile is None else part.profile.rows
    effect = score.evidence.get("effect", math.inf)
    return Judged(
        group, at, score, -float(ndtri(min(max(p, LEAST_P), 0.5))) if math.isfinite(p) else math.nan,
        NORMAL if score.name in EXACT else STUDENT, lambda place: float(ndtr(-place)), effect=float(effect) if isinstance(effect, int | float) else math.inf,
        floor=calibration.least_effect(score.name), reference_rows=known,
        settled=few(score.rows, calibration.min_rows) if math.isfinite(p) and "reason" not in score.evidence
        else str(score.evidence.get("reason", "it is not defined for these rows")),
    )  # fmt: skip


def of_effect(
    group: Group, at: int, score: Score, names: dict[tuple[str, str], float], part: GroupView, calibration: Calibration
) -> Judged:
    """A score that has a p-value beside it: as likely as that says. Where it would have alarmed is not known."""
    test = BY_P[score.name]
    found = of_p_value(group, at, score, names.get((score.subject, test), math.nan), part, calibration)
    found.back, found.effect = lambda place: math.nan, abs(score.value)
    found.alias = test if calibration.judges(test) else ""
    return found


def of_impact(
    group: Group, at: int, score: Score, names: dict[tuple[str, str], float], part: GroupView, calibration: Calibration
) -> Judged:
    """Least over greatest rate of the groups: as likely as its test says, and no alarm over four fifths unless the config says so."""
    found = of_effect(group, at, score, names, part, calibration)
    found.effect = 1.0 - score.value
    rates, rows = (score.evidence.get(key) for key in ("rates", "rows"))
    if not isinstance(rates, dict) or not isinstance(rows, dict) or len(rates) < 2:
        return found
    low, high = min(rates, key=lambda name: rates[name]), max(rates, key=lambda name: rates[name])
    pairs, usual = len(rates) * (len(rates) - 1), rates[high]

    def root(share: float) -> float:
        hits = (np.array([float(v)]) for v in (share * rows[low], rows[low], usual * rows[high], rows[high]))
        return float(share_root(*hits)[0])

    def ratio(place: float) -> float:
        """The greatest ratio that alarms: as improbable among all pairs, and below four fifths."""
        least = _share_at(root, usual, -float(ndtri(float(ndtr(-place)) / pairs)), rising=False)
        return min(least / usual, 1.0 - calibration.least_effect(score.name)) if usual > 0 else math.nan

    found.back = ratio
    return found


def of_label_shift(group: Group, at: int, score: Score, part: GroupView, calibration: Calibration) -> Judged:
    """The estimated shares of the classes, as likely as its evidence says. Where it would have alarmed is not known."""
    found = of_p_value(group, at, score, float(str(score.evidence.get("p_value", "nan"))), part, calibration)
    found.back, found.effect, found.needs_past = lambda place: math.nan, score.value, group[1] != ""
    found.settled = str(score.evidence.get("reason", found.settled))
    return found


def of_missing(group: Group, at: int, score: Score, part: GroupView, calibration: Calibration) -> Iterator[Judged]:
    known = part.profile or part.learned
    column, reference = _column(part.inputs, score.subject, known), _column(known, score.subject, known)
    if column is None or reference is None:
        return
    missing, rows = column.missing, column.rows + column.missing
    before, all_before = reference.missing, reference.rows + reference.missing
    if missing + before == 0 or missing + before == rows + all_before or all_before == 0 or rows == 0:
        return  # nothing is missing, nor ever was: no score that could alarm
    item = _share(group, at, score, missing, rows, before, all_before, "either", part, calibration)
    share = item.back
    if score.name == MISSING[1]:
        item.back = lambda place: share(place) - before / all_before
    elif score.name == MISSING[2]:  # this p-value, by as much more or less likely
        item.back = lambda place: min(1.0, score.value * float(ndtr(-place) / max(ndtr(-item.out), LEAST_P)))
    yield item


def of_performance(
    group: Group, at: int, score: Score, ends: tuple[float, float], part: GroupView, reference: Reference,
    calibration: Calibration,
) -> Iterator[Judged]:  # fmt: skip
    """Accuracy as a share, other metrics by their intervals: the difference over its standard error."""
    before, now = reference.summary(part), part.performance
    if before is None or now is None or now.rows <= 0:
        return
    if score.name == "accuracy":
        rows, all_before = (sum(side.confusion.values()) for side in (now, before))  # of a score alone nothing is right or wrong
        if rows <= 0 or all_before <= 0:
            return
        item = _share(group, at, score, _right(now), rows, _right(before), all_before, "below", part, calibration)
        item.needs_past = False  # labels are not remembered
        if foreign(part) and not reference.has_segment(part):
            item.settled = item.settled or "the reference has no labels of this segment"
        yield item
        return
    usual = reference.metric(part, score.name)
    if usual is None or SCORES[score.name].worse not in ("above", "below"):
        return
    usually, error = _usually(score, ends, usual)
    if why := score.evidence.get("interval", usual.evidence.get("interval")):
        yield Judged(group, at, score, 0.0, STUDENT, lambda place: usual.value, reference_rows=before.rows, settled=str(why))
        return
    if not (math.isfinite(error) and error > 0 and math.isfinite(usual.value)):
        return
    sign = 1.0 if SCORES[score.name].worse == "above" else -1.0
    yield Judged(
        group, at, score, sign * (score.value - usually) / error, STUDENT, lambda place: usually + sign * place * error,
        effect=abs(score.value - usually), floor=calibration.least_effect(score.name), reference_rows=before.rows,
        settled=few(min(now.rows, before.rows), calibration.min_rows),
    )  # fmt: skip


def _usually(score: Score, ends: tuple[float, float], usual: Metric) -> tuple[float, float]:
    """What a metric would be in this window if it were the reference's, and the standard error of the difference.

    To a norm of gaps chance adds more in a window than in the reference, which has more rows; and it says less of it upwards than
    downwards, or the other way: the ends count that lie between both (Zou and Donner 2008).
    """
    if BY_CHANCE not in score.evidence or BY_CHANCE not in usual.evidence:
        return usual.value, math.hypot(usual.high - usual.low, ends[1] - ends[0]) / (2.0 * INTERVAL)
    added, added_before = (float(side[BY_CHANCE]) for side in (score.evidence, usual.evidence))  # type: ignore[arg-type]
    now, before = score.value - added, usual.value - added_before
    nearer = (now - ends[0], usual.high - before) if now >= before else (ends[1] - now, before - usual.low)
    return before + added, math.hypot(*nearer) / INTERVAL


def of_estimate(group: Group, at: int, score: Score, part: GroupView, calibration: Calibration) -> Judged:
    """An estimate of performance; of a segment, whose own rows in the reference are not kept, by its past alone."""
    found = held_estimate(score)
    return Judged(
        group, at, score, found.out, STUDENT, found.back, effect=found.effect, floor=calibration.least_effect(score.name),
        reference_rows=0 if part.profile is None else part.profile.rows,
        settled=found.settled or few(score.rows, calibration.min_rows), needs_past=group[1] != "",
    )  # fmt: skip


def _share(
    group: Group, at: int, score: Score, hits: int, rows: int, before: int, all_before: int, way: str,
    part: GroupView, calibration: Calibration,
) -> Judged:  # fmt: skip
    sign = -1.0 if way == "below" else 1.0

    def root(share: float) -> float:
        found = share_root(*(np.array([float(v)]) for v in (share * rows, rows, before, all_before)))
        return float(found[0])

    usual = before / all_before
    rising = sign > 0 if way != "either" else hits / rows >= usual
    out = root(hits / rows) * sign
    return Judged(
        group, at, score, abs(out) if way == "either" else out, NORMAL_EITHER if way == "either" else NORMAL,
        lambda place: _share_at(root, usual, place, rising), effect=abs(hits / rows - usual),
        floor=calibration.least_effect(score.name), reference_rows=all_before,
        settled=few(min(rows, all_before), calibration.min_rows), needs_past=foreign(part),
        beyond_hours=beyond_hours(np.array([usual]), np.array([hits / rows])) if part.profile is not None else None,
    )  # fmt: skip


def _share_at(root: Callable[[float], float], usual: float, place: float, rising: bool) -> float:
    """The share whose distance from the usual one is `place` standard deviations; 0 or 1 where there is none."""
    low, high = (usual, 1.0) if rising else (0.0, usual)
    for _ in range(30):
        middle = (low + high) / 2.0
        far = abs(root(middle)) >= place
        if far == rising:
            high = middle
        else:
            low = middle
    return high if rising else low


def _right(summary: PerformanceSummary) -> int:
    return sum(rows for (predicted, true), rows in summary.confusion.items() if predicted == true)


def _column(
    summary: Profile | WindowSummary | None, subject: str, known: Profile | WindowSummary | None
) -> Numeric | CategorySummary | None:  # fmt: skip
    """A column of a window or of its reference. Predictions are scores where either has any, as in detectors/scoring.py."""
    if summary is None:
        return None
    if subject == PREDICTION:
        scores, labels = predictions_of(summary)
        of_reference, _ = predictions_of(known)
        return scores if (scores is not None and scores.rows) or (of_reference is not None and of_reference.rows) else labels
    return summary.numeric.get(subject) or summary.categorical.get(subject)
