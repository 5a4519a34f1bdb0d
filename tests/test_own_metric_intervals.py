"""The intervals that metrics of the user's own get: how often they hold, that they repeat, and where there is none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from detectors.columns import DictColumn, Outcomes, Schema
from detectors.labelled.intervals import mean_interval, wilson
from detectors.labelled.redrawn import PROBES, REPLICATES, UNKNOWN, interval
from detectors.performance import PerformanceSummary

BINARY, REGRESSION = Schema((), (), "binary", "1"), Schema((), (), "regression")
MANY = Schema((), (), "multilabel", classes=("a", "b", "c"), vectors={"labels": 3})


def binary(rng, n):
    chance = rng.beta(2, 2, n)
    true = (rng.random(n) < chance).astype(int)
    column = [DictColumn.from_list([str(v) for v in values]) for values in ((chance > 0.5).astype(int), true)]
    return Outcomes(column[0], chance, column[1], np.full(n, np.nan), np.ones(n, dtype=np.int64))


def regression(rng, n):
    guess = rng.normal(size=n)
    nothing = DictColumn.missing(n)
    return Outcomes(nothing, guess, nothing, guess + rng.gamma(2.0, 1.0, n), np.ones(n, dtype=np.int64))


def several(rng, n):
    true = (rng.random((n, 3)) < [0.5, 0.3, 0.2]).astype(np.float32)
    labels = np.where(rng.random((n, 3)) < 0.8, true, 1 - true).astype(np.float32)
    vectors = {"labels": labels, "true_labels": true, "true_others": np.zeros((n, 1), dtype=np.float32)}
    nothing = DictColumn.missing(n)
    return Outcomes(nothing, np.full(n, np.nan), nothing, np.full(n, np.nan), np.ones(n, dtype=np.int64), vectors=vectors)


def summary_of(schema, outcomes):
    out = PerformanceSummary.empty(schema)
    out.add(outcomes)
    return out


def cost(s):
    """Of wrong rejections and wrong acceptances, an event."""
    return sum({("1", "0"): 5.0, ("0", "1"): 1.0}.get(pair, 0.0) * rows for pair, rows in s.confusion.items()) / s.rows


def odds(s):
    return s.confusion.get(("1", "1"), 0) / (s.confusion.get(("1", "0"), 0) or math.nan)


def separation(s):
    """Of the classes' mean score cells, in cells."""
    cells = np.arange(s.arrays["score"].shape[1])
    means = [(row * cells).sum() / row.sum() for row in s.arrays["score"]]
    return means[1] - means[0]


def brier_above_errors(s):
    """Of the confusion and of a sum."""
    return s.sums["brier"] / s.rows + cost(s)


def f1_of_a(s):
    hit, false, missed = s.arrays["classes"][0]
    return 2 * hit / (2 * hit + false + missed)


@pytest.mark.parametrize(
    ("function", "schema", "draw", "most"),
    [
        (cost, BINARY, binary, 0.98),
        (odds, BINARY, binary, 0.98),
        (separation, BINARY, binary, 0.98),
        (brier_above_errors, BINARY, binary, 1.0),
        (lambda s: math.log(s.sums["abs_error"] / s.rows), REGRESSION, regression, 0.98),
        (lambda s: math.sqrt(s.sums["sq_error"] / s.rows) - s.sums["abs_error"] / s.rows, REGRESSION, regression, 1.0),
        (f1_of_a, MANY, several, 0.98),
    ],
    ids=["a cost", "a ratio of counts", "of an array", "of counts and a sum", "of a sum", "of two sums", "of a class"],
)
def test_an_interval_holds_the_truth_in_nineteen_of_twenty_windows(function, schema, draw, most):
    """Where a function reads several counts that hang together it holds more often, never less."""
    rng = np.random.default_rng(1)
    truth = function(summary_of(schema, draw(rng, 400_000)))
    held, windows = 0, 250
    for _ in range(windows):
        summary = summary_of(schema, draw(rng, 500))
        (low, high), why = interval(function, summary, function(summary))
        assert not why, why
        held += low <= truth <= high
    assert 0.915 <= held / windows <= most, held / windows


def test_of_what_has_a_formula_it_is_the_formulas():
    summary = summary_of(BINARY, binary(np.random.default_rng(3), 2000))

    def accuracy(s):
        return sum(rows for (predicted, true), rows in s.confusion.items() if predicted == true) / s.rows

    (low, high), _ = interval(accuracy, summary, accuracy(summary))
    want = wilson(accuracy(summary) * summary.rows, summary.rows)
    assert high - low == pytest.approx(want[1] - want[0], rel=0.35) and low < accuracy(summary) < high
    (low, high), _ = interval(lambda s: s.sums["brier"] / s.rows, summary, summary.sums["brier"] / summary.rows)
    _, *ends = mean_interval(summary.sums["brier"], summary.sums["brier_sq"], summary.rows)
    assert high - low == pytest.approx(ends[1] - ends[0], rel=0.35)


def test_the_same_counts_have_the_same_interval_in_any_order_and_calls_are_bounded():
    outcomes = binary(np.random.default_rng(5), 900)
    whole, halves = summary_of(BINARY, outcomes), [summary_of(BINARY, outcomes.take(s)) for s in (slice(600, 900), slice(0, 600))]
    halves[0].merge(halves[1])
    calls = []

    def counted(s):
        calls.append(1)
        s.confusion.pop(("1", "1"), None)  # of a copy
        return cost(s)

    first = interval(counted, whole, cost(whole))
    assert len(calls) <= REPLICATES + 20 * PROBES
    assert first == interval(counted, whole, cost(whole)) and ("1", "1") in whole.confusion
    again = PerformanceSummary.from_bytes(halves[0].to_bytes(), BINARY)
    assert interval(cost, again, cost(again))[0] == interval(cost, whole, cost(whole))[0]


def test_there_is_none_where_the_summary_does_not_hold_the_scatter():
    summary = summary_of(REGRESSION, regression(np.random.default_rng(7), 300))

    def r2(s):
        return next(m.value for m in s.metrics() if m.name == "r2")

    ends, why = interval(r2, summary, r2(summary))
    assert all(map(math.isnan, ends)) and why == UNKNOWN
    assert interval(lambda s: 3.0, summary, 3.0) == interval(lambda s: 3.0, summary, 3.0)
    assert all(map(math.isnan, interval(lambda s: 3.0, summary, 3.0)[0]))
