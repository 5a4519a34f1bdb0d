"""Values whose squares no float holds, and functions that raise: each costs the feature its number, with the reason, and no window."""

from __future__ import annotations

import logging
import sys
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from detectors.numeric import GridSummary, make_grid
from detectors.pairs import NumericPair
from detectors.registry import STATISTICS
from detectors.univariate import AUTO, pair_drift
from monitor import analysis, judged_pairs
from monitor.references import build_reference
from tests.replayed import START, open_replay, replay_events, scores_of, windows_of

HOUR = 3_600_000
CONFIG = """
models:
  - name: m
    features: {x: numeric, y: numeric}
    window: {size: 1h, allowed_lateness: 0s}
    multivariate: {pca: true, mahalanobis: true, mmd: [features], correlation: {pairs: [[x, y]]}}
    outliers: {quantile: 0.99}
    profile: nannyml
    statistics: {features: {y: [%s]}}
alerts: {channels: {c: {type: log}}}
"""


def drawn(values, seed=1):
    """Reference and window of these values' law."""
    rng = np.random.default_rng(seed)
    return values(rng, 2000), values(rng, 600)


LAWS = {
    "huge": lambda rng, n: rng.normal(size=n) * 1e300,
    "two huge": lambda rng, n: rng.choice([-1e300, 1e300], n),
    "tiny": lambda rng, n: rng.normal(size=n) * 1e-200,
    "denormal": lambda rng, n: rng.normal(size=n) * 1e-320,
    "one huge": lambda rng, n: np.append(rng.normal(size=n - 1), 1.7e308),
    "up to the greatest": lambda rng, n: rng.uniform(-1.0, 1.0, n) * sys.float_info.max,
    "the greatest and the least": lambda rng, n: rng.choice([-sys.float_info.max, sys.float_info.max], n),
    "half huge": lambda rng, n: np.where(rng.random(n) < 0.5, 0.0, rng.normal(size=n) * 1e200),
}
TWO = ("two huge", "the greatest and the least")  # values in all


def run(tmp_path, reference, window, built=True):
    cfg, store = open_replay(tmp_path, CONFIG % ", ".join(n for n, s in STATISTICS.items() if "numeric" in s.kinds))
    rows = [(hour, i, v) for hour, values in ((0, window), (1, window[:1])) for i, v in enumerate(values)]
    if built:
        pd.DataFrame({"x": reference, "y": reference}).to_parquet(tmp_path / "r.parquet")
        list(build_reference(cfg, store, "m", tmp_path / "r.parquet", (), True))
    else:
        pieces = np.array_split(reference, 5)
        rows = [(hour, i, v) for hour, values in enumerate((*pieces, window)) for i, v in enumerate(values)]
    events = [
        {"event_id": f"{h}-{i}", "ts": START + h * HOUR + i, "model": "m", "features": {"x": float(v), "y": float(v)}}
        for h, i, v in rows
    ]
    replay_events(cfg, store, tmp_path, events)
    assert len(windows_of(store)) == (2 if built else 6)
    return scores_of(store), 0 if built else 5


@pytest.mark.parametrize("built", [True, False], ids=["built", "learned"])
@pytest.mark.parametrize("law", LAWS)
def test_values_without_squares_are_published_and_what_is_no_number_is_unsure(tmp_path, law, built):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found, at = run(tmp_path, *drawn(LAWS[law]), built)
    assert [str(w.message) for w in said if issubclass(w.category, RuntimeWarning)] == []
    mine = {key: s for key, s in found.items() if key[0] == at}
    assert all(s["level"] == "unsure" for s in mine.values() if s["value"] is None)
    drift = mine[at, "", "x", "drift"]
    assert drift["level"] == "ok" and drift["evidence"]["statistic"] in ("ks", "js"), drift
    if drift["evidence"]["statistic"] == "ks":
        assert "only the order counts" in drift["evidence"]["because"]
    for name in ("mean_shift", "wasserstein", "energy", "median_shift") if law not in TWO else ():
        assert mine[at, "", "y", name]["value"] is None, "0 would say that nothing moved"


