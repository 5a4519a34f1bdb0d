"""What the formulas of several tools share. Counts of categories are plain dicts, value -> rows, missing ones left out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from detectors.columns import Floats

Counts = dict[str, int]
Found = dict[str, float]  # names without the tool's, the tool's default first


@dataclass(frozen=True, slots=True)
class Asked:
    """A score that is computed where the config names it: other tests of the tool, or ones that take long.

    text: what it is. numeric, category: None where the tool has it for the other kind alone. They raise ValueError, with the
    reason, where the tool gives no number. slow: it takes a tenth of a second or more, and is computed off the data loop.
    """

    text: str
    numeric: Callable[[Floats, Floats], float] | None = None
    category: Callable[[Counts, Counts], float] | None = None
    slow: bool = False


def by_category(reference: Counts, current: Counts) -> tuple[Floats, Floats]:
    """Rows of both sides by value, values in order."""
    names = sorted(set(reference) | set(current))
    first = np.array([reference.get(name, 0) for name in names], dtype=np.float64)
    return first, np.array([current.get(name, 0) for name in names], dtype=np.float64)


def as_counts(values: Floats) -> Counts:
    """A numeric column taken as categories."""
    distinct, rows = np.unique(values, return_counts=True)
    return {repr(v): n for v, n in zip(distinct.tolist(), rows.tolist(), strict=True)}


def one_sample_chi_square_p(reference: Floats, current: Floats) -> float:
    """scipy.stats.chisquare of the window against the reference's counts brought to its rows; NaN where nothing is expected."""
    from scipy.special import chdtrc

    expected = reference * (current.sum() / reference.sum())
    if (expected[current > 0] <= 0).any():
        return 0.0
    held = expected > 0
    statistic = float(((current[held] - expected[held]) ** 2 / expected[held]).sum())
    return float(chdtrc(len(current) - 1, statistic)) if len(current) > 1 else float("nan")


def jensen_shannon(p: Floats, q: Floats, base: float) -> float:
    """scipy.spatial.distance.jensenshannon: both are brought to a sum of one first."""
    p, q = p / p.sum(), q / q.sum()
    m = (p + q) / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(p > 0, p * np.log(p / m), 0.0).sum()
        right = np.where(q > 0, q * np.log(q / m), 0.0).sum()
    return float(np.sqrt(max(0.0, float(left + right)) / np.log(base) / 2.0))


def distances(reference: Floats, current: Floats) -> tuple[float, float, float]:
    """Kolmogorov-Smirnov's, Wasserstein's and the energy distance of two samples, as scipy.stats gives them, by sorting once."""
    r, c = np.sort(reference), np.sort(current)
    places = np.sort(np.concatenate([r, c]), kind="stable")
    gap = np.searchsorted(r, places, side="right") / len(r) - np.searchsorted(c, places, side="right") / len(c)
    steps = np.diff(places)
    return float(np.abs(gap).max()), float(np.abs(gap[:-1]) @ steps), math.sqrt(2.0 * float((gap[:-1] ** 2) @ steps))
