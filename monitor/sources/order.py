"""Messages of one partition in order and once, whatever a client hands over around a rebalance."""

from __future__ import annotations

import numpy as np

from detectors.columns import Ints
from monitor.events import PartitionKey, RawBatch


def batch_of(
    key: PartitionKey, offsets: Ints | list[int], times_ms: Ints | list[int], values: list[bytes | None], expected: int
) -> RawBatch | None:
    """A RawBatch of the messages at or after `expected`, without repeats; None if none is left.

    A client may return messages that it had fetched before a rebalance and then the same ones again.
    """
    numbers = np.asarray(offsets, dtype=np.int64)
    times = np.asarray(times_ms, dtype=np.int64)
    if int(numbers[0]) < expected or bool((np.diff(numbers) <= 0).any()):
        before = np.maximum.accumulate(np.concatenate([[expected - 1], numbers[:-1]]))
        keep = np.flatnonzero(numbers > before)
        if not len(keep):
            return None
        numbers, times = numbers[keep], times[keep]
        values = [values[i] for i in keep.tolist()]
    return RawBatch(key, numbers, times, values, int(numbers[-1]) + 1)
