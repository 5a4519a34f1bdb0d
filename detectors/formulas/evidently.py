"""Evidently 0.7: its stattests (legacy/calculations/stattests), and the one that it takes by default.

The reference's rows alone decide the default: up to 1,000 of them a test (Kolmogorov-Smirnov, chi-square, z), above a
distance (Wasserstein over the standard deviation, Jensen-Shannon). Bins of both samples together by Sturges; shares of 0
become 0.0001, or a millionth of the least share where that is smaller still. Its other tests are asked for by name
(evidently_tests.py).
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Floats
from detectors.formulas import evidently_tests
from detectors.formulas.common import Counts, Found, as_counts, by_category, distances, jensen_shannon

FEW_ROWS = 1000
FEW_VALUES = 5
BINNED_FROM = 20  # more distinct values of the reference are binned
NAMES = {
    "drift_score": "what Evidently reports by default: a p-value or a distance",
    "share_drifted": "of all features: those whose default test says drift / features",
    "psi": "PSI in Evidently's bins",
    "jensenshannon": "Jensen-Shannon distance, base e, in its bins",
    "kl_div": "Kullback-Leibler divergence of the reference from the window, in its bins",
    "hellinger": "Hellinger distance in its bins",
    "wasserstein": "Wasserstein distance / standard deviation of the reference",
}
BELOW = {"ks": 0.05, "chisquare": 0.05, "z": 0.05}  # drift where the p-value is less (ks: or equal); distances: 0.1 or more
ASKED = evidently_tests.ASKED


def numeric(reference: Floats, current: Floats) -> Found:
    test = default_test(len(reference), len(np.unique(np.concatenate([reference, current]))), "numeric")
    p, q = _shares(reference, current)
    found = _binned(p, q) | {"hellinger": _hellinger(reference, current), "wasserstein": _wasserstein(reference, current)}
    if test == "ks":
        score = evidently_tests.ks(reference, current)
    elif test in ("chisquare", "z"):
        score = evidently_tests.CATEGORY[test](as_counts(reference), as_counts(current))
    else:
        score = found[test]
    return {"drift_score": score} | found


def category(reference: Counts, current: Counts) -> Found:
    first, second = by_category(reference, current)
    test = default_test(int(first.sum()), len(first), "category")
    p, q = first / first.sum(), second / second.sum()
    found = _binned(p, q) | {"hellinger": math.sqrt(max(0.0, 1.0 - float(np.sqrt(p * q).sum())))}
    score = found[test] if test in found else evidently_tests.CATEGORY[test](reference, current)
    return {"drift_score": score} | found


def default_test(rows: int, values: int, kind: str) -> str:
    """The name of the test that Evidently takes. rows: of the reference. values: distinct ones of both samples."""
    if rows > FEW_ROWS:
        return "wasserstein" if kind == "numeric" and values > FEW_VALUES else "jensenshannon"
    if kind == "numeric" and values > FEW_VALUES:
        return "ks"
    return "chisquare" if values > 2 else "z"


def drifted(test: str, score: float) -> bool:
    """What Evidently says by default."""
    if test not in BELOW:
        return score >= 0.1
    return score <= BELOW[test] if test == "ks" else score < BELOW[test]


def _shares(reference: Floats, current: Floats) -> tuple[Floats, Floats]:
    if len(np.unique(reference)) > BINNED_FROM:
        edges = np.histogram_bin_edges(np.concatenate([reference, current]), bins="sturges")
        return np.histogram(reference, edges)[0] / len(reference), np.histogram(current, edges)[0] / len(current)
    first, second = by_category(as_counts(reference), as_counts(current))
    return first / first.sum(), second / second.sum()


def _filled(share: Floats) -> Floats:
    least = float(share[share > 0].min())
    out: Floats = np.where(share == 0, least / 1e6 if least <= 1e-4 else 1e-4, share)
    return out


def _binned(p: Floats, q: Floats) -> Found:
    r, c = _filled(p), _filled(q)
    out = {"psi": float(((r - c) * np.log(r / c)).sum()), "jensenshannon": jensen_shannon(p, q, math.e)}
    r, c = r / r.sum(), c / c.sum()
    return out | {"kl_div": float((r * np.log(r / c)).sum())}


def _hellinger(reference: Floats, current: Floats) -> float:
    edges = np.histogram_bin_edges(np.unique(np.concatenate([reference, current])), bins="sturges")
    with np.errstate(over="ignore", invalid="ignore"):  # by densities, as Evidently: of great values their rounding is seen
        p, q = (np.histogram(side, edges, density=True)[0] for side in (reference, current))
        overlap = float((np.sqrt(p * q) * ((edges[-1] - edges[0]) / (len(edges) - 1))).sum())
    return math.sqrt(1.0 - min(1.0, max(0.0, overlap)))


def _wasserstein(reference: Floats, current: Floats) -> float:
    return distances(reference, current)[1] / max(float(reference.std()), 0.001)
