"""The segment that fell behind since the reference: its tests are those of the books, and calm streams seldom have one."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom, nchypergeom_fisher

from detectors.columns import DictColumn, Outcomes, Schema
from detectors.odds import Sides, odds_p, odds_z, ratio_p
from detectors.worst_drop import counted, score_segments
from detectors.worst_errors import FREE, PART, VECTOR, WorstErrors

SEGMENTS = 200

tables = st.tuples(*[st.tuples(st.integers(0, 25), st.integers(0, 25)) for _ in range(4)])


def table_of(inside, outside):
    return inside[0] + inside[1], inside[1], outside[0] + outside[1], outside[1]


@given(tables)
def test_the_exact_test_is_that_of_two_hypergeometric_laws(cells):
    now, before = table_of(*cells[:2]), table_of(*cells[2:])
    (n, a, rest_n, b), (m, c, rest_m, d) = now, before
    x = np.arange(0, a + c + 1)
    weight = hypergeom.pmf(x, n + rest_n, n, a + b) * hypergeom.pmf(a + c - x, m + rest_m, m, c + d)
    assume((weight > 0).any())
    expected = (weight[x > a].sum() + weight[x == a].sum() / 2) / weight.sum()
    assert odds_p(now, before) == pytest.approx(1.0 if (weight > 0).sum() == 1 else expected, abs=1e-9)


def test_of_many_rows_it_is_the_interaction_of_a_logistic_regression():
    now, before = (20_000, 2300, 180_000, 14_000), (50_000, 5000, 400_000, 31_000)
    rows, hits, x = [], [], []
    for window, (n, k, rest, b) in enumerate((before, now)):
        for inside, size, wrong in ((1, n, k), (0, rest, b)):
            rows.append(size), hits.append(wrong), x.append([1, window, inside, window * inside])
    fit = sm.GLM(np.column_stack([hits, np.array(rows) - hits]), np.array(x), family=sm.families.Binomial()).fit()
    z = odds_z(*(Sides(np.array([t[:2]], float), np.array([t[2:]], float)) for t in (now, before)))[0]
    assert z == pytest.approx(fit.tvalues[3], rel=1e-3)
    assert odds_p(now, before) == pytest.approx(fit.pvalues[3] / 2, rel=0.25)  # Wald's, five deviations out
    assert odds_p((1000, 900, 1000, 10), before) < 1e-300  # so far out that no term of the sum reaches it
    assert odds_p(before, before) == pytest.approx(0.5, abs=0.01)


def test_with_another_odds_ratio_everywhere_it_keeps_its_level():
    """A segment that was always three times as bad, and a rate that doubled everywhere: no segment fell behind."""
    rng = np.random.default_rng(1)
    p = []
    for _ in range(2000):
        sides = []
        for rate, rows in ((0.05, 3000), (0.1, 1500)):
            odds = rate / (1 - rate)
            hits = [rng.binomial(rows // 5, 3 * odds / (1 + 3 * odds)), rng.binomial(rows - rows // 5, rate)]
            sides.append((rows // 5, hits[0], rows - rows // 5, hits[1]))
        p.append(odds_p(sides[1], sides[0]))
    for level in (0.5, 0.1, 0.01):
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=4 * np.sqrt(level / 2000))
    assert nchypergeom_fisher(10, 4, 5, 1.0).mean() == pytest.approx(hypergeom(10, 4, 5).mean())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([60, 300, 3000]))
def test_the_ratio_of_means_is_seldom_too_certain(seed, rows):
    """Errors of an exponential law, in 5,000 segments at once: far out, its p-value errs on the side of silence."""
    rng = np.random.default_rng(seed)

    def sides(n, scale):
        errors = [rng.exponential(s, (5000, m)) for s, m in ((2.0 * scale, n), (scale, 400))]
        sums = [np.stack([np.full(5000, float(e.shape[1])), e.sum(axis=1), (e**2).sum(axis=1)], axis=1) for e in errors]
        return Sides(*sums)

    p = ratio_p(sides(rows if rows < 1000 else 300, 3.0), sides(300, 1.0))
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.02) and np.mean(p <= 0.001) <= 0.005


def outcomes(rng, n, wrong, task, cells):
    off = rng.exponential(np.where(wrong > 0, wrong, 1.0), n) if task == "regression" else None
    bad = np.zeros(n, dtype=np.int32) if off is not None else (rng.random(n) < wrong).astype(np.int32)
    return Outcomes(
        predicted_label=DictColumn(bad, ["a", "b"]), predicted_score=np.full(n, np.nan) if off is None else off,
        true_label=DictColumn(np.zeros(n, dtype=np.int32), ["a"]), true_value=np.zeros(n), weight=np.ones(n, dtype=np.int64),
        vectors={VECTOR: cells},
    )  # fmt: skip


def drops(rng, task, rate, moved=lambda codes: 1.0, n=1500, m=4000):
    """Scores of a window of n rows against m earlier ones, three features whose cells have errors of their own."""
    schema = Schema(("x", "y", "z"), (), task, parts={PART: {"features": ["x", "y", "z"], "marks": []}})
    parts = []
    for rows, factor in ((m, lambda codes: 1.0), (n, moved)):
        codes = 32768 + 400 + rng.integers(0, 60, (rows, 3))
        part = WorstErrors.empty(schema)
        base = rate * np.where(codes[:, 0] > 33200, 2.0, 1.0) * factor(codes)
        part.add(outcomes(rng, rows, base, task, np.column_stack([np.full(rows, float(FREE)), codes]).astype(np.float32)))
        parts.append(part)
    found = counted(parts[1], None, parts[0], {})
    assert found is not None
    return {s.name: s for s in score_segments(parts[1], found, 50, "first_5_windows")}


@pytest.mark.parametrize(("task", "name"), [("multiclass", "segment_accuracy_drop"), ("regression", "segment_mae_rise")])
def test_calm_windows_alarm_no_more_often_than_said_though_a_segment_is_always_worst(task, name):
    rng = np.random.default_rng(3)
    p = np.array([drops(rng, task, 0.1 if task == "multiclass" else 5.0)[f"{name}_p"].value for _ in range(SEGMENTS)])
    for level in (0.5, 0.2, 0.05):
        assert np.mean(p <= level) <= level + 3 * np.sqrt(level * (1 - level) / SEGMENTS)
    assert np.mean(p <= 0.5) >= 0.1  # Bonferroni over cells that overlap: silent half to four fifths of what it may say
    assert drops(rng, task, 0.1 if task == "multiclass" else 5.0)[f"{name.rsplit('_', 1)[0]}_gap_p"].value < 1e-3


@pytest.mark.parametrize(("task", "name"), [("multiclass", "segment_accuracy_drop"), ("regression", "segment_mae_rise")])
def test_a_segment_that_fell_behind_is_named_and_what_changed_everywhere_is_not(task, name):
    rng = np.random.default_rng(4)
    rate = 0.1 if task == "multiclass" else 5.0
    found = drops(rng, task, rate, lambda codes: np.where(codes[:, 1] >= 33210, 3.0, 1.0), 4000)
    assert found[f"{name}_p"].value < 1e-6 and str(found[name].evidence["where"]).startswith("y >=")
    assert found[name].reference == "first_5_windows" and found[name].value > 0.1
    assert found[name].evidence["effect"] == pytest.approx(
        found[name].value / (1.0 if task == "multiclass" else float(found[name].evidence["inside"]) - found[name].value), rel=1e-3
    )
    assert drops(rng, task, rate, lambda codes: 1.5, 4000)[f"{name}_p"].value > 0.01
