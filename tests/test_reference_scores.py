"""A reference is described by the scores that describe its windows, on the rows that it was made of; numpy is the oracle."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from monitor.references import build_reference
from monitor.store.schema import reference_score
from tests.replayed import START, open_replay, replay_events, scores_of

CONFIG = """
models:
  - name: m
    task: binary
    positive_label: "1"
    features: {x: numeric, place: category}
    segments: [channel]
    window: {size: 1m}
    reference: {first_windows: 2}
    min_rows: 50
"""
PLACES = np.array(["MA", "NY", "CA"])
QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


def events(windows, rows=400, seed=3):
    rng = np.random.default_rng(seed)
    out = []
    for w in range(windows):
        x, place, score = rng.normal(10.0 + (w >= 3), 2.0, rows), PLACES[rng.integers(0, 3, rows)], rng.random(rows)
        for i in range(rows):
            out.append(
                {"event_id": f"{w}-{i}", "ts": START + w * 60_000 + i * 100, "model": "m", "version": "1",
                 "features": {"x": float(x[i]), "place": "ME" if w >= 3 and place[i] == "MA" else str(place[i])},
                 "segment": {"channel": "web" if i % 4 else "app"},
                 "prediction": {"label": str(int(score[i] > 0.4)), "score": float(score[i])}}
            )  # fmt: skip
    return out


def described(store):
    rows = store.rows(reference_score.select())
    return {(r["reference"], r["segment"], r["subject"], r["score"]): r["value"] for r in rows}


def require_described(found, reference, segment, rows):
    x = np.array([e["features"]["x"] for e in rows])
    for name, q in QUANTILES.items():
        assert found[reference, segment, "x", name] == pytest.approx(np.quantile(x, q), abs=0.03 * x.std()), name
    assert found[reference, segment, "x", "mean"] == pytest.approx(x.mean(), rel=1e-9)
    assert found[reference, segment, "x", "std"] == pytest.approx(x.std(), rel=1e-9)
    places = np.array([e["features"]["place"] for e in rows])
    for place in PLACES:
        assert found[reference, segment, "place", f"share:{place}"] == pytest.approx(np.mean(places == place), rel=1e-12)
    ones = np.mean([e["prediction"]["label"] == "1" for e in rows])
    assert found[reference, segment, "prediction", "share:1"] == pytest.approx(ones, rel=1e-12)
    assert found[reference, segment, "prediction", "p50"] == pytest.approx(
        np.median([e["prediction"]["score"] for e in rows]), abs=0.02
    )


@pytest.fixture
def opened(tmp_path):
    cfg, store = open_replay(tmp_path, CONFIG)
    yield cfg, store, tmp_path
    store.close()


def test_the_learned_reference_is_described_by_segment(opened):
    cfg, store, folder = opened
    sent = events(5)
    replay_events(cfg, store, folder, sent)
    found, learned = described(store), sent[:800]
    assert {key[:2] for key in found} == {("first_2_windows", s) for s in ("", "channel=web", "channel=app")}
    for segment in ("", "channel=web", "channel=app"):
        rows = [e for e in learned if not segment or f"channel={e['segment']['channel']}" == segment]
        require_described(found, "first_2_windows", segment, rows)


def test_a_built_reference_is_described_for_every_segment(opened):
    cfg, store, folder = opened
    rows = events(1, rows=3000, seed=8)
    columns = {name: [e["features"][name] for e in rows] for name in ("x", "place")}
    columns |= {name: [e["prediction"][name] for e in rows] for name in ("label", "score")}
    columns["prediction.label"] = columns.pop("label")
    pq.write_table(pa.table(columns), folder / "train.parquet")
    list(build_reference(cfg, store, "m", folder / "train.parquet", (), True))
    assert described(store) == {}, "no window was compared with it yet"
    replay_events(cfg, store, folder, events(2))
    found = described(store)
    assert {key[:2] for key in found} == {("train-1", "*")}
    require_described(found, "train-1", "*", rows)
    line = store.reading.timeline("m", "1", "channel=web", "x", ["p50", "ks"], 10)["series"]
    assert line["p50"]["reference"] == [found["train-1", "*", "x", "p50"]] * 2 and line["ks"]["reference"] == [None, None]


def test_windows_have_shares_of_what_is_frequent_in_them_or_in_their_reference(opened):
    cfg, store, folder = opened
    sent = events(4)
    replay_events(cfg, store, folder, sent)
    scores = scores_of(store)
    shares = {
        w: {k[3]: v["value"] for k, v in scores.items() if k[:3] == (w, "", "place") and k[3][:6] == "share:"} for w in range(4)
    }
    assert set(shares[0]) == {"share:MA", "share:NY", "share:CA"}, "nothing is known of a reference yet"
    assert shares[3]["share:MA"] == 0.0 and shares[3]["share:ME"] > 0.2, "one vanished, one is new"
    places = [e["features"]["place"] for e in sent[1200:]]
    assert {k: places.count(k[6:]) / 400 for k in shares[3]} == shares[3]


def test_a_description_goes_with_the_last_window_of_its_reference(opened):
    cfg, store, folder = opened
    replay_events(cfg, store, folder, events(3))
    store.retire(10**15, panes_ms=10**15, windows_ms=10**15 - 1, dead_letters_ms=1)
    assert described(store)
    store.retire(10**15, panes_ms=10**15, windows_ms=1, dead_letters_ms=1)
    assert not store.windows("m") and not described(store)
