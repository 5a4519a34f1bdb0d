"""Nulls that need no draws: Kolmogorov-Smirnov, the shift of ranks, and shares of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import erfc, gammaln, ndtr

from detectors.calibrate.null import NullTable
from detectors.columns import Bools, Floats
from detectors.kolmogorov import survival
from detectors.pvalues import kuiper_p

STEPS = 40  # of either tail's curve
KS_POINTS = 80
RANK_CELLS = 64
FARTHEST = 7.5  # standard deviations to which the saddlepoint's curve is drawn
_TILTS = np.linspace(0.05, FARTHEST, STEPS)
_FURTHER = 0.6 * np.linspace(0, 1, STEPS) ** 2 * FARTHEST
_EITHER = np.array([[1.0], [-1.0]])
_PLACES: Floats = np.arange(1.0, 121.0) / 120.0
_ZERO, _HALF = np.zeros(1), np.full(1, 0.5)
_NOTHING = np.array([0.0, 1.0]), np.sqrt([-np.log(0.5), 700.0])  # where nothing moves
EXACT_HITS = 2_000  # with more hits in both, the likelihood ratio's root is as good as the exact sum


def effective_rows(reference_rows: int, rows: int) -> float:
    """1 / (1/N + 1/M): a difference of two samples spreads as one sample of so many rows does."""
    return float(reference_rows) * rows / (reference_rows + rows)


def kolmogorov_smirnov(reference_rows: int, rows: int) -> NullTable:
    """Null of the two-sample distance; rows without ties (with ties it is less, so that limits are safe).

    The one-sample law at the effective number of rows (detectors/kolmogorov.py), as scipy.stats.ks_2samp(method="asymp") has it.
    """
    n = max(1, round(effective_rows(reference_rows, rows)))
    distance = np.linspace(0.0, min(1.0, 5.0 / np.sqrt(n)), KS_POINTS + 1)[1:]
    chances = np.minimum.accumulate([survival(float(d), n) for d in distance])
    keep = chances > 1e-20
    return NullTable.from_survival(distance[keep], np.log(chances[keep]))


def kuiper(reference_rows: int, rows: int) -> NullTable:
    """Null of Kuiper's distance; rows without ties. As detectors.pvalues.kuiper_p has it."""
    at = np.linspace(0.45, 5.4, KS_POINTS) / np.sqrt(effective_rows(reference_rows, rows))
    chances = np.minimum.accumulate([kuiper_p(float(v), reference_rows, rows) for v in at])
    keep = chances > 1e-14
    return NullTable.from_survival(at[keep], np.log(chances[keep]))


def rank_shift(shares: Floats, reference_rows: int, rows: int) -> NullTable:
    """Null of detectors.ranks.rank_shift, where the reference has these shares of its ordered cells.

    The mean of `rows` ranks is a sum of bounded, independent parts: its tail by the saddlepoint (Lugannani and Rice
    1980), at the effective number of rows, up and down apart. Its few points are off by less than 2 % of a probability from 0.1 to 1e-6.
    """
    return rank_shifts([shares], reference_rows, rows)[0]


def rank_shifts(many: Sequence[Floats], reference_rows: int, rows: int) -> list[NullTable]:
    """The same of many features' shares, of at most RANK_CELLS cells each: to the last bit what each alone has."""
    n = effective_rows(reference_rows, rows)
    shares = np.zeros((len(many), RANK_CELLS))
    for row, of in zip(shares, many, strict=True):
        row[: len(of)] = of
    rank = np.cumsum(shares, axis=1) - shares / 2.0
    rank -= (shares * rank).sum(axis=1, keepdims=True)
    rank[shares == 0.0] = 0.0
    sides = _saddle(rank, shares, n)
    value = np.array([max(up[0][-1], down[0][-1]) for up, down in sides])[:, None] * _PLACES
    either = np.array([sum(_along(at, *side) for side in of) for at, of in zip(value, sides, strict=True)])
    return NullTable.from_survivals(2.0 * value, np.log(np.minimum(either, 1.0)), np.full(len(many), len(_PLACES)))


def _along(value: Floats, points: Floats, roots: Floats) -> Floats:
    inside = np.interp(value, points, roots)
    inside = np.where(value > points[-1], roots[-1] * (value / points[-1]), inside)
    return np.exp(-inside * inside)


