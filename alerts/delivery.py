"""The courier: takes what is due out of the outbox and brings it to its channels, at least once.

1. as many rows of a channel as it can send in time are claimed under a lease, in one short transaction;
2. each channel has its own thread and queue, so a slow or dead one delays no other; all couriers of a store together keep its
   receiver's pace, and where it asks for time (429, Retry-After) nothing goes there before;
3. the row is sent outside any transaction, with the same idempotency key on every attempt;
4. then it is marked: sent, skipped (the channel kept it back: why is kept), to be tried again, or dead. A crash before that sends it again when the lease ends.

Within (channel, group) rows keep their order: when one must be tried again, those claimed behind it wait.
`claim_due` must give rows oldest first and none of a (channel, group) whose oldest unsent row is not due.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from alerts.backoff import delay_ms, is_dead
from alerts.channels.base import Channel, Failed, Outcome, Retry, Sent, Skipped, StatefulChannel, TickingChannel
from alerts.notification import Notification

log = logging.getLogger("driftd.courier")
MARK_TRIES, MARK_PAUSE_S = 3, 0.2
SAVE_TRIES = 20
REST_MOST_MS = 300_000  # a receiver that asks for more is asked again by one message


@dataclass(frozen=True, slots=True)
class ClaimedRow:
    """An outbox row that is this courier's until its lease ends. attempts: how many were made before."""

    key: str
    channel: str
    group: str
    alert: str
    body: str
    attempts: int
    created_ms: int


