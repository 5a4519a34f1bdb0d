"""Nulls of the greatest of many differences of shares: of single bins (linf), and of running sums over few values (ks with ties).

One difference x / m - y / n of two binomials of the same share has the tail of one binomial at the effective number of
rows, by its signed likelihood root r with the correction of Barndorff-Nielsen (1986), r* = r + log(u / r) / r. The greatest of k bins passes a limit as often as any of them does, nearly apart from each other;
running sums are a chain, whose neighbours pass it together, which is taken off (Worsley 1982: at most, and nearly, the sum over j of P(A_j) less
that of P(A_j and A_j+1)).

From SMOOTH rows on every third point of a curve is made, the others lie on cubics through them: within 3 % of a probability of 1e-3
and less, 8 % of 0.1. With fewer rows it is every second one, straight in between: within 5 and 8 %.
Features are made together: cells of all of them are rows of one array, in which no row depends on another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import erfcx, ndtr, ndtri_exp

from detectors.calibrate.closed import effective_rows
from detectors.calibrate.null import NullTable
from detectors.columns import Bools, Floats, Ints

POINTS = 48  # of the curve
FARTHEST = 7.0  # standard deviations of the widest difference to which it is drawn
MOST = 64  # shares that are looked at, the widest: the others never are the greatest
NO_PART = 32.0  # a logarithm: what is smaller by so much than what it is added to is left out
AT_ONCE = 8_192  # places that fit in a core's cache
_NODES, _WEIGHTS = np.polynomial.laguerre.laggauss(10)
_FROM = _NODES / np.sqrt(2.0 * (np.log(_WEIGHTS) + NO_PART))  # deviates from which on a node has a part, where they are above 1
_STEPS: Floats = np.arange(1.0, POINTS + 1.0, dtype=np.float64)
SMOOTH = 60  # rows from which on a curve is drawn through every third point; with fewer, shares of 0 and 1 cut it
# by so much of itself a curve may fall where a share comes to 0 or 1; where it falls further every point is made
CUT = float(np.log(0.05))
_EVERY = np.arange(POINTS)
_SECOND = np.arange(1, POINTS, 2)  # of few rows, whose values are steps of more than that
_THIRD = np.append(np.arange(0, POINTS - 1, 3), POINTS - 1)


def _cubics() -> list[tuple[Ints, Floats]]:
    """Lagrange's cubics through the four points of _THIRD about each point: for each of the four which it is, and its part; (points,)."""
    first = np.clip(_THIRD.searchsorted(_EVERY, side="right") - 2, 0, len(_THIRD) - 4)
    four = [_THIRD[first + i] for i in range(4)]
    return [(first + i, np.prod([(_EVERY - four[j]) / (four[i] - four[j]) for j in range(4) if j != i], axis=0)) for i in range(4)]


_CUBICS = _cubics()


def greatest_changes(many: Sequence[Floats], reference_rows: int, rows: int) -> list[NullTable]:
    """Nulls of max |p - q| over bins of features' shares, each (k,): to the last bit what each alone has."""
    apart = []
    for shares in many:
        wide = np.sort(shares * (1.0 - shares))[::-1][: MOST if len(shares) > 2 else 1]  # two bins change as one
        # share and 1 - share are as wide
        apart.append(np.where(wide < 0.25, (1.0 - np.sqrt(np.maximum(1.0 - 4.0 * wide, 0.0))) / 2.0, 0.5))
    return _tables(apart, reference_rows, rows, _apart)


def greatest_running_sums(many: Sequence[Floats], reference_rows: int, rows: int) -> list[NullTable]:
    """Nulls of max |F - G| where the values are few, of features' shares in order, each (k,): to the last bit what each alone has."""
    return _tables([np.cumsum(shares)[:-1] for shares in many], reference_rows, rows, _chained)


def _apart(many: Sequence[Floats], starts: Ints, log: Floats) -> Floats:
    """The chance that any of a feature's cells is as far out, nearly apart from each other."""
    none = np.log1p(-np.minimum(np.exp(log), 1.0 - 1e-12))
    return np.asarray(-np.expm1(np.add.reduceat(none, starts[:-1])))


def _chained(many: Sequence[Floats], starts: Ints, log: Floats) -> Floats:
    """The same of running sums, whose neighbours are as far out together."""
    single = np.exp(log)
    alone = single.copy()
    alone[:-1] -= _of_neighbours(np.concatenate(many), starts, log)
    return np.asarray(np.maximum(np.add.reduceat(alone, starts[:-1]), np.maximum.reduceat(single, starts[:-1])))


def _tables(many: Sequence[Floats], n: int, m: int, union: Callable[[Sequence[Floats], Ints, Floats], Floats]) -> list[NullTable]:
    """union: of features' shares, starts and chances (cells, points), as _curves gives them, the chance of any (features, points)."""
    smooth = m >= SMOOTH
    points = _THIRD if smooth else _SECOND
    at, starts, cells = _curves(many, n, m, points)
    log = np.log(np.clip(union(many, starts, cells), 1e-300, None))
    if smooth:
        log = np.sum([log[:, place] * part for place, part in _CUBICS], axis=0)
    else:
        at = at[:, points]
    log = np.minimum.accumulate(np.minimum(log, 0.0), axis=1)
    tables = NullTable.from_survivals(at, log, np.full(len(at), at.shape[1]))
    if smooth:
        cut = np.flatnonzero(_cut(many, starts, at, log, effective_rows(n, m))).tolist()
        some = [many[i] for i in cut]
        if some:
            at, starts, cells = _curves(some, n, m, _EVERY)
            log = np.minimum.accumulate(np.log(np.clip(union(some, starts, cells), 1e-300, 1.0)), axis=1)
            for i, table in zip(cut, NullTable.from_survivals(at, log, np.full(len(at), POINTS)), strict=True):
                tables[i] = table
    return tables


