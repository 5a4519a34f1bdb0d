"""Azure Machine Learning model monitoring, azureml-assets data_drift_compute_metrics: bins of equal width over both samples.

As many bins as Sturges gives for the smaller sample. PSI adds a row to each bin and divides by the rows without it.
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Floats
from detectors.formulas.common import Counts, Found, by_category, jensen_shannon, one_sample_chi_square_p

EXACT_BELOW = 10_000  # rows; Azure refuses Kolmogorov-Smirnov from there on
NAMES = {
    "jensen_shannon": "Jensen-Shannon distance, base 2",
    "wasserstein": "Wasserstein distance / standard deviation of the reference (ddof 1)",
    "psi": "PSI, a row added to each bin",
    "ks_p": "p-value of Kolmogorov-Smirnov, below 10,000 rows",
    "chi2_p": "p-value of chi-square against the reference's shares",
}


def numeric(reference: Floats, current: Floats) -> Found:
    from scipy.stats import ks_2samp, wasserstein_distance

    low, high = min(reference.min(), current.min()), max(reference.max(), current.max())
    bins = math.ceil(math.log2(min(len(reference), len(current))) + 1)
    edges = np.array([low, high]) if low == high else low + np.arange(bins + 1) * ((high - low) / bins)
    edges[-1] = max(edges[-1], high)
    first, second = (np.histogram(side, edges)[0].astype(np.float64) for side in (reference, current))
    std = float(reference.std(ddof=1)) if len(reference) > 1 else 0.0
    exact = len(reference) < EXACT_BELOW and len(current) < EXACT_BELOW
    return {
        "jensen_shannon": jensen_shannon(first, second, 2.0),
        "wasserstein": float(wasserstein_distance(reference, current)) / max(std, 0.001),
        "psi": _psi(first, second),
        "ks_p": float(ks_2samp(reference, current).pvalue) if exact else math.nan,
    }


def category(reference: Counts, current: Counts) -> Found:
    first, second = by_category(reference, current)
    return {
        "jensen_shannon": jensen_shannon(first, second, 2.0),
        "psi": _psi(first, second),
        "chi2_p": one_sample_chi_square_p(first, second),
    }


def _psi(first: Floats, second: Floats) -> float:
    p, q = (first + 1.0) / first.sum(), (second + 1.0) / second.sum()
    return float(((q - p) * np.log(q / p)).sum())