class OutboxStore(Protocol):
    """What the courier needs of the store. Calls come from several threads, but never two at once."""

    def waiting(self, now_ms: int) -> list[str]: ...
    def claim_due(self, now_ms: int, limit: int, lease_ms: int, channel: str | None = None) -> list[ClaimedRow]: ...
    def mark_sent(self, key: str, now_ms: int) -> None: ...
    def mark_skipped(self, key: str, reason: str, now_ms: int) -> None: ...
    def mark_retry(self, key: str, next_at_ms: int, attempts: int, error: str) -> None: ...
    def mark_dead(self, key: str, error: str) -> None: ...
    def load_channel_state(self, channel: str) -> bytes | None: ...
    def save_channel_state(self, channel: str, blob: bytes, was: bytes | None) -> bool: ...
    def take_turn(self, channel: str, now_ms: int, pace_ms: int) -> int: ...
    def rest(self, channel: str, until_ms: int) -> None: ...


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Courier:
    """Delivers the outbox. on_outcome(channel, "sent" | "skipped" | "retry" | "failed" | "dead")."""

    def __init__(
        self,
        store: OutboxStore,
        channels: Mapping[str, Channel],
        *,
        clock: Callable[[], int] = wall_clock_ms,
        random: Callable[[], float] = random.random,
        on_outcome: Callable[[str, str], None] = lambda channel, outcome: None,
        limit: int = 100,
        lease_ms: int = 60_000,
        poll_ms: int = 500,
        queue_rows: int = 200,
        paces_ms: Mapping[str, int] | None = None,
    ) -> None:
        self._store, self._store_lock = store, threading.Lock()
        self._clock, self._random, self._on_outcome = clock, random, on_outcome
        self._limit, self._lease_ms, self._poll_ms, self._queue_rows = limit, lease_ms, poll_ms, queue_rows
        self._wake = threading.Event()
        paces = paces_ms or {}
        self._lanes = {
            name: _Lane(name, channel, self._deliver, self._tick, self.wake, paces.get(name, 0))
            for name, channel in channels.items()
        }

    def step(self, now_ms: int) -> int:
        """Hand what is due to the channels' threads; the time (ms) at which to call again."""
        with self._store_lock:
            waiting = self._store.waiting(now_ms)
        more = False
        for name in waiting:
            lane = self._lanes.get(name)
            room = self._limit if lane is None else min(self._limit, lane.room(now_ms, self._lease_ms, self._queue_rows))
            if room <= 0:
                continue
            with self._store_lock:
                rows = self._store.claim_due(now_ms, room, self._lease_ms, name)
            more = more or len(rows) >= self._limit
            for row in rows:
                if lane is not None:
                    lane.put(row, now_ms + self._lease_ms)
                    continue
                known = ", ".join(sorted(self._lanes)) or "none"
                self._dead(row, f"no channel {row.channel!r} in the config, there are: {known}", "failed")
        return now_ms if more else now_ms + self._poll_ms

    def run(self, stop: threading.Event) -> None:
        """Step until stop is set. A store that fails is logged and tried again."""
        while not stop.is_set():
            now_ms = self._clock()
            try:
                next_ms = self.step(now_ms)
            except Exception:
                log.exception("the outbox could not be read, trying again")
                next_ms = now_ms + 10 * self._poll_ms
            self._wake.wait(max(0, next_ms - now_ms) / 1000)
            self._wake.clear()

    def wake(self) -> None:
        """Something was put in the outbox (or run should look at its stop event): do not wait for the poll."""  # noqa: E501
        self._wake.set()

    def idle(self) -> bool:
        return all(lane.idle() for lane in self._lanes.values())

    def drain(self, deadline: float) -> bool:
        """Finish what is queued until `deadline` (time.monotonic()); whether all was. The rest waits."""
        waited = [lane.wait_idle(deadline) for lane in self._lanes.values()]
        for lane in self._lanes.values():
            lane.close()
        return all(waited)

    def _deliver(self, lane: _Lane, row: ClaimedRow, lease_end_ms: int) -> None:
        now_ms = self._clock()
        if lane.pace_ms and now_ms < lease_end_ms and now_ms >= lane.rests_until_ms:
            with self._store_lock:
                at_ms = self._store.take_turn(lane.name, now_ms, lane.pace_ms)
            if at_ms >= lease_end_ms:
                lane.rests_until_ms = at_ms  # another courier was asked for time
            elif not lane.wait((at_ms - now_ms) / 1000.0):
                return  # closed: its lease brings it back
            now_ms = max(self._clock(), at_ms if at_ms < lease_end_ms else now_ms)
        if now_ms >= lease_end_ms:
            return  # another courier may have it by now; it comes back by itself
        waits_until_ms = max(lane.held.get(row.group, 0), lane.rests_until_ms)
        if waits_until_ms > now_ms:
            why = "waits for an earlier one" if waits_until_ms > lane.rests_until_ms else "the receiver asked for time"
            with self._store_lock:
                self._store.mark_retry(row.key, waits_until_ms, row.attempts, why)
            return
        lane.held.pop(row.group, None)
        outcome = self._send(lane, row, now_ms)
        for attempt in range(MARK_TRIES):  # a COMMIT whose answer was lost, a connection that broke: else it is sent twice
            try:
                self._mark(lane, row, outcome)
                return
            except Exception:
                if attempt + 1 == MARK_TRIES:
                    raise
                time.sleep(MARK_PAUSE_S)

    def _send(self, lane: _Lane, row: ClaimedRow, now_ms: int) -> Outcome:
        channel = lane.channel
        try:
            notification = Notification.from_json(row.body)
        except (ValueError, TypeError) as error:
            return Failed(f"the outbox row cannot be read: {type(error).__name__}")
        try:
            blob = self._restore(lane)
            outcome = channel.send(notification, row.attempts + 1, now_ms)
            if isinstance(outcome, Sent):
                self._save(lane, blob)
            return outcome
        except Exception as error:  # a channel's bug must not stop its lane
            log.exception("channel %s failed unexpectedly", lane.name)
            return Retry(None, f"unexpected {type(error).__name__}")

    def _tick(self, lane: _Lane) -> None:
        """Let a channel say again what still holds."""
        channel = lane.channel
        assert isinstance(channel, TickingChannel)
        blob = self._restore(lane)
        if channel.tick(self._clock()):
            self._save(lane, blob)

    def _restore(self, lane: _Lane) -> bytes | None:
        """Give a channel what was last saved of it."""
        if not isinstance(lane.channel, StatefulChannel):
            return None
        with self._store_lock:
            blob = self._store.load_channel_state(lane.name)
        lane.channel.restore(blob)
        return blob

    def _save(self, lane: _Lane, was: bytes | None) -> None:
        """Save a channel's state; what another courier saved since it was loaded is kept."""
        channel = lane.channel
        if not isinstance(channel, StatefulChannel):
            return
        for _ in range(SAVE_TRIES):
            with self._store_lock:
                if self._store.save_channel_state(lane.name, channel.state(), was):
                    return
                was = self._store.load_channel_state(lane.name)
            channel.merge(was)

    def _mark(self, lane: _Lane, row: ClaimedRow, outcome: Outcome) -> None:
        now_ms = self._clock()
        if isinstance(outcome, Sent):
            with self._store_lock:
                self._store.mark_sent(row.key, now_ms)
            self._on_outcome(row.channel, "sent")
        elif isinstance(outcome, Skipped):
            with self._store_lock:
                self._store.mark_skipped(row.key, outcome.reason, now_ms)
            self._on_outcome(row.channel, "skipped")
            log.info("channel %s kept alert %s back: %s", row.channel, row.alert[:8], outcome.reason)
        elif isinstance(outcome, Failed):
            self._dead(row, outcome.error, "failed")
        else:
            attempts = row.attempts + 1
            next_ms = now_ms + delay_ms(attempts, outcome.after_ms, self._random)
            if is_dead(row.created_ms, next_ms):
                self._dead(row, f"given up after {attempts} attempts: {outcome.error}", "dead")
                return
            lane.held[row.group] = next_ms
            if outcome.after_ms is not None:
                lane.rests_until_ms = now_ms + min(outcome.after_ms, REST_MOST_MS)
            with self._store_lock:
                self._store.mark_retry(row.key, next_ms, attempts, outcome.error)
                if outcome.after_ms is not None and lane.pace_ms:
                    self._store.rest(row.channel, lane.rests_until_ms)
            self._on_outcome(row.channel, "retry")

    def _dead(self, row: ClaimedRow, error: str, outcome: str) -> None:
        with self._store_lock:
            self._store.mark_dead(row.key, error)
        log.error("channel %s: alert %s was not delivered: %s", row.channel, row.alert[:8], error)
        self._on_outcome(row.channel, outcome)


