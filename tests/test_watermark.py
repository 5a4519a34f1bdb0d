"""A partition's clock, and the watermark over all of them."""

from __future__ import annotations

import numpy as np

from monitor.checkpoint import PartitionState
from monitor.events import PartitionKey
from monitor.watermark import BEFORE_TIME, clock_before, global_watermark_ms


def state(number: int, max_ts_ms: int | None, idle: bool = False) -> PartitionState:
    return PartitionState(PartitionKey("s", "t", number), "events", 1, max_ts_ms, idle, 0)


def test_a_row_meets_the_clock_of_the_rows_before_it() -> None:
    clock = clock_before(np.array([5, 3, 9, 4]), np.array([0, 1, 2, 3]), None)
    assert clock.tolist() == [BEFORE_TIME, 5, 5, 9]


def test_rows_of_one_message_are_not_judged_by_each_other() -> None:
    clock = clock_before(np.array([5, 99, 7, 1]), np.array([0, 1, 1, 2]), 2)
    assert clock.tolist() == [2, 5, 5, 99]


def test_the_clock_does_not_depend_on_where_batches_are_cut() -> None:
    ts = np.random.default_rng(3).integers(0, 1_000, 500)
    offsets = np.arange(500)
    whole = clock_before(ts, offsets, None)
    parts, clock = [], None
    for a, b in [(0, 7), (7, 100), (100, 101), (101, 500)]:
        parts.append(clock_before(ts[a:b], offsets[a:b], clock))
        clock = max(int(ts[a:b].max()), -1 if clock is None else clock)
    assert np.array_equal(np.concatenate(parts), whole)


def test_the_slowest_busy_partition_holds_windows_back() -> None:
    assert global_watermark_ms([state(0, 50), state(1, 20), state(2, 5, idle=True)], 1_000, 100) == 20


def test_a_busy_partition_that_showed_nothing_holds_everything_back() -> None:
    assert global_watermark_ms([state(0, 50), state(1, None)], 1_000, 100) is None


def test_when_all_are_idle_event_time_follows_the_wall_clock() -> None:
    assert global_watermark_ms([state(0, 50, idle=True)], 1_000, 100) == 900
