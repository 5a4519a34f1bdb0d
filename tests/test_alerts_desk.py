"""The desk by itself: what a storm weighs, what an upgrade takes over, what keys are made of."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from alerts.desk import Desk
from alerts.lifecycle import Clock, ClosedWindow, Lifecycle
from alerts.policy import Policy
from alerts.routing import Route, Target
from alerts.rules import Rule
from detectors.score import Finding, Score

MINUTE = 60_000
POLICY = Policy(rules=(Rule("drift", scores=("psi",)),), route=Route(Target(("chat", "pager"), name="default")))


def window(number, subjects, level="breach", revision=1):
    evidence = {"shares": [0.1] * 10}
    found = [Finding(Score(s, "psi", 0.9, 100, "ref", evidence), level, 0.25) for s in subjects]
    return ClosedWindow(number * MINUTE, (number + 1) * MINUTE, revision, 100, False, {("1", ""): found})


def life(book=None, desk=None, policy=POLICY):
    return Lifecycle.restore("m", MINUTE, MINUTE, policy, book, desk)


def test_a_storm_is_one_bounded_message_a_channel():
    storm = life()
    out = storm.window(window(1, [f"f{i}" for i in range(10_000)]), 5)
    assert [channel for channel, _ in out.outbox] == ["chat", "pager"] and len(out.alert_rows) == 10_000
    message = out.outbox[0][1]
    assert (message.count, len(message.members), sum(bool(m.evidence) for m in message.members)) == (10_000, 20, 5)
    assert len(message.to_json()) < 16_000
    assert len(out.trail) == 2 and all(len(json.dumps(row)) < 4_000 for row in out.trail)


def test_keys_hold_neither_clock_nor_revision():
    first = life().window(window(1, ["x"]), 5).outbox
    again = life().window(window(1, ["x"], revision=7), 99).outbox
    assert [n.key for _, n in first] == [n.key for _, n in again] and len({n.key for _, n in first}) == 2
    assert first[0][1].thread == again[1][1].thread


def test_what_fired_before_an_upgrade_is_taken_over_without_a_message_and_closed_with_one():
    rows = [["m", "1", "", "drift", "x", "psi", "firing", 0, -1, -1, False, [[0, "breach", 0.9]]]]
    upgraded = life(json.dumps({"version": 1, "alerts": rows}).encode())
    assert upgraded.window(window(1, ["x"]), 5).outbox == []
    over = life(*upgraded.state()).window(window(2, ["x"], "ok"), 6).outbox
    assert [(c, n.status, n.subject) for c, n in over] == [("chat", "resolved", "x"), ("pager", "resolved", "x")]


def test_a_new_alert_beside_one_that_was_taken_over_is_told():
    rows = [["m", "1", "", "drift", "x", "psi", "firing", 0, -1, -1, False, [[0, "breach", 0.9]]]]
    upgraded = life(json.dumps({"version": 1, "alerts": rows}).encode())
    out = upgraded.window(window(10, ["x", "y"]), 5)
    assert [(n.status, n.count, n.reason) for _, n in out.outbox] == [("firing", 2, "joined_group")] * 2


def test_links_are_there_where_people_can_follow_them():
    policy = replace(POLICY, public_url="https://driftd.example.com/")
    message = life(policy=policy).window(window(1, ["x"]), 5).outbox[0][1]
    assert message.links == {
        "alert": f"https://driftd.example.com/alerts/{message.alert}",
        "model": "https://driftd.example.com/models/m",
    }
    assert life().window(window(1, ["x"]), 5).outbox[0][1].links == {}


def test_nobody_to_tell_is_no_mistake():
    out = life(policy=replace(POLICY, route=None)).window(window(1, ["x"]), 5)
    assert out.outbox == [] and out.alert_rows[0]["status"] == "firing" and out.alert_rows[0]["grp"] is None


def test_a_clock_is_due_when_time_or_news_say_so():
    clock = Clock.from_bytes(Clock(100, 200, "n", True).to_bytes())
    due = [(99, 199, "n"), (100, None, "n"), (0, 200, "n"), (0, None, "other")]
    assert [clock.is_due(*asked) for asked in due] == [False, True, True, True]
    assert Clock.from_bytes(None).is_due(0, None, "")


def test_a_desk_of_another_version_is_refused():
    with pytest.raises(ValueError, match="version"):
        Desk.from_bytes(b'{"version": 99, "groups": []}')
