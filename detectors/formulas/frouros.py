"""Frouros 0.9, detectors/data_drift/batch: ten bins of equal width over both samples; empty bins become the least float.

Jensen-Shannon and Kullback-Leibler are taken from two histograms with numpy's "auto" bins, read off at ten points. Its other
tests are asked for by name (frouros_tests.py).
"""

from __future__ import annotations

import math
import sys

import numpy as np

from detectors.columns import Floats
from detectors.formulas import frouros_tests
from detectors.formulas.common import Counts, Found, by_category, distances, jensen_shannon

BINS = 10
NAMES = {
    "psi": "PSI in ten bins of equal width, empty ones 2.2e-308",
    "hellinger": "Hellinger distance in the same bins",
    "bhattacharyya": "1 - Bhattacharyya coefficient in the same bins",
    "hi": "1 - intersection of the histograms in the same bins",
    "js": "Jensen-Shannon distance, base e, of two interpolated histograms",
    "kl": "Kullback-Leibler divergence of the same, infinite where the reference has nothing",
    "emd": "Wasserstein distance in the feature's unit",
    "energy": "energy distance in the root of the feature's unit",
    "ks_p": "p-value of Kolmogorov-Smirnov",
    "chi2_p": "p-value of chi-square, Yates-corrected for two categories",
}
ASKED = frouros_tests.ASKED


def numeric(reference: Floats, current: Floats) -> Found:
    from scipy.stats import ks_2samp

    edges = np.histogram(np.concatenate([reference, current]), bins=BINS)[1]
    p, q = np.histogram(reference, edges)[0] / len(reference), np.histogram(current, edges)[0] / len(current)
    r, c = np.where(p == 0, sys.float_info.min, p), np.where(q == 0, sys.float_info.min, q)
    overlap = float(np.sqrt(p * q).sum())
    _, emd, energy = distances(reference, current)
    left, right = _read_off(reference, current)
    with np.errstate(divide="ignore", invalid="ignore"):
        kl = float(np.where(right > 0, right * np.log(right / left), 0.0).sum())
    return {
        "psi": float(((c - r) * np.log(c / r)).sum()),
        "hellinger": float(np.sqrt(((np.sqrt(p) - np.sqrt(q)) ** 2).sum()) / math.sqrt(2.0)),
        "bhattacharyya": 1.0 - overlap,
        "hi": 1.0 - float(np.minimum(p, q).sum()),
        "js": jensen_shannon(left, right, math.e),
        "kl": kl,
        "emd": emd,
        "energy": energy,
        "ks_p": float(ks_2samp(reference, current).pvalue),
    }


def category(reference: Counts, current: Counts) -> Found:
    from scipy.stats import chi2_contingency

    return {"chi2_p": float(chi2_contingency(np.stack(by_category(reference, current))).pvalue)}


def _read_off(reference: Floats, current: Floats) -> tuple[Floats, Floats]:
    """The mass of each sample's own histogram between ten points from the least to the greatest value."""
    points = np.linspace(min(reference.min(), current.min()), max(reference.max(), current.max()), BINS)
    out = []
    for side in (reference, current):
        counts, edges = np.histogram(side, bins=_auto(side))
        upto = np.concatenate([[0.0], np.cumsum(counts / len(side))])
        out.append(np.diff(np.interp(points, edges, upto)))
    return out[0], out[1]


def _auto(values: Floats) -> int:
    """How many bins numpy's "auto" gave up to 2.1, which Frouros needs: by the smaller width of Freedman-Diaconis and Sturges."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return 1
    q75, q25 = np.percentile(values, [75, 25])
    diaconis, sturges = 2.0 * (q75 - q25) / len(values) ** (1.0 / 3.0), (high - low) / (math.log2(len(values)) + 1.0)
    return math.ceil((high - low) / (min(diaconis, sturges) if diaconis else sturges))
