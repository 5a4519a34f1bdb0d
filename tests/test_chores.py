"""Chores beside the data loop: one that takes long leaves turns out without a warning, one that fails is tried again."""

from __future__ import annotations

import logging
import threading

from monitor.chores import Chores
from monitor.metrics import Metrics
from monitor.store.errors import StoreUnavailable


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


def test_a_busy_chore_leaves_turns_out_and_says_so_in_a_metric_alone(caplog):
    metrics, held, turned = Metrics(), threading.Event(), threading.Event()
    chores, runs = Chores(metrics), []

    def slow():
        runs.append(1)
        held.wait(10)

    def others():
        if (value(metrics, "driftd_chore_skipped_total", chore="slow") or 0) >= 3:
            turned.set()

    with caplog.at_level(logging.INFO):
        chores.add("slow", 0.02, slow, at_once=True)
        chores.add("others", 0.02, others)
        chores.start()
        assert turned.wait(20), "turns of the slow one are left out, and the other goes on"
        assert runs == [1]
        chores.stop()
        held.set()
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == []


def test_a_store_that_is_away_is_a_line_and_the_chore_goes_on(caplog):
    metrics, done = Metrics(), threading.Event()
    chores, left = Chores(metrics), [StoreUnavailable("away"), ValueError("odd"), None]

    def chore():
        error = left.pop(0) if left else None
        if error is not None:
            raise error
        done.set()

    chores.add("it", 0.02, chore, at_once=True)
    chores.start()
    assert done.wait(20)
    chores.stop()
    warned = [(r.levelname, r.name) for r in caplog.records if r.levelno >= logging.WARNING]
    assert warned == [("WARNING", "driftd.chores"), ("ERROR", "driftd.chores")]
    assert value(metrics, "driftd_chore_seconds_count", chore="it") >= 2
