"""A column whose reference has one value only: it is judged like any other, by default, whether it stays as it is or changes."""

from __future__ import annotations

import pandas as pd
import pytest

from monitor.references import build_reference
from monitor.store.schema import alert_history
from tests.replayed import START, open_replay, replay_events, scores_of

ROWS, FIRST, WINDOWS = 400, 3, 6  # the last window has changed
MODEL = """
models:
  - name: m
    task: binary
    positive_label: "yes"
    features: {x: numeric, noise: numeric, c: category, b: boolean, still: category}
    window: {size: 1m, allowed_lateness: 0s}
"""
OUTPUT = """
alerts: {channels: {log: {type: log}}, route: {channels: [log]}}
"""
FIRST_WINDOWS = MODEL + f"    reference: {{first_windows: {FIRST}}}\n" + OUTPUT


def events(windows):
    for w in range(windows):
        changed = w == windows - 1
        for i in range(ROWS):
            yield {
                "event_id": f"{w}-{i}",
                "ts": START + w * 60_000 + i * 100,
                "model": "m",
                "features": {
                    "x": 7.0 if changed else 3.0,
                    "noise": i / 40.0 if changed else 3.0,
                    "c": "z" if changed else "a",
                    "b": changed,
                    "still": "s",
                },
                "prediction": {"label": "yes" if changed else "no", "score": 0.9 if changed else 0.1},
            }


@pytest.fixture(scope="module", params=["learned", "built"])
def lived(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    cfg, store = open_replay(folder, FIRST_WINDOWS if request.param == "learned" else MODEL + OUTPUT)
    windows = WINDOWS if request.param == "learned" else 2
    if request.param == "built":
        frame = pd.DataFrame({"x": [3.0] * 400, "noise": 3.0, "c": "a", "b": False, "still": "s"})
        frame["prediction.label"], frame["prediction.score"], frame["label"] = "no", 0.1, "no"
        frame.to_parquet(folder / "ref.parquet")
        list(build_reference(cfg, store, "m", folder / "ref.parquet", (), True))
    sent = list(events(windows))
    labels = [{"event_id": e["event_id"], "label": e["prediction"]["label"], "label_ts": e["ts"] + 1} for e in sent]
    replay_events(cfg, store, folder, sent, labels)
    yield request.param, windows, scores_of(store), store.rows(alert_history.select())
    store.close()


@pytest.mark.parametrize("subject", ["x", "noise", "c", "b", "prediction"])
def test_one_value_that_became_others_is_a_breach_and_alarms(lived, subject):
    _, windows, found, alerts = lived
    score = found[(windows - 1, "", subject, "drift")]
    assert (score["level"], score["rule"]) == ("breach", "calibrated drift") and score["value"] > score["threshold"] > 0
    assert subject in {a["subject"] for a in alerts if a["status"] == "firing"}


def test_so_it_is_of_labels(lived):
    kind, windows, found, _ = lived
    if kind == "built":  # labels are compared with those of a built reference
        assert found[(windows - 1, "", "target", "drift")]["level"] == "breach"


def test_one_value_that_stays_is_ok_by_a_limit_and_not_by_default(lived):
    _, windows, found, alerts = lived
    for name in ("drift", "js"):
        score = found[(windows - 1, "", "still", name)]
        assert (score["value"], score["level"]) == (0.0, "ok") and score["threshold"] > 0.05
    assert "still" not in {a["subject"] for a in alerts}
