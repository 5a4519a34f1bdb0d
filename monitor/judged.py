"""Which scores of a window have a calibrated limit, and what each one's null is.

    drift, js, wasserstein, ks_p, ...     detectors/calibrate/held.py, by the reference's counts and both numbers of rows
    missing_share, accuracy               shares of rows against the reference's: exact two-sample tail
    roc_auc, mae, ...                     against the reference's by the intervals of both, and a heavy tail
    the same of estimated_performance     against the estimate on the reference's own rows (detectors/usual.py), and a heavy tail
    label_shift                           by its own test, where the config or a rule names it
    mmd_p, correlation_p, ...             p-values of features together (detectors/joint.py), with a heavy tail
    segment_accuracy_drop_p, ..._rise_p   the segment that fell behind most (detectors/worst_drop.py): exact, and with a heavy tail
    rows, error_share, latency_p95_ms,
    error_gap, latency_gap_ms             the model's own past windows, by hour and weekday;
                                          so too any score that `calibration: {series: [...]}` names

Each becomes a Judged: how far out the score lies (`out`, on the scale of its null table), and how to say a place on
that scale as a value of the score.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from detectors.calibrate.closed import share_root
from detectors.calibrate.first_days import beyond_hours
from detectors.calibrate.held import HELD, held
from detectors.calibrate.history import Past as Expected
from detectors.calibrate.null import NullTable
from detectors.calibrate.nulls import NORMAL, NORMAL_EITHER, STUDENT, prepare
from detectors.calibrate.series import SERIES, Series, deviate_at, deviates, probability, series_of, width
from detectors.category import CategorySummary
from detectors.pairs import CategoryPair, Numeric, NumericPair, Pair, once
from detectors.performance import PerformanceSummary
from detectors.profile import PREDICTION
from detectors.score import NUMERIC_ERRORS, Score
from detectors.target import SUBJECT as TARGET
from detectors.target import target_pair
from monitor.budget import Calibration
from monitor.held_estimates import held_estimate
from monitor.judging import BY_P, MISSING, SCORES, TESTS
from monitor.label_scores import PERFORMANCE, labelled_share
from monitor.learned_outcomes import Reference, reference_of
from monitor.logs import log_event
from monitor.model import Model
from monitor.panes import Group
from monitor.view import GroupView, WindowView

logger = logging.getLogger("driftd.judged")

ESTIMATED = ("estimated_performance", "estimated_performance_weighted")
OWN_PAST = ("traffic", "latency", "worst_segment")  # subjects
LEAST_P = 1e-300  # smaller ones have no deviate
EXACT = ("segment_accuracy_drop_p",)  # p-values that are true far into the tail
HEADLINE = "drift"  # the score that speaks for a feature; its evidence names the statistic
INTERVAL = 1.959964  # standard errors on either side of a metric's interval
SPOKEN_BY = ("js", "rank_shift")  # whose verdict it has where its own statistic has no null


@dataclass(slots=True)
class Judged:
    """One score under judgement."""

    group: Group
    at: int  # place among the group's scores
    score: Score
    out: float  # how far out, on the table's scale; for a series its value, transformed
    table: NullTable | None  # None for a series
    back: Callable[[float], float]  # a place on that scale as a value of the score
    effect: float = math.inf  # what is held against floor
    floor: float = 0.0
    reference_rows: int = 0
    settled: str = ""  # why nothing can be said, "" where something can
    alias: str = ""  # the score that says the same already: this one is not counted again
    needs_past: bool = False  # compared with a reference that is not its own: only its past says what is usual
    past: Expected | None = None  # of this score alone, shapes (1,)
    basis: str = ""  # what `past` rests on, in words
    waits: str = ""  # where a season is not known yet: why being beyond the limit that it would have later is not yet a change
    later: Expected | None = None  # `past` as it would be then
    beyond_hours: Callable[[], float] | None = None  # the share of rows that no hour of the built reference can hold
    series: Series | None = None  # of a score that is held against its own past

    @property
    def key(self) -> str:
        """In the memory of past windows; an alias shares that of the score that it repeats."""
        name = self.alias or self.score.name
        return f"{self.group[0]}|{self.group[1]}|{self.score.subject}|{name}"

    @property
    def held(self) -> bool:
        return bool(self.waits)

    def position(self) -> float:
        """How far out in units of the null: 0 its median, 1 its standard deviation; a series' own value."""
        return self.out if self.table is None else (self.out - self.table.centre) / self.table.spread

    def probability(self) -> float:
        """Of a score as far out where nothing has changed; NaN where nothing can be said."""
        waits = self.held and self.past is None
        return math.nan if waits else self.by(self.past)

    def later_probability(self) -> float:
        """The same by what a score that is not held is judged by."""
        return self.by(self.later)

    def by(self, past: Expected | None) -> float:
        """Its probability by what is said of past windows; NaN where nothing can be said."""
        if self.settled or not math.isfinite(self.out):
            return math.nan
        if self.table is not None:
            position = self.position() if past is None else float(past.position(np.array([self.position()]))[0])
            return self.table.survival(self.table.centre + self.table.spread * position)
        series = self.series
        if series is None or past is None:
            return math.nan
        return probability(float(deviates(np.array([self.out]), self._least(series, past), past)[0]), series)

    def limit(self, chance: float) -> float | None:
        """The value of the score that has this probability: where it would have alarmed. None where nothing can be said."""
        past = self.later if self.past is None and self.series is not None else self.past
        if self.table is not None:
            position = (self.table.value_at(chance) - self.table.centre) / self.table.spread
            if past is not None:
                position = float(past.value(np.array([position]))[0])
            with suppress(*NUMERIC_ERRORS):
                return _there(self.back(self.table.centre + self.table.spread * position))
            return None
        series = self.series
        if series is None or past is None:
            return None
        centre = float(past.centre[0])
        far = deviate_at(chance, series) * float(width(self._least(series, past), past)[0])
        return self.back(centre - far if series.either and self.out < centre else centre + far)

    def _least(self, series: Series, past: Expected) -> np.ndarray:
        rows = self.score.rows
        if self.score.name == "rows":  # how far a number strays depends on how many were to be expected
            rows = max(rows, int(min(series.back(float(past.centre[0]), rows), 1e15)))
        return np.array([series.least(rows)])


