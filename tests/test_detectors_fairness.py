"""Group metrics equal fairlearn's, and say nothing where a group is too small."""

from __future__ import annotations

import math

import fairlearn.metrics as fl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom
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
    assert set(values) == {"demographic_parity_difference", "disparate_impact", "disparate_impact_p"}  # no label has come
    assert all(math.isnan(s.value) for s in score_fairness("f", {}, 1))
    assert all(math.isnan(s.value) for s in score_fairness("f", {"a": rates(None, None, "yes")}, 1))


def test_the_p_value_of_two_groups_is_fishers_less_half_of_the_observed_point():
    groups = {g: rates(CategorySummary(counts={"yes": k, "no": n - k}), None, "yes") for g, k, n in (("a", 4, 90), ("b", 21, 120))}
    found = {s.name: s for s in score_fairness("f", groups, 1)}
    law = hypergeom(210, 25, 90)
    assert found["disparate_impact_p"].value == pytest.approx(2 * (law.cdf(3) + law.pmf(4) / 2), rel=1e-6)
    assert found["disparate_impact_p"].evidence["effect"] == pytest.approx(1 - found["disparate_impact"].value)


@pytest.mark.parametrize("k", [2, 5])
def test_groups_that_are_treated_alike_are_seldom_improbable_though_four_fifths_break_often(k):
    """Of 2,000 calm windows with 300 rows a group, of which a tenth is favoured."""
    rng = np.random.default_rng(k)
    found = []
    for hits in rng.binomial(300, 0.1, (2000, k)).tolist():
        groups = {str(g): rates(CategorySummary(counts={"yes": n, "no": 300 - n}), None, "yes") for g, n in enumerate(hits)}
        found.append({s.name: s.value for s in score_fairness("f", groups, 200)})
    assert np.mean([f["disparate_impact"] <= 0.8 for f in found]) > 0.25
    for level in (0.05, 0.01):
        assert np.mean([f["disparate_impact_p"] <= level for f in found]) <= 1.3 * level + 2 * np.sqrt(level / 2000)
    assert k > 2 or np.mean([f["disparate_impact_p"] <= 0.05 for f in found]) > 0.03
