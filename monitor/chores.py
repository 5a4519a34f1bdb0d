"""What is done every so often beside the data loop: retention, retrains, digests, references, slow detectors, unreachable sources.

One chore never runs twice at once: where it is still at it when it is due again, that turn is left out and counted
(`driftd_chore_skipped_total`), and how long each took is measured. A busy store is no reason for a warning; one that is away
is a line, and the chore is tried again when it is due next.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from apscheduler.schedulers.background import BackgroundScheduler

from monitor.logs import log_event
from monitor.metrics import Metrics
from monitor.store.errors import StoreUnavailable

logger = logging.getLogger("driftd.chores")
# two instances: the second sees that the first is at it, and says so in a metric. Late is better than never.
DEFAULTS: dict[str, Any] = {"coalesce": True, "max_instances": 2, "misfire_grace_time": None}


class Chores:
    """Named jobs at fixed intervals, on threads of APScheduler's."""

    def __init__(self, metrics: Metrics) -> None:
        self._scheduler = BackgroundScheduler(timezone="UTC", job_defaults=DEFAULTS)
        self._metrics = metrics

    def add(self, name: str, seconds: float, action: Callable[[], object], at_once: bool = False) -> None:
        """Do something every so many seconds; at_once: now, too."""
        first = {"next_run_time": datetime.now(UTC)} if at_once else {}
        self._scheduler.add_job(self._guarded(name, action), "interval", seconds=seconds, name=name, **first)

    def _guarded(self, name: str, action: Callable[[], object]) -> Callable[[], None]:
        busy = threading.Lock()

        def chore() -> None:
            if not busy.acquire(blocking=False):
                self._metrics.count_chore_skipped(name)
                return
            started = time.monotonic()
            try:
                action()
            except StoreUnavailable as error:
                log_event(logger, logging.WARNING, "chore_waits", chore=name, error=str(error))
            except Exception:
                logger.exception("chore %s failed; it is tried again when it is due next", name)
            finally:
                self._metrics.observe_chore(name, time.monotonic() - started)
                busy.release()

        return chore

    def start(self) -> None:
        self._scheduler.start()

    def stop(self) -> None:
        """Begin nothing more; what is being done may end."""
        if self._scheduler.running:
            self._scheduler.shutdown(False)