def _cut(many: Sequence[Floats], starts: Ints, at: Floats, log: Floats, rows: float) -> Bools:
    """Of which features a cell's share comes to 0 or 1 where its chance is more of the curve than CUT; (features,)."""
    p = np.concatenate(many)
    owner = np.repeat(np.arange(len(many)), np.diff(starts))
    room = np.minimum(p, 1.0 - p)
    point = np.minimum(room / at[owner, 0], 1e6).astype(np.int64) - 1  # the last one before
    there = (point >= 0) & (point < POINTS - 1)
    curve = log[owner, np.clip(point, 0, POINTS - 1)]
    with np.errstate(divide="ignore"):  # where others pass anyway it is no part
        falls = there & (rows * np.log1p(-room) + np.log1p(-np.exp(curve)) > CUT + curve)
    return np.asarray(np.logical_or.reduceat(falls, starts[:-1]))


def _curves(many: Sequence[Floats], n: int, m: int, points: Ints) -> tuple[Floats, Ints, Floats]:
    """Of features' shares: all points of their curves (features, POINTS); where each one's cells start, and the end (features + 1,); and of
    each cell the logarithm of the chance that the difference of its two shares is as far out as those of its feature's points that are
    asked for, either way (cells, points)."""
    rows = effective_rows(n, m)
    widest = np.array([(shares * (1.0 - shares)).max() for shares in many])
    few = np.array([float(shares.min()) * m < 20 for shares in many])
    top = np.minimum(FARTHEST * np.sqrt(widest / rows) + 4.0 / m * np.where(few, FARTHEST, 1.0), 1.0)
    at = (top / POINTS)[:, None] * _STEPS
    at[:, -1] = top
    starts = np.cumsum([0, *map(len, many)])
    p, owner = np.concatenate(many)[:, None], np.repeat(np.arange(len(many)), np.diff(starts))
    log, wanted = np.empty((len(p), len(points))), at[:, points]
    each = AT_ONCE // len(points)
    for part in (slice(i, i + each) for i in range(0, len(p), each)):
        t = wanted[owner[part]]
        up, down = _log_tail(p[part], t, rows), _log_tail(1.0 - p[part], t, rows)
        log[part] = np.minimum(np.maximum(up, down) + np.log1p(np.exp(-np.abs(up - down))), 0.0)
    return at, starts, log


def _log_tail(p: Floats, t: Floats, rows: float) -> Floats:
    q = np.minimum(p + t, 1.0 - 1e-12)
    hit, miss = np.log(q / p), np.log((1.0 - q) / (1.0 - p))
    r = np.sqrt(np.maximum(2.0 * rows * (q * hit + (1.0 - q) * miss), 1e-12))
    u = (hit - miss) * np.sqrt(rows * q * (1.0 - q))
    star = np.where(r > 0.1, r + np.log(np.maximum(u, 1e-300) / r) / r, r)
    normal = np.log(erfcx(star * np.sqrt(0.5)) / 2.0) - star * star / 2.0
    return np.where(p + t >= 1.0, -700.0, normal)


def _of_neighbours(upto: Floats, starts: Ints, log: Floats) -> Floats:
    """The chance that a place and the next are both passed, (places - 1, t); 0 between features, and where it has no part in a feature's."""
    most = np.repeat(np.maximum.reduceat(log, starts[:-1], axis=0), np.diff(starts), axis=0)
    there = np.minimum(log[:-1], log[1:]) > most[1:] - NO_PART
    there[starts[1:-1] - 1] = False
    out = -ndtri_exp(np.minimum(log, 0.0) - np.log(2.0))  # each as a normal deviate, either way
    with np.errstate(invalid="ignore"):  # from the last of a feature to the first of the next
        rho = np.sqrt(upto[:-1] * (1.0 - upto[1:]) / (upto[1:] * (1.0 - upto[:-1])))
    found = np.zeros(there.shape)
    found[there] = _both(out[:-1][there], out[1:][there], np.broadcast_to(rho[:, None], there.shape)[there])
    return found


def _both(a: Floats, b: Floats, together: Floats) -> Floats:
    """P(|X| > a, |Y| > b) of normals of a positive correlation, all of shape (n,): both on one side, which is nearly all of it."""
    nodes = np.searchsorted(_FROM, np.maximum(a, 1.0), side="right")  # so many have a part
    order = np.argsort(-nodes.astype(np.int8), kind="stable")
    out = np.empty(len(a))
    for mine in (order[i : i + AT_ONCE] for i in range(0, len(a), AT_ONCE)):
        far, rho = np.maximum(a[mine], 0.0), together[mine]
        step, within = 1.0 / np.maximum(far, 1.0), np.sqrt(np.maximum(1.0 - rho * rho, 1e-9))
        slope, start, square = rho / within, np.maximum(b[mine], 0.0) / within, far * far
        found = np.zeros(len(mine))
        used = np.bincount(nodes[mine], minlength=len(_NODES) + 1)[::-1].cumsum()[::-1]  # those with most come first
        for node, weight, k in zip(_NODES.tolist(), _WEIGHTS.tolist(), used[1:].tolist(), strict=True):
            if k:
                x = far[:k] + node * step[:k]
                found[:k] += weight * np.exp((square[:k] - x * x) / 2.0 + node) * step[:k] * ndtr(slope[:k] * x - start[:k])
        out[mine] = found * np.exp(-square / 2.0) * np.sqrt(2.0 / np.pi)
    return out
