"""No two scores of a window have one key: names that would make two are refused, and a second one never takes the window along."""

from __future__ import annotations

import logging
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from detectors.score_names import FAMILIES
from monitor.config import ConfigError, parse_config
from monitor.config.subjects import PREFIXES, SUBJECTS, name_problems
from monitor.references import build_reference
from monitor.store.schema import score
from tests.replayed import START, open_replay, replay_events, windows_of

COMPARED = "{champion: '3', challenger: '4', metric: error, mode: %s}"


def said(text):
    with pytest.raises(ConfigError) as caught:
        parse_config(f"models:\n  - name: m\n    task: binary\n    positive_label: d\n    {text}\n", "c.yaml")
    return {p.path: f"{p.message}; {p.fix}" for p in caught.value.problems}


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        *((f"features: {{'{name}': numeric}}", f"models[0].features.{name}", "send the feature under another name") for name in sorted(SUBJECTS)),
        ("features: {'check:a': numeric}", "models[0].features.check:a", "does not begin with check:"),
        ("features: {t: datetime, t.hour: numeric}", "models[0].features.t.hour", "what the feature 't' (datetime) becomes"),
        ("features: {d.words: category, d: text}", "models[0].features.d.words", "what the feature 'd' (text) becomes"),
        (f"compare: [{COMPARED % 'canary'}, {COMPARED % 'shadow'}]", "models[0].compare[1]", "as those of compare[0] do"),
        (
            "performance: {custom: [{name: a_low, function: 'tests.own_metrics:fails'}, {name: a, function: 'tests.own_metrics:fails'}]}",
            "models[0].performance.custom[1].name",
            "taken by an earlier entry",
        ),
    ],
)  # fmt: skip
def test_a_name_that_is_something_elses_is_refused_with_its_place_and_the_fix(text, path, words):
    found = said(text)
    assert words in found[path], found


def test_every_subject_that_the_table_of_scores_names_is_no_name_for_a_feature():
    words = {word for family in FAMILIES for word in re.findall(r"`([a-z_]+(?::(?=[A-Z]))?)", family)}
    assert {"labels", "concept", "check:", "event:"} <= words
    assert words - {"profile"} <= {*SUBJECTS, *PREFIXES}


def test_features_that_are_only_alike_stay():
    kinds = {"t": "datetime", "t.hours": "numeric", "label": "category", "b": "boolean", "checks:a": "numeric", "Target": "numeric"}
    assert not list(name_problems(kinds))


def test_names_that_a_reference_is_inferred_from_are_held_to_the_same(tmp_path):
    cfg, store = open_replay(tmp_path, "models: [{name: m}]\n")
    pd.DataFrame({"a": np.arange(50.0), "traffic": np.arange(50.0)}).to_parquet(tmp_path / "r.parquet")
    with pytest.raises(ValueError, match=r"r\.parquet: 'traffic' is what other scores .*columns: \{features\.NEW: COLUMN\}"):
        list(build_reference(cfg, store, "m", tmp_path / "r.parquet", (), True))
    store.close()
    cfg, store = open_replay(tmp_path, "models: [{name: m, columns: {features.road_traffic: traffic}}]\n")
    lines = list(build_reference(cfg, store, "m", tmp_path / "r.parquet", (), True))
    assert "road_traffic: numeric (inferred; override with --type)" in lines


TWICE = """
models:
  - name: m
    task: binary
    positive_label: d
    features: {x: numeric, y: numeric, t: datetime, k: category, w: text}
    numbers: [cost_usd, cost_usd]
    window: {size: 1h, allowed_lateness: 0s}
    segments: [k]
    fairness: {protected: [k, k], favourable: d}
    statistics: {default: [ks, ks, js, ks], features: {x: [psi, psi]}}
    multivariate: {pca: true, mahalanobis: true, mmd: [features, features], correlation: {pairs: [[x, y], [y, x]], strong: 0.0}}
    outliers: {quantile: 0.99}
    worst_segments: {features: [k, k, x]}
    cost: {budget_usd_per_day: 5}
    profile: evidently
    profile_scores: [anderson, anderson]
    checks: [{name: x, expect: x < 9}]
    quality: {features: {x: {range: [-9, 9]}}}
    compare: [{champion: "1", challenger: "2", metric: error}, {champion: "1", challenger: "2", metric: accuracy}]
    performance: {value: {d: {d: 1, r: -1}}, custom: [{name: own, function: "tests.own_metrics:with_interval"}]}
alerts: {channels: {c: {type: log}}}
"""