class _Lane:
    """One channel's thread and queue. held: group -> when its first row may be tried again. rests_until_ms: the receiver asked for time."""

    def __init__(
        self,
        name: str,
        channel: Channel,
        deliver: Callable[[_Lane, ClaimedRow, int], None],
        tick: Callable[[_Lane], None],
        emptied: Callable[[], None],
        pace_ms: int,
    ) -> None:
        self.name, self.channel = name, channel
        self.held: dict[str, int] = {}
        self.rests_until_ms = 0
        self._deliver, self._tick, self._emptied, self.pace_ms = deliver, tick, emptied, pace_ms
        self._every_s = channel.tick_ms / 2000.0 if isinstance(channel, TickingChannel) else None
        self._next_tick = time.monotonic()
        self._queue: deque[tuple[ClaimedRow, int]] = deque()
        self._keys: set[str] = set()  # queued or on the way
        self._changed = threading.Condition()
        self._closed = False
        threading.Thread(target=self._work, name=f"channel-{name}", daemon=True).start()

    def room(self, now_ms: int, lease_ms: int, most: int) -> int:
        """How many more rows it can send before their leases end."""
        if now_ms < self.rests_until_ms:
            return 0
        fits = min(most, max(1, lease_ms // (2 * self.pace_ms))) if self.pace_ms else most
        with self._changed:
            return fits - len(self._keys)

    def put(self, row: ClaimedRow, lease_end_ms: int) -> None:
        """Queue the row, unless it is already here."""
        with self._changed:
            if not self._closed and row.key not in self._keys:
                self._keys.add(row.key)
                self._queue.append((row, lease_end_ms))
                self._changed.notify_all()

    def idle(self) -> bool:
        with self._changed:
            return not self._keys

    def wait_idle(self, deadline: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._keys, max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._keys -= {row.key for row, _ in self._queue}
            self._queue.clear()
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._closed, self._every_s)
                if self._closed:
                    return
                taken = self._queue.popleft() if self._queue else None
            if self._every_s is not None and time.monotonic() >= self._next_tick:
                self._next_tick = time.monotonic() + self._every_s
                self._try_tick()
            if taken is None:
                continue
            row, lease_end_ms = taken
            try:
                self._deliver(self, row, lease_end_ms)
            except Exception:  # the store failed: the lease ends and the row is claimed again
                log.exception("channel %s: the outcome of %s could not be written", self.name, row.key)
            finally:
                with self._changed:
                    self._keys.discard(row.key)
                    self._changed.notify_all()
                    empty = not self._keys
                if empty:
                    self._emptied()

    def wait(self, seconds: float) -> bool:
        """Keep the receiver's pace. False when the lane is closed meanwhile."""
        with self._changed:
            return not self._changed.wait_for(lambda: self._closed, max(0.0, seconds))

    def _try_tick(self) -> None:
        try:
            self._tick(self)
        except Exception:  # the store or the channel failed: the next tick tries again
            log.exception("channel %s: what still fires could not be sent again", self.name)
