"""Scenarios: restarts in every state, crashes inside the transaction, receivers that misbehave, replays."""

import pytest

from monitor.config import parse_config
from monitor.replay import ReplayBatch, replay
from monitor.runtime import build_engine, build_models
from monitor.store import open_store
from monitor.store.schema import outbox
from tests.timeline import DRIFT, HOOKS, Timeline, alerts_section
from tests.timeline_world import LogSource


@pytest.fixture
def timeline(tmp_path):
    made = []

    def make(*rules, features="", section="", hooks=False, **route):
        text = alerts_section(*rules, channels=HOOKS, **route) if hooks else alerts_section(*rules, **route)
        made.append(Timeline(tmp_path, text + section, more=features, servers=("chat",) if hooks else ()))
        return made[-1]

    yield make
    for each in made:
        each.close()


def drift(*changes):
    return DRIFT[:-1] + "".join(", " + c for c in changes) + "}"


# a restart in each state says nothing and forgets nothing


def test_restart_while_calm(timeline):
    t = timeline(drift())
    t.ops.at("12:00").restart()
    t.feed.at("12:02").shift("income", 0.5)
    t.expect.between("11:58", "12:03").silent()
    t.expect.between("12:04", "12:06").firing("income").notified("chat", "firing")


def test_restart_while_pending(timeline):
    t = timeline(drift("for_windows: 3"))
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:02").restart()
    t.expect.between("12:01", "12:03").pending("income").silent()
    t.expect.between("12:04", "12:05").firing("income").notified("chat", "firing")


def test_restart_while_firing(timeline):
    t = timeline(drift(), route="{channels: [chat], repeat: 10m}")
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:05").restart()
    t.feed.at("12:14").calm()
    t.expect.between("12:03", "12:11").stays("income", "firing").silent()
    t.expect.between("12:12", "12:13").notified("chat", "repeat")
    t.expect.between("12:15", "12:17").notified("chat", "resolved")


def test_restart_while_acknowledged(timeline):
    t = timeline(drift(), route="{channels: [chat], repeat: 5m, escalate: [{after: 8m, channels: [pager]}]}")
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:04").ack("income")
    t.ops.at("12:06").restart()
    t.expect.between("12:06", "12:30").stays("income", "acknowledged").silent()


def test_restart_between_an_acknowledgement_and_the_round_that_sees_it(timeline):
    t = timeline(drift())
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:04").ack("income")
    t.ops.at("12:04").restart()
    t.expect.between("12:05", "12:08").notified("chat", "acknowledged")


def test_restart_while_silenced(timeline):
    t = timeline(drift())
    t.ops.at("12:00").silence("12:20", subject="income")
    t.feed.at("12:02").shift("income", 0.5)
    t.ops.at("12:10").restart()
    t.expect.between("12:03", "12:19").silent()
    t.expect.between("12:20", "12:22").notified("chat", "firing", reason="silence_ended")


def test_restart_while_inhibited(timeline):
    section = "inhibit: [{source: {subject: age}, target: {subject: income}, equal: [model]}]\n"
    t = timeline(drift(), section=section, route="{channels: [chat], group_by: [subject]}")
    t.feed.at("12:00").shift("age", 0.6)
    t.feed.at("12:02").shift("income", 0.6)
    t.ops.at("12:06").restart()
    t.feed.at("12:10").shift("age", 0.0)
    t.expect.between("12:03", "12:11").silent()
    t.expect.between("12:12", "12:13").notified("chat", "firing", subject="income", reason="inhibition_ended")


def test_restart_while_escalated(timeline):
    t = timeline(
        drift(), route="{channels: [chat], repeat: 0s, escalate: [{after: 3m, channels: [pager]}, {after: 12m, channels: [boss]}]}"
    )
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:07").restart()
    t.expect.between("12:03", "12:06").notified("pager", "escalated")
    t.expect.between("12:07", "12:12").silent()
    t.expect.between("12:13", "12:16").notified("boss", "escalated").silent("pager")


