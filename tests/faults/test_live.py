"""The live path equals the replay: real Kafka, real PostgreSQL, the real daemon as a process."""

from __future__ import annotations

from tests.faults.config import differences
from tests.faults.world import World


def test_undisturbed_daemon_equals_replay(tmp_path, kafka, postgres):
    world = World(tmp_path, kafka, postgres.url(postgres.new_database()), events=20_000)
    try:
        world.produce()
        daemon = world.daemon()
        daemon.start()
        oracle = world.oracle()
        world.wait_read()
        world.wait_published(oracle)
        world.wait_delivered()
        assert world.balanced() == []
        assert set(world.hook.by_key) == world.results()["keys"] and world.hook.by_key
        assert daemon.get("/ready")[0] == 200 and "driftd_score{" in daemon.get("/metrics")[1]
        assert daemon.stop() == 0
        assert differences(world.results(), oracle) == []
    finally:
        world.close()
