"""The commands as people use them: replay of each format, references, exports, exit codes."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from monitor.cli import main
from monitor.store.migrations import LATEST
from tests.faults.config import differences, results

START = 1_767_225_600_000
CONFIG = """
store: {{url: "sqlite:///{folder}/d.db"}}
models:
  - name: credit
    task: binary
    positive_label: default
    features: {{income: numeric, region: category}}
    segments: [channel]
    columns: {{ts: time, prediction.label: predicted, prediction.score: p, label: truth, label_ts: known_at, segment.channel: channel}}
    window: {{size: 1m}}
    reference: {{first_windows: 2}}
    min_rows: 50
    thresholds: {{psi: {{warn: 0.1, breach: 0.25}}, accuracy: {{below: {{breach: 0.5}}}}}}
alerts:
  rules: [{{name: drift, scores: [psi], channels: [console]}}]
  channels: {{console: {{type: log}}}}
"""


def run(*arguments, code=0):
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


@pytest.fixture
def table():
    rng = np.random.default_rng(1)
    n = 3000
    score = np.round(rng.random(n), 6)
    drift = np.where(np.arange(n) > n // 2, 3.0, 1.0)
    return pa.table(
        {
            "event_id": [f"e{i}" for i in range(n)],
            "time": pa.array(START + np.arange(n) * 200, pa.timestamp("ms", tz="UTC")),
            "version": ["1"] * n,
            "income": np.round(rng.gamma(2.0, 1000.0, n) * drift, 4),
            "region": rng.choice(["N", "S"], n),
            "channel": rng.choice(["web", "app"], n),
            "predicted": np.where(score >= 0.5, "default", "repaid"),
            "p": score,
            "truth": np.where(rng.random(n) < score, "default", "repaid"),
            "known_at": pa.array(START + np.arange(n) * 200 + 5000, pa.timestamp("ms", tz="UTC")),
        }
    )


def config(folder):
    folder.mkdir(exist_ok=True)
    path = folder / "c.yaml"
    path.write_text(CONFIG.format(folder=folder))
    return path


def native(table):
    events, labels = [], []
    for row in table.to_pylist():
        ts = int(row["time"].timestamp() * 1000)
        events.append({
            "event_id": row["event_id"], "ts": ts, "model": "credit", "version": "1",
            "features": {"income": row["income"], "region": row["region"]},
            "prediction": {"label": row["predicted"], "score": row["p"]}, "segment": {"channel": row["channel"]},
        })  # fmt: skip
        labels.append({"event_id": row["event_id"], "label": row["truth"], "label_ts": ts + 5000})
    return events, labels


def test_every_format_gives_the_same_windows(tmp_path, table):
    events, labels = native(table)
    lines = tmp_path / "events.jsonl"
    lines.write_text("\n".join(map(json.dumps, events)))
    label_lines = tmp_path / "labels.jsonl"
    label_lines.write_text("\n".join(map(json.dumps, labels)))
    pq.write_table(table, tmp_path / "events.parquet")
    pacsv.write_csv(table, tmp_path / "events.csv")
    pq.write_table(table.drop_columns(["truth", "known_at"]), tmp_path / "bare.parquet")
    pq.write_table(
        pa.table({"event_id": table["event_id"], "label": table["truth"], "label_ts": table["known_at"]}),
        tmp_path / "labels.parquet",
    )
    found = {}
    for name, *more in (
        ("events.jsonl", "--labels", label_lines), ("events.parquet",), ("events.csv",), ("bare.parquet", "--labels", tmp_path / "labels.parquet"),
    ):  # fmt: skip
        folder = tmp_path / name.replace(".", "-")
        path = config(folder)
        if name == "bare.parquet":
            path.write_text(path.read_text().replace(", label: truth, label_ts: known_at", ""))
        assert "10 windows published" in run("replay", tmp_path / name, "-c", path, *more)
        found[name] = results(f"sqlite:///{folder}/d.db")
        for rows in found[name].values():
            for key, row in list(rows.items()):
                row.pop("config_hash", None)
                if "schema" in key:  # only a message can carry a feature that nobody named
                    del rows[key]
    for name in found:
        assert differences(found["events.jsonl"], found[name]) == [], name
    assert all(w["rows"] == w["labelled_rows"] == 300 for w in found["events.csv"]["windows"].values())


def test_a_file_is_not_replayed_twice_into_one_store(tmp_path, table):
    pq.write_table(table, tmp_path / "e.parquet")
    path = config(tmp_path / "twice")
    run("replay", tmp_path / "e.parquet", "-c", path)
    assert "was read into this store before, up to message 3,000" in run("replay", tmp_path / "e.parquet", "-c", path, code=2)


def test_what_a_replay_drops_is_told_with_its_reason(tmp_path, table):
    events, labels = native(table)
    for label in labels[:100]:
        del label["label_ts"]
    labels[100]["label_ts"] += 30 * 86_400_000
    (tmp_path / "e.jsonl").write_text("\n".join(map(json.dumps, [*events, events[-1]])))
    (tmp_path / "l.jsonl").write_text("\n".join(map(json.dumps, labels)))
    path = config(tmp_path / "d")
    said = run("replay", tmp_path / "e.jsonl", "-c", path, "--labels", tmp_path / "l.jsonl")
    assert "dropped 1: duplicate" in said and "dropped 1: label_expired" in said
    assert "dropped 100: missing_field, first l.jsonl#labels, message 0: label_ts is missing" in said
    assert sum(w["labelled_rows"] for w in results(f"sqlite:///{tmp_path}/d/d.db")["windows"].values()) == 2899


def test_a_reference_is_built_listed_shown_and_used(tmp_path, table):
    path = config(tmp_path / "r")
    pq.write_table(table.slice(0, 1500), tmp_path / "train.parquet")
    text = path.read_text().replace("    features: {income: numeric, region: category}\n", "")
    path.write_text(text)
    out = run("reference", "build", "-c", path, "--model", "credit", "--from", tmp_path / "train.parquet")
    assert "income: numeric (inferred" in out and "region: category" in out and "saved train-1: 1500 rows" in out
    assert "active" in run("reference", "list", "-c", path)
    shown = run("reference", "show", "-c", path, "--model", "credit", "train-1")
    assert "income: numeric, 1500 values" in shown and "region: category, 2 values" in shown
    run("reference", "build", "-c", path, "--model", "credit", "--from", tmp_path / "train.parquet", "--no-activate")
    assert "train-2 is active" in run("reference", "activate", "-c", path, "--model", "credit", "train-2")
    again = run("reference", "activate", "-c", path, "--model", "credit", "train-2", "--all-time")
    assert "for all panes that are begun from now on" in again
    assert "it has train-1, train-2" in run("reference", "show", "-c", path, "--model", "credit", "nope", code=2)
    assert "a kind of numeric, category, boolean" in run(
        "reference",
        "build",
        "-c",
        path,
        "--model",
        "credit",
        "--from",
        tmp_path / "train.parquet",
        "--type",
        "income=money",
        code=2,
    )
    pq.write_table(table, tmp_path / "events.parquet")
    run("replay", tmp_path / "events.parquet", "-c", path)
    rows = list(csv.DictReader(io.StringIO(run("export", "scores", "-c", path))))
    assert {r["reference"] for r in rows if r["score"] == "psi"} == {"train-2"}
    calm, drifted = (
        [r for r in rows if r["subject"] == "income" and r["score"] == "psi" and r["segment"] == ""][i] for i in (0, -1)
    )
    assert calm["level"] == "ok" and drifted["level"] == "breach" and float(drifted["value"]) > 0.25
    assert calm["rule"] == drifted["rule"] == "static psi"
    assert all(r["rule"] for r in rows if r["level"] in ("ok", "warn", "breach")), "every verdict says what gave its limit"
    fired = list(csv.DictReader(io.StringIO(run("export", "alerts", "-c", path))))
    assert fired and all(r["limit_rule"] for r in fired if r["status"] != "pending")
    assert "firing" in run("alerts", "-c", path) and "credit" in run("models", "-c", path)


def test_exports_are_stable_flat_and_bounded_by_time(tmp_path, table):
    path = config(tmp_path / "e")
    pq.write_table(table, tmp_path / "events.parquet")
    run("replay", tmp_path / "events.parquet", "-c", path)
    header = run("export", "scores", "-c", path).splitlines()[0]
    assert (
        header == "model,version,segment,window_start,window_end,revision,subject,score,value,rows,reference,threshold,level,rule"
    )
    windows = [json.loads(line) for line in run("export", "windows", "-c", path, "--format", "jsonl").splitlines()]
    assert len(windows) == 10 and windows[0]["window_start"] == "2026-01-01T00:00:00.000Z"
    part = run(
        "export", "windows", "-c", path, "--format", "jsonl", "--from", "2026-01-01T00:02:00Z", "--to", "2026-01-01T00:04:00Z"
    )
    assert len(part.splitlines()) == 2
    run("export", "scores", "-c", path, "--format", "parquet", "--out", tmp_path / "s.parquet", "--model", "credit")
    stored = pq.read_table(tmp_path / "s.parquet")
    assert stored.column_names == header.split(",") and stored.schema.field("value").type == pa.float64()
    assert run("export", "windows", "-c", path, "--model", "other").splitlines() == [
        "model,window_start,window_end,revision,rows,labelled_rows,late_rows,reference,config_hash"
    ]
    assert "alert,rule,severity,status" in run("export", "alerts", "-c", path)
    assert "write ISO 8601" in run("export", "windows", "-c", path, "--from", "yesterday", code=2)


def test_a_cell_that_looks_like_a_formula_is_exported_as_text():
    from monitor.export import _write_text

    out = io.StringIO()
    row = dict.fromkeys(["alert", "rule"], "=cmd()")
    _write_text(iter([[row | {"value": -1.5}]]), "alerts", "csv", out)
    assert "'=cmd()" in out.getvalue() and ",-1.5," in out.getvalue()


def test_exit_codes_and_messages(tmp_path):
    assert "driftd 0.1" in run("version")
    bad = tmp_path / "bad.yaml"
    bad.write_text("models: [{name: m, task: binry}]\n")
    out = run("check", bad, code=2)
    assert "bad.yaml:1: models[0].task" in out and "did you mean 'binary'?" in out
    good = config(tmp_path / "x")
    assert "valid" in run("check", good) and f"schema version {LATEST}" in run("migrate", "-c", good)
    assert "channel console: not tried: it connects to nowhere" in run("check", good, "--connect", "--quiet")
    away = tmp_path / "away.yaml"
    away.write_text('store: {url: "postgresql+psycopg://u@127.0.0.1:1/d"}\nsources: [{name: h, type: http}]\nmodels: [{name: m}]\n')
    assert "store:" in run("export", "windows", "-c", away, code=3)
    assert "store:" in run("check", away, "--connect", "--quiet", code=3)
    run("run", "-c", away, code=3)
    assert "does not exist" in run("export", "windows", "-c", config(tmp_path / "y"), code=1)
    (tmp_path / "r.txt").write_text("x")
    assert "is not supported; allowed: .parquet" in run("replay", tmp_path / "r.txt", "-c", good, code=2)
    (tmp_path / "e.csv").write_text("a,b\n1,2\n")
    assert "names column 'time'" in run("replay", tmp_path / "e.csv", "-c", good, code=2)


def test_help_teaches():
    assert (
        "Exit codes" in run("--help")
        and "backfill" in run("replay", "--help")
        and "every mistake" in run("check", "--help").lower()
    )


def test_sliding_windows_hold_the_rows_of_their_time_and_labels_of_all_panes(tmp_path, table):
    path = config(tmp_path / "s")
    path.write_text(path.read_text().replace("window: {size: 1m}", "window: {size: 1m, slide: 20s}"))
    pq.write_table(table, tmp_path / "events.parquet")
    run("replay", tmp_path / "events.parquet", "-c", path)
    rows = [json.loads(line) for line in run("export", "windows", "-c", path, "--format", "jsonl").splitlines()]
    times = (START + np.arange(3000) * 200 - START) // 1000
    assert len(rows) == 32
    for i, row in enumerate(rows):
        start = 20 * i - 40
        inside = int(((times >= start) & (times < start + 60)).sum())
        assert (row["rows"], row["labelled_rows"]) == (inside, inside)


def test_rows_from_the_future_and_without_a_time_are_dead_letters(tmp_path, table):
    path = config(tmp_path / "f")
    times = table["time"].to_pylist()
    times[3], times[5] = None, times[0].replace(year=2200)
    changed = table.set_column(1, "time", pa.array(times, pa.timestamp("ms", tz="UTC")))
    pq.write_table(changed, tmp_path / "events.parquet")
    run("replay", tmp_path / "events.parquet", "-c", path)
    rows = [json.loads(line) for line in run("export", "windows", "-c", path, "--format", "jsonl").splitlines()]
    assert len(rows) == 10 and sum(r["rows"] for r in rows) == 2998


def test_run_without_a_source_says_so(tmp_path):
    assert "sources is empty" in run("run", "-c", config(tmp_path / "n"), code=2)
