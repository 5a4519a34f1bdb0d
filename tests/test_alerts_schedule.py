"""Hours of rules, matchers of labels, inhibition by labels, the tree of routes."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.inhibition import BUILT_IN, Inhibition, built_in, inhibited
from alerts.matchers import Matcher
from alerts.schedule import DAYS, Schedule, parse_days, parse_minute


def at(text, zone="Europe/Berlin"):
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


OFFICE = Schedule(parse_days(["mon-fri"]), 9 * 60, 18 * 60, "Europe/Berlin")
NIGHT = Schedule(parse_days(["fri"]), 22 * 60, 6 * 60, "Europe/Berlin")


@pytest.mark.parametrize(
    ("schedule", "time", "is_open"),
    [
        (OFFICE, "2026-01-06T09:00", True),
        (OFFICE, "2026-01-06T08:59", False),
        (OFFICE, "2026-01-06T18:00", False),
        (OFFICE, "2026-01-10T12:00", False),
        (OFFICE, "2026-07-07T09:00", True),  # summer time: the same hour on the wall
        (NIGHT, "2026-01-09T22:00", True),
        (NIGHT, "2026-01-10T05:59", True),
        (NIGHT, "2026-01-10T06:00", False),
        (NIGHT, "2026-01-09T05:00", False),
    ],
)
def test_a_schedule_follows_the_wall(schedule, time, is_open):
    assert schedule.is_open(at(time)) == is_open


@given(st.integers(at("2026-01-01T00:00"), at("2026-12-31T00:00")), st.sampled_from([OFFICE, NIGHT]))
def test_the_next_opening_is_open_and_the_first(ms, schedule):
    opens = schedule.next_open_ms(ms)
    assert opens >= ms and schedule.is_open(opens)
    assert opens == ms or not any(schedule.is_open(t) for t in range(ms, opens, 3_600_000))
    assert opens == ms or not schedule.is_open(opens - 1)


def test_days_and_times_as_people_write_them():
    assert parse_days(["fri-mon"]) == {4, 5, 6, 0} and parse_days(["SUN"]) == {6} and parse_days(list(DAYS)) == set(range(7))
    assert [parse_minute(t) for t in ("9:05", "24:00", "00:00")] == [545, 1440, 0]
    for bad in ("25:00", "12:60", "noon", "24:01"):
        with pytest.raises(ValueError):
            parse_minute(bad)
    with pytest.raises(ValueError, match="days"):
        Schedule(frozenset(), 0, 60, "UTC")


@pytest.mark.parametrize(
    ("raw", "labels", "matches"),
    [
        ({"model": "c*"}, {"model": "credit"}, True),
        ({"model": ["a", "credit"]}, {"model": "credit"}, True),
        ({"model": "Credit"}, {"model": "credit"}, False),
        ({"severity": "!info"}, {"severity": "critical"}, True),
        ({"severity": "!info"}, {"severity": "info"}, False),
        ({"severity": ["!info", "!warning"]}, {"severity": "warning"}, False),
        ({"subject": ["age*", "!age_group"]}, {"subject": "age_group"}, False),
        ({"subject": ["age*", "!age_group"]}, {"subject": "age"}, True),
        ({"team": ""}, {}, True),
        ({"team": "risk"}, {}, False),
        ({"segment": "channel=[wa]*"}, {"segment": "channel=web"}, True),
        ({}, {"model": "x"}, True),
    ],
)
def test_matchers(raw, labels, matches):
    assert Matcher.of(raw).matches(labels) == matches
    assert Matcher.of(Matcher.of(raw).plain()) == Matcher.of(raw)


def test_an_alert_of_both_sides_is_not_kept_quiet_by_its_like():
    rule = Inhibition(Matcher.of({"severity": "critical"}), Matcher.of({"model": "*"}), ("model",))
    firing = {
        "a": {"model": "m", "severity": "critical"},
        "b": {"model": "m", "severity": "critical"},
        "c": {"model": "m", "severity": "info"},
        "d": {"model": "n", "severity": "info"},
    }
    assert inhibited([rule], firing, list(firing)) == {"c": "a"}


def test_what_holds_without_being_written():
    firing = {
        "s": {"model": "m", "score": "silent_seconds", "kind": "traffic", "subject": "traffic"},
        "l": {"model": "m", "score": "psi", "kind": "feature", "subject": "x"},
        "o": {"model": "other", "score": "psi", "kind": "feature", "subject": "x"},
        "g": {"model": "other", "score": "missing_share", "kind": "feature", "subject": "x"},
        "p": {"model": "other", "score": "accuracy", "kind": "performance", "subject": "performance"},
    }
    assert inhibited(BUILT_IN, firing, list(firing)) == {"l": "s", "o": "g"}


def test_a_rule_that_the_config_writes_is_not_kept_quiet_by_the_presets():
    firing = {"p": {"rule": "performance-fell", "model": "m"}, "a": {"rule": "accuracy-fell", "model": "m"}}
    assert inhibited(built_in([]), firing, list(firing)) == {"a": "p"}
    assert inhibited(built_in(["accuracy-fell"]), firing, list(firing)) == {}
    assert len(built_in(["missing-values-rose"])) == len(BUILT_IN) - 1
