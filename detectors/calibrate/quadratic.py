"""The law of a weighted sum of squares of normal deviates: Cramér-von Mises, Anderson-Darling, the energy distance.

Under no change F - G is a Brownian bridge over the reference's cells, so that a weighted sum of its squares is a sum of w_j chi^2_1 with
w the eigenvalues of W^1/2 C W^1/2, C the bridge's covariance U_i (1 - U_j). Its tail by the saddlepoint (Lugannani and Rice 1980,
Kuonen 1999), which is drawn as a curve over the tilt: nothing is solved.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import log_ndtr, ndtr

from detectors.calibrate.null import NullTable
from detectors.columns import Floats

POINTS = 64
NEAREST = 1e-13  # of the probability to which the curve goes


def quadratic_null(weights: Floats, upto: Floats, jumps: Floats) -> NullTable:
    """Of sum w B(u)^2, where B is a bridge at u = upto (k,), ascending in (0, 1), and weights (k,) >= 0.

    jumps: (k,) > 0 where B stands for the mean of its values before and after a jump of so much in u, whose middle is upto.
    """
    root = np.sqrt(weights)
    covariance = np.minimum.outer(upto, upto) - np.outer(upto, upto) - np.diag(jumps / 4.0)
    found = np.linalg.eigvalsh(covariance * np.outer(root, root))
    return squares_null(found[found > 1e-9 * found[-1]])


def squares_null(weights: Floats) -> NullTable:
    """Of sum w chi^2_1, weights (k,) > 0."""
    w = np.asarray(weights / weights.max())
    tilt = _tilts(len(w))
    rest = 1.0 - 2.0 * tilt[:, None] * w
    part = w / rest
    at, cumulant, second = part.sum(axis=1), -0.5 * np.log(rest).sum(axis=1), 2.0 * (part * part).sum(axis=1)
    r = np.sign(tilt) * np.sqrt(np.maximum(2.0 * (tilt * at - cumulant), 1e-12))
    u = tilt * np.sqrt(second)
    normal = np.exp(-(r**2) / 2.0) / np.sqrt(2.0 * np.pi)
    survival = ndtr(-r) + normal * (1.0 / u - 1.0 / r)
    star = np.exp(log_ndtr(-(r + np.log(np.maximum(u / r, 1e-9)) / r)))  # the same to first order, and never below 0
    survival = np.where((survival > 0) & (np.abs(r) > 0.05), survival, star)
    survival = np.minimum.accumulate(np.clip(survival, 1e-300, 1.0))
    return NullTable.from_survival(at * float(weights.max()), np.log(survival))


@lru_cache(maxsize=64)
def _tilts(weights: int) -> Floats:
    near = 1.0 - np.geomspace(1.0, 1.0 / (2.0 * np.log(1.0 / NEAREST)), POINTS)  # 2 tilt, from 0 up to where the tail ends
    return np.asarray(np.concatenate([-np.geomspace(4.0 * weights, 0.02, POINTS // 2), near[1:]]) / 2.0)
