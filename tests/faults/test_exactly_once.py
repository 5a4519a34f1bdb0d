"""The promise: kill, stop, repeat, run two at once; the results are those of one calm replay.

DRIFTD_FAULTS=full runs them at length (`make test-faults`), else in a shortened form with the same seeds.
"""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.faults.config import differences
from tests.faults.world import World
from tests.servers.ports import wait_for

FULL = os.environ.get("DRIFTD_FAULTS") == "full"
EVENTS, KILLS = (200_000, 32) if FULL else (30_000, 8)
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
    """Stop a replica past its session, let the other take over and read on, wake it: fault 3. Returns (world, oracle)."""
    world = make(tmp_path, kafka, postgres, 24_000 if not FULL else 80_000)
    oracle = world.oracle()
    first, second = world.daemon("a", **environment), world.daemon("b", **environment)
    for daemon in (first, second):
        daemon.start()
    wait_for(
        lambda: bool(first.events("assigned")) and bool(second.events("assigned")), 30, "both replicas to be assigned"
    )
    slices = 6 if not FULL else 12
    step = len(world.records) // slices
    for i in range(slices - 1):
        victim, other = (first, second) if i % 2 == 0 else (second, first)
        world.produce(step // 2)
        # in the middle of its work: rows are in its memory that it has not written
        time.sleep(0.35)
        victim.send(signal.SIGSTOP)
        seen = len(other.events("assigned"))
        wait_for(lambda s=seen, o=other: len(o.events("assigned")) > s, 30, "the other replica to take over")
        world.produce(step - step // 2)
        time.sleep(1.0)
        victim.send(signal.SIGCONT)
        time.sleep(2.0)
    world.produce()
    return world, oracle


@pytest.mark.timeout(900)
def test_a_zombie_that_wakes_up_writes_nothing(tmp_path, kafka, postgres):
    """Fault 3."""
    world, oracle = zombie(tmp_path, kafka, postgres)
    try:
        settle(world, oracle)
        for daemon in world.daemons:
            assert daemon.stop() == 0
        hold(world, oracle)
        fenced = sum(len(d.events("fenced")) for d in world.daemons)
        lost = sum(len(d.events("revoked")) for d in world.daemons)
        assert fenced + lost > 0, "no replica ever lost its partitions: the fault was not injected"
    finally:
        world.close()
