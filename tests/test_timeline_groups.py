"""Scenarios: what is told together, to whom, and what explains what."""

import pytest
from sqlalchemy import select

from monitor.store.schema import score
from tests.timeline import DRIFT, Timeline, alerts_section, ms

FORTY = ", ".join(f"f{i:02d}: numeric" for i in range(40))


@pytest.fixture
def timeline(tmp_path):
    made = []

    def make(*rules, features="", section="", labels=False, **route):
        made.append(Timeline(tmp_path, alerts_section(*rules, **route) + section, more=features, labels=labels))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_forty_features_that_move_together_are_one_message_worst_first(timeline):
    t = timeline(DRIFT, features=FORTY)
    t.feed.at("12:00").shift("f*", 0.6)
    t.feed.at("12:00").shift("f07", 2.0)
    t.feed.at("12:10").calm()
    (message,) = t.expect.between("12:01", "12:08").notified("chat", "firing", count=40, subject="f07").messages()
    values = [m["value"] for m in message["members"]]
    assert len(values) == 20 and values == sorted(values, reverse=True) and message["members"][0]["subject"] == "f07"
    t.expect.between("12:11", "12:15").notified("chat", "resolved", count=40)


def test_alerts_that_join_are_told_together_after_the_interval(timeline):
    t = timeline(DRIFT, features=FORTY)
    t.feed.at("12:00").shift("f00", 0.6)
    for minute in range(1, 4):
        t.feed.at(f"12:0{minute}").shift(f"f0{minute}", 0.6)
    t.expect.between("12:01", "12:05").notified("chat", "firing", 1, count=1)
    t.expect.between("12:06", "12:09").notified("chat", "firing", 1, count=4, reason="joined_group")
    t.expect.between("12:10", "12:20").silent()


def test_alerts_that_wait_to_join_are_told_though_no_event_comes(timeline):
    t = timeline(DRIFT, features=FORTY)
    t.feed.at("12:00").shift("f00", 0.6)
    t.feed.at("12:01").shift("f01", 0.6)
    t.feed.at("12:02").stop()
    t.expect.between("12:04", "12:15").notified("chat", "firing", 1, count=2)


def test_one_of_a_group_that_recovers_says_nothing(timeline):
    t = timeline(DRIFT, features="f1: numeric, f2: numeric")
    t.feed.at("12:00").shift("f*", 0.6)
    t.feed.at("12:05").shift("f1", 0.0)
    t.expect.between("12:05", "12:10").resolved("f1").stays("f2", "firing").silent()


def test_the_store_knows_what_a_channel_was_told_of_and_still_fires(timeline):
    t = timeline(DRIFT, features=FORTY)
    t.feed.at("12:00").shift("f*", 0.6)
    t.feed.at("12:05").shift("f07", 0.0)
    t.feed.at("12:10").calm()
    t.ops.at("12:08").restart()
    roll = lambda *where: [told.member.subject for told in t.world.store.roll.told(*where)]  # noqa: E731
    (message,) = t.expect.between("12:01", "12:04").messages("chat", "firing")
    assert len(roll("chat")) == len(roll("chat", "credit", message["group"])) == 40 and len(message["members"]) == 20
    assert roll("pager") == roll("chat", "other") == roll("chat", "credit", "another") == []
    t.expect.between("12:05", "12:09").resolved("f07")
    assert sorted(roll("chat")) == sorted({f"f{i:02d}" for i in range(40)} - {"f07"})
    (told, *_) = t.world.store.roll.told("chat")
    assert told.labels["rule"] == "drift" and told.labels["alert"] == told.member.alert and told.member.status == "firing"
    t.expect.between("12:10", "12:15").resolved("f08")
    assert roll("chat") == [] and len(t.world.store.roll.known([told.member.alert])) == 1


