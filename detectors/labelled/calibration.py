"""How far a probability means what it says, from counts of wrong and right (or negative and positive) in score cells.

Bins are BINS equal widths of [0, 1], whose bounds are bounds of cells, so that each row lies in the bin it belongs
to; the mean score of a bin comes from its cells' middles, off by at most half a cell (1/8192).

    ECE           sum over bins of share x |rate - mean score|             (Naeini, Cooper and Hauskrecht 2015)
    MCE           the greatest |rate - mean score|
    reliability   sum of share x (rate - mean score)^2                     (Murphy 1973)
    resolution    sum of share x (rate - overall rate)^2
    uncertainty   overall rate x (1 - overall rate)

ECE and reliability are norms of the bins' gaps, to which chance adds: their intervals are those of norms.py, MCE's that of the greatest gap.
The resolution's is that of the delta method around the value less what noise adds to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from detectors.columns import Floats, Ints
from detectors.labelled.intervals import NONE, Interval, Z, wilson
from detectors.labelled.norms import BY_CHANCE, Ends, gaps_of_bins, greatest_ends, norm_ends
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
    gaps = gaps_of_bins(counts[None], sums[None])
    hits = int(counts[1].sum())
    out = [
        norm_metric("ece", norm_ends(gaps, 1), rows, {CURVE: reliability_curve(counts, sums)}),
        _greatest(counts, sums, float(gaps.gap.max()), rows),
        norm_metric("brier_reliability", norm_ends(gaps, 2), rows),
    ]
    low, high = (float(end) for end in resolution_ends(counts)) if rows > 1 else NONE
    off = counts[1] / np.maximum(held, 1) - hits / rows
    resolution = float(held / rows @ off**2)
    out.append(Metric("brier_resolution", resolution, min(low, resolution), max(high, resolution), rows))
    out.append(Metric("brier_uncertainty", hits * (rows - hits) / rows**2, *uncertainty_ends(hits, rows), rows))
    return out


def norm_metric(name: str, ends: Ends, rows: int, evidence: Mapping[str, object] = MappingProxyType({}), at: int = 0) -> Metric:
    """The norm of place `at`; without an interval where there is but one row."""
    value, low, high, middle = (float(side[at]) for side in ends)
    if rows < 2:
        return Metric(name, value, *NONE, rows, evidence)
    return Metric(name, value, low, high, rows, {**evidence, BY_CHANCE: value - middle})


def _greatest(counts: Ints, sums: Floats, value: float, rows: int) -> Metric:
    held = np.maximum(counts.sum(axis=0), 0).astype(np.float64)
    low, high = greatest_ends(held, np.clip(counts[1], 0, held), np.clip(sums / np.maximum(held, 1.0), 0.0, 1.0))
    if rows < 2:
        return Metric("mce", value, *NONE, rows)
    low, high = min(low, value), max(high, value)
    return Metric("mce", value, low, high, rows, {BY_CHANCE: value - (low + high) / 2.0})


def reliability_curve(counts: Ints, sums: Floats) -> dict[str, object]:
    """Of each bin the mean score, the observed rate (None without rows) and the rows, as `binned` gives them."""
    held = counts.sum(axis=0).tolist()
    return {
        "mean_score": [round(s / n, 4) if n > 0 else None for s, n in zip(sums.tolist(), held, strict=True)],
        "observed_rate": [round(h / n, 4) if n > 0 else None for h, n in zip(counts[1].tolist(), held, strict=True)],
        "rows": held,
    }


def rate_variance(counts: Ints) -> Floats:
    """The variance of each bin's rate, 0 without rows: of counts (..., 2, BINS), shape (..., BINS)."""
    held, hits = counts.sum(axis=-2), counts[..., 1, :]
    careful = (hits + 1.0) / (held + 2.0)  # Laplace's: never certain, of few rows
    out: Floats = np.where(held > 0, careful * (1.0 - careful) * (held + 2.0) / (held + 1.0) / np.maximum(held, 1), 0.0)
    return out


def resolution_ends(counts: Ints) -> tuple[Floats, Floats]:
    """The interval of the resolution of counts (..., 2, BINS) with rows: both of shape (...). The value may lie outside."""
    middle, down, up = resolution_parts(counts)
    return np.maximum(0.0, middle - down), middle + up


def resolution_parts(counts: Ints) -> tuple[Floats, Floats, Floats]:
    """Its middle, and how far it may lie below and above.

    A row that is y in bin b moves it by (r_b - r)^2 + 2 (r_b - r)(y - r_b) less the value, over n; to second order the rates' own
    variances v_b add sum of share (1 - share) v_b, which is taken off, and scatter by 2 sum of share^2 v_b^2.
    """
    held = counts.sum(axis=-2)
    rows = held.sum(axis=-1, keepdims=True)
    share, variance = held / rows, rate_variance(counts)
    overall = counts[..., 1, :].sum(axis=-1, keepdims=True) / rows
    off = np.where(held > 0, counts[..., 1, :] / np.maximum(held, 1) - overall, 0.0)
    value = (share * off**2).sum(axis=-1, keepdims=True)
    scatter = share * (off**2 - value) ** 2 / rows + share**2 * variance * (4.0 * off**2 + 2.0 * variance)
    middle = value[..., 0] - (share * (1.0 - share) * variance).sum(axis=-1)
    half = Z * np.sqrt(scatter.sum(axis=-1))
    unseen = Z**2 / (rows[..., 0] + Z**2)  # Wilson's rate, where no row is, or all are: resolution is at most the uncertainty
    alike = (overall[..., 0] <= 0.0) | (overall[..., 0] >= 1.0)
    return middle, half, np.where(alike, np.maximum(half, unseen * (1.0 - unseen) - middle), half)


def uncertainty_ends(hits: float, rows: float) -> Interval:
    """The interval of rate x (1 - rate), by Wilson's of the rate."""
    ends = wilson(hits, rows)
    spread = [p * (1 - p) for p in ends]
    return min(spread), 0.25 if ends[0] <= 0.5 <= ends[1] else max(spread)


def uncertainty_of_classes(hits: Floats) -> Interval:
    """The interval of sum of rate x (1 - rate) over classes that exclude each other, of hits in rows, shape (classes,).

    By the delta method with its second order, which is all that there is where classes are equally frequent: chance takes 1 / rows of
    the value off, and scatters it by the trace of the rates' covariance squared. Rates have a row more, shared by all (Perks 1947).
    """
    rows, classes = float(hits.sum()), len(hits)
    value = 1.0 - float(np.square(hits / rows).sum())
    rate = (hits + 1.0 / classes) / (rows + 1.0)
    squares, cubes = float((rate**2).sum()), float((rate**3).sum())
    scatter = 4.0 * (cubes - squares**2) / rows + 2.0 * (squares - 2.0 * cubes + squares**2) / rows**2
    middle, half = value * (1.0 + 1.0 / rows), Z * math.sqrt(max(0.0, scatter))
    return max(0.0, middle - half), min(1.0 - 1.0 / classes, middle + half)
