"""The null of a statistic that is a sum over cells, without a draw: three moments of the sum, and the laws of its rare cells.

A cell of share p holds x ~ Binomial(m, p) rows of the window and y ~ Binomial(n, p) of the reference. The moments of its
part f(x, y) depend on p alone, so they are tabulated over p for both numbers of rows, for all features together.
That all counts sum to m and to n takes out what is linear in them (Holst 1979, Morris 1975: a conditional sum has the
moments of its residual on the counts) and, for the part that is a square, the one degree of freedom that they share:

    z ~ N(0, I - sqrt(p) sqrt(p)'), sum of w z^2:   variance 2 tr(A^2), third cumulant 8 tr(A^3),  A = W (I - sqrt(p) sqrt(p)')

Cells in which few rows are expected step from value to value and have long tails: of at most RARE of them the laws
themselves are convolved, each with what the other cells, taken together, do where it has taken their rows. The rest of the
sum is what the moments leave, and has the Pearson type III law of it: where counts are great this is chi-square itself.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import gammaincc, gammainccinv, ndtr, ndtri

from detectors.calibrate.cell_laws import COARSE, COUNTED, FAR_MORE, FINE, nodes, parts
from detectors.calibrate.null import TAILS, NullTable
from detectors.calibrate.statistics import OVER_BINS
from detectors.columns import Floats, Ints

STEP = 0.14  # of the logarithm, between the shares of the table
BLOCK = 6  # steps that are tabulated together, when a share of theirs is first asked for
HIGHEST = 0.98
SYMMETRIC = 0.02  # less skew than this is none
RARE, MANY = 24, 40  # rare cells whose laws are made, and cells of whose sum they are no great part
FEW_ROWS, SMALL_SHARE = 20.0, 0.25  # a rare cell expects fewer rows, and has a smaller share
YIELDING = 0.2  # of all rows in rare cells: up to here the common ones give them their rows one cell at a time
ALONE, NEAR = 6, 0.35  # over so many rare cells, those whose logarithms lie within NEAR share a law
GRID, OF_TWO = 256, 512  # points of the sum's value; of two cells, whose values are steps, more
FARTHEST = 1e-12


def sum_null(name: str, shares: Floats, reference_rows: int, rows: int) -> NullTable:
    """Null of a statistic of OVER_BINS that is a sum, at shares (cells,) > 0 whose sum is 1. Raises KeyError for another name."""
    moments = _moments(name, shares, reference_rows, rows)
    rare = (rows * shares < FEW_ROWS) & (shares < SMALL_SHARE)
    rare[int(np.argmax(shares))] = False
    some = 0 < int(rare.sum()) <= RARE and len(shares) <= MANY
    table = _convolved(name, shares, rare, moments, reference_rows, rows) if some else pearson(*moments)
    return NullTable(np.sqrt(np.maximum(table.values, 0.0))) if OVER_BINS[name].root else table


def pearson(mean: float, variance: float, third: float) -> NullTable:
    """The Pearson type III law of a mean, a variance and a third central moment."""
    std = float(np.sqrt(max(variance, 0.0)))
    if std <= 0.0:
        return NullTable(np.linspace(mean, mean + 1e-9, len(TAILS)))
    return NullTable(_pearson_values(mean, std, third / std**3, np.minimum(TAILS, 1.0 - 1e-6)))


def _pearson_values(mean: float, std: float, skew: float, tails: Floats) -> Floats:
    if skew < SYMMETRIC:
        return np.asarray(mean - std * ndtri(tails), dtype=np.float64)
    shape = 4.0 / skew**2
    return np.asarray(mean + std * (gammainccinv(shape, tails) - shape) / np.sqrt(shape), dtype=np.float64)


def _convolved(name: str, shares: Floats, rare: np.ndarray, moments: tuple[float, float, float], n: int, m: int) -> NullTable:
    """The law of the sum on a grid of values: rare cells one by one, and the rest by the moments that are left."""
    grid = OF_TWO if len(shares) == 2 else GRID
    common = float(shares[~rare].sum())
    yielding = common if common >= 1.0 - YIELDING else 0.0
    apart, times = _alike(shares[rare])
    few = n * apart <= COUNTED
    laws = [(*_rare_laws(name, apart[part], yielding, n, m), times[part]) for part in (few, ~few) if part.any()]
    mean, variance, third = moments
    std = float(np.sqrt(variance))
    left = np.array(moments)
    for value, weight, of in laws:
        own = (value * weight).sum(axis=1)
        away = value - own[:, None]
        wide = weight * away**2
        left -= own @ of, wide.sum(axis=1) @ of, (wide * away).sum(axis=1) @ of
    if len(shares) == 2 and yielding:
        left[1:] = 0.0  # the two cells say the same
    left_std = float(np.sqrt(max(left[1], 1e-4 * variance)))
    skew = max(float(left[2]), 0.0) / left_std**3
    low = min(0.0, left[0] - (8.0 if skew < SYMMETRIC else 2.0 / skew) * left_std)
    lows = [np.minimum(0.0, value.min(axis=1)) for value, _, _ in laws]
    below = low + sum(float(least @ of) for least, (_, _, of) in zip(lows, laws, strict=True))
    step = (1.5 * float(_pearson_values(mean, std, third / std**3, np.array([FARTHEST]))[0]) - below) / grid
    survival = _pearson_survival(low + step * (np.arange(grid + 1) - 0.5), float(left[0]), left_std, skew)
    rest = -np.diff(survival)
    rest[0] += 1.0 - survival[0]
    spectrum = np.fft.rfft(rest, 2 * grid)
    for (value, weight, of), least in zip(laws, lows, strict=True):
        at = np.minimum((value - least[:, None]) / step, grid - 1.001)
        whole = at.astype(np.int64)
        upper = weight * (at - whole)
        place = whole + grid * np.arange(len(value))[:, None]
        mass = np.bincount(place.ravel(), (weight - upper).ravel(), grid * len(value))
        mass += np.bincount(place.ravel() + 1, upper.ravel(), grid * len(value))
        of_each = np.fft.rfft(mass.reshape(len(value), grid), 2 * grid, axis=1)
        spectrum *= np.prod(of_each if of.max() == 1 else of_each ** of[:, None], axis=0)
    upwards = np.cumsum(np.maximum(np.fft.irfft(spectrum, 2 * grid)[:grid], 0.0)[::-1])[::-1]
    keep = upwards > FARTHEST / 100.0
    values = below + step * (np.arange(grid) - 0.5)
    return NullTable.from_survival(values[keep], np.log(np.minimum(upwards[keep] / upwards[0], 1.0)))


def _alike(shares: Floats) -> tuple[Floats, Ints]:
    """The shares whose laws are made, and how many cells each stands for; both of shape (laws,)."""
    if len(shares) <= ALONE:
        return shares, np.ones(len(shares), dtype=np.int64)
    _, group, times = np.unique(np.round(np.log(shares) / NEAR), return_inverse=True, return_counts=True)
    return np.bincount(group, shares) / times, times


def _pearson_survival(values: Floats, mean: float, std: float, skew: float) -> Floats:
    if skew < SYMMETRIC:
        return np.asarray(ndtr((mean - values) / std))
    shape = 4.0 / skew**2
    return np.asarray(gammaincc(shape, np.maximum((values - mean) / std * np.sqrt(shape) + shape, 0.0)))


def _rare_laws(name: str, p: Floats, common: float, n: int, m: int) -> tuple[Floats, Floats]:
    """Values of rare cells' parts and their weights, (cells, nodes); with that of the common cells, which take and give their rows.

    common: the share of these, 0 to leave them out.
    """
    (x, wx), (y, wy) = nodes(m, p, FEW_ROWS), nodes(n, p, deviates=COARSE if n > FAR_MORE * m else FINE)
    q, r = np.broadcast_arrays(x[:, :, None] / m, y[:, None, :] / n)
    value = parts(name, q, r, n, m)
    if common:
        both = common + p[:, None, None]
        value = value + parts(name, np.maximum(both - q, 0.0), np.maximum(both - r, 0.0), n, m)
    return value.reshape(len(p), -1), (wx[:, :, None] * wy[:, None, :]).reshape(len(p), -1)


def _moments(name: str, p: Floats, n: int, m: int) -> tuple[float, float, float]:
    """Mean, variance and third cumulant of the sum over all cells."""
    f, ff, fff, fx, fy, ffx, ffy, fxx, fyy, fxy, square = _of_cells(name, p, n, m) * p
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


def _of_cells(name: str, p: Floats, n: int, m: int) -> Floats:
    """What a cell's part f has, over the share: (11, cells). See _block."""
    place = -np.log(np.minimum(p, HIGHEST)) / STEP
    blocks = (place / BLOCK).astype(np.int64)
    out = np.empty((11, len(p)))
    for block in np.unique(blocks).tolist():
        mine = blocks == block
        at = place[mine] - block * BLOCK
        low = np.minimum(at.astype(np.int64), BLOCK - 1)
        table = _block(name, block, n, m)
        out[:, mine] = table[:, low] + (table[:, low + 1] - table[:, low]) * (at - low)
    return out


