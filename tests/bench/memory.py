"""How much memory one open pane of many features and segments takes, measured: `python -m tests.bench.memory`.

A process of its own for each case: the pane is filled through Pane.add with normal, lognormal and whole numbers, one feature in
five a category; what the process then holds more than before the first row (resident, after a collection) is the pane. The
limit is that of 1,000 features by 100 segments: 2 GB, a checkpoint's bytes included. 1,000 rows a segment fill nearly all
cells that a summary may have. Exit 1 where a case is over it.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import time

import numpy as np
import psutil

from detectors.columns import Columns, DictColumn, Schema
from detectors.profile import Profile
from monitor.model import Model
from monitor.panes import Pane

LIMIT_BYTES = 2 * 10**9
BATCH = 20_000
CASES = {"built": "with a built reference", "learned": "without one"}


def columns_of(rng: np.random.Generator, rows: int, schema: Schema) -> Columns:
    """Rows of every shape: normal, heavy-tailed and whole numbers, categories of 50 values."""
    numeric = {}
    for i, name in enumerate(schema.numeric):
        values = rng.normal(size=rows)
        numeric[name] = (values, np.exp(values), np.floor(100 * np.abs(values)))[i % 3]
    names = [f"value-{i}" for i in range(50)]
    categorical = {name: DictColumn(rng.integers(0, 50, rows).astype(np.int32), names) for name in schema.categorical}
    label = DictColumn(rng.integers(0, 2, rows).astype(np.int32), ["0", "1"])
    return Columns(rows, numeric, categorical, rng.random(rows), label, rng.lognormal(3, 1, rows), np.zeros(rows, dtype=np.bool_))


def schema_of(features: int) -> Schema:
    names = [f"f{i}" for i in range(features)]
    return Schema(tuple(n for i, n in enumerate(names) if i % 5), tuple(n for i, n in enumerate(names) if i % 5 == 0))


def measure(case: str, features: int, segments: int, rows: int) -> str:
    """Fill a pane in this process and say what it takes."""
    rng = np.random.default_rng(1)
    schema = schema_of(features)
    profiles = {"r": Profile.build(columns_of(rng, 20_000, schema), schema, "r")} if case == "built" else {}
    model = Model("m", schema, 60_000, 60_000, 0, segment_limit=segments, profiles=profiles, active_profile="r" if profiles else "")
    columns_of(rng, BATCH, schema)
    gc.collect()
    process = psutil.Process()
    before, pane, begun = process.memory_info().rss, Pane(model.active_profile), time.perf_counter()
    for _ in range(max(1, rows // BATCH)):
        columns = columns_of(rng, BATCH, schema)
        version = DictColumn(np.zeros(BATCH, dtype=np.int32), ["1"])
        segment = DictColumn(rng.integers(0, segments, BATCH).astype(np.int32), [f"s{i}" for i in range(segments)])
        pane.add(model, version, {"channel": segment}, columns)
    del columns
    seconds = time.perf_counter() - begun
    gc.collect()
    held = process.memory_info().rss - before
    stored = pane.to_bytes()
    at_checkpoint = process.memory_info().rss - before
    return f"{held} {at_checkpoint} {len(pane.groups)} {seconds:.0f} {len(stored)}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--features", type=int, default=1000)
    parser.add_argument("--segments", type=int, default=100)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--case", choices=CASES)
    args = parser.parse_args()
    if args.case:
        print(measure(args.case, args.features, args.segments, args.rows))
        return
    print(f"{args.features} features, {args.segments} segments and all rows together, {args.rows} rows in one open pane")
    over = False
    for case, text in CASES.items():
        options = [f"--{name}={getattr(args, name)}" for name in ("features", "segments", "rows")]
        run = [sys.executable, "-m", "tests.bench.memory", "--case", case, *options]
        done = subprocess.run(run, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        held, at_checkpoint, groups, seconds, stored = map(int, done.stdout.split())
        share = held / LIMIT_BYTES
        over |= max(held, at_checkpoint) > LIMIT_BYTES
        print(
            f"  {text:24} {held / 1e9:.2f} GB resident, {share:.0%} of the limit, {held / (args.features * groups):,.0f} bytes a "
            f"feature and group; {at_checkpoint / 1e9:.2f} GB with the {stored / 1e6:.0f} MB that a checkpoint writes; "
            f"filled in {seconds} s"
        )
    sys.exit(1 if over else 0)


if __name__ == "__main__":
    main()
