"""All scores of all features of a closed window, whatever its rows, and their verdicts: as the publisher computes and judges them.

    python -m tests.bench.scores [--features 50] [--rounds 9]

The window's rows are counted before; what is timed (CPU time) is what the publisher does under the model's lock. Cold: the first
window of a reference, whose nulls are all to be made. New: the first of so many rows, after windows of half of them. Warm: the next
ones of as many rows, others each; at the end, hours of three days whose rows move with the hour, which says how often a window is which. Streams: numeric features as they come, with ties, and
categories whose shares no two features have in common. In the end the ratio to scipy's ks_2samp and wasserstein_distance of
the same columns, on 10,000 rows, in the same process.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import pkgutil
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from detectors import calibrate
from detectors.choice import Choice
from detectors.columns import Columns, DictColumn, Floats, Schema
from detectors.profile import Profile
from detectors.registry import STATISTICS
from detectors.univariate import AUTO
from detectors.window import WindowSummary
from monitor.analysis import inputs
from monitor.budget import AUTOMATIC, Calibration
from monitor.model import Model
from monitor.verdicts import judge_window
from monitor.view import GroupView, WindowView
from tests.bench.quality.driftd import Memory

LIMIT_MS = 50.0


HOUR_MS = 3_600_000
ROWS = (25, 100, 500, 5_000, 100_000, 1_000_000)
REFERENCE_ROWS = 50_000
MADE_ANEW = 10_000  # rows of a window up to which each round has another
CHOICES = {
    "default": (AUTO, Calibration()),
    "every statistic": (Choice(tuple(STATISTICS)), Calibration()),
    "every one judged": (Choice(tuple(STATISTICS)), Calibration(scores=frozenset({*AUTOMATIC, *STATISTICS}))),
}
Make = Callable[[int, int], Columns]  # rows, seed


def as_columns(rows: int, numbers: dict[str, Floats], categories: dict[str, DictColumn]) -> Columns:
    nothing = np.full(rows, np.nan)
    return Columns(rows, numbers, categories, nothing, DictColumn.missing(rows), nothing, np.zeros(rows, dtype=np.bool_))


def mixed(features: int) -> Make:
    """Four fifths numeric, the others of 100 categories."""

    def make(rows: int, seed: int) -> Columns:
        rng = np.random.default_rng(seed)
        few = features // 5
        numbers = {f"n{i}": rng.gamma(1 + i % 5, 2.0, rows) if i % 4 else np.where(rng.random(rows) < 0.4, 0.0, rng.normal(size=rows))
                   for i in range(features - few)}  # fmt: skip
        names = [f"v{i}" for i in range(100)]
        return as_columns(
            rows, numbers, {f"c{i}": DictColumn(rng.integers(0, 100, rows).astype(np.int32), names) for i in range(few)}
        )

    return make


def with_ties(features: int) -> Make:
    zeros = np.random.default_rng(9).uniform(0.1, 0.8, features)

    def make(rows: int, seed: int) -> Columns:
        rng = np.random.default_rng(seed)
        return as_columns(
            rows, {f"n{i}": np.where(rng.random(rows) < z, 0.0, rng.lognormal(size=rows)) for i, z in enumerate(zeros)}, {}
        )

    return make


def categories(features: int, values: int) -> Make:
    shares = np.random.default_rng(9).dirichlet(np.ones(values), features)
    names = [f"v{i}" for i in range(values)]

    def make(rows: int, seed: int) -> Columns:
        rng = np.random.default_rng(seed)
        return as_columns(
            rows, {}, {f"c{i}": DictColumn(rng.choice(values, rows, p=p).astype(np.int32), names) for i, p in enumerate(shares)}
        )

    return make


def forget_nulls() -> None:
    """All that is kept of a reference or of a number of rows; not what is made once in a process."""
    for found in pkgutil.iter_modules(calibrate.__path__, "detectors.calibrate."):
        for made in vars(importlib.import_module(found.name)).values():
            constant = hasattr(made, "cache_parameters") and made.cache_parameters()["maxsize"] == 1
            if hasattr(made, "cache_clear") and not isinstance(made, type) and not constant:
                made.cache_clear()


Once = Callable[[int, int], Callable[[], tuple[float, float]]]


def windows(make: Make, choice: Choice, calibration: Calibration) -> Once:
    """Of a window of so many rows, by a seed, what computes and judges it and gives the CPU time of both."""
    reference = make(REFERENCE_ROWS, 1)
    schema = Schema(tuple(reference.numeric), tuple(reference.categorical))
    profile = Profile.build(reference, schema, "reference")
    model = Model("m", schema, HOUR_MS, HOUR_MS, 0, active_profile="reference", profiles={"reference": profile})
    model = replace(model, statistics=choice, calibration=calibration)

    def window(rows: int, seed: int) -> Callable[[], tuple[float, float]]:
        summary = WindowSummary.empty(schema, profile)
        for at in range(0, rows, 100_000):
            summary.add(make(min(100_000, rows - at), at + seed))
        part = GroupView(model, 0, HOUR_MS, "", "", summary, None, profile, None, "reference")

        def once() -> tuple[float, float]:
            began = time.process_time()
            scores = list(inputs(part))
            computed = time.process_time()
            judge_window(WindowView(model, 0, HOUR_MS, HOUR_MS, {("", ""): part}, 0, Memory(), {("", ""): scores}))  # type: ignore[arg-type]
            return (computed - began) * 1e3, (time.process_time() - computed) * 1e3

        return once

    return window


def window_ms(make: Make, rows: int, choice: Choice, calibration: Calibration, rounds: int) -> list[tuple[float, float]]:
    """CPU time of computing and of judging one window, cold, new and warm: the medians of as many rounds."""
    window = windows(make, choice, calibration)
    once, half = window(rows, 2), window(rows // 2, 3)
    others = [window(rows, 10_000_000 * i) for i in range(1, rounds + 1)] if rows <= MADE_ANEW else [once] * rounds
    once()
    gc.collect()
    out = []
    for state in ("cold", "new", "warm"):
        found = []
        for other in others:
            if state != "warm":
                forget_nulls()
            if state == "new":
                half()
            found.append(other() if state == "warm" else once())
        out.append(sorted(found, key=sum)[len(found) // 2])
    return out


def days_ms(make: Make, choice: Choice, calibration: Calibration) -> None:
    """Print the CPU time of hours of about 1,000 rows, 400 by night and 1,600 by day, drawn anew each, of three days."""
    window, rng = windows(make, choice, calibration), np.random.default_rng(3)
    forget_nulls()
    for day in range(3):
        found = []
        for h in range(24 * day, 24 * (day + 1)):
            once = window(int(rng.poisson(1_000 * (1 + 0.6 * np.sin(h / 12 * np.pi)))), 1_000 + h)
            gc.collect()
            found.append(sum(once()))
        print(
            f"    day {day + 1}: median {np.median(found):.0f} ms, 9 of 10 up to {np.quantile(found, 0.9):.0f}, most {max(found):.0f}"
        )


def best_ms(work: Callable[[], object], rounds: int) -> float:
    found = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        found.append((time.process_time() - began) * 1e3)
    return sorted(found)[len(found) // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--rows", default=",".join(map(str, ROWS)))
    given = parser.parse_args()
    streams = {"mixed": mixed(given.features), "numeric with ties": with_ties(given.features)}
    streams |= {f"{k} categories": categories(given.features, k) for k in (2, 5, 12, 40, 100)}
    gc.disable()  # its pauses are those of what lies in memory, not of a window
    for kind, (choice, calibration) in CHOICES.items():
        print(f"{given.features} features, {kind}: compute + judge in ms, of the {LIMIT_MS:.0f} allowed")
        worst = dict.fromkeys(("cold", "new", "warm"), 0.0)
        for name, make in streams.items():
            for rows in map(int, given.rows.split(",")):
                found = dict(zip(worst, window_ms(make, rows, choice, calibration, given.rounds), strict=True))
                worst = {state: max(most, sum(found[state])) for state, most in worst.items()}
                both = "   ".join(f"{state} {of[0]:5.1f} + {of[1]:5.1f}" for state, of in found.items())
                print(f"  {name:18} {rows:>9} rows  {both}", flush=True)
        print(
            "  worst: "
            + ", ".join(f"{state} {most:.0f} ms ({most / LIMIT_MS:.2f} of what is allowed)" for state, most in worst.items())
        )
        days_ms(streams["numeric with ties"], choice, calibration)
    from scipy.stats import ks_2samp, wasserstein_distance

    reference, current = mixed(given.features)(REFERENCE_ROWS, 1), mixed(given.features)(10_000, 2)
    numeric = list(reference.numeric)
    scipys = best_ms(
        lambda: [
            (
                ks_2samp(reference.numeric[f], current.numeric[f], method="asymp"),
                wasserstein_distance(reference.numeric[f], current.numeric[f]),
            )
            for f in numeric
        ],
        3,
    )
    print(f"    10000 rows, {len(numeric)} numeric features: two scores each by scipy from rows {scipys:.0f} ms")


if __name__ == "__main__":
    main()
