"""Every panel of the dashboards answers from a real Prometheus and a real PostgreSQL that a real daemon filled."""

from __future__ import annotations

import json
import re
import subprocess
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from dashboards import make
from monitor.store import open_store
from tests.faults.world import World
from tests.servers.prometheus import Prometheus


def test_the_committed_dashboards_are_those_of_the_code():
    assert (Path(make.__file__).parent / "model.json").read_text() == make.render()
    for panel in json.loads(make.render())["panels"]:
        assert panel["title"] and panel["description"] and panel["fieldConfig"]["defaults"]["unit"]


@pytest.mark.timeout(180)
def test_every_query_answers(tmp_path, kafka, postgres):
    world = World(tmp_path, kafka, postgres.url(postgres.new_database()), 8_000)
    prometheus = None
    try:
        daemon = world.daemon()
        daemon.start()
        world.produce(len(world.records) // 2)
        world.wait_read()
        page = daemon.get("/metrics")[1]
        checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        prometheus = Prometheus(daemon.address().removeprefix("http://"))
        time.sleep(2.0)
        world.produce()
        world.wait_read()
        time.sleep(5.0)
        store = open_store(world.url, read_only=True)
        for panel in make.PANELS:
            for target in panel["targets"]:
                if "expr" in target:
                    query = re.sub(r"\[\d+m\]", "[30s]", target["expr"].replace("$model", "credit"))
                    assert prometheus.query(query), f"{panel['title']}: {query} is empty"
                else:
                    query = target["rawSql"].replace("$model", "credit")
                    query = query.replace("$__unixEpochFrom()", "1767225600").replace("$__unixEpochTo()", "1767312000")
                    assert store.rows(text(query)), f"{panel['title']} is empty"
        store.close()
    finally:
        if prometheus is not None:
            prometheus.close()
        world.close()


def test_a_dashboards_query_on_a_million_score_rows_takes_under_50_ms(postgres):
    store = open_store(postgres.url(postgres.new_database()))
    store.migrate()
    with store.engine.begin() as conn:
        conn.execute(
            text(
                """INSERT INTO score (model, window_start_ms, version, segment, subject, score, window_end_ms, revision, value, rows,
                reference, threshold, level) SELECT 'credit', 1767225600000 + w * 60000, '1', '', 'f' || f, s, 0, 1, random(), 100,
                'r', 0.1, 'ok' FROM generate_series(1, 2000) w, generate_series(1, 50) f,
                unnest(ARRAY['psi','ks','js','mean','std','min','max','p50','p95','count']) s"""
            )
        )
    with store.engine.begin() as conn:
        conn.execute(text("ANALYZE score"))
    query = """SELECT window_start_ms / 1000 AS time, value FROM score WHERE model = 'credit' AND segment = '' AND subject = 'f7'
        AND score = 'psi' AND window_start_ms BETWEEN 1767225600000 AND 1767325600000 ORDER BY 1"""
    with store.engine.connect() as conn:
        plans = [conn.execute(text("EXPLAIN (ANALYZE, FORMAT JSON) " + query)).scalar()[0] for _ in range(5)]
    assert sorted(p["Execution Time"] for p in plans)[2] < 50.0
    assert "Seq Scan" not in json.dumps(plans[0])
    store.close()
