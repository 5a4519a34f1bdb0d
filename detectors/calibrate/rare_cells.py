"""The law of a sum over cells of which some are rare: their own laws, convolved with what the moments leave of the rest.

For many features at once: a law is a row of an array, and which rows lie beside it does not change its last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc, gammainccinv, gammaln, ndtr, ndtri

from detectors.calibrate.cell_laws import BENT, COUNTED, nodes, parts, rule
from detectors.calibrate.null import TAILS, NullTable
from detectors.columns import Bools, Floats, Ints

SYMMETRIC = 0.02  # less skew than this is none
YIELDING = 0.2  # of all rows in rare cells: up to here the common ones give them their rows one cell at a time
ALONE, NEAR = 6, 0.35  # over so many rare cells, those whose logarithms lie within NEAR share a law
GRID, OF_TWO = 256, 512  # points of the sum's value; of two cells, whose values are steps, more
FARTHEST = 1e-12
FEW = 80.0  # rows of the reference in a cell, of which a part of chi-square depends too steeply for few nodes
_STEPS = np.array(
    [0.5, 1.0, 2.0, 4.0, 6.5, 9.0, 12.0, 16.0, COUNTED, FEW, np.inf]
)  # expected rows; laws of a step are made together
AT_ONCE = 32_768  # nodes, that fit in a core's cache
GAUSS = np.sqrt(1.0 / 12.0)  # both nodes of an interval of width 1, either way from its middle
AS_THEY_ARE = 6  # intervals from where a density may begin without end; beyond, the two nodes err by less than 1e-5 of it
LEAST_OVER = -1.0 + 1e-9


Side = tuple[Floats, Bools]  # of a feature its shares, and which are rare; both (cells,)


def convolved(names: Sequence[str], sides: Sequence[Side], moments: Floats, n: int, m: int) -> list[list[NullTable]]:
    """moments: (3, names, features). Of each name the laws of all features' sums."""
    out = [[NullTable(TAILS)] * len(sides) for _ in names]
    for grid in (GRID, OF_TWO):
        mine = [i for i, (shares, _) in enumerate(sides) if (len(shares) == 2) == (grid == OF_TWO)]
        if not mine:
            continue
        some = [sides[i] for i in mine]
        counts = list(_counts(some, n, m, grid == GRID and BENT not in names))
        for at, name in enumerate(names):
            made = _convolved(name, some, counts, moments[:, at, mine], n, m, grid)
            for i, table in zip(mine, made, strict=True):
                out[at][i] = table
    return out


def _convolved(
    name: str, sides: Sequence[Side], counts: Sequence[Counts], moments: Floats, n: int, m: int, grid: int
) -> list[NullTable]:
    mean, variance, third = moments
    std = np.sqrt(variance)
    values = [_values(name, of.x, of.y, of.both, of.yields, n, m) for of in counts]
    owner, times = (np.concatenate([of.owner for of in counts]), np.concatenate([of.times for of in counts]))
    apart = np.concatenate([_moments(value, of.weight) for value, of in zip(values, counts, strict=True)], axis=1)
    left = moments - np.array([np.bincount(owner, of * times, len(sides)) for of in apart])
    if grid == OF_TWO:
        common = np.array([shares[~rare].sum() for shares, rare in sides])
        left[1:, common >= 1.0 - YIELDING] = 0.0  # the two cells say the same
    left_std = np.sqrt(np.maximum(left[1], 1e-4 * variance))
    skew = np.maximum(left[2], 0.0) / (left_std * left_std * left_std)
    low = np.minimum(0.0, left[0] - np.where(skew < SYMMETRIC, 8.0, 2.0 / np.maximum(skew, SYMMETRIC)) * left_std)
    least = np.concatenate([np.minimum(0.0, value.min(axis=1)) for value in values])
    below = low + np.bincount(owner, least * times, len(sides))
    step = (1.5 * _farthest(mean, std, third / (std * std * std)) - below) / grid
    spectra = np.fft.rfft(_pearson_masses((low - left[0]) / left_std, step / left_std, skew, grid), 2 * grid, axis=1)
    at = 0
    for value, of in zip(values, counts, strict=True):
        rows = slice(at, at + len(value))
        at += len(value)
        spectrum = np.fft.rfft(_spread(value, of.weight, least[rows], step[of.owner], grid), 2 * grid, axis=1)
        one = spectrum.copy() if of.most > 1 else spectrum
        for time in range(2, of.most + 1):
            again = np.flatnonzero(of.times >= time)
            spectrum[again] *= one[again]
        for some in of.turns:
            spectra[of.owner[some]] *= spectrum[some]
    upwards = np.cumsum(np.maximum(np.fft.irfft(spectra, 2 * grid, axis=1)[:, :grid], 0.0)[:, ::-1], axis=1)[:, ::-1]
    log = np.log(np.maximum(np.minimum(upwards / upwards[:, :1], 1.0), 1e-300))
    places = below[:, None] + step[:, None] * (np.arange(grid) - 0.5)
    return NullTable.from_survivals(places, log, (upwards > FARTHEST / 100.0).sum(axis=1))


