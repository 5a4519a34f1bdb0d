"""The daemon's own alert: no replica reaches a source. Time is passed in; the store, the desk and the outbox are the real ones."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from monitor.blindness import LAPSE_MS, SourceWatch, unreached
from monitor.config import parse_config
from monitor.store import open_store
from monitor.store.schema import outbox

T0 = 1_767_225_600_000
S = 1000
CONFIG = """
sources:
  - {name: log, type: kafka, topics: [t], bootstrap_servers: "h:1", unreachable_after: 5m}
  - {name: truth, type: kafka, carries: labels, topics: [l], bootstrap_servers: "h:1"}
  - {name: unwatched, type: kafka, topics: [u], bootstrap_servers: "h:1", unreachable_after: 0s}
models: [{name: m}]
alerts:
  channels:
    chat: {type: log}
    pager: {type: log}
    train: {type: retrain, url: "http://127.0.0.1:1/", allow_private: true}
  route:
    channels: [chat, train]
    repeat: 1h
    routes: [{match: {rule: source-unreachable}, channels: [pager, train], escalate: [{after: 30m, channels: [chat]}]}]
"""


class Replica:
    def __init__(self, store):
        self.reached = {"log": True, "truth": True, "unwatched": True}
        self.watch = SourceWatch(store, parse_config(CONFIG, "t"), lambda: self.reached)


class World:
    def __init__(self, folder):
        self.store = open_store(f"sqlite:///{folder}/s.db")
        self.store.migrate()
        self.replicas = [Replica(self.store)]
        self.now_ms = T0

    def play(self, seconds):
        """Let time go; each replica looks every ten seconds."""
        until = self.now_ms + seconds * S
        while self.now_ms < until:
            self.now_ms += 10 * S
            for replica in self.replicas:
                replica.watch.step(self.now_ms)

    def told(self):
        rows = [json.loads(r["body"]) for r in sorted(self.store.rows(select(outbox)), key=lambda r: r["seq"])]
        return [(r["status"], r["subject"]) for r in rows]

    def channels(self):
        return {r["channel"] for r in self.store.rows(select(outbox))}


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.store.close()


def test_a_source_that_nobody_reaches_is_told_once_and_resolved_when_it_is_back(world):
    (one,) = world.replicas
    world.play(60)
    one.reached["log"] = False
    world.play(290)
    assert world.told() == []
    world.play(600)
    assert world.told() == [("firing", "source:log")] and world.channels() == {"pager"}, "the tree is asked; retrain never is"
    (row,) = world.store.alerts()
    assert (row["model"], row["rule"], row["severity"], row["status"]) == ("driftd", "source-unreachable", "critical", "firing")
    assert row["threshold"] == 300.0 and row["value"] >= 300.0
    one.reached["log"] = True
    world.play(60)
    assert world.told() == [("firing", "source:log"), ("resolved", "source:log")]
    assert world.store.alerts()[0]["status"] == "resolved"
    world.play(3600)
    assert len(world.told()) == 2


def test_it_repeats_and_escalates_like_others(world):
    world.replicas[0].reached["truth"] = False
    world.play(2 * 3600)
    assert [s for s, _ in world.told()] == ["firing", "escalated", "repeat", "repeat"] and world.channels() == {"pager", "chat"}


def test_a_source_that_no_one_wants_to_hear_of_is_not_watched(world):
    world.replicas[0].reached["unwatched"] = False
    world.play(3600)
    assert world.told() == []


def test_of_two_replicas_one_tells_and_one_that_is_cut_off_alone_is_no_blindness(world):
    other = Replica(world.store)
    world.replicas.append(other)
    other.reached["log"] = False
    world.play(1800)
    assert world.told() == []
    world.replicas[0].reached["log"] = False
    world.play(600)
    assert world.told() == [("firing", "source:log")]
    other.reached["log"] = True
    world.play(60)
    assert world.told()[1:] == [("resolved", "source:log")]


def test_a_short_restart_goes_on_counting_and_a_long_one_begins_anew(world):
    world.replicas[0].reached["log"] = False
    world.play(200)
    world.now_ms += 60 * S
    world.replicas = [Replica(world.store)]
    world.replicas[0].reached["log"] = False
    world.play(50)
    assert world.told() == [("firing", "source:log")], "five minutes, one of them without a daemon"
    world.now_ms += 3_600_000
    world.replicas = [Replica(world.store)]
    world.replicas[0].reached["log"] = False
    world.play(60)
    assert [status for status, _ in world.told()] == ["firing", "escalated"], "it still is: no resolution, and no new episode"


def test_time_in_which_no_daemon_ran_is_no_blindness(world):
    world.replicas[0].reached["log"] = False
    world.play(100)
    world.now_ms += 3_600_000
    world.play(290)
    assert world.told() == []
    world.play(30)
    assert world.told() == [("firing", "source:log")]


def test_before_the_loop_has_turned_nothing_is_known(world):
    world.replicas[0].reached = {}
    world.play(3600)
    assert world.told() == []


def test_a_source_that_the_config_lost_resolves(world):
    world.replicas[0].reached["log"] = False
    world.play(400)
    del world.replicas[0].watch._after_ms["log"]
    world.play(20)
    assert world.told() == [("firing", "source:log"), ("resolved", "source:log")]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 200)), max_size=40))
def test_it_counts_only_unbroken_time_in_which_somebody_looked(looks):
    now, state, blind, since_told = T0, {}, 0, False
    for ok, gap in looks:
        now += gap * S
        state = unreached(state, {"log": ok}, {"log": 300 * S}, now)
        since_told = since_told and not ok
        if ok:
            blind = 0
            assert state == {}
            continue
        fresh = blind == 0 or (gap * S > LAPSE_MS and not since_told)
        blind = 1 if fresh else blind + gap * S
        assert state["log"][1] - state["log"][0] == (0 if fresh else blind - 1)
        since_told = blind - 1 >= 300 * S
