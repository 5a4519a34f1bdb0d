"""The live path equals the replay: real Kafka, real PostgreSQL, the real daemon as a process."""

from __future__ import annotations

import base64

import orjson
from confluent_kafka import Consumer, TopicPartition

from monitor.store import open_store
from monitor.store.schema import dead_letter
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


def test_dead_letters_also_go_to_a_topic(tmp_path, kafka, postgres):
    world = World(tmp_path, kafka, postgres.url(postgres.new_database()), events=2_000)
    dead = f"dead-{world.topics['events']}"
    kafka.create(dead, 1)
    try:
        world.produce()
        daemon = world.daemon()
        text = daemon.config.read_text()
        daemon.config.write_text(text.replace("carries: events,", f"carries: events, dead_letter_topic: {dead},"))
        daemon.start()
        world.wait_read()
        assert daemon.stop() == 0
        store = open_store(world.url, read_only=True)
        wanted = {(r["part"], r["log_offset"], r["idx"], r["reason"]) for r in store.rows(dead_letter.select())}
        store.close()
        consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "check", "log_level": 0})
        consumer.assign([TopicPartition(dead, 0, 0)])
        found = {}
        while len(found) < len(wanted):
            message = consumer.poll(10)
            assert message is not None, f"{len(found)} of {len(wanted)} came"
            body = orjson.loads(message.value())
            found[body["partition"], body["offset"], body["index"], body["reason"]] = body
        consumer.close()
        assert set(found) == wanted and len(wanted) > 20
        assert any(base64.b64decode(b["excerpt_base64"]) == b"not json" for b in found.values())
    finally:
        world.close()