def test_restart_while_it_waits_to_join(timeline):
    t = timeline(drift(), features="f1: numeric, f2: numeric")
    t.feed.at("12:00").shift("f1", 0.6)
    t.feed.at("12:01").shift("f2", 0.6)
    t.ops.at("12:04").restart()
    t.expect.between("12:03", "12:05").silent()
    t.expect.between("12:06", "12:09").notified("chat", "firing", count=2)


def test_restart_while_cooling_down(timeline):
    t = timeline(drift("cooldown: 10m"))
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:02").calm()
    t.feed.at("12:04").shift("income", 0.5)
    t.ops.at("12:08").restart()
    t.expect.between("12:06", "12:12").silent()
    t.expect.between("12:13", "12:15").notified("chat", "firing")


def test_restart_while_flapping(timeline):
    t = timeline(drift(), section="flapping: {times: 3, windows: 12}\n")
    for minute in range(0, 14, 2):
        t.feed.at(f"12:{minute:02d}").shift("income", 0.5)
        t.feed.at(f"12:{minute + 1:02d}").calm()
    t.ops.at("12:10").restart()
    t.expect.between("12:01", "12:07").notified("chat", "flapping")
    t.expect.between("12:08", "12:18").silent()
    t.expect.between("12:19", "12:34").notified("chat", "resolved", reason="flapping_ended")


def test_restart_while_nothing_comes(timeline):
    t = timeline("{name: silent, absent: events, for_windows: 4}")
    t.feed.at("12:00").stop()
    t.ops.at("12:03").restart()
    t.expect.between("12:01", "12:04").silent()
    t.expect.between("12:05", "12:07").firing("silent").notified("chat", "firing")


def test_restart_after_it_resolved(timeline):
    t = timeline(drift())
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:03").calm()
    t.ops.at("12:06").restart()
    t.expect.between("12:01", "12:20").notified("chat", "firing").notified("chat", "resolved").notified("chat", "*", 2)


# a crash inside the publishing transaction is as if it never began


@pytest.mark.parametrize("method", ["write_window", "write_alerts", "enqueue", "write_trail", "save_state", "settle"])
def test_a_crash_in_the_transaction_neither_loses_nor_doubles(timeline, method):
    t = timeline(drift())
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:01").crash(method)
    t.feed.at("12:06").calm()
    t.expect.between("12:01", "12:12").firing("income").resolved("income")
    t.expect.between("12:01", "12:12").notified("chat", "firing").notified("chat", "resolved").notified("chat", "*", 2)
    assert t.world.crashes == 1
    assert len({r["key"] for r in t.world.store.rows(outbox.select())}) == 2


@pytest.mark.parametrize("method", ["enqueue", "save_state"])
def test_a_crash_while_it_repeats_neither_loses_nor_doubles(timeline, method):
    t = timeline(drift(), route="{channels: [chat], repeat: 5m}")
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:04").crash(method)
    t.expect.between("12:03", "12:08").notified("chat", "repeat")
    assert t.world.crashes == 1


# receivers that misbehave: the message comes once they are well, in order, and no other channel waits


@pytest.mark.parametrize("mode", ["down", "slow", "half", 500, 503, 429])
def test_a_receiver_that_fails_gets_it_when_it_is_well_again(timeline, mode):
    t = timeline(drift(), hooks=True, route="{channels: [chat, pager]}")
    t.feed.at("12:00").shift("income", 0.5)
    t.channel("chat").at("12:00").becomes(mode)
    t.channel("chat").at("12:05").becomes("up")
    t.expect.between("12:01", "12:05").notified("pager", "firing").silent("chat")
    t.expect.between("12:06", "12:10").notified("chat", "firing").silent("pager")
    assert t._receivers["chat"].tried >= 3
    assert t.world.outcomes.count(("chat", "sent")) == 1 and ("chat", "retry") in t.world.outcomes


