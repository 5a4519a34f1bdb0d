"""What a fault test stands on: a log in Kafka, an empty database, a hook, and the oracle of one calm replay."""

from __future__ import annotations

import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from monitor.store import open_store
from tests.faults import config, traffic
from tests.faults.daemon import ROOT, Daemon
from tests.faults.hook import Hook
from tests.servers.ports import wait_for


class World:
    """One seeded log, produced into topics of its own."""

    def __init__(
        self, folder: Path, kafka: Any, store_url: str, events: int, partitions: int = 4, seed: int = 1, hook: Hook | None = None,
        **settings: Any,
    ) -> None:  # fmt: skip
        self.folder, self.kafka, self.url = folder, kafka, store_url
        tag = uuid.uuid4().hex[:8]
        self.topics = {"events": f"events-{tag}", "labels": f"labels-{tag}"}
        self.hook = hook or Hook()
        self.settings = {**self.topics, "group": f"g-{tag}", "hook_port": self.hook.port, **settings}
        self.records = [
            traffic.Record(self.topics[r.topic], r.partition, r.ts_ms, r.value)
            for r in traffic.make(events, partitions, seed=seed, span_ms=settings.get("span_ms", 1_200_000))
        ]
        self.settings.pop("span_ms", None)
        for topic in self.topics.values():
            kafka.create(topic, partitions)
        self.produced = 0
        self.producer = kafka.producer()
        self.daemons: list[Daemon] = []

    def produce(self, count: int | None = None) -> None:
        """Produce the next `count` records, all that are left by default, and wait until the broker has them."""
        end = len(self.records) if count is None else min(len(self.records), self.produced + count)
        for record in self.records[self.produced : end]:
            while True:
                try:
                    self.producer.produce(record.topic, record.value, partition=record.partition, timestamp=record.ts_ms)
                    break
                except BufferError:
                    self.producer.poll(0.1)
        self.producer.flush(60)
        self.produced = end

    def daemon(self, name: str = "a", **environment: str) -> Daemon:
        path = config.write(self.folder / f"{name}.yaml", config.text(self.url, self.kafka.bootstrap, **self.settings))
        made = Daemon(path, self.folder / f"{name}.log", **environment)
        self.daemons.append(made)
        return made

    def oracle(self) -> dict[str, Any]:
        """Results of one undisturbed replay of the same log, in a store of its own."""
        folder = self.folder / "oracle"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        traffic.write_dump(traffic.with_offsets(self.records), folder / "log.jsonl")
        url = f"sqlite:///{folder}/oracle.db"
        path = config.write(folder / "c.yaml", config.text(url, self.kafka.bootstrap, **self.settings))
        command = [sys.executable, "-m", "monitor.cli", "replay", str(folder / "log.jsonl"), "-c", str(path)]
        done = subprocess.run(command, capture_output=True, cwd=ROOT)
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        return {**config.results(url), "keys": self._keys(url), "counts": self._counts(url)}

    def results(self) -> dict[str, Any]:
        return {**config.results(self.url), "keys": self._keys(self.url), "counts": self._counts(self.url)}

    def _keys(self, url: str) -> set[str]:
        from monitor.store.schema import outbox

        store = open_store(url, read_only=True)
        keys = {r["key"] for r in store.rows(outbox.select())}
        store.close()
        return keys

    def _counts(self, url: str) -> dict[Any, dict[str, int]]:
        store = open_store(url, read_only=True)
        counts = {(k.topic, k.partition): v for k, v in store.counts().items()}
        store.close()
        return counts

    def ends(self) -> dict[tuple[str, int], int]:
        """The offset after the last record of each partition."""
        out: dict[tuple[str, int], int] = {}
        for record in self.records[: self.produced]:
            key = (record.topic, record.partition)
            out[key] = out.get(key, 0) + 1
        return out

    def cursors(self) -> dict[tuple[str, int], int]:
        from monitor.store import StoreError, StoreUnavailable
        from monitor.store.schema import cursor

        try:
            store = open_store(self.url, read_only=True)
        except StoreError:  # no file yet
            return {}
        try:
            return {(r["topic"], r["part"]): r["next_offset"] for r in store.rows(cursor.select())}
        except (StoreError, StoreUnavailable):  # not migrated yet, or away
            return {}
        finally:
            store.close()

    def wait_read(self, seconds: float = 120.0) -> None:
        """Until every produced record is in the store."""
        wait_for(lambda: self._covers(self.cursors()), seconds, "all records to be in the store")

    def _covers(self, cursors: dict[tuple[str, int], int]) -> bool:
        return all(cursors.get(key, -1) >= end for key, end in self.ends().items())

    def wait_published(self, oracle: dict[str, Any], seconds: float = 100.0) -> None:
        """Until results equal the oracle's; fails with the differences."""
        last: list[str] = ["nothing was read"]

        def equal() -> bool:
            last[:] = config.differences(self.results(), oracle)
            return not last

        try:
            wait_for(equal, seconds, "the results to equal the oracle's")
        except AssertionError:
            raise AssertionError("results differ from the replay's:\n" + "\n".join(last)) from None

    def wait_delivered(self, seconds: float = 120.0) -> None:
        """Until no notification waits."""

        def idle() -> bool:
            store = open_store(self.url, read_only=True)
            counts = store.outbox.counts()
            store.close()
            return counts.get("due", 0) == 0

        wait_for(idle, seconds, "all notifications to be delivered")

    def balanced(self) -> list[str]:
        """I2: of every partition, consumed = accepted + labels + each reason."""
        wrong = []
        for key, counts in self._counts(self.url).items():
            parts = {k: v for k, v in counts.items() if k not in ("consumed", "messages", "label_expired")}
            if counts.get("consumed", 0) != sum(parts.values()):
                wrong.append(f"{key}: consumed {counts.get('consumed')} != {parts}")
        return wrong

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.kill()
        self.hook.close()
