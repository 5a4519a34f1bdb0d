"""Event time of one partition: how far it has come, and which rows came too late.

A partition's clock is the greatest event time that it has shown. It never goes back. A row is judged by the
messages before its own in the same partition, so the verdict is a function of the log alone: it does not
depend on how polls cut batches, nor on other partitions.

    late  <=>  pane_end + allowed_lateness <= clock before the row's message
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from detectors.columns import Ints
from monitor.checkpoint import PartitionState

FAR_FUTURE_MS = 253_402_300_800_000  # year 10000, the time of a replay: later than any event, so that every window is due
BEFORE_TIME = np.iinfo(np.int64).min  # the clock of a partition that has shown nothing


def clock_before(ts_ms: Ints, offsets: Ints, clock_ms: int | None) -> Ints:
    """The partition's clock (ms) that each row meets; shapes (n,), offsets not decreasing.

    Rows of one message (one offset) meet the same clock: a message is never judged by itself.
    """
    start = BEFORE_TIME if clock_ms is None else clock_ms
    if len(ts_ms) == 0:
        return ts_ms
    running = np.empty(len(ts_ms) + 1, dtype=np.int64)
    running[0] = start
    np.maximum.accumulate(ts_ms, out=running[1:])
    np.maximum(running, start, out=running)
    if len(offsets) > 1 and bool((offsets[1:] > offsets[:-1]).all()):
        return running[:-1]
    first_row_of_message: Ints = np.searchsorted(offsets, offsets, side="left")
    return running[first_row_of_message]


def global_watermark_ms(partitions: Iterable[PartitionState], now_ms: int, idle_timeout_ms: int) -> int | None:
    """The event time (ms) that every partition has passed, or None while one of them has shown nothing.

    Idle partitions (read to their end for idle_timeout) hold nothing back. When all are idle, event time
    follows the wall clock, idle_timeout behind it, so that the last windows close too.
    """
    found = list(partitions)
    if not found:
        return None
    busy = [p for p in found if not p.idle]
    if not busy:
        return now_ms - idle_timeout_ms
    if any(p.max_ts_ms is None for p in busy):
        return None
    return min(p.max_ts_ms for p in busy if p.max_ts_ms is not None)
