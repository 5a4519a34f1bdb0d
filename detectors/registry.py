"""Every statistic of drift, once: what the scores, their names, the config's choices and the README's table come from.

To add one: a pure function of a pair (detectors/pairs.py) in a file beside its kin, an entry here, and its oracle in
tests/test_detectors_statistics.py, which fails until there is one.
"""

from __future__ import annotations

import math

from detectors import drift, ordered, pvalues, ranks, shifts
from detectors.pairs import CategoryPair, NumericPair, Pair, once
from detectors.statistic import Statistic

BOTH = ("numeric", "category")
BINS = "none given the bins, which are joined from whole cells"
EXACT = "none: exact sums and counts"
NAMED = "none while all values have names; beyond, low by those that share one of 2,048 hashes with a known value"
INFINITE = float("inf")


def _kolmogorov_smirnov_p(pair: NumericPair) -> float:
    return pvalues.kolmogorov_smirnov_p(ordered.kolmogorov_smirnov(pair), pair.n, pair.m)


def _kuiper_p(pair: NumericPair) -> float:
    return pvalues.kuiper_p(ordered.kuiper(pair), pair.n, pair.m)


def _cramer_von_mises_p(pair: NumericPair) -> float:
    return pvalues.cramer_von_mises_p(ordered.cramer_von_mises(pair), pair.n, pair.m)


def _anderson_darling_p(pair: NumericPair) -> float:
    value = ordered.anderson_darling(pair)
    return pvalues.anderson_darling_p(value) if math.isfinite(value) else math.nan


def _cramers_v(pair: CategoryPair) -> float:
    return drift.cramers_v(*pair.bins)


@once
def _table(pair: Pair) -> drift.Table | None:
    return drift.table_of(*pair.bins)


@once
def _of_chi_square(pair: Pair) -> tuple[float, float]:
    return drift.chi_square_of(_table(pair))


@once
def _of_g_test(pair: Pair) -> tuple[float, float]:
    return drift.g_test_of(_table(pair))


def _chi_square(pair: Pair) -> float:
    return _of_chi_square(pair)[0]


def _chi_square_p(pair: Pair) -> float:
    return _of_chi_square(pair)[1]


def _g_test(pair: Pair) -> float:
    return _of_g_test(pair)[0]


def _g_test_p(pair: Pair) -> float:
    return _of_g_test(pair)[1]


