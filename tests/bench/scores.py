"""All scores of all features of a closed window, whatever its rows: driftd's own and every statistic of the registry.

    python -m tests.bench.scores [--features 50] [--rounds 30]

The window's rows are counted before; what is timed (CPU time) is what the publisher does under the model's lock. The ratio is to
scipy's ks_2samp and wasserstein_distance of the same columns, on 10,000 rows, in the same process. Then the worst case of
calibrated limits: features of categories whose nulls are all to be made, as in the first window of so many rows.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from detectors.calibrate import nulls, sums
from detectors.category import CategorySummary
from detectors.choice import Choice
from detectors.columns import Columns, DictColumn, Schema
from detectors.pairs import CategoryPair
from detectors.profile import Profile
from detectors.registry import STATISTICS
from detectors.scoring import score_window
from detectors.univariate import AUTO
from detectors.window import WindowSummary

LIMIT_MS = 50.0


def columns(numeric: list[str], categorical: list[str], rows: int, seed: int) -> Columns:
    rng = np.random.default_rng(seed)
    numbers = {f: rng.gamma(1 + i % 5, 2.0, rows) if i % 4 else np.where(rng.random(rows) < 0.4, 0.0, rng.normal(size=rows))
               for i, f in enumerate(numeric)}  # fmt: skip
    names = [f"v{i}" for i in range(100)]
    categories = {f: DictColumn(rng.integers(0, len(names), rows).astype(np.int32), names) for f in categorical}
    nothing = np.full(rows, np.nan)
    return Columns(rows, numbers, categories, nothing, DictColumn.missing(rows), nothing, np.zeros(rows, dtype=np.bool_))


def best_ms(work: Callable[[], object], rounds: int) -> float:
    found = []
    for _ in range(rounds):
        began = time.process_time()
        work()
        found.append((time.process_time() - began) * 1e3)
    return sorted(found)[len(found) // 2]


def made_nulls_ms(features: int, categories: int, rows: int) -> tuple[float, float]:
    """CPU time of the nulls of as many features of different shares: made, and found again."""
    rng = np.random.default_rng(4)
    pairs = []
    for _ in range(features):
        shares = rng.dirichlet(np.ones(categories))
        sides = ({f"v{i}": int(c) for i, c in enumerate(rng.multinomial(n, shares)) if c} for n in (50_000, rows))
        pairs.append(CategoryPair(*(CategorySummary(categories, side) for side in sides)))
    for cache in (nulls._of_shares, sums._block):
        cache.cache_clear()
    found = []
    for _ in range(2):
        began = time.process_time()
        for pair in pairs:
            nulls.pair_null("js", pair)
        found.append((time.process_time() - began) * 1e3)
    return found[0], found[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=30)
    given = parser.parse_args()
    categorical = [f"c{i}" for i in range(given.features // 5)]
    numeric = [f"n{i}" for i in range(given.features - len(categorical))]
    schema = Schema(tuple(numeric), tuple(categorical))
    reference = columns(numeric, categorical, 50_000, 1)
    profile = Profile.build(reference, schema, "reference")
    choices = {"default": AUTO, "every statistic": Choice(tuple(STATISTICS))}
    for rows in (100, 10_000, 1_000_000):
        summary = WindowSummary.empty(schema, profile)
        for at in range(0, rows, 100_000):
            summary.add(columns(numeric, categorical, min(100_000, rows - at), at + 2))
        size_kb = len(summary.to_bytes()) / 1e3
        line = f"{rows:>9} rows, {given.features} features, pane {size_kb:.0f} kB stored:"
        for name, choice in choices.items():
            scores = len(score_window(summary, profile, None, 60.0, choice=choice))
            ms = best_ms(lambda s=summary, c=choice: score_window(s, profile, None, 60.0, choice=c), given.rounds)  # type: ignore[misc]
            line += f"  {name} {ms:.1f} ms for {scores} scores ({ms / LIMIT_MS:.2f} of the {LIMIT_MS:.0f} ms allowed)"
        print(line)
    for categories in (2, 4, 8, 12, 40, 150, 400):
        line = f"{given.features} features of {categories} categories, nulls of js made and found again:"
        for rows in (300, 5_000, 100_000):
            first, again = made_nulls_ms(given.features, categories, rows)
            line += f"  {rows} rows {first:.0f} and {again:.1f} ms ({first / LIMIT_MS:.2f} of the {LIMIT_MS:.0f} ms allowed)"
        print(line)
    from scipy.stats import ks_2samp, wasserstein_distance

    current = columns(numeric, categorical, 10_000, 2)
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
