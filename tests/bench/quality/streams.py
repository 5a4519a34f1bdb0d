"""Delay and false alarms of the stream detectors on seeded drift streams, beside River's. `python -m tests.bench.quality.streams`

A model's errors over River's SEA, Agrawal, rotating hyperplane and sine, with sudden, gradual, incremental and recurring
drift (tests/drift_streams.py), five seeds each, and long streams of the same concepts without drift. A change counts as
found by the first firing before the next change; firings before the first change, and all on streams without drift,
are false.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console
from rich.table import Table
from river import drift

from detectors.stream import STREAM_DETECTORS
from tests.drift_streams import GENERATORS, KINDS, error_stream

SEEDS = (1, 2, 3, 4, 5)
CALM_ROWS = 20_000


def _river() -> dict[str, Callable[[], object]]:
    binary = drift.binary
    return {
        "adwin": drift.ADWIN, "ddm": binary.DDM, "eddm": binary.EDDM, "hddm_a": binary.HDDMA, "hddm_w": binary.HDDMW,
        "page_hinkley": drift.PageHinkley, "kswin": lambda: drift.KSWIN(seed=0),
    }  # fmt: skip


@dataclass
class Tally:
    delays: list[int] = field(default_factory=list)
    changes: int = 0
    false: int = 0
    calm_rows: int = 0
    seconds: float = 0.0
    rows: int = 0

    def take(self, fired: list[int], changes: tuple[int, ...], rows: int, seconds: float) -> None:
        self.rows, self.seconds = self.rows + rows, self.seconds + seconds
        first = changes[0] if changes else rows
        self.calm_rows += first
        self.false += sum(i < first for i in fired)
        for change, until in zip(changes, [*changes[1:], rows][: len(changes)], strict=True):
            self.changes += 1
            found = [i - change for i in fired if change <= i < until]
            self.delays += found[:1]


def streams(seeds: tuple[int, ...] = SEEDS) -> list[tuple[np.ndarray, tuple[int, ...]]]:
    found = [(s.errors, s.changes) for g in GENERATORS for k in KINDS for seed in seeds for s in [error_stream(g, k, 4000, seed)]]
    rng = np.random.default_rng(3)
    found += [((rng.random(CALM_ROWS) < rate).astype(float), ()) for rate in (0.02, 0.05, 0.1, 0.2, 0.3)]
    return found


def of_river(make: Callable[[], object], errors: np.ndarray) -> list[int]:
    detector, fired = make(), []
    for i, x in enumerate(errors.astype(int).tolist()):
        detector.update(x)  # type: ignore[attr-defined]
        if detector.drift_detected:  # type: ignore[attr-defined]
            fired.append(i)
    return fired


def main(seeds: tuple[int, ...] = SEEDS) -> None:
    all_streams = streams(seeds)
    table = Table(title=f"stream detectors on {len(all_streams)} streams")
    for column in ("detector", "changes found", "delay, median", "delay, 90 %", "false / 10,000 rows", "River: found", "delay",
                   "false", "same rows", "M rows/s", "River"):  # fmt: skip
        table.add_column(column, justify="left" if column == "detector" else "right")
    river = _river()
    for name in sorted(STREAM_DETECTORS):
        ours, theirs, same = Tally(), Tally(), 0
        for errors, changes in all_streams:
            start = time.perf_counter()
            fired = STREAM_DETECTORS[name]().update(errors).fired.tolist()
            ours.take(fired, changes, len(errors), time.perf_counter() - start)
            if name in river and not (name == "kswin" and len(errors) > 4000):
                start = time.perf_counter()
                other = of_river(river[name], errors)
                theirs.take(other, changes, len(errors), time.perf_counter() - start)
                same += other == fired
        table.add_row(name, *_cells(ours), *(_cells(theirs, short=True) if theirs.rows else ("", "", "")),
                      f"{same}/{len(all_streams)}" if theirs.rows else "", _speed(ours), _speed(theirs))  # fmt: skip
    Console(width=170).print(table)


def _cells(t: Tally, short: bool = False) -> tuple[str, ...]:
    median = f"{np.median(t.delays):.0f}" if t.delays else "-"
    found, false = f"{len(t.delays)}/{t.changes}", f"{10_000 * t.false / t.calm_rows:.2f}"
    return (found, median, false) if short else (found, median, f"{np.quantile(t.delays, 0.9):.0f}" if t.delays else "-", false)


def _speed(t: Tally) -> str:
    return f"{t.rows / t.seconds / 1e6:.3f}" if t.seconds else ""


if __name__ == "__main__":
    main()
