"""Alibi Detect 0.13, cd/tabular.py: Kolmogorov-Smirnov for numbers, chi-square for categories, Bonferroni over all features."""

from __future__ import annotations

import numpy as np

from detectors.columns import Floats
from detectors.formulas.common import Counts, Found, by_category

P_VALUE = 0.05
NAMES = {
    "p_val": "p-value of Kolmogorov-Smirnov (asymptotic) or chi-square",
    "distance": "the statistic: Kolmogorov-Smirnov's distance, or chi-square (Yates-corrected for two categories)",
    "is_drift": "of all features: 1 where a p-value is below 0.05 / features",
}


def numeric(reference: Floats, current: Floats) -> Found:
    from scipy.stats import ks_2samp

    found = ks_2samp(reference, current, method="asymp")
    return {"p_val": float(found.pvalue), "distance": float(found.statistic)}


def category(reference: Counts, current: Counts) -> Found:
    from scipy.stats import chi2_contingency

    found = chi2_contingency(np.stack(by_category(reference, current)))
    return {"p_val": float(found.pvalue), "distance": float(found.statistic)}
