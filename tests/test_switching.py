"""A reference is switched while daemons run: they agree on when, whenever each learns of it, and no row is lost."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import ks_2samp

from detectors.columns import Columns, DictColumn
from detectors.profile import Profile
from monitor.config import parse_config
from monitor.events import PartitionKey, RawBatch
from monitor.publish import publish_due
from monitor.runtime import build_engine, build_models
from monitor.store import StoredReference, open_store
from monitor.store.references import SWITCH_AFTER_MS
from monitor.switching import ReferenceWatch

MINUTE = 60_000
T0 = 1_790_000_040_000  # a whole minute
ROWS = 60
CONFIG = """
sources: [{{name: log, type: kafka, carries: events, topics: [t], bootstrap_servers: "x:1"}}]
store: {{url: "{url}"}}
models:
  - {{name: m, task: none, features: {{x: numeric}}, window: {{size: 1m, allowed_lateness: 5s}}, min_rows: 10}}
alerts: {{preset: none, channels: {{console: {{type: log}}}}, route: {{channels: [console]}}}}
"""


class Replica:
    """One daemon's engine, with one partition."""

    def __init__(self, cfg, store, part: int) -> None:
        self.store, self.key, self.offset = store, PartitionKey("log", "t", part), 0
        self.models = build_models(cfg, store, labels_come=False)
        self.engine = build_engine(cfg, self.models)
        self.watch = ReferenceWatch(cfg, store, self.models, lambda model: self.models.update({model.name: model}))
        self.engine.assign(store.claim({self.key: "events"}, f"r{part}", T0, self.engine.keep_ms).values())

    def minute(self, number: int) -> None:
        """Read the rows of one minute and make them durable."""
        rng = np.random.default_rng([number, self.key.partition])
        start = T0 + number * MINUTE
        lines = [
            json.dumps({
                "event_id": f"{self.key.partition}-{number}-{i}", "ts": start + i * 900, "model": "m", "version": "1",
                "features": {"x": float(rng.normal())}, "prediction": {"score": 0.5},
            }).encode()
            for i in range(ROWS)
        ]  # fmt: skip
        offsets = np.arange(self.offset, self.offset + ROWS)
        self.offset += ROWS
        self.engine.step("events", RawBatch(self.key, offsets, np.full(ROWS, start), lines, self.offset))
        cuts = self.engine.cut(start)
        assert not self.store.checkpoint(cuts, self.engine.absorb)
        self.engine.committed(cuts)

    def publish(self, now_ms: int, ended_ms: int | None = None) -> None:
        with self.store.publishing("m") as tx:
            publish_due(tx, self.models["m"], lambda key: True, now_ms, 10**9, ended_ms=ended_ms)


@pytest.fixture
def opened(store_url):
    cfg = parse_config(CONFIG.format(url=store_url), "test")
    store = open_store(cfg.store.sqlalchemy_url())
    store.migrate()
    yield cfg, store
    store.close()


def save(cfg, store, name: str, shift: float, at_ms: int, active: bool) -> None:
    schema = build_models(cfg, store)["m"].schema
    n = 500
    none = DictColumn(np.full(n, -1, dtype=np.int32), [])
    values = np.random.default_rng(1).normal(shift, 1.0, n)
    columns = Columns(
        rows=n, numeric={"x": values}, categorical={}, score=np.full(n, 0.5), label=none, latency_ms=np.full(n, np.nan),
        error=np.zeros(n, bool),
    )  # fmt: skip
    profile = Profile.build(columns, schema, name)
    store.save_reference(StoredReference("m", name, n, at_ms, active, profile.to_bytes()))


def play(cfg, store, learns: tuple[int, ...]) -> tuple[list, list]:
    """Eight minutes; the new reference is activated in minute 2; replica i learns of it in minute learns[i]."""
    save(cfg, store, "old", 0.0, T0, True)
    replicas = [Replica(cfg, store, part) for part in range(2)]
    for number in range(8):
        if number == 2:
            save(cfg, store, "new", 1.0, T0 + 2 * MINUTE, False)
            store.activate_reference("m", "new", T0 + 2 * MINUTE + 10)
        for replica, learned in zip(replicas, learns, strict=True):
            if number == learned:
                replica.watch.look()
            replica.minute(number)
        replicas[number % 2].publish(T0 + (number + 1) * MINUTE)
    replicas[0].publish(T0 + 9 * MINUTE, ended_ms=T0 + 9 * MINUTE)
    windows = [(w["start_ms"], w["rows"], w["reference"]) for w in store.windows("m")]
    with store.publishing("m") as tx:
        scores = [
            (s.window_start_ms, s.value, s.rows, s.reference) for name in ("psi", "ks") for s in tx.scores("x", name, 0, 2**53)
        ]
    return windows, scores


