"""Faults of time and input: idle and lagging partitions, batch sizes, channels that misbehave, a full disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import event as sqlalchemy_event

import monitor.files
from monitor.config import parse_config
from monitor.events import REASONS
from monitor.files import replay_batches
from monitor.replay import replay
from monitor.runtime import build_engine, build_models, decode_settings
from monitor.store import StoreUnavailable, open_store
from tests.faults import config, traffic
from tests.faults.hook import Hook
from tests.faults.test_exactly_once import hold, make, settle
from tests.servers.ports import wait_for


@pytest.mark.timeout(300)
def test_a_silent_and_a_lagging_partition(tmp_path, kafka, postgres):
    """Faults 21 and 22: a partition without a message, and one whose backlog comes when the others are idle."""
    world = make(tmp_path, kafka, postgres, 16_000, idle="2s")
    try:
        world.records = [r for r in world.records if r.partition != 3]
        lagging = [r for r in world.records if r.partition == 2]
        world.records = [r for r in world.records if r.partition != 2] + lagging
        oracle = world.oracle()
        daemon = world.daemon()
        daemon.start()
        world.produce(len(world.records) - len(lagging))
        wait_for(lambda: len(daemon.events("published")) >= 15, 60, "windows, though partitions 2 and 3 are silent")
        settle(world, oracle)
        assert daemon.stop() == 0
        hold(world, oracle)
    finally:
        world.close()


@pytest.mark.timeout(300)
def test_channels_that_misbehave(tmp_path, kafka, postgres):
    """Fault 28: down, 429, 500, slow, reset after the body: each key at least once, one body, in order of its group."""
    hook = Hook(script=[500, 429, "reset", "slow", 503])
    world = make(tmp_path, kafka, postgres, 6_000, hook=hook)
    try:
        oracle = world.oracle()
        daemon = world.daemon()
        daemon.start()
        settle(world, oracle)
        assert daemon.stop() == 0
        hold(world, oracle)
        assert hook.script == []
        store = open_store(world.url, read_only=True)
        from monitor.store.schema import outbox

        written = [r["key"] for r in store.rows(outbox.select().order_by(outbox.c.seq))]
        store.close()
        first = list(dict.fromkeys(hook.order))
        assert first == [k for k in written if k in set(first)]
    finally:
        world.close()


def replayed(folder: Path, records, lines: int, checkpoint_rows: int, slide: str = "1m"):
    folder.mkdir()
    traffic.write_dump(traffic.with_offsets(records), folder / "log.jsonl")
    url = f"sqlite:///{folder}/r.db"
    cfg = parse_config(config.text(url, slide=slide), "test")
    store = open_store(url)
    store.migrate()
    store.label_wait_ms = {m.name: m.labels.wait_ms for m in cfg.models}
    models = build_models(cfg, store)
    before, monitor.files.LINES = monitor.files.LINES, lines
    try:
        pieces, _ = replay_batches(folder / "log.jsonl", None, cfg, decode_settings(cfg, models), None)
        replay(pieces, build_engine(cfg, models), store, 1, checkpoint_rows)
    finally:
        monitor.files.LINES = before
    counts = store.counts()
    store.close()
    return config.results(url), counts


@pytest.mark.timeout(300)
@pytest.mark.parametrize("slide", ["1m", "20s"])
def test_results_do_not_depend_on_how_batches_are_cut(tmp_path, slide):
    """Fault 35, for tumbling and sliding windows; I2 and fault 26: everything consumed is accounted for."""
    records = traffic.make(2_500, 3, span_ms=600_000, seed=9)
    whole, counts = replayed(tmp_path / "whole", records, 10**9, 10**9, slide)
    for lines, rows in ((1, 50), (7, 100), (500, 500)):
        cut, cut_counts = replayed(tmp_path / str(lines), records, lines, rows, slide)
        assert config.differences(whole, cut) == []
        assert cut_counts == counts
    for key, found in counts.items():
        parts = {k: v for k, v in found.items() if k not in ("consumed", "messages", "label_expired")}
        assert found["consumed"] == sum(parts.values()), key
        assert set(parts) <= {*REASONS, "accepted", "labels"}
    reasons = {r for c in counts.values() for r in c}
    assert {
        "undecodable",
        "too_deep",
        "non_finite",
        "wrong_type",
        "missing_field",
        "unknown_model",
        "future",
        "late",
        "duplicate",
    } <= reasons


def test_a_full_disk_loses_nothing(tmp_path):
    """Fault 15: SQLite refuses to grow, in the middle; when there is room again the same checkpoint goes through."""
    records = traffic.make(1_500, 2, span_ms=300_000, seed=3)
    whole, _ = replayed(tmp_path / "whole", records, 10**9, 10**9)
    folder = tmp_path / "full"
    folder.mkdir()
    traffic.write_dump(traffic.with_offsets(records), folder / "log.jsonl")
    url = f"sqlite:///{folder}/r.db"
    cfg = parse_config(config.text(url), "test")
    store = open_store(url)
    store.migrate()
    store.label_wait_ms = {"credit": 10**9}
    limit = [60]

    @sqlalchemy_event.listens_for(store.engine, "begin")
    def bound(connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {limit[0]}")

    models = build_models(cfg, store)
    refused = 0
    original = store.checkpoint

    def insist(cuts, absorb):
        nonlocal refused
        while True:
            try:
                return original(cuts, absorb)
            except StoreUnavailable:
                refused += 1
                limit[0] += 40

    store.checkpoint = insist
    pieces, _ = replay_batches(folder / "log.jsonl", None, cfg, decode_settings(cfg, models), None)
    engine = build_engine(cfg, models)
    limit_at_end = 10**6
    monitor.files.LINES, before = 200, monitor.files.LINES
    try:
        pieces = list(pieces)
    finally:
        monitor.files.LINES = before

    def then_room():
        yield from pieces

    try:
        replay(then_room(), engine, store, 1, 300)
    except StoreUnavailable:  # publishing met the wall: room is made and the rest is published
        limit[0] = limit_at_end
        refused += 1
        replay([], engine, store, 1, 300)
        from monitor.publish import publish_due

        with store.publishing("credit") as tx:
            publish_due(tx, models["credit"], lambda key: True, 1, 0, ended_ms=253_402_300_800_000)
    store.close()
    assert refused > 0
    assert config.differences(whole, config.results(url)) == []
    import sqlite3

    assert sqlite3.connect(f"{folder}/r.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert os.path.getsize(folder / "r.db") > 60 * 4096
