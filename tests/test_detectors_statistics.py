"""Every statistic of the registry against scipy or its definition on the same rows, within the error that it states."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr

from detectors import kolmogorov, pvalues
from detectors.adaptive import AdaptiveSummary
from detectors.category import CategorySummary
from detectors.columns import DictColumn
from detectors.evidence import moved
from detectors.numeric import GridSummary, make_grid
from detectors.pairs import CategoryPair, NumericPair
from detectors.registry import STATISTICS

Rows = tuple[np.ndarray, np.ndarray]
NUMERIC = [name for name, s in STATISTICS.items() if "numeric" in s.kinds]
CATEGORY = [name for name, s in STATISTICS.items() if "category" in s.kinds]


def zero_inflated(rng: np.random.Generator, n: int, zeros: float) -> np.ndarray:
    return np.where(rng.random(n) < zeros, 0.0, rng.gamma(2, 3, n))


SHAPES: dict[str, Callable[[np.random.Generator], Rows]] = {
    "normal, no change": lambda r: (r.normal(0, 1, 8000), r.normal(0, 1, 700)),
    "normal, moved": lambda r: (r.normal(0, 1, 8000), r.normal(0.3, 1.2, 2000)),
    "gamma": lambda r: (r.gamma(2, 3, 8000), r.gamma(2.2, 3, 1500)),
    "heavy tails": lambda r: (r.standard_cauchy(8000), r.standard_cauchy(1000) * 1.2),
    "lognormal": lambda r: (r.lognormal(0, 1.5, 8000), r.lognormal(0.2, 1.5, 1500)),
    "zero-inflated": lambda r: (zero_inflated(r, 8000, 0.5), zero_inflated(r, 1500, 0.4)),
    "discrete": lambda r: (r.integers(0, 7, 8000).astype(float), r.integers(1, 8, 1500).astype(float)),
    "rounded": lambda r: (np.round(r.gamma(2, 30, 8000)), np.round(r.gamma(2, 33, 1500))),
    "far from zero": lambda r: (r.normal(1e6, 1, 8000), r.normal(1e6 + 0.5, 1, 1500)),
    "apart": lambda r: (r.normal(0, 1, 8000), r.normal(9, 1, 500)),
    "few rows": lambda r: (r.normal(0, 1, 40), r.normal(0.5, 1, 25)),
    "constant": lambda r: (np.full(500, 3.0), np.full(200, 3.0)),
    "constant, moved": lambda r: (np.full(500, 3.0), np.full(200, 4.0)),
    "tiny": lambda r: (r.normal(0, 1e-6, 5000), r.normal(1e-6, 1e-6, 2000)),
    "microseconds since 1970": lambda r: tuple(np.round(1.7e15 + r.normal(m, 1e4, n)) for m, n in ((0, 5000), (5e3, 2000))),
    "nanoseconds since 1970": lambda r: tuple(np.round(1.7e18 + r.normal(m, 1e9, n)) for m, n in ((0, 5000), (5e8, 2000))),
    "few great numbers": lambda r: (1.7e15 + 1e6 * r.integers(0, 9, 5000), 1.7e15 + 1e6 * r.integers(2, 9, 2000)),
    "one row": lambda r: (r.normal(0, 1, 300), r.normal(0, 1, 1)),
}
SHAPED = [pytest.param(name, seed, id=f"{name}-{seed}") for name in SHAPES for seed in (1, 2)]


def gap_at_rows(r: np.ndarray, c: np.ndarray) -> np.ndarray:
    pooled = np.concatenate([r, c])
    upto = [np.searchsorted(np.sort(side), pooled, side="right") / len(side) for side in (r, c)]
    return upto[0] - upto[1]


def cramer_von_mises(r: np.ndarray, c: np.ndarray) -> float:
    n, m = len(r), len(c)
    return n * m / (n + m) ** 2 * float((gap_at_rows(r, c) ** 2).sum())


def spread(r: np.ndarray) -> float:
    return float(r.std()) if r.min() < r.max() else 0.001


def cohens_d(r: np.ndarray, c: np.ndarray) -> float:
    pooled = (((r - r.mean()) ** 2).sum() + ((c - c.mean()) ** 2).sum()) / (len(r) + len(c) - 2)
    return float((c.mean() - r.mean()) / np.sqrt(pooled)) if pooled > 0 else math.nan


# on the rows themselves
ORDERED: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "ks": lambda r, c: stats.ks_2samp(r, c).statistic,
    "kuiper": lambda r, c: max(0.0, gap_at_rows(r, c).max()) - min(0.0, gap_at_rows(r, c).min()),
    "cramer_von_mises": cramer_von_mises,
    "anderson_darling": lambda r, c: stats.anderson_ksamp([r, c], variant="midrank").statistic,
    "wasserstein": lambda r, c: stats.wasserstein_distance(r, c) / spread(r),
    "energy": lambda r, c: stats.energy_distance(r, c) / math.sqrt(spread(r)),
    "rank_shift": lambda r, c: abs(2.0 * stats.mannwhitneyu(c, r).statistic / (len(r) * len(c)) - 1.0),
    "mean_shift": cohens_d,
    "welch_t": lambda r, c: stats.ttest_ind(c, r, equal_var=False).statistic,
    "std_shift": lambda r, c: c.std() / r.std() - 1.0 if r.std() > 0 else math.nan,
    "median_shift": lambda r, c: (np.median(c) - np.median(r)) / spread(r),
    "missing_shift": lambda r, c: 0.0,
    "range_shift": lambda r, c: float(((c < r.min()) | (c > r.max())).mean()),
}
# on the counts of the bins, (2, k)
BINNED: dict[str, Callable[[np.ndarray], float]] = {
    "psi": lambda t: (lambda p, q: float(rel_entr(p, q).sum() + rel_entr(q, p).sum()))(
        *(np.maximum(row / row.sum(), 1e-4) for row in t)
    ),
    "js": lambda t: jensenshannon(t[0], t[1], base=2),
    "kl": lambda t: float(stats.entropy(t[1] / t[1].sum(), t[0] / t[0].sum())),
    "hellinger": lambda t: math.sqrt(max(0.0, 1.0 - float(np.sqrt(t[0] / t[0].sum() * t[1] / t[1].sum()).sum()))),
    "tv": lambda t: float(np.abs(t[0] / t[0].sum() - t[1] / t[1].sum()).sum() / 2),
    "linf": lambda t: float(np.abs(t[0] / t[0].sum() - t[1] / t[1].sum()).max()),
    "chi2": lambda t: stats.chi2_contingency(t, correction=False).statistic,
    "g_test": lambda t: stats.chi2_contingency(t, correction=False, lambda_="log-likelihood").statistic,
    "cramers_v": lambda t: stats.contingency.association(t, method="cramer"),
}
P_VALUES: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "ks": lambda r, c: stats.ks_2samp(r, c, method="asymp").pvalue,
    "cramer_von_mises": lambda r, c: stats.cramervonmises_2samp(r, c, method="asymptotic").pvalue,
    "anderson_darling": lambda r, c: stats.anderson_ksamp([r, c], variant="midrank").pvalue,
    "rank_shift": lambda r, c: stats.mannwhitneyu(c, r, method="asymptotic").pvalue,
    "mean_shift": lambda r, c: stats.ttest_ind(c, r, equal_var=False).pvalue,
}
NEW = {"new_categories": 1.0, "new_category_share": 0.1}


def on_grid(r: np.ndarray, c: np.ndarray, adaptive: bool = False) -> NumericPair:
    edges = make_grid(r)
    both = [AdaptiveSummary() if adaptive else GridSummary.empty(edges) for _ in (r, c)]
    both[0].add(r)
    both[1].add(c)
    return NumericPair(both[0], both[1])


def categories(reference: list[str | None], current: list[str | None]) -> CategoryPair:
    both = [CategorySummary(), CategorySummary()]
    both[0].add(DictColumn.from_list(reference))
    both[1].add(DictColumn.from_list(current))
    return CategoryPair(both[0], both[1])


def test_every_statistic_has_an_oracle_and_says_where_it_comes_from():
    assert set(ORDERED) | set(BINNED) | set(NEW) == set(STATISTICS)
    for name, s in STATISTICS.items():
        assert s.text and s.formula and s.source and s.error_text and s.bounds[0] < s.bounds[1], name
        assert set(s.kinds) <= {"numeric", "category"} and s.worse in ("above", "below", "either"), name


@pytest.mark.parametrize("adaptive", [False, True], ids=["grid", "adaptive"])
@pytest.mark.parametrize(("shape", "seed"), SHAPED)
@pytest.mark.filterwarnings("ignore")
def test_a_statistic_of_cells_is_that_of_the_rows_within_its_stated_error(shape: str, seed: int, adaptive: bool):
    r, c = SHAPES[shape](np.random.default_rng(seed))
    pair = on_grid(r, c, adaptive)
    rounding = 4 * np.finfo(np.float64).eps * float(np.abs(r).max()) / spread(r)  # of means of great numbers, here as there
    for name, exact in ORDERED.items():
        try:
            want = float(exact(r, c))
        except ValueError:  # scipy refuses a sample of one value
            continue
        ours, error = STATISTICS[name].value(pair), STATISTICS[name].error(pair)
        if not math.isfinite(want):
            assert not math.isfinite(ours), name
            continue
        assert abs(ours - want) <= error + (1e-7 + rounding) * max(1.0, abs(want)), (name, ours, want, error)
        low, high = STATISTICS[name].bounds
        assert low - 1e-9 <= ours <= high + 1e-9, (name, ours)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shape", ["normal, no change", "normal, moved", "gamma", "lognormal", "zero-inflated"])
def test_the_grids_error_is_small(shape: str):
    r, c = SHAPES[shape](np.random.default_rng(3))
    pair = on_grid(r, c)
    assert STATISTICS["ks"].error(pair) < 0.006 and STATISTICS["kuiper"].error(pair) < 0.012
    for name, close in {"ks": 0.001, "wasserstein": 0.002, "energy": 0.001, "median_shift": 0.01}.items():
        assert STATISTICS[name].value(pair) == pytest.approx(ORDERED[name](r, c), abs=close), name
    for name in ("cramer_von_mises", "anderson_darling"):
        assert STATISTICS[name].value(pair) == pytest.approx(ORDERED[name](r, c), rel=0.01, abs=0.02), name


@pytest.mark.parametrize(("shape", "seed"), SHAPED)
@pytest.mark.filterwarnings("ignore")
def test_a_statistic_of_bins_is_scipys_on_the_same_bins(shape: str, seed: int):
    r, c = SHAPES[shape](np.random.default_rng(seed))
    pair = on_grid(r, c)
    edges = np.append(pair.ref.edges[pair.bin_starts], np.inf)
    assert (
        np.histogram(r, edges)[0].tolist() == pair.bins[0].tolist() and np.histogram(c, edges)[0].tolist() == pair.bins[1].tolist()
    )
    held = np.array(pair.bins)[:, (pair.bins[0] + pair.bins[1]) > 0]
    for name in (n for n in BINNED if "numeric" in STATISTICS[n].kinds):
        check_binned(name, STATISTICS[name].value(pair), held)
        check_p(name, pair, held)


def check_binned(name: str, ours: float, table: np.ndarray) -> None:
    if table.shape[1] < 2 and name in ("chi2", "g_test", "cramers_v"):
        assert math.isnan(ours), name
        return
    want = BINNED[name](table)
    if name == "kl" and not math.isfinite(want):
        assert math.isfinite(ours) and ours > 0  # the floor stands in for a share of 0
    else:
        assert ours == pytest.approx(want, rel=1e-9, abs=1e-7), name
    low, high = STATISTICS[name].bounds
    assert low - 1e-9 <= ours <= high + 1e-9, name


def check_p(name: str, pair: NumericPair | CategoryPair, table: np.ndarray) -> None:
    if name in ("chi2", "g_test") and table.shape[1] > 1:
        kind = "log-likelihood" if name == "g_test" else "pearson"
        want = stats.chi2_contingency(table, correction=False, lambda_=kind).pvalue
        assert STATISTICS[name].p_value(pair) == pytest.approx(want, rel=1e-6, abs=1e-12), name


@pytest.mark.parametrize("seed", range(3))
def test_a_statistic_of_categories_is_scipys(seed: int):
    rng = np.random.default_rng(seed)
    reference, current = rng.choice(list("abcde"), 3000).tolist(), rng.choice(list("abcd"), 700, p=[0.4, 0.3, 0.2, 0.1]).tolist()
    pair = categories(reference, current)
    table = np.array([[side.count(v) for v in "abcde"] for side in (reference, current)])
    for name in (n for n in BINNED if "category" in STATISTICS[n].kinds):
        check_binned(name, STATISTICS[name].value(pair), table)
        check_p(name, pair, table)


def test_new_categories_are_counted_by_value_and_by_row():
    pair = categories(["a", "b"] * 50, ["a"] * 9 + ["z"])
    for name, want in NEW.items():
        assert STATISTICS[name].value(pair) == pytest.approx(want)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shape", ["normal, no change", "normal, moved", "gamma", "few rows", "heavy tails"])
def test_p_values_of_the_exact_statistic_are_scipys(shape: str):
    r, c = SHAPES[shape](np.random.default_rng(4))
    r = np.unique(r)[:: max(1, len(r) // 250)]  # few enough for every value to have a cell of its own
    c = np.unique(c)[:: max(1, len(c) // 250)]
    edges = np.unique(np.concatenate([np.sort(np.concatenate([r, c])), [1e9]]))
    both = GridSummary.empty(edges), GridSummary.empty(edges)
    both[0].add(r)
    both[1].add(c)
    pair = NumericPair(*both)
    for name, want in P_VALUES.items():
        assert STATISTICS[name].value(pair) == pytest.approx(ORDERED[name](r, c), rel=1e-9), name
        assert STATISTICS[name].p_value(pair) == pytest.approx(want(r, c), rel=1e-6, abs=2e-6 if name == "ks" else 1e-9), name
    assert set(P_VALUES) | {"chi2", "g_test", "kuiper", "missing_shift"} == {n for n, s in STATISTICS.items() if s.p_value}


@pytest.mark.parametrize(("distance", "p"), [(0.15333333, 0.5687737237), (0.26666667, 0.0086056808), (0.34166667, 8.388172e-05)])
def test_kuipers_p_is_that_of_another_implementation(distance: float, p: float):
    """Frouros 0.9, KuiperTest's p-value (after astropy) for 100 and 120 rows."""
    assert pvalues.kuiper_p(distance, 100, 120) == pytest.approx(p, rel=0.001)


