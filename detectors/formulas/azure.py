"""Azure Machine Learning model monitoring, azureml-assets data_drift_compute_metrics: bins of equal width over both samples.

As many bins as Sturges gives for the smaller sample, counted as Spark's RDD.histogram does: a value that rounding puts beyond
the last edge is left out. PSI adds a row to each bin and to the rows (its first releases divided by the rows without them).
"""

from __future__ import annotations

import math

import numpy as np

from detectors.columns import Floats
from detectors.formulas.common import Asked, Counts, Found, by_category, distances, jensen_shannon, one_sample_chi_square_p

EXACT_BELOW = 10_000  # rows; Azure refuses Kolmogorov-Smirnov from there on
EVEN = 1e-10  # Spark takes bins whose widths differ by less as equal
NAMES = {
    "jensen_shannon": "Jensen-Shannon distance, base 2",
    "wasserstein": "Wasserstein distance / standard deviation of the reference (ddof 1)",
    "psi": "PSI, a row added to each bin",
    "ks_p": "p-value of Kolmogorov-Smirnov, below 10,000 rows",
    "chi2_p": "p-value of chi-square against the reference's shares",
}
ASKED: dict[str, Asked] = {}


def numeric(reference: Floats, current: Floats) -> Found:
    from scipy.stats import ks_2samp

    edges = _edges(reference, current)
    std = float(reference.std(ddof=1)) if len(reference) > 1 else 0.0
    exact = len(reference) < EXACT_BELOW and len(current) < EXACT_BELOW
    out = {"jensen_shannon": math.nan, "psi": math.nan}
    if edges is not None:
        first, second = _histogram(reference, edges), _histogram(current, edges)
        psi = _psi(first, second, len(reference), len(current))
        out = {"jensen_shannon": jensen_shannon(first, second, 2.0), "psi": psi}
    return {
        "jensen_shannon": out["jensen_shannon"],
        "wasserstein": distances(reference, current)[1] / max(std, 0.001),
        "psi": out["psi"],
        "ks_p": float(ks_2samp(reference, current).pvalue) if exact else math.nan,
    }


def category(reference: Counts, current: Counts) -> Found:
    first, second = by_category(reference, current)
    return {
        "jensen_shannon": jensen_shannon(first, second, 2.0),
        "psi": _psi(first, second, int(first.sum()), int(second.sum())),
        "chi2_p": one_sample_chi_square_p(first, second),
    }


def _edges(reference: Floats, current: Floats) -> Floats | None:
    """None where Spark refuses them: a constant of 0 or below."""
    low, high = float(min(reference.min(), current.min())), float(max(reference.max(), current.max()))
    if low == high:
        return np.array([low, low * 1.01]) if low > 0 else None
    bins = math.ceil(math.log2(min(len(reference), len(current))) + 1)
    return np.array([low + i * ((high - low) / bins) for i in range(bins + 1)])


def _histogram(values: Floats, edges: Floats) -> Floats:
    """Rows by bin, as pyspark.RDD.histogram counts them: bins are closed below, the last one on both sides."""
    inside = values[(values >= edges[0]) & (values <= edges[-1])]
    steps = np.diff(edges)
    if steps.max() - steps.min() < EVEN:
        at = ((inside - edges[0]) / ((edges[-1] - edges[0]) / len(steps))).astype(np.int64)
    else:
        at = np.searchsorted(edges, inside, side="right") - 1
    return np.bincount(np.minimum(at, len(steps) - 1), minlength=len(steps)).astype(np.float64)


def _psi(first: Floats, second: Floats, n: int, m: int) -> float:
    p, q = (first + 1.0) / (n + len(first)), (second + 1.0) / (m + len(second))
    return float(((q - p) * np.log(q / p)).sum())
