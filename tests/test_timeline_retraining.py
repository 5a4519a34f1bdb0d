"""What people hear of retrains, over time and by config: an alert that lasts where retraining stopped, and notes without being asked."""

from __future__ import annotations

import pytest

from alerts.retraining.policy import RetrainPolicy
from alerts.retraining.request import RetrainRequest
from alerts.standing import RETRAINING_STOPPED
from monitor.channels import build_channels
from monitor.config import parse_config
from monitor.policies import policy_of
from tests.timeline import DRIFT, Timeline, ms

RETRAIN = "retrain: {type: retrain, url: 'https://x.example/r'%s}"
ALERTS = f"""
rules: [{DRIFT}]
route: {{channels: [chat], repeat: 30m}}
channels: {{chat: {{type: log}}, {RETRAIN % ""}}}
"""


def test_retraining_that_does_not_help_wakes_a_human_until_somebody_says_go_on(tmp_path):
    timeline = Timeline(tmp_path, ALERTS)
    try:
        store, policy = timeline.world.store, RetrainPolicy(cooldown_ms=0, max_per_day=9)

        def ask(name, now_ms):
            request = RetrainRequest(name, "credit", "1", "", "income psi", "performance", "drift", "warning", "a" * 16, 0, 1, 0)
            return store.retrains.propose("retrain", policy, request, now_ms)

        def futile():
            for name in ("k0", "k1"):
                ask(name, ms("12:05"))
                store.retrains.report(name, "failed", ms("12:05"))
            assert ask("k2", ms("12:05"))[0] == "blocked"

        timeline.act("12:05", futile)
        timeline.expect.between("12:05", "12:08").firing(RETRAINING_STOPPED).notified("chat", "firing", severity="critical")
        assert "did not help" in timeline.alert(RETRAINING_STOPPED)["evidence"]
        timeline.ops.at("12:30").restart()
        timeline.expect.between("12:09", "12:50").stays(RETRAINING_STOPPED, "firing").notified("chat", "repeat")
        timeline.act("12:55", lambda: timeline.world.store.retrains.reset("credit", "ada", "data fixed", ms("12:55")))
        timeline.expect.between("12:55", "12:58").resolved(RETRAINING_STOPPED).notified("chat", "resolved")
        timeline.expect.between("12:59", "13:05").calm()
    finally:
        timeline.close()


@pytest.mark.parametrize(
    ("route", "retrain", "told", "stops"),
    [
        ("", "", ("chat", "mail"), ("chat", "mail")),
        ("route: {channels: [mail]}", "", ("mail",), ("mail",)),
        ("route: {channels: [retrain, mail]}", "", ("mail",), ("retrain", "mail")),
        ("route: {channels: [retrain]}", "", ("chat", "mail"), ("chat", "mail")),
        ("route: {channels: [mail]}", ", policy: {tell: [chat]}", ("chat",), ("chat",)),
    ],
    ids=["every channel that tells", "the routes' default", "not the one that acts", "whoever can", "as named"],
)
def test_somebody_hears_of_retrains_whatever_the_config_says(route, retrain, told, stops):
    cfg = parse_config(
        "models: [{name: credit}]\nalerts:\n  rules: [{name: d, scores: [psi], above: 0.2, channels: [chat]}]\n"
        f"  {route or 'digests: []'}\n  channels: {{chat: {{type: log}}, mail: {{type: log}}, {RETRAIN % retrain}}}\n",
        "t",
    )
    assert build_channels(cfg)["retrain"].policy.tell == told
    policy = policy_of(cfg, cfg.models[0], labels_come=True)
    (target,) = policy.targets(policy.labels(("credit", "", ""), (RETRAINING_STOPPED, "retraining", "futile_retrains"), "m"))
    assert target.channels == stops


def test_without_a_retrain_channel_nothing_can_stop():
    cfg = parse_config("models: [{name: credit}]\nalerts: {channels: {chat: {type: log}}}", "t")
    assert RETRAINING_STOPPED not in {rule.name for rule in policy_of(cfg, cfg.models[0], labels_come=True).rules}


def test_who_takes_an_alert_is_left_in_peace_while_its_retrain_is_asked_for_again(tmp_path):
    alerts = f"""
rules: [{DRIFT}]
route: {{channels: [chat, retrain], repeat: 10m}}
channels: {{chat: {{type: log}}, {RETRAIN % ""}}}
"""
    timeline = Timeline(tmp_path, alerts)
    try:
        timeline.feed.at("12:00").shift("income", 0.5)
        timeline.ops.at("12:04").ack("income", "ada", "looking")
        timeline.expect.between("12:07", "12:30").stays("income", "acknowledged").silent("chat")
        timeline.expect.between("12:07", "12:30").notified("retrain", "repeat", 2)
    finally:
        timeline.close()
