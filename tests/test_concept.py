"""Stream detectors in the daemon: the same scores whatever order labels come in, and firings where the errors rose."""

from __future__ import annotations

import dataclasses

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.columns import DictColumn, Outcomes, Schema
from detectors.stream import STREAM_DETECTORS
from detectors.trace import ErrorTrace
from monitor import concept
from monitor.config import parse_config
from monitor.events import PartitionKey, RawBatch
from monitor.replay import ReplayBatch, replay
from monitor.runtime import build_engine, build_models
from monitor.store import open_store
from monitor.store.schema import model_state, score
from tests.faults.config import differences, results

START = 1_767_225_600_000
WINDOWS, PER_WINDOW, CHANGE = 20, 60, 12  # the errors rise at the start of window 12
CONFIG = """
store: {{url: "{url}"}}
models:
  - name: m
    task: {task}
    features: {{}}
    window: {{size: {size}, slide: 1m}}
    min_rows: 20
    concept: {{detectors: {detectors}, rows: 200}}
    {extra}
"""


def events_and_labels(task="multiclass"):
    rng = np.random.default_rng(5)
    n = WINDOWS * PER_WINDOW
    ts = START + np.arange(n) * (60_000 // PER_WINDOW)
    wrong = rng.random(n) < np.where(np.arange(n) < CHANGE * PER_WINDOW, 0.08, 0.6)
    noise = rng.normal(0, np.where(np.arange(n) < CHANGE * PER_WINDOW, 1.0, 6.0))
    events, labels = [], []
    for i in range(n):
        prediction = {"value": 10.0} if task == "regression" else {"label": "a"}
        label = 10.0 + float(noise[i]) if task == "regression" else "b" if wrong[i] else "a"
        events.append(
            {"event_id": f"e{i}", "ts": int(ts[i]), "model": "m", "version": "1", "features": {}, "prediction": prediction}
        )
        labels.append({"event_id": f"e{i}", "label": label, "label_ts": int(ts[i]) + 1000})
    return events, labels, wrong


def run(tmp_path, name, rounds, task="multiclass", detectors="[adwin, ddm]", size="1m", at=0, extra=""):
    """Replay rounds of (role, messages) one after the other into one store: each publishes what it can."""
    url = f"sqlite:///{tmp_path / name}.db"
    cfg = parse_config(CONFIG.format(url=url, task=task, detectors=detectors, size=size, extra=extra), "c.yaml")
    store = open_store(cfg.store.sqlalchemy_url())
    store.migrate()
    offsets = {"events": at, "labels": at}
    for pieces in rounds:
        batches = []
        for role, messages in pieces:
            at, offsets[role] = offsets[role], offsets[role] + len(messages)
            raw = RawBatch(
                PartitionKey("replay", role, 0),
                np.arange(at, offsets[role], dtype=np.int64),
                np.full(len(messages), START + 86_400_000, dtype=np.int64),
                [orjson.dumps(m) for m in messages],
                offsets[role],
            )
            batches.append(ReplayBatch(role, raw))
        replay(batches, build_engine(cfg, build_models(cfg, store), ("replay",)), store, 1)
    store.close()
    return results(url)


def evidence(path, detector):
    store = open_store(f"sqlite:///{path}", read_only=True)
    rows = [orjson.loads(r["evidence"] or "{}") for r in store.rows(score.select().where(score.c.score == detector))]
    store.close()
    return rows


def start_of(row):
    return int(np.datetime64(row["window_start"].rstrip("Z"), "ms").astype(np.int64))


def fired(found, detector):
    """The number of each window in which it fired, with how often."""
    rows = (r for key, r in found["scores"].items() if key[4:] == ("concept", detector))
    return {(start_of(r) - START) // 60_000: r["value"] for r in rows if r["value"]}


def test_a_rise_of_errors_fires_in_its_window_and_is_a_breach_that_says_when(tmp_path):
    events, labels, wrong = events_and_labels()
    found = run(tmp_path, "calm", [[("events", events), ("labels", labels)]])
    expected = STREAM_DETECTORS["adwin"]().update(wrong.astype(float)).fired // PER_WINDOW
    assert list(fired(found, "adwin")) == sorted(set(expected.tolist())) and min(fired(found, "adwin")) in (12, 13)
    first = next(r for k, r in found["scores"].items() if k[4:] == ("concept", "adwin") and r["value"])
    assert first["level"] == "breach"
    text = next(e for e in evidence(tmp_path / "calm.db", "adwin") if e)
    assert text["fired_at"][0][:16] == first["window_start"][:16]
    assert text["mean_error_before"] == pytest.approx(wrong[: 12 * PER_WINDOW].mean(), abs=1e-6) and text["mean_error_now"] > 0.4
    assert {r["value"] for k, r in found["scores"].items() if k[4:] == ("concept", "ddm")} >= {0.0, 1.0}


@pytest.mark.parametrize(("epoch", "size"), [(4, "1m"), (32, "4m")])
def test_labels_in_any_order_and_corrected_lead_to_the_same_scores(tmp_path, monkeypatch, epoch, size):
    monkeypatch.setattr(concept, "EPOCH", epoch)
    events, labels, wrong = events_and_labels()
    calm = run(tmp_path, "calm", [[("events", events), ("labels", labels)]], size=size)
    rng = np.random.default_rng(epoch)
    shuffled = [labels[i] for i in rng.permutation(len(labels))]
    wrongly = [
        {**label, "label": "a" if label["label"] == "b" else "b", "label_ts": label["label_ts"] - 500} for label in shuffled[::7]
    ]
    half = len(events) // 2
    late = run(
        tmp_path,
        "late",
        [
            [("events", events[:half]), ("labels", wrongly)],
            [("events", events[half:])],
            *([("events", []), ("labels", list(piece))] for piece in np.array_split(np.array(shuffled, dtype=object), 5)),
        ],
        size=size,
    )
    assert differences(late, calm) == []
    assert fired(calm, "adwin")


def test_one_late_label_changes_a_later_windows_firings_only_where_it_must(tmp_path):
    events, labels, wrong = events_and_labels()
    held = [label for i, label in enumerate(labels) if not 5 * PER_WINDOW <= i < 9 * PER_WINDOW]
    rest = labels[5 * PER_WINDOW : 9 * PER_WINDOW]
    calm = run(tmp_path, "calm", [[("events", events), ("labels", labels)]])
    late = run(tmp_path, "late", [[("events", events), ("labels", held)], [("events", []), ("labels", rest)]])
    without = run(tmp_path, "without", [[("events", events), ("labels", held)]])
    assert differences(late, calm) == []
    assert without["scores"] != late["scores"]


def test_without_a_reference_a_change_is_split_against_the_earlier_windows(tmp_path):
    events, labels, _ = events_and_labels()
    found = run(tmp_path, "split", [[("events", events), ("labels", labels)]])

    def row(window, name, subject="concept"):
        start = str(np.datetime64(START + window * 60_000, "ms")) + "Z"
        return found["scores"]["m", start, "1", "", subject, name]

    assert row(0, "performance_change_by_concept")["value"] is None
    before, at = row(CHANGE - 1, "performance_change_by_concept_p"), row(CHANGE, "performance_change_by_concept_p")
    assert before["value"] > 0.001 and at["value"] < 1e-6 and at["reference"] == "earlier_windows"
    changed = row(CHANGE, "performance_expected_at_mix")["value"] + row(CHANGE, "performance_change_by_concept")["value"]
    assert changed == pytest.approx(row(CHANGE, "accuracy", "performance")["value"])
    assert row(CHANGE, "performance_change_by_concept")["value"] < -0.3


def test_the_errors_of_a_regression_are_read_in_units_of_the_first_windows_mean(tmp_path):
    events, labels, _ = events_and_labels("regression")
    small = run(tmp_path, "small", [[("events", events), ("labels", labels)]], "regression", "[adwin, page_hinkley]")
    bigger = [{**label, "label": 10.0 + 1000 * (label["label"] - 10.0)} for label in labels]
    large = run(tmp_path, "large", [[("events", events), ("labels", bigger)]], "regression", "[adwin, page_hinkley]")
    assert fired(small, "adwin") == fired(large, "adwin") and min(fired(small, "adwin")) == CHANGE
    assert fired(small, "page_hinkley") == fired(large, "page_hinkley") != {}


def test_no_detectors_no_scores_and_none_for_a_model_without_a_task(tmp_path):
    events, labels, _ = events_and_labels()
    for name, options in (("off", {"detectors": "{}"}), ("none", {"task": "none", "detectors": "{}"})):
        found = run(tmp_path, name, [[("events", events[:100]), ("labels", labels[:100])]], **options)
        assert not [k for k in found["scores"] if k[4] == "concept"]


def test_a_window_takes_part_once_enough_of_its_rows_have_labels(tmp_path):
    events, labels, _ = events_and_labels()
    few = [label for i, label in enumerate(labels) if i // PER_WINDOW not in (3, 5) or i % 3 == 0]
    options = {"extra": "labels: {min_coverage: 0.9}"}
    early = run(tmp_path, "early", [[("events", events), ("labels", few)]], **options)
    assert {(start_of(r) - START) // 60_000 for k, r in early["scores"].items() if k[5] == "adwin"} == set(range(WINDOWS)) - {3, 5}
    late = run(tmp_path, "late", [[("events", events), ("labels", few)], [("events", []), ("labels", labels)]], **options)
    calm = run(tmp_path, "calm", [[("events", events), ("labels", labels)]], **options)
    of_concept = [{"windows": {}, "scores": {k: r for k, r in f["scores"].items() if k[4] == "concept"}} for f in (late, calm)]
    assert differences(*of_concept) == []


def outcomes(ts, wrong, weight=None):
    n = len(ts)
    return Outcomes(
        predicted_label=DictColumn(np.zeros(n, dtype=np.int32), ["a"]),
        predicted_score=np.full(n, np.nan),
        true_label=DictColumn(np.asarray(wrong, dtype=np.int32), ["a", "b"]),
        true_value=np.full(n, np.nan),
        weight=np.ones(n, dtype=np.int64) if weight is None else weight,
        ts_ms=np.asarray(ts, dtype=np.int64),
    )


def trace(cells=50, pane_ms=60_000):
    return ErrorTrace.empty(Schema((), (), "multiclass", parts={"errors": {"pane_ms": pane_ms, "cells": cells}}))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(2, 60))
def test_a_corrected_label_leaves_the_trace_as_if_it_had_come_right_at_once(seed, n, cells):
    rng = np.random.default_rng(seed)
    ts = START + rng.integers(0, 120_000, n)
    wrong, first = rng.random(n) < 0.3, rng.random(n) < 0.5
    right_at_once = trace(cells)
    right_at_once.add(outcomes(ts, wrong))
    mine, theirs = trace(cells), trace(cells)  # another partition may take back what this one counted
    mine.add(outcomes(ts, first))
    theirs.add(outcomes(ts, first, np.full(n, -1)))
    theirs.add(outcomes(ts, wrong))
    mine.merge(theirs)
    assert mine.to_bytes() == right_at_once.to_bytes()
    assert len(mine.keys) <= cells and int(mine.rows.sum()) == n and mine.errors.sum() == wrong.sum()


def test_the_stream_of_a_trace_is_the_errors_in_order_while_cells_suffice():
    rng = np.random.default_rng(2)
    ts = np.sort(rng.choice(60_000, 40, replace=False)) + START
    wrong = rng.random(40) < 0.4
    t = trace()
    t.add(outcomes(ts[::-1], wrong[::-1]))
    errors, times = t.between(START, START + 60_000).stream(1000)
    assert errors.tolist() == wrong.astype(float).tolist()
    assert times.tolist() == ts.tolist()
    assert t.between(START + 60_000, START + 120_000).stream(1000)[0].tolist() == []


def test_a_long_stream_is_thinned_evenly_and_keeps_its_rate():
    rng = np.random.default_rng(2)
    ts = START + np.sort(rng.integers(0, 60_000, 50_000))
    wrong = rng.random(50_000) < np.where(ts < START + 30_000, 0.1, 0.5)
    t = trace(cells=1000)
    t.add(outcomes(ts, wrong))
    errors, times = t.between(START, START + 60_000).stream(50_000)
    assert errors.sum() == wrong.sum() and len(errors) == 50_000
    errors, times = t.between(START, START + 60_000).stream(2000)
    early = times < START + 30_000
    assert len(errors) == 2000 and abs(early.sum() - 1000) < 20
    assert errors[early].mean() == pytest.approx(0.1, abs=0.02) and errors[~early].mean() == pytest.approx(0.5, abs=0.02)
    assert len(t.to_bytes()) < 6000


def test_outcomes_without_times_or_labels_leave_no_trace():
    t = trace()
    t.add(dataclasses.replace(outcomes([START], [True]), ts_ms=None))
    t.add(dataclasses.replace(outcomes([START], [True]), true_label=DictColumn.missing(1)))
    assert len(t.keys) == 0 and t.stream(10)[0].tolist() == []


def test_entries_of_epochs_long_gone_and_of_other_settings_are_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(concept, "EPOCH", 2)
    monkeypatch.setattr(concept, "KEEP", 3)
    events, labels, _ = events_and_labels()

    def names():
        store = open_store(f"sqlite:///{tmp_path}/kept.db", read_only=True)
        found = [r["name"] for r in store.rows(model_state.select().where(model_state.c.name.startswith("concept")))]
        store.close()
        return found

    run(tmp_path, "kept", [[("events", events), ("labels", labels)]])
    kept = names()
    assert len(kept) == 1 + 4 + 8  # the newest epoch and three before it, two windows each
    # another version's labels come with other settings
    again = [{**event, "event_id": f"x{i}", "version": "2"} for i, event in enumerate(events[-9:])]
    theirs = [{**label, "event_id": f"x{i}"} for i, label in enumerate(labels[-9:])]
    monkeypatch.undo()
    run(tmp_path, "kept", [[("events", again), ("labels", theirs)]], detectors="[ddm]", at=len(events))
    assert len(names()) > 1 and not set(names()) & (set(kept) - {"concept"})
