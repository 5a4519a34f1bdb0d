"""Predictions that stop coming are as missing as a feature that does: a breach, and `unsure`, never no row at all."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from monitor.references import build_reference
from tests.replayed import START, open_replay, replay_events, scores_of

MODEL = """
models:
  - name: m
    task: %s
    features: {x: numeric}
    window: {size: 1m, allowed_lateness: 0s}
    reference: {first_windows: 2}
    min_rows: 30
"""
BINARY = 'binary\n    positive_label: "1"'
ROWS = 150


def run(folder, task, prediction, built=False, labels=False):
    """Three windows; prediction(window, row) is the event's."""
    rng = np.random.default_rng(1)
    cfg, store = open_replay(folder, MODEL % task)
    if built:
        frame = pd.DataFrame({"x": rng.normal(size=600), "label": rng.choice(["0", "1"], 600)})
        frame["prediction.label"], frame["prediction.score"] = rng.choice(["0", "1"], 600), rng.random(600)
        frame.to_parquet(folder / "r.parquet")
        list(build_reference(cfg, store, "m", folder / "r.parquet", (), True))
    events = [
        {
            "event_id": f"{w}-{i}",
            "ts": START + w * 60_000 + i * 100,
            "model": "m",
            "features": {"x": rng.normal()},
            **prediction(w, i),
        }
        for w in range(3)
        for i in range(ROWS)
    ]
    given = [{"event_id": e["event_id"], "label": "1", "label_ts": e["ts"]} for e in events] if labels else []
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        replay_events(cfg, store, folder, events, given)
    found = scores_of(store)
    store.close()
    return found


def scored(w, i):
    return {"prediction": {"label": "01"[i % 2], "score": (i % 97) / 97}}


@pytest.mark.parametrize("built", [False, True], ids=["learned", "built"])
def test_predictions_that_stop_are_missing_absent_and_unsure(tmp_path, built):
    found = run(tmp_path, BINARY, lambda w, i: scored(w, i) if w < 2 else {}, built, labels=True)
    for w, share in ((1, 0.0), (2, 1.0)):
        assert found[w, "", "prediction", "missing_share"]["value"] == share
        if built or share:  # the second window is part of what is learned
            assert found[w, "", "prediction", "absent"]["level"] == ("breach" if share else "ok")
    assert found[2, "", "prediction", "missing_share"]["level"] == "breach"
    drift = found[2, "", "prediction", "drift"]
    assert (drift["level"], drift["value"], drift["evidence"]["reason"]) == ("unsure", None, "all its values are missing")
    assert found[2, "", "labels", "unusable_share"]["level"] == "breach", "labels without a prediction say nothing"
    assert found[1, "", "labels", "unusable_share"]["level"] == "ok"


@pytest.mark.parametrize("built", [False, True], ids=["learned", "built"])
def test_a_part_of_them_that_is_missing_is_judged_like_that_of_a_feature(tmp_path, built):
    found = run(tmp_path, BINARY, lambda w, i: scored(w, i) if w < 2 or i % 3 else {}, built)
    row = found[2, "", "prediction", "missing_share"]
    assert (round(row["value"], 3), row["level"]) == (0.333, "breach") and row["rule"].startswith("calibrated missing_share")
    assert found[2, "", "prediction", "absent"]["level"] == "ok"


def test_scores_that_stop_where_labels_go_on_are_missing(tmp_path):
    found = run(tmp_path, BINARY, lambda w, i: scored(w, i) if w < 2 else {"prediction": {"label": "01"[i % 2]}}, built=True)
    assert found[2, "", "prediction", "missing_share"]["level"] == found[2, "", "prediction", "absent"]["level"] == "breach"
    assert found[2, "", "prediction", "drift"]["evidence"]["statistic"] == "cramers_v", "labels are compared with labels"


def test_labels_alone_are_missing_too(tmp_path):
    found = run(tmp_path, "multiclass", lambda w, i: {"prediction": {"label": "ab"[i % 2]}} if w < 2 else {})
    assert found[2, "", "prediction", "missing_share"]["level"] == found[2, "", "prediction", "absent"]["level"] == "breach"
    assert found[2, "", "prediction", "drift"]["level"] == "unsure"


