"""The nulls of scores of a pair, reference and window side by side: drift of a feature, of predictions, of labels."""

from __future__ import annotations

import logging
import math
from contextlib import suppress

from detectors.calibrate.first_days import beyond_hours
from detectors.calibrate.held import HELD, held, prepare
from detectors.pairs import CategoryPair, NumericPair, Pair, once
from detectors.profile import PREDICTION
from detectors.score import HEADLINE, NUMERIC_ERRORS, Score
from detectors.target import SUBJECT as TARGET
from detectors.target import target_pair
from monitor.budget import Calibration
from monitor.judged_score import Judged, few, foreign
from monitor.judging import BY_P, MISSING, TESTS
from monitor.logs import log_event
from monitor.model import Model
from monitor.panes import Group
from monitor.view import GroupView

logger = logging.getLogger("driftd.judged")


def pairs_of(part: GroupView | None, scores: list[Score], model: Model, calibration: Calibration) -> dict[str, Pair | None]:
    """The pairs of a group's subjects that are compared with a reference; their null tables are made, those of all together."""
    pairs: dict[str, Pair | None] = {}
    wanted: dict[tuple[str, str], tuple[str, Pair]] = {}  # by subject and statistic
    if part is None:
        return pairs
    others = {*MISSING, *TESTS, *BY_P}  # not against a pair
    names = {n for n in {score.name for score in scores} - others if calibration.judges(n) and n not in model.thresholds}
    for score in scores:
        if not score.reference or score.name not in names or score.subject == "performance":
            continue
        if score.subject not in pairs:
            pairs[score.subject] = pair_of(part, score.subject)
        pair = pairs[score.subject]
        if pair is not None and math.isfinite(score.value):
            statistic = statistic_of(score).removesuffix("_p")
            wanted[score.subject, statistic] = statistic, pair
    with suppress(*NUMERIC_ERRORS):  # each is made alone then, and the one that cannot be is said
        prepare(wanted.values())
    return pairs


def statistic_of(score: Score) -> str:
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


def of_pair(group: Group, at: int, score: Score, pair: Pair | None, part: GroupView, calibration: Calibration) -> Judged | None:
    name = statistic_of(score)
    if name not in HELD and math.isfinite(score.value):
        return None
    if pair is None and math.isfinite(score.value):
        return None
    if pair is None or pair.n == 0 or pair.m == 0 or not math.isfinite(score.value):
        why = str(score.evidence.get("reason", "the statistic is not defined for these values"))
        return Judged(group, at, score, math.nan, None, lambda out: out, settled=why)
    try:
        found = held(name, pair, score.value)
        beyond = _beyond_hours(pair) if part.profile is not None else None  # now: the pair is not kept
    except NUMERIC_ERRORS as error:
        return _settled(group, at, score, error)
    if found is None:
        return None
    return Judged(
        group, at, score, found.out, found.table, found.back,
        effect=math.inf if name.endswith("_p") else abs(score.value), floor=calibration.least_effect(name), reference_rows=pair.n,
        settled=few(min(pair.n, pair.m), calibration.min_rows) or found.unsure, needs_past=foreign(part) and score.subject != TARGET,
        beyond_hours=beyond,
        narrower=name == "std_shift" and score.value < 0 and part.profile is not None,
    )  # fmt: skip


@once
def _beyond_hours(pair: Pair) -> float:
    if isinstance(pair, NumericPair):
        return beyond_hours(pair.p, pair.q)
    usual, now = (counts / max(int(counts.sum()), 1) for counts in pair.bins)
    if now.max(initial=0.0) == 1.0 > usual[now.argmax()]:
        return 1.0  # one value in every row, and the reference had others: no hour, a constant
    return beyond_hours(usual, now)


def _settled(group: Group, at: int, score: Score, error: Exception) -> Judged:
    """A score whose null could not be made of these values."""
    log_event(logger, logging.WARNING, "null_failed", subject=score.subject, score=score.name, error=repr(error)[:200])
    why = f"what chance does to it could not be computed: {type(error).__name__}"
    return Judged(group, at, score, math.nan, None, lambda out: out, settled=why)
