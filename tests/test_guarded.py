"""A fault in one analyser, in judging or in settling costs what it would have said and nothing else; the store's errors go on up."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.exc import OperationalError

from monitor import analysis, publish, verdicts
from monitor.checkpoint import ScoreRow
from monitor.guarded import Staged, tried
from monitor.metrics import Metrics
from monitor.store.errors import StoreError, StoreUnavailable
from monitor.store.schema import model_state
from tests.replayed import START, open_replay, replay_events, scores_of, windows_of

MINUTE_MS = 60_000
CONFIG = """
models:
  - name: m
    task: binary
    positive_label: "1"
    features: {x: numeric}
    window: {size: 1m, allowed_lateness: 0s}
    min_rows: 20
    thresholds: {mean: {warn: 100}}
    compare: [{champion: "1", challenger: "2", mode: canary}]
    concept: {detectors: [adwin, ddm]}
"""


def lived(folder, windows=4):
    cfg, store = open_replay(folder, CONFIG)
    events = [
        {"event_id": f"{w}-{i}", "ts": START + w * MINUTE_MS + i * 100, "model": "m", "version": str(1 + i % 2),
         "features": {"x": i % 7}, "prediction": {"label": str(i % 2), "score": 0.2 + 0.6 * (i % 2)}}
        for w in range(windows) for i in range(80)
    ]  # fmt: skip
    labels = [{"event_id": e["event_id"], "label": str(i % 3 % 2), "label_ts": e["ts"]} for i, e in enumerate(events)]
    replay_events(cfg, store, folder, events, labels)
    return scores_of(store), {r["name"]: r["blob"] for r in store.rows(model_state.select())}, len(windows_of(store))


def _raise(*args):
    raise KeyError("x")


def test_a_window_analyser_that_raises_is_an_unsure_finding_of_each_window(tmp_path, monkeypatch, caplog):
    for name in analysis.WINDOW_ANALYSERS:
        monkeypatch.setitem(analysis.WINDOW_ANALYSERS, name, _raise)
    with caplog.at_level(logging.ERROR):
        found, _, windows = lived(tmp_path)
    assert windows == 4
    for name in analysis.WINDOW_ANALYSERS:
        row = found[3, "", "analysis", f"failed:{name}"]
        assert (row["level"], row["value"], row["version"]) == ("unsure", None, "") and "KeyError" in row["evidence"]["reason"]
    assert found[3, "", "x", "mean"]["level"] == "ok", "what others say stays"
    logged = [r.fields["analyser"] for r in caplog.records if r.msg == "score_failed"]
    assert sorted(set(logged)) == sorted(analysis.WINDOW_ANALYSERS)


def test_any_fault_of_a_group_analyser_costs_its_scores_alone(tmp_path, monkeypatch):
    monkeypatch.setitem(analysis.GROUP_ANALYSERS, "quality", _raise)
    found, _, windows = lived(tmp_path)
    assert windows == 4 and found[3, "", "analysis", "failed:quality"]["level"] == "unsure"


@pytest.mark.parametrize("analyser", ["concept", "compared"])
def test_what_it_wrote_before_it_raised_is_undone_and_replays_are_equal(tmp_path, monkeypatch, analyser):
    """The second window's writes are thrown away, whatever was written before the fault; later windows go on."""
    whole = analysis.WINDOW_ANALYSERS[analyser]
    written = []

    def falters(view):
        before = {n: view.memory.load_state(n) for n in view.memory.state_names("")}
        yield from whole(view)
        if view.start_ms == START + MINUTE_MS:
            after = {n: view.memory.load_state(n) for n in view.memory.state_names("")}
            written.append(before != after)
            raise TypeError("odd")

    monkeypatch.setitem(analysis.WINDOW_ANALYSERS, analyser, falters)
    found, states, windows = lived(tmp_path)
    assert written and all(written), "or the test shows nothing"
    assert windows == 4 and found[1, "", "analysis", f"failed:{analyser}"]["level"] == "unsure"
    assert not any(at != 1 for at, *_, name in found if name == f"failed:{analyser}")
    kept = {n: blob for n, blob in states.items() if n.startswith("concept:" if analyser == "concept" else "compare:")}
    second = str(START + MINUTE_MS)
    assert kept and not any(second in n or second.encode() in blob for n, blob in kept.items())
    (tmp_path / "again").mkdir()
    again, states_again, _ = lived(tmp_path / "again")
    assert (again, states_again) == (found, states)


@pytest.mark.parametrize(
    "error",
    [StoreUnavailable("away"), StoreError("broken"), OperationalError("SELECT", {}, Exception("no such table")), MemoryError()],
    ids=["away", "broken", "sql", "memory"],
)
def test_the_stores_errors_and_a_lack_of_memory_are_never_swallowed(tmp_path, monkeypatch, error):
    def fails(*args):
        raise error

    with pytest.raises(type(error)):
        tried(Known(), fails)
    for registry, name in ((analysis.WINDOW_ANALYSERS, "concept"), (analysis.GROUP_ANALYSERS, "quality")):
        (tmp_path / name).mkdir()
        with monkeypatch.context() as patch, pytest.raises((StoreError, StoreUnavailable, MemoryError)):
            patch.setitem(registry, name, fails)
            lived(tmp_path / name, windows=1)


