"""Calibration of many classes and of labels that do not exclude each other, against scikit-learn, plain sums and simulation."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from detectors.columns import Schema
from detectors.labelled.calibration import BINS, CURVE, uncertainty_of_classes
from detectors.labelled.classwise import NAMES
from detectors.labelled.intervals import Z
from detectors.performance import PerformanceSummary
from tests.test_labelled_intervals import metrics_of
from tests.test_labelled_metrics import CLASSES, MULTI, measured, outcomes

TAGS = Schema((), (), "multilabel", classes=CLASSES, vectors={"labels": 4, "probabilities": 4})
HALF_CELL = 1 / 1024


def multiclass(rng, n, power=1.0, sharp=1.0):
    chances = rng.dirichlet([0.8 / sharp, 0.6 / sharp, 0.4 / sharp, 0.2 / sharp], n).astype(np.float32)
    meant = chances.astype(float) ** power + 1e-12
    place = (rng.random((n, 1)) > np.cumsum(meant / meant.sum(axis=1, keepdims=True), axis=1)[:, :-1]).sum(axis=1)
    names = np.array(CLASSES)
    rows = outcomes(n, names[chances.argmax(axis=1)], chances.max(axis=1), names[place], probabilities=chances)
    return rows, chances.astype(float), np.eye(4)[place]


def multilabel(rng, n, power=1.0):
    chances = np.clip(rng.beta(1.0, 2.0, (n, 4)) * rng.beta(8, 2, (n, 1)), 0, 1).astype(np.float32)
    true = rng.random((n, 4)) < chances.astype(float) ** power
    rows = outcomes(n, labels=chances >= 0.5, true_labels=true, true_others=np.zeros((n, 1)), probabilities=chances)
    return rows, chances.astype(float), true.astype(float)


CASES = {"multiclass": (MULTI, multiclass), "multilabel": (TAGS, multilabel)}


@pytest.mark.parametrize("n", [40, 3000])
@pytest.mark.parametrize("task", CASES)
def test_values_are_those_of_scikit_learn_and_plain_sums(task, n):
    schema, sample = CASES[task]
    rows, p, t = sample(np.random.default_rng(n), n, 1.4)
    found = measured(schema, rows)
    each = [brier_score_loss(t[:, k], p[:, k], pos_label=1) for k in range(4)]
    shared = 4 if task == "multilabel" else 1
    assert found["brier"] == pytest.approx(sum(each) / shared, rel=1e-5)
    totals, binned = np.zeros(4), 0.0
    curves = metrics_of(schema, rows)
    for k, name in enumerate(CLASSES):
        place = np.minimum((p[:, k] * BINS).astype(int), BINS - 1)
        held = np.bincount(place, minlength=BINS)
        some = held > 0
        rate = np.bincount(place, weights=t[:, k], minlength=BINS)[some] / held[some]
        score = np.bincount(place, weights=p[:, k], minlength=BINS)[some] / held[some]
        share, overall = held[some] / n, t[:, k].mean()
        own = [share @ np.abs(rate - score), share @ (rate - score) ** 2, share @ (rate - overall) ** 2, overall * (1 - overall)]
        for part, value in zip(("ece", *NAMES[1:]), own, strict=True):
            assert found[f"{part}:{name}"] == pytest.approx(value, abs=2 * HALF_CELL), (part, name)
        totals += own
        binned += ((score[np.cumsum(some)[place] - 1] - t[:, k]) ** 2).mean()
        curve = curves[f"ece:{name}"].evidence[CURVE]
        theirs = calibration_curve(t[:, k], p[:, k], n_bins=BINS)
        assert [v for v in curve["observed_rate"] if v is not None] == pytest.approx(theirs[0].tolist(), abs=1e-4)
        assert [v for v in curve["mean_score"] if v is not None] == pytest.approx(theirs[1].tolist(), abs=HALF_CELL + 1e-4)
        assert curve["rows"] == held.tolist()
    assert found["classwise_ece"] == pytest.approx(totals[0] / 4, abs=2 * HALF_CELL)
    for name, value in zip(NAMES[1:], totals[1:], strict=True):
        assert found[name] == pytest.approx(value / shared, abs=4 * HALF_CELL), name
    whole = found["brier_reliability"] - found["brier_resolution"] + found["brier_uncertainty"]
    assert whole == pytest.approx(binned / shared, abs=4 * HALF_CELL)


@pytest.mark.parametrize("task", CASES)
def test_the_decomposition_is_exact_where_scores_lie_on_the_middles_of_cells(task):
    """Then nothing varies inside a bin: it is Brier's score itself. The probabilities need not add up to 1 for that."""
    rng, n = np.random.default_rng(4), 500
    p = (rng.integers(1, BINS, (n, 4)) / BINS + (1 / 8192 if task == "multiclass" else 1 / 1024)).astype(np.float32)
    if task == "multiclass":
        names = np.array(CLASSES)[rng.integers(0, 4, n)]
        found = measured(MULTI, outcomes(n, names, np.full(n, 0.5), names, probabilities=p))
    else:
        t = rng.random((n, 4)) < p
        found = measured(TAGS, outcomes(n, labels=p > 0.5, true_labels=t, true_others=np.zeros((n, 1)), probabilities=p))
    whole = found["brier_reliability"] - found["brier_resolution"] + found["brier_uncertainty"]
    assert whole == pytest.approx(found["brier"], abs=1e-9)


