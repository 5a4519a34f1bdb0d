"""Whether a window's scores are the mixture that label shift alone would make of the reference's.

Black-box shift estimation (detectors/label_shift.py) holds where P(inputs | label) stays. Then the scores of a window are the
reference's of each class, mixed by the classes' new shares: with the estimated shares, all of the distribution is foretold.
Where it is another one the inputs moved in another way, and the shares are no estimate of anything.
"""

from __future__ import annotations

import numpy as np
from scipy.special import chdtrc

from detectors.columns import Floats, Ints

BINS = 20  # of equal mass in the mixture
LEAST_P = 1e-4
LEAST_DISTANCE = 0.05  # total variation


def misfit(reference: Ints, window: Ints, positive: float, error: float) -> tuple[float, float]:
    """p-value of the mixture and its total variation from the window's scores, over bins.

    reference: rows by class, negative first, and score cell, shape (2, k); window: rows by cell, shape (k,). positive: the
    positives' share and its standard error. (NaN, NaN) where a side or a class has no row, or all scores lie in one bin.
    """
    totals, rows = reference.sum(axis=1), int(window.sum())
    if not (totals.all() and rows):
        return float("nan"), float("nan")
    shares = np.array([1.0 - positive, positive])
    of_class: Floats = reference / totals[:, None]
    mixed = shares @ of_class
    before = np.cumsum(mixed) - mixed / 2.0
    _, at = np.unique(np.minimum((before * BINS).astype(np.int64), BINS - 1), return_inverse=True)
    bins = int(at.max()) + 1
    negative, hit, expected = (np.bincount(at, side, bins) for side in (of_class[0], of_class[1], mixed))
    found = np.bincount(at, window, bins) / rows
    variance = expected / rows + shares[0] ** 2 * negative / totals[0] + shares[1] ** 2 * hit / totals[1]
    variance += ((hit - negative) * error) ** 2
    kept = variance > 0
    if kept.sum() < 2:
        return float("nan"), float("nan")
    statistic = float(((found - expected)[kept] ** 2 / variance[kept]).sum())
    return float(chdtrc(int(kept.sum()) - 1, statistic)), float(np.abs(found - expected).sum()) / 2.0


def why_unfit(reference: Ints, window: Ints, positive: float, error: float) -> str:
    """Why the shares are no estimate, "" where the scores are the mixture; arguments as for `misfit`."""
    p, distance = misfit(reference, window, positive, error)
    if not (p < LEAST_P and distance >= LEAST_DISTANCE):
        return ""
    return (
        f"scores are not those of the reference's classes in other shares (total variation {distance:.2g} from the nearest, "
        f"p {p:.2g}): inputs moved in another way than by the classes' shares"
    )
