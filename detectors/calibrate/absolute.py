"""The null of a weighted sum of absolute differences: of shares (total variation), of distribution functions (Wasserstein).

Differences of two samples are normal, but for few rows. W = sum of w |D| then has a mean and a variance in closed form,

    E |X| = s sqrt(2 / pi),    Cov(|X|, |Y|) = 2 / pi s t (sqrt(1 - r^2) + r asin r - 1)    (Nabeya 1951)

and a tail as that of the widest sum of D with signs: log P(W > t) ~ -t^2 / 2 v, v its variance (Marcus, Shepp 1972). W^2 is taken
as v (2 G + c), G of a gamma law: one of one degree of freedom where all differences move as one, and held to all three.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy.special import chdtri, erfc, gamma, gammainccinv, gammaincinv

from detectors.calibrate.closed import effective_rows
from detectors.calibrate.greatest import greatest_changes
from detectors.calibrate.kept import together
from detectors.calibrate.null import TAILS, NullTable
from detectors.calibrate.sums import sum_nulls
from detectors.columns import Floats, Ints

MANY = 16  # bins: so many differences are nearly apart from each other
FEW_ROWS = 4.0
DIRECTIONS, POINTS, FARTHEST = 512, 32, 1e-12
# of directions in the order of their reach each of the nearest and of the farthest, which make the tail, stands for itself, and of the
# others four are taken as one: off by less than 1e-5 of the value
_SO_MANY: Floats = np.repeat([1.0, 4.0, 1.0], [16, (DIRECTIONS - 80) // 4, 64])
_FIRST = np.concatenate([[0], np.cumsum(_SO_MANY)[:-1]]).astype(np.int64)
CHI_STEP, CHI_END = 0.002, 12.0  # of the table of chi's law; what lies beyond has no part in a probability of 1e-15
_SHAPES: Floats = np.geomspace(0.04, 80.0, 100).astype(np.float64)
_RATIO = float(np.log(_SHAPES[1] / _SHAPES[0]))
_NODES: Floats = np.linspace(1.0 / 96.0, 1.0 - 1.0 / 96.0, 48).astype(np.float64)


def absolute_null(weights: Floats, upto: Floats) -> NullTable:
    """Of sum w |B(u)|, where B is a Brownian bridge at u = upto (k,), ascending in (0, 1), and weights (k,) >= 0."""
    return absolute_nulls([(weights, upto)])[0]


def absolute_nulls(many: Sequence[tuple[Floats, Floats]]) -> list[NullTable]:
    """The same of many at once: to the last bit what each alone has."""
    wanted = []
    for weights, upto in many:
        std = weights * np.sqrt(np.maximum(upto * (1.0 - upto), 0.0))
        there = std > 0
        wanted.append((int(there.sum()), (std[there], upto[there])))
    return together(wanted, _of_bridges)


def _of_bridges(cells: int, many: list[tuple[Floats, Floats]]) -> list[NullTable]:
    """Of weighted deviations and where they are, each (cells,)."""
    if cells == 0:
        return [NullTable(np.linspace(0.0, 1e-9, len(TAILS)))] * len(many)
    std, upto = (np.array([one[i] for one in many]) for i in range(2))
    odds = np.sqrt(upto / (1.0 - upto))
    r = odds[:, :, None] / odds[:, None, :]
    r = np.minimum(r, r.transpose(0, 2, 1))
    mean = std.sum(axis=1) * np.sqrt(2.0 / np.pi)
    together_less = np.sqrt(np.maximum(1.0 - r * r, 0.0)) + r * np.arcsin(r) - 1.0
    variance, widest = ((std[:, None, :] @ of @ std[:, :, None])[:, 0, 0] for of in (2.0 / np.pi * together_less, r))
    square = (mean * mean + variance) / (2.0 * widest)  # E W^2, where the gamma's scale is 1
    values = square[:, None] + _beyond(_shapes(square, mean / np.sqrt(2.0 * widest)))
    return [NullTable(one) for one in np.sqrt(np.maximum(2.0 * widest[:, None] * values, 0.0))]


def _shapes(square: Floats, mean: Floats) -> Floats:
    """Of the gamma laws G for which 2 G + c has this mean, and its root that one, as near as they can; all (laws,)."""

    def means(of: Ints) -> Floats:
        return np.asarray(np.sqrt((square - _SHAPES[of])[:, None] + _gammas()[of]).mean(axis=1))

    low, high = np.zeros(len(square), dtype=np.int64), np.searchsorted(_SHAPES, square, side="right") - 1  # W^2 is not below 0
    least, most = means(high), means(low)  # E W falls as the shape grows
    for _ in range(len(_SHAPES).bit_length()):
        middle = (low + high) // 2
        found = means(middle)
        up, down = (found >= mean) & (middle > low), (found < mean) & (middle > low)
        low, most = np.where(up, middle, low), np.where(up, found, most)
        high, least = np.where(down, middle, high), np.where(down, found, least)
    part = np.clip(np.divide(most - mean, most - least, out=np.zeros(len(mean)), where=most > least), 0.0, 1.0)
    return np.asarray(np.exp(np.log(_SHAPES[low]) + part * np.log(_SHAPES[high] / _SHAPES[low])))


def _beyond(shape: Floats) -> Floats:
    """What gamma variates of these shapes (laws,) are at TAILS less their mean, (laws, tails)."""
    place = np.log(shape / _SHAPES[0]) / _RATIO
    low = np.clip(place.astype(np.int64), 0, len(_SHAPES) - 2)
    return np.asarray(_excess()[low] + (place - low)[:, None] * (_excess()[low + 1] - _excess()[low]))


@lru_cache(maxsize=1)
def _excess() -> Floats:
    """The same of _SHAPES, (shapes, tails)."""
    return np.asarray(gammainccinv(_SHAPES[:, None], np.minimum(TAILS, 1.0 - 1e-9)) - _SHAPES[:, None])


@lru_cache(maxsize=1)
def _gammas() -> Floats:
    """Gamma variates of every shape at equal probabilities, their mean made exact: (shapes, nodes)."""
    found = gammaincinv(_SHAPES[:, None], _NODES[None, :])
    return np.asarray(found * (_SHAPES / found.mean(axis=1))[:, None])


def total_variation_null(shares: Floats, reference_rows: int, rows: int) -> NullTable:
    """Of half the sum of |p - q| over bins of these shares (k,).

    Up to three bins it is the greatest change of one. Many bins, or few rows in those that move most: a sum of cells. Else
    normal differences lie in a direction apart from how far they lie, so P(tv > t) is the mean over directions u of
    P(chi > t / tv(u)), with k - 1 degrees of freedom: few directions reach any tail.
    """
    return total_variation_nulls([shares], reference_rows, rows)[0]


def total_variation_nulls(many: Sequence[Floats], reference_rows: int, rows: int) -> list[NullTable]:
    """The same of many features' shares at once."""
    summed = [i for i, shares in enumerate(many) if _summed(shares, rows)]
    few = [i for i, shares in enumerate(many) if len(shares) <= 3]
    made = dict(zip(summed, sum_nulls("tv", [many[i] for i in summed], reference_rows, rows), strict=True))
    made.update(zip(few, greatest_changes([many[i] for i in few], reference_rows, rows) if few else [], strict=True))
    for i, shares in enumerate(many):
        if i not in made:
            made[i] = _by_directions(shares.tobytes()).scaled(1.0 / np.sqrt(effective_rows(reference_rows, rows)))
    return [made[i] for i in range(len(many))]


