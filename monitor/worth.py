"""Metrics that only the user can know: what a prediction is worth, and functions of the user's own.

What a function of the user's (monitor/custom.py) raises in a window costs that metric of that window, and is said in
the log and in the score's evidence.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable

from detectors.labelled.intervals import NONE
from detectors.labelled.redrawn import interval
from detectors.labelled.resampled import interval_of_rows, without_sample
from detectors.labelled.tally import Metric
from detectors.labelled.value import value
from detectors.outcome_sample import PART as OUTCOME_SAMPLE
from detectors.performance import PerformanceSummary
from detectors.score import Score
from detectors.scoring import metric_scores
from monitor.custom import Custom, measured, told
from monitor.logs import log_event
from monitor.view import GroupView

log = logging.getLogger(__name__)


def worth(view: GroupView) -> Iterable[Score]:
    """The value of a window's predictions, and the user's own metrics, on the outcomes known so far."""
    performance = view.performance
    if performance is None or performance.rows <= 0:
        return
    yield from metric_scores(value(performance, view.model.worth))
    for custom in view.model.custom:
        yield from metric_scores([_measured(custom, performance, view)])


def _measured(custom: Custom, performance: PerformanceSummary, view: GroupView) -> Metric:
    seen = without_sample(performance)
    try:
        # copies: what a function does to one must not reach the others
        value, given = measured(custom.function, _copy(seen))
        if given is not None:
            return Metric(custom.name, value, *given, performance.rows)
        (low, high), why = interval(custom.function, _copy(seen), value) if custom.interval else (NONE, "")
        if why and OUTCOME_SAMPLE in performance.parts:
            (low, high), why = interval_of_rows(custom.function, performance, value)
        return Metric(custom.name, value, low, high, performance.rows, {"interval": why} if why else {})
    except (Exception, SystemExit) as error:  # the user's code: anything may come
        said = told(error)
        log_event(log, logging.ERROR, "custom_metric_failed", model=view.model.name, metric=custom.name, error=said)
        return Metric(custom.name, math.nan, math.nan, math.nan, performance.rows, {"reason": said})


def _copy(summary: PerformanceSummary) -> PerformanceSummary:
    return PerformanceSummary.from_bytes(summary.to_bytes(), summary.schema)