@dataclass(slots=True)
class Counts:
    """Of rare cells of a kind the counts, which are the same whatever the statistic.

    x, y: of window and reference (laws, nodes of each). weight: of both together (laws, nodes). owner: the feature. times: how many of
    its cells have the law. both: the share of the cell and of those that yield. turns: as _by_turns has them.
    """

    x: Floats
    y: Floats
    weight: Floats
    owner: Ints
    times: Ints
    both: Floats
    yields: bool
    turns: list[Ints]

    @property
    def most(self) -> int:
        """Of how many cells one law is at the most."""
        return int(self.times.max())


def _counts(sides: Sequence[Side], n: int, m: int, smooth: bool) -> Iterator[Counts]:
    """Of all features' rare cells, those of a kind together."""
    p, times, owner = _alike([shares[rare] for shares, rare in sides])
    common = np.array([float(shares[~rare].sum()) for shares, rare in sides])[owner]
    common = np.where(common >= 1.0 - YIELDING, common, 0.0)
    kinds = (np.searchsorted(_STEPS, m * p) * len(_STEPS) + np.searchsorted(_STEPS, n * p)) * 2 + (common > 0.0)
    for kind in np.unique(kinds).tolist():
        mine = np.flatnonzero(kinds == kind)
        most = [float(_STEPS[step]) for step in divmod(kind // 2, len(_STEPS))]
        x, y = nodes(m, p[mine], most=most[0]), nodes(n, p[mine], COUNTED, rule(n, m, smooth and most[1] > FEW), most[1])
        each = 1 + AT_ONCE // (x[0].shape[1] * y[0].shape[1])
        for part in (slice(i, i + each) for i in range(0, len(mine), each)):
            some = mine[part]
            weight = (x[1][part, :, None] * y[1][part, None, :]).reshape(len(some), -1)
            turns = list(_by_turns(owner[some]))
            yield Counts(x[0][part], y[0][part], weight, owner[some], times[some], p[some] + common[some], kind % 2 == 1, turns)


def _moments(value: Floats, weight: Floats) -> Floats:
    """The first three of each law: (3, laws)."""
    own = (value * weight).sum(axis=1)
    away = value - own[:, None]
    wide = weight * away * away
    return np.array([own, wide.sum(axis=1), (wide * away).sum(axis=1)])


def _spread(value: Floats, weight: Floats, least: Floats, step: Floats, grid: int) -> Floats:
    """The laws on a grid of so many points, `step` (laws,) apart from `least` on: (laws, grid)."""
    at = np.minimum((value - least[:, None]) * (1.0 / step)[:, None], grid - 1.001)
    whole = at.astype(np.int64)
    upper = weight * (at - whole)
    place = whole + grid * np.arange(len(value))[:, None]
    mass = np.bincount(place.ravel(), (weight - upper).ravel(), grid * len(value))
    mass += np.bincount(place.ravel() + 1, upper.ravel(), grid * len(value))
    return np.asarray(mass.reshape(len(value), grid))


def _alike(rare: Sequence[Floats]) -> tuple[Floats, Ints, Ints]:
    """The shares whose laws are made, how many cells each stands for, and the feature; all of shape (laws,)."""
    every, many = np.concatenate(rare), np.array([len(shares) for shares in rare])
    owner = np.repeat(np.arange(len(rare)), many)
    order = np.lexsort((every, owner))
    every = every[order]
    group = np.where((many > ALONE)[owner], np.round(np.log(every) / NEAR), every)  # where they are few, those that are the same
    starts = np.flatnonzero(np.concatenate([[True], (group[1:] != group[:-1]) | (owner[1:] != owner[:-1])]))
    times = np.diff(starts, append=len(every))
    return np.add.reduceat(every, starts) / times, times, owner[starts]


def _farthest(mean: Floats, std: Floats, skew: Floats) -> Floats:
    """The values that are passed with probability FARTHEST, (features,)."""
    shape = 4.0 / np.maximum(skew, SYMMETRIC) ** 2
    long = (gammainccinv(shape, FARTHEST) - shape) / np.sqrt(shape)
    return np.asarray(mean + std * np.where(skew < SYMMETRIC, -ndtri(FARTHEST), long))


def _by_turns(of: Ints) -> Iterator[Ints]:
    """Places of `of`, ascending, in parts that have each feature once: the first of every feature, then the second ones, ..."""
    first = of.searchsorted(of)
    turn = np.arange(len(of)) - first
    for at in range(int(turn.max()) + 1):
        yield np.flatnonzero(turn == at)


def _pearson_masses(low: Floats, step: Floats, skew: Floats, grid: int) -> Floats:
    """Of laws of these skews (features,), the probability of each place of the grid that begins at low: (features, grid).

    low, step: in standard deviations from the mean. What lies below is the first place's.
    """
    edges = np.arange(grid + 1) - 0.5
    out = np.empty((len(low), grid))
    normal = skew < SYMMETRIC
    below = ndtr(low[normal, None] + step[normal, None] * edges)
    out[normal] = np.diff(below, axis=1)
    out[normal, 0] += below[:, 0]
    if not normal.all():
        out[~normal] = _gamma_masses(low[~normal], step[~normal], skew[~normal], grid)
    return out


def _gamma_masses(low: Floats, step: Floats, skew: Floats, grid: int) -> Floats:
    """By Gauss and Legendre's two nodes a place; those where the law begins, which may be without end there, as they are."""
    shape, by = (4.0 / (skew * skew))[:, None], (skew / 2.0)[:, None]
    start = (-2.0 / skew - low) / step  # of the law, a place on the grid
    first = np.minimum(np.floor(start + 0.5).astype(np.int64), grid)
    out = np.zeros((len(low), grid + AS_THEY_ARE))
    scale = shape * np.log(shape) - shape - gammaln(shape) + np.log(step[:, None] * by)
    scale += np.log(0.5)
    for node in (-GAUSS, GAUSS):
        over = np.maximum((low[:, None] + step[:, None] * (np.arange(grid) + node)) * by, LEAST_OVER)
        density = np.log(1.0 + over)
        density *= shape - 1.0
        over *= shape
        density -= over
        density += scale
        out[:, :grid] += np.exp(density, out=density)
    out[np.arange(grid + AS_THEY_ARE) < first[:, None]] = 0.0
    near = first[:, None] + np.arange(AS_THEY_ARE + 1)
    below = gammainc(shape, np.maximum(near - 0.5 - start[:, None], 0.0) * step[:, None] / by)
    np.put_along_axis(out, near[:, :-1], np.diff(below, axis=1), axis=1)
    return out[:, :grid]


def _values(name: str, x: Floats, y: Floats, both: Floats, yields: bool, n: int, m: int) -> Floats:
    """A rare cell's part at these counts of window and reference, (laws, nodes).

    yields: with that of the common cells, which take and give their rows. both: (laws,) the share of all these cells.
    """
    q, r = x[:, :, None] / m, y[:, None, :] / n
    value = parts(name, q, r, n, m)
    if yields:
        whole = both[:, None, None]
        value += parts(name, np.maximum(whole - q, 0.0), np.maximum(whole - r, 0.0), n, m)
    return value.reshape(len(x), -1)
