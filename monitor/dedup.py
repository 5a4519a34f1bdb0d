"""Event ids that a partition has seen: a vectorised hash table with an expiry for each id.

    duplicate  <=>  the same id was accepted before, and its expiry is after the clock that the row meets

An id expires at the end of its pane plus the horizon, in event time, so the verdict is a function of the log.
Open addressing with linear probing in two flat arrays: 16 bytes a slot, at most half of them filled.
The table is bounded: over max_ids the ids that expire first are given up, and counted in `evicted`.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import numpy.typing as npt

from detectors.columns import Bools, Ints

walk: ModuleType | None
try:  # the part in C, row by row (see _seen.c); where it was not built, numpy does the same
    from monitor import _seen as walk
except ImportError:
    walk = None

Keys = npt.NDArray[np.uint64]
EMPTY = np.uint64(0)
SMALLEST_SLOTS = 1 << 12


class SeenTable:
    """The ids of one partition. Not thread-safe: the data loop owns it."""

    def __init__(self, max_ids: int) -> None:
        self.max_ids = max_ids
        self.size = 0
        self.evicted = 0
        self._allocate(SMALLEST_SLOTS)

    def add(self, ids: Keys, expires_ms: Ints, clock_ms: Ints) -> Bools:
        """Mark rows whose id was seen and has not expired; remember the others.

        ids, expires_ms and clock_ms have shape (n,), in log order; returns bool (n,), True for duplicates.
        """
        n = len(ids)
        duplicate = np.zeros(n, dtype=np.bool_)
        if n == 0:
            return duplicate
        self._reserve(n, int(clock_ms[0]))
        if walk is not None:
            self.size += walk.add(
                self._keys, self._expires, np.ascontiguousarray(ids),
                np.ascontiguousarray(expires_ms, dtype=np.int64), np.ascontiguousarray(clock_ms, dtype=np.int64), duplicate,
            )  # fmt: skip
            return duplicate
        ids = np.where(ids == EMPTY, np.uint64(1), ids)
        slots = np.asarray(ids & self._mask, dtype=np.int64)
        pending = np.arange(n)
        odd: list[int] = []  # rows whose id was there, but expired: rare, settled one by one in log order
        while len(pending):
            at = slots[pending]
            held = self._keys[at]
            free = held == EMPTY
            if free.any():
                takers = pending[free]
                self._keys[at[free][::-1]] = ids[takers[::-1]]  # the first row in log order wins a slot
                self._expires[at[free][::-1]] = takers[::-1]  # who took it, until its expiry is written
                held = self._keys[at]
            same = held == ids[pending]
            won = free & same & (self._expires[at] == pending)
            winners = pending[won]
            self._expires[at[won]] = expires_ms[winners]
            self.size += len(winners)
            repeat = same & ~won
            rows = pending[repeat]
            live = self._expires[at[repeat]] > clock_ms[rows]
            duplicate[rows[live]] = True
            odd.extend(rows[~live].tolist())
            pending = pending[~same]
            slots[pending] = (slots[pending] + 1) & int(self._mask)
        if odd:
            self._settle(sorted(odd), ids, slots, expires_ms, clock_ms, duplicate)
        return duplicate

    def restore(self, ids: Keys, expires_ms: int) -> None:
        """Put back ids of an earlier checkpoint."""
        n = len(ids)
        self.add(ids, np.full(n, expires_ms, dtype=np.int64), np.full(n, np.iinfo(np.int64).min, dtype=np.int64))

    def _settle(self, rows: list[int], ids: Keys, slots: Ints, expires_ms: Ints, clock_ms: Ints, duplicate: Bools) -> None:
        for row in rows:
            slot = int(slots[row])
            if self._expires[slot] > clock_ms[row]:
                duplicate[row] = True
            else:
                self._expires[slot] = expires_ms[row]

    def _allocate(self, slots: int) -> None:
        self._mask = np.uint64(slots - 1)
        self._keys: Keys = np.zeros(slots, dtype=np.uint64)
        self._expires: Ints = np.zeros(slots, dtype=np.int64)

    def _reserve(self, more: int, clock_ms: int) -> None:
        """Make room for `more` ids; forget those that no later row can meet."""
        if 2 * (self.size + more) <= len(self._keys):
            return
        keep = (self._keys != EMPTY) & (self._expires > clock_ms)
        keys, expires = self._keys[keep], self._expires[keep]
        if len(keys) + more > self.max_ids and len(keys):
            spare = self.max_ids // 2  # half at once, so that a full table is not rebuilt for each batch
            order = np.argsort(expires, kind="stable")[len(keys) - min(spare, len(keys)) :]
            self.evicted += len(keys) - len(order)
            keys, expires = keys[order], expires[order]
        slots = SMALLEST_SLOTS
        while slots < 2 * (len(keys) + more) + len(keys):
            slots *= 2
        self._allocate(slots)
        self.size = 0
        self._insert_distinct(keys, expires)

    def _insert_distinct(self, keys: Keys, expires: Ints) -> None:
        self.size = len(keys)
        if walk is not None:
            forever = np.full(len(keys), np.iinfo(np.int64).min)  # distinct ids meet no clock
            walk.add(self._keys, self._expires, keys, expires, forever, np.empty(len(keys), dtype=np.bool_))
            return
        slots = np.asarray(keys & self._mask, dtype=np.int64)
        pending = np.arange(len(keys))
        while len(pending):
            at = slots[pending]
            free = self._keys[at] == EMPTY
            self._keys[at[free]] = keys[pending[free]]
            won = self._keys[at] == keys[pending]
            self._expires[at[won]] = expires[pending[won]]
            pending = pending[~won]
            slots[pending] = (slots[pending] + 1) & int(self._mask)