def test_a_group_goes_on_where_one_ends_as_another_begins(timeline):
    t = timeline(DRIFT, features="f1: numeric, f2: numeric")
    t.feed.at("12:00").shift("f1", 0.6)
    t.feed.at("12:03").shift("f1", 0.0)
    t.feed.at("12:03").shift("f2", 0.6)
    t.expect.between("12:03", "12:10").notified("chat", "firing", subject="f2").notified("chat", "resolved", 0)
    threads = {m["episode_ms"] for m in t.expect.between("12:01", "12:10").messages()}
    assert len(threads) == 1


def test_group_by_subject_sends_one_message_each(timeline):
    t = timeline(DRIFT, route="{channels: [chat], group_by: [model, subject]}", features="f1: numeric, f2: numeric, f3: numeric")
    t.feed.at("12:00").shift("f*", 0.6)
    t.expect.between("12:01", "12:05").notified("chat", "firing", 3, count=1)


def test_two_rules_are_two_groups(timeline):
    t = timeline(DRIFT, "{name: far, scores: [wasserstein], above: 0.4}")
    t.feed.at("12:00").shift("income", 0.6)
    t.expect.between("12:01", "12:05").notified("chat", "firing", 2)


def test_group_by_model_brings_rules_together(timeline):
    t = timeline(DRIFT, "{name: far, scores: [wasserstein], above: 0.4}", route="{channels: [chat], group_by: [model]}")
    t.feed.at("12:00").shift("income", 0.6)
    t.expect.between("12:01", "12:05").notified("chat", "firing", 1, count=2)


# routes


def test_a_route_by_severity_leaves_the_default(timeline):
    route = "{channels: [chat], routes: [{match: {severity: critical}, channels: [pager]}]}"
    t = timeline(DRIFT, "{name: grave, subjects: [age], scores: [psi], above: 0.2, severity: critical}", route=route)
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:05").shift("age", 0.5)
    t.expect.between("12:01", "12:04").notified("chat", "firing", rule="drift").silent("pager")
    t.expect.between("12:06", "12:09").notified("pager", "firing", rule="grave")


def test_continue_tells_both(timeline):
    route = "{channels: [chat], routes: [{match: {team: risk}, channels: [pager], continue: true}, {match: {model: c*}, channels: [boss]}]}"
    t = timeline(DRIFT, route=route)
    t.feed.at("12:00").shift("income", 0.5)
    t.expect.between("12:01", "12:05").notified("pager", "firing").notified("boss", "firing").silent("chat")


def test_without_continue_the_first_match_is_the_last(timeline):
    route = "{channels: [chat], routes: [{match: {team: risk}, channels: [pager]}, {match: {model: c*}, channels: [boss]}]}"
    t = timeline(DRIFT, route=route)
    t.feed.at("12:00").shift("income", 0.5)
    t.expect.between("12:01", "12:05").notified("pager", "firing").silent("boss").silent("chat")


def test_what_no_route_wants_goes_to_the_default(timeline):
    route = '{channels: [chat], routes: [{match: {team: "!risk"}, channels: [pager]}, {match: {kind: latency}, channels: [boss]}]}'
    t = timeline(DRIFT, route=route)
    t.feed.at("12:00").shift("income", 0.5)
    t.expect.between("12:01", "12:05").notified("chat", "firing").silent("boss").silent("pager")


def test_a_deeper_route_inherits_what_it_does_not_say(timeline):
    route = (
        "{channels: [chat], repeat: 5m, routes: [{match: {team: risk}, routes: [{match: {subject: income}, channels: [pager]}]}]}"
    )
    t = timeline(DRIFT, route=route)
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:00").shift("age", 0.5)
    t.expect.between("12:01", "12:09").notified("pager", "firing").notified("pager", "repeat").notified("chat", "firing")


def test_a_rule_that_names_channels_asks_no_route(timeline):
    t = timeline(DRIFT[:-1] + ", channels: [pager, boss]}")
    t.feed.at("12:00").shift("income", 0.5)
    t.expect.between("12:01", "12:05").notified("pager", "firing").notified("boss", "firing").silent("chat")


