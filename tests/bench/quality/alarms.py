"""The smallest change that is found, at an equal rate of false alarms.

    python -m tests.bench.quality.alarms [--windows 40]

The smallest shift of one of ten features that nine of ten windows show, where every tool's limit is set so that the model as a
whole alarms by chance in as many windows as driftd's default does. driftd is judged without past windows.
"""

from __future__ import annotations

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from detectors.choice import Choice
from detectors.score import Finding
from tests.bench.quality.driftd import Memory, judged_window, model_of
from tests.bench.quality.null import reference_rows
from tests.bench.quality.null_streams import HOUR_MS, SHAPES, START_MS, Stream, hour_of

LISTENED = ("js", "rank_shift", "missing_share", "drift")
JUDGED = Choice(default=("js", "rank_shift"))  # what is judged by default; the other scores are not computed here


def alarms(findings: list[Finding]) -> bool:
    return any(f.level == "breach" and f.score.name in LISTENED for f in findings)


SHIFTS = (0.02, 0.03, 0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.55, 0.8, 1.1, 1.6)
FEATURES = 10


def power_cell(task: tuple[str, int, int]) -> tuple[str, int, dict[str, float]]:
    """The smallest shift (in standard units of the gaussian, or share of rows) found in nine of ten windows, by tool."""
    from tests.bench.quality.peers import PEERS

    shape, size, windows = task
    stream = Stream(shape, size, reference_rows(size), 7, FEATURES)
    model = replace(model_of(stream, use_past=False), statistics=JUDGED)
    shifts = [s / 4 for s in SHIFTS] if shape == "categories" else list(SHIFTS)
    out: dict[str, float] = {"driftd": float("nan")}
    for shift in shifts:
        hits = sum(alarms(judged_window(model, Memory(), stream.window(i % 24, shift), START_MS)) for i in range(windows))
        if hits >= 0.9 * windows:
            out["driftd"] = shift
            break
    # the peers' limits are moved by one factor each, until the chance that any of the columns alarms is driftd's own
    level = model.calibration.window_level(HOUR_MS)
    calm = [stream.rows(size, [hour_of(i)]) for i in range(240)]
    for name, peer in PEERS.items():
        try:
            out[name] = _peer_power(peer, stream, calm, shifts, windows, level)
        except ImportError:
            out[name] = float("nan")
    return shape, size, out


def _peer_power(peer: Any, stream: Stream, calm: list[Any], shifts: list[float], windows: int, level: float) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        columns = np.array([list(w.values()) for w in peer(stream.reference, calm)])
        # one column's limit for a family of ten: the quantile of all columns, which are of one law
        limit = float(np.quantile(columns, 1.0 - level / FEATURES))
        for shift in shifts:
            moved = [stream.rows(stream.size, [hour_of(i)], shift) for i in range(windows)]
            found = peer(stream.reference, moved)
            if np.mean([w[stream.names[0]] >= limit for w in found]) >= 0.9:
                return shift
    return float("nan")


def power_table(windows: int, workers: int, sizes: tuple[int, ...], shapes: list[str]) -> None:
    from tests.bench.quality.peers import PEERS

    table = Table(title="smallest shift found in nine of ten windows, at an equal rate of false alarms", title_justify="left")
    for name in ("stream", "rows a window", "driftd", *PEERS):
        table.add_column(name, justify="left" if name == "stream" else "right")
    with ProcessPoolExecutor(workers) as pool:
        for shape, size, found in pool.map(power_cell, [(sh, si, windows) for sh in shapes for si in sizes]):
            table.add_row(shape, f"{size:,}", *(f"{found[n]:.3g}" if found[n] == found[n] else "-" for n in ("driftd", *PEERS)))
            print(shape, size, found, flush=True)
    Console(width=110).print(table)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--windows", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sizes", default="50,500,5000")
    parser.add_argument("--shapes", default=",".join(shape for shape in SHAPES if shape != "daily season"))
    said = parser.parse_args()
    power_table(said.windows, said.workers, tuple(int(s) for s in said.sizes.split(",")), said.shapes.split(","))


if __name__ == "__main__":
    main()
