"""Performance against scikit-learn on the same rows; retraction leaves no trace."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from detectors.columns import DictColumn, Outcomes, Schema
from detectors.performance import PerformanceSummary
from detectors.scoring import score_performance

BINARY = Schema((), (), "binary", "yes")
MULTI = Schema((), (), "multiclass")
REGRESSION = Schema((), (), "regression")


def outcomes(schema, predicted, score, truth, value=None, weight=None):
    n = len(score)
    return Outcomes(
        DictColumn.from_list(list(predicted)), np.asarray(score, float), DictColumn.from_list(list(truth)),
        np.full(n, np.nan) if value is None else np.asarray(value, float), np.ones(n, np.int64) if weight is None else weight,
    )  # fmt: skip


def scores(summary, schema, predictions):
    return {s.name: s.value for s in score_performance(summary) if s.subject == "performance"}


def binary(rng, n):
    truth = np.where(rng.random(n) < 0.3, "yes", "no")
    score = np.clip(rng.normal(np.where(truth == "yes", 0.6, 0.35), 0.2), 0.001, 0.999)
    return np.where(score >= 0.5, "yes", "no"), score, truth


@pytest.mark.parametrize("n", [3, 50, 5000, 60_000])
def test_binary(n):
    predicted, score, truth = binary(np.random.default_rng(n), n)
    truth[:2] = ["yes", "no"]
    summary = PerformanceSummary.empty(BINARY)
    for part in np.array_split(np.arange(n), 7):
        if len(part):
            summary.add(outcomes(BINARY, predicted[part], score[part], truth[part]))
    found = scores(summary, BINARY, 2 * n)
    positive = truth == "yes"
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted), rel=1e-12)
    for name, ours in (("precision", metrics.precision_score), ("recall", metrics.recall_score), ("f1", metrics.f1_score)):
        assert found[name] == pytest.approx(
            ours(truth, predicted, pos_label="yes", zero_division=np.nan), rel=1e-12, nan_ok=True
        ), name
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(positive, score), abs=1e-3)
    assert found["log_loss"] == pytest.approx(metrics.log_loss(positive, score), rel=1e-9)
    assert found["brier"] == pytest.approx(metrics.brier_score_loss(positive, score), rel=1e-9)


def test_multiclass_is_macro_averaged():
    rng = np.random.default_rng(2)
    names = np.array(["a", "b", "c", "d"])
    truth = rng.choice(names, 4000, p=[0.5, 0.3, 0.15, 0.05])
    predicted = np.where(rng.random(4000) < 0.7, truth, rng.choice(names, 4000))
    summary = PerformanceSummary.empty(MULTI)
    summary.add(outcomes(MULTI, predicted, rng.random(4000), truth))
    found = scores(summary, MULTI, 4000)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    for name, theirs in (("precision", metrics.precision_score), ("recall", metrics.recall_score), ("f1", metrics.f1_score)):
        assert found[name] == pytest.approx(theirs(truth, predicted, average="macro")), name


def test_regression():
    rng = np.random.default_rng(3)
    truth = rng.gamma(2.0, 10.0, 3000)
    predicted = truth + rng.normal(0, 3.0, 3000)
    summary, other = PerformanceSummary.empty(REGRESSION), PerformanceSummary.empty(REGRESSION)
    none = [None] * 1500
    summary.add(outcomes(REGRESSION, none, predicted[:1500], none, truth[:1500]))
    other.add(outcomes(REGRESSION, none, predicted[1500:], none, truth[1500:]))
    summary.merge(PerformanceSummary.from_bytes(other.to_bytes(), REGRESSION))
    found = scores(summary, REGRESSION, 3000)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(truth, predicted), rel=1e-9)
    assert found["rmse"] == pytest.approx(math.sqrt(metrics.mean_squared_error(truth, predicted)), rel=1e-9)
    assert found["r2"] == pytest.approx(metrics.r2_score(truth, predicted), rel=1e-9)


@pytest.mark.parametrize("schema", [BINARY, MULTI])
def test_what_is_retracted_leaves_no_trace(schema):
    rng = np.random.default_rng(4)
    predicted, score, truth = binary(rng, 500)
    clean, corrected = PerformanceSummary.empty(schema), PerformanceSummary.empty(schema)
    clean.add(outcomes(schema, predicted, score, truth))
    wrong = np.where(truth == "yes", "no", "yes")[:100]
    corrected.add(outcomes(schema, predicted[:100], score[:100], wrong))
    corrected.add(outcomes(schema, predicted[100:], score[100:], truth[100:]))
    corrected.add(outcomes(schema, predicted[:100], score[:100], wrong, weight=np.full(100, -1)))
    corrected.add(outcomes(schema, predicted[:100], score[:100], truth[:100]))
    a, b = scores(clean, schema, 500), scores(corrected, schema, 500)
    assert a.keys() == b.keys() and all(a[k] == pytest.approx(b[k], rel=1e-9, nan_ok=True) for k in a)


def test_too_little_to_say_is_not_a_number():
    summary = PerformanceSummary.empty(BINARY)
    summary.add(outcomes(BINARY, ["yes"], [0.9], ["yes"]))
    found = scores(summary, BINARY, 1)
    assert found["accuracy"] == 1.0 and math.isnan(found["roc_auc"])
