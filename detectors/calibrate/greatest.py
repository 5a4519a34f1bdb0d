"""Nulls of the greatest of many differences of shares: of single bins (linf), and of running sums over few values (ks with ties).

One difference x / m - y / n of two binomials of the same share has the tail of one binomial at the effective number of
rows, by its signed likelihood root r with the correction of Barndorff-Nielsen (1986), r* = r + log(u / r) / r. The greatest of k bins passes a limit as often as any of them does, nearly apart from each other;
running sums are a chain, whose neighbours pass it together, which is taken off (Worsley 1982: at most, and nearly, the sum over j of P(A_j) less
that of P(A_j and A_j+1)).
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri_exp, xlogy

from detectors.calibrate.closed import effective_rows
from detectors.calibrate.null import NullTable
from detectors.columns import Floats

POINTS = 48  # of the curve
FARTHEST = 7.0  # standard deviations of the widest difference to which it is drawn
MOST = 64  # shares that are looked at, the widest: the others never are the greatest
_NODES, _WEIGHTS = np.polynomial.laguerre.laggauss(10)


def greatest_change(shares: Floats, reference_rows: int, rows: int) -> NullTable:
    """Null of max |p - q| over bins of these shares (k,)."""
    wide = np.sort(shares * (1.0 - shares))[::-1][: MOST if len(shares) > 2 else 1]  # two bins change as one
    apart = np.where(wide < 0.25, (1.0 - np.sqrt(np.maximum(1.0 - 4.0 * wide, 0.0))) / 2.0, 0.5)  # share and 1 - share are as wide
    at = _points(apart, reference_rows, rows)
    single = np.exp(_log_either(apart, at, reference_rows, rows))
    return NullTable.from_survival(at, np.log(-np.expm1(np.log1p(-np.minimum(single, 1.0 - 1e-12)).sum(axis=0))))


def greatest_running_sum(shares: Floats, reference_rows: int, rows: int) -> NullTable:
    """Null of max |F - G| where the values are few, of these shares (k,) in order."""
    upto = np.cumsum(shares)[:-1]
    at = _points(upto, reference_rows, rows)
    log = _log_either(upto, at, reference_rows, rows)
    out = -ndtri_exp(np.minimum(log, 0.0) - np.log(2.0))  # each as a normal deviate, either way
    total = np.exp(log).sum(axis=0)
    if len(upto) > 1:
        together = np.sqrt(upto[:-1] * (1.0 - upto[1:]) / (upto[1:] * (1.0 - upto[:-1])))[:, None]
        total -= np.exp(_log_both(out[:-1], out[1:], together)).sum(axis=0)
    survival = np.minimum.accumulate(np.clip(np.maximum(total, np.exp(log.max(axis=0))), 0.0, 1.0))
    return NullTable.from_survival(at, np.log(np.maximum(survival, 1e-300)))


def _points(shares: Floats, n: int, m: int) -> Floats:
    std = float(np.sqrt((shares * (1.0 - shares)).max() / effective_rows(n, m)))
    least = float(shares.min())
    return np.linspace(0.0, min(FARTHEST * std + 4.0 / m * (FARTHEST if least * m < 20 else 1.0), 1.0), POINTS + 1)[1:]


def _log_either(p: Floats, at: Floats, n: int, m: int) -> Floats:
    """Logarithm of the chance that a difference of two shares p (k,) is as far out as `at` (t,), either way: (k, t)."""
    rows, t = effective_rows(n, m), at[None, :]
    up, down = _log_tail(p[:, None], t, rows), _log_tail(1.0 - p[:, None], t, rows)
    return np.asarray(np.minimum(np.logaddexp(up, down), 0.0))


def _log_tail(p: Floats, t: Floats, rows: float) -> Floats:
    q = np.minimum(p + t, 1.0 - 1e-12)
    r = np.sqrt(np.maximum(2.0 * rows * (xlogy(q, q / p) + xlogy(1.0 - q, (1.0 - q) / (1.0 - p))), 1e-12))
    u = np.log(q * (1.0 - p) / (p * (1.0 - q))) * np.sqrt(rows * q * (1.0 - q))
    star = np.where(r > 0.1, r + np.log(np.maximum(u, 1e-300) / r) / r, r)
    return np.where(p + t >= 1.0, -700.0, log_ndtr(-star))


def _log_both(a: Floats, b: Floats, together: Floats) -> Floats:
    """Logarithm of P(|X| > a, |Y| > b) of normals of a positive correlation: both on one side, which is nearly all of it."""
    a, b = np.maximum(a, 0.0), np.maximum(b, 0.0)
    rate = np.maximum(a, 1.0)
    x = a[..., None] + _NODES / rate[..., None]
    density = np.exp(-(x**2 - a[..., None] ** 2) / 2.0 + _NODES) / rate[..., None]
    within = np.sqrt(np.maximum(1.0 - together**2, 1e-9))[..., None]
    beyond = ndtr((together[..., None] * x - b[..., None]) / within)
    found = (_WEIGHTS * density * beyond).sum(axis=-1)
    return np.asarray(np.log(np.maximum(found, 1e-300)) - a**2 / 2.0 - 0.5 * np.log(2.0 * np.pi) + np.log(2.0))
