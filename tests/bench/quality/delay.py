"""What the caution of the first days costs: how long drift of one of 55 features waits for its alarm, with and without a season.

    python -m tests.bench.quality.delay [--sizes 500,5000]

Windows of an hour, the daemon's publisher at its default config, against a built and a learned reference. Hours from the
beginning of the drift to the first window with a breach of the feature that drifts; 0 is the first window that has it.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tests.bench.quality.live import Live, model_of
from tests.bench.quality.rows import SEASON, Rows

REFERENCE_ROWS = 20_000
WAIT_HOURS = 48  # after that it was not found


@dataclass(frozen=True)
class Drift:
    """shift: of the first feature, in standard deviations, reached over so many hours (0: at once) from hour `since` on."""

    name: str
    since: int
    shift: float
    over: int = 0

    def at(self, hour: int) -> float:
        if hour < self.since:
            return 0.0
        return self.shift * min(1.0, (hour - self.since + 1) / self.over) if self.over else self.shift


DRIFTS = (
    Drift("at once, hour 0, 0.7", 0, 0.7),
    Drift("at once, hour 0, 4", 0, 4.0),
    Drift("at once, hour 14, 0.7", 14, 0.7),
    Drift("slowly, hours 8 to 20, 0.7", 8, 0.7, 12),
    Drift("at once, hour 40, 0.7", 40, 0.7),
)
Task = tuple[str, int, str, Drift]


def delay_cell(task: Task) -> tuple[Task, int | None]:
    """Hours until the feature is called; None where it was not within WAIT_HOURS."""
    shape, size, reference, drift = task
    rows = Rows(shape, size, 3)
    live = Live(model_of(rows, REFERENCE_ROWS if reference == "built" else 0))
    for hour in range(drift.since + WAIT_HOURS):
        rows.shift = drift.at(hour)
        found = live.publish(rows, hour)
        if hour >= drift.since and any(s.subject == "f00" and s.level == "breach" for s in found):
            return task, hour - drift.since
    return task, None


def delay_table(workers: int, sizes: tuple[int, ...], drifts: tuple[Drift, ...] = DRIFTS) -> None:
    table = Table(title="hours until drift is called; in standard deviations", title_justify="left")
    names = [(shape, reference) for shape in ("gaussian", SEASON) for reference in ("built", "learned")]
    for name in ("drift", "rows a window", *(f"{shape}, {reference}" for shape, reference in names)):
        table.add_column(name, justify="left" if name == "drift" else "right")
    tasks = [(s, n, r, d) for n in sizes for d in drifts for s, r in names if not (r == "learned" and d.since == 0)]
    found: dict[Task, int | None] = {}
    with ProcessPoolExecutor(workers) as pool:
        for task, hours in pool.map(delay_cell, tasks):
            found[task] = hours
            print(*task[:3], task[3].name, hours, flush=True)
    for size in sizes:
        for drift in drifts:
            cells = [found.get((s, size, r, drift), "") for s, r in names]
            table.add_row(drift.name, f"{size:,}", *("over 48" if c is None else str(c) for c in cells))
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--sizes", default="500,5000")
    said = parser.parse_args()
    delay_table(said.workers, tuple(int(s) for s in said.sizes.split(",")))


if __name__ == "__main__":
    main()