@pytest.mark.parametrize("rows", [1, 2, 7, 25, 199, 201, 280, 320, 2_000, 40_000])
def test_kolmogorovs_law_is_scipys_within_the_stated_error(rows):
    from scipy.stats import kstwo

    for x in (0.3, 0.4, 0.8, 1.0, 1.36, 1.63, 2.2, 2.7, 3.1):
        distance = x / math.sqrt(rows)
        want = kstwo.sf(distance, rows)
        assert kolmogorov.survival(distance, rows) == pytest.approx(want, abs=2e-6)
        if 0 < want < 1e-3 and distance < 1:
            assert kolmogorov.survival(distance, rows) == pytest.approx(want, rel=2e-3 if x < 2.7 else 0.12)


def test_the_missing_shares_are_compared_as_two_proportions():
    from statsmodels.stats.proportion import proportions_ztest

    r, c = np.arange(1000.0), np.arange(400.0)
    r[:30], c[:25] = np.nan, np.nan
    pair = on_grid(r, c)
    assert STATISTICS["missing_shift"].value(pair) == pytest.approx(25 / 400 - 30 / 1000)
    assert STATISTICS["missing_shift"].p_value(pair) == pytest.approx(proportions_ztest([25, 30], [400, 1000])[1])
    assert math.isnan(STATISTICS["missing_shift"].p_value(on_grid(r[30:], c[25:])))


