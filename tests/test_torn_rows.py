"""Rows of csv files that have not the header's columns: each costs itself and is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor import csv_rows
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
