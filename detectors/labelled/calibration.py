"""How far a probability means what it says, from counts of wrong and right (or negative and positive) in score cells.

Bins are BINS equal widths of [0, 1], whose bounds are bounds of cells, so that each row lies in the bin it belongs
to; the mean score of a bin comes from its cells' middles, off by at most half a cell (1/8192).

    ECE           sum over bins of share x |rate - mean score|             (Naeini, Cooper and Hauskrecht 2015)
    MCE           the greatest |rate - mean score|
    reliability   sum of share x (rate - mean score)^2                     (Murphy 1973)
    resolution    sum of share x (rate - overall rate)^2
    uncertainty   overall rate x (1 - overall rate)

ECE, MCE and the root of the reliability are norms of the bins' gaps: what the rows' chance adds to a gap moves them by at most its
own norm (triangle inequality). Their intervals lie as far to either side as 97.5 % of draws of that chance do, so that they hold
also where a model is calibrated perfectly; a bootstrap of the value itself, which noise makes greater, held there in 36 to 47 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from detectors.columns import Floats, Ints
from detectors.labelled.intervals import REPLICATES, SEED, bootstrap, wilson
from detectors.labelled.tally import Metric

BINS = 16
CURVE = "reliability_curve"  # its name in the evidence


def binned(cells: Ints, edges: Floats) -> tuple[Ints, Floats]:
    """Counts by bin, shape (2, BINS), and the sum of the scores by bin. cells: shape (2, len(edges) + 1)."""
    lower = np.concatenate([[0.0], edges])
    place = np.minimum((lower * BINS).astype(np.int64), BINS - 1)
    middle = np.concatenate([[0.0], (edges[1:] + edges[:-1]) / 2.0, [1.0]])
    counts = np.stack([np.bincount(place, weights=row, minlength=BINS) for row in cells]).astype(np.int64)
    sums: Floats = np.bincount(place, weights=cells.sum(axis=0) * middle, minlength=BINS).astype(np.float64)
    return counts, sums


def calibration(cells: Ints, edges: Floats) -> list[Metric]:
    """The metrics above, with the reliability curve as evidence of the first. Empty without rows."""
    counts, sums = binned(cells, edges)
    held = counts.sum(axis=0)
    rows = int(held.sum())
    if rows <= 0:
        return []
    mean_score = np.divide(sums, held, out=np.zeros(BINS), where=held > 0)

    def gap(drawn: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Shares, rates, their distance from the mean score, and the overall rate, of counts (replicates, 2, BINS)."""
        total = drawn.sum(axis=1)
        share = total / total.sum(axis=1, keepdims=True)
        rate = np.divide(drawn[:, 1], total, out=np.zeros_like(total), where=total > 0)
        overall = drawn[:, 1].sum(axis=1) / total.sum(axis=1)
        return share, rate, np.where(total > 0, np.abs(rate - mean_score), 0.0), overall

    def resolution(drawn: Floats) -> Floats:
        share, rate, _, overall = gap(drawn)
        out: Floats = (share * (rate - overall[:, None]) ** 2).sum(axis=1)
        return out

    statistics: dict[str, Callable[[Floats], Floats]] = {
        "ece": lambda drawn: (gap(drawn)[0] * gap(drawn)[2]).sum(axis=1),
        "mce": lambda drawn: gap(drawn)[2].max(axis=1),
        "brier_reliability": lambda drawn: (gap(drawn)[0] * gap(drawn)[2] ** 2).sum(axis=1),
        "brier_resolution": resolution,
    }
    curve: dict[str, object] = {
        "mean_score": [round(v, 4) if n else None for v, n in zip(mean_score.tolist(), held.tolist(), strict=True)],
        "observed_rate": [round(h / n, 4) if n else None for h, n in zip(counts[1].tolist(), held.tolist(), strict=True)],
        "rows": held.tolist(),
    }
    noise = _noise(counts) if rows > 1 else {}
    out = []
    for name, statistic in statistics.items():
        value = float(statistic(counts[None].astype(np.float64))[0])
        low, high = math.nan, math.nan
        if name in noise:
            power = 2 if name == "brier_reliability" else 1
            ends = value ** (1 / power) - noise[name], value ** (1 / power) + noise[name]
            low, high = max(0.0, ends[0]) ** power, min(1.0, ends[1]) ** power
        elif rows > 1:
            low, high = bootstrap(counts, statistic, value, 0.0)
        out.append(Metric(name, value, min(low, value), max(high, value), rows, {CURVE: curve} if name == "ece" else {}))
    hits = int(counts[1].sum())
    ends = wilson(hits, rows)
    spread = [p * (1 - p) for p in ends]
    highest = 0.25 if ends[0] <= 0.5 <= ends[1] else max(spread)
    out.append(Metric("brier_uncertainty", hits * (rows - hits) / rows**2, min(spread), highest, rows))
    return out


def _noise(counts: Ints) -> dict[str, float]:
    """The 97.5 % quantile of each norm of what chance adds to the bins' rates; counts: shape (2, BINS)."""
    held = np.maximum(counts.sum(axis=0), 0)
    rate = (np.maximum(counts[1], 0) + 0.5) / (held + 1.0)  # never certain, of few rows
    drawn = np.random.default_rng(SEED).binomial(held, rate, size=(REPLICATES, BINS))
    off = np.where(held > 0, np.abs(drawn / np.maximum(held, 1) - rate), 0.0)
    share = held / max(1, int(held.sum()))
    norms = {"ece": off @ share, "mce": off.max(axis=1), "brier_reliability": np.sqrt(off**2 @ share)}
    return {name: float(np.quantile(found, 0.975)) for name, found in norms.items()}
