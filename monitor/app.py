"""The daemon, wired in one straight function and closed in reverse.

Threads: the data loop (the caller's), one courier for notifications, one for the web, APScheduler's for chores.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.metadata import version as installed
from typing import Any

import pyarrow

from alerts.delivery import Courier
from monitor.blindness import LOOK_EVERY_S, SourceWatch
from monitor.channels import build_channels, paces_ms, retrain_channels, retrain_secrets
from monitor.chores import Chores
from monitor.config import Config, effective
from monitor.decode.scan import DECODED_BY
from monitor.digests import DigestRunner, digests_of
from monitor.health import Health
from monitor.lineage import enricher
from monitor.logs import log_event
from monitor.loop import DataLoop, LoopSettings
from monitor.metrics import Metrics
from monitor.model import Model
from monitor.performance_pane import exchanged_payloads
from monitor.policies import tags_of
from monitor.publish import Published
from monitor.resources.build import build_sources as build_resources
from monitor.resources.collector import Collector
from monitor.retraining import Retraining
from monitor.runtime import build_engine, build_models
from monitor.slow import SlowRunner, limits_of, wanted_of
from monitor.sources import build_sources
from monitor.sources.http_queue import HttpSource
from monitor.store import open_store
from monitor.store.errors import StoreUnavailable
from monitor.switching import LOOK_S, ReferenceWatch
from monitor.web import Access, Shown, Token, WebServer

logger = logging.getLogger("driftd")
OUTBOX_LEASE_MS = 60_000
CHORES_EVERY_S = 600
RETRAINS_EVERY_S = 2
DIGESTS_EVERY_S = 60
UNDRAINED = 1  # the exit code where draining took too long
M_ARENA_MAX = -8  # of glibc's mallopt


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


def bound_memory() -> None:
    """Keep freed memory from piling up in allocators that keep it: glibc's arenas and Arrow's own pool."""
    pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def spare_the_collector() -> None:
    """Look for cycles seldom, and not in what lives as long as the process.

    A poll makes 20,000 objects that hold no cycle; at Python's threshold of 700 the search took a quarter of the
    daemon's CPU time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 10, 10)


@dataclass(slots=True)
class Daemon:
    """The running parts, for the terminal and for tests."""

    loop: DataLoop
    web: WebServer
    metrics: Metrics
    health: Health
    store: Any
    published: list[Published] = field(default_factory=list)


def run(
    cfg: Config,
    extra_sources: list[Any] | None = None,
    ready: Callable[[Daemon], None] = lambda daemon: None,
    until: Callable[[], bool] = lambda: False,
    on_published: Callable[[Published], None] = lambda published: None,
    handle_signals: bool = True,
    leave: Callable[[int], Any] = os._exit,
) -> None:
    """Run until SIGTERM, SIGINT or until(); drain within cfg.drain_timeout_ms. Raises StoreError, SourceError.

    leave: ends the process with an exit code, at a second signal or where the drain takes longer (UNDRAINED).
    """
    bound_memory()
    with ExitStack() as stack:
        store = open_store(cfg.store.sqlalchemy_url())
        stack.callback(store.close)
        channels = build_channels(cfg, store)
        store.migrate()
        store.label_wait_ms = {m.name: m.labels.wait_ms for m in cfg.models}
        store.max_pending = {m.name: m.labels.max_pending for m in cfg.models}
        store.sample_keep_ms = {m.name: m.sample.keep_ms for m in cfg.models if m.sample is not None}
        carried = [s.carries for s in [*cfg.sources, *(extra_sources or [])]]
        models = build_models(cfg, store, labels_come=any(c != "events" for c in carried))
        store.committer.payloads = exchanged_payloads(m.schema for m in models.values())
        metrics = Metrics(series_limit=cfg.limits.metric_series)
        health = Health()
        health.set_store(True)

        courier = Courier(
            store.outbox,
            channels,
            clock=wall_clock_ms,
            lease_ms=OUTBOX_LEASE_MS,
            on_outcome=metrics.count_notification,
            paces_ms=paces_ms(cfg),
        )
        sources = list(extra_sources or []) + build_sources(cfg, wall_clock_ms)
        engine = build_engine(cfg, models, tuple(s.name for s in extra_sources or []))
        loop = DataLoop(
            engine,
            store,
            sources,
            LoopSettings(
                owner=f"{socket.gethostname()}-{os.getpid()}",
                checkpoint_interval_ms=cfg.checkpoint.interval_ms,
                idle_timeout_ms=cfg.idle_timeout_ms,
            ),
            metrics,
            health,
            wall_clock_ms,
            on_published=on_published,
            wake_courier=courier.wake,
        )

        web = _web_server(cfg, store, models, metrics, health, sources)
        web.start()
        stack.callback(web.stop)

        stopped = threading.Event()
        sender = threading.Thread(target=courier.run, args=(stopped,), name="courier", daemon=True)
        sender.start()
        stack.callback(sender.join, 5.0)
        stack.callback(stopped.set)

        sampled = build_resources(cfg)
        if sampled:
            collector = Collector(sampled, store.add_resource_samples, wall_clock_ms, time.monotonic, metrics.set_resource)
            asking = threading.Thread(target=collector.run, args=(stopped,), name="resources", daemon=True)
            asking.start()
            stack.callback(asking.join, 5.0)
            stack.callback(stopped.set)

        chores = Chores(metrics)
        stack.callback(chores.stop)
        slow = SlowRunner(store, limits_of(cfg))
        stack.callback(slow.close)
        _add_chores(chores, cfg, store, models, channels, loop, courier, slow)
        chores.start()

        if handle_signals:
            _stop_on_signals(loop, cfg.drain_timeout_ms, leave)
        spare_the_collector()
        log_event(logger, logging.INFO, "started", address=web.address, models=sorted(models), decoder=DECODED_BY)
        ready(Daemon(loop, web, metrics, health, store))
        loop.run(until)
        log_event(logger, logging.INFO, "stopped")