def _summed(shares: Floats, rows: int) -> bool:
    std = np.sqrt(shares * (1.0 - shares))
    return len(shares) > MANY or (len(shares) > 3 and float(std[rows * shares < FEW_ROWS].sum()) >= 0.5 * float(std.sum()))


@lru_cache(maxsize=8192)
def _by_directions(of: bytes) -> NullTable:
    """Of one effective row: with more all of it shrinks with their root."""
    shares = np.frombuffer(of)
    root = np.sqrt(shares)
    ways, squares = _deviates()
    way = ways[:, : len(shares)]
    along = way @ root
    reach = np.abs(way - along[:, None] * root) @ root / (2.0 * np.sqrt(squares[:, len(shares) - 1] - along * along))
    reach.sort()
    some = np.add.reduceat(reach, _FIRST) / _SO_MANY
    freedom = len(shares) - 1
    at = np.sqrt(np.linspace(0.02, 1.0, POINTS) * float(chdtri(freedom, FARTHEST))) * float(reach[-1])
    survival, slope = (table[freedom] for table in _chi())
    place = np.minimum(at[:, None] * (1.0 / (CHI_STEP * some))[None, :], len(survival) - 1.001)
    whole = place.astype(np.int64)
    found = (survival[whole] + (place - whole) * slope[whole]) @ _SO_MANY / DIRECTIONS
    return NullTable.from_survival(at, np.log(np.maximum(found, 1e-300)))


def chi_survival(freedom: int) -> tuple[Floats, Floats]:
    """P(chi > t) at t = 0, CHI_STEP, ... CHI_END, and what it adds by the next. Straight in between it is off by 1e-4 of itself at the most."""
    survival, slope = _chi()
    return survival[freedom], slope[freedom]


@lru_cache(maxsize=1)
def _chi() -> tuple[Floats, Floats]:
    """The same for each freedom up to MANY, from that of one or two: Q(k + 2) = Q(k) + (t^2 / 2)^(k / 2) exp(-t^2 / 2) / gamma(k / 2 + 1)."""
    t = np.arange(0.0, CHI_END, CHI_STEP)
    found, half = np.zeros((MANY + 1, len(t))), t * t / 2.0
    fall = np.exp(-half)
    found[1], found[2] = erfc(t * np.sqrt(0.5)), fall
    for k in range(3, MANY + 1):
        found[k] = found[k - 2] + half ** (k / 2.0 - 1.0) * fall / gamma(k / 2.0)
    return found, np.diff(found, axis=1, append=0.0)


@lru_cache(maxsize=1)
def _deviates() -> tuple[Floats, Floats]:
    """Directions, and the squares of their lengths in the first dimensions; both (DIRECTIONS, MANY)."""
    found = np.random.default_rng(1).standard_normal((DIRECTIONS, MANY))
    return found, np.cumsum(found * found, axis=1)
