"""The worst segment: a planted one is found and said in the config's own language; nothing is found in noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import ttest_ind
from statsmodels.stats.proportion import proportions_ztest

from detectors.columns import Columns, DictColumn, Schema
from detectors.expression import fields_of, parse_expression
from detectors.profile import Profile
from detectors.truth import TRUE
from detectors.worst import WorstCells, score_worst
from monitor.config import ConfigError, parse_config

SCHEMA = Schema(("income", "age"), ("region",), parts={"worst_segments": {"features": ["income", "age", "region"]}})


def rows(rng, n, error=lambda income, age, region: 0.05, latency=lambda income, age, region: 10.0):
    income, age = rng.gamma(2, 1000, n), rng.integers(18, 80, n).astype(float)
    age[rng.random(n) < 0.1] = np.nan
    regions = rng.choice(["N", "S", "E", "it's"], n)
    failed = rng.random(n) < np.array([error(*r) for r in zip(income, age, regions, strict=True)])
    slow = np.array([latency(*r) for r in zip(income, age, regions, strict=True)]) * rng.lognormal(0, 0.3, n)
    return Columns(
        rows=n, numeric={"income": income, "age": age}, categorical={"region": DictColumn.from_list(regions.tolist())},
        score=np.full(n, np.nan), label=DictColumn.missing(n), latency_ms=slow, error=failed,
    )  # fmt: skip


def found(columns, reference=None, least_rows=50):
    part = WorstCells.empty(SCHEMA)
    part.bind(Profile.build(columns if reference is None else reference, SCHEMA, "r"))
    for at in range(0, columns.rows, 700):
        part.add(columns.take(slice(at, at + 700)))
    return {s.name: s for s in score_worst(part, least_rows)}


def inside(columns, score):
    expression = parse_expression(score.evidence["where"], fields_of(SCHEMA))
    return expression.truth(columns) == TRUE


def test_a_planted_pair_is_found_and_its_test_is_that_of_statsmodels():
    rng = np.random.default_rng(2)
    columns = rows(rng, 8000, lambda income, age, region: 0.5 if region == "it's" and age < 30 else 0.05)
    score = found(columns)["error_gap"]
    assert 'region == "it\'s"' in score.evidence["where"] and "age <" in score.evidence["where"]
    chosen = inside(columns, score)
    assert chosen.sum() == score.rows  # the expression says exactly which rows were counted
    failed = np.array([columns.error[chosen].sum(), columns.error[~chosen].sum()])
    sizes = np.array([chosen.sum(), (~chosen).sum()])
    assert score.value == pytest.approx(failed[0] / sizes[0] - failed[1] / sizes[1])
    _, p = proportions_ztest(failed, sizes, alternative="larger")
    assert score.evidence["p_value"] == pytest.approx(min(1.0, p * score.evidence["segments tried"]), rel=1e-6)
    assert score.evidence["p_value"] < 1e-9


def test_one_condition_is_preferred_and_latency_is_welchs():
    rng = np.random.default_rng(3)
    columns = rows(rng, 6000, latency=lambda income, age, region: 30.0 if math.isnan(age) else 10.0)
    score = found(columns)["latency_gap_ms"]
    assert score.evidence["where"] == "is_missing(age)"
    chosen = inside(columns, score)
    a, b = columns.latency_ms[chosen], columns.latency_ms[~chosen]
    assert score.value == pytest.approx(a.mean() - b.mean(), rel=1e-9)
    z = ttest_ind(a, b, equal_var=False).statistic
    assert z > 20 and found(columns)["latency_gap_ms_p"].value == 0.0


def test_in_noise_the_corrected_p_value_keeps_its_level():
    rng = np.random.default_rng(4)
    reference = rows(rng, 4000)
    p = [found(rows(rng, 3000), reference)["error_gap_p"].value for _ in range(60)]
    assert np.mean(np.array(p) < 0.05) <= 0.1  # 0.05 and three standard errors would be 0.13


def test_what_cannot_be_said_is_not_said():
    rng = np.random.default_rng(5)
    part = WorstCells.empty(SCHEMA)
    part.bind(None)
    part.add(rows(rng, 100))
    (score,) = score_worst(part, 10)
    assert math.isnan(score.value) and "built reference" in score.evidence["reason"]
    quiet = rows(rng, 500, error=lambda *r: 0.0)
    assert "error_gap" not in found(quiet) and "latency_gap_ms" in found(quiet)
    assert found(rows(rng, 1)) == {}
    constant = rows(rng, 300, error=lambda *r: 1.0)
    assert "error_gap" not in found(constant)


def test_features_that_are_none_are_found_before_the_daemon_starts():
    with pytest.raises(ConfigError, match="did you mean 'income'"):
        parse_config("models: [{name: m, features: {income: numeric}, worst_segments: {features: [incom]}}]", "c")
    with pytest.raises(ConfigError, match="at most 8"):
        parse_config(f"models: [{{name: m, worst_segments: {{features: {list('abcdefghi')}}}}}]", "c")
