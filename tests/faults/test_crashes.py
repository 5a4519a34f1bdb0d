"""Faults of the process and of the store: kills at each step, lost answers, a database that goes away."""

from __future__ import annotations

import os
import signal
import sqlite3
import time

import psycopg
import pytest

from tests.faults.proxy import Proxy
from tests.faults.test_exactly_once import FULL, SESSION_MS, hold, make, settle
from tests.faults.world import World
from tests.servers.ports import wait_for
from tests.servers.postgres import Postgres

EVENTS = 40_000 if FULL else 8_000


@pytest.mark.timeout(600)
def test_killed_at_each_step(tmp_path, kafka, postgres):
    """Faults 2 and 29: before, within and after the commit, the publication and the mark of a sent notification."""
    world = make(tmp_path, kafka, postgres, EVENTS)
    points = [
        f"{p}:1"
        for p in (
            "before_commit",
            "in_commit",
            "after_commit",
            "before_publish",
            "in_publish",
            "settled",
            "before_sent",
            "after_sent",
        )
    ]
    try:
        oracle = world.oracle()
        step = len(world.records) // len(points)
        for i, point in enumerate(points):
            daemon = world.daemon(f"d{i}", FP=point)
            daemon.start()
            world.produce(step)
            try:
                assert daemon.process.wait(30) == 137
            except Exception:
                assert point.partition(":")[0].endswith("sent"), f"{point} was never reached"  # no alert in this slice
                daemon.kill()
        last = world.daemon("last")
        last.start()
        settle(world, oracle)
        assert last.stop() == 0
        hold(world, oracle)
        assert any(len(bodies) > 1 for bodies in world.hook.by_key.values()), "no notification was sent twice"
    finally:
        world.close()


@pytest.mark.timeout(300)
def test_a_commit_whose_answer_is_lost(tmp_path, kafka, postgres):
    """Fault 7."""
    proxy = Proxy(postgres.port, lose_every=6)
    database = postgres.new_database()
    world = World(tmp_path, kafka, postgres.url(database), EVENTS, session_ms=SESSION_MS)
    try:
        oracle = world.oracle()
        daemon = world.daemon("a")
        text = daemon.config.read_text().replace(f":{postgres.port}/", f":{proxy.port}/")
        daemon.config.write_text(text)
        daemon.start()
        for _ in range(6):
            world.produce(len(world.records) // 6)
            time.sleep(1.0)
        settle(world, oracle)
        assert proxy.lost >= 3
        assert daemon.alive and daemon.stop() == 0
        hold(world, oracle)
    finally:
        world.close()
        proxy.close()


@pytest.mark.timeout(1500)
def test_the_database_goes_away_and_comes_back(tmp_path, kafka):
    """Faults 9, 10, 11 and 22: backends killed, an immediate stop, a crash; no exit, nothing lost, nothing late."""
    own = Postgres()
    world = World(tmp_path, kafka, own.url(own.new_database()), EVENTS, session_ms=SESSION_MS)
    try:
        oracle = world.oracle()
        daemon = world.daemon()
        daemon.start()
        wait_for(lambda: bool(daemon.events("started")), 30, "the daemon to start")
        step = len(world.records) // 5
        world.produce(step)
        for _ in range(10):
            with psycopg.connect(own.dsn("postgres"), autocommit=True) as conn:
                conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'driftd'")
            time.sleep(0.3)
        for way in ("stop", "kill"):
            world.produce(step)
            time.sleep(0.5)
            own.stop(signal.SIGQUIT) if way == "stop" else own.kill()
            world.produce(step)
            wait_for(lambda: daemon.get("/ready")[0] == 503, 30, "readiness to fall")
            time.sleep(
                600.0 if FULL and way == "stop" else 6.0
            )  # longer than the idle timeout: silence of the store is not idleness
            assert daemon.alive and daemon.get("/healthy")[0] == 200
            own.start()
            wait_for(lambda: daemon.get("/ready")[0] == 200, 60, "readiness to return")
        settle(world, oracle)
        assert daemon.stop() == 0
        hold(world, oracle)
        late = sum(c.get("late", 0) for c in world.results()["counts"].values())
        assert late == sum(c.get("late", 0) for c in oracle["counts"].values())
    finally:
        world.close()
        own.close()


@pytest.mark.timeout(600)
def test_sqlite_killed_and_shared(tmp_path, kafka):
    """Fault 16: SIGKILL in a loop on SQLite; a second process on the same file refuses to start."""
    world = World(tmp_path, kafka, f"sqlite:///{tmp_path}/driftd.db", EVENTS, session_ms=SESSION_MS)
    try:
        oracle = world.oracle()
        daemon = world.daemon()
        for i in range(10 if FULL else 4):
            daemon.start()
            world.produce(len(world.records) // 6)
            time.sleep(2.5 + 0.3 * i)
            daemon.kill()
        daemon.start()
        wait_for(lambda: len(daemon.events("assigned")) > 0, 30, "the daemon to start")
        time.sleep(2.0)
        second = world.daemon("second")
        second.start()
        assert second.process.wait(20) != 0 and "another process writes to" in second.log.read_text()
        settle(world, oracle)
        assert daemon.stop() == 0
        hold(world, oracle)
        assert sqlite3.connect(f"{tmp_path}/driftd.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        world.close()


@pytest.mark.timeout(300)
def test_drains_under_load_and_leaves_at_once_when_told_twice(tmp_path, kafka, postgres):
    """Fault 30."""
    world = make(tmp_path, kafka, postgres, EVENTS)
    try:
        oracle = world.oracle()
        daemon = world.daemon()
        daemon.start()
        world.produce(len(world.records) // 2)
        wait_for(lambda: bool(daemon.events("published")), 30, "a first window")
        world.produce(len(world.records) // 4)
        started = time.monotonic()
        assert daemon.stop() == 0 and time.monotonic() - started < 20.0
        read = world.cursors()
        daemon.start()
        wait_for(lambda: len(daemon.events("started")) == 2, 30, "the second start")
        wait_for(lambda: all(v >= read.get(k, -1) for k, v in world.cursors().items()), 5, "offsets that only grow")
        wait_for(lambda: len(daemon.events("assigned")) > 2, 30, "partitions")
        daemon.send(signal.SIGSTOP)
        daemon.send(signal.SIGTERM)
        daemon.send(signal.SIGINT)
        daemon.send(signal.SIGCONT)
        assert daemon.process.wait(20) in (0, 130, 143, 128 + signal.SIGINT)
        daemon.start()
        settle(world, oracle)
        assert daemon.stop() == 0
        hold(world, oracle)
    finally:
        world.close()
        assert os.path.exists(tmp_path)
