"""More classes than can be counted pair by pair: what is right stays exact, and no count depends on order, split or corrections."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn import metrics

from detectors import frame
from detectors.columns import DictColumn, Outcomes, Schema
from detectors.labelled.folding import ANOTHER, OTHER, PAIRS, by_label, folded, keeps_name
from detectors.performance import WITHOUT_FOLD, PerformanceSummary
from detectors.scoring import score_performance
from detectors.target import target_drift
from detectors.univariate import AUTO

MULTI = Schema((), (), "multiclass")


def rows_of(classes, n, seed, right=0.3):
    rng = np.random.default_rng(seed)
    names = np.array([f"c{i}" for i in range(classes)])
    truth = rng.choice(names, n)
    predicted = np.where(rng.random(n) < right, truth, rng.choice(names, n))
    return predicted, truth


def outcomes(predicted, truth, weight=1):
    n = len(truth)
    columns = DictColumn.from_list(list(predicted)), DictColumn.from_list(list(truth))
    return Outcomes(columns[0], np.full(n, np.nan), columns[1], np.full(n, np.nan), np.full(n, weight, dtype=np.int64))


def summary_of(predicted, truth, weight=1):
    out = PerformanceSummary.empty(MULTI)
    out.add(outcomes(predicted, truth, weight))
    return out


def scores(summary):
    return {s.name: s for s in score_performance(summary) if s.subject == "performance"}


@pytest.mark.parametrize(("classes", "n"), [(101, 4_000), (300, 3_000), (300, 40_000), (5_000, 60_000), (60_000, 60_000)])
def test_accuracy_is_scikit_learns_for_any_number_of_classes(classes, n):
    predicted, truth = rows_of(classes, n, classes)
    summary = summary_of(predicted, truth)
    found = scores(summary)["accuracy"]
    assert found.value == pytest.approx(metrics.accuracy_score(truth, predicted), rel=1e-12) and found.rows == n
    assert len(summary.confusion) <= PAIRS and sum(summary.confusion.values()) == n


@pytest.mark.parametrize(("classes", "n"), [(101, 4_000), (300, 9_000), (2_000, 12_000)])
def test_while_pairs_fit_every_metric_is_scikit_learns(classes, n):
    predicted, truth = rows_of(classes, n, classes + 1, right=0.6)
    found = {name: score.value for name, score in scores(summary_of(predicted, truth)).items()}
    given = {"average": "macro", "zero_division": 0}
    assert found["precision"] == pytest.approx(metrics.precision_score(truth, predicted, **given))
    assert found["recall"] == pytest.approx(metrics.recall_score(truth, predicted, **given))
    assert found["f1"] == pytest.approx(metrics.f1_score(truth, predicted, **given))
    assert found["mcc"] == pytest.approx(metrics.matthews_corrcoef(truth, predicted))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))


def test_over_the_bound_means_are_those_of_classes_drawn_from_all_and_the_rest_says_why_not():
    predicted, truth = rows_of(300, 90_000, 3)
    summary = summary_of(predicted, truth)
    found = scores(summary)
    assert summary.fold > 0 and math.isnan(found["mcc"].value) and "pairs" in str(found["mcc"].evidence["reason"])
    kept = sorted(c for c in set(truth) if keeps_name(c, summary.fold))
    assert 50 < len(kept) < 200 and str(len(kept)) in str(found["recall"].evidence["classes"])
    for name, of in (("precision", metrics.precision_score), ("recall", metrics.recall_score), ("f1", metrics.f1_score)):
        each = of(truth, predicted, labels=kept, average=None)
        assert found[name].value == pytest.approx(each.mean()), name
        assert found[f"{name}_low"].value < of(truth, predicted, average="macro") < found[f"{name}_high"].value, name
        best = max(kept, key=lambda c: ((truth == c).sum(), -list(np.unique(truth)).index(c)))
        assert found[f"{name}:{best}"].value == pytest.approx(each[kept.index(best)])


@pytest.mark.parametrize("classes", [90, 300, 20_000])
def test_counts_depend_on_no_order_and_no_split(classes):
    predicted, truth = rows_of(classes, 30_000, 4)
    whole = summary_of(predicted, truth).to_bytes()
    rng = np.random.default_rng(5)
    for pieces in (2, 7):
        order = rng.permutation(len(truth))
        parts = [summary_of(predicted[at], truth[at]) for at in np.array_split(order, pieces)]
        merged = PerformanceSummary.empty(MULTI)
        for part in parts:
            merged.merge(PerformanceSummary.from_bytes(part.to_bytes(), MULTI))
        one_by_one = PerformanceSummary.empty(MULTI)
        for at in np.array_split(order, pieces):
            one_by_one.add(outcomes(predicted[at], truth[at]))
        backwards = parts[-1]
        for part in parts[-2::-1]:
            backwards.merge(part)
        assert merged.to_bytes() == one_by_one.to_bytes() == backwards.to_bytes() == whole


@pytest.mark.parametrize(("classes", "n"), [(150, 12_000), (300, 60_000), (400, 15_000)])
def test_a_corrected_label_leaves_no_trace_wherever_it_is_taken_back(classes, n):
    predicted, truth = rows_of(classes, n, 6)
    wrong = np.roll(truth, 1)[:500]
    clean = summary_of(predicted, truth)
    once = summary_of(predicted[:500], wrong)
    once.add(outcomes(predicted[500:], truth[500:]))
    once.add(outcomes(predicted[:500], wrong, -1))
    once.add(outcomes(predicted[:500], truth[:500]))
    elsewhere = summary_of(predicted[:500], wrong, -1)
    elsewhere.merge(summary_of(predicted, truth))
    elsewhere.merge(summary_of(predicted[:500], wrong))
    assert once.confusion == elsewhere.confusion == clean.confusion and once.fold == elsewhere.fold == clean.fold


def test_folding_keeps_rows_margins_of_those_that_keep_their_name_and_what_is_right():
    predicted, truth = rows_of(200, 9_000, 7)
    pairs = summary_of(predicted, truth).confusion
    levels = [folded(pairs, level) for level in range(12)]
    for level, found in enumerate(levels):
        assert sum(found.values()) == 9_000 and folded(levels[level // 2], level) == found
        right = sum(rows for (p, t), rows in found.items() if p == t)
        assert right == (predicted == truth).sum() and (ANOTHER, OTHER) not in found
        for side, labels in ((0, predicted), (1, truth)):
            counts = by_label(found, side)
            assert all(counts[c] == (labels == c).sum() for c in set(labels) if keeps_name(c, level))
    assert len(levels[-1]) < len(levels[0]) / 20


def test_target_drift_compares_classes_by_the_names_that_both_sides_know():
    few, many = rows_of(300, 3_000, 8), rows_of(300, 90_000, 9)
    (small, large) = summary_of(*few), summary_of(*many)
    assert small.fold == 0 < large.fold
    for current, reference in ((small, large), (large, small)):
        found = {s.name: s for s in target_drift(current, reference, "r", AUTO)}
        assert found["js"].value < 0.2 and found["new_category_share"].value < 0.01


def test_a_summary_of_the_format_before_opens():
    summary = summary_of(*rows_of(20, 500, 10))
    head, *others = frame.split(summary.to_bytes()[1:])
    old = bytes([WITHOUT_FOLD]) + frame.join([json.dumps(json.loads(head)[:5]).encode(), *others])
    opened = PerformanceSummary.from_bytes(old, MULTI)
    assert opened.confusion == summary.confusion and opened.fold == 0 and opened.sums == summary.sums
    opened.merge(summary)
    assert opened.rows == 1_000
