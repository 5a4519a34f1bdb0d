"""Alarms that keep their promise: windows in which nothing changes, then the smallest change that is found.

    python -m tests.bench.quality.alarms null  [--windows 2000] [--peer-windows 40]
    python -m tests.bench.quality.alarms power [--windows 40]

null: 50 features, as many windows of each size, all shapes together; windows of an hour at the default config (one false alarm a week), over all shapes and sizes; false
alarms per model-week, beside the peers' defaults on rows of the same streams. The daily season is judged after four
weeks of past windows. power: the smallest shift of one of ten features that nine of ten windows show, where every tool's
limit is set so that the model as a whole alarms by chance in as many windows as driftd's default does.
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
from tests.bench.quality.null_streams import HOUR_MS, SHAPES, START_MS, Stream, hour_of

SIZES = (50, 500, 5_000, 50_000)
WEEK_HOURS = 168
REFERENCES = 5  # each stream is made so often, with a reference of its own: an unlucky one says little
SEASON_WEEKS = 4
LISTENED = ("js", "rank_shift", "missing_share", "drift")
JUDGED = Choice(default=("js", "rank_shift"))  # what is judged by default; the other scores are not computed here


def reference_rows(size: int) -> int:
    return max(20_000, 2 * size)


def alarms(findings: list[Finding]) -> bool:
    return any(f.level == "breach" and f.score.name in LISTENED for f in findings)


def null_of(shape: str, size: int, windows: int, seed: int) -> int:
    """Windows that alarm of so many in which nothing changes."""
    stream = Stream(shape, size, reference_rows(size), seed)
    season = shape == "daily season"
    model = replace(model_of(stream), statistics=JUDGED)  # past windows count, as by default
    memory, found = Memory(), 0
    first = SEASON_WEEKS * WEEK_HOURS if season else 0
    for number in range(first + windows):
        at = START_MS + number * HOUR_MS
        result = judged_window(model, memory, stream.window(hour_of(number)), at)
        found += alarms(result) and number >= first
    return found


def peers_null(shape: str, size: int, windows: int, seed: int) -> dict[str, float]:
    """Shares of windows that alarm; NaN for a peer that is not installed."""
    from tests.bench.quality.peers import PEERS

    stream = Stream(shape, size, reference_rows(size), seed)
    rows = [stream.rows(size, [hour_of(i)]) for i in range(windows)]
    out = {}
    for name, peer in PEERS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = peer(stream.reference, rows)
            out[name] = float(np.mean([max(w.values()) >= 1.0 for w in found]))
        except ImportError:
            out[name] = float("nan")
    return out


def null_cell(task: tuple[str, int, int, int]) -> tuple[str, int, int, int, dict[str, float]]:
    shape, size, windows, peer_windows = task
    references = 1 if shape == "daily season" else REFERENCES  # four weeks go before each
    each = -(-windows // references)
    found = sum(null_of(shape, size, each, seed) for seed in range(references))
    peers = peers_null(shape, size, max(4, min(peer_windows, 200_000 // size)), 99) if peer_windows else {}
    return shape, size, found, each * references, peers


def null_table(windows: int, peer_windows: int, workers: int, sizes: tuple[int, ...], shapes: list[str]) -> None:
    from tests.bench.quality.peers import PEERS

    each = -(-windows // len(shapes)) if windows else 0
    table = Table(title="false alarms per model-week, 50 features, one a week is meant", title_justify="left")
    for name in ("stream", "rows a window", "windows", "driftd", *PEERS):
        table.add_column(name, justify="left" if name == "stream" else "right")
    total = [0, 0]
    with ProcessPoolExecutor(workers) as pool:
        for shape, size, found, n, peers in pool.map(null_cell, [(sh, si, each, peer_windows) for sh in shapes for si in sizes]):
            total[0] += found
            total[1] += n
            rates = [f"{peers[p] * WEEK_HOURS:.0f}" if peers.get(p, np.nan) == peers.get(p) else "-" for p in PEERS]
            table.add_row(shape, f"{size:,}", str(n), f"{found / n * WEEK_HOURS:.2f}", *rates)
            print(f"{shape} {size}: {found} of {n} windows, {found / n * WEEK_HOURS:.2f} a week; peers {peers}", flush=True)
    table.add_row("all", "", str(total[1]), f"{total[0] / total[1] * WEEK_HOURS:.2f}", *[""] * len(PEERS))
    Console(width=110).print(table)


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
    parser.add_argument("what", choices=["null", "power"])
    parser.add_argument("--windows", type=int)
    parser.add_argument("--peer-windows", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--shapes", default=",".join(SHAPES))
    said = parser.parse_args()
    sizes, shapes = tuple(int(s) for s in said.sizes.split(",")), said.shapes.split(",")
    if said.what == "null":
        null_table(said.windows or 2000, said.peer_windows, said.workers, sizes, shapes)
    else:
        calm = [shape for shape in shapes if shape != "daily season"]
        power_table(said.windows or 40, said.workers, tuple(s for s in sizes if s <= 5_000), calm)


if __name__ == "__main__":
    main()