def _web_server(
    cfg: Config, store: Any, models: dict[str, Model], metrics: Metrics, health: Health, sources: list[Any]
) -> WebServer:
    pushed = next((s for s in sources if isinstance(s, HttpSource)), None)
    return WebServer(
        listen=cfg.http.listen,
        metrics=metrics,
        health=health,
        submit=pushed.submit if pushed is not None else None,
        access=Access((Token.of(*t) for t in cfg.http.token_values()), cfg.http.allow_actions, cfg.http.hosts),
        body_bytes=cfg.http.body_bytes,
        shown=Shown(
            store=store,
            models=models,
            segments={m.name: [s.name for s in m.segments] for m in cfg.models},
            clock=wall_clock_ms,
            config=effective(cfg),
            version=installed("driftd"),
            retrain_secrets=lambda name: retrain_secrets(cfg, name),
            tags=tags_of(cfg),
        ),
    )


def _add_chores(
    chores: Chores, cfg: Config, store: Any, models: dict[str, Model], channels: dict[str, Any], loop: DataLoop, courier: Courier,
    slow: SlowRunner,
) -> None:  # fmt: skip
    """What is done every so often, beside the data loop."""
    chores.add("retire", CHORES_EVERY_S, lambda: _retire(store, cfg))
    store.retrains.enrich, store.retrains.public_url = enricher(cfg), cfg.http.public_url or ""
    retraining = Retraining(store, retrain_channels(channels), models)
    chores.add("retrains", RETRAINS_EVERY_S, lambda: retraining.step(wall_clock_ms()))
    digests = DigestRunner(store, digests_of(cfg), cfg.http.public_url or "")
    chores.add("digests", DIGESTS_EVERY_S, lambda: _tell(digests, courier), at_once=True)  # the one that a downtime missed
    chores.add("references", LOOK_S, ReferenceWatch(cfg, store, models, loop.adopt).look)
    blindness = SourceWatch(store, cfg, lambda: loop.reached)
    chores.add("sources", LOOK_EVERY_S, lambda: _tell(blindness, courier))
    chores.add("slow", cfg.slow.every_ms / 1000.0, lambda: _look_slowly(slow, cfg, models))


def _retire(store: Any, cfg: Config) -> None:
    kept = cfg.store.retention
    removed = store.retire(
        wall_clock_ms(), panes_ms=kept.panes_ms, windows_ms=kept.windows_ms, dead_letters_ms=kept.dead_letters_ms
    )
    log_event(logger, logging.INFO, "retired", **removed)


def _tell(telling: DigestRunner | SourceWatch, courier: Courier) -> None:
    if telling.step(wall_clock_ms()):
        courier.wake()


def _look_slowly(slow: SlowRunner, cfg: Config, models: dict[str, Model]) -> None:
    for settings in cfg.models:
        model = models[settings.name]
        try:
            done = slow.round(model, wanted_of(settings, model.profile_named(model.profile_at(wall_clock_ms()))))
        except StoreUnavailable as error:
            log_event(logger, logging.WARNING, "slow_waits", model=model.name, error=str(error))
            return
        if done:
            log_event(logger, logging.INFO, "slow_looked", model=model.name, windows=done)


def _stop_on_signals(loop: DataLoop, drain_timeout_ms: int, leave: Callable[[int], Any]) -> None:
    """The first signal drains, the second leaves at once; a drain that takes too long is cut off.

    Leaving at once is safe: what is not in the store is read again.
    """

    def handle(number: int, _frame: object) -> None:
        if loop.stopping:
            leave(128 + number)
        log_event(logger, logging.INFO, "draining", signal=signal.Signals(number).name)
        loop.stop()
        timer = threading.Timer(drain_timeout_ms / 1000.0, leave, args=(UNDRAINED,))
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
