"""One cell of a sum over bins: its counts in window and reference by their binomials, as few weighted nodes.

Small counts are summed one by one. Great ones stand at equally spaced deviates of a normal with the binomial's skew: for
a smooth integrand that rule errs by exp(-2 pi^2 / spacing^2), 1e-11 here (Trefethen, Weideman 2014).
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy

from detectors.calibrate.statistics import OVER_BINS
from detectors.columns import Floats

COUNTED = 20.0  # expected rows up to which counts are summed one by one
FINE, COARSE = np.linspace(-6.3, 6.3, 15), np.linspace(-4.2, 4.2, 7)  # standard deviations
FAR_MORE = 20.0  # a reference of so many times the window's rows hardly moves: coarse deviates do


def nodes(
    rows: int, p: Floats, counted: float = COUNTED, deviates: Floats = FINE, most: float | None = None
) -> tuple[Floats, Floats]:
    """Counts of binomials of so many rows and shares p (k,), all or none of which expect more than `counted`; and their weights: (k, nodes).

    most: the rows that the counts reach out for, where these shares expect no more; as many as they do where it is None.
    """
    expected = rows * p
    most = float(expected.max()) if most is None else most
    if most > counted:
        std = np.sqrt(expected * (1.0 - p))[:, None]
        spread = expected[:, None] + std * deviates + (1.0 - 2.0 * p[:, None]) * (deviates**2 - 1.0) / 6.0
        weight = np.exp(-(deviates**2) / 2.0)
        return np.clip(spread, 0.0, float(rows)), np.broadcast_to(weight / weight.sum(), spread.shape)
    count = np.arange(min(float(rows), np.ceil(most + 8.0 * np.sqrt(most) + 9.0)) + 1.0)
    choose = gammaln(rows + 1.0) - gammaln(count + 1.0) - gammaln(rows - count + 1.0)
    pmf = np.exp(choose + xlogy(count, p[:, None]) + xlog1py(rows - count, -p[:, None]))
    return np.broadcast_to(count, pmf.shape), pmf / pmf.sum(axis=1, keepdims=True)


def parts(name: str, q: Floats, p: Floats, n: int, m: int) -> Floats:
    """A cell's part of a sum of OVER_BINS at shares q of the window and p of the reference, of shapes that numpy joins."""
    found = OVER_BINS[name].part(p, q, n, m)
    if name == "kl":
        found = found - (q - p)  # its parts sum to nothing, and are most of each cell's
    return found