def _rows(n, seed):
    rng = np.random.default_rng(seed)
    labels = np.where(rng.random((2, n)) < 0.5, "d", "r")
    for i in range(n):
        yield {
            "event_id": f"{seed}-{i}", "ts": START + seed * 3_600_000 + i, "model": "m", "version": "12"[i % 2],
            "features": {"x": rng.normal(), "y": rng.normal(), "t": "2026-01-01T00:00:00Z", "k": "uv"[i % 3 % 2], "w": "a b"},
            "segment": {"k": "uv"[i % 2]}, "prediction": {"score": rng.random(), "label": labels[0, i]}, "cost_usd": 1.0,
            "latency_ms": 3.0,
        }, {"event_id": f"{seed}-{i}", "label": labels[1, i], "label_ts": START + seed * 3_600_000 + i}  # fmt: skip


def test_no_two_analysers_yield_one_key_whatever_a_config_names_twice(tmp_path, caplog):
    cfg, store = open_replay(tmp_path, TWICE)
    pairs = [pair for hour in (0, 1) for pair in _rows(300, hour)]
    table = [e["features"] | {"score": e["prediction"]["score"], "prediction": e["prediction"]["label"], "label": label["label"]}
             | {"segment_k": e["segment"]["k"], "ts": e["ts"]} for e, label in pairs]  # fmt: skip
    pd.DataFrame(table).to_parquet(tmp_path / "r.parquet")
    list(build_reference(cfg, store, "m", tmp_path / "r.parquet", (), True))
    replay_events(cfg, store, tmp_path, [e for e, _ in pairs], [label for _, label in pairs])
    keys = Counter((r["window_start_ms"], r["version"], r["segment"], r["subject"], r["score"]) for r in store.rows(score.select()))
    assert len(keys) > 1000 and max(keys.values()) == 1
    assert not [r for r in caplog.records if r.msg == "score_of_a_taken_name"]
    subjects = {key[3] for key in keys} - {"x", "y", "k", "t.age_days", "t.hour", "t.weekday", *(f"w.{d}" for d in ("length", "words", "non_letters", "oov"))}  # fmt: skip
    assert {s for s in subjects if not s.startswith(PREFIXES) and "," not in s} <= SUBJECTS
    assert {"concept", "cost", "features", "labels", "multivariate", "target"} <= subjects


def test_a_second_score_of_one_key_is_logged_and_the_window_published(tmp_path, caplog, monkeypatch):
    """A reference of an earlier release may have names that are refused today."""
    monkeypatch.setattr("monitor.config.cross.feature_problems", lambda model, path: iter(()))
    cfg, store = open_replay(
        tmp_path, "models: [{name: m, features: {prediction: numeric}, window: {size: 1h, allowed_lateness: 0s}}]\n"
    )
    event = {"model": "m", "features": {"prediction": 1.0}, "prediction": {"score": 2.0}}
    with caplog.at_level(logging.ERROR):
        replay_events(cfg, store, tmp_path, [event | {"event_id": str(i), "ts": START + i} for i in range(9)])
    assert [w["rows"] for w in windows_of(store)] == [9]
    taken = [r.fields for r in caplog.records if r.msg == "score_of_a_taken_name"]
    assert {f["subject"] for f in taken} == {"prediction"} and taken[0]["analyser"] == "inputs" and taken[0]["model"] == "m"
