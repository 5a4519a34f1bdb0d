"""One cell of a sum over bins: its counts in window and reference by their binomials, as few weighted nodes.

Small counts are summed one by one. Great ones stand at few deviates of a normal with the binomial's skew: those of Gauss and
Hermite, whose k nodes are exact up to the degree 2 k - 1, or where a law's tail leans on them at equally spaced ones, that err by
exp(-2 pi^2 / spacing^2), 1e-11 here (Trefethen, Weideman 2014). Against 61 nodes the few give probabilities from 0.1 to 1e-6 within
1 % of themselves for js, kl and g_test, 5 % for the others (20 % from 30 rows, whose values are steps): tests/test_nulls_together.py.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy

from detectors.calibrate.statistics import OVER_BINS
from detectors.columns import Floats

COUNTED = 20.0  # expected rows up to which counts are summed one by one
BENT = "tv"  # whose parts bend where both shares are the same
Rule = tuple[Floats, Floats]  # deviates in standard deviations, and their weights, whose sum is 1


def _spaced(deviates: Floats) -> Rule:
    weight = np.exp(-(deviates**2) / 2.0)
    return deviates, weight / weight.sum()


def _gauss(count: int) -> Rule:
    deviates, weight = np.polynomial.hermite_e.hermegauss(count)
    return np.asarray(deviates), np.asarray(weight / weight.sum())


FINE = _spaced(np.linspace(-6.3, 6.3, 15))
MOMENTS = _gauss(7)  # for three moments of what is smooth, about a square
COARSE = _spaced(np.linspace(-4.2, 4.2, 7))
# By how many times the window's rows the reference has at least. So much less do its counts move, and at a probability of 1e-6 (1e-10) the
# window's own law falls as exp(-4.8 z / root of that) (exp(-6.4 z / root)) over them: the nodes have the mean of it within 1e-3 (2 %) of itself
_RULES = ((20.0, _gauss(4)), (8.0, _gauss(6)), (3.0, _gauss(9)))


def rule(reference_rows: int, rows: int, smooth: bool) -> Rule:
    """Where the reference's counts are looked at for the law of a cell of both. smooth: of a sum that neither bends nor steps."""
    if not smooth:
        return COARSE if reference_rows > _RULES[0][0] * rows else FINE
    return next((few for times, few in _RULES if reference_rows > times * rows), FINE)


def nodes(rows: int, p: Floats, counted: float = COUNTED, at: Rule = FINE, most: float | None = None) -> tuple[Floats, Floats]:
    """Counts of binomials of so many rows and shares p (k,), all or none of which expect more than `counted`; and their weights: (k, nodes).

    at: where counts stand that are not counted one by one. most: the rows that the counts reach out for, where these shares expect no
    more; as many as they do where it is None.
    """
    expected = rows * p
    most = float(expected.max()) if most is None else most
    if most > counted:
        std = np.sqrt(expected * (1.0 - p))[:, None]
        deviates, weight = at
        spread = expected[:, None] + std * deviates + (1.0 - 2.0 * p[:, None]) * (deviates**2 - 1.0) / 6.0
        return np.clip(spread, 0.0, float(rows)), np.broadcast_to(weight, spread.shape)
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
