"""Rules, routes and inhibition in config.yaml: what cannot be is refused with its line and the fix."""

from __future__ import annotations

import pytest

from alerts.presets import DEFAULT
from monitor.config import ConfigError, effective, parse_config
from monitor.policies import all_rules, never_called, policy_of, route_of

HEAD = "models: [{name: credit, task: binary, positive_label: y, team: risk, tags: {tier: gold}, features: {income: numeric, age: numeric}, segments: [channel]}]\nalerts:\n"
CHANNELS = "  channels: {chat: {type: log}, pager: {type: log}}\n"


def problems(alerts, channels=CHANNELS):
    with pytest.raises(ConfigError) as caught:
        parse_config(HEAD + channels + alerts, "c.yaml")
    return [(p.line, p.path, f"{p.message}; {p.fix}") for p in caught.value.problems]


@pytest.mark.parametrize(
    ("alerts", "path", "words"),
    [
        ("  rules: [{name: r, channels: [chart]}]", "alerts.rules[0].channels[0]", "did you mean 'chat'?"),
        ("  rules: [{name: r, scores: [pssi]}]", "alerts.rules[0].scores[0]", "did you mean 'psi'?"),
        ("  rules: [{name: r, scores: ['x*']}]", "alerts.rules[0].scores[0]", "no score matches 'x*'"),
        ("  rules: [{name: r, models: [kredit]}]", "alerts.rules[0].models[0]", "did you mean 'credit'?"),
        ("  rules: [{name: r, subjects: [latenzy]}]", "alerts.rules[0].subjects[0]", "did you mean 'latency'?"),
        ("  rules: [{name: r, subjects: [age, incom]}]", "alerts.rules[0].subjects[1]", "did you mean 'income'?"),
        ("  rules: [{name: r, segments: ['chanel=web']}]", "alerts.rules[0].segments[0]", "did you mean 'channel'?"),
        ("  rules: [{name: a}, {name: r, all_of: [a, bb]}]", "alerts.rules[1].all_of[1]", "there is no rule 'bb'"),
        ("  rules: [{name: r, any_of: [r]}]", "alerts.rules[0].any_of[0]", "made of itself"),
        ("  rules: [{name: a}, {name: b, all_of: [a]}, {name: c, all_of: [b]}]", "alerts.rules[2].all_of[0]", "combination itself"),
        ("  rules: [{name: r, notify: false}]", "alerts.rules[0].notify", "no other rule uses it"),
        ("  rules: [{name: r, above: 1, below: 0}]", "alerts.rules[0]", "above or below, not both"),
        ("  rules: [{name: r, above: 1, absent: events}]", "alerts.rules[0]", "more than one way"),
        ("  rules: [{name: r, above: 1, resolve_below: 2}]", "alerts.rules[0]", "resolve_below must lie under above"),
        ("  rules: [{name: r, for_windows: 3, of_windows: 2}]", "alerts.rules[0]", "of_windows"),
        ("  rules: [{name: r, absent: labels, absent_for: 1}]", "alerts.rules[0].absent_for", "write a number and a unit"),
        ("  rules: [{name: r, schedule: {timezone: Mars/Olympus}}]", "alerts.rules[0].schedule.timezone", "IANA"),
        ("  rules: [{name: r, schedule: {days: [mon, freitag]}}]", "alerts.rules[0].schedule.days", "'freitag' is no day"),
        ("  rules: [{name: r, schedule: {from: noon}}]", "alerts.rules[0].schedule.from", "no time of day"),
        ("  rules: [{name: r, schedule: {from: '9:00', to: '9:00'}}]", "alerts.rules[0]", "another time than it begins"),
        ("  route: {repeat: 4h}", "alerts.route", "needs a default"),
        ("  route: {channels: []}", "alerts.route", "needs a default"),
        ("  route: {channels: [chat, pgr]}", "alerts.route.channels[1]", "there is no channel 'pgr'"),
        ("  route: {channels: [chat], group_by: [modle]}", "alerts.route.group_by[0]", "did you mean 'model'?"),
        ("  route: {channels: [chat], routes: [{channels: [pager]}]}", "alerts.route.routes[0]", "without match takes every alert"),
        ("  route: {channels: [chat], routes: [{match: {sevrity: x}}]}", "alerts.route.routes[0].match.sevrity", "'severity'"),
        ("  route: {channels: [chat], routes: [{match: {severity: bad}}]}", "alerts.route.routes[0].match.severity", "critical"),
        ("  route: {channels: [chat], routes: [{match: {rule: nope}}]}", "alerts.route.routes[0].match.rule", "no rule 'nope'"),
        ("  route: {channels: [chat], routes: [{match: {model: [credit, x]}}]}", "alerts.route.routes[0].match.model", "no model 'x'"),
        ("  route: {channels: [chat], escalate: [{after: 5m, channels: [boss]}]}", "alerts.route.escalate[0].channels[0]", "'boss'"),
        ("  route: {channels: [chat], escalate: [{channels: [chat]}]}", "alerts.route.escalate[0].after", "is missing"),
        ("  inhibit: [{source: {rool: x}, target: {model: '*'}}]", "alerts.inhibit[0].source.rool", "no label 'rool'"),
        ("  inhibit: [{source: {model: '*'}, target: {model: '*'}, equal: [mod]}]", "alerts.inhibit[0].equal[0]", "'model'"),
        ("  flapping: {times: -1}", "alerts.flapping.times", "greater than or equal to 0"),
        ("  preset: full", "alerts.preset", "allowed: default, none"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(alerts, path, words):
    found = problems(alerts + "\n")
    assert any(line >= 4 and at == path and words in text for line, at, text in found), found


def test_a_rule_needs_somebody_who_hears_of_it():
    found = problems("  rules: [{name: r}]\n", "  channels: {again: {type: retrain, url: 'https://e.example/x'}}\n")
    assert [text for _, path, text in found if path == "alerts.rules[0]" and "tells nobody" in text]


def test_subjects_and_segments_that_may_be_are_taken():
    config(
        "  rules: [{name: r, subjects: ['check:*', latency, income, 'check:one', anything], segments: ['channel=web', '*', '']}]\n"
    )


@pytest.mark.parametrize(
    ("more", "called"),
    [
        ("", False),
        ("  rules: [{name: r, channels: [again]}]\n", True),
        ("  route: {channels: [chat], routes: [{match: {kind: performance}, channels: [again]}]}\n", True),
        ("  route: {channels: [chat], escalate: [{after: 1h, channels: [again]}]}\n", True),
    ],
)
def test_a_retrain_channel_that_nothing_names_is_told(more, called):
    channels = "  channels: {chat: {type: log}, again: {type: retrain, url: 'https://e.example/x'}}\n"
    assert never_called(parse_config(HEAD + channels + more, "c.yaml").alerts) == ([] if called else ["again"])


def config(alerts):
    return parse_config(HEAD + CHANNELS + alerts, "c.yaml")


def test_ten_lines_give_the_preset_and_every_channel_that_tells():
    cfg = config("")
    policy = policy_of(cfg, cfg.models[0], labels_come=True)
    assert [r.name for r in policy.rules] == [r.name for r in DEFAULT]
    assert all(r.min_rows == cfg.models[0].min_rows for r in policy.rules if not (r.absent or r.hears_levels))
    assert policy.route is not None and policy.route.target.channels == ("chat", "pager")
    assert dict(policy.tags) == {"team": "risk", "tier": "gold"}


def test_written_rules_stand_alone_unless_the_preset_is_asked_for():
    mine = "  rules: [{name: drift, scores: [ks], above: 0.3}, {name: more, scores: [js], above: 0.1}]\n"
    assert [r.name for r in all_rules(config(mine).alerts)] == ["drift", "more"]
    both = all_rules(config(mine + "  preset: default\n").alerts)
    assert len(both) == len(DEFAULT) + 1 and next(r for r in both if r.name == "drift").scores == ("ks",)
    assert all_rules(config("  preset: none\n").alerts) == ()


def test_a_channel_that_acts_is_no_default():
    text = HEAD + "  channels: {chat: {type: log}, again: {type: retrain, url: 'https://e.example/x', secret_env: S}}\n"
    route = route_of(parse_config(text, "c.yaml").alerts)
    assert route is not None and route.target.channels == ("chat",)


def test_a_tree_comes_back_from_its_effective_form():
    cfg = config(
        "  route:\n    channels: [chat]\n    repeat: 1h\n    routes:\n"
        "      - {match: {tier: gold, severity: [critical, warning]}, channels: [pager], continue: true, repeat: 5m}\n"
        "  rules: [{name: r, scores: [psi], schedule: {days: [mon-fri], from: 18:00, to: '24:00', timezone: Europe/Berlin}}]\n"
    )
    assert parse_config(effective(cfg), "e") == cfg
    root = route_of(cfg.alerts)
    assert root is not None and root.routes[0].target.repeat_ms == 300_000 and root.routes[0].go_on
    assert cfg.alerts.rules[0].schedule is not None and cfg.alerts.rules[0].schedule.from_ == "18:00"
