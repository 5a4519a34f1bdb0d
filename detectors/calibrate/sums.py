"""The null of a statistic that is a sum over cells, without a draw: three moments of the sum, from those of one cell.

A cell of share p holds x ~ Binomial(m, p) rows of the window and y ~ Binomial(n, p) of the reference. The moments of its
part f(x, y) depend on p alone, so they are tabulated over p once for both numbers of rows, for all features together.
That all counts sum to m and to n takes out what is linear in them (Holst 1979, Morris 1975: a conditional sum has the
moments of its residual on the counts) and, for the part that is a square, the one degree of freedom that they share:

    z ~ N(0, I - sqrt(p) sqrt(p)'), sum of w z^2:   variance 2 tr(A^2), third cumulant 8 tr(A^3),  A = W (I - sqrt(p) sqrt(p)')

The sum then has the Pearson type III law of its three moments: where counts are great this is chi-square itself.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import gammainccinv, gammaln, ndtri, xlog1py, xlogy

from detectors.calibrate.null import TAILS, NullTable
from detectors.calibrate.statistics import OVER_BINS
from detectors.columns import Floats

STEP = 1.08  # between the shares of the table
NODES = 48
COUNTED = 20.0  # expected rows up to which a cell's counts are summed one by one; beyond, by a normal's skewed nodes
WIDEST = 5.5  # standard deviations
SYMMETRIC = 0.02  # less skew than this is none
_Z = np.linspace(-WIDEST, WIDEST, NODES)
_PHI = np.exp(-(_Z**2) / 2.0) / np.exp(-(_Z**2) / 2.0).sum()


def sum_null(name: str, shares: Floats, reference_rows: int, rows: int) -> NullTable:
    """Null of a statistic of OVER_BINS that is a sum, at shares (cells,) > 0 whose sum is 1. Raises KeyError for another name."""
    table = pearson(*_moments(name, shares, reference_rows, rows))
    return NullTable(np.sqrt(np.maximum(table.values, 0.0))) if OVER_BINS[name].root else table


def pearson(mean: float, variance: float, third: float) -> NullTable:
    """The Pearson type III law of a mean, a variance and a third central moment."""
    std = float(np.sqrt(max(variance, 0.0)))
    if std <= 0.0:
        return NullTable(np.linspace(mean, mean + 1e-9, len(TAILS)))
    skew, tails = third / std**3, np.minimum(TAILS, 1.0 - 1e-6)
    if skew < SYMMETRIC:
        return NullTable(mean - std * ndtri(tails))
    shape = 4.0 / skew**2
    return NullTable(np.asarray(mean + std * (gammainccinv(shape, tails) - shape) / np.sqrt(shape), dtype=np.float64))


def _moments(name: str, p: Floats, n: int, m: int) -> tuple[float, float, float]:
    """Mean, variance and third cumulant of the sum over all cells."""
    log, per_share = _cells(name, n, m)
    at = np.log(p)
    f, ff, fff, fx, fy, ffx, ffy, fxx, fyy, fxy, square = (np.interp(at, log, row) * p for row in per_share)
    a, b = fx.sum() / m, fy.sum() / n  # the residual of f on the counts: g = f - a x - b y
    xx, yy = m * p * (1.0 - p), n * p * (1.0 - p)
    xxx, yyy = xx * (1.0 - 2.0 * p), yy * (1.0 - 2.0 * p)
    rest = 1.0 / (1.0 - p)
    fx, fy = fx * rest, fy * rest
    variance = ff.sum() - (fx.sum() ** 2 - (fx**2).sum()) / m - (fy.sum() ** 2 - (fy**2).sum()) / n
    third = (fff - 3 * a * ffx - 3 * b * ffy + 3 * a * a * fxx + 3 * b * b * fyy + 6 * a * b * fxy - a**3 * xxx - b**3 * yyy).sum()
    w = square * rest
    wp, wwp = w @ p, w**2 @ p
    variance += 2.0 * (wp**2 - (w * p) @ (w * p))
    third += 8.0 * (3.0 * (wwp * wp - (w**3) @ p**2) - (wp**3 - ((w * p) ** 3).sum()))
    return float(f.sum()), float(variance), float(third)


@lru_cache(maxsize=256)
def _cells(name: str, n: int, m: int) -> tuple[Floats, Floats]:
    """Logarithms of shares, ascending, and what a cell's part f has, over the share: (11, shares).

    Its mean, central moments with itself and with the counts x and y, and the part of its mean that a square accounts for.
    """
    log = np.append(np.arange(-np.log(4.0 * n), -0.05, np.log(STEP)), np.log(0.98))
    p = np.exp(log)
    (x, wx), (y, wy) = _nodes(m, p), _nodes(n, p)
    of = OVER_BINS[name]
    shape = (len(p), NODES, NODES)
    q_all, p_all = (np.broadcast_to(v, shape).reshape(-1, 1) for v in (x[:, :, None] / m, y[:, None, :] / n))
    f = of.of(p_all, q_all, n, m).reshape(shape)
    if of.root:
        f = f**2
    if name == "kl":
        f -= (q_all - p_all).reshape(shape)  # its parts sum to nothing, and are most of each cell's
    weight = wx[:, :, None] * wy[:, None, :]
    mean = (f * weight).sum(axis=(1, 2))
    f -= mean[:, None, None]
    x, y = (x - (x * wx).sum(axis=1)[:, None])[:, :, None], (y - (y * wy).sum(axis=1)[:, None])[:, None, :]
    wf = weight * f
    wff = wf * f
    by_x, by_y, by_xx, by_yy = wf.sum(axis=2), wf.sum(axis=1), wff.sum(axis=2), wff.sum(axis=1)
    x, y = x[:, :, 0], y[:, 0, :]
    rows = [mean, by_xx.sum(axis=1), (wff * f).sum(axis=(1, 2)), (by_x * x).sum(axis=1), (by_y * y).sum(axis=1),
            (by_xx * x).sum(axis=1), (by_yy * y).sum(axis=1), (by_x * x**2).sum(axis=1), (by_y * y**2).sum(axis=1),
            np.einsum("pij,pi,pj->p", wf, x, y)]  # fmt: skip
    v = p * (1.0 - p) / m, p * (1.0 - p) / n
    apart = (x[:, :, None] / m - y[:, None, :] / n) ** 2 - (v[0] + v[1])[:, None, None]
    rows.append((wf * apart).sum(axis=(1, 2)) * (v[0] + v[1]) / (weight * apart**2).sum(axis=(1, 2)))
    return log, np.array(rows) / p


def _nodes(rows: int, p: Floats) -> tuple[Floats, Floats]:
    """Counts of a binomial and their weights, both (shares, NODES)."""
    expected = (rows * p)[:, None]
    count = np.arange(float(NODES))[None, :]
    inside = count <= rows
    capped = np.minimum(count, rows)
    pmf = np.exp(gammaln(rows + 1.0) - gammaln(capped + 1.0) - gammaln(rows - capped + 1.0)
                 + xlogy(capped, p[:, None]) + xlog1py(rows - capped, -p[:, None])) * inside  # fmt: skip
    std = np.sqrt(expected * (1.0 - p[:, None]))
    spread = np.maximum(expected + std * _Z + (1.0 - 2.0 * p[:, None]) * (_Z**2 - 1.0) / 6.0, 0.0)
    few = expected <= COUNTED
    weight = np.where(few, pmf, _PHI[None, :])
    return np.where(few, capped, spread), weight / weight.sum(axis=1, keepdims=True)
