"""Nulls that need no draws: Kolmogorov-Smirnov, the shift of ranks, and shares of rows."""

from __future__ import annotations

import numpy as np
from scipy.special import erfc, gammaln, ndtr

from detectors.calibrate.null import NullTable
from detectors.columns import Bools, Floats
from detectors.kolmogorov import survival
from detectors.pvalues import kuiper_p

STEPS = 80
KS_POINTS = 80
FARTHEST = 7.5  # standard deviations to which the saddlepoint's curve is drawn
_TILTS = np.linspace(0.05, FARTHEST, STEPS)
_FURTHER = 0.6 * np.linspace(0, 1, STEPS) ** 2 * FARTHEST
_EITHER = np.array([[1.0], [-1.0]])
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
    1980), at the effective number of rows, up and down apart.
    """
    n = effective_rows(reference_rows, rows)
    rank = np.cumsum(shares) - shares / 2.0
    rank = rank - float(shares @ rank)
    (up, log_up), (down, log_down) = _saddle(rank, shares, n)
    value = np.linspace(0.0, max(up[-1], down[-1]), 2 * STEPS)[1:]
    either = np.exp(_along(value, up, log_up)) + np.exp(_along(value, down, log_down))
    return NullTable.from_survival(2.0 * value, np.log(np.minimum(either, 1.0)))


def _along(value: Floats, points: Floats, logs: Floats) -> Floats:
    inside = np.interp(value, points, logs)
    return np.where(value > points[-1], logs[-1] * (value / points[-1]) ** 2, inside)


def _saddle(x: Floats, shares: Floats, n: float) -> list[tuple[Floats, Floats]]:
    """Points of both tails, up and down, of the mean of n draws of x (mean 0): values, ascending, and log probabilities."""
    std = float(np.sqrt(shares @ x**2))
    if std <= 0:
        return [(np.array([0.0, 1.0]), np.array([0.0, -700.0]))] * 2
    theta = _TILTS / (std * np.sqrt(n))
    theta = theta * (1.0 + _FURTHER / np.sqrt(n))  # short tails: tilt further
    tilted = theta[:, None] * x
    top = np.stack([theta * float(x.max()), theta * float(-x.min())])
    weight = np.stack([tilted, -tilted])
    weight -= top[:, :, None]
    np.exp(weight, out=weight)
    total, first, second = np.moveaxis(weight @ (shares * np.stack([np.ones(len(x)), x, x * x])).T, 2, 0)
    cumulant = np.log(total) + top
    mean = first / total * _EITHER
    variance = np.maximum(second / total - mean**2, 1e-18)
    w = np.sqrt(np.maximum(2.0 * n * (theta * mean - cumulant), 1e-18))
    u = theta * np.sqrt(n * variance)
    density = np.exp(-(w**2) / 2.0) / np.sqrt(2.0 * np.pi)
    chances = 0.5 * erfc(w / np.sqrt(2.0)) + density * (1.0 / u - 1.0 / w)
    good = (chances > 1e-18) & (np.diff(mean, axis=1, prepend=-1.0) > 1e-12)
    return [_curve(*side) for side in zip(mean, chances, good, strict=True)]


def _curve(mean: Floats, chances: Floats, good: Bools) -> tuple[Floats, Floats]:
    falling = np.minimum.accumulate(np.minimum(chances[good], 0.5))
    return np.concatenate([[0.0], mean[good]]), np.concatenate([[np.log(0.5)], np.log(falling)])


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
