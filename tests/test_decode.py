"""Decoders: the fast path equals the exact path, bad messages cost themselves alone, ids hash well."""

from __future__ import annotations

import math
import os
from dataclasses import replace

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.columns import Schema
from monitor.decode import DECODERS, scan
from monitor.decode.ids import hash_column, hash_texts
from monitor.decode.native import NativeDecoder
from monitor.decode.settings import NUMBER_FIELDS, DecodeSettings, ModelSchema
from monitor.decode.together import decode_together
from monitor.events import REASONS, PartitionKey, RawBatch
from tests.faults import traffic

KEY = PartitionKey("s", "t", 0)
NOW = 1_767_225_600_000
SETTINGS = DecodeSettings(
    message_bytes=10_000,
    models={
        "credit": ModelSchema(Schema(("age", "income"), ("region",), "binary", "default", numbers=NUMBER_FIELDS), ("channel",)),
        "price": ModelSchema(Schema(("size",), (), "regression"), (), missing_ok=True),
    },
)


def raw(values, key=KEY, first=0, times=NOW):
    n = len(values)
    return RawBatch(key, np.arange(first, first + n), np.full(n, times), list(values), first + n)


def event(**changes):
    base = {
        "event_id": "e1", "ts": NOW, "model": "credit", "version": "3",
        "features": {"income": 5100.5, "age": 40, "region": "MA"}, "prediction": {"label": "default", "score": 0.8},
        "latency_ms": 12.5, "status": "ok", "segment": {"channel": "web"},
    }  # fmt: skip
    return {k: v for k, v in {**base, **changes}.items() if v is not ...}