def _there(limit: float) -> float | None:
    return limit if math.isfinite(limit) else None


def judged(view: WindowView, calibration: Calibration) -> Iterator[Judged]:
    """Every score of the window that has a calibrated limit, in the order of groups and scores."""
    outcomes = reference_of(view)
    for group, scores in sorted(view.scores.items()):
        part = view.groups.get(group)
        names = {(s.subject, s.name): s.value for s in scores}
        pairs = _pairs(part, scores, view.model, calibration)
        for at, score in enumerate(scores):
            if not calibration.judges(score.name) or score.name in view.model.thresholds:
                continue
            if score.name in calibration.series or (score.name in SERIES and score.subject in OWN_PAST):
                yield _series(group, at, score, part, view.model, calibration)
            elif part is None:
                continue
            elif score.subject == "performance":
                ends = tuple(names.get((score.subject, f"{score.name}_{end}"), math.nan) for end in ("low", "high"))
                yield from _performance(group, at, score, (ends[0], ends[1]), part, outcomes, calibration)
            elif score.subject in ESTIMATED:
                if not score.name.endswith("_gap"):
                    yield _estimated(group, at, score, part, calibration)
            elif score.name == "label_shift":
                yield _label_shift(group, at, score, part, calibration)
            elif score.name in MISSING:
                for item in _missing(group, at, score, part, calibration):
                    if score.name != MISSING[0] and (score.subject, MISSING[0]) in names and calibration.judges(MISSING[0]):
                        item.alias = MISSING[0]
                    yield item
            elif score.name in TESTS:
                yield _p_value(group, at, score, score.value, part, calibration)
            elif score.name in BY_P:
                yield _effect(group, at, score, names, part, calibration)
            elif score.reference:
                found = _drift(group, at, score, pairs[score.subject], part, calibration)
                if found is not None:
                    statistic = str(score.evidence.get("statistic", ""))
                    if score.name == HEADLINE and (score.subject, statistic) in names and calibration.judges(statistic):
                        found.alias = statistic
                    yield found


def _settled(group: Group, at: int, score: Score, error: Exception) -> Judged:
    """A score whose null could not be made of these values."""
    log_event(logger, logging.WARNING, "null_failed", subject=score.subject, score=score.name, error=repr(error)[:200])
    why = f"what chance does to it could not be computed: {type(error).__name__}"
    return Judged(group, at, score, math.nan, None, lambda out: out, settled=why)