@lru_cache(maxsize=4096)
def _block(name: str, block: int, n: int, m: int) -> Floats:
    """Of BLOCK + 1 shares, descending: (11, shares). All over the share.

    The part's mean, central moments with itself and with the counts x and y, and the part of its mean that a square accounts for.
    """
    p = np.minimum(np.exp(-STEP * (np.arange(BLOCK + 1) + float(block * BLOCK))), HIGHEST)
    few = COUNTED * np.exp(STEP * BLOCK)  # a block that crosses the border is counted one by one as a whole
    (x, wx), (y, wy) = (nodes(rows, p, few if rows * p[-1] <= COUNTED else COUNTED) for rows in (m, n))
    q, r = np.broadcast_arrays(x[:, :, None] / m, y[:, None, :] / n)
    f = parts(name, q, r, n, m)
    mean = np.einsum("pij,pi,pj->p", f, wx, wy)
    f = f - mean[:, None, None]
    x, y = x - (x * wx).sum(axis=1)[:, None], y - (y * wy).sum(axis=1)[:, None]
    wf = (wx[:, :, None] * wy[:, None, :]) * f
    wff = wf * f
    by_x, by_y, by_xx, by_yy = wf.sum(axis=2), wf.sum(axis=1), wff.sum(axis=2), wff.sum(axis=1)
    fxy = ((wf @ y[:, :, None])[:, :, 0] * x).sum(axis=1)
    v = p * (1.0 - p) / m, p * (1.0 - p) / n
    # (x / m - y / n)^2, which the part's square is held against: with f, and with itself
    with_f = (by_x * x**2).sum(axis=1) / m**2 - 2.0 * fxy / (m * n) + (by_y * y**2).sum(axis=1) / n**2
    (xx, x4), (yy, y4) = (((w * c**2).sum(axis=1) / r**2, (w * c**4).sum(axis=1) / r**4) for w, c, r in ((wx, x, m), (wy, y, n)))
    itself = x4 + 6.0 * xx * yy + y4 - 2.0 * (v[0] + v[1]) * (xx + yy) + (v[0] + v[1]) ** 2
    rows = [mean, by_xx.sum(axis=1), (wff * f).sum(axis=(1, 2)), (by_x * x).sum(axis=1), (by_y * y).sum(axis=1),
            (by_xx * x).sum(axis=1), (by_yy * y).sum(axis=1), (by_x * x**2).sum(axis=1), (by_y * y**2).sum(axis=1),
            fxy, with_f * (v[0] + v[1]) / itself]  # fmt: skip
    return np.asarray(np.array(rows) / p)
