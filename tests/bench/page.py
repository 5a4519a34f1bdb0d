"""The built-in page over 100 models and a million score rows on PostgreSQL: first paint, and the fleet's table, in milliseconds.

python -m tests.bench.page [--rows 1000000]
"""

from __future__ import annotations

import argparse
import statistics
import time

from sqlalchemy import text

from detectors.columns import Schema
from monitor.health import Health
from monitor.metrics import Metrics
from monitor.model import Model
from monitor.store import open_store
from monitor.web import Access, Shown, WebServer
from tests.servers.chromium import Chromium
from tests.servers.postgres import Postgres

MODELS, SUBJECTS, SCORES = 100, 50, 10
NOW_MS = 1_790_000_000_000
FILL = (
    """INSERT INTO model_window SELECT 'm' || lpad(m::text, 3, '0'), :first + w * 60000, :first + (w + 1) * 60000, 1, 1000, 900, 0, 'r', 'h',
    '{}', :first FROM generate_series(1, :models) m, generate_series(1, :windows) w""",
    """INSERT INTO score (model, window_start_ms, version, segment, subject, score, window_end_ms, revision, value, rows, reference,
    threshold, level) SELECT 'm' || lpad(m::text, 3, '0'), :first + w * 60000, '1', '', 'f' || f,
    (ARRAY['drift','psi','ks','js','mean','std','min','max','p50','count'])[s], :first + (w + 1) * 60000, 1, random(), 1000, 'r', 0.9,
    CASE WHEN random() < 0.01 THEN 'breach' ELSE 'ok' END
    FROM generate_series(1, :models) m, generate_series(1, :windows) w, generate_series(1, :subjects) f, generate_series(1, :scores) s""",
)  # fmt: skip
PAINT = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    windows = max(1, arguments.rows // (MODELS * SUBJECTS * SCORES))
    postgres, chromium = Postgres(), Chromium()
    store = open_store(postgres.url(postgres.new_database()))
    try:
        store.migrate()
        values = {"models": MODELS, "windows": windows, "subjects": SUBJECTS, "scores": SCORES, "first": NOW_MS}
        with store.engine.begin() as conn:
            for statement in FILL:
                conn.execute(text(statement), {k: v for k, v in values.items() if f":{k}" in statement})
        with store.engine.begin() as conn:
            conn.execute(text("ANALYZE"))
        models = {f"m{i:03d}": Model(f"m{i:03d}", Schema((), ()), 60_000, 60_000, 0) for i in range(1, MODELS + 1)}
        server = WebServer("127.0.0.1:0", Metrics(), Health(), None, Access(), 10_000, Shown(store, models, {}, lambda: NOW_MS))
        server.start()
        for name, place in (("fleet", "/"), ("model", "/models/m042"), ("feature", "/models/m042/features/f7")):
            paints, wholes = [], []
            for _ in range(5):
                chromium.driver.get("about:blank")
                started = time.perf_counter()
                chromium.driver.get(server.address + place)
                while chromium.driver.find_element("id", "main").get_attribute("aria-busy") != "false":
                    time.sleep(0.005)
                wholes.append((time.perf_counter() - started) * 1000)
                paints.append(chromium.driver.execute_script(PAINT) or wholes[-1])
            print(f"{name:8} first paint {statistics.median(paints):6.0f} ms, all data shown {statistics.median(wholes):6.0f} ms")
        server.stop()
    finally:
        store.close()
        chromium.close()
        postgres.close()


if __name__ == "__main__":
    main()