def _pairs(part: GroupView | None, scores: list[Score], model: Model, calibration: Calibration) -> dict[str, Pair | None]:
    """The pairs of a group's subjects that are compared with a reference; their null tables are made, those of all together."""
    pairs: dict[str, Pair | None] = {}
    wanted: list[tuple[str, Pair]] = []
    for score in scores:
        if part is None or not score.reference or score.name in model.thresholds or not calibration.judges(score.name):
            continue
        if score.subject == "performance" or score.name in MISSING or score.name in TESTS or score.name in BY_P:
            continue  # not against a pair
        if score.subject not in pairs:
            pairs[score.subject] = pair_of(part, score.subject)
        pair = pairs[score.subject]
        if pair is not None and math.isfinite(score.value):
            wanted.append((_statistic(score).removesuffix("_p"), pair))
    with suppress(*NUMERIC_ERRORS):  # each is made alone then, and the one that cannot be is said
        prepare(wanted)
    return pairs


def _statistic(score: Score) -> str:
    """Its name; that of the statistic that speaks where it is the headline."""
    return str(score.evidence.get("statistic", score.name)) if score.name == HEADLINE else score.name


def pair_of(part: GroupView, subject: str) -> Pair | None:
    """A feature's columns of reference and window, side by side; None where one is not there or both do not fit."""
    if subject in part.pairs:
        return part.pairs[subject]
    if subject == TARGET:
        labels = part.profile.performance.get(part.segment) if part.profile else None
        return target_pair(part.performance, labels) if part.performance is not None and labels is not None else None
    summary, known = part.inputs, part.profile or part.learned
    if summary is None or known is None:
        return None
    try:
        if subject in summary.numeric and subject in known.numeric:
            return NumericPair(known.numeric[subject], summary.numeric[subject])
        if subject in summary.categorical and subject in known.categorical:
            return CategoryPair(known.categorical[subject], summary.categorical[subject])
        if subject == PREDICTION and summary.score.rows:
            return NumericPair(part.profile.numeric[PREDICTION] if part.profile else part.learned.score, summary.score)  # type: ignore[union-attr]
        if subject == PREDICTION and summary.label.rows:
            return CategoryPair(known.label, summary.label)
    except ValueError:
        return None
    return None


def _drift(group: Group, at: int, score: Score, pair: Pair | None, part: GroupView, calibration: Calibration) -> Judged | None:
    name = _statistic(score)
    if name not in HELD and math.isfinite(score.value):
        return None
    if pair is None and math.isfinite(score.value):
        return None
    if pair is None or pair.n == 0 or pair.m == 0 or not math.isfinite(score.value):
        why = str(score.evidence.get("reason", "the statistic is not defined for these values"))
        return Judged(group, at, score, math.nan, None, lambda out: out, settled=why)
    try:
        found = held(name, pair, score.value)
    except NUMERIC_ERRORS as error:
        return _settled(group, at, score, error)
    if found is None:
        return None
    return Judged(
        group, at, score, found.out, found.table, found.back,
        effect=math.inf if name.endswith("_p") else abs(score.value), floor=calibration.least_effect(name), reference_rows=pair.n,
        settled=_few(min(pair.n, pair.m), calibration.min_rows) or found.unsure, needs_past=_foreign(part) and score.subject != TARGET,
        beyond_hours=(lambda: _beyond_hours(pair)) if part.profile is not None else None,
    )  # fmt: skip


@once
def _beyond_hours(pair: Pair) -> float:
    if isinstance(pair, NumericPair):
        return beyond_hours(pair.p, pair.q)
    usual, now = (counts / max(int(counts.sum()), 1) for counts in pair.bins)
    if now.max(initial=0.0) == 1.0 > usual[now.argmax()]:
        return 1.0  # one value in every row, and the reference had others: no hour, a constant
    return beyond_hours(usual, now)


def _effect(
    group: Group, at: int, score: Score, names: dict[tuple[str, str], float], part: GroupView, calibration: Calibration
) -> Judged:
    """A score that has a p-value beside it: as likely as that says. Where it would have alarmed is not known."""
    test = BY_P[score.name]
    found = _p_value(group, at, score, names.get((score.subject, test), math.nan), part, calibration)
    found.back, found.effect = lambda place: math.nan, abs(score.value)
    found.alias = test if calibration.judges(test) else ""
    return found


def _p_value(group: Group, at: int, score: Score, p: float, part: GroupView, calibration: Calibration) -> Judged:
    """A score that is a probability already, p. Its effect stands in its evidence."""
    known = 0 if part.profile is None else part.profile.rows
    effect = score.evidence.get("effect", math.inf)
    return Judged(
        group, at, score, -float(ndtri(min(max(p, LEAST_P), 0.5))) if math.isfinite(p) else math.nan,
        NORMAL if score.name in EXACT else STUDENT, lambda place: float(ndtr(-place)), effect=float(effect) if isinstance(effect, int | float) else math.inf,
        floor=calibration.least_effect(score.name), reference_rows=known,
        settled=_few(score.rows, calibration.min_rows) if math.isfinite(p) else str(score.evidence.get("reason", "it is not defined for these rows")),
    )  # fmt: skip


