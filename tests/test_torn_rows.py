"""Rows of csv files that have not the header's columns, lines of JSON of another type than most: each costs itself and is told."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.json as pajson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor import csv_rows
from monitor.item_file import read_items
from monitor.json_rows import JsonRows
from monitor.tabular import read_batches
from monitor.tabular_lists import FileProblem
from monitor.torn_rows import REFUSED, torn
from tests.replayed import START
from tests.test_odd_files import CONFIG, command

N = 90
FIX = "correct the file, or give the format that it has"


@pytest.fixture
def place(tmp_path):
    (tmp_path / "c.yaml").write_text(CONFIG % tmp_path)
    return tmp_path


def rows_of(path):
    """The rows of a file without those that are none, and the numbers of these."""
    found, none, at = [], {}, 0
    for batch in read_batches(path)[0]:
        refused = torn(batch)
        none |= {at + row: str(why) for row, why in refused.items()}
        found += [row for i, row in enumerate(batch.to_pylist()) if i not in refused]
        at += batch.num_rows
    return [{k: v for k, v in row.items() if k != REFUSED} for row in found], none, at


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_uneven_rows_of_csv_keep_their_numbers_and_no_other_row_is_touched(tmp_path_factory, monkeypatch, data):
    kinds = data.draw(st.lists(st.sampled_from(["good", "good", "good", "short", "long", "blank"]), min_size=1, max_size=60))
    block = data.draw(st.sampled_from([60, 200, 1 << 20]))
    monkeypatch.setattr(csv_rows, "BLOCK_BYTES", block)
    lines, want, bad = ["ts,x,c"], [], []
    for i, kind in enumerate(kinds):
        row = len(want) + len(bad)
        lines.append({"good": f"{i},{i}.5,a{i}", "short": f"{i},{i}", "long": f"{i},1,2,3", "blank": ""}[kind])
        if kind == "good":
            want.append({"ts": i, "x": i + 0.5, "c": f"a{i}"})
        elif kind != "blank":
            bad.append(row)
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    path.write_text("\n".join(lines) + "\n")
    try:
        found, none, total = rows_of(path)
    except FileProblem as error:
        assert f"cannot be read, the first is row {bad[0]}: Expected 3 columns, got" in str(error) and FIX in str(error)
        assert any(2 * sum(b <= n for b in bad) >= n + 1 for n in range(len(want) + len(bad)))
        return
    assert found == want and sorted(none) == bad and total == len(want) + len(bad)
    assert all(why.startswith("Expected 3 columns, got ") for why in none.values())


def csv_of(n, uneven):
    rng = np.random.default_rng(3)
    lines = [f"{START + i * 1000},{rng.normal():.4f},{'abc'[i % 3]},{i % 2},1,0.5" for i in range(n)]
    for i in uneven:
        lines[i] = lines[i].rpartition(",")[0]
    return "\n".join(["ts,x,c,b,prediction.label,prediction.score", *lines]) + "\n"


def test_uneven_rows_of_a_csv_file_are_dropped_by_a_replay_and_left_out_of_a_reference(place):
    (place / "t.csv").write_text(csv_of(N, (4, 70)))
    code, out = command("replay", place / "t.csv", "-c", place / "c.yaml")
    assert code == 0 and f"{N} messages" in out
    assert "dropped 2: undecodable, first t.csv, message 4: Expected 6 columns, got 5: " in out
    code, out = command("reference", "build", "--model", "m", "--from", place / "t.csv", "-c", place / "c.yaml")
    assert code == 0 and f"saved t-1: {N - 2} rows" in out
    assert "left out, as events like them are refused: Expected 6 columns, got 5: " in out


def test_uneven_rows_of_a_label_file_cost_their_labels_alone(place):
    (place / "t.csv").write_text("event_id," + csv_of(N, ()).replace("\n1", "\n0,1"))
    labels = ["event_id,label,label_ts", *(f"e{i},1,{START + 9000}" for i in range(9))]
    labels[5] = "e4,1"
    (place / "l.csv").write_text("\n".join(labels) + "\n")
    code, out = command("replay", place / "t.csv", "--labels", place / "l.csv", "-c", place / "c.yaml")
    assert code == 0 and "dropped 1: undecodable, first l.csv#labels, message 4: Expected 3 columns, got 2: e4,1" in out


def test_a_csv_file_of_which_half_is_uneven_is_refused_with_the_first_row(place):
    (place / "t.csv").write_text(csv_of(N, range(0, N, 2)))
    for arguments in (("replay", place / "t.csv"), ("reference", "build", "--model", "m", "--from", place / "t.csv")):
        code, out = command(*arguments, "-c", place / "c.yaml")
        assert code == 2 and f"{place}/t.csv: 45 of the first 90 rows cannot be read, the first is row 0: Expected 6 columns" in out
        assert FIX in out


def json_file(folder, rows):
    path = folder / "t.jsonl"
    path.write_bytes(b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows) + b"\n")
    return path


FIELDS = {
    "x": st.floats(allow_nan=False, allow_infinity=False) | st.none(), "n": st.integers(-(2**53), 2**53),
    "c": st.sampled_from(["a", "b\n", "ü", ""]), "b": st.booleans(), "l": st.lists(st.floats(-9, 9), max_size=3),
    "o": st.fixed_dictionaries({"in": st.floats(0, 1)}, optional={"ner": st.just("z")}),
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries({"i": st.integers(0, 9)}, optional=FIELDS), min_size=1, max_size=20))
def test_lines_of_one_type_a_column_are_read_as_pyarrow_reads_them(tmp_path_factory, rows):
    path = json_file(tmp_path_factory.mktemp("json"), rows)
    table = pajson.read_json(path)
    while any(pa.types.is_struct(f.type) for f in table.schema):
        table = table.flatten()
    found = JsonRows(path)
    assert found.rows == table.num_rows
    mine = pa.Table.from_batches(list(found.batches()))
    assert mine.schema.names == list(dict.fromkeys(mine.schema.names))
    for name in mine.schema.names:
        assert mine.column(name).to_pylist() == table.column(name).to_pylist(), name
    assert all(table.column(name).null_count == len(rows) for name in {*table.schema.names} - {*mine.schema.names})


ODD = st.sampled_from([None, "w", 2.5, 7, True, [1], ["a"], {"k": 1}, 2**80, []])


@settings(max_examples=80, deadline=None)
@given(st.lists(st.fixed_dictionaries({}, optional={"x": ODD, "c": ODD, "d": ODD}), min_size=1, max_size=15))
def test_each_value_of_mixed_lines_is_read_as_it_is_or_its_row_is_refused(tmp_path_factory, rows):
    found, none, total = rows_of_json(json_file(tmp_path_factory.mktemp("json"), [{"at": i, **row} for i, row in enumerate(rows)]))
    assert total == len(rows) and sorted([*none, *(row["at"] for row in found)]) == list(range(total))
    assert all(" as in most rows" in why for why in none.values())
    for row in found:
        for key in ("x", "c", "d"):
            want, got = rows[row["at"]].get(key), row.get(key)
            if isinstance(want, dict):
                assert row[f"{key}.k"] == 1
            elif isinstance(want, list):
                assert len(got) == len(want)
            else:
                assert got == want and isinstance(got, str | bool | type(None)) == isinstance(want, str | bool | type(None)), (
                    want,
                    got,
                )


def rows_of_json(path):
    found, none, at = [], {}, 0
    for batch in JsonRows(path).batches():
        refused = torn(batch)
        none |= {at + row: str(why) for row, why in refused.items()}
        found += [row for i, row in enumerate(batch.to_pylist()) if i not in refused]
        at += batch.num_rows
    return found, none, at


BAD_LINES = {
    3: ({"x": "w"}, "wrong_type", "features.x is string, must be a number"),
    10: ({"x": [1.0]}, "wrong_type", "x is array, must be number as in most rows"),
    20: ({"c": {"a": 1}}, "wrong_type", "c is object, must be string as in most rows"),
    30: ({"ts": True}, "wrong_type", "ts is boolean, must be ISO 8601 or milliseconds"),
    40: (b'{"ts": 1, "x"', "undecodable", "not JSON: "),
    50: (b"[1]", "undecodable", "is array, must be an object"),
    60: (b"[" * 2000, "too_deep", "nested deeper than limits.nesting_depth"),
    70: ({"c": 7}, "", ""),  # a number is a category, as in an event
}


def test_lines_of_another_type_are_dropped_by_a_replay_and_left_out_of_a_reference(place):
    rng = np.random.default_rng(3)
    rows = [
        {
            "ts": START + i * 1000,
            "x": float(rng.normal()),
            "c": "abc"[i % 3],
            "b": bool(i % 2),
            "prediction": {"label": "1", "score": 0.5},
        }
        for i in range(N)
    ]
    rows = [r if i not in BAD_LINES else b if isinstance(b := BAD_LINES[i][0], bytes) else r | b for i, r in enumerate(rows)]
    path, where = json_file(place, rows), ("-c", place / "c.yaml")
    code, out = command("replay", path, *where)
    assert code == 0 and f"{N} messages" in out
    for count, reason, first in ((4, "wrong_type", 3), (2, "undecodable", 40), (1, "too_deep", 60)):
        assert f"dropped {count}: {reason}, first t.jsonl, message {first}: {BAD_LINES[first][2]}" in out
    code, out = command("reference", "build", "--model", "m", "--from", path, *where)
    assert code == 0 and f"saved t-1: {N - 6} rows" in out, out  # what has no time but is fine is left in
    (place / "i.yaml").write_text((CONFIG % place).replace("    features: {x: numeric, c: category, b: boolean}\n", ""))
    code, out = command("reference", "build", "--model", "m", "--from", path, "-c", place / "i.yaml")
    assert code == 0 and all(
        f"{f}: {kind} (inferred" in out for f, kind in (("x", "numeric"), ("c", "category"), ("b", "boolean"))
    ), out
    assert "c.a: " not in out and "c is object, must be string as in most rows (1 rows)" in out


def test_a_file_of_json_of_which_half_is_none_is_refused_with_the_first_line(place):
    path = json_file(place, [{"ts": START, "x": 1.0}, b"x", b"[1]"])
    code, out = command("reference", "build", "--model", "m", "--from", path, "-c", place / "c.yaml")
    assert code == 2 and f"{path}: 2 of the first 3 rows cannot be read, the first is row 1: not JSON" in out and FIX in out


@pytest.mark.parametrize(
    ("lines", "words"),
    [([{"item_id": "a", "price": 1.5}, {"item_id": "b", "price": 2.5}, {"item_id": "c", "price": "w"}],
      "row 3: price is string, must be double as in the rows before"),
     ([{"item_id": "a", "price": 1.5}, {"item_id": "b", "price": 2.5}, b"{"], "row 3: not JSON: ")],
    ids=["type", "no json"],
)  # fmt: skip
def test_a_file_of_items_is_whole_or_refused_with_the_row(tmp_path, lines, words):
    with pytest.raises(FileProblem) as caught:
        read_items(json_file(tmp_path, lines), ["price"])
    assert words in str(caught.value)