def test_a_route_that_the_config_dropped_closes_what_it_told(timeline):
    t = timeline(DRIFT, route="{channels: [chat], routes: [{match: {team: risk}, channels: [pager]}]}")
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:05").restart(alerts_section(DRIFT))
    t.expect.between("12:05", "12:10").notified("pager", "resolved").notified("chat", "firing")


# what explains what


def test_a_model_that_receives_nothing_does_not_also_alert_on_drift(timeline):
    rules = (DRIFT[:-1] + ", resolve_windows: 2}", "{name: silent, absent: events, for_windows: 3}")
    t = timeline(*rules, route="{channels: [chat], repeat: 6m}")
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:02").stop()
    t.expect.between("12:01", "12:05").notified("chat", "firing", rule="drift")
    t.expect.between("12:06", "12:11").firing("silent").notified("chat", "firing", rule="silent").notified("chat", "repeat", 0)
    t.expect.between("12:12", "12:23").stays("income", "firing").notified("chat", "repeat", 2, rule="silent")
    assert ("inhibited", "drift") in {(r["kind"], t.alert("income")["rule"]) for r in t.world.store.actions.audit()[0]}


def test_drift_is_told_again_when_what_explained_it_ends(timeline):
    rules = (DRIFT, "{name: gone, subjects: [age], scores: [missing_share], above: 0.9}")
    section = "inhibit: [{source: {rule: gone}, target: {rule: drift}, equal: [model, version]}]\n"
    t = timeline(*rules, section=section)
    t.feed.at("12:00").lose("age")
    t.feed.at("12:03").shift("income", 0.5)
    t.feed.at("12:10").lose()
    t.expect.between("12:01", "12:03").notified("chat", "firing", rule="gone")
    t.expect.between("12:05", "12:10").stays("income", "firing").silent()
    t.expect.between("12:11", "12:14").notified("chat", "resolved", rule="gone").notified(
        "chat", "firing", rule="drift", reason="inhibition_ended"
    )


def test_a_feature_that_is_not_there_does_not_also_drift(timeline):
    rules = ("{name: low, scores: [count], below: 20}", "{name: gone, scores: [missing_share], above: 0.9}")
    t = timeline(*rules)
    t.feed.at("12:00").lose("age")
    t.expect.between("12:01", "12:10").firing("low").notified("chat", "firing", 1, rule="gone")


def test_an_alert_is_not_explained_by_one_of_another_feature(timeline):
    rules = ("{name: gone, scores: [missing_share], above: 0.9}", DRIFT)
    t = timeline(*rules)
    t.feed.at("12:00").lose("age")
    t.feed.at("12:00").shift("income", 0.5)
    t.expect.between("12:01", "12:05").notified("chat", "firing", 2)


# silence of another kind


def test_no_events_for_two_windows(timeline):
    t = timeline("{name: silent, absent: events, for_windows: 2, severity: critical}")
    t.feed.at("12:00").stop()
    t.feed.at("12:10").start()
    t.expect.between("11:58", "12:02").calm()
    t.expect.between("12:03", "12:05").firing("silent").notified("chat", "firing", severity="critical", subject="traffic")
    t.expect.between("12:06", "12:10").silent()
    t.expect.between("12:11", "12:13").resolved("silent").notified("chat", "resolved")


def test_a_pause_of_one_window_is_none(timeline):
    t = timeline("{name: silent, absent: events, for_windows: 3}")
    t.feed.at("12:00").stop()
    t.feed.at("12:01").start()
    t.expect.between("11:58", "12:10").calm().silent()


def test_a_restart_after_an_outage_of_the_daemon_is_no_silence(timeline):
    t = timeline("{name: silent, absent: events, for_windows: 2}")
    t.play("12:00")
    step = t.world.step
    t.world.step = lambda now_ms: None  # the daemon is away, events go on
    t.play("12:30")
    t.world.step = step
    t.world.restart()
    t.expect.between("12:31", "12:40").calm().silent()


