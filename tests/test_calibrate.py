"""Nulls, held to scipy, to plain resampling, and to the promise itself: what has probability p happens that often."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from detectors.adaptive import AdaptiveSummary
from detectors.calibrate import closed, sums
from detectors.calibrate.absolute import total_variation_null
from detectors.calibrate.greatest import greatest_changes, greatest_running_sums
from detectors.calibrate.multiple import CORRECTIONS, cutoff
from detectors.calibrate.null import NullTable
from detectors.calibrate.nulls import CALIBRATED, NORMAL, NORMAL_EITHER, STUDENT, pair_null
from detectors.calibrate.statistics import OVER_BINS
from detectors.calibrate.streak import correlation, single_probability, streak_probability
from detectors.calibrate.sums import sum_null
from detectors.category import CategorySummary
from detectors.numeric import GridSummary, make_grid
from detectors.pairs import CategoryPair, NumericPair
from detectors.registry import STATISTICS
from monitor.verdicts import COUNTS_AS

EVEN, SKEWED = np.full(10, 0.1), np.array([0.6, 0.2, 0.1, 0.06, 0.03, 0.01])
RARE, PAIR = np.array([0.98, 0.01, 0.006, 0.003, 0.001]), np.array([0.98, 0.02])


def numeric_pair(rng, reference_rows, rows, make):
    reference = make(rng, reference_rows)
    edges = make_grid(reference)
    sides = GridSummary.empty(edges), GridSummary.empty(edges)
    sides[0].add(reference)
    sides[1].add(make(rng, rows))
    return NumericPair(*sides)


def category_pair(rng, reference_rows, rows, shares):
    counts = (rng.multinomial(n, shares) for n in (reference_rows, rows))
    return CategoryPair(*(CategorySummary(500, {f"v{i}": int(c) for i, c in enumerate(side) if c}) for side in counts))


def test_tables_go_both_ways():
    table = NullTable.from_survival(np.linspace(0, 8, 4000), stats.norm.logsf(np.linspace(0, 8, 4000)) + np.log(2))
    for p in (0.4, 0.05, 1e-3, 3e-6, 1e-9, 1e-13):
        assert table.value_at(p) == pytest.approx(stats.norm.isf(p / 2), rel=0.01)
        assert table.survival(table.value_at(p)) == pytest.approx(p, rel=1e-6)
    assert table.survival(-1.0) == 1.0 and table.scaled(2.0).value_at(0.01) == pytest.approx(2 * table.value_at(0.01))


def test_fixed_nulls_are_the_laws_they_are_named_for():
    for p in (0.3, 0.01, 1e-6, 1e-10):
        assert NORMAL.value_at(p) == pytest.approx(stats.norm.isf(p), rel=0.02, abs=0.01)
        assert NORMAL_EITHER.value_at(p) == pytest.approx(stats.norm.isf(p / 2), rel=0.02)
        assert STUDENT.value_at(p) == pytest.approx(stats.t.isf(p, 12), rel=0.02, abs=0.01)


@pytest.mark.parametrize("rows", [30, 200, 5000])
def test_the_null_of_ks_is_scipys(rows):
    table = closed.kolmogorov_smirnov(10_000, rows)
    effective = round(closed.effective_rows(10_000, rows))
    for p in (0.3, 0.05, 1e-3, 1e-6, 1e-9):
        assert stats.kstwo.sf(table.value_at(p), effective) == pytest.approx(p, rel=0.02)


@pytest.mark.parametrize("name", sorted(OVER_BINS))
def test_a_statistic_of_many_draws_is_the_registrys_one_by_one(name):
    rng = np.random.default_rng(1)
    for _ in range(5):
        pair = category_pair(rng, 900, 150, SKEWED)
        p, q = (side[None, :] for side in pair.bin_shares)
        kinds = STATISTICS[name].kinds
        assert OVER_BINS[name].of(p, q, pair.n, pair.m)[0] == pytest.approx(STATISTICS[name].value(pair), rel=1e-9), kinds


def resampled(shares, reference_rows, rows, times):
    """Plain resampling, 60,000 draws a time: shares of the references and, apart from them, of the windows."""
    rng = np.random.default_rng(4)
    for _ in range(times):
        yield (
            rng.multinomial(reference_rows, shares, size=60_000) / reference_rows,
            rng.multinomial(rows, shares, size=60_000) / rows,
        )


@pytest.mark.parametrize(("reference_rows", "rows"), [(50_000, 60), (2_000, 1_000), (20_000, 300)])
@pytest.mark.parametrize("shares", [EVEN, SKEWED, RARE, PAIR], ids=["even", "skewed", "rare", "pair"])
def test_a_sum_over_few_cells_has_the_tail_of_180_000_resampled_windows(shares, reference_rows, rows):
    """Of two cells and few rows the values are steps: there it never happens much more often than said."""
    names = ("js", "psi", "g_test", "tv")
    found = {name: [] for name in names}
    for p, q in resampled(shares, reference_rows, rows, 3):
        for name in names:
            found[name].append(OVER_BINS[name].of(p, q, reference_rows, rows))
    for name in names:
        table = (total_variation_null if name == "tv" else partial(sum_null, name))(shares, reference_rows, rows)
        values = np.concatenate(found[name])
        for probability in (0.1, 0.01, 1e-3, 1e-4):
            happened = float((values >= table.value_at(probability)).mean())
            assert happened / probability < (2.0 if shares is not PAIR else 2.6), (name, probability)
            if shares is not PAIR:
                assert happened / probability > (1 / 3 if name != "tv" else 1 / 6), (name, probability)


@pytest.mark.parametrize(("reference_rows", "rows"), [(20_000, 50), (20_000, 3_000), (600, 200)])
@pytest.mark.parametrize("shares", [EVEN, SKEWED], ids=["even", "skewed"])
def test_the_greatest_change_of_a_share_has_the_tail_of_resampled_windows(shares, reference_rows, rows):
    found = list(resampled(shares, reference_rows, rows, 2))
    of_bins = np.concatenate([OVER_BINS["linf"].of(p, q, reference_rows, rows) for p, q in found])
    of_sums = np.concatenate([np.abs(np.cumsum(p - q, axis=1)).max(axis=1) for p, q in found])
    for probability in (0.1, 0.01, 1e-3, 1e-4):
        for values, table in (
            (of_bins, greatest_changes([shares], reference_rows, rows)[0]),
            (of_sums, greatest_running_sums([shares], reference_rows, rows)[0]),
        ):
            assert 0.2 < float((values >= table.value_at(probability)).mean()) / probability < 2.2, probability


ZIPF = 1.0 / np.arange(1, 61.0) / (1.0 / np.arange(1, 61.0)).sum()


@pytest.mark.parametrize(("reference_rows", "rows"), [(20_000, 50), (20_000, 3_000), (600, 200)])
def test_a_sum_over_many_cells_has_its_tail_without_a_draw(reference_rows, rows):
    """100,000 plain draws: at 1e-4 ten of them lie beyond the limit."""
    rng = np.random.default_rng(13)
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("js", "psi", "tv", "g_test", "kl")}
    for _ in range(10):
        p, q = (rng.multinomial(n, ZIPF, size=10_000) / n for n in (reference_rows, rows))
        for name, values in found.items():
            values.append(OVER_BINS[name].of(p, q, reference_rows, rows))
    for name, values in found.items():
        table, all_values = sum_null(name, ZIPF, reference_rows, rows), np.concatenate(values)
        for probability, within in ((0.3, 1.06), (0.1, 1.12), (0.01, 1.35), (1e-3, 1.8), (1e-4, 3.5)):
            happened = float((all_values >= table.value_at(probability)).mean())
            assert 1 / within < happened / probability < within, (name, probability)


@pytest.mark.parametrize("cells", [2, 7, 300])
def test_a_sum_of_great_counts_is_chi_square(cells):
    even = np.full(cells, 1.0 / cells)
    for name, per in (("chi2", 1.0), ("g_test", 1.0), ("psi", 1 / 5e5 + 1 / 2e5)):
        table = sum_null(name, even, 500_000, 200_000)
        for p in (0.3, 0.01, 1e-4, 1e-8):
            assert stats.chi2.sf(table.value_at(p) / per, cells - 1) == pytest.approx(p, rel=0.25), (name, p)


def test_many_features_of_many_categories_share_one_table_of_a_cell():
    """What is timed in tests/bench/scores.py: the table over the shares of a cell is made once for both numbers of rows."""
    rng = np.random.default_rng(14)
    sums._blocks.cache_clear()
    for _ in range(20):
        pair_null("js", category_pair(rng, 50_000, 300, rng.dirichlet(np.ones(150))))
    assert 4 < len(sums._blocks._made) < 16


def test_psi_has_a_limit_for_both_samples_where_the_one_sample_form_gives_half_of_all_windows():
    """10,000 rows on both sides: chi-square over M, as Scouter has it, against limits that know of N."""
    rng = np.random.default_rng(5)
    p, q = (rng.multinomial(10_000, EVEN, size=4000) / 10_000 for _ in range(2))
    psi = OVER_BINS["psi"].of(p, q, 10_000, 10_000)
    one_sample = stats.chi2.isf(0.05, 9) / 10_000
    ours = sum_null("psi", EVEN, 10_000, 10_000).value_at(0.05)
    assert 0.45 < (psi >= one_sample).mean() < 0.53
    assert (psi >= ours).mean() == pytest.approx(0.05, abs=0.011)
    assert ours == pytest.approx(stats.chi2.isf(0.05, 9) * 2 / 10_000, rel=0.04)


def test_five_chunks_that_are_scored_against_themselves_alarm_in_a_fifth_of_windows_and_ours_do_not():
    """NannyML's limit, mean + 3 std of the reference chunks' scores, meant for 0.13 %; 5 chunks of 200 rows give 22 %."""
    rng = np.random.default_rng(6)
    theirs = ours = 0
    table = sum_null("js", EVEN, 1000, 200)
    limit = table.value_at(stats.norm.sf(3))
    for _ in range(1500):
        chunks = rng.multinomial(200, EVEN, size=5)
        reference = np.repeat(chunks.sum(axis=0)[None, :] / 1000, 5, axis=0)
        own = OVER_BINS["js"].of(reference, chunks / 200, 1000, 200)
        fresh = OVER_BINS["js"].of(reference[:1], rng.multinomial(200, EVEN, size=1) / 200, 1000, 200)[0]
        theirs += fresh > own.mean() + 3 * own.std()
        ours += fresh >= limit
    assert 0.15 < theirs / 1500 < 0.35
    assert ours / 1500 < 0.006


MAKERS = {
    "normal": lambda r, n: r.normal(size=n),
    "heavy tails": lambda r, n: r.standard_t(2.5, n),
    "zero-inflated": lambda r, n: np.where(r.random(n) < 0.7, 0.0, r.lognormal(size=n)),
    "few values": lambda r, n: r.integers(0, 5, n).astype(float),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
@pytest.mark.parametrize("name", ["js", "ks", "rank_shift"])
def test_what_has_probability_p_happens_that_often(name, make):
    rng = np.random.default_rng(7)
    p_values = []
    for _ in range(6):
        first = numeric_pair(rng, 6000, 120, make)
        table = pair_null(name, first)
        for _ in range(60):
            window = GridSummary.empty(first.reference.edges)
            window.add(make(rng, 120))
            p_values.append(table.survival(STATISTICS[name].value(NumericPair(first.reference, window))))
    found = np.array(p_values)
    for level in (0.3, 0.1, 0.03):
        spread = 4 * np.sqrt(level * (1 - level) / len(found))
        assert (found <= level).mean() < level + spread, level
        if not (name == "ks" and make is MAKERS["zero-inflated"]):  # ties make the closed law of KS safe, not exact
            assert (found <= level).mean() > level - spread, level


def test_categories_by_the_hundred_keep_their_level():
    rng = np.random.default_rng(8)
    shares = 1.0 / np.arange(1, 201.0)
    shares /= shares.sum()
    found = []
    for _ in range(4):
        first = category_pair(rng, 8000, 60, shares)
        table = pair_null("js", first)
        for _ in range(60):
            pair = CategoryPair(first.reference, category_pair(rng, 10, 60, shares).current)
            found.append(table.survival(STATISTICS["js"].value(pair)))
    assert stats.kstest(found, "uniform").pvalue > 1e-3


def test_a_null_exists_for_all_that_the_config_may_name_and_none_without_rows():
    rng = np.random.default_rng(9)
    pair = numeric_pair(rng, 500, 80, MAKERS["normal"])
    assert all(isinstance(pair_null(name, pair), NullTable) for name in CALIBRATED)
    nothing = numeric_pair(rng, 500, 0, MAKERS["normal"])
    assert all(pair_null(name, nothing) is None for name in CALIBRATED)
    assert pair_null("wasserstein", pair) is None and pair_null("std_shift", pair) is None


def one_value_pair(kind, n, m, off):
    """n rows of one value, and m of which `off` have another."""
    if kind == "category":
        return CategoryPair(CategorySummary(counts={"a": n}), CategorySummary(counts={"a": m - off, "z": off}))
    edges = make_grid(np.full(n, 3.0))
    sides = (AdaptiveSummary(), AdaptiveSummary()) if kind == "adaptive" else (GridSummary.empty(edges), GridSummary.empty(edges))
    sides[0].add(np.full(n, 3.0))
    sides[1].add(np.repeat([3.0, 7.0], [m - off, off]))
    return NumericPair(*sides)


@pytest.mark.parametrize(
    ("kind", "name"),
    [(k, n) for n in sorted(CALIBRATED) for k in ("adaptive", "grid", "category")
     if ("category" if k == "category" else "numeric") in STATISTICS[n].kinds],
)  # fmt: skip
def test_a_reference_of_one_value_has_the_tail_of_fishers_exact_test(kind, name):
    for n, m in ((900, 300), (60, 4000)):
        for off in (1, 2, 5, 12):
            pair = one_value_pair(kind, n, m, off)
            exact = stats.fisher_exact([[off, m - off], [0, n]], alternative="greater").pvalue
            found = pair_null(name, pair).survival(STATISTICS[name].value(pair))
            assert np.log(found) == pytest.approx(np.log(exact), rel=0.12, abs=0.05), (n, m, off)
        as_before = one_value_pair(kind, n, m, 0)
        value = STATISTICS[name].value(as_before)
        assert name in ("chi2", "g_test", "cramers_v") or pair_null(name, as_before).survival(value) == 1.0
        assert pair_null(name, as_before).survival(STATISTICS[name].value(one_value_pair(kind, n, m, m))) < 1e-9


@pytest.mark.parametrize(
    ("rows", "hits", "reference_rows", "reference_hits"), [(50, 4, 10_000, 12), (50, 0, 300, 80), (400, 90, 900, 120)]
)
def test_shares_have_fishers_exact_tail_less_half_of_the_observed_point(rows, hits, reference_rows, reference_hits):
    root = closed.share_root(*(np.array([float(v)]) for v in (hits, rows, reference_hits, reference_rows)))[0]
    law = stats.hypergeom(rows + reference_rows, hits + reference_hits, rows)
    above = hits / rows > reference_hits / reference_rows
    exact = (law.sf(hits - 1) if above else law.cdf(hits)) - law.pmf(hits) / 2
    assert stats.norm.sf(abs(root)) == pytest.approx(exact, rel=1e-6) and (root > 0) == above


def test_shares_of_many_rows_have_the_score_tests_tail():
    for hits in (5200, 4700):
        root = closed.share_root(*(np.array([float(v)]) for v in (hits, 50_000, 9_900, 100_000)))[0]
        pooled = (hits + 9_900) / 150_000
        z = (hits / 50_000 - 0.099) / np.sqrt(pooled * (1 - pooled) * (1 / 50_000 + 1 / 100_000))
        assert root == pytest.approx(z, rel=0.02)


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_the_cut_off_calls_what_statsmodels_calls(correction):
    theirs = {"benjamini-hochberg": "fdr_bh", "benjamini-yekutieli": "fdr_by", "bonferroni": "bonferroni"}[correction]
    rng = np.random.default_rng(10)
    for _ in range(60):
        p = np.concatenate([rng.random(40), rng.random(rng.integers(0, 20)) ** 4])
        want = multipletests(p, 0.1, theirs)[0]
        assert ((p <= cutoff(p, 0.1, correction)) == want).all()
    with_gaps = np.array([0.001, np.nan, 0.9])
    assert cutoff(with_gaps, 0.1, correction) == cutoff(with_gaps[[0, 2]], 0.1, correction)
    with pytest.raises(ValueError, match="not one of"):
        cutoff(p, 0.1, "holm")


def test_what_says_in_part_the_same_counts_as_a_part():
    p = np.array([0.03, 0.9, 0.02, np.nan, 0.5])
    assert cutoff(p, 0.1) == cutoff(p, 0.1, counts=np.ones(5)) == pytest.approx(0.05)
    half = np.array([1.0, 0.5, 0.5, 1.0, 1.0])
    assert cutoff(p, 0.1, counts=half) == pytest.approx(0.1 * 1.5 / 3.0)
    assert cutoff(np.array([0.9, 0.03]), 0.1, counts=np.array([1.0, 0.4])) == pytest.approx(0.1 / 1.4)  # one is one at least
    for plain in ("bonferroni", "benjamini-yekutieli"):
        assert cutoff(p, 0.1, plain, half) == cutoff(p, 0.1, plain)


@pytest.mark.parametrize("law", ["norm", "t"])
def test_wasserstein_beside_js_and_rank_shift_counts_as_no_more_than_it_adds(law):
    """The limit of many rows: a bridge over 40 cells, of 20 columns. As often as asked, by limits that hold for each score."""
    rng, cells, columns, windows = np.random.default_rng(13), 40, 20, 15_000
    upto = (np.arange(cells) + 0.5) / cells
    widths = np.diff(stats.norm.ppf(upto) if law == "norm" else stats.t.ppf(upto, 2.5))
    noise = rng.standard_normal((columns * windows, cells), dtype=np.float32)
    moves = noise - noise.mean(axis=1, keepdims=True)
    scores = (moves.reshape(-1, 10, 4).sum(axis=2) ** 2).sum(axis=1), abs(moves @ upto), abs(moves.cumsum(axis=1)[:, :-1]) @ widths
    p = np.stack([stats.rankdata(-s) / len(s) for s in scores], axis=1).reshape(windows, columns * 3)
    level, counts = 0.03, np.tile([1.0, 1.0, COUNTS_AS], columns)
    alarms = np.mean([(row <= cutoff(row, level, counts=counts)).any() for row in p])
    before = np.mean([(row <= cutoff(row, level)).any() for row in p])
    assert before < alarms < 1.1 * level and alarms > 0.85 * level


def test_scipy_agrees_on_the_family():
    rng = np.random.default_rng(11)
    for method, name in (("bh", "benjamini-hochberg"), ("by", "benjamini-yekutieli")):
        p = rng.random(60) ** 3
        assert ((stats.false_discovery_control(p, method=method) <= 0.05) == (p <= cutoff(p, 0.05, name))).all()


@pytest.mark.parametrize(("windows", "rho"), [(1, 0.3), (2, 0.0), (2, 0.2), (3, 0.6)])
def test_a_streak_is_as_rare_as_it_is_said_to_be(windows, rho):
    rng = np.random.default_rng(12)
    common = rng.standard_normal((1_000_000, 1))
    p = stats.norm.sf(np.sqrt(rho) * common + np.sqrt(1 - rho) * rng.standard_normal((1_000_000, windows)))
    single = single_probability(1e-3, windows, rho)
    assert (p <= single).all(axis=1).mean() == pytest.approx(1e-3, rel=0.15)
    assert streak_probability(np.array([single]), windows, rho)[0] == pytest.approx(1e-3, rel=0.02)


def test_windows_that_share_rows_or_a_small_reference_are_correlated():
    assert correlation(1e9, 100, 0.0) == pytest.approx(0.0, abs=1e-6)
    assert correlation(100, 100, 0.0) == pytest.approx(0.5) and correlation(1e9, 100, 0.75) == pytest.approx(0.75, abs=1e-6)
