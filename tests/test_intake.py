"""Schema drift and repeats: what no summary takes shows in its window, the same however polls cut the log."""

from __future__ import annotations

from collections import Counter

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.columns import Schema
from monitor.checkpoint import Claim
from monitor.decode.native import NativeDecoder
from monitor.decode.settings import DecodeSettings, ModelSchema
from monitor.engine import Engine
from monitor.events import PartitionKey, RawBatch
from monitor.files import replay_batches
from monitor.intake import NAMES, OTHER, SAMPLE_EVERY, Intake
from monitor.model import Model
from monitor.panes import Pane, without_rows
from monitor.replay import replay
from monitor.runtime import build_engine, build_models, decode_settings
from tests.replayed import START, open_replay, replay_events, scored, scores_of, windows_of

SCHEMA = Schema(("income",), ("region",))
KEY = PartitionKey("s", "t", 0)


def log(n=3000, seed=1):
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        event = {
            "event_id": f"e{i - 7 if i % 20 == 9 else i}", "ts": START + int(i * 100 - (rng.random() < 0.05) * 150_000),
            "model": "credit", "features": {"income": float(i % 50), "region": "N"},
        }  # fmt: skip
        if i % 11 == 3:
            event["features"]["income"] = "much"
        if i >= n // 2:
            event["features"]["tenure"] = 3
        out.append(orjson.dumps(event))
    return out


def panes(messages, sizes, record=None):
    """Intake by pane, after the log came in batches of these sizes."""
    model = Model("credit", SCHEMA, 60_000, 60_000, 10_000)
    decoder = NativeDecoder(DecodeSettings(models={"credit": ModelSchema(SCHEMA)}))
    engine = Engine({"credit": model}, {"s": decoder})
    engine.assign([Claim(KEY, "token", 0, None, [], [])])
    at, found = 0, {}
    while at < len(messages):
        size = next(sizes)
        piece = messages[at : at + size]
        offsets = np.arange(at, at + len(piece))
        engine.step("events", RawBatch(KEY, offsets, np.full(len(piece), -1), piece, at + len(piece)))
        at += len(piece)
        cuts = engine.cut(1)
        for cut in cuts:
            for blob in cut.panes:
                found[blob.pane_start_ms] = Pane.from_bytes(blob.blob, model).intake.to_json()
        engine.committed(cuts)
    return found


def forever(rng, size):
    while True:
        yield int(rng.integers(1, size))


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([40, 700, 5000]))
def test_the_intake_is_a_function_of_the_log(seed, size):
    messages = log()
    assert panes(messages, forever(np.random.default_rng(seed), size)) == panes(messages, iter([len(messages)]))


def test_the_intake_counts_what_the_log_holds():
    found = panes(log(), iter([3000]))
    assert sum(f[0] for f in found.values()) > 0
    assert sum(dict(f[2])["features.income"] for f in found.values() if f[2]) <= len([i for i in range(3000) if i % 11 == 3])
    assert sum(f[1] for f in found.values()) == len([i for i in range(0, 3000, SAMPLE_EVERY) if i % 11 != 3])


def test_names_are_bounded_and_old_panes_without_an_intake_are_read():
    intake = Intake()
    for i in range(NAMES + 50):
        intake.count(intake.unnamed, f"f{i}" + "x" * 500)
    assert len(intake.unnamed) == NAMES + 1 and intake.unnamed[OTHER] == 50 and max(map(len, intake.unnamed)) <= 100
    model = Model("credit", SCHEMA, 60_000, 60_000, 10_000)
    pane = Pane("", intake=intake)
    data = pane.to_bytes()
    assert Pane.from_bytes(data, model).intake == intake and Pane.from_bytes(without_rows(data), model).intake == intake
    head = orjson.dumps(["", [], []])
    old = data[:1] + len(head).to_bytes(4, "little") + head
    assert Pane.from_bytes(old, model).intake == Intake()


MODEL = "models: [{name: credit, features: {income: numeric, region: category}, window: {size: 1m, allowed_lateness: 0s}, min_rows: 20}]"


def event(i, **features):
    return {
        "event_id": f"e{i}",
        "ts": START + i * 500,
        "model": "credit",
        "features": {"income": 1.0 * i, "region": "N", **features},
    }


def test_a_type_that_changes_is_a_breach_even_where_every_event_is_refused(tmp_path):
    events = [event(i) for i in range(120)] + [event(i, income=f"{i} EUR") for i in range(120, 240)] + [event(240)]
    found = scored(tmp_path, MODEL, events)
    assert found[0, "", "schema", "wrong_type_share"]["level"] == "ok"
    row = found[1, "", "schema", "wrong_type_share"]
    assert (row["value"], row["rows"], row["level"]) == (1.0, 120, "breach")
    assert row["evidence"] == {"events by field": {"features.income": 120}}


