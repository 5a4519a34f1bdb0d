"""From Kafka to committed results on PostgreSQL, beside what fetching alone and decoding alone can do.

    python -m tests.bench.stream [--events 3000000] [--labels] [--also LINE] [--client confluent|kafka-python]

Broker, database and daemon share two cores (taskset), as in production on one small box. With --also, runs without and with
that line take turns, so that a load that moves meanwhile is in both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.json as pj
from confluent_kafka import Consumer

from monitor.store import open_store
from monitor.store.schema import cursor
from tests.bench import events
from tests.servers.kafka import Kafka
from tests.servers.postgres import Postgres

PARTITIONS = 4
ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
store: {{url: "{store}"}}
sources:
  - {{name: predictions, type: kafka, carries: events, topics: [events], bootstrap_servers: "{kafka}", group: "{group}",
     client: {client}}}
{labels}
http: {{listen: "127.0.0.1:0"}}
models:
  - name: credit
    task: {task}
    {positive}
    features: {features}
    window: {{size: 10s, allowed_lateness: 2s}}
    reference: {{first_windows: 2}}
    {also}
    dedup: {{horizon: 5s}}
checkpoint: {{interval: 2s}}
log: {{format: json, level: info}}
"""


def two_cores() -> None:
    """Pin this process, and all that it starts, to two cores."""
    available = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, available)


def produce(kafka: Kafka, topic: str, values: Iterable[bytes]) -> None:
    """Send values to the partitions in turn."""
    kafka.create(topic, PARTITIONS)
    producer = kafka.producer()
    for i, value in enumerate(values):
        while True:
            try:
                producer.produce(topic, value, partition=i % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.1)
    producer.flush(120)


def fetch_alone(kafka: Kafka, count: int, client: str) -> float:
    """Events/s of the client alone: values only."""
    if client == "confluent":
        return _fetch_confluent(kafka, count)
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap, enable_auto_commit=False, max_partition_fetch_bytes=8 << 20)
    partitions = [TopicPartition("events", p) for p in range(PARTITIONS)]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    seen, size, started = 0, 0, time.perf_counter()
    while seen < count:
        for records in consumer.poll(timeout_ms=1000, max_records=20_000).values():
            seen += len(records)
            size += sum(len(r.value) for r in records)
    took = time.perf_counter() - started
    consumer.close()
    return seen / took


def _fetch_confluent(kafka: Kafka, count: int) -> float:
    from confluent_kafka import TopicPartition

    from monitor.sources.kafka_confluent import DEFAULTS

    settings = {**DEFAULTS, "bootstrap.servers": kafka.bootstrap, "group.id": "fetch", "auto.offset.reset": "earliest"}
    consumer = Consumer(settings)
    consumer.assign([TopicPartition("events", p, 0) for p in range(PARTITIONS)])
    seen, size, started = 0, 0, time.perf_counter()
    while seen < count:
        values = [m.value() for m in consumer.consume(20_000, 1.0) if m.error() is None]
        seen += len(values)
        size += sum(map(len, values))
    took = time.perf_counter() - started
    consumer.close()
    return seen / took


