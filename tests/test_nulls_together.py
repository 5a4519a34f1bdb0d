"""Null tables made for many features at once are, bit by bit, those of each alone: what was kept before never shows in a result."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from detectors.calibrate import absolute, between, closed, greatest, nulls, rare_cells, sums
from detectors.calibrate.absolute import CHI_END, CHI_STEP, absolute_null, absolute_nulls, chi_survival, total_variation_null
from detectors.calibrate.between import DISTANCES, distance
from detectors.calibrate.cell_laws import _spaced
from detectors.calibrate.closed import rank_shift, rank_shifts
from detectors.calibrate.greatest import _both, greatest_changes, greatest_running_sums
from detectors.calibrate.kept import Kept
from detectors.calibrate.null import TAILS, NullTable
from detectors.calibrate.nulls import CALIBRATED, pair_null, prepare
from detectors.calibrate.quadratic import quadratic_null, quadratic_nulls
from detectors.calibrate.statistics import OVER_BINS
from detectors.calibrate.sums import sum_null, sum_nulls, sums_nulls
from detectors.category import CategorySummary
from detectors.numeric import GridSummary, make_grid
from detectors.pairs import CategoryPair, NumericPair

SUMS = sorted(set(OVER_BINS) - {"linf"})


def forget():
    for module in (nulls, sums, between):
        for made in vars(module).values():
            if hasattr(made, "cache_clear") and not isinstance(made, type):
                made.cache_clear()


@st.composite
def features(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    sizes = draw(st.lists(st.sampled_from([2, 3, 6, 10, 25, 40, 60]), min_size=1, max_size=9))
    uneven = draw(st.sampled_from([0.2, 1.0, 30.0]))
    drawn = [rng.dirichlet(np.full(k, uneven)) + 1e-5 for k in sizes]
    return [shares / shares.sum() for shares in drawn]


@settings(max_examples=40, deadline=None)
@given(features(), st.sampled_from(SUMS), st.sampled_from([(50_000, 40), (20_000, 900), (300, 700), (50_000, 60_000)]))
def test_of_many_features_at_once_each_has_the_table_that_it_has_alone(many, name, rows):
    together = sum_nulls(name, many, *rows)
    for shares, table in zip(many, together, strict=True):
        assert np.array_equal(table.values, sum_null(name, shares, *rows).values)
    for shares, table in zip(reversed(many), sum_nulls(name, many[::-1], *rows), strict=True):
        assert np.array_equal(table.values, sum_null(name, shares, *rows).values)


@settings(max_examples=30, deadline=None)
@given(
    features(),
    st.sampled_from([greatest_changes, greatest_running_sums]),
    st.sampled_from([(50_000, 40), (300, 700), (50_000, 60_000)]),
)
def test_the_greatest_difference_of_many_features_at_once_has_the_table_of_each_alone(many, tables, rows):
    for shares, table in zip(many, tables(many, *rows), strict=True):
        assert np.array_equal(table.values, tables([shares], *rows)[0].values)
    for shares, table in zip(reversed(many), tables(many[::-1], *rows), strict=True):
        assert np.array_equal(table.values, tables([shares], *rows)[0].values)


TIES = [np.insert(np.full(k, (1.0 - most) / k), k // 2, most) for k, most in ((58, 0.1), (30, 0.5), (12, 0.8), (4, 0.3))]
KINDS = {
    "even": np.full(10, 0.1),
    "skewed": np.array([0.6, 0.2, 0.1, 0.06, 0.03, 0.01]),
    "zero-inflated": np.insert(np.full(6, 0.05), 0, 0.7),
    "zipf": 1.0 / np.arange(1, 31.0) / (1.0 / np.arange(1, 31.0)).sum(),
    "drawn": np.random.default_rng(2).dirichlet(np.ones(12)),
}
HUNDRED = np.random.default_rng(3).dirichlet(np.ones(100))


@pytest.mark.parametrize(
    "rows", [(50_000, 25), (50_000, 40), (300, 50), (50_000, 60), (50_000, 100), (2_000, 500), (50_000, 5_000), (3_000, 100_000)]
)
@pytest.mark.parametrize(
    ("tables", "many"), [(greatest_running_sums, TIES), (greatest_changes, [*KINDS.values(), HUNDRED])], ids=["ks", "linf"]
)
def test_every_second_or_third_point_says_how_often_the_greatest_difference_passes(tables, many, rows, monkeypatch):
    found = tables(many, *rows)
    monkeypatch.setattr(greatest, "SMOOTH", 10**9)
    monkeypatch.setattr(greatest, "_SECOND", greatest._EVERY)
    within = {0.1: 0.08} | dict.fromkeys((1e-3, 1e-5, 1e-8), 0.03 if rows[1] >= 60 else 0.05)
    for some, every in zip(found, tables(many, *rows), strict=True):
        for probability, off in within.items():
            assert some.survival(every.value_at(probability)) == pytest.approx(probability, rel=off)


@pytest.mark.parametrize(
    ("rows", "within"),
    [((50_000, 30), 0.2), ((50_000, 100), 0.05), ((20_000, 900), 0.05), ((50_000, 5_000), 0.05), ((50_000, 12_000), 0.05),
     ((2_000, 1_000), 0.05), ((5_000, 100_000), 0.05)],
)  # fmt: skip
def test_few_nodes_of_a_cells_counts_say_what_many_do(rows, within, monkeypatch):
    """Against 61 evenly spaced ones. psi has a floor, and chi2 of few rows steps; js, kl and g_test are within 1 %."""
    names = ("js", "psi", "kl", "hellinger", "chi2", "g_test")
    few = sums_nulls(names, list(KINDS.values()), *rows)
    many_nodes = _spaced(np.linspace(-7.2, 7.2, 61))
    forget()
    monkeypatch.setattr(sums, "MOMENTS", many_nodes)
    monkeypatch.setattr(rare_cells, "rule", lambda *_: many_nodes)
    many = sums_nulls(names, list(KINDS.values()), *rows)
    forget()
    for name, some, every in zip(names, few, many, strict=True):
        for one, exact in zip(some, every, strict=True):
            for probability in (0.1, 1e-2, 1e-3, 1e-4, 1e-6):
                off = 0.01 if name in ("js", "kl", "g_test") else within
                assert one.survival(exact.value_at(probability)) == pytest.approx(probability, rel=off), (name, probability)


@pytest.mark.parametrize("rows", [(50_000, 30), (50_000, 100), (300, 700), (50_000, 60_000)])
def test_a_rank_shift_of_few_points_has_the_tail_of_many(rows, monkeypatch):
    many = [np.full(64, 1 / 64), *TIES, *(shares for kind, shares in KINDS.items())]
    few = rank_shifts(many, *rows)
    for one, shares in zip(few, many, strict=True):
        assert np.array_equal(one.values, rank_shift(shares, *rows).values)
    steps = 600
    monkeypatch.setattr(closed, "_TILTS", np.linspace(0.05, closed.FARTHEST, steps))
    monkeypatch.setattr(closed, "_FURTHER", 0.6 * np.linspace(0, 1, steps) ** 2 * closed.FARTHEST)
    monkeypatch.setattr(closed, "_PLACES", np.arange(1.0, steps + 1.0) / steps)
    for one, exact in zip(few, rank_shifts(many, *rows), strict=True):
        for probability in (0.1, 1e-2, 1e-3, 1e-4, 1e-6):
            assert one.survival(exact.value_at(probability)) == pytest.approx(probability, rel=0.02)


@pytest.mark.parametrize(("a", "b", "rho"), [(0.1, 0.4, 0.3), (1.5, 1.2, 0.6), (3.0, 2.5, 0.5), (5.0, 4.6, 0.9), (6.5, 6.5, 0.99)])
def test_neighbours_pass_together_as_two_normals_do(a, b, rho):
    """The quadrature is that of its ten nodes all the same: those left out had no part in it."""
    nodes, weights = np.polynomial.laguerre.laggauss(10)
    rate = max(a, 1.0)
    x = a + nodes / rate
    beyond = stats.norm.cdf((rho * x - b) / np.sqrt(1.0 - rho * rho))
    whole = 2.0 * float(weights @ (np.exp(nodes) * stats.norm.pdf(x) * beyond)) / rate
    found = float(_both(np.array([a]), np.array([b]), np.array([rho]))[0])
    assert found == pytest.approx(whole, rel=1e-11)
    if a > 1.0:
        exact = 2.0 * stats.multivariate_normal(cov=[[1.0, rho], [rho, 1.0]]).cdf([-a, -b])
        assert found == pytest.approx(exact, rel=0.2)


def numeric_pairs():
    rng = np.random.default_rng(6)
    for make in (rng.normal, lambda size: rng.poisson(2.0, size) * 1.0, lambda size: np.where(rng.random(size) < 0.6, 0.0, rng.lognormal(size=size)),
                 lambda size: (rng.random(size) < 0.2) * 1.0, lambda size: np.round(rng.normal(size=size), 1), np.ones):  # fmt: skip
        values = make(size=4_000) if make is not np.ones else np.ones(4_000)
        window = make(size=300) if make is not np.ones else np.ones(300)
        sides = GridSummary.empty(make_grid(values)), GridSummary.empty(make_grid(values))
        for side, column in zip(sides, (values, window), strict=True):
            side.add(column)
        yield NumericPair(*sides)


def category_pairs():
    rng = np.random.default_rng(5)
    for k in (1, 2, 4, 9, 9, 30, 450):
        counts = (rng.multinomial(n, rng.dirichlet(np.ones(k))) for n in (9_000, 333))
        yield CategoryPair(*(CategorySummary(500, {f"v{i}": int(c) for i, c in enumerate(side) if c}) for side in counts))


def test_what_was_prepared_is_what_a_pair_has_by_itself():
    pairs = [*category_pairs(), *numeric_pairs()]

    def tables():
        found = (pair_null(name, pair) for pair in pairs for name in sorted(CALIBRATED))
        return [table.values for table in found if table is not None]

    forget()
    alone = tables()
    forget()
    prepare((name, pair) for pair in pairs for name in sorted(CALIBRATED))
    made = tables()
    assert len(made) == 7 * len(OVER_BINS) + 6 * len(CALIBRATED)
    assert all(np.array_equal(a, b) for a, b in zip(alone, made, strict=True))


@settings(max_examples=20, deadline=None)
@given(features())
def test_distances_of_many_features_at_once_have_the_tables_of_each_alone(many):
    bridges = [(np.arange(1.0, len(shares) + 1.0), shares.cumsum() - shares / 2.0, shares) for shares in many]
    for one, table in zip(bridges, quadratic_nulls(bridges), strict=True):
        assert np.array_equal(table.values, quadratic_null(*one).values)
    for (weights, upto, _), table in zip(bridges, absolute_nulls([one[:2] for one in bridges]), strict=True):
        assert np.array_equal(table.values, absolute_null(weights, upto).values)


def test_distances_that_were_prepared_are_what_a_pair_has_by_itself():
    def tables():
        found = (distance(name, pair, 1.0) for pair in numeric_pairs() for name in DISTANCES)
        return [move.table.values for move in found if move is not None]

    forget()
    alone = tables()
    forget()
    between.prepare((name, pair) for pair in numeric_pairs() for name in DISTANCES)
    made = len(between._squares._made), len(between._absolutes._made)
    assert len(alone) == 5 * len(DISTANCES) and all(np.array_equal(a, b) for a, b in zip(alone, tables(), strict=True))
    assert made == (len(between._squares._made), len(between._absolutes._made)) and min(made) > 0


def test_the_gamma_law_of_a_sum_of_absolutes_has_the_mean_of_resampled_bridges():
    rng = np.random.default_rng(3)
    upto, weights = np.linspace(0.05, 0.95, 19), rng.random(19)
    steps = rng.standard_normal((40_000, 20)) * np.sqrt(np.diff(upto, prepend=0.0, append=1.0))
    walk = steps.cumsum(axis=1)
    sums = np.abs(walk[:, :-1] - upto * walk[:, -1:]) @ weights
    table = absolute_null(weights, upto)
    for probability, within in ((0.5, 1.2), (0.1, 1.2), (0.01, 1.3), (1e-3, 1.7)):
        assert 1 / within < float((sums >= table.value_at(probability)).mean()) / probability < within


def test_kept_tables_are_bounded_and_made_once():
    asked = []

    def make(keys):
        asked.extend(keys)
        return [NullTable(np.full(len(TAILS), float(key))) for key in keys]

    kept = Kept(make, 3)
    kept.prepare([1, 2, 1])
    assert kept(1).values[0] == 1.0 and asked == [1, 2]
    kept.prepare([2, 3, 4, 5, 6])
    assert asked == [1, 2, 3, 4, 5] and len(kept._made) == 3
    assert kept(6).values[0] == 6.0 and len(kept._made) == 3


@pytest.mark.parametrize("freedom", [3, 7, 15])
def test_the_table_of_chis_law_is_off_by_less_than_a_ten_thousandth_of_itself(freedom):
    survival, slope = chi_survival(freedom)
    place = np.linspace(0.0, (CHI_END - 1.0) / CHI_STEP, 20_011)
    whole = place.astype(np.int64)
    straight, exact = survival[whole] + (place - whole) * slope[whole], stats.chi(freedom).sf(place * CHI_STEP)
    assert float(np.abs(straight / exact - 1.0).max()) < 1e-4


# Values at probabilities 0.5, 0.1, 1e-3, 1e-6, 1e-10 as each feature's own draws of cells, one by one, gave them before.
BEFORE = {
    ("even", "js", 50000, 100): (0.125252, 0.1672412, 0.2363993, 0.3092581, 0.3797486),
    ("even", "psi", 20000, 900): (0.009759119, 0.01721926, 0.03280134, 0.05284889, 0.0777514),
    ("even", "kl", 600, 200): (0.02818712, 0.04961183, 0.09422434, 0.1515113, 0.222596),
    ("even", "g_test", 50000, 5000): (8.370017, 14.72445, 27.94476, 44.91169, 65.95884),
    ("even", "hellinger", 2000, 1000): (0.03967212, 0.05264566, 0.07257054, 0.092038, 0.11157),
    ("even", "chi2", 50000, 40): (8.442196, 14.52167, 29.26336, 51.8968, 83.95534),
    ("even", "tv", 20000, 3000): (0.02289607, 0.03112487, 0.04406599, 0.05731257, 0.0710388),
    ("skewed", "js", 50000, 100): (0.09539864, 0.1372952, 0.2044089, 0.2728725, 0.3323306),
    ("skewed", "psi", 20000, 900): (0.005119573, 0.01101994, 0.0259942, 0.06476154, 0.08930379),
    ("skewed", "kl", 600, 200): (0.01526548, 0.03216808, 0.07811866, 0.2198987, 0.3758344),
    ("skewed", "g_test", 50000, 5000): (4.365232, 9.26703, 20.58908, 36.0246, 55.78054),
    ("skewed", "hellinger", 2000, 1000): (0.02872106, 0.04194682, 0.06299273, 0.0917771, 0.1134555),
    ("skewed", "chi2", 50000, 40): (4.236349, 9.361142, 30.02261, 83.7686, 163.0528),
    ("skewed", "tv", 20000, 3000): (0.01232946, 0.02039108, 0.03446492, 0.04883882, 0.06332426),
    ("pair", "js", 50000, 100): (0.03311654, 0.09974606, 0.1087281, 0.1651822, 0.2203676),
    ("pair", "psi", 20000, 900): (0.0006352804, 0.003187836, 0.01411698, 0.03948881, 0.1034169),
    ("pair", "kl", 600, 200): (0.001827853, 0.009903015, 0.03956374, 0.1416556, 0.2942488),
    ("pair", "g_test", 50000, 5000): (0.4641158, 2.764875, 11.06288, 24.44518, 42.72248),
    ("pair", "hellinger", 2000, 1000): (0.009289265, 0.02292721, 0.04629992, 0.06904535, 0.09141166),
    ("pair", "chi2", 50000, 40): (0.5595387, 1.802655, 21.15324, 62.16158, 131.3135),
    ("pair", "tv", 20000, 3000): (0.001845989, 0.00449884, 0.009125804, 0.01428505, 0.01969675),
    ("zipf", "js", 50000, 100): (0.2572441, 0.2951588, 0.3489559, 0.3989579, 0.4478713),
    ("zipf", "psi", 20000, 900): (0.03416453, 0.04800459, 0.0783681, 0.1263866, 0.1869191),
    ("zipf", "kl", 600, 200): (0.1030785, 0.14461, 0.2239322, 0.3200382, 0.4352986),
    ("zipf", "g_test", 50000, 5000): (28.46386, 39.26718, 58.58203, 80.84095, 106.6826),
    ("zipf", "hellinger", 2000, 1000): (0.07377878, 0.0869455, 0.1070823, 0.1291523, 0.1524947),
    ("zipf", "chi2", 50000, 40): (27.39459, 41.10513, 71.43323, 111.8099, 162.8822),
    ("zipf", "tv", 20000, 3000): (0.03575878, 0.0437815, 0.05707883, 0.07145304, 0.08739342),
}
SHAPES = {**KINDS, "pair": np.array([0.98, 0.02])}


@pytest.mark.parametrize(("case", "before"), BEFORE.items(), ids=lambda v: str(v[:2]))
def test_limits_are_those_of_one_feature_at_a_time(case, before):
    shape, name, *rows = case
    table = total_variation_null(SHAPES[shape], *rows) if name == "tv" else sum_null(name, SHAPES[shape], *rows)
    assert [table.value_at(p) for p in (0.5, 0.1, 1e-3, 1e-6)] == pytest.approx(before[:4], rel=1e-3)
    assert table.value_at(1e-10) == pytest.approx(before[4], rel=1e-2)


def test_tabulated_gamma_laws_are_those_of_scipy():
    rng = np.random.default_rng(7)
    for skew, found in zip(skews := rng.uniform(0.005, 4.5, 300), sums._deviates(skews), strict=True):
        exact = stats.pearson3(skew).isf(np.minimum(TAILS, 1.0 - 1e-6))
        assert float(np.abs(found - exact).max()) < 2e-4
    shapes = np.exp(rng.uniform(np.log(0.04), np.log(80.0), 300))
    exact = stats.gamma(shapes[:, None]).isf(TAILS[3:]) - shapes[:, None]
    found = absolute._beyond(shapes)[:, 3:]
    assert float((np.abs(found - exact) / np.maximum(np.abs(exact), 1.0)).max()) < 1e-3


def test_the_next_window_of_as_many_rows_needs_no_new_table():
    """Whatever its values are: there are cells of one row of the reference, at the cell's edge, in which a window's rows lie elsewhere."""
    rng = np.random.default_rng(11)
    reference = rng.lognormal(size=5_000)
    known = GridSummary.empty(np.sort(reference)[::10])
    known.add(np.delete(np.sort(reference), np.arange(2_001, 2_010)))
    made = []
    forget()
    for rows in (1_020, 1_023, 1_030, 1_040):
        window = GridSummary.empty(known.edges)
        drawn = rng.lognormal(size=rows)
        inside = np.searchsorted(known.edges, drawn, side="right") == 201
        window.add(np.where(inside, np.sort(reference)[2_005 if rows % 2 else 2_000], drawn))
        pair = NumericPair(known, window)
        assert pair.reference_atoms[201] and pair.atoms[201] == (rows % 2 == 0)
        prepare((name, pair) for name in sorted(CALIBRATED))
        between.prepare((name, pair) for name in DISTANCES)
        made.append([len(kept._made) for kept in (between._squares, between._absolutes, nulls._of_shares, nulls._ranks, nulls._ks)])
    assert made[0] == made[1] == made[2] == made[3] and min(made[0]) > 0
