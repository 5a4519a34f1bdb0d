"""Scenarios: every edge of an alert's life."""

import pytest

from tests.timeline import DRIFT, Timeline, alerts_section


@pytest.fixture
def timeline(tmp_path):
    made = []

    def make(alerts, **more):
        made.append(Timeline(tmp_path, alerts, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


def one_rule(*changes, route="{channels: [chat]}"):
    return alerts_section(DRIFT[:-1] + "".join(", " + c for c in changes) + "}", route=route)


def test_a_calm_model_is_silent(timeline):
    t = timeline(one_rule())
    t.expect.between("11:55", "12:20").calm().silent()


def test_a_shift_fires_and_resolves(timeline):
    t = timeline(one_rule("resolve_windows: 2"))
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:10").calm()
    t.expect.between("12:01", "12:03").firing("income").notified("chat", "firing", subject="income", count=1)
    t.expect.between("12:04", "12:11").stays("income", "firing").silent()
    t.expect.between("12:12", "12:14").resolved("income").notified("chat", "resolved", subject="income")
    t.expect.between("12:15", "12:20").silent()


def test_a_streak_is_pending_until_it_is_long_enough(timeline):
    t = timeline(one_rule("for_windows: 3"))
    t.feed.at("12:00").shift("income", 0.5)
    t.expect.between("12:01", "12:03").pending("income").silent()
    t.expect.between("12:04", "12:05").firing("income").notified("chat", "firing")


def test_one_bad_minute_of_two_that_are_asked_for_is_nothing(timeline):
    t = timeline(one_rule("for_windows: 2"))
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:01").calm()
    t.expect.between("12:01", "12:08").pending("income").calm().silent()


def test_three_bad_minutes_of_five_suffice(timeline):
    t = timeline(one_rule("for_windows: 3", "of_windows: 5"))
    for minute in range(0, 8, 2):
        t.feed.at(f"12:0{minute}").shift("income", 0.5)
        t.feed.at(f"12:0{minute + 1}").calm()
    t.expect.between("12:00", "12:05").calm().silent()
    t.expect.between("12:06", "12:07").firing("income").notified("chat", "firing")


def test_it_fires_at_one_limit_and_resolves_at_another(timeline):
    t = timeline(one_rule("resolve_below: 0.05"))
    t.feed.at("12:00").shift("income", 0.6)
    t.feed.at("12:05").shift("income", 0.35)
    t.feed.at("12:12").calm()
    t.expect.between("12:01", "12:03").firing("income")
    t.expect.between("12:04", "12:13").stays("income", "firing")
    t.expect.between("12:14", "12:15").resolved("income").notified("chat", "resolved")


def test_without_hysteresis_the_same_recovery_resolves(timeline):
    t = timeline(one_rule())
    t.feed.at("12:00").shift("income", 0.6)
    t.feed.at("12:05").shift("income", 0.35)
    t.expect.between("12:06", "12:08").resolved("income").notified("chat", "resolved")


def test_a_second_episode_waits_for_the_cooldown(timeline):
    t = timeline(one_rule("cooldown: 10m"))
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:02").calm()
    t.feed.at("12:04").shift("income", 0.5)
    t.expect.between("12:01", "12:05").firing("income").resolved("income")
    t.expect.between("12:06", "12:12").stays("income", "pending").silent()
    t.expect.between("12:13", "12:15").firing("income").notified("chat", "firing")


def test_a_shift_that_grows_worse_says_nothing_new(timeline):
    t = timeline(one_rule())
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:05").shift("income", 2.0)
    t.expect.between("12:01", "12:20").notified("*", "*", 1)


# repeats


def test_what_still_fires_is_repeated(timeline):
    t = timeline(one_rule(route="{channels: [chat], repeat: 10m}"))
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:04").shift("income", 1.0)
    t.expect.between("12:01", "12:11").notified("chat", "firing").notified("chat", "repeat", 0)
    t.expect.between("12:12", "12:31").notified("chat", "repeat", 2, reason="repeat_due")
    values = [m["value"] for m in t.expect.between("12:01", "12:31").messages()]
    assert values[1] > 2 * values[0], "a repeat says what is true now"


def test_a_repeat_of_zero_never_comes(timeline):
    t = timeline(one_rule(route="{channels: [chat], repeat: 0s}"))
    t.feed.at("12:00").shift("income", 0.5)
    t.expect.between("12:01", "12:20").notified("chat", "*", 1)


def test_repeats_come_though_no_event_does(timeline):
    t = timeline(one_rule(route="{channels: [chat], repeat: 10m}"))
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:05").stop()
    t.expect.between("12:01", "12:24").notified("chat", "repeat", 2)


# acknowledging


def test_an_acknowledgement_is_told_and_ends_repeats(timeline):
    t = timeline(one_rule(route="{channels: [chat], repeat: 5m}"))
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:04").ack("income", "ada", "looking")
    t.expect.between("12:04", "12:06").acknowledged("income").notified(
        "chat", "acknowledged", author="ada", comment="looking", count=1
    )
    t.expect.between("12:07", "12:30").stays("income", "acknowledged").silent()


def test_what_was_acknowledged_still_says_when_it_is_over(timeline):
    t = timeline(one_rule())
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:04").ack("income")
    t.feed.at("12:10").calm()
    t.expect.between("12:11", "12:14").resolved("income").notified("chat", "resolved")


def test_an_acknowledgement_ends_with_its_episode(timeline):
    t = timeline(one_rule(route="{channels: [chat], repeat: 5m}"))
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:04").ack("income")
    t.feed.at("12:08").calm()
    t.feed.at("12:15").shift("income", 0.5)
    t.expect.between("12:16", "12:18").firing("income").notified("chat", "firing", author="")
    t.expect.between("12:19", "12:24").notified("chat", "repeat")


def test_an_alert_that_is_given_back_begins_to_repeat_anew(timeline):
    t = timeline(one_rule(route="{channels: [chat], repeat: 5m}"))
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:04").ack("income")
    t.ops.at("12:20").unack("income")
    t.expect.between("12:08", "12:24").silent()
    t.expect.between("12:25", "12:27").stays("income", "firing").notified("chat", "repeat")


def test_one_acknowledgement_is_for_the_whole_group(timeline):
    t = timeline(one_rule(route="{channels: [chat], repeat: 5m}"), more="f1: numeric, f2: numeric, f3: numeric")
    t.feed.at("12:00").shift("f*", 0.6)
    t.ops.at("12:04").ack("f2")
    t.expect.between("12:06", "12:30").stays("f1", "acknowledged").stays("f3", "acknowledged").silent()


# escalation

ESCALATING = (
    "{channels: [chat], repeat: 0s, escalate: [{after: 5m, channels: [pager], severity: critical}, {after: 10m, channels: [boss]}]}"
)


def test_without_an_acknowledgement_others_hear_of_it(timeline):
    t = timeline(one_rule(route=ESCALATING))
    t.feed.at("12:00").shift("income", 0.5)
    t.expect.between("12:01", "12:06").notified("chat", "firing", severity="warning").silent("pager")
    t.expect.between("12:07", "12:11").notified("pager", "escalated", severity="critical", escalation=1).silent("boss")
    t.expect.between("12:12", "12:30").notified("boss", "escalated", escalation=2).silent("pager")


def test_a_rule_that_names_channels_escalates_as_the_root_does(timeline):
    t = timeline(one_rule("channels: [boss]", route="{channels: [chat], repeat: 0s, escalate: [{after: 5m, channels: [pager]}]}"))
    t.feed.at("12:00").shift("income", 0.5)
    t.expect.between("12:01", "12:06").notified("boss", "firing").silent("pager").silent("chat")
    t.expect.between("12:07", "12:12").notified("pager", "escalated").silent("boss")


def test_an_acknowledgement_stops_the_escalation(timeline):
    t = timeline(one_rule(route=ESCALATING))
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:05").ack("income")
    t.expect.between("12:03", "12:30").silent("pager").silent("boss")


def test_an_acknowledgement_between_two_steps_stops_the_second(timeline):
    t = timeline(one_rule(route=ESCALATING))
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:09").ack("income")
    t.expect.between("12:03", "12:30").notified("pager", "escalated").notified("pager", "acknowledged").silent("boss")


def test_the_end_is_told_to_all_that_heard_of_the_beginning(timeline):
    t = timeline(one_rule(route=ESCALATING))
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:08").calm()
    t.expect.between("12:09", "12:20").notified("chat", "resolved").notified("pager", "resolved").silent("boss")


def test_what_resolves_in_time_does_not_escalate(timeline):
    t = timeline(one_rule(route=ESCALATING))
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:03").calm()
    t.expect.between("12:01", "12:30").silent("pager").notified("chat", "resolved")


def test_it_escalates_though_no_event_comes(timeline):
    t = timeline(one_rule(route=ESCALATING))
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:03").stop()
    t.expect.between("12:01", "12:20").notified("pager", "escalated").notified("boss", "escalated")


# silences


def test_what_is_silenced_is_recorded_and_not_sent(timeline):
    t = timeline(one_rule())
    t.ops.at("12:00").silence("12:30", subject="income")
    t.feed.at("12:05").shift("income", 0.5)
    t.feed.at("12:15").calm()
    t.expect.between("12:06", "12:08").firing("income").silent()
    t.expect.between("12:16", "12:40").resolved("income").silent()
    trail = t.world.store.actions.audit()[0]
    assert [r["kind"] for r in trail] == ["silenced", "silence"] and trail[0]["detail"]["count"] == 1


def test_what_still_fires_when_the_silence_ends_is_sent_then(timeline):
    t = timeline(one_rule())
    t.ops.at("12:00").silence("12:15", model="credit")
    t.feed.at("12:05").shift("income", 0.5)
    t.expect.between("12:06", "12:14").firing("income").silent()
    t.expect.between("12:15", "12:17").notified("chat", "firing", reason="silence_ended")


def test_a_silence_that_is_lifted_early_ends_then(timeline):
    t = timeline(one_rule())
    t.ops.at("12:00").silence("14:00", model="cred*")
    t.feed.at("12:05").shift("income", 0.5)
    t.ops.at("12:10").unsilence()
    t.expect.between("12:06", "12:10").silent()
    t.expect.between("12:11", "12:12").notified("chat", "firing")


def test_a_silence_for_another_subject_is_none(timeline):
    t = timeline(one_rule())
    t.ops.at("12:00").silence("13:00", subject="age")
    t.feed.at("12:05").shift("income", 0.5)
    t.expect.between("12:06", "12:10").notified("chat", "firing")


def test_a_silence_stops_repeats_and_escalation_but_not_the_end(timeline):
    t = timeline(one_rule(route="{channels: [chat], repeat: 5m, escalate: [{after: 10m, channels: [pager]}]}"))
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:04").silence("13:00", subject="income")
    t.feed.at("12:30").calm()
    t.expect.between("12:04", "12:30").silent()
    t.expect.between("12:31", "12:34").notified("chat", "resolved").silent("pager")


def test_a_silence_over_part_of_a_group_leaves_the_rest(timeline):
    t = timeline(one_rule(), more="f1: numeric, f2: numeric, f3: numeric")
    t.ops.at("11:58").silence("13:00", subject=["f1", "f2"])
    t.feed.at("12:00").shift("f*", 0.6)
    (message,) = t.expect.between("12:01", "12:10").notified("chat", "firing", count=1).messages()
    assert [m["subject"] for m in message["members"]] == ["f3"]


# flapping


def flap(t, first, last, every=2):
    for minute in range(first, last, every):
        t.feed.at(f"12:{minute:02d}").shift("income", 0.5)
        t.feed.at(f"12:{minute + 1:02d}").calm()


FLAPS = "\nflapping: {times: 3, windows: 12}"


def test_an_alert_that_flaps_says_so_once_and_then_rests(timeline):
    t = timeline(one_rule() + FLAPS)
    flap(t, 0, 20)
    t.expect.between("12:01", "12:07").notified("chat", "firing", 2).notified("chat", "resolved", 2).notified("chat", "flapping")
    t.expect.between("12:08", "12:24").silent()
    t.expect.between("12:25", "12:40").notified("chat", "resolved", reason="flapping_ended")
    kinds = [r["kind"] for r in t.world.store.actions.audit()[0]]
    assert "flapping" in kinds


def test_an_alert_that_flapped_and_stays_bad_fires_again(timeline):
    t = timeline(one_rule() + FLAPS)
    flap(t, 0, 10)
    t.feed.at("12:12").shift("income", 0.5)
    t.expect.between("12:08", "12:17").silent()
    t.expect.between("12:18", "12:30").notified("chat", "firing", reason="flapping_ended")


def test_two_episodes_are_no_flapping(timeline):
    t = timeline(one_rule() + FLAPS)
    flap(t, 0, 4)
    t.expect.between("12:01", "12:20").notified("chat", "flapping", 0).notified("chat", "firing", 2).notified("chat", "resolved", 2)


# rules that went, labels that the config gives


def test_a_rule_that_the_config_dropped_closes_its_alerts(timeline):
    t = timeline(one_rule())
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:05").restart(alerts_section("{name: other, scores: [ks], above: 0.9}"))
    t.expect.between("12:06", "12:10").resolved("income").notified("chat", "resolved", reason="rule_removed")


def test_the_models_team_is_on_every_message(timeline):
    t = timeline(one_rule())
    t.feed.at("12:00").shift("income", 0.5)
    (message,) = t.expect.between("12:01", "12:04").messages()
    assert message["labels"]["team"] == "risk" and message["labels"]["kind"] == "feature"
    assert message["level"] == "breach" and message["rows"] == 80 and message["evidence"]


def test_the_trail_says_why_it_fired_and_what_was_sent_where(timeline):
    t = timeline(one_rule())
    t.feed.at("12:00").shift("income", 0.5)
    t.ops.at("12:05").ack("income", "ada", "known")
    t.play("12:08")
    detail = t.world.store.actions.alert_detail(t.alert("income")["alert"], t.world.now_ms)
    assert detail["history"][-1]["reason"] == "threshold_crossed" and detail["history"][-1]["value"] > 0.2
    assert detail["alert"]["evidence"] and detail["ack"]["comment"] == "known"
    told = [(r["kind"], r["detail"].get("status"), r["detail"].get("channel")) for r in detail["audit"]]
    assert told == [("notified", "acknowledged", "chat"), ("ack", None, None), ("notified", "firing", "chat")]
    assert [(r["channel"], r["state"]) for r in detail["sent"]] == [("chat", "sent")] * 2


# versions that were replaced: their alerts end after six windows without them


def test_the_alerts_of_a_version_that_was_replaced_end(timeline):
    t = timeline(one_rule())
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:10").version("2").calm()
    t.expect.between("12:01", "12:05").firing("income")
    t.expect.between("12:05", "12:14").stays("income", "firing")
    t.expect.between("12:15", "12:18").resolved("income").notified("chat", "resolved", reason="version_gone", version="1")


def test_a_version_in_a_silence_of_the_whole_model_is_not_gone(timeline):
    t = timeline(one_rule())
    t.feed.at("12:00").shift("income", 0.5)
    t.feed.at("12:05").stop()
    t.expect.between("12:06", "12:30").stays("income", "firing")