STATISTICS: dict[str, Statistic] = {
    "psi": Statistic(
        "population stability index", "Σ (q − p) ln(q / p), shares ≥ 0.0001", "Siddiqi 2006", BOTH,
        lambda pair: drift.psi(*pair.bin_shares), BINS, default=True,
    ),
    "js": Statistic(
        "Jensen-Shannon distance", "√(½ Σ p log₂(p / m) + ½ Σ q log₂(q / m)), m = (p + q) / 2", "Endres, Schindelin 2003", BOTH,
        lambda pair: drift.jensen_shannon(*pair.bin_shares), BINS, bounds=(0.0, 1.0), default=True,
    ),
    "kl": Statistic(
        "Kullback-Leibler divergence", "Σ q ln(q / p), p ≥ 0.0001", "Kullback, Leibler 1951", BOTH,
        lambda pair: drift.kullback_leibler(*pair.bin_shares), BINS, unit="nats", bounds=(-0.01, 9.3),
    ),
    "hellinger": Statistic(
        "Hellinger distance", "√(½ Σ (√p − √q)²)", "Hellinger 1909", BOTH,
        lambda pair: drift.hellinger(*pair.bin_shares), BINS, bounds=(0.0, 1.0),
    ),
    "tv": Statistic(
        "total variation", "½ Σ |p − q|", "Levin, Peres 2017, ch. 4", BOTH,
        lambda pair: drift.total_variation(*pair.bin_shares), BINS, bounds=(0.0, 1.0),
    ),
    "linf": Statistic(
        "greatest change of a share", "max |p − q|", "deequ, Distance.scala", BOTH,
        lambda pair: drift.l_infinity(*pair.bin_shares), BINS, bounds=(0.0, 1.0),
    ),
    "chi2": Statistic(
        "chi-square test of homogeneity", "Σ (O − E)² / E over both samples", "Pearson 1900", BOTH,
        _chi_square, BINS, _chi_square_p, default=True,
    ),
    "g_test": Statistic(
        "likelihood ratio test", "2 Σ O ln(O / E) over both samples", "Woolf 1957", BOTH, _g_test, BINS, _g_test_p,
    ),
    "cramers_v": Statistic(
        "Cramér's V, the effect size of chi-square", "√(χ² / (n + m))", "Cramér 1946", ("category",),
        _cramers_v, EXACT, bounds=(0.0, 1.0),
    ),
    "ks": Statistic(
        "Kolmogorov-Smirnov distance", "max |F − G|", "Kolmogorov 1933, Smirnov 1939", ("numeric",),
        ordered.kolmogorov_smirnov, "low by at most the greatest share of a cell (1/512 of the reference)", _kolmogorov_smirnov_p,
        ordered.kolmogorov_smirnov_bound, bounds=(0.0, 1.0), default=True,
    ),
    "kuiper": Statistic(
        "Kuiper's distance", "max (F − G) + max (G − F)", "Kuiper 1960; p: Stephens 1965", ("numeric",),
        ordered.kuiper, "low by at most twice the greatest share of a cell", _kuiper_p,
        ordered.kuiper_bound, bounds=(0.0, 2.0),
    ),
    "cramer_von_mises": Statistic(
        "Cramér-von Mises statistic", "nm / (n + m)² Σ (F − G)²", "Anderson 1962", ("numeric",),
        ordered.cramer_von_mises, "a cell's rows × the range of (F − G)² in it, added", _cramer_von_mises_p,
        ordered.cramer_von_mises_bound,
    ),
    "anderson_darling": Statistic(
        "Anderson-Darling, two samples, normed", "nm / N ∫ (F − G)² / (H (1 − H)) dH, less 1, / σ", "Scholz, Stephens 1987",
        ("numeric",), ordered.anderson_darling, "a cell's rows × the range of (F − G)² / (H (1 − H)) in it, added",
        _anderson_darling_p, ordered.anderson_darling_bound, bounds=(-2.25, INFINITE),
    ),
    "wasserstein": Statistic(
        "first Wasserstein distance", "∫ |F − G| dx / σ", "Vallender 1974", ("numeric",),
        ordered.wasserstein, "low only where F and G cross inside a cell: at most that cell's width × its share, added", None,
        ordered.wasserstein_bound, unit="σ of the reference", default=True,
    ),
    "energy": Statistic(
        "energy distance", "√(2 ∫ (F − G)² dx / σ)", "Székely 2002", ("numeric",),
        ordered.energy, "a cell's width × the range of (F − G)² in it, added", None, ordered.energy_bound, unit="√σ of the reference",
    ),
    "rank_shift": Statistic(
        "rank-biserial correlation, its absolute value; p of Mann-Whitney", "|2 P(window > reference) + P(=) − 1|",
        "Cureton 1956; Mann, Whitney 1947", ("numeric",), ranks.rank_shift,
        "the pairs of rows that share a cell / all pairs", ranks.mann_whitney_p, ranks.rank_shift_bound, bounds=(0.0, 1.0),
        default=True,
    ),
    "mean_shift": Statistic(
        "change of the mean: Cohen's d; p of Welch's t", "(x̄ − r̄) / s pooled", "Cohen 1988; Welch 1947", ("numeric",),
        shifts.mean_shift, EXACT, shifts.welch_p, worse="either", unit="pooled σ", bounds=(-INFINITE, INFINITE),
    ),
    "welch_t": Statistic(
        "Welch's t", "(x̄ − r̄) / √(s²/m + s²/n)", "Welch 1947", ("numeric",),
        shifts.welch_t, EXACT, worse="either", bounds=(-INFINITE, INFINITE),
    ),
    "std_shift": Statistic(
        "change of the standard deviation", "σ of the window / σ of the reference − 1", "-", ("numeric",),
        shifts.std_shift, EXACT, worse="either", bounds=(-1.0, INFINITE),
    ),
    "median_shift": Statistic(
        "change of the median", "(median − median of the reference) / σ", "-", ("numeric",),
        shifts.median_shift, "the widths of the cells that hold the medians, 0 where they are one value", None, shifts.median_shift_bound,
        worse="either", unit="σ of the reference", bounds=(-INFINITE, INFINITE),
    ),
    "missing_shift": Statistic(
        "change of the missing share; p of the z-test", "missing share − that of the reference", "two-proportion z, pooled", BOTH,
        shifts.missing_shift, EXACT, shifts.missing_shift_p, worse="either", bounds=(-1.0, 1.0),
    ),
    "range_shift": Statistic(
        "rows outside the reference's range", "rows < min or > max / rows", "-", ("numeric",),
        shifts.range_shift, "none on a reference's grid; else the rows in the cells of min and max", None,
        shifts.range_shift_bound, bounds=(0.0, 1.0),
    ),
    "new_categories": Statistic(
        "values that the reference never had", "how many", "-", ("category",),
        shifts.new_categories, NAMED, unit="values", default=True,
    ),
    "new_category_share": Statistic(
        "rows with a value that the reference never had", "rows / rows", "-", ("category",),
        shifts.new_category_share, NAMED, bounds=(0.0, 1.0), default=True,
    ),
}  # fmt: skip
NUMERIC_DEFAULT = tuple(n for n, s in STATISTICS.items() if s.default and "numeric" in s.kinds and n != "chi2")
CATEGORY_DEFAULT = tuple(n for n, s in STATISTICS.items() if s.default and "category" in s.kinds)


def defaults(kind: str) -> tuple[str, ...]:
    """The statistics that a feature of a kind has unless the config names others."""
    return NUMERIC_DEFAULT if kind == "numeric" else CATEGORY_DEFAULT
