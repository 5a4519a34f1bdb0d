"""The tests of Evidently 0.7 that are not its default: each one's p-value, or distance, by Evidently's own name.

What Evidently refuses has no number, and the reason is said. Two are not here, as they draw without a seed or need the texts:
`empirical_mmd` and the drift of text content. Evidently itself computes them as slow detectors (`evidently:` in the config).

TVD draws 1,000 permutations of the rows with numpy's seed 0; which rows change sides depends on their order, here reference
before window and each by value, as in a sorted column. Whether a permutation's distance equals the observed one is left to
rounding there, in the order of Python's hashes, so that its p-value changes by some thousandths from run to run; here what is
equal counts. From 20,000 rows on the counts are drawn instead: the same law.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from detectors.columns import Floats
from detectors.formulas.common import Asked, Counts, by_category, one_sample_chi_square_p

PERMUTATIONS = 1000
ROWS_PERMUTED = 20_000


def ks(reference: Floats, current: Floats) -> float:
    from scipy.stats import ks_2samp

    return float(ks_2samp(reference, current).pvalue)


def t_test(reference: Floats, current: Floats) -> float:
    from scipy.stats import ttest_ind

    return float(ttest_ind(reference, current).pvalue)


def mann_whitney(reference: Floats, current: Floats) -> float:
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(reference, current, alternative="less").pvalue)


def anderson(reference: Floats, current: Floats) -> float:
    from scipy.stats import anderson_ksamp

    return float(anderson_ksamp([reference, current])[2])


def cramer_von_mises(reference: Floats, current: Floats) -> float:
    from scipy.stats import cramervonmises_2samp

    return float(cramervonmises_2samp(reference, current).pvalue)


def energy(reference: Floats, current: Floats) -> float:
    from scipy.stats import energy_distance

    return float(energy_distance(reference, current))


def epps_singleton(reference: Floats, current: Floats) -> float:
    from scipy.stats import epps_singleton_2samp, iqr

    if iqr(np.concatenate([reference, current])) == 0:
        raise ValueError("Evidently refuses Epps-Singleton where the interquartile range is 0")
    return float(epps_singleton_2samp(reference, current).pvalue)


def chi_square(reference: Counts, current: Counts) -> float:
    return one_sample_chi_square_p(*by_category(reference, current))


def z_test(reference: Counts, current: Counts) -> float:
    """Of the share of the first value."""
    first, second = by_category(reference, current)
    if len(first) == 1:
        return 1.0
    n, m = float(first.sum()), float(second.sum())
    pooled = (n - first[0] + m - second[0]) / (n + m)
    z = ((n - first[0]) / n - (m - second[0]) / m) / math.sqrt(pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m))
    return math.erfc(abs(z) / math.sqrt(2.0))


def fisher_exact(reference: Counts, current: Counts) -> float:
    from scipy.stats import fisher_exact as test

    first, second = by_category(reference, current)
    if len(first) > 2:
        raise ValueError(f"Evidently's Fisher test takes two values alone: there are {len(first)}")
    if first.sum() != second.sum():
        raise ValueError(f"Evidently's Fisher test wants as many rows on both sides: {first.sum():.0f}, {second.sum():.0f}")
    if len(first) == 1:
        return 1.0
    return float(test(np.stack([second, first]).astype(np.int64))[1])


def g_test(reference: Counts, current: Counts) -> float:
    """Of the window's counts against the reference's as they are: Evidently does not bring them to the same rows."""
    from scipy.stats import power_divergence

    first, second = by_category(reference, current)
    if first.sum() != second.sum():
        raise ValueError(f"Evidently's G-test wants as many rows on both sides: {first.sum():.0f}, {second.sum():.0f}")
    return float(power_divergence(second, first, lambda_="log-likelihood").pvalue)


def total_variation(reference: Counts, current: Counts) -> float:
    """p-value by permutation: how often a distance is no less than the observed one."""
    first, second = by_category(reference, current)
    n, m = int(first.sum()), int(second.sum())
    observed = _distance(first, second)
    state = np.random.RandomState(0)
    together = first + second
    drawn: Iterable[Floats]
    if n + m <= ROWS_PERMUTED:
        rows = np.concatenate([np.repeat(np.arange(len(side)), side.astype(np.int64)) for side in (first, second)])
        places = (rows[state.permutation(n + m)[:n]] for _ in range(PERMUTATIONS))
        drawn = (np.bincount(there, minlength=len(first)).astype(np.float64) for there in places)
    else:
        generator = np.random.Generator(np.random.PCG64(0))
        counts = together.astype(np.int64)
        drawn = generator.multivariate_hypergeometric(counts, n, size=PERMUTATIONS, method="marginals").astype(np.float64)
    return sum(observed <= _distance(side, together - side) for side in drawn) / PERMUTATIONS


def _distance(first: Floats, second: Floats) -> float:
    """2 n m times the total variation distance: a whole number."""
    return float(np.abs(first * second.sum() - second * first.sum()).sum())


CATEGORY = {"chisquare": chi_square, "z": z_test}
ASKED = {
    "ks": Asked("p-value of Kolmogorov-Smirnov", ks),
    "t_test": Asked("p-value of Student's t-test, equal variances", t_test),
    "mannw": Asked("p-value of Mann-Whitney's U, one-sided: only a rise counts", mann_whitney),
    "anderson": Asked("p-value of Anderson-Darling, between 0.001 and 0.25", anderson),
    "cramer_von_mises": Asked("p-value of Cramér-von Mises", cramer_von_mises),
    "ed": Asked("energy distance in the root of the feature's unit", energy),
    "es": Asked("p-value of Epps-Singleton", epps_singleton),
    "chisquare": Asked("p-value of chi-square against the reference's shares", category=chi_square),
    "z": Asked("p-value of the z-test of the first value's share", category=z_test),
    "fisher_exact": Asked("p-value of Fisher's exact test, of two values and as many rows", category=fisher_exact),
    "g_test": Asked("p-value of the G-test, of as many rows", category=g_test),
    "TVD": Asked("p-value of the total variation distance by 1,000 permutations", category=total_variation, slow=True),
}