@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_infinite_values_are_a_breach_even_where_every_event_is_refused(tmp_path, value):
    """Python's json writes them so; 1e999 is beyond every float."""
    cfg, store = open_replay(tmp_path, MODEL)
    lines = [
        orjson.dumps(event(i, **({"income": "HERE"} if i >= 120 else {}))).replace(b'"HERE"', value.encode()) for i in range(240)
    ]
    (tmp_path / "e.jsonl").write_bytes(b"\n".join(lines))
    models = build_models(cfg, store)
    pieces, _ = replay_batches(tmp_path / "e.jsonl", None, cfg, decode_settings(cfg, models), None)
    assert replay(pieces, build_engine(cfg, models, ("replay",)), store, 1).dropped == {"non_finite": 120}
    found = scores_of(store)
    store.close()
    assert found[0, "", "schema", "non_finite_share"]["level"] == "ok"
    row = found[1, "", "schema", "non_finite_share"]
    assert (row["value"], row["rows"], row["level"]) == (1.0, 120, "breach")
    assert row["evidence"] == {"events by field": {"features.income": 120}}


def test_an_intake_comes_back_from_its_bytes_and_merges():
    for fields in ((), ("wrong_type",), ("unreadable",), ("non_finite",), ("wrong_type", "unnamed", "unreadable", "non_finite")):
        one, two = Intake(1, 2), Intake(3, 4)
        for name in fields:
            one.count(getattr(one, name), "a")
            two.count(getattr(two, name), "a", 2)
        assert Intake.from_json(orjson.loads(orjson.dumps(one.to_json()))) == one
        one.merge(two)
        assert (one.repeats, one.sampled) == (4, 6) and all(getattr(one, name) == {"a": 3} for name in fields)
    assert Intake.from_json([1, 2, [["a", 1]], []]) == Intake(1, 2, Counter(a=1)), "of an older release"


def test_a_latency_below_0_is_missing_and_said_and_no_good_news(tmp_path):
    events = [event(i) | {"latency_ms": -5.0 if i % 4 == 0 else 20.0} for i in range(120)]
    found = scored(tmp_path, MODEL, events)
    row = found[0, "", "schema", "wrong_type_share"]
    assert (row["value"], row["level"]) == (0.25, "breach")
    assert row["evidence"] == {"events by field": {"latency_ms": 30}, "reason": "latency_ms lies below 0; they count as missing"}
    p50 = found[0, "", "latency", "latency_p50_ms"]
    assert p50["value"] == pytest.approx(20, rel=0.01) and p50["rows"] == 90


def test_a_text_that_is_too_long_is_of_the_wrong_type(tmp_path):
    events = [event(i, region="x" * 1001 if i % 2 else "N") for i in range(120)]
    row = scored(tmp_path, MODEL, events)[0, "", "schema", "wrong_type_share"]
    assert (row["value"], row["level"]) == (0.5, "breach") and row["evidence"] == {"events by field": {"features.region": 60}}


def test_a_new_feature_and_repeats_are_seen(tmp_path):
    cfg, store = open_replay(tmp_path, MODEL)
    events = [event(i, tenure=3) for i in range(120)] + [event(i) for i in range(40)]
    replay_events(cfg, store, tmp_path, events)
    found = scores_of(store)
    assert [w["rows"] for w in windows_of(store)] == [120]
    store.close()
    assert found[0, "", "schema", "unnamed_features"]["value"] == 1
    assert found[0, "", "traffic", "duplicate_share"]["value"] == pytest.approx(40 / 160)


def test_values_of_a_datetime_feature_that_are_no_times_are_of_the_wrong_type(tmp_path):
    config = "models: [{name: m, features: {since: datetime, x: numeric}, window: {size: 1m, allowed_lateness: 0s}}]\n"
    since = ["2025-12-01T10:00:00Z", "not a date", None, "1764583200000"]
    events = [
        {"event_id": f"e{i}", "ts": START + i * 100, "model": "m", "features": {"x": 1.0, "since": since[i % 4]}}
        for i in range(400)
    ]
    found = scored(tmp_path, config, events)[0, "", "schema", "wrong_type_share"]
    assert (found["value"], found["level"], found["rows"]) == (0.25, "breach", 400)
    assert found["evidence"]["events by field"] == {"since": 100} and "since are no times" in found["evidence"]["reason"]