def test_no_labels_for_ten_minutes(timeline):
    t = timeline("{name: blind, absent: labels, absent_for: 10m}", labels=True)
    t.feed.at("12:00").unlabelled()
    t.feed.at("12:20").calm()
    t.expect.between("11:58", "12:08").calm()
    t.expect.between("12:09", "12:13").firing("blind").notified("chat", "firing", subject="performance")
    t.expect.between("12:20", "12:24").resolved("blind").notified("chat", "resolved")


def test_no_labels_is_said_though_no_event_comes_either(timeline):
    t = timeline("{name: blind, absent: labels, absent_for: 10m}", labels=True)
    t.feed.at("12:00").stop()
    t.expect.between("12:08", "12:14").firing("blind")


def test_silence_out_of_hours_is_none(timeline):
    schedule = "schedule: {days: [mon-sun], from: '12:10', to: '12:30'}"
    t = timeline("{name: silent, absent: events, for_windows: 3, " + schedule + "}")
    t.feed.at("12:00").stop()
    t.expect.between("12:01", "12:12").calm().silent()
    t.expect.between("12:13", "12:16").firing("silent")


# hours, rows, labels, combinations


def test_a_rule_sleeps_out_of_hours_and_fires_when_it_wakes(timeline):
    t = timeline(DRIFT[:-1] + ", schedule: {days: [tue], from: '12:10', to: '13:00', timezone: UTC}}")
    t.feed.at("12:00").shift("income", 0.5)
    t.expect.between("12:01", "12:11").calm().silent()
    t.expect.between("12:12", "12:14").firing("income").notified("chat", "firing")


def test_hours_are_those_of_the_timezone(timeline):
    t = timeline(DRIFT[:-1] + ", schedule: {days: [mon-fri], from: '09:00', to: '12:00', timezone: Europe/Berlin}}")
    t.feed.at("12:00").shift("income", 0.5)
    t.expect.between("12:01", "12:10").calm().silent()


def test_too_few_rows_say_nothing(timeline):
    t = timeline(DRIFT[:-1] + ", min_rows: 60}")
    t.feed.at("12:00").rows(59)
    t.feed.at("12:00").shift("income", 1.0)
    t.feed.at("12:06").rows(60)
    t.expect.between("12:01", "12:07").calm().silent()
    t.expect.between("12:08", "12:09").firing("income")


def test_accuracy_without_labels_enough_is_no_verdict(timeline):
    t = timeline("{name: wrong, scores: [accuracy], below: 0.8, min_rows: 1, min_coverage: 0.5}", labels=True)
    t.feed.at("12:00").unlabelled()
    t.feed.at("12:00").err(0.5)
    t.feed.at("12:10").calm()
    t.feed.at("12:11").err(0.5)
    t.expect.between("12:01", "12:11").calm()
    t.expect.between("12:12", "12:14").firing("wrong").notified("chat", "firing", subject="performance", score="accuracy")


def combined(how):
    return (
        DRIFT[:-1] + ", notify: false}",
        "{name: wrong, scores: [accuracy], below: 0.8, notify: false}",
        f"{{name: both, {how}: [drift, wrong], severity: critical}}",
    )


def test_drift_and_performance_down(timeline):
    t = timeline(*combined("all_of"), labels=True)
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:05").err(0.5)
    t.feed.at("12:10").err(0.05)
    t.expect.between("12:01", "12:06").firing("drift").silent()
    (message,) = t.expect.between("12:07", "12:08").notified("chat", "firing", rule="both").messages()
    assert message["evidence"] == {"drift": ["income psi"], "wrong": ["performance accuracy"], "limit_rule": "rule both"}
    t.expect.between("12:11", "12:13").resolved("both").notified("chat", "resolved")


