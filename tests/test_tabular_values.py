"""A column of a file means what the same values mean in events, whatever its type: the event decoder is the oracle."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from detectors.columns import Schema
from monitor.config import parse_config
from monitor.decode.native import NativeDecoder
from monitor.decode.settings import DecodeSettings, ModelSchema
from monitor.files import replay_batches
from monitor.references import build_reference
from monitor.replay import replay
from monitor.runtime import build_engine, build_models, decode_settings
from monitor.tabular import Reader, names_of, read_batches
from monitor.tabular_lists import FileProblem
from tests.replayed import START, open_replay, replay_events, scores_of
from tests.test_decode import NOW, raw

SCHEMA = Schema(("x",), ("c",), "binary", positive_label="1", numbers=("cost_usd",))
CONFIG = """
models:
  - name: m
    task: binary
    positive_label: "1"
    features: {x: numeric, c: category}
    segments: [s]
    non_finite: %s
"""
FIELDS = {
    "x": ("features", "x"), "c": ("features", "c"), "s": ("segment", "s"), "version": ("version",), "latency_ms": ("latency_ms",),
    "cost_usd": ("cost_usd",), "status": ("status",), "prediction.label": ("prediction", "label"),
    "prediction.score": ("prediction", "score"),
}  # fmt: skip
COLUMNS = {
    "float": pa.array([1.5, None, math.inf, -math.inf, -0.0, 1e308, 7.0]),
    "int": pa.array([1, None, 2**53 + 1, -(2**63), 500]),
    "uint": pa.array([2**64 - 1, 0], pa.uint64()),
    "bool": pa.array([True, None, False]),
    "text": pa.array(["1.5", None, "word", "", "inf", "ok", "x" * 1001, "ä"]),
    "large text": pa.array(["a", None], pa.large_string()),
    "names": pa.array(["a", "b", None, "a"]).dictionary_encode(),
    "list": pa.array([[1, 2], None, []]),
    "texts": pa.array([["a"], None]),
    "null": pa.nulls(3),
    "half": pa.array([np.float16(1.5), None], pa.float16()),
}

OWN_RULE = [("float", "status"), ("half", "status")]  # codes with gaps are floats in files: they have a test of their own


def rows_of(field, array):
    """The same values as events."""
    path = FIELDS[field]
    for i, value in enumerate(array.to_pylist()):
        event = {"event_id": f"e{i}", "ts": NOW, "model": "m"}
        yield {**event, **({path[0]: {path[1]: value}} if len(path) > 1 else {path[0]: value})}


def decoded_json(field, array, lenient):
    settings = DecodeSettings(models={"m": ModelSchema(SCHEMA, ("s",), lenient)})
    lines = [json.dumps(event).encode() for event in rows_of(field, array)]  # json.dumps writes Infinity
    return NativeDecoder(settings).events(raw(lines))


def decoded_file(tmp_path, field, array, lenient, **more):
    path = tmp_path / "t.parquet"
    rows = len(array)
    table = {"ts": pa.array([NOW] * rows), "event_id": pa.array([f"e{i}" for i in range(rows)]), field: array, **more}
    pq.write_table(pa.table(table), path)
    cfg = parse_config(CONFIG % ("missing" if lenient else "reject"), "c")
    settings = DecodeSettings(models={"m": ModelSchema(SCHEMA, ("s",), lenient)})
    [piece] = list(replay_batches(path, None, cfg, settings, None)[0])
    return piece.decoded


def flat(decoded):
    rows = []
    for b in decoded.events:
        c = b.columns
        texts = [b.version, b.segments["s"], c.label, c.categorical["c"]]
        numbers = [c.numeric["x"], c.score, c.latency_ms, c.numbers["cost_usd"], c.error.astype(float)]
        values = zip(
            b.offsets.tolist(), *(t.to_list() for t in texts), *(np.where(np.isnan(n), -1e99, n) for n in numbers), strict=True
        )
        rows += [tuple(v) for v in values]
    return rows, sorted((d.offset, d.reason, d.detail) for d in decoded.dead)


@pytest.mark.parametrize("lenient", [False, True], ids=["reject", "missing"])
@pytest.mark.parametrize(("kind", "field"), [(k, f) for k in COLUMNS for f in FIELDS if (k, f) not in OWN_RULE])
def test_any_column_is_read_as_the_events_that_hold_its_values(tmp_path, kind, field, lenient):
    array = COLUMNS[kind]
    expected, dead = flat(decoded_json(field, array, lenient))
    assert flat(decoded_file(tmp_path, field, array, lenient)) == (expected, dead)


def test_a_nul_character_is_refused_as_the_decoder_refuses_its_message(tmp_path):
    array = pa.array(["a\0b", "a"])
    for field in ("c", "s", "version", "prediction.label", "status"):
        [(offset, reason, detail)] = flat(decoded_file(tmp_path, field, array, False))[1]
        assert (offset, reason) == (0, "undecodable") and "NUL" in detail
        assert flat(decoded_json(field, array, False))[1][0][:2] == (0, "undecodable")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e300"])
def test_a_time_that_is_no_finite_number_costs_its_event_and_not_the_daemon(value):
    line = b'{"event_id": "e", "model": "m", "ts": %s}' % value.encode()
    [letter] = NativeDecoder(DecodeSettings(models={"m": ModelSchema(SCHEMA)})).events(raw([line])).dead
    assert letter.reason == "wrong_type" and letter.detail.startswith("ts is number, must be")
    label = b'{"event_id": "e", "label": 1, "label_ts": %s}' % value.encode()
    [letter] = NativeDecoder(DecodeSettings()).labels(raw([label])).dead
    assert letter.reason == "wrong_type"


def test_codes_of_a_status_with_gaps_are_codes(tmp_path):
    found = decoded_file(tmp_path, "status", pa.array([200.0, None, 404.0, 500.0]), False)
    assert found.events[0].columns.error.tolist() == [False, False, True, True] and not found.dead


TIMES = pa.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC), None])


@pytest.mark.parametrize(
    ("array", "number", "texts"),
    [
        (TIMES, "datetime", ["2026-01-01 00:00:00+00:00", None]),
        (pa.array([dt.date(2026, 1, 1)]), "date", ["2026-01-01"]),
        (pa.array([2**62], pa.timestamp("us")), "string", ["2**62"]),
        (pa.array([dt.timedelta(seconds=5)]), "timedelta", ["0:00:05"]),
        (pa.array([b"abc", b"\xff"]), "bytes", ["abc", None]),
        (pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())), "array", [None]),
        (pa.array([decimal.Decimal("1.50"), None]), None, ["1.50", None]),
    ],
    ids=["timestamp", "date", "year 148000", "duration", "bytes", "map", "decimal"],
)  # fmt: skip
def test_types_that_events_do_not_have_are_no_numbers_and_texts_as_they_are_written(tmp_path, array, number, texts):
    found = decoded_file(tmp_path, "x", array, False)
    there = [i for i, v in enumerate(array.is_valid().to_pylist()) if v]
    if number is None:
        assert found.events[0].columns.numeric["x"].tolist() == pytest.approx([1.5, math.nan], nan_ok=True)
    else:
        assert {(d.offset, d.reason, d.detail) for d in found.dead} == {
            (i, "wrong_type", f"features.x is {number}, must be a number") for i in there
        }
    found = decoded_file(tmp_path, "c", array, False)
    values = {b: t for e in found.events for b, t in zip(e.offsets.tolist(), e.columns.categorical["c"].to_list(), strict=True)}
    dead = {d.offset: d.reason for d in found.dead}
    for i, text in enumerate(texts):
        if text is None and i in there:
            assert dead[i] in ("wrong_type", "undecodable")
        else:
            assert text == "2**62" or values[i] == text


def test_nan_in_a_column_is_missing(tmp_path):
    array = pa.array([math.nan, 1.0], from_pandas=False)
    assert array.null_count == 0
    for field in ("x", "c"):
        assert not decoded_file(tmp_path, field, array, False).dead
    assert decoded_file(tmp_path, "c", array, False).events[0].columns.categorical["c"].to_list() == [None, "1"]


def test_a_row_tells_its_first_fault_in_the_decoders_order(tmp_path):
    bad = pa.array(["word"])
    found = decoded_file(tmp_path, "x", bad, False, latency_ms=bad, c=pa.array([[1]]))
    assert [d.detail for d in found.dead] == ["features.x is string, must be a number"]


@pytest.mark.parametrize(
    ("ids", "reasons"),
    [(["a", None, "", "y" * 513], [(1, "missing_field"), (2, "missing_field"), (3, "wrong_type")]), ([1, None, 3, 4], [(1, "missing_field")]),
     ([[1], None, [], [2]], [(0, "wrong_type"), (1, "missing_field"), (2, "wrong_type"), (3, "wrong_type")])],
    ids=["texts", "numbers", "lists"],
)  # fmt: skip
def test_rows_without_an_id_are_refused_and_not_each_others_repeats(tmp_path, ids, reasons):
    found = decoded_file(tmp_path, "x", pa.array([1.0] * 4), False, event_id=pa.array(ids))
    assert [(d.offset, d.reason) for d in found.dead] == reasons


@pytest.mark.parametrize(
    ("times", "reasons"),
    [
        ([NOW, None, -5, 2**62], [(1, "missing_field"), (2, "wrong_type"), (3, "future")]),
        (["2026-01-01", None, "noon", "1969-01-01"], [(1, "missing_field"), (2, "wrong_type"), (3, "wrong_type")]),
        ([float(NOW), math.nan, math.inf, -5.0], [(1, "missing_field"), (2, "wrong_type"), (3, "wrong_type")]),
    ],
    ids=["ms", "texts", "floats"],
)
def test_one_bad_time_costs_its_row(tmp_path, times, reasons):
    found = decoded_file(tmp_path, "x", pa.array([1.0] * 4), False, ts=pa.array(times, from_pandas=False))
    assert [(d.offset, d.reason) for d in found.dead] == reasons
    assert found.events[0].rows == 1


def test_a_column_of_no_times_is_a_mistake_in_the_mapping(tmp_path):
    with pytest.raises(FileProblem, match="column 'ts' is list.* name another one in the model's `columns`"):
        decoded_file(tmp_path, "x", pa.array([1.0]), False, ts=pa.array([[1]]))


def columns_of(path, schema=SCHEMA):
    reader = Reader(path, names_of(path), schema, (), {})
    refused, xs, cs, at = {}, [], [], 0
    for batch in read_batches(path, reader.wanted)[0]:
        mine = {}
        columns = reader.read(batch, mine)[0]
        refused |= {at + row: str(why) for row, why in mine.items()}
        at += batch.num_rows
        xs += columns.numeric["x"].tolist()
        cs += columns.categorical["c"].to_list()
    return xs, cs, refused


def test_csv_has_no_types_so_texts_are_numbers_where_they_read_as_such_and_empty_cells_are_missing(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('x,c\n1.5,a\n,b\nword,\n"2",""\nNaN,a\ninf,1_000\n1_000,x\n')
    xs, cs, refused = columns_of(path)
    assert xs == pytest.approx([1.5, math.nan, math.nan, 2.0, math.nan, math.nan, math.nan], nan_ok=True)
    assert cs == ["a", "b", None, None, "a", "1_000", "x"]
    assert refused == {
        2: "features.x is string, must be a number", 6: "features.x is string, must be a number",
        5: "features.x is inf, must be finite; `non_finite: missing` counts it as missing",
    }  # fmt: skip


def test_a_type_that_changes_late_in_a_csv_file_costs_its_rows_alone(tmp_path):
    path = tmp_path / "t.csv"
    rows = [f"{i},a{'y' * 900}" for i in range(20_000)]
    rows[15_000], rows[18_000] = "1.5,b", "word,c"
    path.write_text("x,c\n" + "\n".join(rows) + "\n")
    assert path.stat().st_size > 16 << 20, "three blocks"
    xs, cs, refused = columns_of(path)
    assert len(xs) == len(cs) == 20_000 and refused == {18_000: "features.x is string, must be a number"}
    assert xs[:3] + xs[14_999:15_002] + xs[-1:] == [0.0, 1.0, 2.0, 14_999.0, 1.5, 15_001.0, 19_999.0]


def test_objects_in_parquet_are_read_by_their_dotted_names_as_in_json_lines(tmp_path):
    table = pa.table(
        {"ts": [NOW], "features": [{"x": 1.5, "c": "a"}], "prediction": [{"label": "1", "score": 0.5}], "other": [{"y": [1]}]}
    )
    path = tmp_path / "t.parquet"
    pq.write_table(table, path)
    assert set(names_of(path)) == {"ts", "features.x", "features.c", "prediction.label", "prediction.score", "other.y"}
    assert columns_of(path) == ([1.5], ["a"], {})
    lines = tmp_path / "t.jsonl"
    lines.write_bytes(orjson.dumps(table.to_pylist()[0]))
    assert columns_of(lines) == columns_of(path)


def test_two_columns_of_one_name_are_a_mistake(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,x\n1,2\n")
    with pytest.raises(FileProblem, match="column 'x' stands twice"):
        names_of(path)
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"]), tmp_path / "t.parquet")
    with pytest.raises(FileProblem, match="column 'x' stands twice"):
        names_of(tmp_path / "t.parquet")


E2E = """
models:
  - name: m
    features: {x: numeric, c: category}
    window: {size: 1m, allowed_lateness: 0s}
    min_rows: 20
    reference: {first_windows: 2}
