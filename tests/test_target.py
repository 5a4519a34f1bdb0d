"""Target drift: the window's labels against the reference's, classes and numbers, corrections taken back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from detectors.columns import DictColumn, Outcomes, Schema
from detectors.performance import PerformanceSummary
from detectors.target import target_drift
from detectors.univariate import AUTO
from monitor.references import build_reference
from tests.replayed import START, open_replay, replay_events, scores_of


def numbers(values, weight=1) -> PerformanceSummary:
    n = len(values)
    out = PerformanceSummary.empty(Schema((), (), "regression"))
    out.add(Outcomes(DictColumn.missing(n), np.zeros(n), DictColumn.missing(n), np.asarray(values), np.full(n, weight)))
    return out


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_numbers_are_scipys_within_their_cells(scale):
    rng = np.random.default_rng(0)
    r, c = rng.gamma(2, 3, 5000) * scale, rng.gamma(2.5, 3, 2000) * scale
    current = numbers(c)
    wrong = rng.normal(size=50)
    current.add(Outcomes(*[DictColumn.missing(50), np.zeros(50), DictColumn.missing(50), wrong, np.ones(50, dtype=np.int64)]))
    current.add(Outcomes(*[DictColumn.missing(50), np.zeros(50), DictColumn.missing(50), wrong, np.full(50, -1)]))
    found = {s.name: s for s in target_drift(current, numbers(r), "r", AUTO)}
    assert found["ks"].value == pytest.approx(stats.ks_2samp(r, c).statistic, abs=0.01)
    assert found["wasserstein"].value == pytest.approx(stats.wasserstein_distance(r, c) / r.std(), rel=0.03)
    assert found["drift"].rows == 2000 and found["drift"].evidence["statistic"] == "wasserstein"


def test_labels_of_negative_and_zero_value_keep_their_order():
    r = np.array([-5.0, -1.0, 0.0, 1.0, 5.0] * 50)
    found = {s.name: s for s in target_drift(numbers(np.abs(r)), numbers(r), "r", AUTO)}
    assert found["ks"].value == pytest.approx(0.4)


def test_a_reference_that_did_not_count_labels_by_value_is_unsure():
    old = numbers(np.arange(10.0))
    old.arrays["truth"][:] = 0
    (score,) = target_drift(numbers(np.arange(10.0)), old, "r", AUTO)
    assert np.isnan(score.value) and "reference build" in score.evidence["reason"]


def test_labels_that_come_are_held_against_those_of_the_built_reference(tmp_path):
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"x": rng.normal(size=400), "prediction.label": "no", "prediction.score": 0.2})
    frame["label"] = rng.choice(["no", "yes"], 400, p=[0.9, 0.1])
    frame.to_parquet(tmp_path / "ref.parquet")
    text = """
models:
  - name: m
    task: binary
    positive_label: "yes"
    features: {x: numeric}
    window: {size: 1m, allowed_lateness: 0s}
    min_rows: 50
    thresholds: {drift: {breach: 0.2}}
"""
    cfg, store = open_replay(tmp_path, text)
    list(build_reference(cfg, store, "m", tmp_path / "ref.parquet", (), True))
    events = [
        {
            "event_id": str(i),
            "ts": START + i,
            "model": "m",
            "features": {"x": 0.1 * (i % 7)},
            "prediction": {"label": "no", "score": 0.2},
        }
        for i in range(300)
    ]
    labels = [{"event_id": str(i), "label": "yes" if i % 2 else "no", "label_ts": START + i} for i in range(200)]
    replay_events(cfg, store, tmp_path, events, labels)
    found = scores_of(store)
    drift = found[0, "", "target", "drift"]
    assert (drift["level"], drift["rows"]) == ("breach", 200)
    assert drift["evidence"]["statistic"] == "cramers_v" and drift["evidence"]["moved"][0]["after"] == 0.5
    table = [[(frame["label"] == v).sum() for v in ("no", "yes")], [100, 100]]
    assert found[0, "", "target", "chi2"]["value"] == pytest.approx(stats.chi2_contingency(table, correction=False).statistic)