def decode_alone(values: list[bytes]) -> float:
    """Events/s of pyarrow.json on the same bytes, under the same schema."""
    schema = pa.schema(
        [
            ("event_id", pa.string()), ("ts", pa.int64()), ("model", pa.string()), ("version", pa.string()),
            ("features", pa.struct([(n, pa.float64()) for n in events.NUMERIC] + [(n, pa.string()) for n in events.CATEGORICAL])),
            ("prediction", pa.struct([("label", pa.string()), ("score", pa.float64())])),
            ("latency_ms", pa.float64()), ("status", pa.string()),
        ]
    )  # fmt: skip
    rates = []
    for _ in range(3):
        rows, started = 0, time.perf_counter()
        for at in range(0, len(values), 20_000):
            joined = b"\n".join(values[at : at + 20_000])
            options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
            rows += pj.read_json(pa.BufferReader(joined), parse_options=options).num_rows
        rates.append(rows / (time.perf_counter() - started))
    return statistics.median(rates)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of all that it started, also of children that have ended."""
    total = 0.0
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def daemon(
    kafka: Kafka, postgres: Postgres, count: int, with_labels: bool, client: str, group: str, also: str
) -> dict[str, float]:  # fmt: skip
    """Events/s of the daemon from its first assignment until all offsets are committed; its peak memory.

    cpu_*: microseconds of CPU an event, of the daemon, the broker and the database meanwhile.
    """
    url = postgres.url(postgres.new_database())
    folder = Path(tempfile.mkdtemp(prefix="driftd-bench-"))
    features = {**dict.fromkeys(events.NUMERIC, "numeric"), **dict.fromkeys(events.CATEGORICAL, "category")}
    labels = (
        f'  - {{name: labels, type: kafka, carries: labels, topics: [labels], bootstrap_servers: "{kafka.bootstrap}", '
        f'group: "{group}", client: {client}}}'
    )
    text = CONFIG.format(
        store=url, kafka=kafka.bootstrap, group=group, client=client, labels=labels if with_labels else "",
        task="binary" if with_labels else "none", positive="positive_label: default" if with_labels else "",
        features=json.dumps(features), also=also,
    )  # fmt: skip
    (folder / "c.yaml").write_text(text)
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor.cli", "run", "-c", str(folder / "c.yaml")], stdout=out, stderr=out, cwd=ROOT
        )
    assert kafka.process is not None and postgres.process is not None
    pids = {"daemon": process.pid, "broker": kafka.process.pid, "database": postgres.process.pid}
    before = spent = dict.fromkeys(pids, 0.0)
    peak = 0.0
    started = ended = 0.0
    store: Any = None
    wanted = count * (2 if with_labels else 1)
    deadline = time.monotonic() + 600
    try:
        while time.monotonic() < deadline and process.poll() is None:
            peak = max(peak, psutil.Process(process.pid).memory_info().rss / 1e6)
            if not started and '"assigned"' in log.read_text():
                started = time.perf_counter()
                before = {name: cpu_seconds(pid) for name, pid in pids.items()}
            if started:
                store = store or open_store(url, read_only=True)
                done = sum(max(0, r["next_offset"]) for r in store.rows(cursor.select()))
                if done >= wanted:
                    ended = time.perf_counter()
                    spent = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
                    break
            time.sleep(0.05)
        assert ended, log.read_text()[-3000:]
        process.terminate()
        process.wait(30)
    finally:
        process.kill()
        if store is not None:
            store.close()
    shutil.rmtree(folder, ignore_errors=True)
    found = {"events_per_s": count / (ended - started), "seconds": ended - started, "peak_rss_mb": peak}
    return found | {f"cpu_{name}": seconds / count * 1e6 for name, seconds in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=3_000_000)
    parser.add_argument("--labels", action="store_true")
    parser.add_argument("--also", default="", help="a line of the model's config: runs without and with it take turns")
    parser.add_argument("--client", default="confluent")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    two_cores()
    made = events.columns(arguments.events)
    kafka, postgres = Kafka(heap="1g"), Postgres()
    try:
        produce(kafka, "events", chain.from_iterable(events.messages(piece) for piece in events.pieces(made)))
        if arguments.labels:
            produce(kafka, "labels", chain.from_iterable(events.labels(piece) for piece in events.pieces(made)))
        values = list(chain.from_iterable(events.messages(p) for p in islice(events.pieces(made), 2)))
        del made
        fetch = statistics.median(fetch_alone(kafka, arguments.events, arguments.client) for _ in range(3))
        decode = decode_alone(values)
        print(f"bytes an event      {statistics.mean(map(len, values[:1000])):12.0f}")
        print(f"fetch alone         {fetch:12,.0f} events/s ({arguments.client})")
        print(f"decode alone        {decode:12,.0f} events/s (pyarrow.json)")
        wanted = dict.fromkeys(["", arguments.also])
        found: dict[str, list[dict[str, float]]] = {also: [] for also in wanted}
        for run in range(arguments.runs):
            for also in wanted:
                group = f"g{run}-{len(also)}"
                one = daemon(kafka, postgres, arguments.events, arguments.labels, arguments.client, group, also)
                found[also].append(one)
                cpu = ", ".join(f"{name} {one['cpu_' + name]:.2f}" for name in ("daemon", "broker", "database"))
                print(
                    f"run {run + 1}               {one['events_per_s']:12,.0f} events/s, peak {one['peak_rss_mb']:.0f} MB, "
                    f"CPU us an event: {cpu} {also}",
                    flush=True,
                )
        for also, runs in found.items():
            rate = statistics.median(f["events_per_s"] for f in runs)
            spent = statistics.median(sum(f[f"cpu_{name}"] for name in ("daemon", "broker", "database")) for f in runs)
            print(
                f"driftd              {rate:12,.0f} events/s (median), {rate / min(fetch, decode):.2f} of the ceiling, "
                f"CPU {spent:.2f} us an event {also}"
            )
    finally:
        kafka.close()
        postgres.close()


if __name__ == "__main__":
    main()
