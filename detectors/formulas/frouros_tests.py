"""The tests of Frouros 0.9 (detectors/data_drift/batch) beside its distances, and MMD: computed where the config names them.

Kuiper's test there takes Kolmogorov-Smirnov's statistic for Kuiper's: so does this one. The p-value of Baumgartner-Weiss-
Schindler is drawn without a seed and is left out. Its streaming detectors are no scores of a window (`concept` has their kin).
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from detectors.columns import Floats
from detectors.formulas.common import Asked, Counts, by_category

ROWS_AT_ONCE = 500  # of a kernel's matrix


def _named(test: str, part: str, reference: Floats, current: Floats) -> float:
    """One of scipy's two-sample tests."""
    from scipy import stats

    if test == "anderson_ksamp":
        found = stats.anderson_ksamp([reference, current])
    elif test == "bws_test":
        found = stats.bws_test(reference, current, method=stats.PermutationMethod(n_resamples=1))
    elif test == "ttest_ind":
        found = stats.ttest_ind(reference, current, equal_var=False)
    else:
        found = getattr(stats, test)(reference, current)
    return float(getattr(found, part))


def kuiper_p(reference: Floats, current: Floats) -> float:
    """Stephens 1965 (small samples), Kuiper 1960 (the limit), at the effective rows n m / (n + m)."""
    n, m = len(reference), len(current)
    p = _kuiper_tail(np.float64(_named("ks_2samp", "statistic", reference, current)), np.float64(n * m / (n + m)))
    if math.isnan(p):
        raise ValueError("Kuiper's p-value is not defined for so small a distance of so few rows")
    return p


def _kuiper_tail(d: np.float64, n: np.float64) -> float:
    """numpy's floats: a fraction of a negative number's power is NaN to them, and complex to Python's."""
    from scipy.special import comb, factorial

    if d < 2.0 / n:
        return float(1.0 - factorial(n) * (d - 1.0 / n) ** (n - 1))
    if d < 3.0 / n:
        k = -(n * d - 1.0) / 2.0
        root = math.sqrt(k * k - (n * d - 2.0) ** 2 / 2.0)
        a, b = -k + root, -k - root
        return float(1.0 - factorial(n - 1) * (b ** (n - 1) * (1 - a) - a ** (n - 1) * (1 - b)) / n ** (n - 2) / (b - a))
    if (d > 0.5 and n % 2 == 0) or (d > (n - 1.0) / (2.0 * n) and n % 2 == 1):
        t = np.arange(math.floor(n * (1 - d)) + 1)
        y = d + t / n
        terms = y**3 * n - y**2 * t * (3 - 2 / n) + y * t * (t - 1) * (3 - 2 / n) / n - t * (t - 1) * (t - 2) / n**2
        ways, rest = comb(n, t), (1 - d - t / n) ** (n - t - 1)
        ways[np.isinf(ways) & (rest == 0)] = 0.0
        return float((y ** (t - 3) * terms * ways * rest).sum())
    z = d * math.sqrt(n)
    square = np.arange(1, 18.82 / z) ** 2 * z * z
    first = (2.0 * (4.0 * square - 1.0) * np.exp(-2.0 * square)).sum()
    second = (square / (z * z) * (4.0 * square - 3.0) * np.exp(-2.0 * square)).sum()
    return float(first - 8.0 * d / 3.0 * second)


def mmd(reference: Floats, current: Floats) -> float:
    """Unbiased, with Gaussian kernels of width 1 in the feature's unit. Takes n m kernels: half a second for 5,000 rows each."""
    n, m = len(reference), len(current)
    if min(n, m) < 2:
        raise ValueError("MMD needs two rows on each side")
    within = (_kernels(reference, reference) - n) / (n * (n - 1)) + (_kernels(current, current) - m) / (m * (m - 1))
    return within - 2.0 * _kernels(reference, current) / (n * m)


def _kernels(x: Floats, y: Floats) -> float:
    blocks = (x[i : i + ROWS_AT_ONCE, None] - y for i in range(0, len(x), ROWS_AT_ONCE))
    return float(sum(np.exp(-block * block / 2.0).sum() for block in blocks))


def _chi_square(reference: Counts, current: Counts) -> float:
    from scipy.stats import chi2_contingency

    return float(chi2_contingency(np.stack(by_category(reference, current))).statistic)


def _both(name: str, test: str, text: str) -> dict[str, Asked]:
    """A test's statistic and its p-value."""
    return {
        name: Asked(f"{text}: the statistic", partial(_named, test, "statistic")),
        f"{name}_p": Asked(f"{text}: its p-value", partial(_named, test, "pvalue")),
    }


ASKED = {
    **_both("ad", "anderson_ksamp", "Anderson-Darling"),
    "bws": Asked("Baumgartner-Weiss-Schindler: the statistic", partial(_named, "bws_test", "statistic")),
    **_both("cvm", "cramervonmises_2samp", "Cramér-von Mises"),
    "ks": Asked("Kolmogorov-Smirnov: the statistic", partial(_named, "ks_2samp", "statistic")),
    "kuiper_p": Asked("Kuiper's p-value, of Kolmogorov-Smirnov's statistic", kuiper_p),
    **_both("mwu", "mannwhitneyu", "Mann-Whitney's U"),
    **_both("welch", "ttest_ind", "Welch's t-test"),
    "mmd": Asked("maximum mean discrepancy, kernels of width 1", mmd, slow=True),
    "chi2": Asked("chi-square: the statistic", category=_chi_square),
}