def test_where_judging_raises_limits_of_the_config_hold_and_the_rest_is_unsure(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(verdicts, "judged", _raise)
    with caplog.at_level(logging.ERROR):
        found, _, windows = lived(tmp_path)
    assert windows == 4
    assert (found[3, "", "x", "mean"]["level"], found[3, "", "x", "mean"]["rule"]) == ("ok", "static mean")
    rows = found[3, "", "traffic", "rows"]
    assert rows["level"] == "unsure" and rows["rule"] == "it could not be judged: KeyError: 'x'"
    assert {r["level"] for key, r in found.items() if key[3] != "mean"} <= {"unsure", "unjudged"} | {
        found[key]["level"] for key in found if found[key]["rule"].startswith("static")
    }
    assert [r for r in caplog.records if r.msg == "judging_failed"]


def test_a_settler_that_raises_leaves_its_work_for_the_next_round(tmp_path, monkeypatch, caplog):
    def writes_and_fails(memory, model):
        memory.save_state("half", b"done")
        raise TypeError("odd")

    monkeypatch.setitem(analysis.SETTLERS, "concept", writes_and_fails)
    with caplog.at_level(logging.ERROR):
        _, states, windows = lived(tmp_path)
    assert windows == 4 and "half" not in states
    assert [r.fields["analyser"] for r in caplog.records if r.msg == "settle_failed"][0] == "concept"


def test_failures_are_counted_by_model_and_analyser(tmp_path, monkeypatch):
    metrics, publishes = Metrics(), publish._publish_one

    def counted(*args):
        done = publishes(*args)
        metrics.count_failures(done.window.model, done.failures)
        return done

    monkeypatch.setattr(publish, "_publish_one", counted)
    monkeypatch.setitem(analysis.WINDOW_ANALYSERS, "labels", _raise)
    lived(tmp_path, windows=3)
    page, _ = metrics.render()
    samples = [s for f in text_string_to_metric_families(page.decode()) for s in f.samples]
    assert [(s.labels, s.value) for s in samples if s.name == "driftd_analysis_failures_total"] == [
        ({"model": "m", "analyser": "labels"}, 3.0)
    ]


class Known:
    """A model's memory in dicts."""

    def __init__(self):
        self.states, self.rows = {"a": b"0", "ab": b"1"}, {}

    def load_state(self, name):
        return self.states.get(name)

    def save_state(self, name, blob):
        self.states[name] = blob

    def drop_state(self, name):
        self.states.pop(name, None)

    def state_names(self, prefix):
        return sorted(n for n in self.states if n.startswith(prefix))

    def scores(self, subject, score_name, from_ms, to_ms):
        found = [
            r for r in self.rows.values() if (r.subject, r.score) == (subject, score_name) and from_ms <= r.window_start_ms < to_ms
        ]
        return sorted(found, key=lambda r: (r.window_start_ms, r.version, r.segment))

    def rewrite_scores(self, rows):
        self.rows |= {(r.window_start_ms, r.version, r.segment, r.subject, r.score): r for r in rows}


names = st.sampled_from(["a", "ab", "b", "abc"])
rows = st.builds(
    lambda start, version, subject, value: ScoreRow("m", version, "", start, start + 10, 1, subject, "s", value, 5, "", None, "ok", "", ""),
    st.integers(0, 3), st.sampled_from("12"), st.sampled_from("xy"), st.integers(0, 99).map(float),
)  # fmt: skip
steps = st.lists(
    st.one_of(
        st.tuples(st.just("save_state"), names, st.binary(max_size=2)),
        st.tuples(st.just("drop_state"), names),
        st.tuples(st.just("rewrite_scores"), st.lists(rows, max_size=3)),
    ),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(steps, steps)
def test_staged_writes_are_read_like_done_ones_and_done_when_applied(before, after):
    done, behind = Known(), Known()
    for step, *args in before:
        getattr(done, step)(*args)
        getattr(behind, step)(*args)
    untouched, staged = (dict(behind.states), dict(behind.rows)), Staged(behind)
    for step, *args in after:
        getattr(done, step)(*args)
        getattr(staged, step)(*args)
    for prefix in ("", "a", "ab", "z"):
        assert staged.state_names(prefix) == done.state_names(prefix)
    assert [staged.load_state(n) for n in ("a", "ab", "b", "abc")] == [done.load_state(n) for n in ("a", "ab", "b", "abc")]
    for subject in "xy":
        assert staged.scores(subject, "s", 1, 3) == done.scores(subject, "s", 1, 3)
    assert (behind.states, behind.rows) == untouched
    staged.apply()
    assert (behind.states, behind.rows) == (done.states, done.rows)
