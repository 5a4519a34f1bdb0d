"""How often the daemon alarms where nothing changes, at the default config, beside the peers' defaults on rows of the same streams.

    python -m tests.bench.quality.null [--windows 2000] [--peer-windows 40] [--sizes 50,500] [--shapes gaussian] [--references built] [--every]

Windows of an hour follow each other from the first one on: the first days are in it, the past is on, the daily season is the
strongest of the streams. All scores that are judged by default are: drift of 55 features and of predictions, missing values,
traffic, errors, latency, performance against labels that come with their windows, the detectors of concept drift; and the rules of
the preset with limits of their own. An alarm is a window in which an alert begins to fire.

--every: every statistic is computed, and every score judged that has a null or its own past, within the same one alarm a week,
by one rule that hears them all; what is listed by score are the windows with a breach, under the least likely score of each.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console
from rich.table import Table

from tests.bench.quality.live import Live, every_score, model_of
from tests.bench.quality.rows import HOUR_MS, SEASONS, SHAPES, START_MS, WORDS, Rows

SIZES = (50, 500, 5_000, 50_000)
WEEK_HOURS = 168
REFERENCES = ("built", "learned")
STREAM = 400  # windows of one stream, about: each has a reference of its own
PEER_ROWS = 200_000  # over all windows of a cell: at least four windows


def reference_rows(size: int) -> int:
    return max(20_000, 2 * size)


@dataclass
class Cell:
    """What came of windows of one shape, size and kind of reference."""

    shape: str
    size: int
    reference: str
    windows: int = 0
    alarms: int = 0  # windows in which an alert began to fire
    bad: int = 0  # windows with a breach that a rule hears
    by: Counter[str] = field(default_factory=Counter)  # rule and score of what fired
    least: Counter[str] = field(default_factory=Counter)  # of each window with a breach the least likely score

    @property
    def rate(self) -> float:
        return self.alarms / self.windows * WEEK_HOURS


def null_cell(task: tuple[str, int, str, int, bool]) -> Cell:
    shape, size, reference, windows, every = task
    out = Cell(shape, size, reference)
    streams = 1 if shape in SEASONS else max(1, windows // STREAM)
    each = -(-windows // streams)
    for seed in range(streams):
        rows = Rows(shape, size, seed)
        asked = (every_score(), "{name: every}") if every else ("", "")
        model = model_of(rows, reference_rows(size) if reference == "built" else 0, *asked)
        live, first = Live(model), 0 if reference == "built" else model.first_windows
        for number in range(first + each):
            found = live.publish(rows, number)
            bad = [s for s in found if s.level == "breach" and s.rule.startswith("calibrated")]
            out.bad += bool(bad)
            if bad:
                out.least[min(bad, key=lambda s: float(json.loads(s.evidence)["probability"])).score] += 1
        out.windows += each
        began = {at: f"{rule} {score}" for at, rule, _, score in live.fired if at >= START_MS + first * HOUR_MS}
        out.alarms += len(began)
        out.by.update(began.values())
    return out


def peers_null(task: tuple[str, int, int]) -> tuple[str, int, dict[str, float]]:
    """Shares of windows in which a peer alarms; NaN for one that is not installed."""
    from tests.bench.quality.peers import PEERS

    shape, size, windows = task
    stream = Rows(shape, size, 99)
    hours = stream.rng.integers(0, 168, reference_rows(size))
    reference = _plain(stream, stream.features(len(hours), hours))
    rows = [_plain(stream, stream.features(size, i)) for i in range(max(4, min(windows, PEER_ROWS // size)))]
    out = {}
    for name, peer in PEERS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = peer(reference, rows)
            out[name] = float(np.mean([max(w.values()) >= 1.0 for w in found]))
        except ImportError:
            out[name] = float("nan")
    return shape, size, out


def _plain(stream: Rows, made: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    words = np.array(WORDS)
    return made if stream.numeric else {name: words[codes] for name, codes in made.items()}


def null_table(
    windows: int, peer_windows: int, workers: int, sizes: tuple[int, ...], shapes: list[str], references: list[str] | None = None,
    every: bool = False,
) -> None:  # fmt: skip
    """windows: of each size, all shapes and both kinds of reference together."""
    kinds = references or list(REFERENCES)
    each = -(-windows // (len(shapes) * len(kinds)))
    found: dict[tuple[str, int, str], Cell] = {}
    beside: dict[tuple[str, int], dict[str, float]] = {}
    tasks = [(shape, size, kind, each, every) for size in sizes for shape in shapes for kind in kinds]
    with ProcessPoolExecutor(workers) as pool:
        others = pool.map(peers_null, [(shape, size, peer_windows) for size in sizes for shape in shapes] if peer_windows else [])
        for cell in pool.map(null_cell, tasks):
            found[cell.shape, cell.size, cell.reference] = cell
            print(f"{cell.shape} {cell.size} {cell.reference}: {cell.alarms} alarms in {cell.windows} windows, "
                  f"{cell.bad} windows with a breach; {dict(cell.by)}; {dict(cell.least)}", flush=True)  # fmt: skip
        for shape, size, shares in others:
            beside[shape, size] = shares
    _print(found, beside, sizes, shapes, kinds)


def _print(
    found: dict[tuple[str, int, str], Cell], beside: dict[tuple[str, int], dict[str, float]], sizes: tuple[int, ...],
    shapes: list[str], kinds: list[str],
) -> None:  # fmt: skip
    from tests.bench.quality.peers import PEERS

    table = Table(title="false alarms per model-week at the default config; one a week is meant", title_justify="left")
    for name in ("stream", "rows a window", "windows", *(f"driftd, {kind}" for kind in kinds), *PEERS):
        table.add_column(name, justify="left" if name == "stream" else "right")

    def row(name: str, size: str, cells: list[Cell], shares: dict[str, float]) -> None:
        parts = [[c for c in cells if c.reference == kind] for kind in kinds]
        rates = [f"{sum(c.alarms for c in p) / sum(c.windows for c in p) * WEEK_HOURS:.2f}" for p in parts]
        peers = [f"{shares[p] * WEEK_HOURS:.0f}" if shares.get(p, np.nan) == shares.get(p) else "" for p in PEERS]
        table.add_row(name, size, str(sum(c.windows for c in cells)), *rates, *peers)

    for size in sizes:
        for shape in shapes:
            row(shape, f"{size:,}", [found[shape, size, kind] for kind in kinds], beside.get((shape, size), {}))
        row("all", f"{size:,}", [c for c in found.values() if c.size == size], {})
    row("all", "all", list(found.values()), {})
    Console(width=120).print(table)
    alarms, windows = sum(c.alarms for c in found.values()), sum(c.windows for c in found.values())
    bad = sum(c.bad for c in found.values())
    by = sum((c.by for c in found.values()), Counter[str]())
    print(
        f"{alarms} alarms in {windows} windows, {alarms / windows * WEEK_HOURS:.2f} a week; {bad} windows with a breach; {dict(by)}"
    )
    print(f"windows with a breach, by their least likely score: {dict(sum((c.least for c in found.values()), Counter[str]()))}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--windows", type=int, default=2000)
    parser.add_argument("--peer-windows", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--references", default=",".join(REFERENCES))
    parser.add_argument("--every", action="store_true")
    said = parser.parse_args()
    sizes = tuple(int(s) for s in said.sizes.split(","))
    null_table(said.windows, said.peer_windows, said.workers, sizes, said.shapes.split(","), said.references.split(","), said.every)


if __name__ == "__main__":
    main()
