"""Which scores of a window have a calibrated limit, and what each one's null is.

    drift, js, wasserstein, ks_p, ...     detectors/calibrate/held.py, by the reference's counts and both numbers of rows
    missing_share, accuracy               shares of rows against the reference's: exact two-sample tail
    roc_auc, mae, ...                     against the reference's by the intervals of both, and a heavy tail
    the same of estimated_performance     against the estimate on the reference's own rows (detectors/usual.py), and a heavy tail
    label_shift                           by its own test, where the config or a rule names it
    mmd_p, correlation_p, ...             p-values of features together (detectors/joint.py), with a heavy tail
    disparate_impact                      by the exact test of the two groups that it compares (detectors/fairness.py)
    segment_accuracy_drop_p, ..._rise_p   the segment that fell behind most (detectors/worst_drop.py): exact, and with a heavy tail
    rows, error_share, latency_p95_ms,
    error_gap, latency_gap_ms             the model's own past windows, by hour and weekday;
                                          so too any score that `calibration: {series: [...]}` names

Each becomes a Judged: how far out the score lies (`out`, on the scale of its null table), and how to say a place on
that scale as a value of the score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from detectors.calibrate.series import SERIES, series_of
from detectors.pairs import Pair
from detectors.score import HEADLINE, Score
from monitor.budget import Calibration
from monitor.judged_pairs import of_pair, pairs_of
from monitor.judged_rows import of_effect, of_estimate, of_impact, of_label_shift, of_missing, of_p_value, of_performance
from monitor.judged_score import Judged, few
from monitor.judging import BY_P, MISSING, SCORES, TESTS
from monitor.label_scores import PERFORMANCE, labelled_share
from monitor.learned_outcomes import reference_of
from monitor.model import Model
from monitor.panes import Group
from monitor.view import GroupView, WindowView

ESTIMATED = ("estimated_performance", "estimated_performance_weighted")
OWN_PAST = ("traffic", "latency", "worst_segment")  # subjects
AT_ONCE = 8192  # scores whose pairs are there at the same time: those of some 300 features, 50 kB each


def judged(view: WindowView, calibration: Calibration) -> Iterator[Judged]:
    """Every score of the window that has a calibrated limit, in the order of groups and scores."""
    outcomes = reference_of(view)
    for group, scores in sorted(view.scores.items()):
        part = view.groups.get(group)
        names = {(s.subject, s.name): s.value for s in scores}
        pairs: dict[str, Pair | None] = {}
        unasked = {name for name in {s.name for s in scores} if not calibration.judges(name) or name in view.model.thresholds}
        for at, score in enumerate(scores):
            if at % AT_ONCE == 0:
                pairs = pairs_of(part, scores[at : at + AT_ONCE], view.model, calibration)
            if score.name in unasked:
                continue
            if score.name in calibration.series or (score.name in SERIES and score.subject in OWN_PAST):
                yield _series(group, at, score, part, view.model, calibration)
            elif part is None:
                continue
            elif score.subject == "performance":
                ends = tuple(names.get((score.subject, f"{score.name}_{end}"), math.nan) for end in ("low", "high"))
                yield from of_performance(group, at, score, (ends[0], ends[1]), part, outcomes, calibration)
            elif score.subject in ESTIMATED:
                if not score.name.endswith("_gap"):
                    yield of_estimate(group, at, score, part, calibration)
            elif score.name == "label_shift":
                yield of_label_shift(group, at, score, part, calibration)
            elif score.name in MISSING:
                for item in of_missing(group, at, score, part, calibration):
                    if score.name != MISSING[0] and (score.subject, MISSING[0]) in names and calibration.judges(MISSING[0]):
                        item.alias = MISSING[0]
                    yield item
            elif score.name in TESTS:
                yield of_p_value(group, at, score, score.value, part, calibration)
            elif score.name == "disparate_impact":
                yield of_impact(group, at, score, names, part, calibration)
            elif score.name in BY_P:
                yield of_effect(group, at, score, names, part, calibration)
            elif score.reference:
                found = of_pair(group, at, score, pairs[score.subject], part, calibration)
                if found is not None:
                    statistic = str(score.evidence.get("statistic", ""))
                    if score.name == HEADLINE and (score.subject, statistic) in names and calibration.judges(statistic):
                        found.alias = statistic
                    yield found


def _series(group: Group, at: int, score: Score, part: GroupView | None, model: Model, calibration: Calibration) -> Judged:
    """A score against its own past windows. Performance counts, and is remembered, once its labels are there."""
    doc, rows = SCORES[score.name], score.rows
    series = series_of(score.name, doc.worse, doc.unit)
    settled = "" if math.isfinite(score.value) else "it is not defined for these rows"
    if score.subject in PERFORMANCE:
        settled = settled or few(rows, calibration.min_rows)
        if part is None or not labelled_share(part) >= model.min_coverage:
            settled = settled or "too few labels"
    kept = series.forward(score.value, rows) if math.isfinite(score.value) else math.nan
    return Judged(group, at, score, kept, None, lambda place: series.back(place, rows), settled=settled, series=series)