"""


def test_a_type_that_changes_in_a_file_is_the_breach_that_it_is_in_events(tmp_path):
    """The third window holds text where numbers were due: as a file of columns, and as the same events."""
    rows = [
        (START + w * 60_000 + i * 100, str(i % 7) if w < 2 or i % 2 else "word", "ab"[i % 2]) for w in range(3) for i in range(100)
    ]
    events = [{"event_id": f"t.csv:{n}", "ts": ts, "model": "m", "features": {"x": float(x) if x != "word" else x, "c": c}}
              for n, (ts, x, c) in enumerate(rows)]  # fmt: skip
    found = []
    for kind in ("csv", "jsonl"):
        folder = tmp_path / kind
        folder.mkdir()
        cfg, store = open_replay(folder, E2E)
        if kind == "jsonl":
            replay_events(cfg, store, folder, events)
        else:
            path = folder / "t.csv"
            path.write_text("ts,x,c\n" + "".join(f"{ts},{x},{c}\n" for ts, x, c in rows))
            models = build_models(cfg, store)
            pieces, _ = replay_batches(path, None, cfg, decode_settings(cfg, models), None)
            report = replay(pieces, build_engine(cfg, models, ("replay",)), store, 1)
            assert report.dropped == {"wrong_type": 50}
            assert report.examples["wrong_type"] == "t.csv, message 200: features.x is string, must be a number"
        scores = scores_of(store)
        assert scores[2, "", "schema", "wrong_type_share"]["level"] == "breach"
        assert scores[2, "", "schema", "wrong_type_share"]["evidence"]["events by field"] == {"features.x": 50}
        unnamed = {key: row for key, row in scores.items() if key[3] != "unnamed_features"}  # of messages alone
        found.append({key: (row["value"], row["rows"], row["level"]) for key, row in unnamed.items()})
        store.close()
    assert found[0] == found[1]


def test_a_reference_leaves_out_what_the_stream_would_refuse_and_says_so(tmp_path):
    cfg, store = open_replay(tmp_path, E2E)
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"x": [1.0, math.inf, 3.0, None] * 10, "c": ["a", "b", "a", "y" * 1001] * 10}), path)
    lines = list(build_reference(cfg, store, "m", path, (), True))
    assert lines[2] == (
        "left out, as events like them are refused: features.x is inf, must be finite; `non_finite: missing` counts it as missing "
        "(10 rows); features.c has 1001 characters, at most 1000 are allowed (10 rows)"
    )
    assert "20 rows" in lines[-1]
    for table, why in (
        ({"x": ["a", "b"], "c": ["a", "b"]}, r"no row can be used: features.x is string, must be a number \(2 rows\)\. Correct"),
        ({"x": pa.array([], pa.float64()), "c": pa.array([], pa.string())}, "no rows"),
        ({"x": [1.0], "c": [[1]]}, "features.c is array, must be a string"),
    ):
        pq.write_table(pa.table(table), path)
        with pytest.raises(ValueError, match=why):
            list(build_reference(cfg, store, "m", path, (), True))
    store.close()