def test_either_of_two(timeline):
    t = timeline(*combined("any_of"), labels=True)
    t.feed.at("12:00").err(0.5)
    t.expect.between("12:01", "12:04").notified("chat", "firing", rule="both", value=1.0)


# the preset: nobody wrote a rule


@pytest.mark.parametrize(
    ("feed", "rule"),
    [
        (lambda f: f.lose("age"), "feature-vanished"),
        (lambda f: f.stop(), "traffic-stopped"),
        (lambda f: f.slow(2.2), "latency-doubled"),
        (lambda f: f.err(0.3), "performance-fell"),  # at the first window, and keeps accuracy-fell quiet
        (lambda f: f.fail(0.2), "errors-rose"),
        (lambda f: f.shift("income", 1.0), "drift"),
    ],
    ids=["feature-vanished", "traffic-stopped", "latency-doubled", "performance-fell", "errors-rose", "drift"],
)
def test_the_preset_tells_without_a_rule(timeline, feed, rule):
    t = timeline(labels=True)
    feed(t.feed.at("12:02"))
    t.feed.at("12:10").calm()
    t.expect.between("11:55", "12:02").calm().silent()
    t.expect.between("12:03", "12:07").firing(rule).notified("chat", "firing", 1, rule=rule)
    t.expect.between("12:08", "12:16").resolved(rule).notified("chat", "resolved")


def test_the_preset_tells_of_concept_drift_where_errors_rise(timeline):
    t = timeline(labels=True)
    t.feed.at("12:06").err(0.3)
    t.expect.between("11:55", "12:06").calm("concept-drift")
    told = t.expect.between("12:07", "12:10").firing("concept-drift").messages("chat", "firing")
    assert {m["rule"] for m in told} == {"performance-fell"}, "one trouble is told once; the page shows both"
    t.expect.between("12:09", "12:18").resolved("concept-drift")


def test_concept_drift_is_told_where_no_other_rule_of_the_preset_tells_it(timeline):
    t = timeline("{name: performance-fell, scores: [f1], below: 0.0}", section="preset: default\n", labels=True)
    t.feed.at("12:06").err(0.3)
    told = t.expect.between("12:07", "12:10").messages("chat", "firing")
    assert [m["rule"] for m in told].count("concept-drift") == 1


def test_the_preset_is_silent_about_errors_that_fall(timeline):
    """ADWIN fires all the same: its score says so, no alert does."""
    t = timeline(labels=True)
    t.feed.at("12:01").err(0.4)
    t.feed.at("12:12").err(0.02)
    t.expect.between("12:01", "12:08").firing("concept-drift")
    t.expect.between("12:02", "12:12").resolved("concept-drift")
    t.expect.between("12:12", "12:24").calm("concept-drift")
    wanted = select(score).where(score.c.subject == "concept", score.c.window_start_ms >= ms("12:12"))
    with t.world.store.engine.connect() as conn:
        found = {(row.window_start_ms, row.score): row.level for row in conn.execute(wanted)}
    fell = [start for (start, name), level in found.items() if name == "adwin" and level == "breach"]
    assert fell and all(found[start, "errors_rose"] == "ok" for start in fell)


def test_a_calm_day_with_the_preset_is_silent(timeline):
    t = timeline(labels=True)
    t.expect.between("11:55", "12:35").calm().silent()


def test_a_written_rule_takes_the_place_of_the_presets_of_its_name(timeline):
    t = timeline("{name: drift, scores: [psi], above: 5.0}", section="preset: default\n")
    t.feed.at("12:02").shift("income", 1.0)
    t.feed.at("12:05").lose("age")
    t.expect.between("12:03", "12:06").calm("drift")
    t.expect.between("12:06", "12:09").firing("feature-vanished")


def test_slower_with_a_new_version_is_slower(timeline):
    t = timeline()
    t.feed.at("12:05").version("2").slow(2.5)
    t.expect.between("12:06", "12:10").firing("latency-doubled").notified("chat", "firing", rule="latency-doubled", version="2")
