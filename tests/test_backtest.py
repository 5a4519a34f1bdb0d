"""`driftd backtest`: what would have alerted, by budget; the config's store is as it was."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import uuid

import numpy as np
import orjson
import pytest
from click.testing import CliRunner
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import AdminClient

from monitor.cli import main
from tests.replayed import START, open_replay, replay_events

MODEL = """
models:
  - name: m
    features: {x: numeric, c: category}
    window: {size: 1m, allowed_lateness: 5s}
    reference: {first_windows: 3}
    min_rows: 50
alerts:
  rules: [{name: drift, scores: [js, rank_shift], channels: [log], resolve_windows: 1}]
  channels: {log: {type: log}}
"""

SOURCE = """
sources:
  - {name: main, type: kafka, bootstrap_servers: "127.0.0.1:9092", topics: [predictions], carries: events}
"""


def events(windows: int = 14, rows: int = 300, moved: tuple[int, ...] = (8, 9), by: float = 1.0):
    rng = np.random.default_rng(3)
    for w in range(windows):
        shift = by if w in moved else 0.0
        for i in range(rows):
            x = float(rng.normal() + shift)
            features = {"x": x, "c": "ab"[int(rng.random() < 0.4)]}
            ts = START + w * 60_000 + i * 60_000 // rows
            yield {"event_id": f"{w}-{i}", "ts": ts, "model": "m", "features": features, "prediction": {"score": 0.5}}


@pytest.fixture
def place(tmp_path):
    (tmp_path / "c.yaml").write_text(f"store: {{url: 'sqlite:///{tmp_path}/r.db'}}\n{MODEL}")
    (tmp_path / "past.jsonl").write_bytes(b"\n".join(orjson.dumps(e) for e in events()))
    return tmp_path


def run(place, *arguments):
    done = CliRunner().invoke(main, ["backtest", "-c", str(place / "c.yaml"), "--model", "m", *map(str, arguments)])
    lines = [json.loads(line) for line in done.output.splitlines() if line.startswith("{")]
    return done, lines


def test_a_drift_in_a_file_alerts_when_it_came_and_until_it_went(place):
    done, lines = run(place, "--from", place / "past.jsonl", "--budgets", "1", "--format", "jsonl")
    assert done.exit_code == 0, done.output
    alerts = [line for line in lines if line["kind"] == "alert"]
    assert {(a["subject"], a["score"]) for a in alerts} == {("x", "js"), ("x", "rank_shift")}
    assert all(a["since_ms"] == START + 8 * 60_000 and a["until_ms"] == START + 10 * 60_000 for a in alerts)
    assert all(a["value"] > a["limit"] > 0 for a in alerts)
    assert all(a["limit_rule"].startswith(f"calibrated {a['score']}") for a in alerts)
    assert lines[-1] == {"kind": "summary", "budget": 1.0, "windows": 14, "bad_windows": 2, "alerts": 2,
                         "alerts_per_week": pytest.approx(2 * 10_080 / 14, rel=1e-3)}  # fmt: skip
    assert not (place / "r.db").exists()


def test_a_greater_budget_finds_more(place):
    (place / "past.jsonl").write_bytes(b"\n".join(orjson.dumps(e) for e in events(by=0.6)))
    done, lines = run(place, "--from", place / "past.jsonl", "--budgets", "0.0001,1,2000", "--format", "jsonl")
    assert done.exit_code == 0, done.output
    bad = [line["bad_windows"] for line in lines if line["kind"] == "summary"]
    assert bad == sorted(bad) and bad[0] < bad[-1]


def test_stored_panes_give_what_the_file_gave_and_the_store_is_not_written_to(place):
    cfg, store = open_replay(place, MODEL)
    replay_events(cfg, store, place, list(events()))
    store.close()
    before = hashlib.sha256((place / "r.db").read_bytes()).hexdigest()
    _, from_store = run(place, "--store", "--budgets", "0.5,1", "--format", "jsonl")
    _, from_file = run(place, "--from", place / "past.jsonl", "--budgets", "0.5,1", "--format", "jsonl")
    assert from_store == from_file and len(from_store) >= 6
    assert hashlib.sha256((place / "r.db").read_bytes()).hexdigest() == before


def test_tables_for_people_say_counts_and_times(place):
    done, _ = run(place, "--from", place / "past.jsonl")
    assert done.exit_code == 0
    for words in ("alerts by budget", "0.25", "2026-01-01 00:08:00", "rank_shift", "alerts at 1 a week"):
        assert words in done.output, words


def dump(place, rows):
    """Kafka records as JSON a line, in three partitions, every other one as base64."""
    lines = []
    for i, event in enumerate(rows):
        where = {"topic": "predictions", "partition": i % 3, "offset": i // 3, "ts": event["ts"]}
        body = orjson.dumps(event)
        lines.append({**where, **({"payload": body.decode()} if i % 2 else {"payload_base64": base64.b64encode(body).decode()})})
    (place / "topic.jsonl").write_bytes(b"\n".join(orjson.dumps(line) for line in lines))
    return place / "topic.jsonl"


def test_a_dump_of_the_topic_gives_what_the_file_of_its_events_gave(place):
    (place / "c.yaml").write_text((place / "c.yaml").read_text() + SOURCE)
    _, from_file = run(place, "--from", place / "past.jsonl", "--budgets", "1,2000", "--format", "jsonl")
    done, from_dump = run(place, "--topic-dump", dump(place, events()), "--budgets", "1,2000", "--format", "jsonl")
    assert done.exit_code == 0, done.output
    assert from_dump == from_file and {a["subject"] for a in from_dump if a["kind"] == "alert" and a["budget"] == 1} == {"x"}
    assert not (place / "r.db").exists()


@pytest.mark.parametrize("client", ["confluent", "kafka-python"])
def test_the_topics_history_gives_what_the_file_gave_and_commits_nothing(place, kafka, client):
    topic = f"history-{uuid.uuid4().hex[:8]}"
    kafka.create(topic, 3)
    producer = kafka.producer()
    rows = list(events())
    young = {**rows[0], "event_id": "young"}  # by a clock that is ahead, in front of all others
    producer.produce(topic, orjson.dumps(young), partition=1, timestamp=int(time.time() * 1000) + 3_600_000)
    for i, event in enumerate(rows):
        producer.produce(topic, orjson.dumps(event), partition=i % 3, timestamp=event["ts"])
    producer.produce(
        topic, orjson.dumps({**rows[-1], "event_id": "later"}), partition=0, timestamp=int(time.time() * 1000) + 3_600_000
    )
    producer.flush(30)
    source = f"""
