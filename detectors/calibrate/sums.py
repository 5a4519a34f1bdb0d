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

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.special import gammainccinv, ndtri

from detectors.calibrate.cell_laws import BENT, COUNTED, FINE, MOMENTS, nodes, parts
from detectors.calibrate.kept import Kept, together
from detectors.calibrate.null import TAILS, NullTable
from detectors.calibrate.rare_cells import convolved
from detectors.calibrate.statistics import OVER_BINS
from detectors.columns import Floats, Ints

STEP = 0.14  # of the logarithm, between the shares of the table
BLOCK = 6  # steps that are tabulated together, when a share of theirs is first asked for
HIGHEST = 0.98
RARE, MANY = 24, 40  # rare cells whose laws are made, and cells of whose sum they are no great part
FEW_ROWS, SMALL_SHARE = COUNTED, 0.25  # a rare cell expects fewer rows, and has a smaller share
STEP_SKEW, MOST_SKEW = 0.02, 4.0  # of the table of Pearson's laws
_PEARSON = np.minimum(TAILS, 1.0 - 1e-6)


def sum_null(name: str, shares: Floats, reference_rows: int, rows: int) -> NullTable:
    """Null of a statistic of OVER_BINS that is a sum, at shares (cells,) > 0 whose sum is 1. Raises KeyError for another name."""
    return sum_nulls(name, [shares], reference_rows, rows)[0]


def sum_nulls(name: str, many: Sequence[Floats], reference_rows: int, rows: int) -> list[NullTable]:
    """The same of many features' shares at once: to the last bit what each alone has, at a tenth of the time."""
    return sums_nulls((name,), many, reference_rows, rows)[0]


def sums_nulls(names: Sequence[str], many: Sequence[Floats], reference_rows: int, rows: int) -> list[list[NullTable]]:
    """The same of several statistics of these features."""
    if not many or not names:
        return [[] for _ in names]
    starts = np.cumsum([0, *(len(shares) for shares in many)])
    every = np.concatenate(many)
    moments = _moments(names, every, starts[:-1], reference_rows, rows)
    rare = (rows * every < FEW_ROWS) & (every < SMALL_SHARE)
    rare[[int(np.argmax(shares)) + start for shares, start in zip(many, starts.tolist(), strict=False)]] = False
    few = np.add.reduceat(rare, starts[:-1], dtype=np.int64)
    with_laws = np.flatnonzero((few > 0) & (few <= RARE) & (np.diff(starts) <= MANY)).tolist()
    sides = [(many[i], rare[starts[i] : starts[i + 1]]) for i in with_laws]
    laws = convolved(names, sides, moments[:, :, with_laws], reference_rows, rows)
    without = np.setdiff1d(np.arange(len(many)), with_laws)
    out = []
    for at, name in enumerate(names):
        tables = dict(zip(with_laws, laws[at], strict=True))
        tables.update(zip(without.tolist(), map(NullTable, _pearson(*moments[:, at, without])), strict=True))
        out.append([tables[i].root() if OVER_BINS[name].root else tables[i] for i in range(len(many))])
    return out


def pearson(mean: float, variance: float, third: float) -> NullTable:
    """The Pearson type III law of a mean, a variance and a third central moment."""
    return NullTable(_pearson(*np.array([[mean], [variance], [third]]))[0])


def _pearson(mean: Floats, variance: Floats, third: Floats) -> Floats:
    """Its values at TAILS, of moments of shape (features,): (features, tails)."""
    std = np.sqrt(np.maximum(variance, 0.0))
    apart = std > 0.0
    skew = np.maximum(np.divide(third, std**2 * std, out=np.zeros(len(std)), where=apart), 0.0)
    out = mean[:, None] + std[:, None] * _deviates(skew)
    out[~apart] = mean[~apart, None] + np.linspace(0.0, 1e-9, len(TAILS))
    return np.asarray(out)


def _deviates(skew: Floats) -> Floats:
    """At TAILS, those of the law of each skew (features,) >= 0, in standard deviations from its mean: (features, tails)."""
    place = skew / STEP_SKEW
    low = np.minimum(place, len(_laws()) - 2).astype(np.int64)
    out = _laws()[low] + (place - low)[:, None] * (_laws()[low + 1] - _laws()[low])
    beyond = place > len(_laws()) - 1
    if beyond.any():
        out[beyond] = _of_skew(skew[beyond])
    return np.asarray(out)


@lru_cache(maxsize=1)
def _laws() -> Floats:
    """Of skews from 0 on, STEP_SKEW apart: straight in between, deviates are off by less than 2e-4 of a standard deviation."""
    return np.concatenate([-ndtri(_PEARSON)[None, :], _of_skew(np.arange(STEP_SKEW, MOST_SKEW + STEP_SKEW / 2.0, STEP_SKEW))])


def _of_skew(skew: Floats) -> Floats:
    shape = 4.0 / skew[:, None] ** 2
    return np.asarray((gammainccinv(shape, _PEARSON) - shape) / np.sqrt(shape))