def test_replicas_that_learn_at_different_moments_agree(opened):
    cfg, store = opened
    windows, scores = play(cfg, store, (2, 4))
    assert [rows for _, rows, _ in windows] == [2 * ROWS] * 8, "no row is lost"
    assert [name for _, _, name in windows] == ["old"] * 5 + ["new"] * 3, "from two minutes after the newest pane and now"
    psi = [value for _, value, _, _ in scores[:8]]
    assert max(psi[:5]) < 0.5 < min(psi[5:])


def test_results_do_not_depend_on_when_each_learns(tmp_path):
    found = []
    for n, learns in enumerate(((2, 2), (2, 4), (4, 3))):
        cfg = parse_config(CONFIG.format(url=f"sqlite:///{tmp_path}/{n}.db"), "test")
        store = open_store(cfg.store.url)
        store.migrate()
        found.append(play(cfg, store, learns))
        store.close()
    assert found[0] == found[1] == found[2]


def test_a_restart_finds_what_the_running_daemon_learned(opened):
    cfg, store = opened
    play(cfg, store, (2, 4))
    model = build_models(cfg, store)["m"]
    from_ms = T0 + 2 * MINUTE + 10 + SWITCH_AFTER_MS
    assert model.activations == ((0, "old"), (from_ms, "new"))
    assert [model.profile_at(at) for at in (0, from_ms - 1, from_ms)] == ["old", "old", "new"]


def test_what_is_activated_for_all_time_holds_for_old_events(opened):
    cfg, store = opened
    play(cfg, store, (2, 4))
    assert store.activate_reference("m", "old", T0, all_time=True) == 0
    assert store.reference_marks()["m"] == (((0, "old"),), frozenset({"old", "new"}))
    assert store.activate_reference("m", "nobody", T0) is None


def test_a_reference_of_other_features_waits_for_a_restart(opened, caplog):
    cfg, store = opened
    bare = parse_config(CONFIG.format(url=cfg.store.url).replace("features: {x: numeric}, ", ""), "test")
    replica = Replica(bare, store, 0)
    save(cfg, store, "new", 0.0, T0, True)
    replica.watch.look()
    assert replica.models["m"].profile_at(T0) == "" and "restart" in caplog.text


SLIDING = CONFIG.replace("window: {{size: 1m,", "window: {{size: 3m, slide: 1m,")


def test_a_sliding_window_on_both_sides_of_a_switch_holds_all_rows_and_says_so(tmp_path):
    cfg = parse_config(SLIDING.format(url=f"sqlite:///{tmp_path}/s.db"), "test")
    store = open_store(cfg.store.url)
    store.migrate()
    windows, _ = play(cfg, store, (2, 4))
    with store.publishing("m") as tx:
        moved = {s.window_start_ms: s for s in tx.scores("traffic", "rebinned_share", 0, 2**53)}
        ks = {s.window_start_ms: s for s in tx.scores("x", "ks", 0, 2**53)}
    store.close()
    whole = [(start, reference) for start, rows, reference in windows if rows == 6 * ROWS]
    assert len(whole) == 6 and len({reference for _, reference in whole}) == 2
    assert [start for start, _ in whole if start in moved] == [T0 + 3 * MINUTE, T0 + 4 * MINUTE], "two windows lie on both sides"
    for start, score in moved.items():
        evidence = json.loads(score.evidence)
        assert score.value == pytest.approx(1 / 3) and "switched" in evidence["reason"] and evidence["rows"] == 2 * ROWS
        rng = [np.random.default_rng([(start - T0) // MINUTE + n, part]) for n in range(3) for part in range(2)]
        values = np.concatenate([[r.normal() for _ in range(ROWS)] for r in rng])
        shift = 0.0 if ks[start].reference == "old" else 1.0
        built = np.random.default_rng(1).normal(shift, 1.0, 500)
        exact = ks_2samp(values, built).statistic
        assert abs(ks[start].value - exact) <= evidence["shares off by at most"] + 0.005