def test_a_receiver_that_says_when_is_not_asked_before(timeline):
    t = timeline(drift(), hooks=True)
    t.feed.at("12:00").shift("income", 0.5)
    t.channel("chat").at("12:00").becomes(429, retry_after_s=600)
    t.channel("chat").at("12:03").becomes("up")
    t.expect.between("12:01", "12:11").silent("chat")
    assert t._receivers["chat"].tried == 1
    t.expect.between("12:12", "12:13").notified("chat", "firing")


def test_a_receiver_that_refuses_is_not_asked_again(timeline):
    t = timeline(drift(), hooks=True)
    t.feed.at("12:00").shift("income", 0.5)
    t.channel("chat").at("12:00").becomes(404)
    t.channel("chat").at("12:05").becomes("up")
    t.expect.between("12:01", "12:20").silent("chat")
    (sent,) = t.world.store.actions.alert_detail(t.alert("income")["alert"], t.world.now_ms)["sent"]
    assert (sent["state"], t._receivers["chat"].tried) == ("dead", 1) and "404" in sent["error"]


def test_the_end_does_not_overtake_the_beginning(timeline):
    t = timeline(drift(), hooks=True)
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:03").calm()
    t.channel("chat").at("12:00").becomes("down")
    t.channel("chat").at("12:10").becomes("up")
    found = [m["status"] for m in t.expect.between("12:01", "12:20").messages("chat")]
    assert found == ["firing", "resolved"]


def test_a_restart_while_a_receiver_is_down_keeps_what_waits(timeline):
    t = timeline(drift(), hooks=True)
    t.feed.at("12:00").shift("income", 0.5)
    t.channel("chat").at("12:00").becomes(500)
    t.ops.at("12:04").restart()
    t.channel("chat").at("12:06").becomes("up")
    t.expect.between("12:01", "12:12").notified("chat", "firing")


def test_an_answer_that_was_lost_comes_again_with_the_same_key(timeline):
    t = timeline(drift(), hooks=True)
    receiver = t._receivers["chat"]
    t.feed.at("12:00").shift("income", 0.5)
    answer = receiver.answer
    keys = []

    def half(handler):
        keys.append(handler.headers["webhook-id"])
        if len(keys) == 1:
            handler.wfile.write(b"HTTP/1.1 2")
            handler.close_connection = True
        else:
            answer(handler)

    receiver.answer = half
    t.expect.between("12:01", "12:06").notified("chat", "firing")
    assert len(keys) == 2 and len(set(keys)) == 1


# what was lived and what is replayed


def lived(store):
    return [(r["channel"], r["key"]) for r in store.rows(outbox.select().order_by(outbox.c.seq))]


@pytest.mark.parametrize("restarts", [(), ("12:03", "12:09", "12:21")], ids=["calm", "restarts"])
def test_a_replay_of_the_log_makes_the_same_messages(timeline, tmp_path, restarts):
    t = timeline(drift("resolve_windows: 2"), "{name: silent, absent: events, for_windows: 2}", features="f1: numeric, f2: numeric")
    t.feed.at("12:00").shift("f1", 0.6)
    t.feed.at("12:03").shift("f2", 0.6)
    t.feed.at("12:12").calm()
    t.feed.at("12:20").stop()
    t.feed.at("12:26").start()
    for at in restarts:
        t.ops.at(at).restart()
    t.expect.between("12:01", "12:40").notified("chat", "firing", 3).notified("chat", "resolved", 2)
    cfg = parse_config(t.world.text, "replay.yaml")
    store = open_store(f"sqlite:///{tmp_path}/replay.db")
    store.migrate()
    engine = build_engine(cfg, build_models(cfg, store), ("predictions", "truth"))
    sources = (LogSource("predictions", "events", t.world.events), LogSource("truth", "labels", t.world.labels))
    replay((ReplayBatch(role, raw) for s in sources for role, raw in s.poll(10**6, 0)), engine, store, 1)
    assert lived(store) == lived(t.world.store)
    store.close()
