"""Messages as they lie in the outbox: groups, and rows that older releases wrote."""

import json
from dataclasses import asdict, replace

import pytest

from alerts.notification import FORMAT, Member, Notification
from tests.test_alerts_channels import note

OLD = ("format level group group_labels labels members count escalation author comment links at_ms").split()


def member(subject, value):
    return Member("a" * 16, "firing", "threshold_crossed", "r", "warning", "1", "", subject, "psi", "breach", value, 0.2, 500, 10)


def test_a_row_of_an_older_release_is_read_and_speaks_for_one_alert():
    written = {k: v for k, v in asdict(note("k")).items() if k not in OLD}
    read = Notification.from_json(json.dumps(written))
    (only,) = read.everyone()
    assert (read.format, read.count, only.subject, only.value) == (1, 1, read.subject, read.value)
    assert read.thread == f"{read.alert}:{read.since_ms}"


def test_a_group_comes_back_as_it_was_written():
    group = replace(note("k"), format=FORMAT, group="b" * 16, members=(member("income", 0.9), member("age", 0.4)), count=40)
    assert Notification.from_json(group.to_json()) == group
    assert [m.subject for m in group.everyone()] == ["income", "age"]


def test_a_format_of_the_future_is_refused():
    with pytest.raises(ValueError, match="Upgrade"):
        Notification.from_json(json.dumps({**asdict(note("k")), "format": FORMAT + 1}))


def test_the_status_of_a_single_member_follows_the_message():
    assert replace(note("k"), status="resolved").everyone()[0].status == "resolved"
    assert replace(note("k"), status="repeat").everyone()[0].status == "firing"