def test_the_asymptotic_variance_of_anderson_darling_joins_the_exact_one():
    exact = pvalues.anderson_darling_std(15_000, 4_999)
    assert pvalues.anderson_darling_std(15_000, 5_003) == pytest.approx(exact, rel=1e-3)


def test_infinite_values_make_distances_in_units_undefined_and_leave_the_others():
    r = np.random.default_rng(5).normal(size=3000)
    pair = on_grid(r, np.concatenate([r[:500], [np.inf, -np.inf]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = {name: STATISTICS[name].value(pair) for name in NUMERIC}
    assert math.isnan(values["wasserstein"]) and math.isnan(values["energy"])
    assert values["ks"] < 0.1 and values["range_shift"] == pytest.approx(2 / 502)


floats = st.one_of(
    st.floats(-1e6, 1e6),
    st.integers(-5, 5).map(float),
    st.sampled_from([0.0, -0.0, 1e300, -1e300, 5e-324, float("nan"), float("inf")]),
)


@settings(max_examples=150, deadline=None)
@given(r=st.lists(floats, min_size=1, max_size=60), c=st.lists(floats, min_size=1, max_size=60), adaptive=st.booleans())
def test_any_two_columns_have_values_within_bounds_and_ks_within_its_error(r: list[float], c: list[float], adaptive: bool):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pair = on_grid(np.array(r), np.array(c), adaptive)
        if not pair.n or not pair.m:
            return
        for name in NUMERIC:
            s = STATISTICS[name]
            value, p = s.value(pair), 0.5 if s.p_value is None else s.p_value(pair)
            assert math.isnan(value) or s.bounds[0] - 1e-9 <= value <= s.bounds[1] + 1e-9, (name, value)
            assert math.isnan(p) or 0.0 <= p <= 1.0, (name, p)
        json.dumps(moved(pair), allow_nan=False)
    # without a reference, infinite values have no cell
    there = [np.array([v for v in side if not math.isnan(v) and (math.isfinite(v) or not adaptive)]) for side in (r, c)]
    if not all(map(len, there)):
        return
    exact = gap_at_rows(*there)
    assert abs(STATISTICS["ks"].value(pair) - np.abs(exact).max()) <= STATISTICS["ks"].error(pair) + 1e-9
