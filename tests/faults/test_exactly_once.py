"""The promise: kill, stop, repeat, run two at once; the results are those of one calm replay.

DRIFTD_FAULTS=full runs them at length (`make test-faults`), else in a shortened form with the same seeds.
"""

from __future__ import annotations

import os
import random
import signal
import time

import psutil
import pytest

from tests.faults.config import differences
from tests.faults.world import World
from tests.servers.ports import wait_for

FULL = os.environ.get("DRIFTD_FAULTS") == "full"
EVENTS, KILLS = (200_000, 32) if FULL else (24_000, 6)
SESSION_MS = 1500


def make(tmp_path, kafka, postgres, events, **settings):
    return World(tmp_path, kafka, postgres.url(postgres.new_database()), events, session_ms=SESSION_MS, **settings)


def settle(world, oracle):
    world.produce()
    world.wait_read()
    world.wait_published(oracle)
    world.wait_delivered()
    assert world.balanced() == []


def hold(world, oracle):
    """I1, I2, I3: results, balance, and every notification at least once under one key and one body."""
    assert differences(world.results(), oracle) == []
    keys = world.results()["keys"]
    assert keys and keys == set(world.hook.by_key)
    for bodies in world.hook.by_key.values():
        assert all(body == bodies[0] for body in bodies)


@pytest.mark.timeout(900)
def test_killed_at_random_moments(tmp_path, kafka, postgres):
    """Fault 1."""
    rng = random.Random(11)
    world = make(tmp_path, kafka, postgres, EVENTS)
    try:
        oracle = world.oracle()
        step = len(world.records) // (KILLS + 1)
        daemon = world.daemon()
        for _ in range(KILLS):
            daemon.start()
            world.produce(step)
            time.sleep(rng.uniform(1.0, 5.0))
            daemon.kill()
        daemon.start()
        settle(world, oracle)
        assert daemon.stop() == 0
        hold(world, oracle)
        assert sum(len(bodies) for bodies in world.hook.by_key.values()) >= len(world.hook.by_key)
    finally:
        world.close()


@pytest.mark.timeout(900)
def test_two_replicas_and_kills(tmp_path, kafka, postgres):
    """Fault 1 with two replicas in one group."""
    rng = random.Random(12)
    world = make(tmp_path, kafka, postgres, EVENTS // 2)
    try:
        oracle = world.oracle()
        kills = KILLS // 2
        step = len(world.records) // (kills + 1)
        replicas = [world.daemon("a"), world.daemon("b")]
        for replica in replicas:
            replica.start()
        for _ in range(kills):
            world.produce(step)
            time.sleep(rng.uniform(1.0, 4.0))
            chosen = rng.choice(replicas)
            chosen.kill()
            time.sleep(rng.uniform(0.0, 2.0))
            chosen.start()
        settle(world, oracle)
        for replica in replicas:
            assert replica.stop() == 0
        hold(world, oracle)
    finally:
        world.close()


def zombie(tmp_path, kafka, postgres, **environment):
    """Fault 3: a replica stops with rows in hand, just before it writes them; the other takes over and reads on.

    Then the first wakes up and goes on where it was. Returns the world, everything produced.
    """
    world = make(tmp_path, kafka, postgres, 16_000 if not FULL else 60_000)
    try:
        _stop_and_wake(world, environment)
    except BaseException:
        world.close()
        raise
    return world


def _stop_and_wake(world, environment):
    first = world.daemon("a", STOP_AT="before_commit:5", **environment)
    second = world.daemon("b", **environment)
    first.start()
    slices = 24
    step = len(world.records) // slices
    made, deadline = 0, time.monotonic() + 90.0
    while psutil.Process(first.process.pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < deadline, "the replica never came to its fifth checkpoint"
        if made < slices - 6:
            world.produce(step)
            made += 1
        time.sleep(0.8)
    second.start()
    wait_for(lambda: len(assigned(second)) >= 8, 60, "the other replica to own all partitions")
    world.produce(3 * step)
    time.sleep(1.5)
    first.send(signal.SIGCONT)
    time.sleep(1.0)
    world.produce()
    world.wait_read()


def assigned(daemon):
    return [p for line in daemon.events("assigned") for p in line["partitions"]]


@pytest.mark.timeout(900)
def test_a_zombie_that_wakes_up_writes_nothing(tmp_path, kafka, postgres):
    """Fault 3."""
    world = zombie(tmp_path, kafka, postgres)
    try:
        oracle = world.oracle()
        settle(world, oracle)
        assert sum(len(d.events("fenced")) for d in world.daemons) > 0, "the fence was never tried"
        for daemon in world.daemons:
            assert daemon.stop() == 0
        hold(world, oracle)
    finally:
        world.close()


@pytest.mark.timeout(900)
def test_without_the_fence_a_zombie_ruins_the_results(tmp_path, kafka, postgres):
    """Fault 5: the test above must be able to fail, and the fence is what lets it pass."""
    for attempt in range(4):  # a zombie may by chance hold only what the other repeats
        folder = tmp_path / str(attempt)
        folder.mkdir()
        world = zombie(folder, kafka, postgres, NO_FENCE="1")
        try:
            time.sleep(6.0)  # longer than the test above needs to settle
            wrong = differences(world.results(), world.oracle())
        finally:
            world.close()
        if any("rows" in line for line in wrong):
            return
    raise AssertionError("results are right without the fence: the test above does not bite")
