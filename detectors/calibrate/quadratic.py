"""The law of a weighted sum of squares of normal deviates: Cramér-von Mises, Anderson-Darling, the energy distance.

Under no change F - G is a Brownian bridge over the reference's cells, so that a weighted sum of its squares is a sum of w_j chi^2_1 with
w the eigenvalues of W^1/2 C W^1/2, C the bridge's covariance U_i (1 - U_j). Its tail by the saddlepoint (Lugannani and Rice 1980,
Kuonen 1999), which is drawn as a curve over the tilt: nothing is solved. Laws of as many cells are made together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.special import log_ndtr, ndtr

from detectors.calibrate.kept import together
from detectors.calibrate.null import NullTable
from detectors.columns import Floats

POINTS = 64
NEAREST = 1e-13  # of the probability to which the curve goes
AT_ONCE = 16  # laws, whose points and weights fit in a core's cache
FACTORS = 32  # of which no product leaves the floats

Bridge = tuple[Floats, Floats, Floats]  # weights, upto, jumps


def quadratic_null(weights: Floats, upto: Floats, jumps: Floats) -> NullTable:
    """Of sum w B(u)^2, where B is a bridge at u = upto (k,), ascending in (0, 1), and weights (k,) >= 0.

    jumps: (k,) > 0 where B stands for the mean of its values before and after a jump of so much in u, whose middle is upto.
    """
    return quadratic_nulls([(weights, upto, jumps)])[0]


def quadratic_nulls(many: Sequence[Bridge]) -> list[NullTable]:
    """The same of many at once: to the last bit what each alone has."""
    return together([(len(one[0]), one) for one in many], _of_bridges)


def squares_null(weights: Floats) -> NullTable:
    """Of sum w chi^2_1, weights (k,) > 0."""
    return _of_squares(weights[None, :])[0]


def _of_bridges(cells: int, many: list[Bridge]) -> list[NullTable]:
    weights, upto, jumps = (np.array([one[i] for one in many]) for i in range(3))
    root = np.sqrt(weights)
    covariance = np.minimum(upto[:, :, None], upto[:, None, :]) - upto[:, :, None] * upto[:, None, :]
    place = np.arange(cells)
    covariance[:, place, place] -= jumps / 4.0
    found = np.linalg.eigvalsh(covariance * root[:, :, None] * root[:, None, :])
    kept = [int(n) for n in (found > 1e-9 * found[:, -1:]).sum(axis=1)]  # they ascend
    return together([(n, one[-n:]) for n, one in zip(kept, found, strict=True)], lambda n, some: _of_squares(np.array(some)))


def _of_squares(many: Floats) -> list[NullTable]:
    """many: (laws, k)."""
    return [table for i in range(0, len(many), AT_ONCE) for table in _at_once(many[i : i + AT_ONCE])]


def _at_once(weights: Floats) -> list[NullTable]:
    greatest = weights.max(axis=1)
    w = (weights / greatest[:, None])[:, None, :]
    tilt = _tilts(weights.shape[1])
    rest = 1.0 - (2.0 * tilt)[:, None] * w
    part = w / rest
    factors = np.multiply.reduceat(rest, np.arange(0, rest.shape[2], FACTORS), axis=2)
    at, cumulant, second = part.sum(axis=2), -0.5 * np.log(factors).sum(axis=2), 2.0 * (part * part).sum(axis=2)
    r = np.sign(tilt) * np.sqrt(np.maximum(2.0 * (tilt * at - cumulant), 1e-12))
    u = tilt * np.sqrt(second)
    normal = np.exp(-(r * r) / 2.0) / np.sqrt(2.0 * np.pi)
    survival = ndtr(-r) + normal * (1.0 / u - 1.0 / r)
    star = np.exp(log_ndtr(-(r + np.log(np.maximum(u / r, 1e-9)) / r)))  # the same to first order, and never below 0
    survival = np.where((survival > 0) & (np.abs(r) > 0.05), survival, star)
    log = np.log(np.minimum.accumulate(np.clip(survival, 1e-300, 1.0), axis=1))
    return [NullTable.from_survival(*curve) for curve in zip(at * greatest[:, None], log, strict=True)]


@lru_cache(maxsize=64)
def _tilts(weights: int) -> Floats:
    near = 1.0 - np.geomspace(1.0, 1.0 / (2.0 * np.log(1.0 / NEAREST)), POINTS)  # 2 tilt, from 0 up to where the tail ends
    return np.asarray(np.concatenate([-np.geomspace(4.0 * weights, 0.02, POINTS // 2), near[1:]]) / 2.0)
