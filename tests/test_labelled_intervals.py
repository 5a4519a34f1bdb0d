"""Intervals hold what they promise: of many samples, about 95 % of the intervals hold the value of the population.

The population's value is that of a large sample of it. Between 91 and 99.5 % of REPEATS samples is what chance
(three standard errors of 1.4 %) and normal approximations allow; metrics whose intervals are wider by design may hold it always.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from detectors.columns import Schema
from detectors.labelled import curves, intervals
from detectors.performance import PerformanceSummary
from tests.test_labelled_metrics import CLASSES, MULTI, TAGS, outcomes

REPEATS = 250
ALWAYS = {
    "roc_auc_weighted",
    "roc_auc",
    "roc_auc_ovo",
    "macro_f1",
    "interval_coverage_error",
    "cut_list_share",  # no list is: 0 of all rows
}  # multiclass and multilabel: see their files
CLASSWISE = {"classwise_ece", "ece", "brier_reliability", "brier_resolution", "brier_uncertainty"}  # as if classes erred together
OF_GAPS = {"ece", "mce", "brier_reliability"}  # hold at least as often: by the triangle inequality


def binary(rng, n):
    y = rng.random(n) < 0.35
    score = 1 / (1 + np.exp(-rng.normal(np.where(y, 0.6, -0.8), 1.2)))
    names = np.array(["no", "yes"])
    return outcomes(n, names[(score >= 0.5) * 1], score, names[y * 1])


def multiclass(rng, n):
    place = rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1])
    logits = rng.normal(size=(n, 4)) + 1.2 * np.eye(4)[place]
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = np.array(CLASSES)
    return outcomes(n, names[chances.argmax(axis=1)], chances.max(axis=1), names[place], probabilities=chances)


def multilabel(rng, n):
    t = rng.random((n, 4)) < [0.5, 0.4, 0.3, 0.2]
    p = np.where(rng.random((n, 1)) < 0.3, rng.random((n, 4)) < 0.5, t)  # labels of a row go wrong together
    return outcomes(n, labels=p, true_labels=t, true_others=np.zeros((n, 1)))


def regression(rng, n):
    y = rng.normal(20, 4, n)
    return outcomes(n, None, y + rng.normal(0.5, 2, n), value=y)


def ranking(rng, n):
    gains = np.where(rng.random((n, 10)) < 0.25, rng.integers(1, 4, (n, 10)), 0).astype(float)
    relevant = (gains > 0).sum(axis=1, keepdims=True)
    return outcomes(n, gains=gains, ideal=np.sort(gains, axis=1)[:, ::-1], relevant=relevant)


def quantile(rng, n):
    middle = rng.normal(10, 3, n)
    return outcomes(n, value=middle + rng.normal(0, 1.2, n), quantiles=middle[:, None] + stats.norm.ppf([0.1, 0.5, 0.9]))


CASES = {
    "binary": (Schema((), (), "binary", "yes"), binary),
    "multiclass": (MULTI, multiclass),
    "multilabel": (TAGS, multilabel),
    "regression": (Schema((), (), "regression"), regression),
    "ranking": (Schema((), (), "ranking"), ranking),
    "quantile": (Schema((), (), "quantile", quantiles=(0.1, 0.5, 0.9), vectors={"quantiles": 3}), quantile),
}


def metrics_of(schema, rows):
    summary = PerformanceSummary.empty(schema)
    summary.add(rows)
    return {m.name: m for m in summary.metrics()}


@pytest.mark.parametrize("task", CASES)
def test_intervals_hold_the_value_as_often_as_they_say(task):
    schema, sample = CASES[task]
    rng = np.random.default_rng(42)
    truth = metrics_of(schema, sample(rng, 200_000))
    held = dict.fromkeys(truth, 0)
    for _ in range(REPEATS):
        for name, m in metrics_of(schema, sample(rng, 400)).items():
            assert m.low <= m.value <= m.high, name
            held[name] += m.low <= truth[name].value <= m.high
    for name, count in held.items():
        share = count / REPEATS
        of_classes = task == "multiclass" and name.partition(":")[0] in CLASSWISE
        most = 1.0 if of_classes or name in ALWAYS | OF_GAPS or name.startswith("roc_auc:") else 0.995
        assert 0.91 <= share <= most, (name, share)


@pytest.mark.parametrize("rows", [400, 2000])
@pytest.mark.parametrize("rate", ["calibrated", "overconfident", "turned"])
def test_intervals_of_calibration_hold_also_where_a_model_is_calibrated_perfectly(rate, rows):
    of = {"calibrated": lambda s: s, "overconfident": lambda s: s**1.5, "turned": lambda s: 0.3 + s / 2}[rate]
    rng, names = np.random.default_rng(7), np.array(["no", "yes"])

    def sample(n):
        score = rng.beta(1.2, 2.5, n)
        return outcomes(n, names[(score >= 0.5) * 1], score, names[(rng.random(n) < of(score)) * 1])

    schema = CASES["binary"][0]
    truth, held, width = metrics_of(schema, sample(400_000)), dict.fromkeys(OF_GAPS, 0), 0.0
    for _ in range(100):
        found = metrics_of(schema, sample(rows))
        width += found["ece"].high - found["ece"].low
        for name in OF_GAPS:
            assert 0.0 <= found[name].low <= found[name].value <= found[name].high <= 1.0, name
            held[name] += found[name].low <= truth[name].value <= found[name].high
    assert min(held.values()) >= 92, held  # 95 less what chance allows of 100
    assert width / 100 < 0.2 * math.sqrt(400 / rows)


@pytest.mark.parametrize(("hits", "rows"), [(0, 5), (1, 7), (50, 100), (998, 1000), (20, 20)])
def test_wilson_is_that_of_statsmodels(hits, rows):
    theirs = proportion_confint(hits, rows, method="wilson")
    assert intervals.wilson(hits, rows) == pytest.approx(theirs, abs=1e-12)


def test_the_error_of_an_area_is_delongs_and_near_the_bootstraps():
    rng = np.random.default_rng(3)
    negative, positive = rng.normal(0, 1, 150), rng.normal(1, 1.3, 90)
    edges = np.sort(np.concatenate([negative, positive]))
    counts = [np.histogram(v, np.append(edges, np.inf))[0] for v in (negative, positive)]
    area, error = curves.roc_auc(*counts)
    placed = (negative[:, None] < positive[None, :]).mean(axis=0), (negative[:, None] < positive[None, :]).mean(axis=1)
    exact = math.sqrt(placed[0].var(ddof=1) / 90 + placed[1].var(ddof=1) / 150)
    assert area == pytest.approx(stats.mannwhitneyu(positive, negative).statistic / (90 * 150)) and error == pytest.approx(exact)
    drawn = stats.bootstrap(
        (negative, positive), lambda a, b: stats.mannwhitneyu(b, a).statistic / (len(a) * len(b)), vectorized=False,
        n_resamples=400, random_state=1, method="percentile",
    )  # fmt: skip
    assert error == pytest.approx(drawn.standard_error, rel=0.15)


@pytest.mark.parametrize("rows", [50, 500, 5000])
@pytest.mark.parametrize("spread", [(0.3, 0.3), (0.5, 10.0)], ids=["sharp", "rare"])
def test_the_interval_of_the_resolution_holds_and_is_no_wider_than_it_has_to_be(spread, rows):
    """With few rows it may hold always: what few rows of a bin can hide is in it. Noise makes the value itself greater."""
    schema, rng = CASES["binary"][0], np.random.default_rng(9)
    names = np.array(["no", "yes"])

    def measured(n):
        score = rng.beta(*spread, n)
        return metrics_of(schema, outcomes(n, names[(score >= 0.5) * 1], score, names[(rng.random(n) < score) * 1]))

    truth = measured(1_000_000)["brier_resolution"].value
    found = [measured(rows)["brier_resolution"] for _ in range(200)]
    held = np.mean([m.low <= truth <= m.high for m in found])
    assert 0.91 <= held <= (1.0 if rows == 50 else 0.995), held
    if rows == 5000:
        width = np.mean([m.high - m.low for m in found])
        assert width == pytest.approx(2 * intervals.Z * np.std([m.value for m in found]), rel=0.15)


@pytest.mark.parametrize("area", [0.0, 1.0])
def test_a_perfect_order_is_not_certain(area):
    low, high = intervals.logit(area, 0.0, 20)
    assert (low, high) == intervals.wilson(20 * area, 20) and high - low > 0.1
