"""Why performance changed: because of other inputs, or because the relation of inputs and labels changed.

With cells c of the score, q and p the shares of the reference's and of the window's rows, e and f their mean errors:

    reference sum q e  --by inputs: sum (p - q) e-->  expected sum p e  --by concept: sum p (f - e)-->  realised sum p f

The reference reweighted to the window's inputs, as far as the scores show them, is what the window would give had only the mix changed.
Inputs that make the model err and do not move its scores look like another relation: what a feature's own shift would do is
feature_share(). The two
parts add up exactly (Oaxaca 1973, Blinder 1973; covariate and concept shift as in Quinonero-Candela and others 2009).
The same split over segments, mix (p - q)(e - E) and rate p (f - e), says which of them the change came from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from detectors.calibrate.closed import share_root, two_sided
from detectors.columns import Floats, Ints
from detectors.error_cells import ErrorCells
from detectors.feature_errors import Groups
from detectors.rare_events import count_p

REST = "the rest"
LEAST_ROWS = 50  # of the reference in a group of cells
LEAST_EXPECTED = 20  # rows of either side in a group whose rates are compared
LEAST_OF_CLASS = 5.0  # rows of a class that are to be expected there, of the smaller side


@dataclass(frozen=True, slots=True)
class Split:
    """Mean errors, their two changes, and the standard errors of these."""

    reference: float
    expected: float
    realised: float
    by_inputs_se: float
    by_concept_se: float
    count_p: float = math.nan  # of errors that are 0 or 1: how likely the window's number of them is at the reference's rates

    @property
    def by_inputs(self) -> float:
        return self.expected - self.reference

    @property
    def by_concept(self) -> float:
        return self.realised - self.expected

    @property
    def concept_p(self) -> float:
        """Two-sided p-value of no change of the relation: of the number of errors, else by the normal distribution."""
        if math.isfinite(self.count_p):
            return self.count_p
        if self.by_concept_se <= 0.0:
            return 1.0 if self.by_concept == 0.0 else math.nan
        return math.erfc(abs(self.by_concept) / self.by_concept_se / math.sqrt(2.0))


def split_change(reference: ErrorCells, window: ErrorCells) -> Split | None:
    """None where either side has fewer than two rows."""
    m, n = int(reference.rows.sum()), int(window.rows.sum())
    if m < 2 or n < 2:
        return None
    keys = np.union1d(reference.keys, window.keys)
    starts = grouped(_on(keys, reference.keys, reference.rows), LEAST_ROWS)
    ref = [np.add.reduceat(_on(keys, reference.keys, a), starts) for a in (reference.rows, reference.errors, reference.squares)]
    cur = [np.add.reduceat(_on(keys, window.keys, a), starts) for a in (window.rows, window.errors, window.squares)]
    q, p = ref[0] / m, cur[0] / n
    e = ref[1] / np.maximum(ref[0], 1)
    of_reference, of_window = _variance(*ref), _variance(*cur)
    # the greater of both scatters: few rows that hold none of the rare great errors look as if they hardly varied
    e_var, f_var = of_reference / np.maximum(ref[0], 1), np.maximum(of_window, of_reference) / np.maximum(cur[0], 1)
    base, expected = float(q @ e), float(p @ e)
    spread = (float(p @ (e * e)) - expected**2) / n + (float(q @ (e * e)) - base**2) / m
    by_inputs = max(0.0, spread) + float(((p - q) ** 2) @ e_var)
    by_concept = float((p * p) @ (e_var + f_var))
    found = _count_p(ref, cur) if all(np.array_equal(side.errors, side.squares) for side in (reference, window)) else math.nan
    return Split(base, expected, float(window.errors.sum()) / n, math.sqrt(by_inputs), math.sqrt(by_concept), found)


def _count_p(reference: list[Floats], window: list[Floats]) -> float:
    """Of the window's number of errors, each 0 or 1, at the rates of the reference's groups. Both: rows and errors by group.

    Half an error is added to the reference's (Jeffreys), so that one without any does not make the first error impossible.
    """
    (m, wrong, _), (n, seen, _) = reference, window
    rate = wrong / np.maximum(m, 1.0)
    some = 0.5 * float(n.sum() / m.sum())
    mean = float(n @ rate) + some
    of_rows, of_rates = float(n @ (rate * (1.0 - rate))) + some, float((n * n) @ (rate * (1.0 - rate) / np.maximum(m, 1.0)))
    return count_p(float(seen.sum()), mean, of_rows + of_rates + some * float(n.sum() / m.sum()))


def grouped(rows: Floats | Ints, least: float) -> Ints:
    """Where groups of neighbours with at least so many rows each begin; the last takes what remains."""
    starts, held = [0], 0.0
    for i, count in enumerate(rows.tolist()):
        if held >= least:
            starts.append(i)
            held = 0.0
        held += count
    if held < least and len(starts) > 1:
        starts.pop()
    return np.array(starts, dtype=np.int64)


def _on(keys: Ints, own: Ints, values: Ints | Floats) -> Floats:
    out = np.zeros(len(keys))
    out[np.searchsorted(keys, own)] = values
    return out


def _variance(rows: Floats, errors: Floats, squares: Floats) -> Floats:
    """Of each group (ddof 1); a group of fewer than two rows has that of all."""
    total = float(rows.sum())
    whole = max(0.0, float(squares.sum()) / total - (float(errors.sum()) / total) ** 2)
    n = np.maximum(rows, 2.0)
    own = np.maximum(0.0, (squares - errors * errors / n) / (n - 1.0))
    return np.where(rows >= 2, own, whole)


def calibration_shift(reference: npt.NDArray[np.int64], window: npt.NDArray[np.int64]) -> tuple[float, float, int] | None:
    """How far the share of positives at a score lies from the reference's, its p-value, and the groups of scores.

    Both have shape (2, k): rows of the negative and of the positive class in cells of the score. The shift is the mean
    distance over the window's rows; the p-value is that of the chi-square statistic of the groups' differences (Cochran
    1954, Mantel, Haenszel 1959); of one group that is expected to hold few of a class Fisher's exact one.
    """
    from scipy.special import chdtrc

    starts = _comparable(reference, window)
    ref, cur = np.add.reduceat(reference, starts, axis=1), np.add.reduceat(window, starts, axis=1)
    m, n = ref.sum(axis=0).astype(np.float64), cur.sum(axis=0).astype(np.float64)
    used = (m >= LEAST_EXPECTED) & (n >= LEAST_EXPECTED)
    if not used.any():
        return None
    m, n, ref, cur = m[used], n[used], ref[:, used], cur[:, used]
    gap = cur[1] / n - ref[1] / m
    pooled = (cur[1] + ref[1]) / (n + m)
    variance = pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m) * (n + m) / (n + m - 1.0)  # of the hypergeometric law
    certain = variance <= 0.0
    shift = float((n / n.sum()) @ np.abs(gap))
    rare = float(np.minimum(pooled, 1.0 - pooled)[0] * min(n[0], m[0]))
    if len(n) == 1 and 0.0 < rare < LEAST_OF_CLASS:
        return shift, float(two_sided(share_root(cur[1].astype(np.float64), n, ref[1].astype(np.float64), m))[0]), 1
    statistic = float((gap[~certain] ** 2 / variance[~certain]).sum())
    return shift, float(chdtrc(max(1, int((~certain).sum())), statistic)), len(n)


def _comparable(reference: npt.NDArray[np.int64], window: npt.NDArray[np.int64]) -> Ints:
    """Where groups of neighbouring cells begin in which both sides have LEAST_EXPECTED rows, and of each class LEAST_OF_CLASS are to
    be expected of the smaller side: else chi-square's tail is far too thin. The last takes what remains."""
    rows = np.stack([reference.sum(axis=0), window.sum(axis=0)]).astype(np.float64)
    smaller = rows.sum(axis=1).min() / max(1.0, rows.sum())
    classes = (reference + window).astype(np.float64) * smaller
    starts, held = [0], np.zeros(4)
    least = np.array([LEAST_EXPECTED, LEAST_EXPECTED, LEAST_OF_CLASS, LEAST_OF_CLASS])
    for i, cell in enumerate(np.concatenate([rows, classes]).T):
        if (held >= least).all():
            starts.append(i)
            held = np.zeros(4)
        held = held + cell
    if not (held >= least).all() and len(starts) > 1:
        starts.pop()
    return np.array(starts, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Share:
    """What one segment, or one feature, adds to the change of the mean error: by its rows' share, and by its own error."""

    name: str
    mix: float
    rate: float

    @property
    def total(self) -> float:
        return self.mix + self.rate


def segment_shares(reference: Mapping[str, tuple[float, float]], window: Mapping[str, tuple[float, float]]) -> list[Share]:
    """The segments of one dimension, greatest part first; they add up to the change of the mean error.

    Both map a segment to (rows, sum of errors), and "" to those of all rows: what the segments leave is REST.
    """
    m, wrong_m = reference[""]
    n, wrong_n = window[""]
    base = wrong_m / m
    names = sorted({*reference, *window} - {""})
    sides = []
    for side, total in ((reference, (m, wrong_m)), (window, (n, wrong_n))):
        known = {name: side.get(name, (0.0, 0.0)) for name in names}
        rest = tuple(t - sum(values[i] for values in known.values()) for i, t in enumerate(total))
        sides.append({**known, REST: rest})
    out = []
    for name in [*names, REST]:
        (rows_m, errors_m), (rows_n, errors_n) = sides[0][name], sides[1][name]
        if rows_m <= 0 and rows_n <= 0:
            continue
        p, q = rows_n / n, rows_m / m
        e = errors_m / rows_m if rows_m > 0 else base
        f = errors_n / rows_n if rows_n > 0 else e
        out.append(Share(name, (p - q) * (e - base), p * (f - e)))
    return sorted(out, key=lambda s: (-abs(s.total), s.name))


def feature_share(groups: Groups, mix: Floats) -> float:
    """The change of the mean error that the feature's own shift would give: sum (p - q) e over its groups.

    Groups without reference rows have the mean error of all. Shares of features overlap: they do not add up.
    """
    rows, errors, m, n = groups.rows, groups.errors, float(groups.rows.sum()), float(mix.sum())
    if m <= 0.0 or n <= 0.0:
        return 0.0
    e = np.where(rows > 0.0, errors / np.maximum(rows, 1.0), float(errors.sum()) / m)
    return float((mix / n - rows / m) @ e)