def _saddle(x: Floats, shares: Floats, n: float) -> list[list[tuple[Floats, Floats]]]:
    """Points of both tails, up and down, of the means of n draws of x (mean 0), (features, RANK_CELLS): values, ascending, and the roots of
    how far the logarithm of the probability lies below 0, in between which they are nearly straight."""
    std = np.sqrt((shares * x * x).sum(axis=1))
    flat = std <= 0.0
    theta = _TILTS * (1.0 + _FURTHER / np.sqrt(n)) / (np.where(flat, 1.0, std)[:, None] * np.sqrt(n))  # short tails: tilt further
    tilted = theta[:, None, :, None] * (x[:, None, :] * _EITHER)[:, :, None, :]
    top = tilted.max(axis=3)
    tilted -= top[..., None]
    np.exp(tilted, out=tilted)
    tilted *= shares[:, None, None, :]
    total, first, second = tilted.sum(axis=3), (tilted @ x[:, None, :, None])[..., 0], (tilted @ (x * x)[:, None, :, None])[..., 0]
    theta = theta[:, None, :]
    mean = first / total * _EITHER
    variance = np.maximum(second / total - mean * mean, 1e-18)
    w = np.sqrt(np.maximum(2.0 * n * (theta * mean - np.log(total) - top), 1e-18))
    u = theta * np.sqrt(n * variance)
    density = np.exp(-(w * w) / 2.0) / np.sqrt(2.0 * np.pi)
    chances = 0.5 * erfc(w / np.sqrt(2.0)) + density * (1.0 / u - 1.0 / w)
    good = (chances > 1e-18) & (np.diff(mean, axis=2, prepend=-1.0) > 1e-12) & ~flat[:, None, None]
    return [[_curve(*side) for side in zip(*of, strict=True)] for of in zip(mean, chances, good, strict=True)]


def _curve(mean: Floats, chances: Floats, good: Bools) -> tuple[Floats, Floats]:
    if not good.any():
        return _NOTHING
    falling = np.minimum.accumulate(np.minimum(chances[good], 0.5))
    return np.concatenate([_ZERO, mean[good]]), np.sqrt(-np.log(np.concatenate([_HALF, falling])))


def share_root(hits: Floats, rows: Floats, reference_hits: Floats, reference_rows: Floats) -> Floats:
    """How far a share lies from the reference's, as a normal deviate: above positive. All of shape (n,).

    Exact where hits are few: the hypergeometric tail of Fisher's test (1922), half of the observed point's own
    probability left out (Lancaster 1961). Else the signed root of the likelihood ratio.
    """
    out = _likelihood_root(hits, rows, reference_hits, reference_rows)
    total = hits + reference_hits
    few = (total < EXACT_HITS) & (total > 0) & (np.abs(out) > 1.0)
    for i in np.flatnonzero(few).tolist():
        out[i] = _exact_root(hits[i], rows[i], reference_hits[i], reference_rows[i], bool(out[i] > 0))
    return out


def _likelihood_root(x: Floats, m: Floats, y: Floats, n: Floats) -> Floats:
    pooled = (x + y) / (m + n)
    g = np.zeros(len(x))
    with np.errstate(divide="ignore", invalid="ignore"):
        for part, whole in ((x, m), (y, n)):
            g += np.where(part > 0, part * np.log(part / whole / pooled), 0.0)
            rest = whole - part
            g += np.where(rest > 0, rest * np.log(rest / whole / (1.0 - pooled)), 0.0)
    return np.asarray(np.sign(x / m - y / n) * np.sqrt(np.maximum(2.0 * g, 0.0)))


def _exact_root(x: float, m: float, y: float, n: float, above: bool) -> float:
    from scipy.special import ndtri_exp

    total = x + y
    j = np.arange(x, min(m, total) + 1.0) if above else np.arange(max(0.0, total - n), x + 1.0)
    log = _log_choose(m, j) + _log_choose(n, total - j) - float(_log_choose(m + n, np.array([total]))[0])
    log[0 if above else -1] -= np.log(2.0)
    top = float(log.max())
    tail = top + float(np.log(np.exp(log - top).sum()))
    return float(-ndtri_exp(min(tail, np.log(0.5)))) * (1.0 if above else -1.0)


def _log_choose(n: float, k: Floats) -> Floats:
    return np.asarray(gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0))


def two_sided(root: Floats) -> Floats:
    """Probability of a normal deviate as far out, either way."""
    return np.asarray(2.0 * ndtr(-np.abs(root)))
