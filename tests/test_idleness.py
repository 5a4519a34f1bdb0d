"""Idleness of partitions: silence counts, the time without a store does not, and a store that flaps delays it only."""

from __future__ import annotations

from monitor.events import PartitionKey
from monitor.idleness import GRACE_S, Idleness

A, B = PartitionKey("s", "t", 0), PartitionKey("s", "t", 1)


def test_silence_of_the_timeout_is_idle_and_a_word_starts_it_anew():
    idle = Idleness(10_000)
    assert not idle.quiet(A, 100.0)
    assert not idle.quiet(A, 109.9)
    assert idle.quiet(A, 110.0)
    idle.busy(A)
    assert not idle.quiet(A, 111.0)
    assert not idle.quiet(B, 115.0) and idle.quiet(A, 121.0) and not idle.quiet(B, 121.0)


def test_the_time_in_which_the_store_was_away_counts_for_nothing():
    idle = Idleness(10_000)
    assert not idle.quiet(A, 0.0)
    idle.store_away(4.0)
    idle.store_away(50.0)  # a second failure of the same absence
    idle.store_back(604.0)
    assert not idle.quiet(A, 609.9)
    assert idle.quiet(A, 610.0)


def test_a_partition_that_was_about_to_be_idle_gets_a_moment_after_the_store_is_back():
    idle = Idleness(10_000)
    assert not idle.quiet(A, 0.0) and idle.quiet(A, 15.0)
    idle.store_away(15.0)
    idle.store_back(75.0)
    assert not idle.quiet(A, 75.0 + GRACE_S - 0.1)
    assert idle.quiet(A, 75.0 + GRACE_S)


def test_a_store_that_fails_more_often_than_the_timeout_does_not_keep_windows_open_for_ever():
    idle, now = Idleness(3_000), 0.0
    assert not idle.quiet(A, now)
    for _ in range(3):
        now += 2.2
        if idle.quiet(A, now):
            return
        idle.store_away(now)
        idle.store_back(now + 0.3)
        now += 0.3
    raise AssertionError("never idle")


def test_a_store_that_fails_at_every_checkpoint_does_not_keep_windows_open_for_ever():
    """At checkpoints of the default interval, and the default timeout: idle when it has been silent so long, absences apart."""
    idle, now, listened = Idleness(30_000), 0.0, 0.0
    assert not idle.quiet(A, now)
    while not idle.quiet(A, now):  # asked just before a checkpoint
        assert listened < 40.0, "never idle"
        idle.store_away(now)
        idle.store_back(now + 3.0)
        now += 3.0
        assert not idle.quiet(A, now + GRACE_S - 0.1), "what came meanwhile is not read yet"
        now, listened = now + 5.0, listened + 5.0
    assert listened >= 30.0