def test_a_model_without_predictions_has_none_missing(tmp_path):
    found = run(tmp_path, "none", lambda w, i: {})
    assert not [key for key in found if key[2] == "prediction"]


def test_labels_that_are_no_labels_of_the_task_are_a_breach_of_their_own(tmp_path):
    cfg, store = open_replay(tmp_path, MODEL % BINARY)
    frame = pd.DataFrame({"x": range(60), "label": [["1"]] * 60, "prediction.label": ["1"] * 60})
    frame.to_parquet(tmp_path / "r.parquet")
    lines = list(build_reference(cfg, store, "m", tmp_path / "r.parquet", (), True))
    assert "taken as unlabelled: label is array, must be a string (60 rows)" in lines
    store.close()


def test_scores_without_a_predicted_label_have_the_metrics_of_scores(tmp_path):
    rng = np.random.default_rng(2)
    y = rng.random(ROWS) < 0.4
    score = np.clip(0.3 * y + 0.7 * rng.random(ROWS), 0, 1)
    cfg, store = open_replay(tmp_path, MODEL % BINARY)
    events = [
        {"event_id": str(i), "ts": START + i * 100, "model": "m", "features": {"x": 1.0}, "prediction": {"score": float(score[i])}}
        for i in range(ROWS)
    ]
    replay_events(
        cfg, store, tmp_path, events, [{"event_id": str(i), "label": "01"[int(y[i])], "label_ts": START} for i in range(ROWS)]
    )
    found = {key[2:]: row for key, row in scores_of(store).items() if key[:2] == (0, "")}
    store.close()
    of = {"roc_auc": metrics.roc_auc_score(y, score), "pr_auc": metrics.average_precision_score(y, score)}
    of |= {"brier": metrics.brier_score_loss(y, score), "log_loss": metrics.log_loss(y, score)}
    for name, value in of.items():
        assert found["performance", name]["value"] == pytest.approx(value, abs=1e-3) and found["performance", name]["rows"] == ROWS
    for name in ("accuracy", "recall", "f1", "mcc"):
        row = found["performance", name]
        assert (row["value"], row["level"]) == (None, "unsure") and "scores alone" in row["evidence"]["reason"]
    assert found["labels", "coverage"]["value"] == 1.0 and found["labels", "unusable"]["value"] == 0.0


def test_scores_alone_are_judged_and_estimated_as_scores_and_nothing_is_said_of_labels(tmp_path):
    rng = np.random.default_rng(4)

    def drawn(n):
        score = 1.0 / (1.0 + np.exp(-rng.normal(-1.0, 1.5, n)))
        return score, rng.random(n) < score

    value = '\n    performance: {value: {"1": {"0": -5.0, "1": 9.0}}}'
    cfg, store = open_replay(tmp_path, MODEL % (BINARY + value))
    score, y = drawn(2000)
    pd.DataFrame({"x": score, "prediction.score": score, "label": np.array(["0", "1"])[y * 1]}).to_parquet(tmp_path / "r.parquet")
    list(build_reference(cfg, store, "m", tmp_path / "r.parquet", (), True))
    score, y = drawn(400)
    events = [
        {"event_id": str(i), "ts": START + i, "model": "m", "features": {"x": float(s)}, "prediction": {"score": float(s)}}
        for i, s in enumerate(score)
    ]
    replay_events(
        cfg, store, tmp_path, events, [{"event_id": str(i), "label": "01"[int(v)], "label_ts": START} for i, v in enumerate(y)]
    )
    found = {key[2:]: row for key, row in scores_of(store).items() if key[:2] == (0, "")}
    store.close()
    assert not [key for key in found if key[0] == "analysis"]
    for subject in ("performance", "estimated_performance"):
        assert found[subject, "roc_auc"]["value"] == pytest.approx(metrics.roc_auc_score(y, score), abs=0.05)
        row = found[subject, "accuracy"]
        assert (row["value"], row["level"]) == (None, "unsure") and "scores alone" in row["evidence"]["reason"]
