"""Scores of features together, of the subject `multivariate`, of a vector by its name, and of pairs as `x,y`."""

from __future__ import annotations

import math

import numpy as np

from detectors.correlation import correlation, shift_p
from detectors.multivariate import FEATURES, Fit, Multivariate, whitening
from detectors.score import Score
from detectors.uneven import why_uneven

SUBJECT = "multivariate"
# scores that are p-values, and the least effect (in their evidence) that anybody would act on
P_VALUES = {"reconstruction_error_p": 0.1, "mahalanobis_p": 0.1, "mmd_p": 0.0, "correlation_p": 0.1, "domain_auc_p": 0.05}


def score_multivariate(sums: Multivariate, fit: Fit, name: str) -> list[Score]:
    """Scores of a window's sums against a reference's fit, in a fixed order. name: the reference's."""
    out: list[Score] = []
    if fit.plane is not None:
        out += (
            _reconstruction(sums, fit, name) if sums.errors.n else [_nothing(SUBJECT, "reconstruction_error", sums.rows, 1, name)]
        )
    if fit.covariance is not None:
        there = sums.rows > 1 and "sum" in sums.arrays
        out += _mahalanobis(sums, fit, name) if there else [_nothing(SUBJECT, "mahalanobis", sums.rows, 2, name)]
    for vector, kernel in fit.kernels.items():
        total, rows = sums.kernel_sums(vector)
        subject = SUBJECT if vector == FEATURES else vector
        if rows < 2:
            out.append(_nothing(subject, "mmd", rows, 2, name))
        else:
            distance, p = kernel.compare(total, rows)
            out += [Score(subject, "mmd", distance, rows, name), Score(subject, "mmd_p", p, rows, name, {"effect": distance})]
    for pair, values in zip(fit.pairs, sums.pair_sums(), strict=False):
        rows, r = int(values[0]), correlation(values)
        evidence: dict[str, object] = {"reference_correlation": round(pair.correlation, 4), "current_correlation": round(r, 4)}
        if not math.isfinite(r):
            why = f"{rows} rows have both values, 2 are needed" if rows < 2 else "one of the two does not vary"
            out.append(Score(pair.subject, "correlation", r, rows, name, {"reason": why}))
            continue
        out.append(Score(pair.subject, "correlation", r, rows, name))
        uneven = _uneven(fit, pair.subject, rows, pair.rows)
        out.append(Score(pair.subject, "correlation_shift", abs(r - pair.correlation), rows, name, {**evidence, **uneven}))
        effect = {**evidence, **uneven, "effect": abs(r - pair.correlation)}
        p = shift_p(pair, r, rows)
        if not math.isfinite(p):
            effect["reason"] = f"{rows} rows have both values, 4 are needed, of correlations that vary"
        out.append(Score(pair.subject, "correlation_p", p, rows, name, effect))
    return out


def _nothing(subject: str, score: str, rows: int, least: int, name: str) -> Score:
    return Score(subject, score, math.nan, rows, name, {"reason": f"{rows} rows that can be looked at, {least} are needed"})


def _uneven(fit: Fit, of: str, rows: int, reference_rows: int = 0) -> dict[str, object]:
    """The reason why a p-value says nothing, where it does not."""
    why = why_uneven(fit.shapes.get(of), rows, reference_rows or fit.rows)
    return {"reason": why} if why else {}


def _reconstruction(sums: Multivariate, fit: Fit, name: str) -> list[Score]:
    assert fit.plane is not None
    n, plane = sums.errors.n, fit.plane
    error = plane.std * math.sqrt(1.0 / n + 1.0 / fit.rows)
    z = (sums.errors.mean - plane.mean) / error if error > 0 else math.nan
    evidence: dict[str, object] = {"reference_mean": plane.mean, "standard_error": error}
    effect = abs(sums.errors.mean - plane.mean) / plane.std if plane.std > 0 else math.nan
    spread = math.sqrt(sums.errors.m2 / (n - 1)) if n > 1 else math.nan
    uneven = _uneven(fit, "plane", n)
    return [
        Score(SUBJECT, "reconstruction_error", sums.errors.mean, n, name, evidence),
        Score(SUBJECT, "reconstruction_error_std", spread, n, name),
        Score(SUBJECT, "reconstruction_error_z", abs(z), n, name, {**evidence, **uneven}),
        Score(
            SUBJECT, "reconstruction_error_p", math.erfc(abs(z) / math.sqrt(2.0)), n, name, {**evidence, **uneven, "effect": effect}
        ),
    ]


def _mahalanobis(sums: Multivariate, fit: Fit, name: str) -> list[Score]:
    """Distance of the means, its p-value (Hotelling's T^2 by chi-square), and the mean of the rows' own distances."""
    from scipy.special import chdtrc

    assert fit.covariance is not None
    root = whitening(fit.covariance)
    rank, n = root.shape[1], sums.rows
    if rank == 0:
        return []
    squared = float(np.square(sums.arrays["sum"] / n @ root).sum())
    of_rows = float(np.einsum("ij,jk,ik->", root.T, sums.arrays["products"] / n, root.T)) / rank
    p = float(chdtrc(rank, squared / (1.0 / n + 1.0 / fit.rows)))
    return [
        Score(SUBJECT, "mahalanobis", math.sqrt(squared), n, name, _uneven(fit, "covariance", n)),
        Score(SUBJECT, "mahalanobis_p", p, n, name, {"effect": math.sqrt(squared), **_uneven(fit, "covariance", n)}),
        Score(SUBJECT, "mahalanobis_rows", of_rows, n, name),
    ]
