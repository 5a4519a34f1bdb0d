"""Outliers in all features together: scikit-learn's Mahalanobis distance; the worst rows are kept, bounded and masked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.covariance import EmpiricalCovariance

from detectors.columns import Columns, DictColumn, Schema
from detectors.fits import fit_all
from detectors.outliers import OutlierCount, WorstRows, fit_outliers, load_outliers, score_outliers
from detectors.profile import Profile
from monitor.config import ConfigError, parse_config
from monitor.model import Model
from monitor.panes import Pane, without_rows

PARTS = {"outliers": {"quantile": 0.99}, "worst_rows": {"rows": 5, "mask": ["income"]}}
SCHEMA = Schema(("income", "spend"), ("region",), parts=PARTS)


def columns(rng, n, planted=0):
    income = rng.normal(0, 1, n)
    spend = 0.95 * income + 0.3 * rng.normal(0, 1, n)
    income[:planted], spend[:planted] = 2.0, -2.0  # each value is usual, the two together are not
    return Columns(
        rows=n, numeric={"income": income, "spend": spend}, categorical={"region": DictColumn.from_list(["N", "S"] * (n // 2))},
        score=np.full(n, np.nan), label=DictColumn.missing(n), latency_ms=np.full(n, np.nan), error=np.zeros(n, dtype=bool),
        ids=rng.integers(0, 2**63, (n, 2)).astype(np.uint64), ts_ms=np.arange(n),
    )  # fmt: skip


def profile(rows):
    made = Profile.build(rows, SCHEMA, "r")
    return Profile(**{**{f: getattr(made, f) for f in made.__dataclass_fields__}, "extras": fit_all(rows, None, SCHEMA)})


def test_distances_are_scikit_learns():
    rng = np.random.default_rng(1)
    reference, current = columns(rng, 2000), columns(rng, 500)
    fit = load_outliers(fit_outliers(reference, 0.99))
    oracle = EmpiricalCovariance().fit(np.column_stack([reference.numeric["income"], reference.numeric["spend"]]))
    wanted = np.sqrt(oracle.mahalanobis(np.column_stack([current.numeric["income"], current.numeric["spend"]])))
    assert fit.distances(current) == pytest.approx(wanted, rel=1e-5)  # the regions are as frequent: no direction of their own
    assert (fit.distances(reference) > fit.limit).mean() == pytest.approx(0.01, abs=1e-3)


def test_rows_that_are_odd_only_together_are_found_and_the_worst_are_kept_masked():
    rng = np.random.default_rng(2)
    reference, current = columns(rng, 4000), columns(rng, 1000, planted=40)
    known = profile(reference)
    count, worst = OutlierCount(), WorstRows.empty(SCHEMA)
    other = WorstRows.empty(SCHEMA)
    for part in (count, worst, other):
        part.bind(known)
    for at in range(0, 1000, 250):
        piece = current.take(slice(at, at + 250))
        count.add(piece)
        (worst if at % 500 else other).add(piece)
    worst.merge(other)
    (score,) = score_outliers(count, count.fit, "r")
    assert 0.04 <= score.value <= 0.06 and score.evidence["outliers"] == count.beyond
    rows, distances = WorstRows.from_bytes(worst.to_bytes(), SCHEMA).worst()
    exact = np.sort(load_outliers(known.extras["outliers"]).distances(current))[::-1][:5]
    assert distances.tolist() == exact.tolist() and rows is not None and rows.rows == 5
    assert "income" not in rows.numeric and (rows.numeric["spend"] < -1.9).all()


def test_rows_leave_a_pane_and_the_count_stays():
    rng = np.random.default_rng(3)
    known = profile(columns(rng, 1000))
    model = Model("m", SCHEMA, 60_000, 60_000, 0, profiles={"r": known}, active_profile="r")
    pane, rows = Pane("r"), columns(rng, 500, planted=20)
    pane.add(model, DictColumn.missing(500), {}, rows)
    data = pane.to_bytes()
    assert data[0] == 2 and without_rows(data)[0] == 1
    kept = Pane.from_bytes(without_rows(data), model).groups["", ""].parts
    assert kept["worst_rows"].rows == 0 and kept["outliers"].beyond >= 20


def test_odd_references_and_rows_have_a_verdict():
    rng = np.random.default_rng(4)
    same = columns(rng, 10)
    same.numeric["income"][:], same.numeric["spend"][:] = 1.0, np.nan
    fit = load_outliers(fit_outliers(same, 0.99))
    assert np.isfinite(fit.distances(columns(rng, 4))).all()
    with pytest.raises(ValueError, match="one row"):
        fit_outliers(same.take(slice(0, 1)), 0.99)
    far = columns(rng, 4)
    far.numeric["income"][:] = [np.inf, -np.inf, np.nan, 1e300]
    good = load_outliers(fit_outliers(columns(rng, 1000), 0.99))
    assert (good.distances(far) > good.limit).tolist()[:2] == [True, True] and good.distances(far)[3] > good.limit
    (score,) = score_outliers(OutlierCount(), None, "")
    assert math.isnan(score.value) and "build it anew" in score.evidence["reason"]
    (score,) = score_outliers(OutlierCount(), good, "r")
    assert math.isnan(score.value)


def test_worst_rows_need_the_mask_and_time_of_a_sample():
    with pytest.raises(ConfigError, match="time to live"):
        parse_config("models: [{name: m, outliers: {worst_rows: 5}}]", "c")
    assert parse_config("models: [{name: m, outliers: {worst_rows: 5}, sample: {rows: 100}}]", "c").models[0].outliers is not None
