"""Odd files through the command line: never a traceback, an exit code of the documented ones, a verdict that is not `ok`, words that help."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sqlalchemy.exc import OperationalError

from alerts.presets import DEFAULT
from monitor.cli import main
from monitor.commands import common
from monitor.store import StoreError, StoreUnavailable, open_store
from monitor.store.schema import alert_history
from monitor.store.store import Store
from tests.replayed import START, scores_of

CONFIG = """
store: {url: "sqlite:///%s/r.db"}
models:
  - name: m
    task: binary
    positive_label: "1"
    features: {x: numeric, c: category, b: boolean}
    window: {size: 1m, allowed_lateness: 0s}
    min_rows: 30
alerts: {channels: {log: {type: log}}, route: {channels: [log]}}
"""
N, PER = 240, 120


def plain(n=N, seed=1):
    rng = np.random.default_rng(seed)
    at = np.arange(n)
    return {
        "ts": START + (at // PER) * 60_000 + (at % PER) * 100, "x": rng.normal(size=n), "c": rng.choice(list("abc"), n).tolist(),
        "b": rng.random(n) < 0.5, "prediction.label": rng.choice(["0", "1"], n).tolist(), "prediction.score": rng.random(n),
    }  # fmt: skip


def command(*arguments):
    """(exit code, what it printed); raises what it raised."""
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A store with a reference of 600 plain rows that holds for all time."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "c.yaml").write_text(CONFIG % folder)
    pq.write_table(pa.table(plain(600, 2)), folder / "ref.parquet")
    assert command("reference", "build", "-c", folder / "c.yaml", "--model", "m", "--from", folder / "ref.parquet")[0] == 0
    assert command("reference", "activate", "-c", folder / "c.yaml", "--model", "m", "--all-time", "ref-1")[0] == 0
    return folder


@pytest.fixture
def place(built, tmp_path):
    (tmp_path / "r.db").write_bytes((built / "r.db").read_bytes())
    (tmp_path / "c.yaml").write_text(CONFIG % tmp_path)
    return tmp_path


def replayed(place, table):
    """What a replay printed, the scores of the last window, and the rules that fired."""
    pq.write_table(pa.table(table), place / "t.parquet")
    code, out = command("replay", place / "t.parquet", "-c", place / "c.yaml")
    assert code == 0, out
    store = open_store(f"sqlite:///{place}/r.db")
    found, fired = scores_of(store), {r["rule"] for r in store.rows(alert_history.select()) if r["status"] == "firing"}
    store.close()
    return out, {key[2:]: row for key, row in found.items() if key[0] == 1 and key[1] == ""}, fired


BIG = [2**62 + i for i in range(N)]
VALUES = {
    "constant": ("x", [5.0] * N, ("x", "drift", "breach"), "drift"),
    "constant category": ("c", ["a"] * N, ("c", "drift", "breach"), "drift"),
    "missing": ("x", pa.nulls(N, pa.float64()), ("x", "missing_share", "breach"), "feature-vanished"),
    "of no type": ("c", pa.nulls(N), ("c", "missing_share", "breach"), "feature-vanished"),
    "nan": ("x", pa.array([math.nan] * N, from_pandas=False), ("x", "missing_share", "breach"), "feature-vanished"),
    "inf": ("x", [math.inf] * N, ("schema", "non_finite_share", "breach"), "events-refused"),
    "some inf": ("x", np.where(np.arange(N) % 10, 0.0, -math.inf), ("schema", "non_finite_share", "breach"), "events-refused"),
    "huge whole numbers": ("x", BIG, ("x", "drift", "breach"), "drift"),
    "a category a row": ("c", [f"u{i}" for i in range(N)], ("c", "drift", "breach"), "drift"),
    "numbers for categories": ("c", np.arange(N) % 3, ("c", "drift", "breach"), "drift"),
    "words for numbers": ("x", ["w"] * N, ("schema", "wrong_type_share", "breach"), "events-refused"),
    "numbers as text": ("x", ["1.5"] * N, ("schema", "wrong_type_share", "breach"), "events-refused"),
    "times for numbers": ("x", pa.array(range(N), pa.timestamp("ms")), ("schema", "wrong_type_share", "breach"), "events-refused"),
    "lists for numbers": ("x", [[1.0]] * N, ("schema", "wrong_type_share", "breach"), "events-refused"),
    "lists for categories": ("c", [["a"]] * N, ("schema", "wrong_type_share", "breach"), "events-refused"),
    "objects for categories": ("c", pa.array([{"a": 1}] * N), ("c", "missing_share", "breach"), "feature-vanished"),
    "booleans for numbers": ("x", np.arange(N) % 2 == 0, ("x", "drift", "breach"), "drift"),
    "words for booleans": ("b", ["maybe"] * N, ("b", "drift", "breach"), "drift"),
    "very long texts": ("c", ["x" * 100_000] * N, ("schema", "wrong_type_share", "breach"), "events-refused"),
    "latency below 0": ("latency_ms", [-3.0] * N, ("schema", "wrong_type_share", "breach"), "events-refused"),
}  # fmt: skip


@pytest.mark.parametrize("case", VALUES)
def test_odd_values_have_a_verdict_and_an_alarm(place, case):
    column, values, (subject, name, level), rule = VALUES[case]
    _, found, fired = replayed(place, {**plain(), column: values})
    assert found[subject, name]["level"] == level, found[subject, name]
    assert rule in fired
    drift = found.get((column, "drift"))
    assert drift is None or drift["level"] in ("breach", "unsure") or column in ("latency_ms", "b") or case == "some inf"


def test_one_row_is_unsure(place):
    pq.write_table(pa.table(plain(1)), place / "t.parquet")
    assert command("replay", place / "t.parquet", "-c", place / "c.yaml")[0] == 0
    store = open_store(f"sqlite:///{place}/r.db")
    levels = {row["level"] for row in scores_of(store).values()}
    store.close()
    assert levels == {"unsure", "unjudged"}


@pytest.mark.parametrize(
    ("table", "unsure"),
    [(plain(1), {"x", "c", "b", "prediction"}), ({**plain(600), "c": [f"u{i}" for i in range(600)]}, {"c"}),
     ({**plain(600), "x": pa.nulls(600, pa.float64()), "c": pa.nulls(600)}, {"x", "c"})],
    ids=["one row", "a category a row", "all missing"],
)  # fmt: skip
def test_what_a_reference_cannot_say_is_unsure(place, table, unsure):
    pq.write_table(pa.table(table), place / "odd.parquet")
    assert command("reference", "build", "-c", place / "c.yaml", "--model", "m", "--from", place / "odd.parquet")[0] == 0
    assert command("reference", "activate", "-c", place / "c.yaml", "--model", "m", "--all-time", "odd-1")[0] == 0
    _, found, _ = replayed(place, plain())
    assert {s for s, name in found if name == "drift" and found[s, name]["level"] == "unsure"} == unsure
    assert {found[s, "drift"]["reference"] for s in unsure} == {"odd-1"}


@pytest.mark.parametrize(
    ("features", "table", "code", "words"),
    [("", {"ts": [START] * N, "label": ["0"] * N}, 2, "no row has a value of a feature or a prediction: name the columns"),
     ("", {"l": [[1]] * N}, 2, "no row has a value of a feature or a prediction"),
     ("{x: numeric, c: category}", {"x": [math.nan] * N, "c": pa.nulls(N)}, 2, "another file; the file has c, x"),
     ("{d: datetime}", {"d": ["maybe"] * N}, 2, "no row has a value of a feature or a prediction"),
     ("{x: numeric}", {"x": pa.array([], pa.float64())}, 2, "no rows"),
     ("", {"score": [0.5] * N}, 0, "no features: no drift of inputs will be seen; where the model has any, give a file"),
     ("{x: numeric, c: category}", {"x": [1.0] * N, "c": pa.nulls(N)}, 0, "c: its windows will be `unsure`: the reference has no value"),
     ("{d: datetime, x: numeric}", {"d": ["maybe"] * N, "x": [1.0] * N}, 0, "d: its windows will be `unsure`: the reference has no"),
     ("{c: category}", {"c": [f"u{i}" for i in range(N)]}, 0, "c: its windows will be `unsure`: most rows of the reference have a cat")],
    ids=["labels alone", "lists alone", "all missing", "no times", "no rows", "predictions alone", "one missing", "one of no times", "own"],
)  # fmt: skip
def test_a_reference_says_what_it_cannot_compare_and_is_none_where_that_is_all(tmp_path, features, table, code, words):
    given = f"    features: {features}\n" if features else ""
    (tmp_path / "c.yaml").write_text((CONFIG % tmp_path).replace("    features: {x: numeric, c: category, b: boolean}\n", given))
    pq.write_table(pa.table(table), tmp_path / "r.parquet")
    where = ("-c", tmp_path / "c.yaml", "--model", "m")
    done, out = command("reference", "build", *where, "--from", tmp_path / "r.parquet")
    assert done == code and words in out, out
    assert ("r-1" in command("reference", "list", *where)[1]) == (code == 0)


FILES = {
    "no bytes": (b"", "parquet", "is 0 bytes"),
    "no bytes csv": (b"", "csv", "Empty CSV file"),
    "no bytes jsonl": (b"", "jsonl", "is empty"),
    "a header": (b"ts,x,c,b\n", "csv", "no rows"),
    "no rows": (pa.table({"ts": pa.array([], pa.int64())}), "parquet", "no rows"),
    "no parquet": (b"hello world, this is none", "parquet", "not a parquet file"),
    "no time": (
        pa.table({"x": [1.0]}),
        "parquet",
        "no column for ts; name it in the model's `columns`, as in {ts: time}; the file has x",
    ),
    "another delimiter": (b"ts;x\n1;2\n", "csv", "the file has ts;x"),
    "two of one name": (b"ts,x,x\n1,2,3\n", "csv", "column 'x' stands twice"),
    "a row too short": (b"ts,x,c\n1,2,a\n1,2\n", "csv", "Expected 3 columns, got 2: 1,2"),
    "a time of lists": (pa.table({"ts": [[1]]}), "parquet", "column 'ts' is list"),
    "another format": (b"x", "xlsx", "allowed: .parquet, .csv"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_that_cannot_be_read_are_said_with_place_and_fix(place, case):
    data, suffix, words = FILES[case]
    path = place / f"t.{suffix}"
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        pq.write_table(data, path)
    for arguments in (("replay", path), ("backtest", "--model", "m", "--from", path)):
        code, out = command(*arguments, "-c", place / "c.yaml")
        assert code == 2 and str(path) in out and words in out, out
    code, out = command("reference", "build", "--model", "m", "--from", path, "-c", place / "c.yaml")
    assert code == 2 and str(path) in out


def test_odd_bytes_cost_their_rows(place):
    path = place / "t.csv"
    path.write_bytes(b"ts,x,c\r\n%d,1,caf\xe9\n%d,2,a\0b\r%d,3,ok\r\n" % (START, START + 1, START + 2))
    code, out = command("replay", path, "-c", place / "c.yaml")
    assert code == 0 and "dropped 2: undecodable, first t.csv, message 0: features.c is no UTF-8" in out


def test_a_backtest_says_what_it_left_out(place):
    pq.write_table(pa.table({**plain(), "x": ["w"] * N}), place / "t.parquet")
    code, out = command("backtest", "--model", "m", "--from", place / "t.parquet", "-c", place / "c.yaml", "--budgets", "1")
    assert code == 0 and "dropped 240: wrong_type, first t.parquet, message 0: features.x is string, must be a number" in out
    assert "events-refused" in out
    pq.write_table(pa.table({**plain(), "ts": [10**14] * N}), place / "t.parquet")
    code, out = command("backtest", "--model", "m", "--from", place / "t.parquet", "-c", place / "c.yaml")
    assert code == 2 and "there is no window of model 'm' to run over; dropped 240: future" in out


def test_columns_that_can_be_no_feature_are_said_where_features_are_inferred(place):
    (place / "c.yaml").write_text((CONFIG % place).replace("    features: {x: numeric, c: category, b: boolean}\n", ""))
    table = {
        "x": [1.0] * N, "l": [[1]] * N, "d": pa.array(range(N), pa.duration("s")), "o": pa.array([{"a": i, "b": [i]} for i in range(N)]),
        "none": pa.nulls(N), "bytes": [b"\xff", b"a"] * (N // 2), "a, b": ["a"] * N, "": ["b"] * N, "whole": [2**63 - 1] * N,
    }  # fmt: skip
    pq.write_table(pa.table(table), place / "r.parquet")
    code, out = command("reference", "build", "-c", place / "c.yaml", "--model", "m", "--from", place / "r.parquet")
    lines = out.splitlines()
    assert code == 0 and "o.a: numeric (inferred; override with --type)" in lines
    for line in ("l: left out, list<element: int64> is no feature", "d: left out, duration[s] is no feature",
                 "o.b: left out, list<element: int64> is no feature",
                 f"left out, as events like them are refused: features.bytes is no UTF-8 ({N // 2} rows)"):  # fmt: skip
        assert line in lines, out


def test_a_datetime_feature_of_which_nothing_is_a_time_is_said_when_the_reference_is_built(place):
    pq.write_table(pa.table({**plain(), "x": ["soon", None] * (N // 2)}), place / "r.parquet")
    build = ("reference", "build", "-c", place / "c.yaml", "--model", "m", "--from", place / "r.parquet", "--type", "x=datetime")
    code, out = command(*build)
    assert code == 0 and "x: 120 of 240 values are no times, and count as missing" in out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StoreUnavailable("away"), 3),
        (StoreError("broken"), 1),
        (OperationalError("SELECT 1", {}, Exception("no such table: x")), 1),
    ],
    ids=["away", "broken", "sql"],
)
def test_a_store_that_fails_while_a_command_runs_ends_it_with_its_reason(place, monkeypatch, error, code):
    def fails(*args, **kwargs):
        with Store._errors(None):
            raise error

    pq.write_table(pa.table(plain()), place / "t.parquet")
    monkeypatch.setattr(Store, "checkpoint", fails)
    monkeypatch.setattr(Store, "references", fails)
    for arguments in (
        ("replay", place / "t.parquet"),
        ("reference", "list"),
        ("backtest", "--model", "m", "--from", place / "t.parquet"),
    ):
        done, out = command(*arguments, "-c", place / "c.yaml")
        assert done == code and out.startswith("store: "), out
    assert isinstance(main, common.Commands)


def test_the_preset_hears_of_all_that_is_refused():
    for subject, name in (("schema", "wrong_type_share"), ("schema", "non_finite_share"), ("labels", "unusable_share")):
        assert [r.name for r in DEFAULT if r.hears_levels and r.matches("m", "", subject, name)]