@pytest.mark.parametrize("law", [law for law in LAWS if law not in TWO])
def test_their_headline_sees_a_shift_as_scipy_does(tmp_path, law):
    reference, window = drawn(LAWS[law])
    with np.errstate(over="ignore"):
        moved = np.abs(window[200:]) + np.abs(window[200:]).max() / 2.0
    window = np.concatenate([window[:200], np.minimum(moved, 1.7e308)])
    found, _ = run(tmp_path, reference, window)
    drift = found[0, "", "x", "drift"]
    assert drift["value"] == pytest.approx(scipy.stats.ks_2samp(reference, window).statistic, abs=0.004)
    assert drift["level"] == "breach", drift


def _raise(*args):
    raise ZeroDivisionError("float division by zero")


def test_a_statistic_that_raises_costs_its_own_score_alone(monkeypatch):
    values = np.random.default_rng(2).normal(size=500)
    summary = GridSummary.empty(make_grid(values))
    summary.add(values)
    pair = NumericPair(summary, summary)
    for broken in (replace(STATISTICS["psi"], value=_raise), replace(STATISTICS["ks"], p_value=_raise)):
        name = "psi" if broken.text == STATISTICS["psi"].text else "ks"
        with monkeypatch.context() as patch:
            patch.setitem(STATISTICS, name, broken)
            found = {s.name: s for s in pair_drift("x", pair, "numeric", "r", AUTO)}
        assert found[name].value != found[name].value
        assert found[name].evidence["reason"] == "it could not be computed: ZeroDivisionError: float division by zero"
        assert found["js"].value == 0.0 and "failed" not in found["js"].evidence
        assert np.isnan(found["drift"].value) == (name == "ks"), "the headline is ks"


@pytest.mark.parametrize("place", ["statistic", "evidence", "null", "table", "analyser"])
def test_what_raises_costs_no_window_and_is_logged(tmp_path, monkeypatch, caplog, place):
    if place == "statistic":
        monkeypatch.setitem(STATISTICS, "rank_shift", replace(STATISTICS["rank_shift"], value=_raise))
    elif place == "evidence":
        monkeypatch.setattr("detectors.evidence.moved", _raise)
    elif place == "null":
        monkeypatch.setattr(judged_pairs, "held", _raise)
    elif place == "table":
        monkeypatch.setattr(judged_pairs, "prepare", _raise)
    else:
        monkeypatch.setitem(analysis.GROUP_ANALYSERS, "quality", _raise)
    with caplog.at_level(logging.WARNING):
        reference, window = drawn(lambda rng, n: rng.normal(size=n))
        found, _ = run(tmp_path, reference, window + 3.0 * (place == "evidence"))
    drift, rank = found[0, "", "x", "drift"], found.get((0, "", "x", "rank_shift"))
    events = {r.msg: getattr(r, "fields", {}) for r in caplog.records}
    if place == "evidence":
        assert drift["level"] == "breach" and drift["evidence"]["statistic"], "what moved is unknown, not that it did"
        assert "ZeroDivisionError" in drift["evidence"]["unexplained"] and "explanation_failed" in events
    elif place == "null":
        assert drift["level"] == "unsure" and "could not be computed" in drift["rule"], drift
        assert "null_failed" in events
    else:
        assert drift["level"] == "ok", drift
    if place == "statistic":
        assert (rank["level"], rank["value"]) == ("unsure", None) and "ZeroDivisionError" in rank["evidence"]["reason"]
        assert events["score_failed"]["score"].startswith("rank_shift") and events["score_failed"]["model"] == "m"
    if place == "analyser":
        failed = found[0, "", "analysis", "failed:quality"]
        assert (failed["level"], failed["value"]) == ("unsure", None) and "ZeroDivisionError" in failed["evidence"]["reason"]
        assert events["score_failed"]["analyser"] == "quality"
