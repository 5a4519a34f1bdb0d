"""Replay of a parquet file up to closed windows, in rows a second.

python -m tests.bench.replay [--rows 3000000]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from monitor.app import bound_memory
from monitor.config import parse_config
from monitor.files import replay_batches
from monitor.replay import replay
from monitor.runtime import build_engine, build_models, decode_settings
from monitor.store import open_store
from tests.bench import events
from tests.bench.stream import two_cores

CONFIG = """
models:
  - name: credit
    task: none
    features: {features}
    window: {{size: 10s, allowed_lateness: 2s}}
    reference: {{first_windows: 2}}
    dedup: {{enabled: {dedup}, horizon: 5s}}
"""


def once(path: Path, folder: Path, dedup: bool) -> float:
    features = {**dict.fromkeys(events.NUMERIC, "numeric"), **dict.fromkeys(events.CATEGORICAL, "category")}
    cfg = parse_config(CONFIG.format(features=json.dumps(features), dedup=str(dedup).lower()), "bench")
    store = open_store(f"sqlite:///{folder}/{time.time_ns()}.db")
    store.migrate()
    models = build_models(cfg, store)
    started = time.perf_counter()
    pieces, total = replay_batches(path, None, cfg, decode_settings(cfg, models), None)
    report = replay(pieces, build_engine(cfg, models, ("replay",)), store, 1)
    took = time.perf_counter() - started
    store.close()
    assert report.windows > 3 and total
    return total / took


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=3_000_000)
    arguments = parser.parse_args()
    two_cores()
    bound_memory()
    with tempfile.TemporaryDirectory(prefix="driftd-bench-") as name:
        folder = Path(name)
        made = events.columns(arguments.rows, per_second=30_000)
        made.pop("truth")
        path = folder / "events.parquet"
        pq.write_table(pa.table(made), path)
        del made
        started = time.perf_counter()
        rows = sum(b.num_rows for b in pq.ParquetFile(path).iter_batches(131_072))
        print(f"reading alone            {rows / (time.perf_counter() - started):12,.0f} rows/s")
        for dedup in (True, False):
            rate = statistics.median(once(path, folder, dedup) for _ in range(3))
            print(f"replay, dedup {'on ' if dedup else 'off'}        {rate:12,.0f} rows/s")


if __name__ == "__main__":
    main()
