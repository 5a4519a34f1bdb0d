"""Group metrics equal fairlearn's, and say nothing where a group is too small."""

from __future__ import annotations

import math

import fairlearn.metrics as fl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_score

from detectors.category import CategorySummary
from detectors.columns import DictColumn, Outcomes, Schema
from detectors.fairness import rates, score_fairness
from detectors.performance import PerformanceSummary

SCHEMA = Schema((), (), "binary", "yes")


def of_group(predicted, true):
    column = DictColumn.from_list(["yes" if p else "no" for p in predicted])
    label = CategorySummary()
    label.add(column)
    performance = PerformanceSummary.empty(SCHEMA)
    truth = DictColumn.from_list(["yes" if t else "no" for t in true])
    n = len(predicted)
    performance.add(Outcomes(column, np.full(n, np.nan), truth, np.full(n, np.nan), np.ones(n, dtype=np.int64)))
    return rates(label, performance, "yes")


def scored(predicted, true, group, least_rows=1):
    found = {g: of_group(predicted[group == g], true[group == g]) for g in np.unique(group).tolist()}
    return {s.name: s for s in score_fairness("fairness:g", found, least_rows)}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_equal_to_fairlearn(seed, k):
    rng = np.random.default_rng(seed)
    n = 200
    group = rng.integers(0, k, n)
    true, predicted = rng.random(n) < 0.4, rng.random(n) < 0.3 + 0.1 * group / k
    for g in range(k):  # every rate has a denominator: fairlearn calls an undefined one 0
        true = np.append(true, [True, False, True])
        predicted = np.append(predicted, [True, True, False])
        group = np.append(group, [g] * 3)
    ours = {name: s.value for name, s in scored(predicted, true, group).items()}
    both = dict(sensitive_features=group)
    assert ours["demographic_parity_difference"] == pytest.approx(fl.demographic_parity_difference(true, predicted, **both))
    assert ours["disparate_impact"] == pytest.approx(fl.demographic_parity_ratio(true, predicted, **both))
    assert ours["equal_opportunity_difference"] == pytest.approx(fl.equal_opportunity_difference(true, predicted, **both))
    assert ours["equalized_odds_difference"] == pytest.approx(fl.equalized_odds_difference(true, predicted, **both))
    frame = fl.MetricFrame(metrics=precision_score, y_true=true, y_pred=predicted, sensitive_features=group)
    assert ours["predictive_parity_difference"] == pytest.approx(frame.difference())


def test_a_small_group_is_left_out_by_name_and_two_must_remain():
    group = np.array([0] * 50 + [1] * 50 + [2] * 3)
    predicted = np.array([True] * 25 + [False] * 25 + [True] * 15 + [False] * 35 + [True] * 3)
    found = scored(predicted, predicted, group, least_rows=20)
    assert found["demographic_parity_difference"].value == pytest.approx(0.2)
    assert found["demographic_parity_difference"].rows == 50
    assert found["disparate_impact"].evidence["too_few_rows"] == {2: 3}
    assert found["disparate_impact"].evidence["four_fifths_rule"] == "broken"
    alone = scored(predicted[:53], predicted[:53], group[[*range(50), *range(100, 103)]], least_rows=20)
    assert all(math.isnan(s.value) and s.rows == 0 for s in alone.values())
    assert alone["disparate_impact"].evidence["four_fifths_rule"] == "unknown"


def test_nobody_favoured_no_rows_and_no_labels():
    nobody = {g: rates(CategorySummary(counts={"no": 90}), None, "yes") for g in "ab"}
    values = {s.name: s.value for s in score_fairness("f", nobody, 1)}
    assert values["demographic_parity_difference"] == 0 and math.isnan(values["disparate_impact"])
    assert set(values) == {"demographic_parity_difference", "disparate_impact"}  # no label has come
    assert all(math.isnan(s.value) for s in score_fairness("f", {}, 1))
    assert all(math.isnan(s.value) for s in score_fairness("f", {"a": rates(None, None, "yes")}, 1))
