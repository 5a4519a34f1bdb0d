"""Alibi Detect 0.13, cd/tabular.py: Kolmogorov-Smirnov for numbers, chi-square for categories, corrected over all features.

TabularDrift corrects by Bonferroni, or by the false discovery rate (Benjamini-Hochberg). KSDrift and ChiSquareDrift are the
same tests for one kind; CVMDrift and FETDrift are asked for by name. p-values are float32 there. Its other detectors (MMD,
least-squares density difference, classifiers, learned kernels) draw or train at random, so that they have no number to be
equal to: `multivariate` has MMD and a domain classifier.
"""

from __future__ import annotations

import numpy as np

from detectors.columns import Floats
from detectors.formulas.common import Asked, Counts, Found, as_counts, by_category

P_VALUE = 0.05
NAMES = {
    "p_val": "p-value of Kolmogorov-Smirnov (asymptotic) or chi-square",
    "distance": "the statistic: Kolmogorov-Smirnov's distance, or chi-square (Yates-corrected for two categories)",
    "is_drift": "of all features: 1 where a p-value is below 0.05 / features (Bonferroni)",
    "is_drift_fdr": "of all features: 1 where Benjamini-Hochberg finds drift at a rate of 0.05",
}
TRUE, FALSE = {"1", "1.0", "true", "True"}, {"0", "0.0", "false", "False"}


def numeric(reference: Floats, current: Floats) -> Found:
    from scipy.stats import ks_2samp

    found = ks_2samp(reference, current, method="asymp")
    return {"p_val": float(found.pvalue), "distance": float(found.statistic)}


def category(reference: Counts, current: Counts) -> Found:
    from scipy.stats import chi2_contingency

    found = chi2_contingency(np.stack(by_category(reference, current)))
    return {"p_val": float(found.pvalue), "distance": float(found.statistic)}


def bonferroni(p_values: list[float]) -> bool:
    """Whether TabularDrift says drift, corrected as by default."""
    return bool((np.array(p_values, dtype=np.float32) < P_VALUE / len(p_values)).any())


def false_discovery_rate(p_values: list[float]) -> bool:
    """Whether it does with correction="fdr": strictly below the line, so that p-values that lie on it are none."""
    ordered = np.sort(np.array(p_values, dtype=np.float32))
    return bool((ordered < P_VALUE * np.arange(1, len(ordered) + 1) / len(ordered)).any())


def _cvm(part: str, reference: Floats, current: Floats) -> float:
    from scipy.stats import cramervonmises_2samp

    return float(getattr(cramervonmises_2samp(reference, current, method="auto"), part))


def _fet(reference: Counts, current: Counts) -> tuple[float, float]:
    """Odds ratio and p-value of Fisher's exact test, alternative "greater", as FETDrift has it: window first."""
    from scipy.stats import fisher_exact

    strange = sorted((set(reference) | set(current)) - TRUE - FALSE)
    if strange:
        raise ValueError(f"FETDrift takes 0 and 1, or false and true, alone: there is {strange[0]!r}")
    table = [[sum(n for value, n in side.items() if value in names) for side in (current, reference)] for names in (TRUE, FALSE)]
    odds, p = fisher_exact(np.array(table), alternative="greater")
    return float(odds), float(p)


ASKED = {
    "cvm_p": Asked("p-value of Cramér-von Mises (CVMDrift)", lambda r, c: _cvm("pvalue", r, c)),
    "cvm": Asked("its statistic", lambda r, c: _cvm("statistic", r, c)),
    "fet_p": Asked(
        "p-value of Fisher's exact test, one-sided (FETDrift); for ones and zeros",
        lambda r, c: _fet(as_counts(r), as_counts(c))[1],
        lambda r, c: _fet(r, c)[1],
    ),
    "fet": Asked("its odds ratio", lambda r, c: _fet(as_counts(r), as_counts(c))[0], lambda r, c: _fet(r, c)[0]),
}
