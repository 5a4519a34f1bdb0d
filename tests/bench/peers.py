"""One window of rows by 25 columns against a reference: driftd's drift scores beside those of its peers.

    python -m tests.bench.peers [--rows 1000000] [--reference 100000]

driftd counts the rows into summaries and scores them; the peers are given the same rows as data frames. Each
runs in a process of its own, on two cores, so that peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

NUMERIC, CATEGORICAL = [f"n{i:02d}" for i in range(22)], ["c0", "c1", "c2"]


def data(rows: int, seed: int, shift: float = 0.0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    out: dict[str, Any] = {n: rng.gamma(1 + i % 5, 2.0, rows) + shift * (i == 0) for i, n in enumerate(NUMERIC)}
    out.update({c: rng.choice(["a", "b", "c", "d", "e"], rows) for c in CATEGORICAL})
    return out


def driftd(reference: dict[str, Any], current: dict[str, Any]) -> Callable[[], int]:
    from detectors.columns import Columns, DictColumn, Schema
    from detectors.profile import Profile
    from detectors.scoring import score_window
    from detectors.window import WindowSummary

    schema = Schema(tuple(NUMERIC), tuple(CATEGORICAL))

    def columns(made: dict[str, Any]) -> Columns:
        rows = len(made["n00"])
        nothing = np.full(rows, np.nan)
        categories = {c: DictColumn(*reversed(list(np.unique(made[c], return_inverse=True)))) for c in CATEGORICAL}
        coded = {c: DictColumn(d.codes.astype(np.int32), [str(v) for v in d.values]) for c, d in categories.items()}
        return Columns(
            rows, {n: made[n] for n in NUMERIC}, coded, nothing, DictColumn.missing(rows), nothing, np.zeros(rows, dtype=np.bool_)
        )

    profile = Profile.build(columns(reference), schema, "reference")
    whole = columns(current)

    def run() -> int:
        summary = WindowSummary.empty(schema, profile)
        for at in range(0, whole.rows, 20_000):  # as they come from Kafka
            summary.add(whole.take(slice(at, at + 20_000)))
        return len(score_window(summary, profile, None, 60.0))

    return run


def evidently(reference: dict[str, Any], current: dict[str, Any]) -> Callable[[], int]:
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(numerical_columns=NUMERIC, categorical_columns=CATEGORICAL)
    frames = [Dataset.from_pandas(pd.DataFrame(d), data_definition=definition) for d in (current, reference)]
    return lambda: len(Report([DataDriftPreset()]).run(*frames).dict()["metrics"])


def whylogs(reference: dict[str, Any], current: dict[str, Any]) -> Callable[[], int]:
    import pandas as pd
    import whylogs as why

    frame = pd.DataFrame(current)
    return lambda: len(why.log(frame).view().get_columns())


def nannyml(reference: dict[str, Any], current: dict[str, Any]) -> Callable[[], int]:
    import nannyml as nml
    import pandas as pd

    calculator = nml.UnivariateDriftCalculator(
        column_names=NUMERIC + CATEGORICAL, chunk_number=1,
        continuous_methods=["kolmogorov_smirnov", "jensen_shannon", "wasserstein"], categorical_methods=["chi2", "jensen_shannon"],
    ).fit(pd.DataFrame(reference))  # fmt: skip
    frame = pd.DataFrame(current)
    return lambda: len(calculator.calculate(frame).to_df())


PEERS = {"driftd": driftd, "evidently": evidently, "whylogs": whylogs, "nannyml": nannyml}
AIMS = {"evidently": 60, "whylogs": 25, "nannyml": 5}


def measure(name: str, rows: int, reference_rows: int, times: int) -> None:
    """In a process of its own: print seconds and peak memory as JSON."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    run = PEERS[name](data(reference_rows, 1), data(rows, 2, shift=1.0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    took = []
    for _ in range(times):
        started = time.perf_counter()
        assert run() > 0
        took.append(time.perf_counter() - started)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    print("RESULT " + json.dumps({"seconds": statistics.median(took), "grew_mb": after - before}))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--reference", type=int, default=100_000)
    parser.add_argument("--only")
    arguments = parser.parse_args()
    if arguments.only:
        measure(arguments.only, arguments.rows, arguments.reference, 5 if arguments.only == "driftd" else 1)
        return
    found: dict[str, dict[str, float]] = {}
    for name in PEERS:
        command = [sys.executable, "-m", "tests.bench.peers", "--only", name]
        command += ["--rows", str(arguments.rows), "--reference", str(arguments.reference)]
        done = subprocess.run(command, capture_output=True, text=True)
        line = next((li for li in done.stdout.splitlines() if li.startswith("RESULT ")), None)
        if line is None:
            print(f"{name:10} did not run: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else '?'}")
            continue
        found[name] = json.loads(line.removeprefix("RESULT "))
        ratio = found[name]["seconds"] / found["driftd"]["seconds"]
        aim = f", aim {AIMS[name]}" if name in AIMS else ""
        print(f"{name:10} {found[name]['seconds']:8.3f} s  {found[name]['grew_mb']:8.0f} MB more  {ratio:7.1f} times driftd's{aim}")


if __name__ == "__main__":
    main()
