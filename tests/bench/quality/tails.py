"""How far out the nulls of the drift scores hold: where a score's limit for a probability lies, how often it is passed.

    python -m tests.bench.quality.tails [--windows 1000] [--workers 2]

50 features by all their scores share one alarm a week: a score's limit lies at a probability of 1e-5 or less, where plain draws
have no events. So windows are drawn by importance. The shares of rows between fixed quantiles of the true law are the true ones in
some windows, moved in others, and in others a Dirichlet variate about the true ones; each window counts as much as it is likelier
under the true law than under the mixture of all ways (a defensive mixture, Hesterberg 1995: no window counts more than
there are ways). What comes out is unbiased; the daemon's own code gives the values and their probabilities
(detectors/calibrate/held.py). References are drawn anew all the time, and windows apart from them.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import stats
from scipy.special import gammaln, xlogy

from detectors.calibrate.held import HELD, held
from detectors.category import CategorySummary
from detectors.numeric import GridSummary, make_grid
from detectors.pairs import CategoryPair, NumericPair, Pair
from detectors.registry import STATISTICS

ALPHAS = (1e-2, 1e-3, 1e-4, 1e-5)
WIDER = (0.4, 1.0, 2.5)  # by so much more than a multinomial the rows of a window scatter: a part each of the windows
TILTS = (2.5, 4.0)  # standard deviations by which a share or the place of rows is moved: a part each
STRATA = np.array([0.0, 0.01, *np.arange(0.1, 0.95, 0.1), 0.99, 1.0])  # of a numeric law
WINDOWS = 1_000  # of each law, and both numbers of rows: two minutes on two cores
CELLS = ((50, 20_000), (500, 20_000), (5_000, 20_000), (500, 1_000))  # rows of window and reference
PER_REFERENCE = 0.05  # windows share one as far as its error is small beside theirs
ZIPF = 1.0 / np.arange(1, 151.0) / (1.0 / np.arange(1, 151.0)).sum()
SKEWED = np.array([0.6, 0.2, 0.1, 0.06, 0.03, 0.01])
NAMES = tuple(name for name in STATISTICS if name in HELD)

Quantile = Callable[[np.ndarray], np.ndarray]
NUMERIC: dict[str, Quantile] = {
    "gaussian": stats.norm.ppf,
    "heavy-tailed": lambda u: stats.t.ppf(u, 2.5),
    "zero-inflated": lambda u: np.where(u < 0.7, 0.0, stats.lognorm.ppf(np.clip((u - 0.7) / 0.3, 0.0, 1.0 - 1e-12), 1.0)),
    "five values": lambda u: np.floor(5.0 * u),
}
SHARES = {"150 categories": ZIPF, "6 categories": SKEWED}
LAWS = (*NUMERIC, *SHARES)


@dataclass
class Tail:
    """Of one score on windows of one law and size: weights of those beyond each limit, their squares, windows, and unjudged ones."""

    beyond: np.ndarray = field(default_factory=lambda: np.zeros((2, len(ALPHAS))))
    windows: int = 0
    unsure: int = 0

    def take(self, chance: float, weight: float) -> None:
        self.windows += 1
        self.unsure += math.isnan(chance)
        past = chance <= np.array(ALPHAS)
        self.beyond += np.array([weight, weight * weight])[:, None] * past

    def ratios(self) -> np.ndarray:
        """Share of windows beyond the limit over the probability it is for, and the standard error of that: (2, alphas)."""
        judged = max(self.windows - self.unsure, 1)
        share = self.beyond[0] / judged
        error = np.sqrt(np.maximum(self.beyond[1] / judged - share**2, 0.0) / judged)
        return np.array([share, error]) / np.array(ALPHAS)


def ways(shares: np.ndarray, rows: int, reference_rows: int, ordered: bool) -> list[np.ndarray | float]:
    """The mixture: shares of strata that are not the true ones, or how much wider than a multinomial rows scatter; the true law first.

    Tilted are the place and the spread where strata are in order, else each of the three greatest shares.
    """
    middle = np.cumsum(shares) - shares / 2.0
    scores = [middle, (middle - 0.5) ** 2] if ordered else [np.eye(len(shares))[i] for i in range(3)]
    out: list[np.ndarray | float] = [0.0]
    for score in scores:
        away = score - shares @ score
        away *= np.sqrt(1.0 / rows + 1.0 / reference_rows) / np.sqrt(shares @ away**2)
        for far in (-TILTS[1], -TILTS[0], *TILTS):
            tilted = shares * np.exp(far * away)
            out.append(tilted / tilted.sum())
    return out + list(WIDER)


def draw_counts(
    rng: np.random.Generator, shares: np.ndarray, rows: int, windows: int, mixture: list[np.ndarray | float]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows by stratum of so many windows, (windows, strata), and what each window counts, (windows,)."""
    counts = np.empty((windows, len(shares)), dtype=np.int64)
    for i in range(windows):
        way = mixture[i % len(mixture)]
        p = way if isinstance(way, np.ndarray) else shares if way == 0.0 else rng.dirichlet(np.maximum(shares * rows / way, 1e-9))
        counts[i] = rng.multinomial(rows, p)
    log = np.zeros((len(mixture), windows))
    for k, way in enumerate(mixture):
        if isinstance(way, np.ndarray):
            log[k] = counts @ np.log(way / shares)
        elif way:
            mine = np.maximum(shares * rows / way, 1e-9)
            log[k] = gammaln(mine.sum()) - gammaln(rows + mine.sum()) - xlogy(counts, shares).sum(axis=1)
            log[k] += (gammaln(counts + mine) - gammaln(mine)).sum(axis=1)
    return counts, 1.0 / np.exp(np.minimum(log, 600.0)).mean(axis=0)