def _moments(names: Sequence[str], p: Floats, starts: Ints, n: int, m: int) -> Floats:
    """Mean, variance and third cumulant of each sum over each feature's cells, which begin at starts (features,): (3, names, features)."""

    def total(part: Floats) -> Floats:
        return np.asarray(np.add.reduceat(part, starts, axis=-1))

    f, ff, fff, fx, fy, ffx, ffy, fxx, fyy, fxy, square = _of_cells(names, p, n, m) * p
    of = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(p))))
    a, b = (total(fx) / m)[:, of], (total(fy) / n)[:, of]  # the residual of f on the counts: g = f - a x - b y
    xx, yy = m * p * (1.0 - p), n * p * (1.0 - p)
    xxx, yyy = xx * (1.0 - 2.0 * p), yy * (1.0 - 2.0 * p)
    rest = 1.0 / (1.0 - p)
    fx, fy = fx * rest, fy * rest
    variance = total(ff) - (total(fx) ** 2 - total(fx * fx)) / m - (total(fy) ** 2 - total(fy * fy)) / n
    of_x = -3.0 * a * ffx + 3.0 * a * a * fxx - a * a * a * xxx
    of_y = -3.0 * b * ffy + 3.0 * b * b * fyy - b * b * b * yyy
    third = total(fff + of_x + of_y + 6.0 * a * b * fxy)
    w = square * rest
    wp = w * p
    by_one, by_two = total(wp), total(w * wp)
    variance += 2.0 * (by_one**2 - total(wp * wp))
    third += 8.0 * (3.0 * (by_two * by_one - total(w * wp * wp)) - (by_one**2 * by_one - total(wp * wp * wp)))
    return np.array([total(f), variance, third])


def _of_cells(names: Sequence[str], p: Floats, n: int, m: int) -> Floats:
    """What a cell's part f has, over the share: (11, names, cells). See _block."""
    place = -np.log(np.minimum(p, HIGHEST)) / STEP
    of = (place / BLOCK).astype(np.int64)
    blocks, mine = np.unique(of, return_inverse=True)
    keys = [[(name, block, n, m) for block in blocks.tolist()] for name in names]
    _blocks.prepare(key for row in keys for key in row)
    tables = np.stack([np.concatenate([_blocks(key) for key in row], axis=1) for row in keys], axis=1)
    at = place - of * BLOCK
    low = np.minimum(at.astype(np.int64), BLOCK - 1)
    first = mine * (BLOCK + 1) + low
    out, beyond = tables.take(first, axis=2), tables.take(first + 1, axis=2)
    beyond -= out
    beyond *= at - low
    out += beyond
    return np.asarray(out)


@lru_cache(maxsize=512)
def _block_nodes(block: int, n: int, m: int, bent: bool) -> tuple[Floats, ...]:
    """Of BLOCK + 1 shares, descending: the shares, and counts of window and reference with their weights, (shares, nodes)."""
    p = np.minimum(np.exp(-STEP * (np.arange(BLOCK + 1) + float(block * BLOCK))), HIGHEST)
    few = COUNTED * np.exp(STEP * BLOCK)  # a block that crosses the border is counted one by one as a whole
    (x, wx), (y, wy) = (nodes(rows, p, few if rows * p[-1] <= COUNTED else COUNTED, FINE if bent else MOMENTS) for rows in (m, n))
    return p, x, wx, y, wy


def _block(of: tuple[int, int, int, bool], names: list[str]) -> Floats:
    """Of BLOCK + 1 shares, descending: (names, 11, shares). All over the share.

    The part's mean, central moments with itself and with the counts x and y, and the part of its mean that a square accounts for.
    """
    _, n, m, _ = of
    p, x, wx, y, wy = _block_nodes(*of)

    def mean_of(f: Floats) -> Floats:  # (names, shares, x, y) over y, (names, shares, x)
        return np.asarray((f @ wy[:, :, None])[..., 0])

    f = np.array([parts(name, x[:, :, None] / m, y[:, None, :] / n, n, m) for name in names])
    mean = (mean_of(f) * wx).sum(axis=-1)
    f -= mean[:, :, None, None]
    x, y = x - (x * wx).sum(axis=1)[:, None], y - (y * wy).sum(axis=1)[:, None]
    ff = f * f
    by_x, by_xx = mean_of(f) * wx, mean_of(ff) * wx
    by_y, by_yy = ((wx[:, None, :] @ each)[..., 0, :] * wy for each in (f, ff))
    fxy = ((f @ (wy * y)[:, :, None])[..., 0] * wx * x).sum(axis=-1)
    fff = (mean_of(ff * f) * wx).sum(axis=-1)
    v = p * (1.0 - p) / m, p * (1.0 - p) / n
    x2, y2 = x * x, y * y
    # (x / m - y / n)^2, which the part's square is held against: with f, and with itself
    with_f = (by_x * x2).sum(axis=-1) / m**2 - 2.0 * fxy / (m * n) + (by_y * y2).sum(axis=-1) / n**2
    (xx, x4), (yy, y4) = (((w * c).sum(axis=1) / r**2, (w * c * c).sum(axis=1) / r**4) for w, c, r in ((wx, x2, m), (wy, y2, n)))
    itself = x4 + 6.0 * xx * yy + y4 - 2.0 * (v[0] + v[1]) * (xx + yy) + (v[0] + v[1]) ** 2
    rows = [mean, by_xx.sum(axis=-1), fff, (by_x * x).sum(axis=-1), (by_y * y).sum(axis=-1),
            (by_xx * x).sum(axis=-1), (by_yy * y).sum(axis=-1), (by_x * x2).sum(axis=-1), (by_y * y2).sum(axis=-1),
            fxy, with_f * (v[0] + v[1]) / itself]  # fmt: skip
    return np.asarray(np.stack(rows, axis=1) / p)


_blocks: Kept[tuple[str, int, int, int], Floats] = Kept(
    lambda keys: together([((block, n, m, name == BENT), name) for name, block, n, m in keys], _block), 4096
)
