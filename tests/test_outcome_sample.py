"""Intervals of metrics that no counts can be drawn anew for: how often they hold, against scipy's, and who has the sample."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from detectors.columns import DictColumn, Outcomes, Schema
from detectors.labelled.redrawn import UNKNOWN, interval
from detectors.labelled.resampled import interval_of_rows, without_sample
from detectors.outcome_sample import PART, ROWS
from detectors.performance import PerformanceSummary
from monitor.config import parse_config
from monitor.parts import parts_of
from tests.own_metrics import product, r2

KEPT = {PART: {}}
REGRESSION = Schema((), (), "regression", parts=KEPT)
MANY = Schema((), (), "multilabel", classes=("a", "b", "c"), vectors={"labels": 3}, parts=KEPT)
TIME = 1_700_000_000_000


def outcomes(rng, n, score=None, value=None, vectors=None):
    nothing, unknown = DictColumn.missing(n), np.full(n, np.nan)
    times = TIME + rng.integers(0, 60_000, n)
    return Outcomes(
        nothing, unknown if score is None else score, nothing, unknown if value is None else value,
        np.ones(n, dtype=np.int64), times, times + 1000, vectors or {},
    )  # fmt: skip


def regression(rng, n):
    truth = rng.gamma(2.0, 1.0, n)
    return outcomes(rng, n, truth + rng.normal(size=n), truth)


def several(rng, n):
    true = rng.random((n, 3)) < [0.5, 0.3, 0.2]
    labels = np.where(rng.random((n, 3)) < 0.8, true, ~true)
    found = {"labels": labels, "true_labels": true, "true_others": np.zeros((n, 1))}
    return outcomes(rng, n, vectors={name: matrix.astype(np.float32) for name, matrix in found.items()})


def summary_of(schema, rows):
    out = PerformanceSummary.empty(schema)
    out.add(rows)
    return out


def weighted_error(s):
    """A total: it grows with the rows."""
    return float(s.exact["e2y1"])


@pytest.mark.parametrize("rows", [400, 5_000], ids=["all rows are in the sample", "a fifth of them is"])
@pytest.mark.parametrize(
    ("function", "schema", "draw"),
    [(r2, REGRESSION, regression), (weighted_error, REGRESSION, regression), (product, MANY, several)],
    ids=["r2", "a total", "a ratio of sums"],
)
def test_an_interval_holds_the_truth_in_nineteen_of_twenty_windows(function, schema, draw, rows):
    rng = np.random.default_rng(2)
    many = 300_000
    truth = function(summary_of(schema, draw(rng, many))) * (rows / many if function is weighted_error else 1.0)
    held, windows = 0, 200
    for _ in range(windows):
        summary = summary_of(schema, draw(rng, rows))
        (low, high), why = interval_of_rows(function, summary, function(without_sample(summary)))
        assert not why, why
        held += low <= truth <= high
    assert 0.90 <= held / windows <= 0.985, held / windows


def test_it_is_as_wide_as_scipys():
    rows = regression(np.random.default_rng(3), 900)
    summary = summary_of(REGRESSION, rows)
    (low, high), _ = interval_of_rows(r2, summary, r2(summary))

    def of(guess, truth):
        return 1.0 - ((guess - truth) ** 2).mean() / truth.var()

    theirs = stats.bootstrap(
        (rows.predicted_score, rows.true_value), of, paired=True, vectorized=False, n_resamples=2000, method="basic", rng=1
    )
    assert high - low == pytest.approx(theirs.confidence_interval.high - theirs.confidence_interval.low, rel=0.35)
    assert (low + high) / 2 == pytest.approx(r2(summary))


def test_the_sample_knows_no_order_no_split_and_no_correction():
    rng = np.random.default_rng(5)
    rows, wrong = regression(rng, 3_000), regression(rng, 400)
    whole = summary_of(REGRESSION, rows)
    halves = [summary_of(REGRESSION, rows.take(s)) for s in (slice(1_000, 3_000), slice(0, 1_000))]
    halves[0].merge(PerformanceSummary.from_bytes(halves[1].to_bytes(), REGRESSION))
    assert halves[0].parts[PART].to_bytes() == whole.parts[PART].to_bytes() and len(whole.parts[PART].keys) == ROWS
    whole.add(wrong)
    whole.add(Outcomes(*(getattr(wrong, f) for f in wrong.__slots__[:4]), -wrong.weight, wrong.ts_ms, wrong.label_ts_ms))
    kept = whole.parts[PART]
    assert kept.total == 3_000 and kept.rows.min() == 0 and kept.rows.max() == 1, "what was taken back is never drawn"


def test_rows_of_before_it_was_kept_leave_no_interval_and_the_reason():
    rng = np.random.default_rng(6)
    summary = summary_of(Schema((), (), "regression"), regression(rng, 300))
    later = PerformanceSummary.from_bytes(summary.to_bytes(), REGRESSION)
    later.add(regression(rng, 200))
    ends, why = interval_of_rows(r2, later, r2(later))
    assert all(map(math.isnan, ends)) and "of 500 rows 200 came" in why


def needs(task, function, more="", entry=""):
    text = f"models: [{{name: m, task: {task}{more}, performance: {{custom: [{{name: x, function: '{function}'{entry}}}]}}}}]"
    return parts_of(parse_config(text, "c.yaml").models[0]).get(PART) == {}  # else a few rows at most


@pytest.mark.parametrize(
    ("task", "function", "more", "entry", "kept"),
    [
        ("regression", "r2", "", "", True),
        ("regression", "mean_error", "", "", False),
        ("regression", "mean_error", "", ", interval: rows", True),
        ("regression", "r2", "", ", interval: false", False),
        ("regression", "fails", "", "", True),
        ("binary", "wrong_share", ", positive_label: default", "", True),
        ("binary", "share_of_defaults", ", positive_label: default", "", False),
        ("binary", "with_interval", ", positive_label: default", "", False),
        ("multilabel", "product", ", classes: [a, b, c]", "", True),
        ("ranking", "judged", "", "", True),
        ("quantile", "pinball", ", quantiles: [0.1, 0.9]", "", False),
        ("multiclass", "log_loss", ", classes: [a, b, c]", "", False),
    ],
)
def test_it_is_kept_where_a_function_needs_it(task, function, more, entry, kept):
    assert needs(task, f"tests.own_metrics:{function}", more, entry) == kept


def test_the_summary_alone_says_that_it_does_not_know():
    summary = without_sample(summary_of(REGRESSION, regression(np.random.default_rng(7), 300)))
    assert interval(r2, summary, r2(summary))[1] == UNKNOWN and PART not in summary.parts
