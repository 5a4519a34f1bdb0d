"""The bounded sample of rows: the same rows however they came, masked features nowhere, gone after its time to live."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.columns import Columns, DictColumn, Schema
from detectors.sample import RowSample, merged, numbered
from monitor.config import parse_config
from monitor.decode.ids import hash_texts
from monitor.events import PartitionKey
from monitor.events import RawBatch as Raw
from monitor.replay import ReplayBatch, replay
from monitor.runtime import build_engine, build_models
from monitor.store import open_store
from monitor.store.schema import model_state, pane
from tests.replayed import sample_of

MASKED = "secret-town"


def schema(rows=20, mask=()):
    return Schema(("a",), ("town",), numbers=("cost",), parts={"sample": {"rows": rows, "mask": list(mask)}})


def columns(names):
    """Rows whose values follow from their names."""
    n = len(names)
    number = np.array([float(len(name) * 7 % 5) if name[-1] != "0" else np.nan for name in names])
    return Columns(
        rows=n,
        numeric={"a": number},
        categorical={"town": DictColumn.from_list([None if name[-1] == "1" else f"t{name[-1]}" for name in names])},
        score=number / 5,
        label=DictColumn.from_list(["yes"] * n),
        latency_ms=number,
        error=np.zeros(n, dtype=bool),
        numbers={"cost": number * 2},
        ids=hash_texts(list(names)),
        ts_ms=np.arange(n, dtype=np.int64) * 0 + 5,
    )


def filled(names, s=None):
    out = RowSample.empty(s or schema())
    if names:
        out.add(columns(names))
    return out


def smallest(names, k):
    """The oracle: a plain sort of all the hashes."""
    return sorted(tuple(h) for h in hash_texts(list(names)).tolist())[:k]


unique_names = st.lists(st.integers(0, 500).map(lambda i: f"id-{i}"), unique=True, max_size=120)


@settings(max_examples=60, deadline=None)
@given(unique_names, st.data())
def test_any_split_and_order_keeps_the_rows_with_the_smallest_hashes(names, data):
    whole = filled(names)
    shuffled = data.draw(st.permutations(names))
    cut = data.draw(st.integers(0, len(names)))
    left, right = filled(shuffled[:cut]), filled(shuffled[cut:])
    stepwise = RowSample.empty(schema())
    for at in range(0, len(shuffled), 7):
        stepwise.add(columns(shuffled[at : at + 7]))
    right.merge(RowSample.from_bytes(left.to_bytes(), schema()))
    for sample in (whole, right, stepwise, merged([filled(shuffled[cut:]), filled(shuffled[:cut])])):
        assert sample.to_bytes() == whole.to_bytes()
    kept = [] if whole.kept is None else [tuple(h) for h in whole.kept.ids.tolist()]
    assert kept == smallest(names, 20)
    if names:
        again = RowSample.from_bytes(whole.to_bytes(), schema()).kept
        np.testing.assert_array_equal(again.numeric["a"], whole.kept.numeric["a"])
        np.testing.assert_array_equal(again.numbers["cost"], whole.kept.numbers["cost"])
        assert again.categorical["town"].to_list() == whole.kept.categorical["town"].to_list()


def test_a_smaller_sample_bounds_the_merged_one():
    """Of the rows that the smaller one dropped nothing is known: more than its limit would be no fair sample."""
    names = [f"n{i}" for i in range(100)]
    small, large = filled(names[:50], schema(rows=5)), filled(names[50:], schema(rows=50))
    large.merge(RowSample.from_bytes(small.to_bytes(), schema(rows=50)))
    assert [tuple(h) for h in large.kept.ids.tolist()] == smallest(names, 5)


def test_the_kept_rows_are_a_fair_sample():
    """Values that rise with the time of arrival: the mean of the sample is that of all, within four standard errors."""
    n, k = 40_000, 1000
    whole = numbered(columns(["x"] * n))
    whole.numeric["a"][:] = np.arange(n)
    ids = hash_texts([f"order-{i}" for i in range(n)])
    for given_ids in (numbered(Columns(**{f: getattr(whole, f) for f in whole.__dataclass_fields__} | {"ids": None})).ids, ids):
        sample = RowSample.empty(schema(rows=k))
        sample.add(Columns(**{f: getattr(whole, f) for f in whole.__dataclass_fields__} | {"ids": given_ids}))
        assert sample.rows == k
        assert abs(sample.kept.numeric["a"].mean() - n / 2) < 4 * n / np.sqrt(12 * k)


CONFIG = """
store: {{url: "{url}"}}
models:
  - name: m
    features: {{a: numeric, town: category}}
    segments: [channel]
    window: {{size: 1m}}
    min_rows: 1
    reference: {{first_windows: 1}}
    sample: {{rows: 15, mask: [town], keep: 1h}}
