"""The data loop: one thread, one writer. Poll, step, checkpoint, publish, tell Kafka, count.

The order of durability is the guarantee:
    1. what a batch caused is committed together with its offsets, under the fence (store.checkpoint);
    2. windows that are due are published, each model in a transaction of its own (store.publishing);
    3. offsets go to Kafka, for lag tools only;
    4. metrics and waiting HTTP requests hear of it.

A store that is away stops nothing but progress: sources are paused and still polled, so that the consumer
group stays, and the same checkpoint is tried again.
"""

from __future__ import annotations

import logging
import queue
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from monitor.checkpoint import PartitionCut
from monitor.engine import Engine
from monitor.events import PartitionKey
from monitor.health import Health
from monitor.idleness import Idleness
from monitor.logs import log_event
from monitor.metrics import Metrics
from monitor.model import Model
from monitor.publish import Published, publish_due
from monitor.store.errors import StoreUnavailable

logger = logging.getLogger("driftd.loop")
POLL_ROWS = 20_000  # large enough for columnar work, small enough for a checkpoint every few seconds
POLL_MS = 100
REPORT_S = 1.0
DRAIN_TRIES, DRAIN_PAUSE_S = 5, 0.3
BACKOFF_MS = (200, 10_000)  # first and longest pause between tries at a store that is away


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Times in ms."""

    owner: str
    checkpoint_interval_ms: int = 5_000
    checkpoint_rows: int = 150_000  # cut early rather than hold more than this in memory
    idle_timeout_ms: int = 30_000


class DataLoop:
    """Owns the engine. `clock` gives wall time in ms, `monotonic` seconds; both are passed in by the app."""

    def __init__(
        self,
        engine: Engine,
        store: Any,
        sources: list[Any],
        settings: LoopSettings,
        metrics: Metrics,
        health: Health,
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        on_published: Callable[[Published], None] = lambda published: None,
        wake_courier: Callable[[], None] = lambda: None,
    ) -> None:
        self.engine = engine
        self.store = store
        self.sources = sources
        self.settings = settings
        self.metrics = metrics
        self.health = health
        self.clock = clock
        self.monotonic = monotonic
        self.on_published = on_published
        self.wake_courier = wake_courier
        self.stopping = False
        self._adopted: queue.SimpleQueue[Model] = queue.SimpleQueue()
        self._source_of: dict[PartitionKey, Any] = {}
        self._idleness = Idleness(settings.idle_timeout_ms)
        self._last_cut = monotonic()
        self._reported = -REPORT_S
        self._store_away = False
        self.rejoins = 0
        self.reached: dict[str, bool] = {}  # source -> whether it answers; replaced whole, read by other threads

    # what sources call, on this thread, from inside poll

    def on_assign(self, source: Any, keys: list[PartitionKey]) -> dict[PartitionKey, int]:
        """Claim partitions and say where to read on; -1 where the source's config decides."""
        roles = {key: source.role(key) for key in keys}
        claims = self._insist(lambda: self.store.claim(roles, self.settings.owner, self.clock(), self.engine.keep_ms))
        self.engine.assign(claims.values())
        for key in keys:
            self._source_of[key] = source
            self._idleness.busy(key)
        log_event(logger, logging.INFO, "assigned", partitions=[str_key(k) for k in keys])
        self.health.set_assigned(bool(self.engine.keys))
        return {key: claim.next_offset for key, claim in claims.items()}

    def on_revoke(self, keys: list[PartitionKey]) -> None:
        """Another replica takes these: make them durable if that is quick, then forget them."""
        try:
            self._write(self.engine.cut(self.clock(), keys))
        except StoreUnavailable as error:
            log_event(logger, logging.WARNING, "revoked_undrained", error=str(error))
        self.on_lost(keys)

    def on_lost(self, keys: list[PartitionKey]) -> None:
        """Another replica has these already: forget them, the store is right."""
        self.engine.forget(keys)
        for key in keys:
            self._source_of.pop(key, None)
            self._idleness.busy(key)
        log_event(logger, logging.INFO, "revoked", partitions=[str_key(k) for k in keys])

    # the loop

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Turn until stop() or until() says so, then drain."""
        for source in self.sources:
            source.start(self)
        while not self.stopping and not until():
            try:
                self.turn()
            except StoreUnavailable:
                if not self.stopping:  # told to stop while the store was away: drain tries again
                    raise
        self.drain()

    def turn(self) -> int:
        """One round: poll all sources, step the engine, checkpoint and publish if it is time."""
        rows = 0
        self.health.turned()
        while not self._adopted.empty():
            model = self._adopted.get()
            self.engine.models[model.name] = model
        for source in self.sources:
            wait = POLL_MS // len(self.sources)
            polled = source.poll(POLL_ROWS, wait)
            self.engine.step_all(polled)
            for role, raw in polled:
                self.metrics.count_events(raw.key.source, role, raw.rows)
                rows += raw.rows
        self._watch_idleness()
        if self.monotonic() - self._reported >= REPORT_S:
            self._report_lag()
        since = (self.monotonic() - self._last_cut) * 1000.0
        if since >= self.settings.checkpoint_interval_ms or self.engine.rows_since_cut >= self.settings.checkpoint_rows:
            self.checkpoint_and_publish()
        return rows

    def drain(self) -> None:
        """Make what was read durable, then leave."""
        for attempt in range(DRAIN_TRIES):
            try:
                self.checkpoint_and_publish(once=True)
                break
            except StoreUnavailable as error:
                last = attempt + 1 == DRAIN_TRIES
                effect = "the last checkpoint stands" if last else "it is tried again"
                log_event(logger, logging.ERROR if last else logging.WARNING, "drain_failed", error=str(error), effect=effect)
                time.sleep(0.0 if last else DRAIN_PAUSE_S)
        for source in reversed(self.sources):
            source.close()
            if source.dead_letters is not None:
                source.dead_letters.close()

    def adopt(self, model: Model) -> None:
        """Go on with a model's new form from the next turn on; may be called by any thread. Its schema is the old one's."""
        self._adopted.put(model)

    def stop(self) -> None:
        self.stopping = True

    def checkpoint_and_publish(self, once: bool = False) -> list[Published]:
        """Steps 1 to 4 of the module's docstring."""
        started = self.monotonic()
        cuts = self.engine.cut(self.clock())
        if once:
            self._write(cuts)
        else:
            self._insist(lambda: self._write(cuts))
        self.metrics.observe_checkpoint(self.monotonic() - started)
        published = self._publish_all(once)
        for source in self.sources:
            offsets = {cut.key: cut.next_offset for cut in cuts if self._source_of.get(cut.key) is source and cut.next_offset >= 0}
            if offsets:
                source.commit(offsets)
        self._last_cut = self.monotonic()
        self._report_lag()
        return published

    def _write(self, cuts: list[PartitionCut]) -> None:
        if not cuts:
            return
        fenced = self.store.checkpoint(cuts, self.engine.absorb)
        self._store_answers()
        written = [cut for cut in cuts if cut.key not in fenced]
        self.engine.committed(written)
        for cut in written:
            for reason, rows in cut.counts.items():
                self.metrics.count_outcome(cut.key.source, reason, rows)
            source = self._source_of.get(cut.key)
            if cut.dead and source is not None and source.dead_letters is not None:
                source.dead_letters.send(cut.key, cut.dead)
        if fenced:
            self._give_up(fenced)

    def _give_up(self, fenced: set[PartitionKey]) -> None:
        """Another replica owns these: forget them and join the group anew, never claim in place."""
        self.metrics.count_fenced(len(fenced))
        self.rejoins += 1
        log_event(logger, logging.WARNING, "fenced", partitions=[str_key(k) for k in sorted(fenced)])
        sources = {id(self._source_of[k]): self._source_of[k] for k in fenced if k in self._source_of}
        self.engine.forget(fenced)
        for source in sources.values():
            owned = [k for k, s in self._source_of.items() if s is source]
            self.engine.forget(owned)
            for key in owned:
                self._source_of.pop(key, None)
            source.rejoin()

    def _publish_all(self, once: bool) -> list[Published]:
        out: list[Published] = []
        started = self.monotonic()
        for model in self.engine.models.values():
            attempt = self._publisher(model)
            out.extend(attempt() if once else self._insist(attempt))
        for published in out:
            self.metrics.publish(published.window, published.scores, published.delay_ms_mean)
            self.metrics.count_failures(published.window.model, published.failures)
            self.on_published(published)
            log_event(
                logger,
                logging.INFO,
                "published",
                model=published.window.model,
                window_start_ms=published.window.start_ms,
                revision=published.window.revision,
                rows=published.window.rows,
                notifications=published.notifications,
            )
        if out:
            self.metrics.observe_publish(self.monotonic() - started)
        if any(p.notifications for p in out):
            self.wake_courier()
        return out

    def _publisher(self, model: Model) -> Callable[[], list[Published]]:
        def attempt() -> list[Published]:
            with self.store.publishing(model.name) as tx:
                if tx is None:  # another replica is at it
                    return []
                return publish_due(tx, model, self._reads, self.clock(), self.settings.idle_timeout_ms)

        return attempt

    def _reads(self, key: PartitionKey) -> bool:
        """Whether the config still reads a partition."""
        return any(s.name == key.source and s.covers(key) for s in self.sources)

    def _insist(self, action: Callable[[], Any]) -> Any:
        """Do it, again and again while the store is away: paused sources are polled, so the group stays."""
        wait_ms = float(BACKOFF_MS[0])
        while True:
            try:
                result = action()
                self._store_answers()
                return result
            except StoreUnavailable as error:
                if self.stopping:
                    raise
                if not self._store_away:
                    log_event(logger, logging.WARNING, "store_away", error=str(error))
                self._store_away = True
                self._idleness.store_away(self.monotonic())
                self.health.set_store(False)
                self.metrics.set_store(False)
                until = self.monotonic() + random.uniform(0.5, 1.0) * wait_ms / 1000.0  # noqa: S311
                for source in self.sources:
                    source.pause_all()
                while self.monotonic() < until and not self.stopping:
                    self.health.turned()
                    for source in self.sources:
                        source.keep_alive(50)
                    time.sleep(0.02)
                wait_ms = min(2 * wait_ms, BACKOFF_MS[1])

    def _store_answers(self) -> None:
        if self._store_away:
            log_event(logger, logging.INFO, "store_back")
            for source in self.sources:
                source.resume_all()
            self._idleness.store_back(self.monotonic())
        self._store_away = False
        self.health.set_store(True)
        self.metrics.set_store(True)

    def _watch_idleness(self) -> None:
        now = self.monotonic()
        for key in self.engine.keys:
            source = self._source_of.get(key)
            if source is None or not source.caught_up(key, self.engine.next_offset(key)):
                self._idleness.busy(key)
                self.engine.set_idle(key, False)
            else:
                self.engine.set_idle(key, self._idleness.quiet(key, now))

    def _report_lag(self) -> None:
        self._reported = self.monotonic()
        now_ms = self.clock()
        known = True
        for key in self.engine.keys:
            source = self._source_of.get(key)
            lag = source.lag(key) if source is not None else None
            known = known and lag is not None
            self.metrics.set_partition(key, lag, self.engine.clock_ms(key), now_ms)
        self.reached = {source.name: source.reached() for source in self.sources}
        for name, answers in self.reached.items():
            self.metrics.set_reachable(name, answers)
        self.health.set_assigned(bool(self.engine.keys))
        self.health.set_lag_known(known)
        self.metrics.expire(now_ms)


def str_key(key: PartitionKey) -> str:
    return f"{key.source}/{key.topic}/{key.partition}"