def _missing(group: Group, at: int, score: Score, part: GroupView, calibration: Calibration) -> Iterator[Judged]:
    known = part.profile or part.learned
    column = _column(part, score.subject)
    reference = None if known is None else known.numeric.get(score.subject) or known.categorical.get(score.subject)
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


def _performance(
    group: Group, at: int, score: Score, ends: tuple[float, float], part: GroupView, reference: Reference,
    calibration: Calibration,
) -> Iterator[Judged]:  # fmt: skip
    """Accuracy as a share, other metrics by their intervals: the difference over its standard error."""
    before, now = reference.summary(part), part.performance
    if before is None or now is None or now.rows <= 0:
        return
    if score.name == "accuracy":
        item = _share(group, at, score, _right(now), now.rows, _right(before), before.rows, "below", part, calibration)
        item.needs_past = False  # labels are not remembered
        if _foreign(part) and not reference.has_segment(part):
            item.settled = item.settled or "the reference has no labels of this segment"
        yield item
        return
    usual = reference.metric(part, score.name)
    if usual is None or SCORES[score.name].worse not in ("above", "below"):
        return
    error = math.hypot(usual.high - usual.low, ends[1] - ends[0]) / (2.0 * INTERVAL)
    if not (math.isfinite(error) and error > 0 and math.isfinite(usual.value)):
        return
    sign = 1.0 if SCORES[score.name].worse == "above" else -1.0
    yield Judged(
        group, at, score, sign * (score.value - usual.value) / error, STUDENT, lambda place: usual.value + sign * place * error,
        effect=abs(score.value - usual.value), floor=calibration.least_effect(score.name), reference_rows=before.rows,
        settled=_few(min(now.rows, before.rows), calibration.min_rows),
    )  # fmt: skip


def _estimated(group: Group, at: int, score: Score, part: GroupView, calibration: Calibration) -> Judged:
    """An estimate of performance; of a segment, whose own rows in the reference are not kept, by its past alone."""
    found = held_estimate(score)
    return Judged(
        group, at, score, found.out, STUDENT, found.back, effect=found.effect, floor=calibration.least_effect(score.name),
        reference_rows=0 if part.profile is None else part.profile.rows,
        settled=found.settled or _few(score.rows, calibration.min_rows), needs_past=group[1] != "",
    )  # fmt: skip


def _label_shift(group: Group, at: int, score: Score, part: GroupView, calibration: Calibration) -> Judged:
    """The estimated shares of the classes, as likely as its evidence says. Where it would have alarmed is not known."""
    found = _p_value(group, at, score, float(str(score.evidence.get("p_value", "nan"))), part, calibration)
    found.back, found.effect, found.needs_past = lambda place: math.nan, score.value, group[1] != ""
    found.settled = str(score.evidence.get("reason", found.settled))
    return found


def _right(summary: PerformanceSummary) -> int:
    return sum(rows for (predicted, true), rows in summary.confusion.items() if predicted == true)


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
        settled=_few(min(rows, all_before), calibration.min_rows), needs_past=_foreign(part),
        beyond_hours=(lambda: beyond_hours(np.array([usual]), np.array([hits / rows]))) if part.profile is not None else None,
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


def _series(group: Group, at: int, score: Score, part: GroupView | None, model: Model, calibration: Calibration) -> Judged:
    """A score against its own past windows. Performance counts, and is remembered, once its labels are there."""
    doc, rows = SCORES[score.name], score.rows
    series = series_of(score.name, doc.worse, doc.unit)
    settled = "" if math.isfinite(score.value) else "it is not defined for these rows"
    if score.subject in PERFORMANCE:
        settled = settled or _few(rows, calibration.min_rows)
        if part is None or not labelled_share(part) >= model.min_coverage:
            settled = settled or "too few labels"
    kept = series.forward(score.value, rows) if math.isfinite(score.value) else math.nan
    return Judged(group, at, score, kept, None, lambda place: series.back(place, rows), settled=settled, series=series)


def _column(part: GroupView, subject: str) -> Numeric | CategorySummary | None:
    if part.inputs is None:
        return None
    return part.inputs.numeric.get(subject) or part.inputs.categorical.get(subject)


def _foreign(part: GroupView) -> bool:
    """Whether a group is compared with a reference of all rows, as a segment is that a built one has too few rows of."""
    return part.profile is not None and part.profile.segment != part.segment


def _few(rows: int, least: int) -> str:
    return f"{rows} rows of the {least} needed" if rows < least else ""