@pytest.fixture(scope="module", autouse=True, params=["scanner", "arrow"])
def way(request):
    """Everything here holds whether the part in C was built or not."""
    if request.param == "scanner" and not scan.AVAILABLE and not os.environ.get("CI"):
        pytest.skip("monitor/decode/_scan was not built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "AVAILABLE", request.param == "scanner")
        yield request.param


def decoder(name="native"):
    return DECODERS[name](SETTINGS)


def flat(decoded):
    """All that a decoder returned, as comparable rows, in log order."""
    rows = []
    for b in decoded.events:
        c = b.columns
        for i in range(b.rows):
            rows.append(
                (int(b.offsets[i]), b.model, int(b.ts_ms[i]), tuple(b.ids[i].tolist()), b.version.to_list()[i])
                + tuple((s, col.to_list()[i]) for s, col in b.segments.items())
                + tuple((f, repr(float(v[i]))) for f, v in c.numeric.items())
                + tuple((f, v.to_list()[i]) for f, v in c.categorical.items())
                + (repr(float(c.score[i])), c.label.to_list()[i], repr(float(c.latency_ms[i])), bool(c.error[i]))
                + tuple((f, repr(float(v[i]))) for f, v in c.numbers.items())
                + tuple((f, repr(v[i].tolist())) for f, v in c.vectors.items())
                + tuple((f, None if (r := v.row(i)) is None else r.tolist()) for f, v in c.lists.items())
            )
    labels = [
        (int(b.offsets[i]), tuple(b.ids[i].tolist()), b.label.to_list()[i], repr(float(b.value[i])), int(b.label_ts_ms[i]))
        for b in decoded.labels
        for i in range(len(b.label_ts_ms))
    ]
    dead = sorted((d.offset, d.index, d.reason, d.detail) for d in decoded.dead)
    return sorted(rows), sorted(labels), dead


def one_by_one(values, role="events"):
    found = ([], [], [])
    for i, value in enumerate(values):
        for out, part in zip(
            found, flat(getattr(NativeDecoder(SETTINGS, scanner=False), role)(raw([value], first=i))), strict=True
        ):
            out += part
    return tuple(sorted(part) for part in found)


ODD = [
    *traffic.POISON,
    orjson.dumps(event(ts="2026-01-01T00:00:00.123Z")), orjson.dumps(event(ts="2026-01-01T01:00:00+01:00")),
    orjson.dumps(event(ts=None)), orjson.dumps(event(ts=True)), orjson.dumps(event(ts=1.5)), orjson.dumps(event(ts=-5)),
    orjson.dumps(event(event_id="")), orjson.dumps(event(event_id=7)), orjson.dumps(event(event_id="x" * 600)),
    orjson.dumps(event(version=3)), orjson.dumps(event(version=...)), orjson.dumps(event(status=500)),
    orjson.dumps(event(status="failed")), orjson.dumps(event(features={"income": True, "region": 3})),
    orjson.dumps(event(features=None)), orjson.dumps(event(features=[1])), orjson.dumps(event(prediction={"label": 1})),
    orjson.dumps(event(segment={"channel": "ü\u2028\U0001f600"})), orjson.dumps(event(features={"region": "y" * 2000})),
    orjson.dumps(event(model="price", features={"size": 3}, prediction={"value": 2.5})),
    b'{"event_id":"p","ts":%d,"model":"price","features":{"size":NaN},"prediction":{"value":-Infinity}}' % NOW,
    orjson.dumps(event()) + b"\n", b" " + orjson.dumps(event()), orjson.dumps(event()) + orjson.dumps(event()),
    orjson.dumps([event(event_id="a"), event(event_id="b"), 5]), orjson.dumps({"events": [event(event_id="c")]}),
    orjson.dumps(event(cost_usd=0.002, tokens_in=120, tokens_out=30, queue_ms=4.5)), orjson.dumps(event(cost_usd="much")),
    orjson.dumps(event(tokens_in=True)), orjson.dumps(event())[:-1] + b',"queue_ms":NaN}', orjson.dumps(event(tokens_out=[1])),
    orjson.dumps(event(model="price", cost_usd="much", prediction={"probabilities": 3})),
    orjson.dumps(event(extra={"deep": [[[[1]]]]})), orjson.dumps(event(), option=orjson.OPT_INDENT_2),
    b'{"event_id":"twice","event_id":"twice","ts":1,"model":"credit"}',
    orjson.dumps(event(extra="z" * 20_000)), b'{"a":' * 100 + b"1" + b"}" * 100, orjson.dumps(event(features={"income": 10**400 if False else 1e308})),
    b'{"event_id":"big","ts":%d,"model":"credit","features":{"income":1e400}}' % NOW,
    b'{"event_id":"huge","ts":%d,"model":"credit","features":{"income":123456789012345678901234567890}}' % NOW,
]  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_the_fast_path_equals_the_exact_path(seed):
    rng = np.random.default_rng(seed)
    values = [r.value for r in traffic.make(300, 1, seed=seed) if r.topic == "events"] + ODD
    values = [values[i] for i in rng.permutation(len(values))]
    assert flat(decoder().events(raw(values))) == one_by_one(values)


def test_fast_and_exact_labels_are_equal():
    items = [{"event_id": f"l{i}", "label": "yes", "label_ts": NOW + i} for i in range(40)]
    odd = [{"event_id": "x", "label": v} for v in (1, 2.5, 3.0, True, None, "", "n" * 2000, [1])] + [
        {"label": "a"}, {"event_id": "t", "label": "a", "label_ts": "2026-01-01T00:00:00Z"}, {"event_id": "u", "label": "a"}, 4,
    ]  # fmt: skip
    for kind in ("yes", 1, 2.5, True):
        values = [orjson.dumps({**i, "label": kind}) for i in items] + [orjson.dumps(o) for o in odd] + [b"{", None]
        assert flat(decoder().labels(raw(values))) == one_by_one(values, "labels")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(["event_id", "ts", "model", "version", "features", "prediction", "status", "latency_ms", "segment"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(fields, json_values), max_size=12), st.binary(max_size=40))
def test_no_message_breaks_the_decoder_or_its_neighbours(changes, noise):
    good = [orjson.dumps(event(event_id=f"g{i}")) for i in range(12)]
    bad = [
        orjson.dumps(event(event_id="odd", **{k: v})) if k != "event_id" else orjson.dumps(event(event_id=v)) for k, v in changes
    ]
    values = good[:6] + bad + [noise] + good[6:]
    decoded = decoder().events(raw(values))
    assert flat(decoded) == one_by_one(values)
    assert sum(b.rows for b in decoded.events) >= 12
    assert all(d.reason in REASONS for d in decoded.dead)


def test_partitions_decoded_together_stay_apart():
    values = [r.value for r in traffic.make(200, 1) if r.topic == "events"]
    parts = [values[:50], values[50:51], values[51:]]
    batches = [raw(p, PartitionKey("s", "t", i), first=100 * i) for i, p in enumerate(parts)]
    together = decode_together(decoder().events, batches)
    for batch, found in zip(batches, together, strict=True):
        assert flat(found) == flat(decoder().events(batch))


def test_reasons_say_place_value_and_what_is_allowed():
    values = [
        orjson.dumps(event(features={"income": "rich"})),
        orjson.dumps(event(model="nobody")),
        orjson.dumps(event(ts=NOW + 10**9)),
    ]
    found = {d.reason: d.detail for d in decoder().events(raw(values)).dead}
    assert found == {
        "wrong_type": "features.income is string, must be a number",
        "unknown_model": "model 'nobody' is not in the config, which has credit, price",
        "future": "ts is 1000000000 ms ahead of the record; limits.future allows 300000",
    }


def test_hashes_do_not_depend_on_the_column_and_do_not_collide():
    texts = [f"id-{i}" for i in range(200_000)] + ["", "a", "a\0", "é" * 40]
    hashes = hash_texts(texts)
    assert len({tuple(h) for h in hashes.tolist()}) == len(texts)
    assert (hash_texts(texts[5:6]) == hashes[5]).all()
    assert (hash_column(pa.array(texts)[7:20]) == hashes[7:20]).all()
    bits = np.unpackbits(hashes[:100_000].copy().view(np.uint8), axis=1).mean(axis=0)
    assert np.abs(bits - 0.5).max() < 0.01


def test_a_hash_is_what_it_was_in_the_first_release():
    assert hash_texts(["event-1"]).tolist() == [[10173905578702151622, 10890196846212920982]]


def cloud(side, data, name="r1", **more):
    return orjson.dumps(
        {"specversion": "1.0", "id": name, "type": f"org.kubeflow.serving.inference.{side}", "data": data,
         "time": "2026-01-01T00:00:00Z", "inferenceservicename": "credit", **more}
    )  # fmt: skip


V1 = cloud("request", {"instances": [{"income": 1.0, "age": 2, "region": "MA"}, {"income": 3.0, "age": 4, "region": "NY"}]})
V1_ANSWER = cloud("response", {"predictions": [{"label": "default", "score": 0.9}, {"label": "repaid", "score": 0.1}]},
                  time="2026-01-01T00:00:00.050Z")  # fmt: skip
V2 = cloud("request", {"inputs": [{"name": "income", "shape": [2], "datatype": "FP64", "data": [1.0, 3.0]},
                                  {"name": "age", "shape": [2, 1], "datatype": "INT64", "data": [2, 4]},
                                  {"name": "region", "shape": [2], "datatype": "BYTES", "data": ["MA", "NY"]}]})  # fmt: skip
V2_ANSWER = cloud("response", {"model_name": "credit", "model_version": "7", "outputs": [
    {"name": "label", "shape": [2], "datatype": "BYTES", "data": ["default", "repaid"]},
    {"name": "score", "shape": [2], "datatype": "FP32", "data": [0.9, 0.1]}]}, time="2026-01-01T00:00:00.050Z")  # fmt: skip


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(("request_", "answer", "version"), [(V1, V1_ANSWER, None), (V2, V2_ANSWER, "7")])
def test_kserve_joins_request_and_response(request_, answer, version, order):
    d = decoder("kserve")
    messages = [request_, answer][::order]
    assert d.events(raw(messages[:1])).events == []
    restored = decoder("kserve")
    restored.restore(KEY, d.pending(KEY))  # as after a restart
    [batch] = restored.events(raw(messages[1:], first=1)).events
    assert batch.columns.numeric["income"].tolist() == [1.0, 3.0] and batch.columns.numeric["age"].tolist() == [2.0, 4.0]
    assert batch.columns.categorical["region"].to_list() == ["MA", "NY"] and batch.columns.label.to_list() == ["default", "repaid"]
    assert batch.columns.score.tolist() == [0.9, 0.1] and batch.columns.latency_ms.tolist() == [50.0, 50.0]
    assert batch.version.to_list() == [version] * 2
    assert (batch.ids == hash_texts(["r1-0", "r1-1"])).all()


def test_kserve_refuses_what_does_not_fit_and_bounds_what_waits(monkeypatch):
    monkeypatch.setattr("monitor.decode.kserve.PENDING", 2)
    d = decoder("kserve")
    bad = [b"{", cloud("else", {}), cloud("request", {"nothing": 1}), cloud("response", {"predictions": [1.0]}, "r2"),
           cloud("request", {"instances": [[1], [2]]}, "r2")]  # fmt: skip
    found = d.events(raw(bad))
    assert [x.reason for x in found.dead] == ["undecodable", "undecodable", "wrong_type"]
    more = d.events(raw([cloud("request", {"instances": [[1]]}, f"n{i}") for i in range(2)], first=5))
    assert [x.reason for x in more.dead] == ["unpaired", "unpaired"]
    d.forget(KEY)
    assert d.pending(KEY) is None


def test_nothing_is_not_a_number():
    assert math.isnan(decoder().events(raw([orjson.dumps(event(prediction=None))])).events[0].columns.score[0])


@pytest.mark.parametrize("fields", ['"other":NaN,"event_id":"%s"', '"event_id":"e","features":{"region":"%s","income":Infinity}',
                                    '"event_id":"e","other":1e999,"version":"%s"', '"event_id":"e","segment":{"%s":NaN}'])  # fmt: skip
@pytest.mark.parametrize("text", ["\\ud800", "\\udfff x", "\\u0000"])
@pytest.mark.parametrize("role", ["events", "labels"])
def test_what_is_no_character_is_refused_where_numbers_are_no_json_too(fields, text, role):
    """Half a surrogate pair in an id, a class or a reason would end the daemon where it is hashed or stored."""
    message = f'{{"ts":{NOW},"model":"credit","label":1,{fields % text}}}'.encode()
    settings = DecodeSettings(models={name: replace(spec, missing_ok=True) for name, spec in SETTINGS.models.items()})
    found = getattr(DECODERS["native"](settings), role)(raw([message]))
    assert [x.reason for x in found.dead] == ["undecodable"] and not found.events and not found.labels
    found.dead[0].detail.encode()


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 400])
def test_a_number_beyond_every_float_is_infinite(number):
    message = f'{{"event_id":"e","ts":{NOW},"model":"credit","features":{{"income":{number}}}}}'.encode()
    [letter] = decoder().events(raw([message])).dead
    assert letter.reason == "non_finite" and letter.detail.startswith("features.income is")