@lru_cache
def true_values(task, power):
    schema, sample = CASES[task]
    return metrics_of(schema, sample(np.random.default_rng(1), 1_000_000, power)[0])


@pytest.mark.parametrize("n", [50, 500, 5000])
@pytest.mark.parametrize("power", [1.0, 1.6])
@pytest.mark.parametrize("task", CASES)
def test_intervals_hold_at_least_as_often_as_they_say(task, power, n):
    schema, sample = CASES[task]
    rng, repeats = np.random.default_rng(17), 100
    truth = true_values(task, power)
    wanted = [m for m in truth if m in NAMES or m.startswith(("ece:", "brier_"))]
    held, width = dict.fromkeys(wanted, 0), 0.0
    for _ in range(repeats):
        found = metrics_of(schema, sample(rng, n, power)[0])
        width += found["classwise_ece"].high - found["classwise_ece"].low
        for name in wanted:
            assert 0.0 <= found[name].low <= found[name].value <= found[name].high, name
            held[name] += found[name].low <= truth[name].value <= found[name].high
    assert min(held.values()) >= 86, held  # 95 % less what chance allows of 100, of the worst of 20
    assert width / repeats < 0.4 * (50 / n) ** 0.5, width / repeats


@pytest.mark.parametrize("n", [50, 500])
@pytest.mark.parametrize(
    "shares", [(0.25, 0.25, 0.25, 0.25), (0.4, 0.3, 0.2, 0.1), (0.97, 0.01, 0.01, 0.01)], ids=["alike", "unlike", "one"]
)
def test_the_uncertainty_of_classes_that_exclude_each_other_is_no_wider_than_their_counts_scatter(shares, n):
    rng = np.random.default_rng(31)
    truth = 1.0 - float(np.square(shares).sum())
    drawn = rng.multinomial(n, shares, size=2000).astype(float)
    ends = np.array([uncertainty_of_classes(hits) for hits in drawn])
    held = ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean()
    assert 0.92 <= held, held
    scatter = (1.0 - np.square(drawn / n).sum(axis=1)).std()
    assert np.diff(ends, axis=1).mean() < 1.1 * 2 * Z * scatter
    assert uncertainty_of_classes(np.array([20.0, 0.0, 0.0]))[1] > 0.05, "what was not seen yet may come"


def test_labels_that_never_occur_and_rows_without_probabilities():
    true = np.zeros((6, 4))
    chances = np.array([[0.1, 0.2, 0.3, 0.0]] * 5 + [[np.nan] * 4])
    rows = outcomes(6, labels=true, true_labels=true, true_others=np.zeros((6, 1)), probabilities=chances)
    found = metrics_of(TAGS, rows)
    assert found["brier"].rows == found["classwise_ece"].rows == 5 and found["subset_accuracy"].rows == 6
    assert found["brier_uncertainty"].value == found["brier_resolution"].value == 0.0 < found["brier_uncertainty"].high
    assert found["classwise_ece"].value == pytest.approx(0.15, abs=HALF_CELL)


def test_a_summary_of_labels_that_counted_no_probabilities_is_read_and_merged():
    """What earlier releases stored for a multilabel model."""
    before = Schema((), (), "multilabel", classes=CLASSES, vectors={"labels": 4})
    rows = multilabel(np.random.default_rng(2), 30)[0]
    old = PerformanceSummary.empty(before)
    old.add(rows)
    assert "brier" not in {m.name for m in old.metrics()}
    read = PerformanceSummary.from_bytes(old.to_bytes(), TAGS)
    new = PerformanceSummary.empty(TAGS)
    new.add(rows)
    new.merge(read)
    found = {m.name: m for m in new.metrics()}
    assert found["subset_accuracy"].rows == 60 and found["brier"].rows == 30


def test_rows_taken_back_leave_nothing():
    rows = multilabel(np.random.default_rng(3), 20)[0]
    summary = PerformanceSummary.empty(TAGS)
    summary.add(rows)
    rows.weight[:] = -1
    summary.add(rows)
    assert not summary.arrays["chances"].any() and summary.metrics() == []