def tail_cell(task: tuple[str, int, int, int, int]) -> tuple[str, int, int, dict[str, Tail]]:
    """All scores on windows of one law, rows of the window and of the reference."""
    law, rows, reference_rows, windows, seed = task
    rng = np.random.default_rng([seed, rows, reference_rows, LAWS.index(law)])
    shares = np.diff(STRATA) if law in NUMERIC else SHARES[law]
    mixture = ways(shares, rows, reference_rows, law in NUMERIC)
    made, weights = draw_counts(rng, shares, rows, windows, mixture)
    order = rng.permutation(windows)
    found: dict[str, Tail] = {}
    reference = None
    for i, at in enumerate(order.tolist()):
        if reference is None or i % max(1, round(PER_REFERENCE * reference_rows / rows)) == 0:
            reference = _reference(rng, law, reference_rows)
        pair = _pair(rng, law, reference, made[at])
        for name in NAMES:
            if ("numeric" if law in NUMERIC else "category") in STATISTICS[name].kinds:
                found.setdefault(name, Tail()).take(chance_of(name, pair), float(weights[at]))
    return law, rows, reference_rows, found


def chance_of(name: str, pair: Pair) -> float:
    """The probability that the daemon gives a score of the pair; NaN where it says nothing."""
    value = STATISTICS[name].value(pair)
    found = held(name, pair, value) if math.isfinite(value) else None
    return math.nan if found is None or found.unsure else found.table.survival(found.out)


def _reference(rng: np.random.Generator, law: str, rows: int) -> GridSummary | CategorySummary:
    if law in SHARES:
        return _categories(rng.multinomial(rows, SHARES[law]))
    values = NUMERIC[law](rng.random(rows))
    out = GridSummary.empty(make_grid(values))
    out.add(values)
    return out


def _pair(rng: np.random.Generator, law: str, reference: GridSummary | CategorySummary, counts: np.ndarray) -> Pair:
    if isinstance(reference, CategorySummary):
        return CategoryPair(reference, _categories(counts))
    low, width = np.repeat(STRATA[:-1], counts), np.repeat(np.diff(STRATA), counts)
    window = GridSummary.empty(reference.edges)
    window.add(NUMERIC[law](low + width * rng.random(len(low))))
    return NumericPair(reference, window)


def _categories(counts: np.ndarray) -> CategorySummary:
    return CategorySummary(500, {f"v{i:03d}": int(c) for i, c in enumerate(counts.tolist()) if c})


def tail_table(
    windows: int, workers: int, laws: tuple[str, ...] = LAWS, seed: int = 1
) -> dict[str, dict[tuple[str, int, int], Tail]]:
    """windows: of each law, and both numbers of rows. Prints the table; returns what was counted."""
    found: dict[str, dict[tuple[str, int, int], Tail]] = {}
    with ProcessPoolExecutor(workers) as pool:
        for law, m, n, scores in pool.map(tail_cell, [(law, m, n, windows, seed) for law in laws for m, n in CELLS]):
            for name, tail in scores.items():
                found.setdefault(name, {})[law, m, n] = tail
    table = Table(title="share of windows beyond a score's limit, over the probability that it is for", title_justify="left")
    for column in ("score", *(f"{a:.0e}" for a in ALPHAS), "most, at 1e-4", "unjudged"):
        table.add_column(column, justify="left" if column == "score" else "right")
    for name, cells in sorted(found.items()):
        judged = [t for t in cells.values() if t.unsure < t.windows]
        both = np.array([t.ratios() for t in judged])
        mean, error = both[:, 0].mean(axis=0), np.sqrt((both[:, 1] ** 2).sum(axis=0)) / len(both)
        most, where = max((tuple(t.ratios()[:, 2]), cell) for cell, t in cells.items())
        unsure = sum(t.unsure for t in cells.values()) / sum(t.windows for t in cells.values())
        table.add_row(name, *(f"{a:.2f} ± {b:.2f}" for a, b in zip(mean, error, strict=True)),
                      f"{most[0]:.2f} ± {most[1]:.2f} {where[0]} {where[1]:,}/{where[2]:,}", f"{unsure:.0%}")  # fmt: skip
    Console(width=150).print(table)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--windows", type=int, default=WINDOWS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--laws", default=",".join(LAWS))
    parser.add_argument("--seed", type=int, default=1)
    said = parser.parse_args()
    tail_table(said.windows, said.workers, tuple(said.laws.split(",")), said.seed)


if __name__ == "__main__":
    main()