"""


def messages(count, start=0):
    out = []
    for i in range(start, start + count):
        out.append(json.dumps({
            "event_id": f"e{i}", "ts": 1_767_225_600_000 + i * 1000, "model": "m", "version": str(i % 2),
            "features": {"a": i, "town": MASKED}, "segment": {"channel": f"c{i % 3}"},
        }).encode())  # fmt: skip
    return out


def run(store, cfg, values, first=0):
    models = build_models(cfg, store)
    n = len(values)
    offsets = np.arange(first, first + n, dtype=np.int64)
    raw = Raw(PartitionKey("replay", "t", 0), offsets, np.full(n, -1, dtype=np.int64), values, first + n)
    replay([ReplayBatch("events", raw)], build_engine(cfg, models, ("replay",)), store, 1000, checkpoint_rows=40)
    return models["m"]


@pytest.fixture
def opened(store_url):
    store = open_store(store_url)
    store.migrate()
    yield store, parse_config(CONFIG.format(url="sqlite:///x.db"), "c")
    store.close()


def test_a_window_has_its_sample_until_the_time_to_live_is_over(opened):
    store, cfg = opened
    model = run(store, cfg, messages(4000))  # an hour and seven minutes
    start = 1_767_225_600_000
    found = sample_of(store, model, start)
    assert [tuple(h) for h in found.ids.tolist()] == smallest([f"e{i}" for i in range(60)], 15)
    assert set(found.numeric) == {"a"} and found.categorical == {}
    assert (
        sample_of(store, model, start, version="1").numeric["a"].astype(int).tolist()
        == [i for i in sorted(range(1, 60, 2), key=lambda i: tuple(hash_texts([f"e{i}"])[0].tolist()))][:15]
    )
    before = {r["pane_start_ms"]: r for r in store.rows(pane.select())}
    store.sample_keep_ms = {"m": 3_600_000}
    removed = store.retire(0, panes_ms=10**9, windows_ms=10**12, dead_letters_ms=1)["samples"]
    assert 5 <= removed <= 8
    assert sample_of(store, model, start) is None and sample_of(store, model, start + 3_600_000) is not None
    after = {r["pane_start_ms"]: r for r in store.rows(pane.select())}
    assert {k: v["version"] for k, v in after.items()} == {k: v["version"] for k, v in before.items()}
    assert store.retire(0, panes_ms=10**9, windows_ms=10**12, dead_letters_ms=1) == {}


def test_a_stopped_stream_and_a_sample_switched_off_leave_no_rows(opened):
    store, cfg = opened
    model = run(store, cfg, messages(200))
    store.sample_keep_ms = {"m": 3_600_000}
    assert "samples" not in store.retire(3_600_000, panes_ms=10**9, windows_ms=10**12, dead_letters_ms=1)
    assert store.retire(4_000_000, panes_ms=10**9, windows_ms=10**12, dead_letters_ms=1)["samples"] == 4
    run(store, cfg, messages(200, 200), first=200)
    store.sample_keep_ms = {}
    assert store.retire(2, panes_ms=10**9, windows_ms=10**12, dead_letters_ms=1)["samples"] > 0
    assert all(sample_of(store, model, 1_767_225_600_000 + i * 60_000) is None for i in range(6))


def test_no_masked_value_and_no_row_of_the_learned_reference_is_stored(opened):
    """The masked feature is counted, as its config says, but no row of it is kept; the learned reference keeps no rows."""
    store, cfg = opened
    model = run(store, cfg, messages(200))
    from detectors.window import WindowSummary
    from monitor.baseline import Baseline
    from monitor.panes import Pane

    for row in store.rows(pane.select()):
        loaded = Pane.from_bytes(bytes(row["blob"]), model)
        for (_, segment), summary in loaded.groups.items():
            assert ("sample" in summary.parts) == (segment == "")
            if segment == "":
                assert MASKED.encode() not in summary.parts["sample"].to_bytes() and summary.parts["sample"].rows
    state = {r["name"]: bytes(r["blob"]) for r in store.rows(model_state.select())}
    learned = Baseline.from_bytes(state["baseline"], 1, 5)
    kept = [WindowSummary.from_bytes(b, model.schema, None) for s in learned.windows.values() for b in s.values()]
    assert kept and all(summary.parts["sample"].rows == 0 for summary in kept)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 500), unique=True, min_size=2, max_size=60), st.integers(1, 30))
def test_texts_are_kept_only_where_named_cut_and_the_same_in_any_order(numbers, limit):
    options = {"rows": limit, "mask": [], "texts": ["note"], "text_chars": 12}
    with_texts = Schema(("a",), ("town",), numbers=("cost",), kinds={"note": "text"}, parts={"sample": options})

    def rows(of):
        names = [f"e{i}" for i in of]
        notes = DictColumn.from_list([None if i % 5 == 0 else f"text number {i}" for i in of])
        return replace(columns(names), raw={"note": notes, "other": notes})

    whole, parts = RowSample.empty(with_texts), [RowSample.empty(with_texts) for _ in range(2)]
    whole.add(rows(numbers))
    parts[0].add(rows(numbers[1::2]))
    parts[1].add(rows(numbers[::2]))
    parts[1].merge(parts[0])
    assert parts[1].to_bytes() == whole.to_bytes()
    back = RowSample.from_bytes(whole.to_bytes(), with_texts)
    assert back.to_bytes() == whole.to_bytes() and back.kept.raw["note"].to_list() == whole.kept.raw["note"].to_list()
    assert set(whole.kept.raw) == {"note"} and {len(v) for v in whole.kept.raw["note"].values} <= {12}
    plain = RowSample.empty(schema(limit))
    plain.add(rows(numbers))
    assert plain.to_bytes()[0] == 1 and b"text number" not in plain.to_bytes(), "a sample without texts has the bytes it had"
    masked = replace(with_texts, parts={"sample": {**options, "mask": ["note"]}})
    hidden = RowSample.from_bytes(whole.to_bytes(), masked)
    assert b"text number" not in hidden.to_bytes()


def test_texts_are_those_of_text_features_that_are_not_masked():
    from monitor.config import ConfigError

    features = "features: {a: numeric, note: text, other: text}"
    with pytest.raises(ConfigError) as caught:
        parse_config(f"models: [{{name: m, {features}, sample: {{texts: [a, other], mask: [other]}}}}]", "c")
    found = {p.path: str(p) for p in caught.value.problems}
    assert "no feature 'a' of kind text" in found["models[0].sample.texts[0]"]
    assert "in the mask too" in found["models[0].sample.texts[1]"]


def test_a_mask_names_a_feature():
    from monitor.config import ConfigError

    text = "models: [{name: m, features: {a: numeric}, sample: {mask: [b]}}]"
    with pytest.raises(ConfigError, match="there is no feature 'b'"):
        parse_config(text, "c")
