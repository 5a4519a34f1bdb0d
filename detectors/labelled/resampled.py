"""A confidence interval for any function of a summary of outcomes, from a sample of the outcomes: a bootstrap of rows.

Each replicate is the summary of as many outcomes as the window had, drawn with replacement from the sample
(detectors/outcome_sample.py): the window's own outcomes as far as the sample holds them all, else those of the distribution that the
sample estimates (Efron and Tibshirani 1993, chapter 6). As replicates are as large as the window, their standard deviation is the
standard error of the value of all rows, for means, for totals and for what depends on the number of rows alike; nothing is left to
scale. Rows keep all that they hold together, so what a function reads of several sums is as wide as it is, no wider.

Of the optional parts those are rebuilt that are made of labels, scores, errors and times; those by features or requests
(worst_errors, request_errors) stay empty.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from detectors.labelled.intervals import NONE, Interval, around
from detectors.labelled.redrawn import REPLICATES, Function, number_of
from detectors.outcome_sample import PART, OutcomeSample
from detectors.performance import PerformanceSummary


def without_sample(summary: PerformanceSummary) -> PerformanceSummary:
    """The same summary, as a function of the user's sees it: without the sample of outcomes. Shares the counts."""
    if PART not in summary.parts:
        return summary
    schema = replace(summary.schema, parts={name: o for name, o in summary.schema.parts.items() if name != PART})
    return replace(summary, schema=schema, parts={name: part for name, part in summary.parts.items() if name != PART})


def interval_of_rows(function: Function, summary: PerformanceSummary, value: float) -> tuple[Interval, str]:
    """At 95 %, around the function's value of a summary that has the sample; NaN where there is none, and why.

    REPLICATES calls. The draws depend on the sample alone, so that the same outcomes always give the same interval.
    """
    sample = summary.parts[PART]
    assert isinstance(sample, OutcomeSample)
    if sample.total < summary.rows:
        return NONE, f"no interval: of {summary.rows} rows {sample.total} came since outcomes are kept for it"
    schema = without_sample(summary).schema
    rng = np.random.default_rng([sample.total, len(sample.keys)])
    found = []
    for _ in range(REPLICATES):
        drawn = sample.drawn(rng)
        if drawn is not None:
            replicate = PerformanceSummary.empty(schema)
            replicate.add(drawn)
            found.append(number_of(function, replicate))
    known = np.array([number for number in found if math.isfinite(number)])
    if len(known) < REPLICATES // 2:
        return NONE, f"no interval: it has no value for half of {REPLICATES} draws of the window's outcomes"
    error = float(known.std(ddof=1))
    if error > 0.0:
        return around(value, error), ""
    return NONE, f"no interval: {REPLICATES} draws of the window's outcomes are all alike"