sources:
  - {{name: main, type: kafka, bootstrap_servers: "{kafka.bootstrap}", topics: [{topic}], carries: events, client: {client}, start: latest}}
"""
    (place / "c.yaml").write_text((place / "c.yaml").read_text() + source)
    _, from_file = run(place, "--from", place / "past.jsonl", "--budgets", "1", "--format", "jsonl")
    done, from_topic = run(place, "--topics", "--budgets", "1", "--format", "jsonl")
    assert done.exit_code == 0, done.output
    assert from_topic == from_file and len(from_topic) >= 3 and f"{len(rows):,} messages of the topics" in done.output
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    groups = [g.group_id for g in admin.list_consumer_groups().result(20).valid if g.group_id.startswith("driftd-history-")]
    for group in groups:
        found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])[group].result(20)
        assert all(p.offset < 0 for p in found.topic_partitions), group


def test_a_line_of_a_dump_that_is_no_record_is_named(place):
    (place / "c.yaml").write_text((place / "c.yaml").read_text() + SOURCE)
    path = dump(place, list(events(windows=1, rows=3)))
    path.write_bytes(path.read_bytes() + b'\n{"topic": "predictions", "payload": "{}"}')
    done, _ = run(place, "--topic-dump", path)
    assert done.exit_code != 0 and "topic.jsonl:4" in done.output and "partition" in done.output
    path.write_bytes(path.read_bytes().splitlines()[0].replace(b"predictions", b"elsewhere"))
    done, _ = run(place, "--topic-dump", path)
    assert done.exit_code != 0 and "no source of the config reads topic 'elsewhere'" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give one of --from"),
        (["--store", "--from", "FILE"], "give one of --from"),
        (["--store"], "give --from FILE"),
        (["--topics"], "there is no topic to read"),
        (["--from", "FILE", "--budgets", "much"], "write numbers"),
    ],
)
def test_mistakes_are_said_with_the_fix(place, arguments, words):
    done, _ = run(place, *[str(place / "past.jsonl") if a == "FILE" else a for a in arguments])
    assert done.exit_code == 2 and words in done.output


def test_another_model_is_named(place):
    done = CliRunner().invoke(main, ["backtest", "-c", str(place / "c.yaml"), "--model", "n", "--from", str(place / "past.jsonl")])
    assert done.exit_code == 2 and "the config has m" in done.output
